//! String parameters: without regard to case and accents, from the start, <https://hl7.org/fhir/R4/search.html#string>.

use super::error::BadValue;
use super::escape::unescape;
use crate::fhir::store::{IndexValue, Test, TextMode};
use crate::fhir::words::fold_phrase;
use crate::json::Node;

/// Which parts of a data type are texts to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The text itself.
    Plain,
    /// A family name, and what follows each of its words but the last.
    Family,
    /// The parts of a name, each by itself, and the whole.
    HumanName,
    /// The parts of an address, each by itself, and the whole.
    Address,
}

/// Most words of a family name, behind the first, at which it is found.
const FAMILY_WORDS_MAX: usize = 8;

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

    /// The form of the member at the end of a path.
    pub(super) fn of_member(self, name: &str) -> Self {
        if self == Self::Plain && name == "family" { Self::Family } else { self }
    }

    /// The values of one element.
    pub(super) fn extract(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        self.texts(node, &mut |text| emit(IndexValue::String { folded: fold_phrase(text), exact: text.to_owned() }));
        let family = match self {
            Self::Family => Some(node),
            Self::HumanName => node.member("family"),
            Self::Plain | Self::Address => None,
        };
        if let Some(family) = family.and_then(Node::as_str) {
            emit_later_words(family, emit);
        }
    }

    /// The texts of one element.
    pub(super) fn texts(self, node: &Node<'_>, found: &mut impl FnMut(&str)) {
        let parts = match self {
            Self::Plain | Self::Family => return text_in(node, found),
            Self::HumanName => NAME_PARTS,
            Self::Address => ADDRESS_PARTS,
        };
        for part in parts.iter().filter_map(|part| node.member(part)) {
            text_in(part, found);
            for element in part.elements() {
                text_in(element, found);
            }
        }
    }
}

/// A family name from each of its words on, so that `Jones` finds `Smith-Jones`. These are not the name as written.
fn emit_later_words(family: &str, emit: &mut impl FnMut(IndexValue)) {
    let folded = fold_phrase(family);
    let starts = folded.match_indices(' ').filter_map(|(space, _)| folded.get(space + 1..));
    for rest in starts.take(FAMILY_WORDS_MAX) {
        emit(IndexValue::String { folded: rest.to_owned(), exact: String::new() });
    }
}

fn text_in(node: &Node<'_>, found: &mut impl FnMut(&str)) {
    if let Some(text) = node.as_str().filter(|text| !text.is_empty()) {
        found(text);
    }
}

/// A text as a search value.
pub(super) fn test(value: &str, mode: TextMode) -> Result<Test, BadValue> {
    let text = unescape(value).filter(|text| !text.is_empty()).ok_or(BadValue { expected: "a text" })?;
    let text = match mode {
        TextMode::Exact => text,
        TextMode::StartsWith | TextMode::Contains | TextMode::Whole | TextMode::EndsWith => fold_phrase(&text),
    };
    if text.is_empty() {
        return Err(BadValue { expected: "a text of more than accents" });
    }
    Ok(Test::String { mode, text })
}

#[cfg(test)]
mod tests {
    use super::{Form, test};
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
    fn a_family_name_is_found_by_each_of_its_words_but_only_the_whole_to_the_letter() {
        check("HumanName", r#"{"family":"de la Cruz"}"#, &["de la Cruz", "", ""]);
        let mut found = Vec::new();
        let name = json::parse(br#"{"family":"de la Cruz","given":["Ana Eva"]}"#).unwrap();
        Form::HumanName.extract(&name, &mut |value| {
            if let IndexValue::String { folded, .. } = value {
                found.push(folded);
            }
        });
        assert_eq!(found, ["de la cruz", "ana eva", "la cruz", "cruz"]);
    }

    #[test]
    fn only_the_exact_mode_keeps_case() {
        let text = |mode, text: &str| Ok(Test::String { mode, text: text.to_owned() });
        assert_eq!(test("Müller", TextMode::StartsWith), text(TextMode::StartsWith, "muller"));
        assert_eq!(test(r"A\,b", TextMode::Exact), text(TextMode::Exact, "A,b"));
        assert!(test("", TextMode::Contains).is_err());
        assert!(test("\u{301}", TextMode::StartsWith).is_err());
    }
}
