//! The distance of two samples, as an exact decimal.
//!
//! 360 Hz is 2.777... ms; as a float, or rounded to nanoseconds, slots of a long recording would drift into their
//! neighbours. Slots are found by integer arithmetic on the decimal as written.

use std::fmt;

/// Milliseconds between two samples: positive, exact, and written as it was read.
#[derive(Clone, Debug)]
pub(crate) struct SamplePeriod {
    text: String,
    /// The period is `mantissa / 10^scale` nanoseconds.
    mantissa: i128,
    scale: u32,
}

const NS_PER_MS: i128 = 1_000_000;
/// The finest time a measurement carries (DM-43).
const SHORTEST_NS: i128 = 100;
/// Most slots a stream may have: those of a day, the longest bucket, at 10 ms.
pub(crate) const SLOTS_MAX: u64 = 8_640_000;
/// Most digits; keeps all arithmetic within 128 bits.
const DIGITS_MAX: usize = 15;
/// Most slots of the longest period that a common step may be.
const STEP_SLOTS_MAX: i128 = 1_000;

impl SamplePeriod {
    /// A decimal of milliseconds without exponent; `None` when it is not one, or is shorter than 100 ns.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{fraction}");
        let is_decimal = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_decimal || text.ends_with('.') || digits.len() > DIGITS_MAX {
            return None;
        }
        let period = Self {
            text: canonical(whole, fraction),
            mantissa: digits.parse::<i128>().ok()? * NS_PER_MS,
            scale: u32::try_from(fraction.len()).ok()?,
        };
        (period.mantissa >= SHORTEST_NS * period.unit()).then_some(period)
    }

    /// The slot that a time `offset_ns` after the start falls in; negative before the start.
    pub(crate) fn slot_of(&self, offset_ns: i128) -> i128 {
        offset_ns.saturating_mul(self.unit()).div_euclid(self.mantissa)
    }

    /// The first whole nanosecond after the start that falls in `slot`.
    pub(crate) fn slot_start_ns(&self, slot: i128) -> i128 {
        let exact = slot.saturating_mul(self.mantissa);
        exact.div_euclid(self.unit()) + i128::from(exact.rem_euclid(self.unit()) != 0)
    }

    /// The period as JSON number.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The shortest time in nanoseconds that is a whole number of slots of each period, and of 100 ns; `None` when there
    /// are no periods, or their steps meet only after more than a thousand slots.
    pub(crate) fn common_step_ns(periods: &[Self]) -> Option<i128> {
        let longest = periods.iter().max_by_key(|period| period.slot_start_ns(1))?;
        let scale = periods.iter().map(|period| period.scale).max()?;
        let unit = i128::pow(10, scale);
        let mut step = SHORTEST_NS * unit;
        for period in periods {
            let period = period.mantissa.checked_mul(i128::pow(10, scale - period.scale))?;
            step = (step / greatest_common_divisor(step, period)).checked_mul(period)?;
        }
        Some(step / unit).filter(|step_ns| *step_ns <= longest.slot_start_ns(STEP_SLOTS_MAX))
    }

    /// The token of each slot from `start_ns` to the one that holds `end_ns`; of several samples in one slot the latest,
    /// of equal times the last in order. What is `empty` takes no slot. `None` when those are more than [`SLOTS_MAX`].
    pub(crate) fn slots<'s>(
        &self,
        start_ns: i128,
        end_ns: i128,
        mut samples: Vec<(i128, &'s str)>,
        empty: &'s str,
    ) -> Option<Vec<&'s str>> {
        let count = self.slot_count(start_ns, end_ns)?;
        samples.retain(|(_, token)| *token != empty);
        samples.sort_by_key(|(at_ns, _)| *at_ns);
        let mut slots = vec![empty; count];
        for (at_ns, token) in samples {
            let slot = usize::try_from(self.slot_of(at_ns - start_ns)).ok();
            if let Some(slot) = slot.and_then(|slot| slots.get_mut(slot)) {
                *slot = token;
            }
        }
        Some(slots)
    }

    /// How many slots there are from `start_ns` to the one that holds `end_ns`; `None` when more than [`SLOTS_MAX`].
    pub(crate) fn slot_count(&self, start_ns: i128, end_ns: i128) -> Option<usize> {
        let count = usize::try_from(self.slot_of(end_ns - start_ns) + 1).ok()?;
        u64::try_from(count).is_ok_and(|count| count <= SLOTS_MAX).then_some(count)
    }

    fn unit(&self) -> i128 {
        i128::pow(10, self.scale)
    }
}

fn greatest_common_divisor(left: i128, right: i128) -> i128 {
    let (mut larger, mut smaller) = (left, right);
    while smaller != 0 {
        (larger, smaller) = (smaller, larger % smaller);
    }
    larger
}

/// JSON allows no leading zeros.
fn canonical(whole: &str, fraction: &str) -> String {
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    match fraction {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// Equal when they are the same time, however written.
impl PartialEq for SamplePeriod {
    fn eq(&self, other: &Self) -> bool {
        self.mantissa * other.unit() == other.mantissa * self.unit()
    }
}

impl fmt::Display for SamplePeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::SamplePeriod;

    #[test]
    fn fm_12_only_positive_decimals_are_periods() {
        for text in ["0", "-1", "0.0", "", ".5", "5.", "1e3", "x", "1 2", "0.00001", "1234567890123456"] {
            assert!(SamplePeriod::parse(text).is_none(), "{text}");
        }
        assert_eq!(SamplePeriod::parse("0500.50").unwrap().as_str(), "500.50");
        assert_eq!(SamplePeriod::parse("1000"), SamplePeriod::parse("1000.00"));
    }

    #[test]
    fn a_common_step_is_whole_slots_of_each_and_whole_ticks() {
        for (periods, expected) in [
            (&["1000"][..], Some(1_000_000_000)),
            (&["1000", "1500.0"], Some(3_000_000_000)),
            (&["2.777777"], Some(277_777_700)),
            (&["0.0001", "4"], Some(4_000_000)),
            (&["1000", "2.777777"], None),
            (&["2.77777777777777"], None),
            (&[], None),
        ] {
            let parsed: Vec<SamplePeriod> = periods.iter().map(|text| SamplePeriod::parse(text).unwrap()).collect();
            assert_eq!(SamplePeriod::common_step_ns(&parsed), expected, "{periods:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_start_of_a_slot_is_the_first_instant_in_it(digits in 1_000_u32.., slot in 0_i128..100_000_000) {
            let period = SamplePeriod::parse(&format!("{}.{:04}", digits / 10_000, digits % 10_000)).unwrap();
            let start = period.slot_start_ns(slot);
            proptest::prop_assert_eq!(period.slot_of(start), slot);
            proptest::prop_assert_eq!(period.slot_of(start - 1), slot - 1);
        }
    }
}
