//! What a resource is found by: every value of every search parameter of its type.
//!
//! On the way of each reading into the store, so everything that can be known before is: expressions are compiled once
//! per type, and their paths are grouped by the member they start with. A resource is then read in one pass over its
//! members; composites then pair what stands together. `_id` and `_lastUpdated` are not indexed here: the store knows
//! both. Parameters with rules of their own are in `special`.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::composite::Composite;
use super::path::{Compiled, Path, Predicate, Step, compile, enter};
use super::registry::Registry;
use super::special::{self, Special};
use super::{date, number, quantity, reference, series, string, token, uri};
use crate::fhir::store::{IndexEntry, IndexValue, Parameter};
use crate::json::Node;
use crate::r4::definitions::search_parameters::{ParameterKind, SearchParameter};
use crate::r4::resource_type::ResourceType;

/// Everything a resource is found by, each value once. References are as written, except that local ones lose their
/// version: turning absolute ones to this server into local ones is the caller's, who knows the server's address.
pub(crate) fn entries(registry: &Registry, resource_type: ResourceType, resource: &Node<'_>) -> Vec<IndexEntry> {
    let mut entries = Vec::with_capacity(32);
    for plan in registry.plans(resource_type) {
        plan.run(resource, |_| true, &mut entries);
    }
    entries.sort_unstable_by(compare);
    entries.dedup_by(|left, right| compare(left, right) == Ordering::Equal);
    if resource_type.as_str() == "Observation" {
        entries.extend(series::extract(resource, &entries));
    }
    entries
}

/// What a resource is found by under these names, as `entries` has it.
pub(crate) fn entries_under(
    registry: &Registry,
    resource_type: ResourceType,
    names: &[Parameter],
    resource: &Node<'_>,
) -> Vec<IndexEntry> {
    let is_wanted = |name: &str| names.iter().any(|wanted| wanted.as_ref() == name);
    let mut entries = Vec::new();
    for plan in registry.plans(resource_type) {
        plan.run(resource, is_wanted, &mut entries);
    }
    // Beside what is wanted stands what is under other names.
    entries.retain(|entry| is_wanted(&entry.parameter));
    entries.sort_unstable_by(compare);
    entries.dedup_by(|left, right| compare(left, right) == Ordering::Equal);
    entries
}

/// All names under which the values of a parameter may be indexed.
pub(crate) fn names(code: &str) -> [Parameter; 4] {
    [code.into(), identifier_parameter(code), text_parameter(code), of_type_parameter(code)]
}

/// Where the references under one parameter point, as `entries` has them.
pub(crate) fn targets(
    registry: &Registry,
    resource_type: ResourceType,
    parameter: &str,
    resource: &Node<'_>,
) -> Vec<String> {
    let mut entries = Vec::new();
    for plan in registry.plans(resource_type) {
        plan.run(resource, |code| code == parameter, &mut entries);
    }
    entries
        .into_iter()
        .filter_map(|entry| match entry.value {
            IndexValue::Reference { target } => Some(target),
            IndexValue::Token { .. }
            | IndexValue::Date { .. }
            | IndexValue::Number { .. }
            | IndexValue::Quantity { .. }
            | IndexValue::Range { .. }
            | IndexValue::String { .. }
            | IndexValue::Uri { .. }
            | IndexValue::Composite { .. }
            | IndexValue::Display { .. }
            | IndexValue::Series { .. } => None,
        })
        .collect()
}

/// Where a reference points, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// To a resource, perhaps to a version of it.
    Reference(String),
    /// To whatever has this canonical URL, perhaps with a version behind a bar.
    Canonical(String),
}

/// Where the references under one parameter point, with the versions that `targets` leaves out.
pub(crate) fn written_targets(
    registry: &Registry,
    resource_type: ResourceType,
    parameter: &str,
    resource: &Node<'_>,
) -> Vec<Written> {
    let mut written = Vec::new();
    for plan in registry.plans(resource_type) {
        plan.write_targets(parameter, resource, &mut written);
    }
    written
}

