//! Series: the Observations that say something of the same concept about one subject, and those of one code about all, in
//! the order of their time. "The newest of each kind" (`$lastn`,
//! <https://hl7.org/fhir/R4/observation-operation-lastn.html>) is read from them, and so are searches for the newest of a
//! subject or a code.
//!
//! A concept is all of `Observation.code`: its codings, or its text if it has none. Concepts that share a coding mean
//! the same, and so do those that share one with either, see `groups`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::fhir::store::{Condition, IndexEntry, IndexValue, Parameter, Selection, SortBy, SortKey, Test};
use crate::json::Node;

/// The name under which series are indexed; no search parameter has it.
pub(crate) static SERIES: LazyLock<Parameter> = LazyLock::new(|| "$series".into());

/// The subject of series of codes, which are about everyone; no reference is this.
pub(crate) const EVERYONE: &str = "";

/// The parameter of what an Observation says something of.
const CODE: &str = "code";

/// What an Observation says something of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Concept {
    /// System (empty for none) and code of each coding, in order, each once; none if there is no text either.
    Codings(Vec<(String, String)>),
    Text(String),
}

/// The places of an Observation in its series, from what else it is found by.
pub(super) fn extract(observation: &Node<'_>, entries: &[IndexEntry]) -> Vec<IndexEntry> {
    let concept = Concept::of(observation, entries);
    let Ok(text) = serde_json::to_string(&concept) else {
        return Vec::new();
    };
    // What has no time is older than all that has one.
    let end = entries.iter().filter(|entry| &*entry.parameter == "date").filter_map(end).max().unwrap_or(i64::MIN);
    let place = |subject: &str, concept: &str| {
        let value = IndexValue::Series { subject: subject.to_owned(), concept: concept.to_owned(), end };
        IndexEntry { parameter: SERIES.clone(), value }
    };
    let subjects = entries.iter().filter(|entry| &*entry.parameter == "subject").filter_map(target);
    let of_subjects = subjects.map(|subject| place(subject, &text));
    of_subjects.chain(concept.codes().into_iter().map(|code| place(EVERYONE, code))).collect()
}

/// Concepts that mean the same, together. Concepts are as in the index.
pub(crate) fn groups(concepts: Vec<String>) -> Vec<Vec<String>> {
    let mut first_with: HashMap<(String, String), usize> = HashMap::new();
    let mut parents: Vec<usize> = (0..concepts.len()).collect();
    for (index, concept) in concepts.iter().enumerate() {
        for coding in codings(concept) {
            let first = *first_with.entry(coding).or_insert(index);
            let (root, other) = (root(&mut parents, index), root(&mut parents, first));
            parents.get_mut(root).into_iter().for_each(|parent| *parent = other);
        }
    }
    let mut groups: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (index, concept) in concepts.into_iter().enumerate() {
        groups.entry(root(&mut parents, index)).or_default().push(concept);
    }
    groups.into_values().collect()
}

/// Whether something of this concept may fulfil a condition: `false` if the condition asks for a code that it has not.
/// Concepts are made of the very values that are searched as `code`, so the two cannot disagree.
pub(crate) fn may_fulfil(concept: &str, condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| may_fulfil(concept, part)),
        Condition::Any(parts) => parts.iter().any(|part| may_fulfil(concept, part)),
        Condition::Has(parameter, Test::Token { system, code: Some(code) }) if &**parameter == CODE => {
            let is_asked = |(of, known): &(String, String)| known == code && system.as_ref().is_none_or(|it| it == of);
            codings(concept).iter().any(is_asked)
        }
        // What says nothing of the code, or something that another code may fulfil too.
        Condition::Has(..)
        | Condition::Not(_)
        | Condition::Id(_)
        | Condition::LastUpdated { .. }
        | Condition::Words(_)
        | Condition::Near { .. }
        | Condition::Present(_)
        | Condition::Coded(..)
        | Condition::Within(..)
        | Condition::Linked { .. }
        | Condition::LinkedFrom { .. } => true,
    }
}

/// The series that hold all matches of a search in its own order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Along<'a> {
    /// Some of those about these subjects.
    Subjects(BTreeSet<&'a str>),
    /// Those of these codes.
    Codes(BTreeSet<&'a str>),
}

impl<'a> Along<'a> {
    /// Of a search for the newest Observations about some subjects or of some codes.
    pub(crate) fn of(selections: &'a [Selection], order: &[SortKey]) -> Option<Self> {
        let ([Selection { resource_type, condition }], [key]) = (selections, order) else {
            return None;
        };
        let is_newest_first = key.descending && matches!(&key.by, SortBy::Value(date, _) if **date == *"date");
        if resource_type.as_str() != "Observation" || !is_newest_first {
            return None;
        }
        pinned(condition, &subject).map(Self::Subjects).or_else(|| pinned(condition, &code).map(Self::Codes))
    }
}

/// What every match has one of, if the condition names it so.
fn pinned<'a>(condition: &'a Condition, name: &impl Fn(&'a Condition) -> Option<&'a str>) -> Option<BTreeSet<&'a str>> {
    if let Condition::All(parts) = condition {
        return parts.iter().find_map(|part| pinned(part, name));
    }
    if let Condition::Any(parts) = condition {
        let sets: Option<Vec<_>> = parts.iter().map(|part| pinned(part, name)).collect();
        return sets.map(|sets| sets.into_iter().flatten().collect());
    }
    name(condition).map(|name| BTreeSet::from([name]))
}

