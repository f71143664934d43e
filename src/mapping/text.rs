//! A selected value as text (rule DM-29).

use std::borrow::Cow;

use super::expression::Value;
use crate::json::Node;

/// A selected value as text.
#[derive(Debug, PartialEq)]
pub(super) enum Text<'v> {
    /// The text of a scalar.
    Scalar(Cow<'v, str>),
    /// JSON null.
    Null,
    /// An object, an array, or a number beyond the range of floats (DM-31).
    Unconvertible,
}

/// Converts a selected value to text.
pub(super) fn of<'v>(value: &'v Value<'_, '_>) -> Text<'v> {
    match value.node() {
        Some(Node::Null) => Text::Null,
        Some(Node::Bool(true)) => Text::Scalar(Cow::Borrowed("True")),
        Some(Node::Bool(false)) => Text::Scalar(Cow::Borrowed("False")),
        Some(Node::Number(digits)) => number(digits).map_or(Text::Unconvertible, Text::Scalar),
        Some(Node::String(text)) => Text::Scalar(Cow::Borrowed(text)),
        Some(Node::Array(_) | Node::Object(_)) | None => Text::Unconvertible,
    }
}

/// Integers keep their digits; floats become the shortest text that reads back to the same double.
fn number(digits: &str) -> Option<Cow<'_, str>> {
    if !digits.contains(['.', 'e', 'E']) {
        let plain = if digits == "-0" { "0" } else { digits };
        return Some(Cow::Borrowed(plain));
    }
    let float: f64 = digits.parse().ok().filter(|float: &f64| float.is_finite())?;
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if (-4..15).contains(&exponent) {
        return Some(Cow::Owned(float.to_string()));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Some(Cow::Owned(format!("{mantissa}E{sign}{:02}", exponent.unsigned_abs())))
}

#[cfg(test)]
mod tests {
    use super::{Text, Value, of};
    use crate::json::parse;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let node = parse(json.as_bytes()).unwrap();
        assert_eq!(of(&Value::Computed(node)), Text::Scalar(expected.into()), "{json}");
    }

    #[test]
    fn dm_29_scalars_become_text() {
        check(r#"" As Is ""#, " As Is ");
        check("61", "61");
        check("-7", "-7");
        check("true", "True");
        check("false", "False");
        check("123456789012345678901234567890", "123456789012345678901234567890");
    }

    #[test]
    fn dm_29_floats_are_the_shortest_text_of_their_double() {
        for (json, expected) in [
            ("1.0", "1"),
            ("120.10", "120.1"),
            ("36.6", "36.6"),
            ("0.0001", "0.0001"),
            ("0.00001", "1E-05"),
            ("1.5e-7", "1.5E-07"),
            ("999999999999999.0", "999999999999999"),
            ("1e15", "1E+15"),
            ("1e20", "1E+20"),
            ("1e2", "100"),
            ("-2.50", "-2.5"),
            ("0.1", "0.1"),
            ("0.00015", "0.00015"),
            ("0.000099", "9.9E-05"),
            ("-0.00001", "-1E-05"),
            ("1e-100", "1E-100"),
            ("123456789012345.6", "123456789012345.6"),
            ("1234567890123456.0", "1.234567890123456E+15"),
            ("1e300", "1E+300"),
            ("0.0", "0"),
            ("5e-324", "5E-324"),
        ] {
            check(json, expected);
        }
    }

    #[test]
    fn dm_29_null_is_missing_and_containers_are_unconvertible() {
        for (json, expected) in [
            ("null", Text::Null),
            ("{}", Text::Unconvertible),
            ("[1]", Text::Unconvertible),
            ("1e400", Text::Unconvertible),
        ] {
            assert_eq!(of(&Value::Computed(parse(json.as_bytes()).unwrap())), expected, "{json}");
        }
    }
}
