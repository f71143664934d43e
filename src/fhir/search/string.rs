//! String parameters: without regard to case and accents, from the start, <https://hl7.org/fhir/R4/search.html#string>.

use std::borrow::Cow;

use icu_normalizer::DecomposingNormalizerBorrowed;

use super::error::BadValue;
use super::escape::unescape;
use crate::fhir::store::{IndexValue, Test, TextMode};
use crate::json::Node;

/// Which parts of a data type are texts to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The text itself.
    Plain,
    /// The parts of a name, each by itself, and the whole.
    HumanName,
    /// The parts of an address, each by itself, and the whole.
    Address,
}

const NAME_PARTS: &[&str] = &["text", "family", "given", "prefix", "suffix"];
const ADDRESS_PARTS: &[&str] = &["text", "line", "city", "district", "state", "postalCode", "country"];

impl Form {
    /// The form of a data type; `None` if it has no text.
    pub(super) fn of(data_type: &str) -> Option<Self> {
        Some(match data_type {
            "string" | "markdown" => Self::Plain,
            "HumanName" => Self::HumanName,
            "Address" => Self::Address,
            _ => return None,
        })
    }

    /// The values of one element.
    pub(super) fn extract(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        let parts = match self {
            Self::Plain => return emit_text(node, emit),
            Self::HumanName => NAME_PARTS,
            Self::Address => ADDRESS_PARTS,
        };
        for part in parts.iter().filter_map(|part| node.member(part)) {
            emit_text(part, emit);
            for element in part.elements() {
                emit_text(element, emit);
            }
        }
    }
}

fn emit_text(node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
    if let Some(text) = node.as_str().filter(|text| !text.is_empty()) {
        emit(IndexValue::String { folded: fold(text), exact: text.to_owned() });
    }
}

/// A text as a search value.
pub(super) fn test(value: &str, mode: TextMode) -> Result<Test, BadValue> {
    let text = unescape(value).filter(|text| !text.is_empty()).ok_or(BadValue { expected: "a text" })?;
    let text = match mode {
        TextMode::Exact => text,
        TextMode::StartsWith | TextMode::Contains => fold(&text),
    };
    if text.is_empty() {
        return Err(BadValue { expected: "a text of more than accents" });
    }
    Ok(Test::String { mode, text })
}

/// Lower case, accents removed.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let decomposed: Cow<'_, str> = DecomposingNormalizerBorrowed::new_nfkd().normalize(text);
    decomposed.chars().flat_map(char::to_lowercase).filter(|character| !is_accent(*character)).collect()
}

/// Marks that combine with the letter before them.
fn is_accent(character: char) -> bool {
    matches!(u32::from(character), 0x0300..=0x036F | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0xFE20..=0xFE2F)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Form, fold, test};
    use crate::fhir::store::{IndexValue, Test, TextMode};
    use crate::json;

    #[track_caller]
    fn check(data_type: &str, json: &str, expected: &[&str]) {
        let mut found = Vec::new();
        Form::of(data_type).unwrap().extract(&json::parse(json.as_bytes()).unwrap(), &mut |value| {
            if let IndexValue::String { exact, .. } = value {
                found.push(exact);
            }
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn the_parts_of_names_and_addresses_are_found_each_by_itself() {
        check("HumanName", r#"{"use":"official","given":["Ana","Eva"],"family":"Roy"}"#, &["Roy", "Ana", "Eva"]);
        check("Address", r#"{"line":["1 Main St"],"city":"Bonn","use":"home"}"#, &["1 Main St", "Bonn"]);
        check("string", r#""x""#, &["x"]);
        check("HumanName", r#"{"given":"not an array","family":1}"#, &["not an array"]);
    }

    #[test]
    fn case_and_accents_do_not_matter() {
        for (text, folded) in [("ÉMILE", "emile"), ("Müller", "muller"), ("Ångström", "angstrom"), ("ÖÐ", "oð")]
        {
            assert_eq!(fold(text), folded);
        }
    }

    #[test]
    fn only_the_exact_mode_keeps_case() {
        let text = |mode, text: &str| Ok(Test::String { mode, text: text.to_owned() });
        assert_eq!(test("Müller", TextMode::StartsWith), text(TextMode::StartsWith, "muller"));
        assert_eq!(test(r"A\,b", TextMode::Exact), text(TextMode::Exact, "A,b"));
        assert!(test("", TextMode::Contains).is_err());
        assert!(test("\u{301}", TextMode::StartsWith).is_err());
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,8}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
        }
    }
}
