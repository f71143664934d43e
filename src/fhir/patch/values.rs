//! When two JSON values are the same: as RFC 6902 (section 4.6) has it for `test`, and as FHIR has it.

use crate::json::Node;

/// What counts as the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// The same amount: `65.0` is `65.00`.
    ByAmount,
    /// The same digits: the precision of a decimal is part of it.
    ByDigits,
}

/// Whether two values are the same; the order of members does not count.
pub(super) fn same(one: &Node<'_>, other: &Node<'_>, numbers: Numbers) -> bool {
    match (one, other) {
        (Node::Number(one), Node::Number(other)) => {
            one == other || (numbers == Numbers::ByAmount && amount(one).is_some_and(|it| Some(it) == amount(other)))
        }
        (Node::Array(one), Node::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other, numbers))
        }
        (Node::Object(_), Node::Object(_)) => same_members(one, other, &[], numbers),
        (Node::Null | Node::Bool(_) | Node::String(_), _) => one == other,
        (Node::Number(_) | Node::Array(_) | Node::Object(_), _) => false,
    }
}

/// Whether two objects have the same members, leaving out those of these names.
pub(super) fn same_members(one: &Node<'_>, other: &Node<'_>, but: &[&str], numbers: Numbers) -> bool {
    let [one, other] = [one, other].map(|object| {
        let mut members: Vec<_> = object.members().iter().filter(|(name, _)| !but.contains(&name.as_ref())).collect();
        members.sort_by(|one, other| one.0.cmp(&other.0));
        members
    });
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && same(&one.1, &other.1, numbers))
}

/// Sign, digits without zeros at their ends, and the power of ten of the last digit. `None` for a power no one means.
fn amount(number: &str) -> Option<(bool, String, i64)> {
    let (is_negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, power) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let power: i64 = power.strip_prefix('+').unwrap_or(power).parse().ok()?;
    let power = power.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(zeros)?;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some((false, String::new(), 0));
    }
    Some((is_negative, significant.to_owned(), power))
}

#[cfg(test)]
mod tests {
    use super::{Numbers, same};
    use crate::json::parse;

    #[track_caller]
    fn check(one: &str, other: &str, by_amount: bool, by_digits: bool) {
        let (parsed, parsed_other) = (parse(one.as_bytes()).unwrap(), parse(other.as_bytes()).unwrap());
        assert_eq!(same(&parsed, &parsed_other, Numbers::ByAmount), by_amount, "{one} {other}");
        assert_eq!(same(&parsed, &parsed_other, Numbers::ByDigits), by_digits, "{one} {other}");
    }

    #[test]
    fn numbers_are_the_same_by_amount_or_by_digits() {
        check("65.0", "65.00", true, false);
        check("100", "1e2", true, false);
        check("0.0120", "12e-3", true, false);
        check("-0", "0.0", true, false);
        check("65.0", "65.0", true, true);
        check("1e99999999999999999999", "1e99999999999999999999", true, true);
        check("123456789012345678901", "123456789012345678902", false, false);
        check("-1", "1", false, false);
        check("1", "\"1\"", false, false);
        check("1", "10", false, false);
    }

    #[test]
    fn the_order_of_elements_counts_and_that_of_members_does_not() {
        check(r#"{"a":[1,{}],"b":null}"#, r#"{"b":null,"a":[1.0,{}]}"#, true, false);
        check("[1,2]", "[2,1]", false, false);
        check("[1]", "[1,1]", false, false);
        check(r#"{"a":1}"#, r#"{"a":1,"b":1}"#, false, false);
        check(r#"{"a":1}"#, r#"{"b":1}"#, false, false);
        check("[]", "{}", false, false);
        check("null", "false", false, false);
    }
}