/// Why nothing can be searched by a parameter; `None` if it can.
pub(super) fn unsupported(parameter: &SearchParameter) -> Option<&'static str> {
    let is_named_query = parameter.expression.is_empty() && Special::of(parameter).is_none();
    is_named_query.then_some("stored queries are not built")
}

/// The composite parameter of this name.
pub(super) fn composite<'r>(registry: &'r Registry, resource_type: ResourceType, code: &str) -> Option<&'r Composite> {
    let mut composites = registry.plans(resource_type).flat_map(|plan| &plan.composites);
    composites.find(|composite| &*composite.parameter == code)
}

/// The name under which the identifiers of references are indexed.
pub(super) fn identifier_parameter(code: &str) -> Parameter {
    format!("{code}:identifier").into()
}

/// The name under which the texts beside codes are indexed.
pub(super) fn text_parameter(code: &str) -> Parameter {
    format!("{code}:text").into()
}

/// The name under which identifiers are indexed with the codes of their types.
pub(super) fn of_type_parameter(code: &str) -> Parameter {
    format!("{code}:of-type").into()
}

/// Where the elements under a token parameter have their system and code.
pub(super) fn token_forms<'r>(
    registry: &'r Registry,
    resource_type: ResourceType,
    parameter: &str,
) -> &'r [token::Form] {
    registry.plans(resource_type).find_map(|plan| plan.token_forms.get(parameter)).map_or(&[], Vec::as_slice)
}

/// Whether an element under a reference parameter can have an identifier.
pub(super) fn has_identifiers(registry: &Registry, resource_type: ResourceType, parameter: &str) -> bool {
    registry.plans(resource_type).any(|plan| plan.identified.contains(parameter))
}

/// Finds a parameter of a type by its code.
pub(super) type Known<'p, 'f> = dyn Fn(&str) -> Option<&'p SearchParameter> + 'f;

/// How one resource type is indexed.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By the member a path starts with.
    members: HashMap<String, Vec<Leaf>>,
    /// Booleans about the whole resource.
    booleans: Vec<(Parameter, Vec<Predicate>)>,
    /// By token parameter, the forms of its elements.
    token_forms: HashMap<Parameter, Vec<token::Form>>,
    /// Reference parameters some element of which can have an identifier.
    identified: HashSet<Parameter>,
    composites: Vec<Composite>,
}

/// One path, from the value of the member it starts with.
#[derive(Debug)]
struct Leaf {
    /// Whose path it is; `code` and `combo-code` share theirs.
    owners: Vec<(Parameter, Beside)>,
    index: Option<usize>,
    rest: Vec<Step>,
    extraction: Extraction,
}

/// What else an element with codes is found by.
#[derive(Debug, Default)]
struct Beside {
    /// Where its texts go.
    texts: Option<Parameter>,
    /// Where its identifiers go, with the codes of their types.
    typed: Option<Parameter>,
}

/// How an element becomes values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extraction {
    Token(token::Form),
    Reference(reference::Form),
    Date(date::Form),
    Quantity(quantity::Form),
    String(string::Form),
    Number,
    Uri(uri::Form),
    Narrative,
    Sound(string::Form),
    FirstEntry(ResourceType),
}

