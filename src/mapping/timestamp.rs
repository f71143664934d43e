//! Texts that are dates and times (rules DM-43 to DM-46).
//!
//! Times are UTC instants kept to 100 ns. A text without zone is UTC. Numbers and texts of digits are no times: nobody
//! could tell seconds from milliseconds (DM-44).

use std::borrow::Cow;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::Offset;
use jiff::{SignedDuration, Span, Timestamp};

/// The instant a text names, in any of the forms of DM-43.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    iso(text).or_else(|| epoch(text)).or_else(|| month_first(text)).or_else(|| english(text))
}

/// A text that names an instant, in the form of a FHIR dateTime. A date has no instant, so it stays a date.
pub(crate) fn fhir_date_time(text: &str) -> Option<Cow<'_, str>> {
    /// Length of `yyyy-MM-dd`.
    const DATE_LEN: usize = 10;
    let text = text.trim();
    let at = parse(text)?;
    let is_date = text.len() == DATE_LEN && text.as_bytes().get(4) == Some(&b'-');
    Some(if is_date { Cow::Borrowed(text) } else { Cow::Owned(at.to_string()) })
}

/// ISO 8601: a date, or a date-time with `T` or a space.
pub(super) fn iso(text: &str) -> Option<Timestamp> {
    let mut cursor = Cursor(text.as_bytes());
    let year = cursor.exactly(4)?;
    cursor.byte(b'-')?;
    let month = cursor.exactly(2)?;
    cursor.byte(b'-')?;
    let date = date(year, month, cursor.exactly(2)?)?;
    if cursor.is_at_end() {
        return instant(date, Clock::default(), Zone::Utc);
    }
    cursor.byte(b'T').or_else(|| cursor.byte(b' '))?;
    let clock = cursor.clock(Hours::TwoDigits)?;
    let zone = cursor.zone()?;
    cursor.is_at_end().then(|| instant(date, clock, zone)).flatten()
}

/// `/Date(<milliseconds>)/`; an offset after the milliseconds says where, not when.
fn epoch(text: &str) -> Option<Timestamp> {
    let inside = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let sign = inside.len() - inside.trim_start_matches(['-', '+']).len();
    let end = inside.get(sign..)?.find(['+', '-']).map_or(inside.len(), |offset| sign + offset);
    let milliseconds: i64 = inside.get(..end)?.parse().ok()?;
    Timestamp::from_millisecond(milliseconds).ok()
}

/// `MM/dd/yyyy` with an optional time.
fn month_first(text: &str) -> Option<Timestamp> {
    let mut cursor = Cursor(text.as_bytes());
    let month = cursor.up_to(2)?;
    cursor.byte(b'/')?;
    let day = cursor.up_to(2)?;
    cursor.byte(b'/')?;
    let date = date(cursor.exactly(4)?, month, day)?;
    rest_of_day(cursor, date)
}

/// `1 Feb 2020 10:00 PM`, `Feb 1, 2020`, and RFC 1123 with its day of the week.
fn english(text: &str) -> Option<Timestamp> {
    let mut cursor = Cursor(text.as_bytes());
    let start = cursor.0;
    let weekday = weekday(cursor.word());
    if weekday.is_some() {
        cursor.skip(b',');
        cursor.skip_spaces();
    } else {
        cursor.0 = start;
    }
    let (day, month) = if cursor.0.first()?.is_ascii_digit() {
        let day = cursor.up_to(2)?;
        cursor.skip_spaces();
        (day, month(cursor.word())?)
    } else {
        let month = month(cursor.word())?;
        cursor.skip_spaces();
        (cursor.up_to(2)?, month)
    };
    cursor.skip(b',');
    cursor.skip_spaces();
    let date = date(cursor.exactly(4)?, month, day)?;
    if weekday.is_some_and(|weekday| weekday != date.weekday()) {
        return None;
    }
    rest_of_day(cursor, date)
}

