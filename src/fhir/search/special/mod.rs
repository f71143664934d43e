//! Parameters with rules of their own: `_text`, `_content`, `near`, parameters compared by sound, and the first resource
//! of a Bundle.
//!
//! `_text` and `_content` ask for words: each of them must be the beginning of a word, in any order, without regard to
//! case and accents. The words of narratives are indexed; a resource without one has none. What stands anywhere in a
//! resource is not: `_content` reads the resources that fulfil all other criteria, in the time that a search has.

pub(super) mod near;
pub(super) mod sound;

use super::error::BadValue;
use super::escape::unescape;
use crate::fhir::store::{Condition, IndexValue, Test, TextMode};
use crate::fhir::words::{text_of, words};
use crate::json::Node;
use crate::r4::definitions::search_parameters::{ParameterKind, SearchParameter, Usage};
use crate::r4::resource_type::ResourceType;

/// What is special about a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// Words of the narrative.
    Text,
    /// Words anywhere.
    Content,
    /// Distance from a place.
    Near,
    /// Sound of a name.
    Sound,
    /// The first resource of a Bundle, if it is of this type, as if it were referred to.
    FirstEntry(ResourceType),
}

/// The expression of parameters on the first resource of a Bundle.
const FIRST_ENTRY: &str = "Bundle.entry[0].resource";

impl Special {
    /// What is special about a parameter; `None` for most.
    pub(super) fn of(parameter: &SearchParameter) -> Option<Self> {
        match (parameter.code.as_ref(), parameter.usage) {
            ("_text", _) => Some(Self::Text),
            ("_content", _) => Some(Self::Content),
            (_, Usage::Nearby) => Some(Self::Near),
            (_, Usage::Phonetic) => Some(Self::Sound),
            (_, Usage::Normal) => match parameter.targets.as_slice() {
                [target] if parameter.kind == ParameterKind::Reference && parameter.expression == FIRST_ENTRY => {
                    Some(Self::FirstEntry(*target))
                }
                _ => None,
            },
        }
    }

    /// The condition of one value; `None` where the rules of the parameter's type hold.
    pub(super) fn condition(self, parameter: &SearchParameter, value: &str) -> Option<Result<Condition, BadValue>> {
        match self {
            Self::Text => Some(searched(value).map(|words| {
                each(words, |text| {
                    Condition::Has(parameter.code.clone(), Test::String { mode: TextMode::StartsWith, text })
                })
            })),
            Self::Content => Some(searched(value).map(Condition::Words)),
            Self::Near => Some(near::condition(value)),
            Self::Sound => Some(searched(value).map(|words| {
                each(words, |word| {
                    let text = sound::soundex(&word);
                    Condition::Has(parameter.code.clone(), Test::String { mode: TextMode::Exact, text })
                })
            })),
            Self::FirstEntry(_) => None,
        }
    }
}

fn searched(value: &str) -> Result<Vec<String>, BadValue> {
    let words = unescape(value).map(|text| words(&text)).unwrap_or_default();
    if words.is_empty() { Err(BadValue { expected: "one or more words" }) } else { Ok(words) }
}

fn each(words: Vec<String>, condition: impl Fn(String) -> Condition) -> Condition {
    let mut conditions: Vec<Condition> = words.into_iter().map(condition).collect();
    match (conditions.pop(), conditions.is_empty()) {
        (Some(only), true) => only,
        (last, _) => Condition::All(conditions.into_iter().chain(last).collect()),
    }
}

/// The words of a narrative's `div`.
pub(super) fn extract_narrative(div: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
    for word in words(&text_of(div.as_str().unwrap_or_default())) {
        emit(IndexValue::String { exact: word.clone(), folded: word });
    }
}

/// The ways to refer to the resource of an entry: its `fullUrl`, and its type and id.
pub(super) fn extract_entry(entry: &Node<'_>, target: ResourceType, emit: &mut impl FnMut(IndexValue)) {
    let text = |node: Option<&Node<'_>>| node.and_then(Node::as_str).unwrap_or_default().to_owned();
    let Some(resource) = entry.member("resource") else { return };
    if text(resource.member("resourceType")) != target.as_str() {
        return;
    }
    let (full_url, id) = (text(entry.member("fullUrl")), text(resource.member("id")));
    if !full_url.is_empty() {
        emit(IndexValue::Reference { target: full_url });
    }
    if !id.is_empty() {
        emit(IndexValue::Reference { target: format!("{}/{id}", target.as_str()) });
    }
}

