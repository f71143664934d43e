//! Comparison of two scalars (JP-27 to JP-31). Callers have ruled out objects and arrays.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::super::timestamp;
use crate::json::Node;

/// `==`: types must agree; integers and floats compare by value (JP-27), ISO date-times by instant (JP-31).
pub(super) fn equal(left: &Node<'_>, right: &Node<'_>) -> bool {
    match (left, right) {
        (Node::String(left), Node::String(right)) if left != right => same_instant(left, right),
        _ => strictly_equal(left, right),
    }
}

/// `===`: as `==`, and strings by their text alone (JP-29).
pub(super) fn strictly_equal(left: &Node<'_>, right: &Node<'_>) -> bool {
    match (left, right) {
        (Node::Null, Node::Null) => true,
        (Node::Bool(left), Node::Bool(right)) => left == right,
        (Node::String(left), Node::String(right)) => left == right,
        (Node::Number(left), Node::Number(right)) => numbers(left, right).is_some_and(Ordering::is_eq),
        _ => false,
    }
}

/// `<` and its kin (JP-30): the type of the left value decides, a string on the left takes the type of the right.
pub(super) fn is_ordered(left: &Node<'_>, right: &Node<'_>, wanted: fn(Ordering) -> bool) -> bool {
    order(left, right).is_some_and(wanted)
}

fn order(left: &Node<'_>, right: &Node<'_>) -> Option<Ordering> {
    match (left, right) {
        (Node::Null, Node::Null) => Some(Ordering::Equal),
        (Node::Null, _) => Some(Ordering::Less),
        (_, Node::Null) => Some(Ordering::Greater),
        (Node::String(left), Node::String(right)) => Some(strings(left, right)),
        (Node::Number(left), Node::Number(right)) => numbers(left, right),
        (Node::Number(left), Node::String(right)) => numbers(left, decimal(right)?),
        (Node::String(left), Node::Number(right)) => numbers(decimal(left)?, right),
        (Node::Number(left), Node::Bool(right)) => numbers(left, if *right { "1" } else { "0" }),
        (Node::Bool(left), right) => Some(left.cmp(&truth(right)?)),
        (Node::String(_), Node::Bool(right)) => Some(truth(left)?.cmp(right)),
        _ => None,
    }
}

/// UTF-16 and UTF-8 order alike, except that surrogate pairs sort below U+E000 to U+FFFF in UTF-16.
fn strings(left: &str, right: &str) -> Ordering {
    match (iso_date(left), iso_date(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.encode_utf16().cmp(right.encode_utf16()),
    }
}

/// An ISO date, or a date-time of the shape EV-8 describes.
fn iso_date(text: &str) -> Option<Timestamp> {
    if text.len() == 10 { timestamp::iso(text) } else { iso_date_time(text) }
}

/// A date-time of the shape EV-8 describes: with `T`, seconds, at most 7 digits of fraction, and no zone by name.
fn iso_date_time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let has_shape = (19..=40).contains(&bytes.len()) && bytes.get(10) == Some(&b'T') && bytes.get(16) == Some(&b':');
    let after_seconds = text.get(19..).filter(|_| has_shape)?;
    let fraction = after_seconds.bytes().skip(1).take_while(u8::is_ascii_digit).count();
    let has_fraction = after_seconds.starts_with('.');
    let zone = if has_fraction { after_seconds.get(1 + fraction..)? } else { after_seconds };
    let is_typed = (!has_fraction || fraction <= FRACTION_DIGITS_MAX) && !zone.contains([' ', 'G', 'U']);
    timestamp::iso(text).filter(|_| is_typed)
}

/// Digits of a fraction of a second that a typed date-time has at most (EV-8).
const FRACTION_DIGITS_MAX: usize = 7;

fn same_instant(left: &str, right: &str) -> bool {
    iso_date_time(left).is_some_and(|left| Some(left) == iso_date_time(right))
}

fn truth(node: &Node<'_>) -> Option<bool> {
    match node {
        Node::Bool(value) => Some(*value),
        Node::Number(text) => Some(numbers(text, "0")?.is_ne()),
        Node::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Node::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        Node::Null | Node::String(_) | Node::Array(_) | Node::Object(_) => None,
    }
}

/// The text of a string that is a decimal number.
fn decimal(text: &str) -> Option<&str> {
    let text = text.trim();
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    let parses = plain && text.parse::<f64>().is_ok();
    parses.then_some(text)
}

/// Two integers compare digit by digit, else floats compare with the relative tolerance of the reference (JP-27).
fn numbers(left: &str, right: &str) -> Option<Ordering> {
    if is_integer(left) && is_integer(right) {
        return Some(integers(left, right));
    }
    let (left, right): (f64, f64) = (left.parse().ok()?, right.parse().ok()?);
    let tolerance = (left.abs() + right.abs() + 10.0) * f64::EPSILON;
    if (left - right).abs() < tolerance {
        return Some(Ordering::Equal);
    }
    left.partial_cmp(&right)
}

fn is_integer(text: &str) -> bool {
    !text.contains(['.', 'e', 'E'])
}

fn integers(left: &str, right: &str) -> Ordering {
    let (left_negative, left) = sign_and_digits(left);
    let (right_negative, right) = sign_and_digits(right);
    let by_size = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
    match (left_negative, right_negative) {
        (false, false) => by_size,
        (true, true) => by_size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

/// Zero is never negative.
fn sign_and_digits(text: &str) -> (bool, &str) {
    let digits = text.trim_start_matches(['-', '+']).trim_start_matches('0');
    (text.starts_with('-') && !digits.is_empty(), digits)
}
