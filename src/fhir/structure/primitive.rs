//! The primitive types and what their values look like (<https://hl7.org/fhir/R4/datatypes.html#primitive>).

use std::ops::RangeInclusive;

use super::xhtml;
use crate::json::Node;
use crate::r4::id::is_id;

/// Largest number of `integer` and its kinds; the smallest is one below its negative.
const INTEGER_MAX: i64 = i32::MAX as i64;

/// A primitive type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Primitive {
    Base64Binary,
    Boolean,
    Code,
    Date,
    DateTime,
    Decimal,
    Id,
    Instant,
    Integer,
    Oid,
    PositiveInt,
    /// `string` and `markdown`.
    String,
    Time,
    UnsignedInt,
    /// `uri`, `url` and `canonical`.
    Uri,
    Uuid,
    Xhtml,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Another kind of JSON value is needed; says which.
    Kind(&'static str),
    /// The text or number is not of the type; says what is.
    Value(&'static str),
}

impl Primitive {
    /// The type of this name, if it is primitive.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "base64Binary" => Self::Base64Binary,
            "boolean" => Self::Boolean,
            "code" => Self::Code,
            "date" => Self::Date,
            "dateTime" => Self::DateTime,
            "decimal" => Self::Decimal,
            "id" => Self::Id,
            "instant" => Self::Instant,
            "integer" => Self::Integer,
            "oid" => Self::Oid,
            "positiveInt" => Self::PositiveInt,
            "string" | "markdown" => Self::String,
            "time" => Self::Time,
            "unsignedInt" => Self::UnsignedInt,
            "uri" | "url" | "canonical" => Self::Uri,
            "uuid" => Self::Uuid,
            "xhtml" => Self::Xhtml,
            _ => return None,
        })
    }

    /// Whether a JSON value is one of this type.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn check(self, value: &Node<'_>) -> Result<(), Fault> {
        let (is_valid, expected) = match self.form() {
            Form::Boolean => {
                let is_boolean = matches!(value, Node::Bool(_));
                return if is_boolean { Ok(()) } else { Err(Fault::Kind("`true` or `false` without quotes")) };
            }
            Form::Number(is_valid, expected) => {
                (is_valid(value.as_number().ok_or(Fault::Kind("a number without quotes"))?), expected)
            }
            Form::Xhtml => {
                let text = value.as_str().ok_or(Fault::Kind("a string in quotes"))?;
                return xhtml::check(text).map_err(Fault::Value);
            }
            Form::Text(is_valid, expected) => {
                let text = value.as_str().ok_or(Fault::Kind("a string in quotes"))?;
                if text.is_empty() {
                    return Err(Fault::Value("text; leave the member out if there is none"));
                }
                (is_valid(text), expected)
            }
        };
        if is_valid { Ok(()) } else { Err(Fault::Value(expected)) }
    }

    fn form(self) -> Form {
        match self {
            Self::Boolean => Form::Boolean,
            // JSON writes no number that is no decimal.
            Self::Decimal => Form::Number(|_digits| true, "a number"),
            Self::Integer => Form::Number(
                |digits| is_whole(digits, -INTEGER_MAX - 1),
                "a whole number from -2147483648 to 2147483647",
            ),
            Self::UnsignedInt => Form::Number(|digits| is_whole(digits, 0), "a whole number from 0 to 2147483647"),
            Self::PositiveInt => Form::Number(|digits| is_whole(digits, 1), "a whole number from 1 to 2147483647"),
            Self::Base64Binary => {
                Form::Text(is_base64, "base64 of RFC 4648: letters, digits, `+`, `/`, padded with `=`")
            }
            Self::Code => Form::Text(is_code, "a code: no space at its ends, no two spaces side by side"),
            Self::Date => Form::Text(is_date, "a date of the calendar: `2024`, `2024-07` or `2024-07-31`"),
            Self::DateTime => Form::Text(
                |text| is_date(text) || is_instant(text),
                "a date of the calendar, or with time and zone: `2024`, `2024-07-31`, `2024-07-31T08:05:00+02:00`",
            ),
            Self::Id => Form::Text(is_id, "1 to 64 characters of A-Z, a-z, 0-9, `-` and `.`"),
            Self::Instant => {
                Form::Text(is_instant, "date, time to the second and zone: `2024-07-31T08:05:00.123+02:00`")
            }
            Self::Oid => Form::Text(is_oid, "an OID as URI: `urn:oid:1.2.3`"),
            Self::String => Form::Text(is_string, "text: more than space, without control characters"),
            Self::Time => Form::Text(is_time, "a time of day with seconds and without zone: `08:05:00`"),
            Self::Uri => Form::Text(is_uri, "a URI, which has no spaces"),
            Self::Xhtml => Form::Xhtml,
            Self::Uuid => {
                Form::Text(is_uuid, "a UUID as URI, in lower case: `urn:uuid:c757873d-ec9a-4326-a141-556f43239520`")
            }
        }
    }
}