impl Plan {
    /// How a type is indexed by these parameters; `known` has all that the type has, for composites of them.
    pub(super) fn of<'p>(
        resource_type: ResourceType,
        parameters: impl IntoIterator<Item = &'p SearchParameter>,
        known: &Known<'p, '_>,
    ) -> Self {
        let mut plan = Self::default();
        for parameter in parameters {
            if unsupported(parameter).is_none() && !KEPT_BY_THE_STORE.contains(&parameter.code.as_ref()) {
                match Special::of(parameter) {
                    None | Some(Special::Sound) => plan.add(resource_type, parameter, known),
                    Some(special) => plan.add_special(parameter, special),
                }
            }
        }
        plan
    }

    fn add_special(&mut self, parameter: &SearchParameter, special: Special) {
        let member = |name: &str| vec![Step::Member { name: name.to_owned(), index: None }];
        let mut add = |name: &str, parameter: Parameter, index, rest, extraction| {
            let owners = vec![(parameter, Beside::default())];
            self.members.entry(name.to_owned()).or_default().push(Leaf { owners, index, rest, extraction });
        };
        match special {
            Special::Text => add("text", parameter.code.clone(), None, member("div"), Extraction::Narrative),
            Special::Near => {
                for (half, name) in special::near::HALVES {
                    add("position", half.into(), None, member(name), Extraction::Number);
                }
            }
            Special::FirstEntry(target) => {
                add("entry", parameter.code.clone(), Some(0), Vec::new(), Extraction::FirstEntry(target));
            }
            Special::Content | Special::Sound => {}
        }
    }

    /// An expression that does not compile adds nothing. Of R4 there is none; others have been refused.
    fn add<'p>(&mut self, resource_type: ResourceType, parameter: &SearchParameter, known: &Known<'p, '_>) {
        if parameter.kind == ParameterKind::Composite {
            return self.composites.extend(Composite::of(resource_type, parameter, known));
        }
        match compile(resource_type, &parameter.expression) {
            Ok(Compiled::Paths(paths)) => {
                for path in paths {
                    self.add_path(parameter, path);
                }
            }
            Ok(Compiled::AllHold(predicates)) => {
                self.token_forms.entry(parameter.code.clone()).or_default().push(token::Form::Boolean);
                self.booleans.push((parameter.code.clone(), predicates));
            }
            Err(_) => {}
        }
    }

    fn add_path(&mut self, parameter: &SearchParameter, path: Path) {
        let Some(extraction) = values_at(parameter, &path) else {
            return;
        };
        let mut steps = path.steps.into_iter();
        let Some(Step::Member { name, index }) = steps.next() else {
            return;
        };
        let rest: Vec<Step> = steps.collect();
        let leaves = self.members.entry(name).or_default();
        let mut beside = Beside::default();
        if let Extraction::Token(form) = extraction {
            self.token_forms.entry(parameter.code.clone()).or_default().push(form);
            beside.texts = form.has_text().then(|| text_parameter(&parameter.code));
            beside.typed = (form == token::Form::Identifier).then(|| of_type_parameter(&parameter.code));
        }
        if let Extraction::Reference(reference::Form::Reference) = extraction {
            self.identified.insert(parameter.code.clone());
            let identifier = Step::Member { name: "identifier".to_owned(), index: None };
            let rest = rest.iter().cloned().chain([identifier]).collect();
            let extraction = Extraction::Token(token::Form::Identifier);
            let owner = (identifier_parameter(&parameter.code), Beside::default());
            add_leaf(leaves, owner, Leaf { owners: Vec::new(), index, rest, extraction });
        }
        add_leaf(leaves, (parameter.code.clone(), beside), Leaf { owners: Vec::new(), index, rest, extraction });
    }

    fn run(&self, resource: &Node<'_>, wanted: impl Fn(&str) -> bool, entries: &mut Vec<IndexEntry>) {
        for (name, member) in resource.members() {
            for leaf in self.members.get(name.as_ref()).map_or(&[][..], Vec::as_slice) {
                if leaf.owners.iter().any(|(parameter, _)| wanted(parameter)) {
                    leaf.run(member, &wanted, entries);
                }
            }
        }
        for (parameter, predicates) in self.booleans.iter().filter(|(parameter, _)| wanted(parameter)) {
            let holds = predicates.iter().all(|predicate| predicate.holds(resource));
            let value = token::token("", if holds { "true" } else { "false" });
            entries.push(IndexEntry { parameter: parameter.clone(), value });
        }
        for composite in self.composites.iter().filter(|composite| wanted(&composite.parameter)) {
            composite.extract(resource, &mut |value| {
                entries.push(IndexEntry { parameter: composite.parameter.clone(), value });
            });
        }
    }
}

