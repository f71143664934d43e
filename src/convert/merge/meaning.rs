//! Whether two pieces of JSON mean the same (rule OB-11).
//!
//! Decimals and instants count by value, members in any order. What a server or an editor adds to a value without
//! changing what it says does not count either: ids and extensions.

use crate::json::{self, Node};
use crate::mapping::decimal::same;

/// Whether what is stored says what is new; text that is no JSON says nothing.
pub(super) fn same_meaning_json(stored: &str, new: &str) -> bool {
    match (json::parse(stored.as_bytes()), json::parse(new.as_bytes())) {
        (Ok(stored), Ok(new)) => same_meaning(&stored, &new),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    }
}

/// As `same_meaning_json`, of parsed values.
pub(super) fn same_meaning(stored: &Node<'_>, new: &Node<'_>) -> bool {
    match (stored, new) {
        (Node::Number(stored), Node::Number(new)) => same(stored, new),
        (Node::Array(stored), Node::Array(new)) => {
            stored.len() == new.len() && stored.iter().zip(new).all(|(stored, new)| same_meaning(stored, new))
        }
        (Node::Object(members), Node::Object(new_members)) => {
            let is_new = |name: &str| new.member(name).is_some();
            let says = |name: &str, new| stored.member(name).is_some_and(|stored| same_meaning(stored, new));
            members.iter().all(|(name, _)| is_new(name) || is_annotation(name))
                && new_members.iter().all(|(name, new)| says(name, new))
        }
        (Node::String(stored), Node::String(new)) => stored == new || same_instant(stored, new),
        (stored, new) => stored == new,
    }
}

/// Members of [Element](http://hl7.org/fhir/R4/element.html) that every value may have.
fn is_annotation(name: &str) -> bool {
    name == "id" || name == "extension" || name.starts_with('_')
}

/// Whether both are date-times of FHIR with a zone, for the same instant. Dates without time are no instants.
fn same_instant(left: &str, right: &str) -> bool {
    let instant = |text: &str| text.parse::<jiff::Timestamp>().ok();
    instant(left).zip(instant(right)).is_some_and(|(left, right)| left == right)
}

#[cfg(test)]
mod tests {
    use super::same_meaning_json;

    #[test]
    fn ob_11_json_is_compared_by_meaning() {
        for (stored, new) in [
            ("65", "65.0"),
            (r#"{"a":1,"b":"x"}"#, r#"{ "b": "\u0078", "a": 1.00 }"#),
            (r#""2024-03-02T07:00:00Z""#, r#""2024-03-02T08:00:00.000+01:00""#),
            (r#"[1,{"a":true}]"#, r#"[1.0,{"a":true}]"#),
            (r#"{"value":1,"id":"x","extension":[1],"_value":{}}"#, r#"{"value":1}"#),
        ] {
            assert!(same_meaning_json(stored, new), "{stored} {new}");
        }
        for (stored, new) in [
            ("65", "\"65\""),
            (r#"{"value":1}"#, r#"{"value":1,"id":"x"}"#),
            (r#"{"value":1,"comparator":"<"}"#, r#"{"value":1}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,1]"),
            (r#""2024-03-02""#, r#""2024-03-02T00:00:00Z""#),
            ("{", "{"),
        ] {
            assert!(!same_meaning_json(stored, new), "{stored} {new}");
        }
    }
}