fn rest_of_day(mut cursor: Cursor<'_>, date: Date) -> Option<Timestamp> {
    if cursor.is_at_end() {
        return instant(date, Clock::default(), Zone::Utc);
    }
    cursor.byte(b' ')?;
    let clock = cursor.clock(Hours::OneOrTwoDigits)?;
    let zone = cursor.zone()?;
    cursor.is_at_end().then(|| instant(date, clock, zone)).flatten()
}

/// Names are English, in full or their first three letters.
fn named<const N: usize>(word: &[u8], names: [&str; N]) -> Option<usize> {
    names.iter().position(|name| {
        let short = name.get(..3).is_some_and(|short| word.eq_ignore_ascii_case(short.as_bytes()));
        short || word.eq_ignore_ascii_case(name.as_bytes())
    })
}

fn month(word: &[u8]) -> Option<i64> {
    let names = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    i64::try_from(named(word, names)? + 1).ok()
}

fn weekday(word: &[u8]) -> Option<Weekday> {
    let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let number = i8::try_from(named(word, names)? + 1).ok()?;
    Weekday::from_monday_one_offset(number).ok()
}

fn date(year: i64, month: i64, day: i64) -> Option<Date> {
    let year = i16::try_from(year).ok().filter(|year| *year > 0)?;
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// A time of day; `next_day` is set by `24:00:00`.
#[derive(Clone, Copy, Default)]
struct Clock {
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
}

#[derive(Clone, Copy)]
enum Zone {
    Utc,
    /// Seconds east of UTC.
    Offset(i64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hours {
    TwoDigits,
    OneOrTwoDigits,
}

fn instant(date: Date, clock: Clock, zone: Zone) -> Option<Timestamp> {
    let next_day = clock.hour == 24;
    if next_day && (clock.minute, clock.second, clock.nanosecond) != (0, 0, 0) {
        return None;
    }
    let hour = if next_day { 0 } else { clock.hour };
    let time =
        Time::new(i8::try_from(hour).ok()?, i8::try_from(clock.minute).ok()?, i8::try_from(clock.second).ok()?, 0);
    let local = DateTime::from_parts(date, time.ok()?);
    let local = if next_day { local.checked_add(Span::new().days(1)).ok()? } else { local };
    let utc = Offset::UTC.to_timestamp(local).ok()?;
    let utc = utc.checked_add(SignedDuration::from_nanos(clock.nanosecond)).ok()?;
    match zone {
        Zone::Utc => Some(utc),
        Zone::Offset(seconds) => utc.checked_sub(SignedDuration::from_secs(seconds)).ok(),
    }
}

/// What is left of a text.
struct Cursor<'t>(&'t [u8]);

impl<'t> Cursor<'t> {
    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[wanted])?;
        Some(())
    }

    fn skip(&mut self, unwanted: u8) {
        self.0 = self.0.strip_prefix(&[unwanted]).unwrap_or(self.0);
    }

    fn skip_spaces(&mut self) {
        while self.byte(b' ').is_some() {}
    }

    fn word(&mut self) -> &'t [u8] {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (word, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        word
    }

    fn digits(&self) -> usize {
        self.0.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn exactly(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
    }

    fn up_to(&mut self, count: usize) -> Option<i64> {
        let digits = self.digits().min(count);
        if digits == 0 { None } else { self.exactly(digits) }
    }

    /// `HH:mm[:ss[.fraction]]`, with `AM` or `PM` where hours may have one digit.
    fn clock(&mut self, hours: Hours) -> Option<Clock> {
        let hour = match hours {
            Hours::TwoDigits => self.exactly(2)?,
            Hours::OneOrTwoDigits => self.up_to(2)?,
        };
        let mut clock = Clock { hour, ..Clock::default() };
        self.byte(b':')?;
        clock.minute = self.exactly(2)?;
        let has_seconds = self.byte(b':').is_some();
        if has_seconds {
            clock.second = self.exactly(2)?;
            if self.byte(b'.').is_some() {
                clock.nanosecond = self.fraction()?;
            }
        }
        if clock.hour == 24 && !has_seconds {
            return None;
        }
        if hours == Hours::OneOrTwoDigits {
            clock.hour = self.half_of_day(clock.hour)?;
        }
        Some(clock)
    }

    /// Nanoseconds of a fraction, rounded to 100 ns.
    fn fraction(&mut self) -> Option<i64> {
        let count = self.digits();
        let ticks = self.exactly(count.min(7)).filter(|_| count > 0)?;
        let scale = i64::pow(10, u32::try_from(7_usize.saturating_sub(count)).ok()?);
        let rounds_up = self.0.first().is_some_and(|byte| (b'5'..=b'9').contains(byte));
        let (_, rest) = self.0.split_at_checked(count.saturating_sub(7))?;
        self.0 = rest;
        Some((ticks * scale + i64::from(rounds_up)) * 100)
    }

    fn half_of_day(&mut self, hour: i64) -> Option<i64> {
        let start = self.0;
        self.skip_spaces();
        let afternoon = match self.word() {
            half if half.eq_ignore_ascii_case(b"AM") => false,
            half if half.eq_ignore_ascii_case(b"PM") => true,
            _ => {
                self.0 = start;
                return Some(hour);
            }
        };
        match (hour, afternoon) {
            (12, false) => Some(0),
            (12, true) => Some(12),
            (1..=11, false) => Some(hour),
            (1..=11, true) => Some(hour + 12),
            _ => None,
        }
    }

    /// `Z`, `GMT`, `UTC`, `+hh:mm`, `+hhmm`, `+hh`, or nothing.
    fn zone(&mut self) -> Option<Zone> {
        self.skip_spaces();
        let sign = match self.0.first() {
            None => return Some(Zone::Utc),
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return matches!(self.word(), b"Z" | b"GMT" | b"UTC").then_some(Zone::Utc),
        };
        self.exactly_one();
        let hours = self.exactly(2)?;
        self.skip(b':');
        let minutes = if self.is_at_end() { 0 } else { self.exactly(2)? };
        let within = hours <= 14 && minutes < 60;
        within.then_some(Zone::Offset(sign * (hours * 60 + minutes) * 60))
    }

    fn exactly_one(&mut self) {
        self.0 = self.0.split_first().map_or(self.0, |(_, rest)| rest);
    }
}

