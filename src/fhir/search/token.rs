//! Token parameters: codes and identifiers, <https://hl7.org/fhir/R4/search.html#token>.
//!
//! Compared to the letter, system and code, but for elements that are mere texts, where case does not matter. A `code`
//! element has the system its value set is drawn from. Beside the codes stand the texts that `:text` searches, and the
//! identifiers with the codes of their type that `:of-type` searches.

use super::error::BadValue;
use super::escape::{escape, split, unescape};
use crate::fhir::store::{Code, Condition, IndexValue, Parameter, Test};
use crate::fhir::words::fold_phrase;
use crate::json::Node;

/// Most characters of a text beside codes that can be told apart.
const TEXT_MAX: usize = 256;

/// The system of media types, which have a hierarchy of their own.
const MEDIA_TYPES: &str = "urn:ietf:bcp:13";

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
    /// The text itself, to the letter.
    Plain,
    /// The text itself, whatever its case.
    Text,
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
            "code" => Self::Code(system),
            "id" | "uri" => Self::Plain,
            "string" => Self::Text,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// Whether `system|code` can mean anything.
    fn has_system(self) -> bool {
        matches!(self, Self::Coding | Self::CodeableConcept | Self::Identifier | Self::Code(_))
    }

    /// Whether a text stands beside the code.
    pub(super) fn has_text(self) -> bool {
        matches!(self, Self::Coding | Self::CodeableConcept | Self::Identifier)
    }

    /// Whether value sets can have it.
    pub(super) fn is_coded(self) -> bool {
        match self {
            Self::Coding | Self::CodeableConcept => true,
            Self::Code(system) => !system.is_empty(),
            Self::Identifier | Self::ContactPoint | Self::Plain | Self::Text | Self::Boolean => false,
        }
    }

    /// Whether it is a media type.
    pub(super) fn is_media_type(self) -> bool {
        self == Self::Code(MEDIA_TYPES)
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
            Self::Plain => emit_token("", text(Some(node)), emit),
            Self::Text => emit_token("", &text(Some(node)).to_lowercase(), emit),
            Self::Boolean => match node {
                Node::Bool(true) => emit_token("", "true", emit),
                Node::Bool(false) => emit_token("", "false", emit),
                Node::Null | Node::Number(_) | Node::String(_) | Node::Array(_) | Node::Object(_) => {}
            },
        }
    }

    /// The texts beside the codes of one element.
    pub(super) fn extract_texts(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        match self {
            Self::Coding => emit_display(node.member("display"), emit),
            Self::CodeableConcept => {
                emit_display(node.member("text"), emit);
                for coding in node.member("coding").map_or(&[][..], Node::elements) {
                    emit_display(coding.member("display"), emit);
                }
            }
            Self::Identifier => emit_display(node.member("type").and_then(|kind| kind.member("text")), emit),
            Self::ContactPoint | Self::Code(_) | Self::Plain | Self::Text | Self::Boolean => {}
        }
    }

    /// An identifier under each code of its type.
    pub(super) fn extract_typed(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        let codings = node.member("type").and_then(|kind| kind.member("coding")).map_or(&[][..], Node::elements);
        let value = text(node.member("value"));
        if self != Self::Identifier || value.is_empty() {
            return;
        }
        for coding in codings {
            let (system, code) = (text(coding.member("system")), text(coding.member("code")));
            if !system.is_empty() && !code.is_empty() {
                emit(token(system, &typed(code, value)));
            }
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

fn emit_display(node: Option<&Node<'_>>, emit: &mut impl FnMut(IndexValue)) {
    let written = text(node);
    if !written.is_empty() {
        let folded = fold_phrase(written);
        let folded = match folded.char_indices().nth(TEXT_MAX) {
            Some((end, _)) => folded.get(..end).unwrap_or_default().to_owned(),
            None => folded,
        };
        emit(IndexValue::Display { folded });
    }
}

fn text<'n>(node: Option<&'n Node<'_>>) -> &'n str {
    node.and_then(Node::as_str).unwrap_or_default()
}

/// A token of the index.
pub(super) fn token(system: &str, code: &str) -> IndexValue {
    IndexValue::Token { system: system.to_owned(), code: code.to_owned() }
}

/// A code and a value as one; the first bar that is not escaped is between them.
fn typed(code: &str, value: &str) -> String {
    format!("{}|{value}", escape(code))
}

/// `code`, `system|code`, `|code` (without a system) or `system|` (any code of it). Where no element has a system only the
/// first is allowed.
pub(super) fn condition(parameter: &Parameter, forms: &[Form], value: &str) -> Result<Condition, BadValue> {
    let (system, code) = parts(value)?;
    if system.is_some() && !forms.is_empty() && !forms.iter().any(|form| form.has_system()) {
        return Err(BadValue { expected: "a value without a system, and `|` in it as `\\|`" });
    }
    let has = |code: Option<String>| Condition::Has(parameter.clone(), Test::Token { system: system.clone(), code });
    let lower = code.as_ref().map(|code| code.to_lowercase()).filter(|lower| Some(lower) != code.as_ref());
    Ok(match lower {
        Some(lower) if forms.contains(&Form::Text) => Condition::Any(vec![has(code), has(Some(lower))]),
        _ => has(code),
    })
}

/// As `condition`, for a parameter of which every element has a system and a case.
pub(super) fn test(value: &str) -> Result<Test, BadValue> {
    parts(value).map(|(system, code)| Test::Token { system, code })
}

fn parts(value: &str) -> Result<(Option<String>, Option<String>), BadValue> {
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
        _ => Ok((system, code)),
    }
}

/// The start of a text that stands beside the codes (`:text`).
pub(super) fn text_test(value: &str) -> Result<Test, BadValue> {
    let folded = unescape(value).map(|text| fold_phrase(&text)).filter(|folded| !folded.is_empty());
    match folded {
        Some(folded) if folded.chars().count() <= TEXT_MAX => Ok(Test::Display { folded }),
        Some(_) => Err(BadValue { expected: "at most 256 characters" }),
        None => Err(BadValue { expected: "a text" }),
    }
}

/// `system|code|value`: an identifier by a code of its type (`:of-type`).
pub(super) fn of_type_test(value: &str) -> Result<Test, BadValue> {
    let bad = BadValue { expected: "`system|code|value`, the first two of the identifier's type" };
    let parts: Option<Vec<String>> = split(value, '|').into_iter().map(unescape).collect();
    match parts.ok_or_else(|| bad.clone())?.as_slice() {
        [system, code, value] if ![system, code, value].iter().any(|part| part.is_empty()) => {
            Ok(Test::Token { system: Some(system.clone()), code: Some(typed(code, value)) })
        }
        _ => Err(bad),
    }
}

/// A value set, by its URL or as `ValueSet/id` (`:in`, `:not-in`).
pub(super) fn value_set(value: &str) -> Result<String, BadValue> {
    // The bar before a version need not be escaped: nothing else can be meant by it.
    unescape(value)
        .filter(|url| url.contains(':') || url.starts_with("ValueSet/"))
        .ok_or(BadValue { expected: "the URL of a value set or `ValueSet/id`" })
}

/// A media type, without its parameters (`:below`).
pub(super) fn media_type_test(value: &str) -> Result<Test, BadValue> {
    match parts(value)? {
        (None, Some(base)) => Ok(Test::MediaType { base }),
        (Some(system), Some(base)) if system == MEDIA_TYPES => Ok(Test::MediaType { base }),
        _ => Err(BadValue { expected: "a media type" }),
    }
}

/// `system|code`: where a hierarchy is searched from (`:above`, `:below`).
pub(super) fn code(value: &str) -> Result<Code, BadValue> {
    match parts(value)? {
        (Some(system), Some(code)) if !system.is_empty() => Ok(Code { system, code }),
        _ => Err(BadValue { expected: "`system|code`" }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, TEXT_MAX, code, condition, media_type_test, of_type_test, test, text_test, token, value_set};
    use crate::fhir::store::{Condition, IndexValue, Test};
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
        check("uri", "", r#""urn:X""#, &[("", "urn:X")]);
        check("string", "", r#""ÄX""#, &[("", "äx")]);
    }

    #[track_caller]
    fn check_beside(data_type: &str, json: &str, texts: &[&str], typed: &[(&str, &str)]) {
        let (mut found_texts, mut found_typed) = (Vec::new(), Vec::new());
        let form = Form::of(data_type, "").unwrap();
        let node = json::parse(json.as_bytes()).unwrap();
        form.extract_texts(&node, &mut |value| found_texts.push(value));
        form.extract_typed(&node, &mut |value| found_typed.push(value));
        let texts: Vec<_> = texts.iter().map(|text| IndexValue::Display { folded: (*text).to_owned() }).collect();
        let typed: Vec<_> = typed.iter().map(|(system, code)| token(system, code)).collect();
        assert_eq!((found_texts, found_typed), (texts, typed), "{json}");
    }

    #[test]
    fn texts_stand_beside_codes_and_types_beside_identifiers() {
        check_beside("Coding", r#"{"code":"c","display":"Pouls É"}"#, &["pouls e"], &[]);
        check_beside(
            "CodeableConcept",
            r#"{"text":"Pulse","coding":[{"display":"Heart rate"},{"code":"c"}]}"#,
            &["pulse", "heart rate"],
            &[],
        );
        check_beside(
            "Identifier",
            r#"{"value":"4|7","type":{"text":"Record","coding":[{"system":"t","code":"M|R"},{"code":"X"}]}}"#,
            &["record"],
            &[("t", r"M\|R|4|7")],
        );
        check_beside("Identifier", r#"{"type":{"coding":[{"system":"t","code":"MR"}]}}"#, &[], &[]);
        check_beside("code", r#""male""#, &[], &[]);
    }

    #[test]
    fn a_very_long_text_is_known_by_its_beginning() {
        let long = "ä".repeat(TEXT_MAX + 9);
        check_beside("Coding", &format!(r#"{{"display":"{long}"}}"#), &[&"a".repeat(TEXT_MAX)], &[]);
        assert!(text_test(&"a".repeat(TEXT_MAX)).is_ok());
        assert!(text_test(&"a".repeat(TEXT_MAX + 1)).is_err());
        assert!(text_test("").is_err());
    }

    #[test]
    fn all_three_parts_of_a_typed_identifier_must_be_there() {
        let expected = Test::Token { system: Some("t".to_owned()), code: Some(r"M\|R|4|7".to_owned()) };
        assert_eq!(of_type_test(r"t|M\|R|4\|7"), Ok(expected));
        for value in ["t|MR", "t|MR|", "|MR|4", "t||4", "4", "t|M|R|4"] {
            assert!(of_type_test(value).is_err(), "{value}");
        }
    }

    #[test]
    fn what_has_no_system_is_not_searched_by_one() {
        let parameter = "phone".into();
        assert!(condition(&parameter, &[Form::ContactPoint], "phone|1").is_err());
        assert!(condition(&parameter, &[Form::Boolean], "|true").is_err());
        assert!(condition(&parameter, &[Form::ContactPoint], r"1\|2").is_ok());
        assert!(condition(&parameter, &[Form::ContactPoint, Form::Coding], "a|b").is_ok());
    }

    #[test]
    fn case_matters_but_in_mere_texts() {
        let has =
            |code: &str| Condition::Has("version".into(), Test::Token { system: None, code: Some(code.to_owned()) });
        let parameter = "version".into();
        assert_eq!(condition(&parameter, &[Form::Coding], "V1"), Ok(has("V1")));
        assert_eq!(condition(&parameter, &[Form::Text], "v1"), Ok(has("v1")));
        assert_eq!(condition(&parameter, &[Form::Text], "V1"), Ok(Condition::Any(vec![has("V1"), has("v1")])));
    }

    #[test]
    fn hierarchies_start_at_a_code_of_a_system() {
        assert!(code("s|c").is_ok());
        for value in ["c", "|c", "s|", "a|b|c"] {
            assert!(code(value).is_err(), "{value}");
        }
        let media_type = Ok(Test::MediaType { base: "text/xml".to_owned() });
        assert_eq!(media_type_test("text/xml"), media_type);
        assert_eq!(media_type_test("urn:ietf:bcp:13|text/xml"), media_type);
        assert!(media_type_test("http://x|text/xml").is_err());
    }

    #[test]
    fn a_value_set_is_named_by_url_or_id() {
        for value in ["http://x/vs", "http://x/vs|1.0", "urn:oid:1.2", "ValueSet/1"] {
            assert_eq!(value_set(value).as_deref(), Ok(value));
        }
        for value in ["", "1", "CodeSystem/1"] {
            assert!(value_set(value).is_err(), "{value}");
        }
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
