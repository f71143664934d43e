//! Numbers as they were written, compared exactly.

use std::cmp::Ordering;

/// Most digits that a number is compared with: what fits `i128` with room for a sum.
const DIGITS_MAX: usize = 30;

/// Farthest power of ten.
const EXPONENT_MAX: i32 = 1_000;

/// `mantissa` times ten to the power of `exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    mantissa: i128,
    exponent: i32,
}

impl Decimal {
    /// A number as JSON and FHIRPath write it; `None` also for one of more digits than are compared.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, power) = text.split_once(['e', 'E']).map_or(Some((text, 0)), |(number, power)| {
            Some((number, power.strip_prefix('+').unwrap_or(power).parse::<i32>().ok()?))
        })?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        let scale = i32::try_from(fraction.len()).ok()?;
        let exponent = power.checked_sub(scale).filter(|exponent| exponent.abs() <= EXPONENT_MAX)?;
        let mantissa = digits.parse().ok().filter(|_| digits.trim_start_matches(['-', '0']).len() <= DIGITS_MAX)?;
        Some(Self { mantissa, exponent })
    }

    /// How two numbers lie; `None` when they are too far apart to be aligned and neither is zero.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        if self.mantissa.signum() != other.mantissa.signum() || self.mantissa == 0 {
            return Some(self.mantissa.signum().cmp(&other.mantissa.signum()));
        }
        let (one, other, _) = self.aligned(other)?;
        Some(one.cmp(&other))
    }

    /// The sum; `None` when it is beyond what is compared.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let (one, other, exponent) = self.aligned(other)?;
        Some(Self { mantissa: one.checked_add(other)?, exponent })
    }

    /// The same number with the other sign.
    pub(super) fn negated(self) -> Self {
        Self { mantissa: -self.mantissa, ..self }
    }

    /// The number, if it is whole and can count something.
    pub(super) fn as_count(self) -> Option<usize> {
        let power = u32::try_from(self.exponent).ok()?;
        usize::try_from(self.mantissa.checked_mul(10_i128.checked_pow(power)?)?).ok()
    }

    /// Both mantissas at the smaller exponent.
    fn aligned(self, other: Self) -> Option<(i128, i128, i32)> {
        let exponent = self.exponent.min(other.exponent);
        let at = |number: Self| {
            let power = u32::try_from(number.exponent - exponent).ok()?;
            number.mantissa.checked_mul(10_i128.checked_pow(power)?)
        };
        Some((at(self)?, at(other)?, exponent))
    }
}

impl From<usize> for Decimal {
    fn from(count: usize) -> Self {
        Self { mantissa: i128::try_from(count).unwrap_or(i128::MAX), exponent: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::{Equal, Greater, Less};

    use super::Decimal;

    #[test]
    fn numbers_are_compared_by_what_they_say() {
        let of = |text| Decimal::parse(text).unwrap();
        for (one, other, expected) in [
            ("1", "1.00", Equal),
            ("1e2", "100", Equal),
            ("-1", "1", Less),
            ("0", "0.0", Equal),
            ("0", "-1e30", Greater),
            ("0.1", "0.01", Greater),
            ("-0.1", "-0.01", Less),
            ("12345678901234567890.1", "12345678901234567890.2", Less),
        ] {
            assert_eq!(of(one).compare(of(other)), Some(expected), "{one} {other}");
        }
        assert_eq!(of("1e900").compare(of("1")), None);
        assert_eq!(of("1.5").plus(of("0.25")).unwrap().compare(of("1.75")), Some(Equal));
        assert_eq!((of("12").as_count(), of("1e1").as_count(), of("1.5").as_count()), (Some(12), Some(10), None));
    }

    #[test]
    fn what_is_no_number_or_too_long_is_none() {
        for text in ["", "a", "1.2.3", "1e", "1e99999", "--1", &"9".repeat(31), "."] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }
}