impl Plan {
    fn write_targets(&self, parameter: &str, resource: &Node<'_>, written: &mut Vec<Written>) {
        for (name, member) in resource.members() {
            let leaves = self.members.get(name.as_ref()).map_or(&[][..], Vec::as_slice);
            for leaf in leaves.iter().filter(|leaf| leaf.owners.iter().any(|(owner, _)| owner.as_ref() == parameter)) {
                let Extraction::Reference(form) = leaf.extraction else { continue };
                enter(member, leaf.index, &leaf.rest, &mut |node| {
                    written.extend(form.written(node).map(|text| match form {
                        reference::Form::Reference => Written::Reference(text.to_owned()),
                        reference::Form::Canonical => Written::Canonical(text.to_owned()),
                    }));
                });
            }
        }
    }
}

/// How what stands at the end of a path becomes values of a parameter; `None` if it does not.
pub(super) fn values_at(parameter: &SearchParameter, path: &Path) -> Option<Extraction> {
    if !matches!(path.steps.first(), Some(Step::Member { .. })) {
        return None;
    }
    match Special::of(parameter) {
        Some(_) => string::Form::of(path.data_type).map(Extraction::Sound),
        None => Extraction::of(parameter.kind, path),
    }
}

/// The store finds these without an index entry.
const KEPT_BY_THE_STORE: &[&str] = &["_id", "_lastUpdated"];

fn add_leaf(leaves: &mut Vec<Leaf>, owner: (Parameter, Beside), leaf: Leaf) {
    let same = leaves
        .iter_mut()
        .find(|known| (known.index, &known.rest, known.extraction) == (leaf.index, &leaf.rest, leaf.extraction));
    match same {
        Some(known) => known.owners.push(owner),
        None => leaves.push(Leaf { owners: vec![owner], ..leaf }),
    }
}

impl Leaf {
    fn run(&self, member: &Node<'_>, wanted: impl Fn(&str) -> bool, entries: &mut Vec<IndexEntry>) {
        enter(member, self.index, &self.rest, &mut |node| {
            self.extraction.run(node, &mut |value| {
                for (parameter, _) in self.owners.iter().filter(|(parameter, _)| wanted(parameter)) {
                    entries.push(entry(parameter, value.clone()));
                }
            });
            let Extraction::Token(form) = self.extraction else { return };
            for (_, beside) in &self.owners {
                if let Some(parameter) = &beside.texts {
                    form.extract_texts(node, &mut |value| entries.push(entry(parameter, value)));
                }
                if let Some(parameter) = &beside.typed {
                    form.extract_typed(node, &mut |value| entries.push(entry(parameter, value)));
                }
            }
        });
    }
}

fn entry(parameter: &Parameter, value: IndexValue) -> IndexEntry {
    IndexEntry { parameter: Parameter::clone(parameter), value }
}

impl Extraction {
    /// `None` where a choice may also be of a type by which nothing is found: text for a date, a range for an amount.
    pub(super) fn of(kind: ParameterKind, path: &Path) -> Option<Self> {
        match kind {
            ParameterKind::Token => token::Form::of(path.data_type, path.system).map(Self::Token),
            ParameterKind::Reference => reference::Form::of(path.data_type).map(Self::Reference),
            ParameterKind::Date => date::Form::of(path.data_type).map(Self::Date),
            ParameterKind::Quantity => quantity::Form::of(path.data_type).map(Self::Quantity),
            ParameterKind::String => {
                let member = match path.steps.last() {
                    Some(Step::Member { name, .. }) => name.as_str(),
                    Some(Step::MemberIs { .. } | Step::PointsTo(_)) | None => "",
                };
                string::Form::of(path.data_type).map(|form| Self::String(form.of_member(member)))
            }
            ParameterKind::Uri => uri::Form::of(path.data_type).map(Self::Uri),
            ParameterKind::Number => match path.data_type {
                "decimal" | "integer" | "positiveInt" | "unsignedInt" => Some(Self::Number),
                "Range" => Some(Self::Quantity(quantity::Form::Range)),
                _ => None,
            },
            ParameterKind::Composite | ParameterKind::Special => None,
        }
    }

