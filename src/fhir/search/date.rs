//! Date parameters: everything is an interval of its own precision, <https://hl7.org/fhir/R4/search.html#date>.
//!
//! `2024-01` is the whole month, `2024-01-05T10:00:00Z` the whole second. Where the text names no offset, UTC is meant.

use jiff::civil;

use super::error::BadValue;
use super::prefix::split_prefix;
use crate::fhir::store::{Condition, IndexValue, Relation, Test};
use crate::json::Node;

/// The microseconds since 1970 that a date covers, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    /// First microsecond.
    pub(crate) start: i64,
    /// Last microsecond.
    pub(crate) end: i64,
}

/// How a data type holds a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A date, dateTime or instant.
    Point,
    /// `start` and `end`, each of which may be open.
    Period,
    /// The outer limits of the events, or of the bounds.
    Timing,
}

impl Form {
    /// The form of a data type; `None` if it is no time.
    pub(super) fn of(data_type: &str) -> Option<Self> {
        Some(match data_type {
            "date" | "dateTime" | "instant" => Self::Point,
            "Period" => Self::Period,
            "Timing" => Self::Timing,
            _ => return None,
        })
    }

    /// The interval of one element.
    pub(super) fn extract(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        let interval = match self {
            Self::Point => point(node),
            Self::Period => period(node).or_else(|| reversed(node)),
            Self::Timing => timing(node),
        };
        if let Some(Interval { start, end }) = interval {
            emit(IndexValue::Date { start, end });
        }
    }
}

fn point(node: &Node<'_>) -> Option<Interval> {
    interval(node.as_str()?)
}

/// What a Period covers; an end that is missing is open. `None` when both are, or what is there is no date.
pub(crate) fn period(node: &Node<'_>) -> Option<Interval> {
    let start = node.member("start").map(point);
    let end = node.member("end").map(point);
    let (start, end) = match (start, end) {
        (None, None) | (Some(None), _) | (_, Some(None)) => return None,
        (start, end) => (start.flatten(), end.flatten()),
    };
    let interval =
        Interval { start: start.map_or(i64::MIN, |start| start.start), end: end.map_or(i64::MAX, |end| end.end) };
    (interval.start <= interval.end).then_some(interval)
}

/// What lies between the ends of a Period that ends before it starts. The JSON format does not keep that out, and a device
/// whose clock is set back sends it: what it measured has to be found.
fn reversed(node: &Node<'_>) -> Option<Interval> {
    let (start, end) = (point(node.member("start")?)?, point(node.member("end")?)?);
    Some(Interval { start: end.start, end: start.end })
}

fn timing(node: &Node<'_>) -> Option<Interval> {
    let events = node.member("event").map_or(&[][..], Node::elements);
    let outer = events
        .iter()
        .filter_map(point)
        .reduce(|outer, event| Interval { start: outer.start.min(event.start), end: outer.end.max(event.end) });
    outer.or_else(|| period(node.member("repeat")?.member("boundsPeriod")?))
}

/// A date with an optional prefix, against intervals of the index.
pub(super) fn test(value: &str) -> Result<Test, BadValue> {
    let (relation, Interval { start, end }) = searched(value)?;
    Ok(Test::Date { relation, start, end })
}

/// A period, given as a date, that has to have some time in common with intervals of the index.
pub(super) fn overlap(value: &str) -> Result<Test, BadValue> {
    let Interval { start, end } = interval(value).ok_or(BadValue { expected: "a date without a prefix" })?;
    Ok(Test::Date { relation: Relation::Overlaps, start, end })
}

/// A date with an optional prefix, against the time of the last change.
pub(super) fn last_updated(value: &str) -> Result<Condition, BadValue> {
    let (relation, Interval { start, end }) = searched(value)?;
    let between = |start, end| Condition::LastUpdated { start, end };
    Ok(match relation {
        Relation::Within | Relation::Overlaps => between(start, end),
        Relation::NotWithin => Condition::Not(Box::new(between(start, end))),
        Relation::Above | Relation::StartsAfter => between(end.saturating_add(1), i64::MAX),
        Relation::Below | Relation::EndsBefore => between(i64::MIN, start.saturating_sub(1)),
        Relation::AtLeast => between(start, i64::MAX),
        Relation::AtMost => between(i64::MIN, end),
    })
}