/// What JSON value a type has, the test of its text, and what that asks for.
enum Form {
    Boolean,
    Number(fn(&str) -> bool, &'static str),
    Text(fn(&str) -> bool, &'static str),
    Xhtml,
}

/// A number without fraction and exponent from `least` to the largest.
fn is_whole(digits: &str, least: i64) -> bool {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && digits != "-0";
    is_plain && digits.parse().is_ok_and(|number: i64| (least..=INTEGER_MAX).contains(&number))
}

/// Tabs and line ends are the only control characters.
fn is_string(text: &str) -> bool {
    let is_allowed = |byte: u8| byte >= b' ' || matches!(byte, b'\t' | b'\r' | b'\n');
    text.bytes().all(is_allowed) && !text.trim().is_empty()
}

fn is_code(text: &str) -> bool {
    is_plain(text) || text.split(char::is_whitespace).all(|word| !word.is_empty())
}

fn is_uri(text: &str) -> bool {
    is_plain(text) || !text.contains(char::is_whitespace)
}

/// Whether there is nothing but visible ASCII, which is soon seen and nearly always so.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Groups of four characters, white space anywhere.
fn is_base64(text: &str) -> bool {
    let mut length = 0_usize;
    let mut padding = 0_usize;
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        match byte {
            b'=' => padding += 1,
            _ if padding == 0 && (byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')) => {}
            _ => return false,
        }
        length += 1;
    }
    length > 0 && length.is_multiple_of(4) && padding <= 2
}

fn is_oid(text: &str) -> bool {
    let Some(arcs) = text.strip_prefix("urn:oid:") else { return false };
    let is_arc = |arc: &str| is_digits(arc) && (arc == "0" || !arc.starts_with('0'));
    let mut arcs = arcs.split('.');
    arcs.next().is_some_and(|first| matches!(first, "0" | "1" | "2"))
        && arcs.clone().next().is_some()
        && arcs.all(is_arc)
}

fn is_uuid(text: &str) -> bool {
    let Some(uuid) = text.strip_prefix("urn:uuid:") else { return false };
    let is_part = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths = uuid.split('-').map(str::len);
    uuid.split('-').all(is_part) && lengths.eq([8, 4, 4, 4, 12])
}

/// A year, month or day that is in the calendar.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let year = parts.next().and_then(|part| number(part, 4, 1..=9999));
    let month = parts.next().map(|part| number(part, 2, 1..=12));
    let day = parts.next();
    match (year, month, day) {
        (Some(_), None, None) | (Some(_), Some(Some(_)), None) => true,
        (Some(year), Some(Some(month)), Some(day)) => number(day, 2, 1..=days_of(year, month)).is_some(),
        _ => false,
    }
}

fn days_of(year: u16, month: u16) -> u16 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// A day, a time of day and a zone.
fn is_instant(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let Some(zone) = time.find(['Z', '+', '-']) else { return false };
    let (Some(time), Some(zone)) = (time.get(..zone), time.get(zone..)) else { return false };
    date.len() == "2024-07-31".len() && is_date(date) && is_time(time) && is_zone(zone)
}

/// Seconds are needed; the 60th is that of a leap.
fn is_time(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut parts = whole.split(':');
    let mut next_is = |range| parts.next().is_some_and(|part| number(part, 2, range).is_some());
    next_is(0..=23) && next_is(0..=59) && next_is(0..=60) && parts.next().is_none() && fraction.is_none_or(is_digits)
}

fn is_zone(text: &str) -> bool {
    if text == "Z" {
        return true;
    }
    let offset = text.strip_prefix(['+', '-']).and_then(|offset| offset.split_once(':'));
    offset.is_some_and(|(hours, minutes)| match number(hours, 2, 0..=14) {
        Some(14) => minutes == "00",
        Some(_) => number(minutes, 2, 0..=59).is_some(),
        None => false,
    })
}

/// The number of so many digits, if it is in the range.
fn number(digits: &str, length: usize, range: RangeInclusive<u16>) -> Option<u16> {
    let number = (digits.len() == length && is_digits(digits)).then(|| digits.parse().ok())??;
    range.contains(&number).then_some(number)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
