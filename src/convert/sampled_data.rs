//! Many readings as one SampledData, and back (rules FM-22 and OB-16 to OB-19).
//!
//! Slot k covers the times from `start + k * period` up to the next slot. Times are nanoseconds since 1970 here, because
//! the start of a slot need not be a time that anyone measured at.

use jiff::Timestamp;

use super::content::{Boundary, Point};
use super::reading::ConversionFailure;
use crate::mapping::{SLOTS_MAX, SamplePeriod};

/// The slot without a value.
const EMPTY: &str = "E";

/// A sample: nanoseconds since 1970 and the token.
pub(super) type Sample<'s> = (i128, &'s str);

/// Readings as samples.
pub(super) fn samples_of<'s>(points: &[Point<'s>]) -> Vec<Sample<'s>> {
    points.iter().map(|(at, token)| (at.as_nanosecond(), *token)).collect()
}

/// The token of each slot of a boundary; of several samples in one slot the latest, of equal times the last in order.
///
/// # Errors
/// `NotSupportedException` when the boundary has more than [`SLOTS_MAX`] slots.
pub(super) fn slots<'s>(
    boundary: Boundary,
    period: &SamplePeriod,
    samples: Vec<Sample<'s>>,
) -> Result<Vec<&'s str>, ConversionFailure> {
    let (start_ns, end_ns) = (boundary.start.as_nanosecond(), boundary.end.as_nanosecond());
    period.slots(start_ns, end_ns, samples, EMPTY).ok_or_else(|| {
        let reason = format!("{} to {} has more than {SLOTS_MAX} samples", boundary.start, boundary.end);
        ConversionFailure::not_supported(reason)
    })
}

/// The samples of a stored stream, empty slots left out.
pub(super) fn decode<'s>(stream: &'s str, start: Timestamp, period: &SamplePeriod) -> Vec<Sample<'s>> {
    let tokens = (0_i128..).zip(stream.split_ascii_whitespace());
    let occupied = tokens.filter(|(_, token)| *token != EMPTY);
    occupied.map(|(slot, token)| (start.as_nanosecond() + period.slot_start_ns(slot), token)).collect()
}

/// Appends the tokens as a JSON string; tokens have nothing to escape.
pub(super) fn write_stream(out: &mut String, slots: &[&str]) {
    out.reserve(slots.len() * 3 + 2);
    out.push('"');
    for (index, token) in slots.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(token);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::content::Boundary;
    use super::{decode, samples_of, slots};
    use crate::mapping::SamplePeriod;
    use crate::model::group::{Period, Span};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn boundary(start: &str, end: &str) -> Boundary {
        Boundary { start: at(start), end: at(end) }
    }

    #[track_caller]
    fn check(boundary: Boundary, period: &str, points: &[(&str, &str)], expected: &str) {
        let points: Vec<(Timestamp, &str)> = points.iter().map(|(time, token)| (at(time), *token)).collect();
        let period = SamplePeriod::parse(period).unwrap();
        assert_eq!(slots(boundary, &period, samples_of(&points)).unwrap().join(" "), expected);
    }

    #[test]
    fn fm_22_each_slot_holds_its_latest_value_or_e() {
        check(
            boundary("2024-03-02T07:00:00Z", "2024-03-02T07:00:03Z"),
            "1000",
            &[
                ("2024-03-02T07:00:00.9Z", "61"),
                ("2024-03-02T07:00:00Z", "60"),
                ("2024-03-02T07:00:02.9999999Z", "62"),
                ("2024-03-02T07:00:03Z", "63"),
            ],
            "61 E 62 63",
        );
    }

    #[test]
    fn fm_22_slots_by_period() {
        for (period, sample_period, count) in
            [(Period::HOUR, "30000", 120), (Period::DAY, "60000", 1440), (Period::HOUR, "3600000", 1)]
        {
            let Span::Bucket { start, end } = period.span(at("2024-03-02T07:15:00Z")) else {
                panic!("{period:?} has edges");
            };
            let slots =
                slots(Boundary { start, end }, &SamplePeriod::parse(sample_period).unwrap(), Vec::new()).unwrap();
            assert_eq!(slots.len(), count, "{period:?} {sample_period}");
        }
        check(boundary("2024-03-02T07:00:00Z", "2024-03-02T07:00:00Z"), "1000", &[("2024-03-02T07:00:00Z", "1")], "1");
    }

    #[test]
    fn slots_have_a_bound() {
        let years = boundary("2000-01-01T00:00:00Z", "2024-01-01T00:00:00Z");
        let failure = slots(years, &SamplePeriod::parse("1").unwrap(), Vec::new()).unwrap_err();
        assert_eq!(failure.code, "NotSupportedException");
    }

    proptest::proptest! {
        #[test]
        fn what_is_decoded_encodes_to_the_same(tokens in proptest::collection::vec("E|U|L|-?[1-9][0-9]{0,3}(\\.[0-9]{1,2})?", 1..50), micros in 100_u32..5_000_000) {
            let start = at("2024-03-02T07:00:00Z");
            let period = SamplePeriod::parse(&format!("{}.{:03}", micros / 1000, micros % 1000)).unwrap();
            let last = i128::try_from(tokens.len()).unwrap() - 1;
            let end = Timestamp::from_nanosecond(start.as_nanosecond() + period.slot_start_ns(last)).unwrap();
            let stream = tokens.join(" ");
            let samples = decode(&stream, start, &period);
            let encoded = slots(Boundary { start, end }, &period, samples).unwrap().join(" ");
            proptest::prop_assert_eq!(encoded, stream);
        }
    }
}