/// The times of which a date with an optional prefix speaks, as microseconds since 1970, both ends inclusive: `2024` the
/// year, `ge2024` the year and all behind it. `None` for what is no date, and for `ne` and `ap`, which are no such span.
pub(crate) fn span(value: &str) -> Option<(i64, i64)> {
    let (relation, Interval { start, end }) = searched(value).ok()?;
    Some(match relation {
        Relation::Within => (start, end),
        Relation::Above | Relation::StartsAfter => (end.saturating_add(1), i64::MAX),
        Relation::Below | Relation::EndsBefore => (i64::MIN, start.saturating_sub(1)),
        Relation::AtLeast => (start, i64::MAX),
        Relation::AtMost => (i64::MIN, end),
        Relation::NotWithin | Relation::Overlaps => return None,
    })
}

/// With `ap` the interval is widened by its own length to either side: a day is about right if it is the day before.
fn searched(value: &str) -> Result<(Relation, Interval), BadValue> {
    let (relation, text) = split_prefix(value);
    let expected = if text.contains(' ') {
        "a date without a space (a `+` in a URL is written `%2B`)"
    } else {
        "a date (`2024`, `2024-01`, `2024-01-05`, `2024-01-05T10:00:00Z`) with an optional prefix"
    };
    let Interval { start, end } = interval(text).ok_or(BadValue { expected })?;
    let slack = match relation {
        Relation::Overlaps => end.saturating_sub(start).saturating_add(1),
        Relation::Within
        | Relation::NotWithin
        | Relation::Above
        | Relation::Below
        | Relation::AtLeast
        | Relation::AtMost
        | Relation::StartsAfter
        | Relation::EndsBefore => 0,
    };
    Ok((relation, Interval { start: start.saturating_sub(slack), end: end.saturating_add(slack) }))
}

const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// The interval of a date, dateTime or instant as R4 writes them, or of a minute, as searches may.
pub(crate) fn interval(text: &str) -> Option<Interval> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    match time {
        Some(time) => interval_of_time(full_date(date)?, time),
        None => interval_of_date(date),
    }
}

fn interval_of_date(text: &str) -> Option<Interval> {
    let parts: Vec<&str> = text.split('-').collect();
    let (first, next) = match *parts.as_slice() {
        [year] => {
            let year = digits(year, 4)?;
            (date(year, 1, 1)?, after_year(year)?)
        }
        [year, month] => {
            let (year, month) = (digits(year, 4)?, digits(month, 2)?);
            let next = if month == 12 { after_year(year)? } else { micros(date(year, month + 1, 1)?)? };
            (date(year, month, 1)?, next)
        }
        _ => {
            let day = full_date(text)?;
            return days(day);
        }
    };
    Some(Interval { start: micros(first)?, end: next - 1 })
}

const MICROS_PER_DAY: i64 = 24 * 60 * MICROS_PER_MINUTE;

fn days(day: civil::Date) -> Option<Interval> {
    let start = micros(day)?;
    Some(Interval { start, end: start + MICROS_PER_DAY - 1 })
}

/// The first microsecond of the year behind; the year 9999 has one too.
fn after_year(year: i16) -> Option<i64> {
    days(date(year, 12, 31)?).map(|last_day| last_day.end + 1)
}

fn full_date(text: &str) -> Option<civil::Date> {
    let mut parts = text.splitn(3, '-');
    let year = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2)?;
    date(year, month, digits(parts.next()?, 2)?)
}

fn date(year: i16, month: i16, day: i16) -> Option<civil::Date> {
    civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok().filter(|_| year > 0)
}

const EPOCH: civil::Date = civil::Date::constant(1970, 1, 1);