/// Appends `2024-03-02T07:15:00.2500000Z`: always seven digits of fraction (FM-16).
pub(crate) fn write_seven_digits(out: &mut String, at: Timestamp) {
    use std::fmt::Write;

    let utc = Offset::UTC.to_datetime(at);
    let ticks = utc.subsec_nanosecond() / 100;
    let written = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{ticks:07}Z",
        utc.year(),
        utc.month(),
        utc.day(),
        utc.hour(),
        utc.minute(),
        utc.second(),
    );
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::{parse, write_seven_digits};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut written = String::new();
        write_seven_digits(&mut written, parse(text).unwrap_or_else(|| panic!("{text} is refused")));
        assert_eq!(written, expected, "{text}");
    }

    #[track_caller]
    fn check_refused(text: &str) {
        assert_eq!(parse(text), None, "{text}");
    }

    #[test]
    fn dm_43_iso_date_times() {
        let quarter_past = "2024-03-02T07:15:00.0000000Z";
        for text in [
            "2024-03-02T07:15:00Z",
            "2024-03-02 07:15:00",
            "2024-03-02T07:15",
            "2024-03-02T07:15Z",
            "  2024-03-02T07:15:00.0Z \n",
            "2024-03-02T07:15:00.00000000000000Z",
        ] {
            check(text, quarter_past);
        }
    }

    #[test]
    fn dm_43_a_date_alone_is_midnight() {
        check("2024-03-02", "2024-03-02T00:00:00.0000000Z");
    }

    #[test]
    fn dm_43_american_dates_have_the_month_first() {
        check("02/01/2020", "2020-02-01T00:00:00.0000000Z");
        check("2/1/2020 10:00", "2020-02-01T10:00:00.0000000Z");
        check("02/01/2020 10:00:30 PM", "2020-02-01T22:00:30.0000000Z");
        check_refused("31/01/2020");
    }

    #[test]
    fn dm_43_english_month_names_and_rfc_1123() {
        check("1 Feb 2020 10:00 PM", "2020-02-01T22:00:00.0000000Z");
        check("1 February 2020", "2020-02-01T00:00:00.0000000Z");
        check("Feb 1, 2020 12:00 AM", "2020-02-01T00:00:00.0000000Z");
        check("Sat, 01 Feb 2020 22:46:01 GMT", "2020-02-01T22:46:01.0000000Z");
        check_refused("Sun, 01 Feb 2020 22:46:01 GMT");
    }

    #[test]
    fn dm_43_milliseconds_in_the_old_javascript_form() {
        check("/Date(1709363700250)/", "2024-03-02T07:15:00.2500000Z");
        check("/Date(-1000)/", "1969-12-31T23:59:59.0000000Z");
        check("/Date(1709363700250+0200)/", "2024-03-02T07:15:00.2500000Z");
    }

    #[test]
    fn dm_43_hour_24_only_as_midnight() {
        check("2024-02-29T24:00:00", "2024-03-01T00:00:00.0000000Z");
        for text in ["2024-02-29T24:00:01", "2024-02-29T24:30:00", "2024-02-29T25:00:00", "2024-02-29T24:00"] {
            check_refused(text);
        }
    }

    #[test]
    fn dm_43_fractions_are_kept_to_100_ns_and_rounded() {
        check("2024-03-02T07:15:00.1234567Z", "2024-03-02T07:15:00.1234567Z");
        check("2024-03-02T07:15:00.12345674Z", "2024-03-02T07:15:00.1234567Z");
        check("2024-03-02T07:15:00.12345675Z", "2024-03-02T07:15:00.1234568Z");
        check("2024-03-02T07:15:59.99999995Z", "2024-03-02T07:16:00.0000000Z");
        check("2024-03-02T07:15:00.25Z", "2024-03-02T07:15:00.2500000Z");
    }

    #[test]
    fn dm_43_a_time_of_day_is_no_time() {
        check_refused("10:30");
    }

    #[test]
    fn dm_44_digits_are_no_time() {
        for text in ["1709363700", "20240302", "2024", "0"] {
            check_refused(text);
        }
    }

    #[test]
    fn dm_45_offsets_are_applied() {
        check("2024-03-02T09:00:00+02:00", "2024-03-02T07:00:00.0000000Z");
        check("2024-03-02T09:00:00+0200", "2024-03-02T07:00:00.0000000Z");
        check("2024-03-02T02:00:00-05", "2024-03-02T07:00:00.0000000Z");
    }

    #[test]
    fn dm_46_what_is_no_date_is_refused() {
        for text in [
            "",
            " ",
            "soon",
            "2024-02-30",
            "2024-13-01",
            "2024-03-02T07:60",
            "2024-03-02T07:15:00+99:00",
            "2024-03-02x",
            "0000-01-01",
            "2024-03-02T07:15:00.Z",
        ] {
            check_refused(text);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            parse(&text);
        }

        #[test]
        fn what_is_written_reads_back(ticks in 0_i64..i64::MAX / 100) {
            let at = jiff::Timestamp::from_nanosecond(i128::from(ticks) * 100).unwrap();
            let mut written = String::new();
            write_seven_digits(&mut written, at);
            proptest::prop_assert_eq!(parse(&written), Some(at));
        }
    }
}