/// The subject that a condition names by itself.
pub(crate) fn subject(condition: &Condition) -> Option<&str> {
    let Condition::Has(parameter, Test::Reference { target }) = condition else { return None };
    is_subject(parameter).then_some(target)
}

/// Whether a parameter leads to what Observations are about.
pub(crate) fn is_subject(parameter: &str) -> bool {
    matches!(parameter, "subject" | "patient")
}

/// The code that a condition names, whatever its system.
fn code(condition: &Condition) -> Option<&str> {
    let Condition::Has(parameter, Test::Token { code, .. }) = condition else { return None };
    code.as_deref().filter(|_| &**parameter == CODE)
}

/// The codings of a concept, none if it is a text.
fn codings(concept: &str) -> Vec<(String, String)> {
    match serde_json::from_str(concept) {
        Ok(Concept::Codings(codings)) => codings,
        Ok(Concept::Text(_)) | Err(_) => Vec::new(),
    }
}

/// The one that stands for all that were joined with `index`; each step shortens the way for the next.
fn root(parents: &mut [usize], mut index: usize) -> usize {
    while let Some(parent) = parents.get(index).copied().filter(|parent| *parent != index) {
        let above = parents.get(parent).copied().unwrap_or(parent);
        parents.get_mut(index).into_iter().for_each(|parent| *parent = above);
        index = above;
    }
    index
}

impl Concept {
    fn of(observation: &Node<'_>, entries: &[IndexEntry]) -> Self {
        let mut codings: Vec<_> = entries.iter().filter(|entry| &*entry.parameter == CODE).filter_map(coding).collect();
        codings.sort_unstable();
        let text = observation.member("code").and_then(|code| code.member("text")).and_then(Node::as_str);
        match text.filter(|text| codings.is_empty() && !text.is_empty()) {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Codings(codings),
        }
    }

    /// The codes, each once, whatever their systems.
    fn codes(&self) -> BTreeSet<&str> {
        match self {
            Self::Codings(codings) => codings.iter().map(|(_, code)| code.as_str()).collect(),
            Self::Text(_) => BTreeSet::new(),
        }
    }
}

fn coding(entry: &IndexEntry) -> Option<(String, String)> {
    let IndexValue::Token { system, code } = &entry.value else { return None };
    (!code.is_empty()).then(|| (system.clone(), code.clone()))
}

fn end(entry: &IndexEntry) -> Option<i64> {
    if let IndexValue::Date { end, .. } = entry.value { Some(end) } else { None }
}

