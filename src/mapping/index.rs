//! Which templates can match a message, found by what their type matches need to be in it.
//!
//! A type match that asks for a member `pulse` selects nothing in a message without one. So every template is filed
//! under one feature of its own, a member name or a name with a text, and a message looks up its own names instead of
//! running every template: the cost of a message does not depend on how many templates there are for others.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::json::Node;

/// Something a document has: a member of this name somewhere, perhaps one with this text as its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Feature {
    name: String,
    text: Option<String>,
}

impl Feature {
    /// A member called `name`.
    pub(super) fn name(name: &str) -> Self {
        Self { name: name.to_owned(), text: None }
    }

    /// A member called `name` that is this text.
    pub(super) fn text(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: Some(text.to_owned()) }
    }

    /// Whether a document has it.
    pub(super) fn is_in(&self, document: &Node<'_>) -> bool {
        let here = |(name, value): &(Cow<'_, str>, Node<'_>)| {
            *name == self.name && self.text.as_deref().is_none_or(|text| value.as_str() == Some(text))
        };
        document.members().iter().any(|member| here(member) || self.is_in(&member.1))
            || document.elements().iter().any(|element| self.is_in(element))
    }

    /// The name of the member.
    pub(super) fn member(&self) -> &str {
        &self.name
    }

    /// What all of several alternatives have in common.
    pub(super) fn common(alternatives: impl Iterator<Item = Vec<Self>>) -> Vec<Self> {
        let common = alternatives.reduce(|mut common, other| {
            common.retain(|feature| other.contains(feature));
            common
        });
        common.unwrap_or_default()
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            None => write!(f, "a member `{}`", self.name),
            Some(text) => write!(f, "a member `{}` that is `{text}`", self.name),
        }
    }
}

/// The templates of a mapping by what they need.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    names: HashMap<String, Named, foldhash::fast::FixedState>,
    /// Templates by the number of the feature they are filed under.
    filed: Vec<Vec<Filed>>,
    /// Templates that may match anything.
    always: Vec<usize>,
}

/// What features there are of one name.
#[derive(Clone, Debug, Default)]
struct Named {
    present: Option<usize>,
    texts: HashMap<String, usize, foldhash::fast::FixedState>,
}

/// A template and the features it needs besides the one it is filed under.
#[derive(Clone, Debug)]
struct Filed {
    template: usize,
    others: Vec<usize>,
}

impl Index {
    /// Files templates, numbered as they come, by the features each needs.
    pub(super) fn of(templates: impl Iterator<Item = Vec<Feature>>) -> Self {
        let templates: Vec<Vec<Feature>> = templates.collect();
        let mut uses: BTreeMap<&Feature, usize> = BTreeMap::new();
        for feature in templates.iter().flatten() {
            *uses.entry(feature).or_default() += 1;
        }
        let mut index = Self::default();
        let numbers: BTreeMap<&Feature, usize> = uses.keys().map(|feature| (*feature, index.number(feature))).collect();
        for (template, features) in templates.iter().enumerate() {
            // The rarest is met least often; of equally rare ones the last, because paths lead from wide to narrow.
            let rarest = features.iter().rev().min_by_key(|feature| uses.get(feature).copied().unwrap_or_default());
            let number = |feature: &Feature| numbers.get(feature).copied();
            match rarest.and_then(number).and_then(|number| index.filed.get_mut(number)) {
                Some(filed) => filed.push(Filed {
                    template,
                    others: features.iter().filter(|feature| Some(*feature) != rarest).filter_map(number).collect(),
                }),
                None => index.always.push(template),
            }
        }
        index
    }

    fn number(&mut self, feature: &Feature) -> usize {
        let number = self.filed.len();
        self.filed.push(Vec::new());
        let named = self.names.entry(feature.name.clone()).or_default();
        match &feature.text {
            None => named.present = Some(number),
            Some(text) => drop(named.texts.insert(text.clone(), number)),
        }
        number
    }

    /// The templates that a document may match, in their order.
    pub(super) fn candidates(&self, document: &Node<'_>) -> Vec<usize> {
        let mut present = Present::with_room_for(self.filed.len());
        self.note(document, &mut present);
        let filed = present.numbers().filter_map(|number| self.filed.get(number)).flatten();
        let matching = filed.filter(|filed| filed.others.iter().all(|number| present.has(*number)));
        let mut candidates: Vec<usize> =
            matching.map(|filed| filed.template).chain(self.always.iter().copied()).collect();
        candidates.sort_unstable();
        candidates
    }

    fn note(&self, node: &Node<'_>, present: &mut Present) {
        for (name, value) in node.members() {
            if let Some(named) = self.names.get(name.as_ref()) {
                named.present.into_iter().for_each(|number| present.add(number));
                if !named.texts.is_empty() {
                    let number = value.as_str().and_then(|text| named.texts.get(text));
                    number.into_iter().for_each(|number| present.add(*number));
                }
            }
            self.note(value, present);
        }
        node.elements().iter().for_each(|element| self.note(element, present));
    }
}

/// A set of feature numbers.
struct Present {
    words: Vec<u64>,
}

impl Present {
    fn with_room_for(features: usize) -> Self {
        Self { words: vec![0; features.div_ceil(64)] }
    }

    fn add(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    fn has(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    fn numbers(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(place, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.checked_sub(1)?;
                Some(place * 64 + usize::try_from(bit).ok()?)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Feature, Index};
    use crate::json::parse;

    #[track_caller]
    fn check(templates: &[&[Feature]], document: &str, expected: &[usize]) {
        let index = Index::of(templates.iter().map(|features| features.to_vec()));
        assert_eq!(index.candidates(&parse(document.as_bytes()).unwrap()), expected, "{document}");
    }

    fn has(name: &str) -> Feature {
        Feature::name(name)
    }

    #[test]
    fn a_template_is_a_candidate_where_all_it_needs_is_somewhere() {
        let templates: [&[Feature]; 4] = [&[has("a"), has("b")], &[has("b")], &[], &[has("c")]];
        check(&templates, r#"{"x":[{"a":1},{"b":null}]}"#, &[0, 1, 2]);
        check(&templates, r#"{"b":{"c":2}}"#, &[1, 2, 3]);
        check(&templates, "[1]", &[2]);
    }

    #[test]
    fn a_text_tells_templates_of_one_member_apart() {
        let templates: [&[Feature]; 3] =
            [&[has("t"), Feature::text("t", "hr")], &[has("t"), Feature::text("t", "spo2")], &[has("t")]];
        check(&templates, r#"{"t":"hr"}"#, &[0, 2]);
        check(&templates, r#"[{"t":"hr"},{"t":"spo2"}]"#, &[0, 1, 2]);
        check(&templates, r#"{"t":1}"#, &[2]);
    }

    #[test]
    fn a_document_has_a_feature_at_any_depth() {
        let document = parse(br#"{"x":[{"t":"hr"}]}"#).unwrap();
        assert!(has("t").is_in(&document) && Feature::text("t", "hr").is_in(&document));
        assert!(!has("hr").is_in(&document) && !Feature::text("t", "spo2").is_in(&document));
    }

    #[test]
    fn candidates_come_in_file_order_whatever_they_are_filed_under() {
        let features: Vec<Vec<Feature>> =
            (0..200).map(|number| vec![has("all"), has(&format!("m{}", 199 - number))]).collect();
        let index = Index::of(features.into_iter());
        let document = r#"{"all":1,"m0":0,"m70":0,"m199":0}"#;
        assert_eq!(index.candidates(&parse(document.as_bytes()).unwrap()), [0, 129, 199]);
    }
}