    /// The values of one element.
    pub(super) fn run(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        match self {
            Self::Token(form) => form.extract(node, emit),
            Self::Reference(form) => form.extract(node, emit),
            Self::Date(form) => form.extract(node, emit),
            Self::Quantity(form) => form.extract(node, emit),
            Self::String(form) => form.extract(node, emit),
            Self::Number => number::extract(node, emit),
            Self::Uri(form) => form.extract(node, emit),
            Self::Narrative => special::extract_narrative(node, emit),
            Self::Sound(form) => special::sound::extract(form, node, emit),
            Self::FirstEntry(target) => special::extract_entry(node, target, emit),
        }
    }
}

/// A total order, so that equal entries end up side by side.
fn compare(left: &IndexEntry, right: &IndexEntry) -> Ordering {
    left.parameter.cmp(&right.parameter).then_with(|| compare_values(&left.value, &right.value))
}

fn compare_values(left: &IndexValue, right: &IndexValue) -> Ordering {
    use IndexValue::{Composite, Date, Display, Number, Quantity, Range, Reference, Series, String, Token, Uri};
    match (left, right) {
        (Token { system, code }, Token { system: other_system, code: other_code }) => {
            code.cmp(other_code).then_with(|| system.cmp(other_system))
        }
        (Reference { target }, Reference { target: other }) => target.cmp(other),
        (Date { start, end }, Date { start: other_start, end: other_end }) => {
            (start, end).cmp(&(other_start, other_end))
        }
        (Number { value }, Number { value: other }) => value.total_cmp(other),
        (
            Quantity { system, code, unit, value },
            Quantity { system: other_system, code: other_code, unit: other_unit, value: other },
        ) => value.total_cmp(other).then_with(|| (system, code, unit).cmp(&(other_system, other_code, other_unit))),
        (
            Range { system, code, unit, low, high },
            Range { system: other_system, code: other_code, unit: other_unit, low: other_low, high: other_high },
        ) => low
            .total_cmp(other_low)
            .then_with(|| high.total_cmp(other_high))
            .then_with(|| (system, code, unit).cmp(&(other_system, other_code, other_unit))),
        (String { folded, exact }, String { folded: other_folded, exact: other }) => {
            (exact, folded).cmp(&(other, other_folded))
        }
        (Uri { uri }, Uri { uri: other }) => uri.cmp(other),
        (Composite { parts }, Composite { parts: other }) => {
            compare_lists(parts, other, |part, other| compare_lists(part, other, compare_values))
        }
        (Display { folded }, Display { folded: other }) => folded.cmp(other),
        (Series { subject, concept, end }, Series { subject: other_subject, concept: other_concept, end: other }) => {
            (subject, concept, end).cmp(&(other_subject, other_concept, other))
        }
        (
            Token { .. }
            | Reference { .. }
            | Date { .. }
            | Number { .. }
            | Quantity { .. }
            | Range { .. }
            | String { .. }
            | Uri { .. }
            | Composite { .. }
            | Display { .. }
            | Series { .. },
            _,
        ) => rank(left).cmp(&rank(right)),
    }
}

fn compare_lists<T>(left: &[T], right: &[T], compare: impl Fn(&T, &T) -> Ordering) -> Ordering {
    let pairs = left.iter().zip(right).map(|(left, right)| compare(left, right));
    pairs.fold(Ordering::Equal, Ordering::then).then_with(|| left.len().cmp(&right.len()))
}

