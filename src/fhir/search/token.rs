//! Token parameters: codes and identifiers, <https://hl7.org/fhir/R4/search.html#token>.
//!
//! Compared to the letter, system and code. A `code` element has the system its value set is drawn from.

use super::error::BadValue;
use super::escape::{split, unescape};
use crate::fhir::store::{IndexValue, Test};
use crate::json::Node;

/// Where a data type has its system and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `system` and `code`.
    Coding,
    /// `coding`, each of them.
    CodeableConcept,
    /// `system` and `value`.
    Identifier,
    /// `value`; its `system` is a kind of contact, not a namespace.
    ContactPoint,
    /// The text itself, in this system.
    Code(&'static str),
    /// `true` or `false`.
    Boolean,
}

impl Form {
    /// The form of a data type; `None` if it is nothing a token matches.
    pub(super) fn of(data_type: &str, system: &'static str) -> Option<Self> {
        Some(match data_type {
            "Coding" => Self::Coding,
            "CodeableConcept" => Self::CodeableConcept,
            "Identifier" => Self::Identifier,
            "ContactPoint" => Self::ContactPoint,
            "code" | "id" | "string" | "uri" => Self::Code(system),
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// The values of one element.
    pub(super) fn extract(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        match self {
            Self::Coding => emit_pair(node, "code", emit),
            Self::CodeableConcept => {
                for coding in node.member("coding").map_or(&[][..], Node::elements) {
                    emit_pair(coding, "code", emit);
                }
            }
            Self::Identifier => emit_pair(node, "value", emit),
            Self::ContactPoint => emit_token("", text(node.member("value")), emit),
            Self::Code(system) => emit_token(system, text(Some(node)), emit),
            Self::Boolean => match node {
                Node::Bool(true) => emit_token("", "true", emit),
                Node::Bool(false) => emit_token("", "false", emit),
                Node::Null | Node::Number(_) | Node::String(_) | Node::Array(_) | Node::Object(_) => {}
            },
        }
    }
}

fn emit_pair(node: &Node<'_>, code: &str, emit: &mut impl FnMut(IndexValue)) {
    emit_token(text(node.member("system")), text(node.member(code)), emit);
}

fn emit_token(system: &str, code: &str, emit: &mut impl FnMut(IndexValue)) {
    if !system.is_empty() || !code.is_empty() {
        emit(token(system, code));
    }
}

fn text<'n>(node: Option<&'n Node<'_>>) -> &'n str {
    node.and_then(Node::as_str).unwrap_or_default()
}

/// A token of the index.
pub(super) fn token(system: &str, code: &str) -> IndexValue {
    IndexValue::Token { system: system.to_owned(), code: code.to_owned() }
}

/// `code`, `system|code`, `|code` (without a system) or `system|` (any code of it).
pub(super) fn test(value: &str) -> Result<Test, BadValue> {
    let bad = BadValue { expected: "`code`, `system|code`, `|code` or `system|`" };
    let parts: Option<Vec<String>> = split(value, '|').into_iter().map(unescape).collect();
    let (system, code) = match parts.ok_or_else(|| bad.clone())?.as_slice() {
        [code] => (None, Some(code.clone())),
        [system, code] if code.is_empty() => (Some(system.clone()), None),
        [system, code] => (Some(system.clone()), Some(code.clone())),
        _ => return Err(bad),
    };
    match (system.as_deref(), code.as_deref()) {
        (None | Some(""), None | Some("")) => Err(bad),
        _ => Ok(Test::Token { system, code }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, test, token};
    use crate::fhir::store::{IndexValue, Test};
    use crate::json;

    #[track_caller]
    fn check(data_type: &str, system: &'static str, json: &str, expected: &[(&str, &str)]) {
        let mut found: Vec<IndexValue> = Vec::new();
        let form = Form::of(data_type, system).unwrap();
        form.extract(&json::parse(json.as_bytes()).unwrap(), &mut |value| found.push(value));
        let expected: Vec<_> = expected.iter().map(|(system, code)| token(system, code)).collect();
        assert_eq!(found, expected, "{json}");
    }

    #[test]
    fn every_form_has_its_system_and_code() {
        check("Coding", "", r#"{"system":"s","code":"c"}"#, &[("s", "c")]);
        check("Coding", "", r#"{"code":"c"}"#, &[("", "c")]);
        check("Coding", "", r#"{"system":"s"}"#, &[("s", "")]);
        check("Coding", "", r#"{"display":"d"}"#, &[]);
        check("CodeableConcept", "", r#"{"text":"t"}"#, &[]);
        check(
            "CodeableConcept",
            "",
            r#"{"coding":[{"system":"s","code":"a"},{"code":"b"}]}"#,
            &[("s", "a"), ("", "b")],
        );
        check("Identifier", "", r#"{"system":"s","value":"v"}"#, &[("s", "v")]);
        check("ContactPoint", "", r#"{"system":"phone","value":"1"}"#, &[("", "1")]);
        check(
            "code",
            "http://hl7.org/fhir/observation-status",
            r#""final""#,
            &[("http://hl7.org/fhir/observation-status", "final")],
        );
        check("boolean", "", "false", &[("", "false")]);
        check("string", "", r#""x""#, &[("", "x")]);
    }

    #[test]
    fn values_of_the_wrong_json_type_are_passed_over() {
        check("Coding", "", r#""c""#, &[]);
        check("Coding", "", r#"{"code":1}"#, &[]);
        check("CodeableConcept", "", r#"{"coding":"c"}"#, &[]);
        check("boolean", "", r#""true""#, &[]);
    }

    #[track_caller]
    fn check_test(value: &str, expected: Option<(Option<&str>, Option<&str>)>) {
        let expected = expected
            .map(|(system, code)| Test::Token { system: system.map(str::to_owned), code: code.map(str::to_owned) });
        assert_eq!(test(value).ok(), expected, "{value}");
    }

    #[test]
    fn the_bar_tells_the_four_forms_apart() {
        check_test("c", Some((None, Some("c"))));
        check_test("s|c", Some((Some("s"), Some("c"))));
        check_test("|c", Some((Some(""), Some("c"))));
        check_test("s|", Some((Some("s"), None)));
        check_test("|", None);
        check_test("", None);
        check_test("a|b|c", None);
    }

    #[test]
    fn escapes_are_taken_away() {
        check_test(r"s\|t|c\,d\$\\", Some((Some("s|t"), Some(r"c,d$\"))));
        check_test(r"a\b", None);
    }
}
