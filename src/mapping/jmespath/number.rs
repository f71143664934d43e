//! Numbers as texts: integers and floats kept apart (EV-7), compared by value (JM-4).

use std::cmp::Ordering;

/// Whether a number is an integer (EV-7).
pub(super) fn is_integer(digits: &str) -> bool {
    !digits.contains(['.', 'e', 'E'])
}

/// The double nearest to a number; `None` beyond their range.
pub(super) fn double(digits: &str) -> Option<f64> {
    digits.parse().ok().filter(|double: &f64| double.is_finite())
}

/// The shortest digits that read back to the same double, recognizable as a float; `None` for what is not finite.
pub(super) fn float(double: f64) -> Option<String> {
    double.is_finite().then(|| format!("{double:?}"))
}

/// A number in a text (JM-7): an integer or a float, white space round it, perhaps a sign; its digits are kept.
pub(super) fn in_text(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let plain = unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !plain || unsigned.starts_with(['+', '-']) {
        return None;
    }
    let value = double(unsigned)?;
    if is_integer(unsigned) {
        let digits = unsigned.trim_start_matches('0');
        return Some(if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}") });
    }
    let is_json = crate::json::parse(unsigned.as_bytes()).is_ok();
    let digits = if is_json { unsigned.to_owned() } else { float(value)? };
    Some(format!("{sign}{digits}"))
}

/// The order of two numbers by value, total also where doubles would be equal.
pub(super) fn order(left: &str, right: &str) -> Ordering {
    if let (Ok(left), Ok(right)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return left.cmp(&right);
    }
    let (left, right) = (Decimal::of(left), Decimal::of(right));
    let by_size = left.magnitude().cmp(&right.magnitude()).then_with(|| left.digits.cmp(&right.digits));
    match (left.is_negative(), right.is_negative()) {
        (false, false) => by_size,
        (true, true) => by_size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

/// A number as `0.digits` times a power of ten, without zeros at either end; zero has no digits.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let negative = mantissa.starts_with('-');
        let mantissa = mantissa.trim_start_matches('-');
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = all.iter().take_while(|digit| **digit == b'0').count();
        let trailing = all.iter().rev().take_while(|digit| **digit == b'0').count();
        let digits = all.get(leading..all.len() - trailing.min(all.len() - leading)).unwrap_or_default().to_vec();
        // An exponent beyond 64 bits differs from every other by more than any text has digits.
        let beyond = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
        let exponent = exponent.parse().unwrap_or(beyond).clamp(i64::MIN / 2, i64::MAX / 2);
        let shift = |length: usize| i64::try_from(length).unwrap_or(i64::MAX / 4);
        Self { negative, digits, exponent: exponent + shift(whole.len()) - shift(leading) }
    }

    fn is_negative(&self) -> bool {
        self.negative && !self.digits.is_empty()
    }

    /// Zero is smaller than every other size.
    fn magnitude(&self) -> Option<i64> {
        (!self.digits.is_empty()).then_some(self.exponent)
    }
}