fn target(entry: &IndexEntry) -> Option<&str> {
    if let IndexValue::Reference { target } = &entry.value { Some(target) } else { None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Along, SERIES, groups};
    use crate::fhir::search::index::entries;
    use crate::fhir::search::plan::criteria;
    use crate::fhir::search::registry::Registry;
    use crate::fhir::store::{IndexValue, Selection, SortBy, SortKey, SortKind};
    use crate::json;
    use crate::r4::resource_type::ResourceType;

    fn concept(codes: &[&str]) -> String {
        let codings: Vec<(&str, &str)> = codes.iter().map(|code| ("urn:s", *code)).collect();
        serde_json::to_string(&codings).unwrap()
    }

    #[track_caller]
    fn check(concepts: &[&[&str]], expected: &[&[usize]]) {
        let concepts: Vec<String> = concepts.iter().map(|codes| concept(codes)).collect();
        let expected: BTreeSet<BTreeSet<String>> =
            expected.iter().map(|group| group.iter().map(|index| concepts[*index].clone()).collect()).collect();
        let found = groups(concepts).into_iter().map(|group| group.into_iter().collect());
        assert_eq!(found.collect::<BTreeSet<BTreeSet<String>>>(), expected);
    }

    #[test]
    fn what_shares_a_coding_directly_or_through_others_is_one_group() {
        check(&[&["a"], &["b"], &["c"]], &[&[0], &[1], &[2]]);
        check(&[&["a"], &["b"], &["a", "c"]], &[&[0, 2], &[1]]);
        check(&[&["a"], &["b"], &["a", "b"]], &[&[0, 1, 2]]);
        check(&[&["a", "b"], &["c", "d"], &["e"], &["b", "c"]], &[&[0, 1, 3], &[2]]);
    }

    #[test]
    fn texts_are_one_group_to_the_letter_and_systems_count() {
        let texts = ["textM", "Text", "t e x t"].map(|text| serde_json::to_string(text).unwrap());
        assert_eq!(groups(texts.to_vec()).len(), 3);
        let codings = [r#"[["urn:s","a"]]"#, r#"[["urn:t","a"]]"#, r#"[["","a"]]"#, r#""a""#].map(str::to_owned);
        assert_eq!(groups(codings.to_vec()).len(), 4);
    }

    proptest! {
        #[test]
        fn groups_are_the_connected_parts(sets in prop::collection::btree_set(prop::collection::btree_set(0_u8..12, 1..4), 0..14)) {
            let concept = |set: &BTreeSet<u8>| {
                let codings: Vec<_> = set.iter().map(|code| ("urn:s".to_owned(), code.to_string())).collect();
                serde_json::to_string(&codings).unwrap()
            };
            let found: BTreeSet<BTreeSet<String>> =
                groups(sets.iter().map(concept).collect()).into_iter().map(|group| group.into_iter().collect()).collect();
            let mut parts: Vec<(BTreeSet<u8>, BTreeSet<String>)> =
                sets.iter().map(|set| (set.clone(), BTreeSet::from([concept(set)]))).collect();
            while let Some((one, other)) = (0..parts.len())
                .flat_map(|one| (0..one).map(move |other| (one, other)))
                .find(|(one, other)| !parts[*one].0.is_disjoint(&parts[*other].0))
            {
                let (codes, concepts) = parts.remove(one);
                parts[other].0.extend(codes);
                parts[other].1.extend(concepts);
            }
            prop_assert_eq!(found, parts.into_iter().map(|(_, concepts)| concepts).collect::<BTreeSet<_>>());
        }
    }

    #[track_caller]
    fn check_places(observation: &str, expected: &[(&str, &str)], end: i64) {
        let node = json::parse(observation.as_bytes()).unwrap();
        let mut found = entries(Registry::r4(), ResourceType::OBSERVATION, &node);
        found.retain(|entry| entry.parameter == *SERIES);
        let places: Vec<IndexValue> = found.into_iter().map(|entry| entry.value).collect();
        let place = |(subject, concept): &(&str, &str)| IndexValue::Series {
            subject: (*subject).to_owned(),
            concept: (*concept).to_owned(),
            end,
        };
        assert_eq!(places, expected.iter().map(place).collect::<Vec<_>>());
    }

    #[test]
    fn an_observation_has_its_places_by_subject_by_code_and_by_time() {
        check_places(
            r#"{"code":{"coding":[{"system":"urn:s","code":"b"},{"code":"a"},{"system":"urn:t","code":"a"}],"text":"t"},
                "subject":{"reference":"Patient/1/_history/2"},"effectiveDateTime":"1970-01-01T00:00:01.000Z"}"#,
            &[("Patient/1", r#"[["","a"],["urn:s","b"],["urn:t","a"]]"#), ("", "a"), ("", "b")],
            1_000_999,
        );
        let text = r#"{"code":{"text":"t"},"subject":{"reference":"Patient/1"}}"#;
        check_places(text, &[("Patient/1", r#""t""#)], i64::MIN);
        check_places(r#"{"subject":{"reference":"Patient/1"}}"#, &[("Patient/1", "[]")], i64::MIN);
        check_places(r#"{"code":{"coding":[{"code":"a"},{"display":"x"}]}}"#, &[("", "a")], i64::MIN);
        check_places(r#"{"code":{"text":"t"}}"#, &[], i64::MIN);
    }

    #[track_caller]
    fn check_along(query: &str, expected: Option<Along<'_>>) {
        let condition = criteria(Registry::r4(), ResourceType::OBSERVATION, query).unwrap().condition;
        let selections = [Selection { resource_type: ResourceType::OBSERVATION, condition }];
        let newest = SortKey { by: SortBy::Value("date".into(), SortKind::Date), descending: true };
        assert_eq!(Along::of(&selections, std::slice::from_ref(&newest)), expected, "{query}");
        assert_eq!(Along::of(&selections, &[SortKey { descending: false, ..newest }]), None);
    }

    #[test]
    fn searches_for_one_subject_or_for_codes_go_along_series() {
        let subjects = |subjects: &[&'static str]| Some(Along::Subjects(subjects.iter().copied().collect()));
        let codes = |codes: &[&'static str]| Some(Along::Codes(codes.iter().copied().collect()));
        check_along("patient=Patient/1&code=a", subjects(&["Patient/1"]));
        check_along("patient=1", subjects(&["Group/1", "Patient/1"]));
        check_along("subject=Device/1,Patient/2", subjects(&["Device/1", "Patient/2"]));
        check_along("code=a", codes(&["a"]));
        check_along("status=final&code=urn:s|b,a,urn:t|b", codes(&["a", "b"]));
        for other in ["subject.name=x", "code=urn:s|", "code:not=a", "code=a,urn:s|", "combo-code=a", "status=final"] {
            check_along(other, None);
        }
    }
}
