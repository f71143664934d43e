//! Decimals as text: what a device sends becomes a JSON number digit for digit, and two texts compare by value.

use std::borrow::Cow;
use std::cmp::Ordering;

/// The JSON number a text stands for, with the digits it has (FM-24); `None` when it is no decimal.
///
/// A sign, zeros in front and a point without digits on one side are tolerated as the reference tolerates them, and put
/// right. A comma is not.
pub(crate) fn json_number(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    if is_plain(text) {
        return Some(Cow::Borrowed(text));
    }
    let parts = Parts::of(text)?;
    if !text.parse::<f64>().is_ok_and(f64::is_finite) {
        return None;
    }
    let canonical = parts.to_json();
    Some(if canonical == text { Cow::Borrowed(text) } else { Cow::Owned(canonical) })
}

/// Whether a text is a JSON number already, and a small one: as nearly all readings are.
fn is_plain(text: &str) -> bool {
    const BYTES_MAX: usize = 32;
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= BYTES_MAX && digits(whole) && digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

/// A token that a stream may hold: a decimal in the very form FHIR gives it, or one of the letters `E`, `U` and `L`.
pub(crate) fn sample(value: &str) -> Option<&str> {
    let token = value.trim();
    match token {
        "E" | "U" | "L" => Some(token),
        decimal => json_number(decimal).is_some_and(|number| number == decimal).then_some(decimal),
    }
}

/// Whether two texts are decimals of the same value.
pub(crate) fn same(left: &str, right: &str) -> bool {
    left == right || Parts::of(left).zip(Parts::of(right)).is_some_and(|(left, right)| left.value() == right.value())
}

/// Which of two decimals is larger; `None` when one is no decimal.
pub(crate) fn compare(left: &str, right: &str) -> Option<Ordering> {
    let ((left_negative, left, left_power), (right_negative, right, right_power)) =
        (Parts::of(left)?.value(), Parts::of(right)?.value());
    // Zero has no digits, so its power says nothing.
    let magnitude = |digits: &str, power: i64| {
        let len = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        if digits.is_empty() { i64::MIN } else { power.saturating_add(len) }
    };
    let by_size = magnitude(&left, left_power).cmp(&magnitude(&right, right_power)).then_with(|| left.cmp(&right));
    Some(match (left_negative, right_negative) {
        (false, false) => by_size,
        (true, true) => by_size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    })
}

/// The pieces of a decimal's text.
struct Parts<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    /// With its `e` or `E` and sign.
    exponent: &'t str,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = unsigned.split_at_checked(unsigned.find(['e', 'E']).unwrap_or(unsigned.len()))?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let has_digits = !(whole.is_empty() && fraction.is_empty());
        let exponent_digits = exponent.trim_start_matches(['e', 'E']).trim_start_matches(['-', '+']);
        let is_exponent =
            exponent.is_empty() || (digits_only(exponent_digits) && exponent.get(1..)?.parse::<i64>().is_ok());
        (has_digits && digits_only(whole) && digits_only(fraction) && is_exponent).then_some(Self {
            negative: text.starts_with('-'),
            whole,
            fraction,
            exponent,
        })
    }

    fn to_json(&self) -> String {
        let whole = match self.whole.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        let sign = if self.negative { "-" } else { "" };
        let point = if self.fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{}{}", self.fraction, self.exponent)
    }

    /// Sign, digits without zeros at either end, and the power of ten of the last one; zero has one form.
    fn value(&self) -> (bool, String, i64) {
        let digits = format!("{}{}", self.whole, self.fraction);
        let kept = digits.trim_end_matches('0');
        let fraction = i64::try_from(self.fraction.len()).unwrap_or(i64::MAX);
        let dropped = i64::try_from(digits.len() - kept.len()).unwrap_or(0);
        let exponent = self.exponent.get(1..).and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(0);
        let kept = kept.trim_start_matches('0');
        if kept.is_empty() {
            return (false, String::new(), 0);
        }
        let power = exponent.saturating_sub(fraction).saturating_add(dropped);
        (self.negative, kept.to_owned(), power)
    }
}

#[cfg(test)]
mod tests {
    use super::{compare, json_number, same};

    #[test]
    fn fm_24_decimals_keep_their_digits() {
        for (text, expected) in [
            ("36.60", "36.60"),
            (" 36.6 ", "36.6"),
            ("-0.5", "-0.5"),
            ("1E-05", "1E-05"),
            ("1.5e+3", "1.5e+3"),
            ("+7", "7"),
            ("007", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("0", "0"),
        ] {
            assert_eq!(json_number(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn fm_24_what_is_no_decimal_is_refused() {
        for text in [
            "36,6", "", " ", "abc", "1 2", "NaN", "Infinity", "1e", "1e+", "--1", ".", "0x10", "1e9999", "E", "1e1e1",
            "1e--5",
        ] {
            assert_eq!(json_number(text), None, "{text}");
        }
    }

    #[test]
    fn ob_11_decimals_compare_by_value() {
        for (left, right) in
            [("65", "65.0"), ("1e2", "100"), ("0.0", "-0"), ("1E-05", "0.00001"), ("120.10", "120.1"), ("-5", "-5.00")]
        {
            assert!(same(left, right), "{left} {right}");
        }
        for (left, right) in [("65", "66"), ("5", "-5"), ("10", "1"), ("0.1", "0.01"), ("E", "U")] {
            assert!(!same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn decimals_are_ordered_by_value() {
        let ascending =
            ["-120", "-12.5", "-1E-05", "0", "0.00001", "0.1", "9.99", "10", "1.2e1", "120.10", "121", "1e9"];
        for (index, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), Some(index.cmp(&other)), "{left} {right}");
            }
        }
        assert_eq!(compare("-0", "0.0").map(std::cmp::Ordering::is_eq), Some(true));
        assert_eq!(compare("x", "1"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_json_number_has_the_value_of_its_text(whole in 0_u64.., zeros in 0_usize..4, fraction in "[0-9]{0,9}", exponent in -20_i32..20) {
            let text = format!("{}{whole}.{fraction}e{exponent}", "0".repeat(zeros));
            let number = json_number(&text).unwrap();
            proptest::prop_assert!(same(&text, &number));
            proptest::prop_assert!(serde_json::from_str::<serde_json::Value>(&number).is_ok());
        }
    }
}