fn rank(value: &IndexValue) -> u8 {
    match value {
        IndexValue::Token { .. } => 0,
        IndexValue::Reference { .. } => 1,
        IndexValue::Date { .. } => 2,
        IndexValue::Number { .. } => 3,
        IndexValue::Quantity { .. } => 4,
        IndexValue::String { .. } => 5,
        IndexValue::Uri { .. } => 6,
        IndexValue::Composite { .. } => 7,
        IndexValue::Display { .. } => 8,
        IndexValue::Range { .. } => 9,
        IndexValue::Series { .. } => 10,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Extraction, KEPT_BY_THE_STORE, Special, entries, targets, unsupported};
    use crate::fhir::search::path::{Compiled, compile};
    use crate::fhir::search::registry::Registry;
    use crate::fhir::store::IndexValue;
    use crate::json;
    use crate::r4::definitions::search_parameters::{ParameterKind, search_parameters};
    use crate::r4::resource_type::ResourceType;

    /// Parameters of R4 by which nothing can be searched yet, by the reason.
    #[test]
    fn the_parameters_that_are_not_supported_are_known() {
        let mut refused = BTreeSet::new();
        for resource_type in ResourceType::all() {
            for parameter in search_parameters(resource_type) {
                if unsupported(parameter).is_some() {
                    let scope = if parameter.code.starts_with('_') { "*" } else { resource_type.as_str() };
                    refused.insert(format!("{scope}.{}", parameter.code));
                }
            }
        }
        let refused: Vec<_> = refused.iter().map(String::as_str).collect();
        assert_eq!(refused, ["*._query"]);
    }

    #[test]
    fn every_other_expression_compiles_and_ends_in_values() {
        let mut passed_over = BTreeSet::new();
        for resource_type in ResourceType::all() {
            for parameter in search_parameters(resource_type) {
                let has_other_rules = parameter.kind == ParameterKind::Composite
                    || KEPT_BY_THE_STORE.contains(&parameter.code.as_ref())
                    || Special::of(parameter).is_some_and(|special| special != Special::Sound);
                if unsupported(parameter).is_some() || has_other_rules {
                    continue;
                }
                let name = format!("{}.{}", resource_type.as_str(), parameter.code);
                let compiled =
                    compile(resource_type, &parameter.expression).unwrap_or_else(|error| panic!("{name}: {error:?}"));
                let Compiled::Paths(paths) = compiled else { continue };
                assert!(
                    paths.iter().any(|path| Extraction::of(parameter.kind, path).is_some()),
                    "{name} finds nothing: {paths:?}"
                );
                for path in paths {
                    if Extraction::of(parameter.kind, &path).is_none() {
                        passed_over.insert(format!("{} as {}", path.data_type, parameter.kind.as_str()));
                    }
                }
            }
        }
        let passed_over: Vec<_> = passed_over.iter().map(String::as_str).collect();
        assert_eq!(
            passed_over,
            [
                // From the birth of a patient whom the resource only names.
                "Age as date",
                "Attachment as reference",
                "Range as date",
                "string as date",
            ]
        );
    }

    const OBSERVATION: &str = r#"{
        "resourceType": "Observation", "status": "final",
        "meta": {"profile": ["http://p/vitals|1"], "tag": [{"system": "t", "code": "demo"}], "lastUpdated": "2024-01-01T00:00:00Z"},
        "identifier": [{"system": "urn:x", "value": "1"}, {"system": "urn:x", "value": "1"}],
        "category": [{"coding": [{"system": "c", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}], "text": "Heart rate"},
        "subject": {"reference": "Patient/p", "identifier": {"system": "mrn", "value": "9"}},
        "device": {"reference": "Device/d"},
        "effectiveDateTime": "1970-01-01T00:00:01Z",
        "valueQuantity": {"value": 65.0, "unit": "beats/min", "system": "http://unitsofmeasure.org", "code": "/min"}
    }"#;

    fn found(resource_type: &str, resource: &str) -> Vec<String> {
        let resource = json::parse(resource.as_bytes()).unwrap();
        entries(Registry::r4(), ResourceType::parse(resource_type).unwrap(), &resource)
            .into_iter()
            .map(|entry| {
                let value = match entry.value {
                    IndexValue::Token { system, code } => format!("{system}|{code}"),
                    IndexValue::Reference { target } => target,
                    IndexValue::Date { start, end } => format!("{start}..{end}"),
                    IndexValue::Number { value } => value.to_string(),
                    IndexValue::Quantity { system, code, unit, value } => format!("{value}|{system}|{code}|{unit}"),
                    IndexValue::Range { code, low, high, .. } => format!("{low}..{high}|{code}"),
                    IndexValue::String { folded, exact } => format!("{folded}/{exact}"),
                    IndexValue::Uri { uri } => uri,
                    IndexValue::Composite { parts } => format!("{} parts", parts.len()),
                    IndexValue::Display { folded } => folded,
                    IndexValue::Series { subject, concept, end } => format!("{subject} {concept} {end}"),
                };
                format!("{} {value}", entry.parameter)
            })
            .collect()
    }

    #[test]
    fn an_observation_is_found_by_all_of_this_and_each_value_once() {
        assert_eq!(
            found("Observation", OBSERVATION),
            [
                "_profile http://p/vitals",
                "_profile http://p/vitals|1",
                "_tag t|demo",
                "category c|vital-signs",
                "code http://loinc.org|8867-4",
                "code-value-quantity 2 parts",
                "code:text heart rate",
                "combo-code http://loinc.org|8867-4",
                "combo-code-value-quantity 2 parts",
                "combo-code:text heart rate",
                "combo-value-quantity 65|http://unitsofmeasure.org|/min|beats/min",
                "date 1000000..1999999",
                "device Device/d",
                "identifier urn:x|1",
                "patient Patient/p",
                "patient:identifier mrn|9",
                "status http://hl7.org/fhir/observation-status|final",
                "subject Patient/p",
                "subject:identifier mrn|9",
                "value-quantity 65|http://unitsofmeasure.org|/min|beats/min",
                r#"$series Patient/p [["http://loinc.org","8867-4"]] 1999999"#,
                "$series  8867-4 1999999",
            ]
        );
    }

    #[test]
    fn a_patient_is_found_by_names_contacts_and_whether_alive() {
        let patient = r#"{"name":[{"family":"Zoë"},{"family":"de la Cruz"}],"telecom":[{"system":"phone","value":"1"}],"birthDate":"1970"}"#;
        assert_eq!(
            found("Patient", patient),
            [
                "birthdate 0..31535999999999",
                "deceased |false",
                "family cruz/",
                "family la cruz/",
                "family zoe/Zoë",
                "family de la cruz/de la Cruz",
                "name cruz/",
                "name la cruz/",
                "name zoe/Zoë",
                "name de la cruz/de la Cruz",
                "phone |1",
                "phonetic C620/C620",
                "phonetic D000/D000",
                "phonetic L000/L000",
                "phonetic Z000/Z000",
                "telecom |1",
            ]
        );
    }

    #[test]
    fn targets_are_those_of_one_parameter() {
        let observation = json::parse(OBSERVATION.as_bytes()).unwrap();
        let targets = |parameter| targets(Registry::r4(), ResourceType::OBSERVATION, parameter, &observation);
        assert_eq!(targets("subject"), ["Patient/p"]);
        assert_eq!(targets("encounter"), [""; 0]);
    }

    #[test]
    fn what_is_no_object_is_found_by_nothing() {
        assert_eq!(found("Observation", "[]"), [""; 0]);
    }
}