/// Midnight, also of the days at the end of the year 9999 that a jiff `Timestamp` does not reach: records say so for "ever".
fn micros(day: civil::Date) -> Option<i64> {
    day.duration_since(EPOCH).as_secs().checked_mul(MICROS_PER_SECOND)
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f...`, with `Z`, an offset, or nothing behind.
fn interval_of_time(day: civil::Date, text: &str) -> Option<Interval> {
    let (clock, offset_minutes) = match text.find(['Z', '+', '-']) {
        Some(at) => {
            let (clock, offset) = text.split_at(at);
            (clock, offset_minutes(offset)?)
        }
        None => (text, 0),
    };
    let mut parts = clock.splitn(3, ':');
    let hour = i64::from(bounded(parts.next()?, 23)?);
    let minute = i64::from(bounded(parts.next()?, 59)?);
    let (within_minute, length) = match parts.next() {
        Some(seconds) => within_minute(seconds)?,
        None => (0, MICROS_PER_MINUTE),
    };
    let minutes = hour * 60 + minute - offset_minutes;
    let start = micros(day)? + minutes * MICROS_PER_MINUTE + within_minute;
    Some(Interval { start, end: start + length - 1 })
}

fn offset_minutes(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = unsigned.split_once(':')?;
    let minutes = i64::from(bounded(hours, 14)?) * 60 + i64::from(bounded(minutes, 59)?);
    Some(sign * minutes)
}

/// Start within the minute and length, in microseconds. A leap second counts as the last second of its minute; digits
/// beyond the microsecond are dropped.
fn within_minute(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if text.contains('.') && (fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let seconds = i64::from(bounded(whole, 60)?.min(59));
    let (mut start, mut length) = (seconds * MICROS_PER_SECOND, MICROS_PER_SECOND);
    for digit in fraction.bytes().take(6) {
        length /= 10;
        start += i64::from(digit - b'0') * length;
    }
    Some((start, length))
}

fn bounded(text: &str, most: i16) -> Option<i16> {
    digits(text, 2).filter(|number| *number <= most)
}

fn digits(text: &str, count: usize) -> Option<i16> {
    let are_digits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::{Form, Interval, interval, last_updated, test};
    use crate::fhir::store::{Condition, IndexValue, Relation, Test};
    use crate::json;

    fn micros(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    #[track_caller]
    fn check(text: &str, start: &str, end: &str) {
        let expected = Interval { start: micros(start), end: micros(end) };
        assert_eq!(interval(text), Some(expected), "{text}");
    }

    #[test]
    fn a_date_covers_what_its_precision_leaves_open() {
        check("2024", "2024-01-01T00:00:00Z", "2024-12-31T23:59:59.999999Z");
        check("2024-02", "2024-02-01T00:00:00Z", "2024-02-29T23:59:59.999999Z");
        check("2024-12", "2024-12-01T00:00:00Z", "2024-12-31T23:59:59.999999Z");
        check("2024-02-29", "2024-02-29T00:00:00Z", "2024-02-29T23:59:59.999999Z");
        check("2024-02-29T10:00", "2024-02-29T10:00:00Z", "2024-02-29T10:00:59.999999Z");
        check("2024-02-29T10:00:00Z", "2024-02-29T10:00:00Z", "2024-02-29T10:00:00.999999Z");
        check("2024-02-29T10:00:00.5Z", "2024-02-29T10:00:00.5Z", "2024-02-29T10:00:00.599999Z");
        check("2024-02-29T10:00:00.1234567Z", "2024-02-29T10:00:00.123456Z", "2024-02-29T10:00:00.123456Z");
    }

    #[test]
    fn the_last_day_of_all_is_a_day() {
        let day = interval("9999-12-31").unwrap();
        assert_eq!(day.end - day.start, super::MICROS_PER_DAY - 1);
        assert_eq!(interval("9999").unwrap().end, day.end);
        assert_eq!(interval("9999-12").unwrap().end, day.end);
    }

    #[test]
    fn offsets_move_the_interval() {
        check("2024-01-01T00:30:00+01:00", "2023-12-31T23:30:00Z", "2023-12-31T23:30:00.999999Z");
        check("2024-01-01T00:30:00-05:30", "2024-01-01T06:00:00Z", "2024-01-01T06:00:00.999999Z");
    }

    #[test]
    fn a_leap_second_is_the_last_second_of_its_minute() {
        check("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z", "2016-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "24",
            "2024-",
            "2024-13",
            "2024-02-30",
            "2024-1-1",
            "0000",
            "2024-01-01T",
            "2024-01-01T25:00:00Z",
            "2024-01-01T10:60:00Z",
            "2024-01-01T10:00:00.Z",
            "2024-01-01T10:00:00+25:00",
            "2024-01-01T10:00:00+0100",
            "2024-01-01 10:00",
            "2024-01T10:00Z",
            "-2024",
            "2024-01-01T10:00:00Zx",
            "２０２４",
            "2024-01-01T10:00:00 01:00",
        ] {
            assert_eq!(interval(text), None, "{text}");
        }
    }

    #[track_caller]
    fn check_extracted(data_type: &str, json: &str, expected: Option<(i64, i64)>) {
        let mut found = Vec::new();
        Form::of(data_type).unwrap().extract(&json::parse(json.as_bytes()).unwrap(), &mut |value| found.push(value));
        let expected: Vec<_> = expected.into_iter().map(|(start, end)| IndexValue::Date { start, end }).collect();
        assert_eq!(found, expected, "{json}");
    }

    #[test]
    fn a_period_may_be_open_and_its_ends_have_a_precision() {
        let (start, end) = (micros("2024-01-01T00:00:00Z"), micros("2024-01-31T23:59:59.999999Z"));
        check_extracted("Period", r#"{"start":"2024-01-01","end":"2024-01"}"#, Some((start, end)));
        check_extracted("Period", r#"{"start":"2024-01-01"}"#, Some((start, i64::MAX)));
        check_extracted("Period", r#"{"end":"2024-01"}"#, Some((i64::MIN, end)));
        check_extracted("Period", "{}", None);
        check_extracted("Period", r#"{"start":"nonsense","end":"2024"}"#, None);
        check_extracted(
            "Period",
            r#"{"start":"2024-01","end":"2024-01-01T00:00:00Z"}"#,
            Some((start, start + 999_999)),
        );
        check_extracted("Period", r#"{"start":"2024-01-31","end":"2024-01-01"}"#, Some((start, end)));
    }

    #[test]
    fn a_timing_has_the_outer_limits_of_its_events() {
        let (start, end) = (micros("2024-01-01T00:00:00Z"), micros("2024-01-31T23:59:59.999999Z"));
        check_extracted("Timing", r#"{"event":["2024-01-31","2024-01-01"]}"#, Some((start, end)));
        check_extracted(
            "Timing",
            r#"{"repeat":{"boundsPeriod":{"start":"2024-01","end":"2024-01"}}}"#,
            Some((start, end)),
        );
        check_extracted("Timing", r#"{"repeat":{"frequency":1}}"#, None);
    }

    #[test]
    fn a_prefix_keeps_the_interval_of_the_searched_precision() {
        let (start, end) = (micros("2024-01-01T00:00:00Z"), micros("2024-01-31T23:59:59.999999Z"));
        assert_eq!(test("ge2024-01"), Ok(Test::Date { relation: Relation::AtLeast, start, end }));
        assert!(test("ge").is_err());
    }

    #[test]
    fn about_reaches_one_length_to_either_side() {
        let (start, end) = (micros("2024-01-01T00:00:00Z"), micros("2024-01-03T23:59:59.999999Z"));
        assert_eq!(test("ap2024-01-02"), Ok(Test::Date { relation: Relation::Overlaps, start, end }));
    }

    #[test]
    fn the_last_change_is_an_instant() {
        let (start, end) = (micros("2024-01-01T00:00:00Z"), micros("2024-01-31T23:59:59.999999Z"));
        let between = |start, end| Condition::LastUpdated { start, end };
        for (value, expected) in [
            ("2024-01", between(start, end)),
            ("ne2024-01", Condition::Not(Box::new(between(start, end)))),
            ("gt2024-01", between(end + 1, i64::MAX)),
            ("sa2024-01", between(end + 1, i64::MAX)),
            ("ge2024-01", between(start, i64::MAX)),
            ("lt2024-01", between(i64::MIN, start - 1)),
            ("le2024-01", between(i64::MIN, end)),
        ] {
            assert_eq!(last_updated(value), Ok(expected), "{value}");
        }
    }

    proptest! {
        #[test]
        fn an_instant_covers_itself_and_less_than_its_precision(
            micros in -62_135_596_800_000_000_i64..=253_402_207_200_000_000,
        ) {
            let instant = Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(interval(&format!("{instant:.6}")), Some(Interval { start: micros, end: micros }));
        }
    }
}