#[cfg(test)]
mod tests {
    use super::Special;
    use crate::fhir::search::index::entries;
    use crate::fhir::search::plan::{Budget, criterion};
    use crate::fhir::search::registry::Registry;
    use crate::fhir::store::{Condition, IndexValue, Test, TextMode};
    use crate::json;
    use crate::r4::definitions::search_parameters::search_parameters;
    use crate::r4::resource_type::ResourceType;

    #[test]
    fn the_special_parameters_are_known() {
        let mut known: Vec<String> = ResourceType::all()
            .flat_map(|resource_type| search_parameters(resource_type).iter().map(move |it| (resource_type, it)))
            .filter(|(_, parameter)| Special::of(parameter).is_some() && !parameter.code.starts_with('_'))
            .map(|(resource_type, parameter)| format!("{}.{}", resource_type.as_str(), parameter.code))
            .collect();
        known.sort();
        assert_eq!(
            known.join(" "),
            "Bundle.composition Bundle.message InsurancePlan.phonetic Location.near Organization.phonetic \
             Patient.phonetic Person.phonetic Practitioner.phonetic RelatedPerson.phonetic"
        );
    }

    #[track_caller]
    fn check_indexed(resource: &str, parameter: &str, expected: &[&str]) {
        let node = json::parse(resource.as_bytes()).unwrap();
        let resource_type = ResourceType::parse(node.member("resourceType").unwrap().as_str().unwrap()).unwrap();
        let found: Vec<String> = entries(Registry::r4(), resource_type, &node)
            .into_iter()
            .filter(|entry| entry.parameter.as_ref() == parameter)
            .filter_map(|entry| {
                let (IndexValue::String { exact: text, .. } | IndexValue::Reference { target: text }) = entry.value
                else {
                    return None;
                };
                Some(text)
            })
            .collect();
        assert_eq!(found, expected, "{resource}");
    }

    #[test]
    fn words_of_a_narrative_are_indexed_once_each() {
        let resource = r#"{"resourceType":"Observation","text":{"div":"<div>Pulse, pulse <b>61</b></div>"}}"#;
        check_indexed(resource, "_text", &["61", "pulse"]);
        check_indexed(r#"{"resourceType":"Observation","code":{"text":"Pulse"}}"#, "_text", &[]);
    }

    #[test]
    fn names_are_indexed_by_the_sound_of_each_word() {
        let patient = r#"{"resourceType":"Patient","name":[{"family":"von Meyer","given":["Zoë"]}]}"#;
        check_indexed(patient, "phonetic", &["M600", "V500", "Z000"]);
        check_indexed(r#"{"resourceType":"Organization","name":"Acme"}"#, "phonetic", &["A250"]);
    }

    #[test]
    fn only_the_first_resource_of_a_bundle_counts_and_only_of_the_right_type() {
        let bundle = |first: &str| {
            let second = r#"{"resource":{"resourceType":"Composition","id":"b"}}"#;
            format!(r#"{{"resourceType":"Bundle","type":"document","entry":[{first},{second}]}}"#)
        };
        let composition = r#"{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Composition","id":"a"}}"#;
        check_indexed(&bundle(composition), "composition", &["Composition/a", "urn:uuid:1"]);
        check_indexed(&bundle(composition), "message", &[]);
        check_indexed(&bundle(r#"{"resource":{"resourceType":"Patient","id":"a"}}"#), "composition", &[]);
    }

    #[test]
    fn all_words_are_asked_for() {
        let patient = ResourceType::parse("Patient").unwrap();
        let has = |parameter: &str, mode, text: &str| {
            Condition::Has(parameter.into(), Test::String { mode, text: text.into() })
        };
        let asked = |name, value| {
            let criterion = criterion(Registry::r4(), patient, name, value, &Budget::default());
            criterion.map_err(|error| error.to_string())
        };
        let starts = |text| has("_text", TextMode::StartsWith, text);
        assert_eq!(asked("_text", "Héart-att"), Ok(Condition::All(vec![starts("heart"), starts("att")])));
        assert_eq!(asked("_text", "a,b"), Ok(Condition::Any(vec![starts("a"), starts("b")])));
        assert_eq!(asked("_content", "A b"), Ok(Condition::Words(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(asked("phonetic", "Meier"), Ok(has("phonetic", TextMode::Exact, "M600")));
        for (name, value) in
            [("_text", "-"), ("_content", ""), ("phonetic", "!"), ("phonetic:exact", "a"), ("_content:missing", "true")]
        {
            assert!(asked(name, value).is_err(), "{name}={value}");
        }
    }
}
