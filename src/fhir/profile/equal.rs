//! When a value is the one that a profile fixes, and when it fits a pattern
//! (<https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.fixed_x_>).

use std::cmp::Ordering;

use super::decimal::Decimal;
use crate::json::Node;

/// Whether two values say the same: members in any order, elements in theirs, numbers by what they say.
pub(super) fn same(one: &Node<'_>, other: &Node<'_>) -> bool {
    match (one, other) {
        (Node::Object(members), Node::Object(others)) => {
            let is_there = |(name, value): &(_, Node<'_>)| {
                let name: &std::borrow::Cow<'_, str> = name;
                other.member(name).is_some_and(|other| same(value, other))
            };
            members.len() == others.len() && members.iter().all(is_there)
        }
        (Node::Array(elements), Node::Array(others)) => {
            elements.len() == others.len() && elements.iter().zip(others).all(|(one, other)| same(one, other))
        }
        (Node::Number(one), Node::Number(other)) => {
            let numbers = Decimal::parse(one).zip(Decimal::parse(other));
            numbers.map_or(one == other, |(one, other)| one.compare(other) == Some(Ordering::Equal))
        }
        _ => one == other,
    }
}

/// Whether a value has all that a pattern has: each of its members, each of its elements at some place.
pub(super) fn fits(pattern: &Node<'_>, value: &Node<'_>) -> bool {
    match (pattern, value) {
        (Node::Object(members), Node::Object(_)) => {
            members.iter().all(|(name, part)| value.member(name).is_some_and(|value| fits(part, value)))
        }
        (Node::Array(parts), Node::Array(elements)) => {
            parts.iter().all(|part| elements.iter().any(|element| fits(part, element)))
        }
        _ => same(pattern, value),
    }
}

/// How many values there are in a value, itself included.
pub(super) fn weight(node: &Node<'_>) -> usize {
    let below: usize = match node {
        Node::Array(elements) => elements.iter().map(weight).sum(),
        Node::Object(members) => members.iter().map(|(_, value)| weight(value)).sum(),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => 0,
    };
    below + 1
}

/// The most steps it can take to find a pattern in a value.
pub(super) fn cost(pattern: &Node<'_>, value: &Node<'_>) -> usize {
    weight(pattern).saturating_mul(weight(value))
}

#[cfg(test)]
mod tests {
    use super::{cost, fits, same};
    use crate::json::parse;

    #[track_caller]
    fn check(pattern: &str, value: &str, is_same: bool, is_fitting: bool) {
        let (one, other) = (parse(pattern.as_bytes()).unwrap(), parse(value.as_bytes()).unwrap());
        assert_eq!((same(&one, &other), fits(&one, &other)), (is_same, is_fitting), "{pattern} {value}");
    }

    #[test]
    fn what_is_fixed_is_all_and_a_pattern_is_a_part() {
        check("1", "1.0", true, true);
        check(r#"{"a":1,"b":"x"}"#, r#"{"b":"x","a":1}"#, true, true);
        check(r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false, true);
        check(r#"{"a":[{"b":2}]}"#, r#"{"a":[{"b":1},{"b":2,"c":3}]}"#, false, true);
        check("[1,2]", "[2,1]", false, true);
        check(r#""x""#, r#""y""#, false, false);
        check(r#"{"a":1}"#, "[]", false, false);
        check(r#"{"a":1,"c":1}"#, r#"{"a":1}"#, false, false);
    }

    #[test]
    fn a_pattern_costs_what_it_is_compared_with() {
        assert_eq!(cost(&parse(b"[1,2]").unwrap(), &parse(br#"{"a":[1,2,3]}"#).unwrap()), 3 * 5);
    }
}
