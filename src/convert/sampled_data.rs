//! Many readings as one SampledData (rule FM-22).
//!
//! Slot k covers the times from `start + k * period` up to the next slot. Times are nanoseconds since 1970 here, because
//! the start of a slot need not be a time that anyone measured at.

use super::content::{Boundary, Point};
use super::json_text::write_text;
use super::reading::ConversionFailure;
use crate::mapping::{SLOTS_MAX, SamplePeriod};

/// The slot without a value.
pub(super) const EMPTY: &str = "E";

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
    period.slots(start_ns, end_ns, samples, EMPTY).ok_or_else(|| too_long(boundary))
}

/// How many slots a boundary has.
///
/// # Errors
/// As `slots`.
pub(super) fn slot_count(boundary: Boundary, period: &SamplePeriod) -> Result<usize, ConversionFailure> {
    let count = period.slot_count(boundary.start.as_nanosecond(), boundary.end.as_nanosecond());
    count.ok_or_else(|| too_long(boundary))
}

fn too_long(boundary: Boundary) -> ConversionFailure {
    let reason = format!("{} to {} has more than {SLOTS_MAX} samples", boundary.start, boundary.end);
    ConversionFailure::not_supported(reason)
}

/// Appends the tokens as a JSON string.
pub(super) fn write_stream<'s>(out: &mut String, tokens: impl IntoIterator<Item = &'s str>) {
    let tokens = tokens.into_iter();
    out.reserve(tokens.size_hint().0 * 3 + 2);
    out.push('"');
    for (index, token) in tokens.enumerate() {
        if index > 0 {
            out.push(' ');
        }
        // Stored tokens of others may hold anything.
        write_text(out, token);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::content::Boundary;
    use super::{samples_of, slots};
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
}
