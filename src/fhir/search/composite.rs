//! Composite parameters: values that stand together in one element,
//! <https://hl7.org/fhir/R4/search.html#combining>.
//!
//! Each part has the type of another parameter of the resource type and is read from where the composite's expression
//! ends: code and value of the same component, never the code of one and the value of the next. What an element holds
//! for all parts is one index value. Nothing is looked up by it; candidates come from the parameters of the parts,
//! whose values are a superset wherever `Part::is_indexed` says so.

use super::error::BadValue;
use super::escape::split;
use super::index::{Extraction, Known};
use super::path::{Path, PathError, Step, compile_paths, compile_within, walk};
use crate::fhir::store::{Condition, IndexValue, Parameter, Test};
use crate::json::Node;
use crate::r4::definitions::search_parameters::{Component, SearchParameter};
use crate::r4::resource_type::ResourceType;

/// A composite parameter of a resource type.
#[derive(Debug)]
pub(super) struct Composite {
    /// Its code.
    pub(super) parameter: Parameter,
    /// Its parts, in the order in which a search value names them.
    pub(super) parts: Vec<Part>,
    places: Vec<Place>,
}

/// A part of a composite, as a search sees it.
#[derive(Debug)]
pub(super) struct Part {
    /// The parameter whose type it has.
    pub(super) parameter: SearchParameter,
    /// Whether all values of the part are found under that parameter as well.
    pub(super) is_indexed: bool,
}

/// One alternative of the composite's expression.
#[derive(Debug)]
struct Place {
    steps: Vec<Step>,
    /// Where each part has its values.
    parts: Vec<Vec<Source>>,
}

/// Values of a part.
#[derive(Debug)]
struct Source {
    origin: Origin,
    steps: Vec<Step>,
    extraction: Extraction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The element where the composite's expression ends.
    Element,
    /// The whole resource: R4 takes the chromosome of a variant from there.
    Resource,
}

const FROM_RESOURCE: &str = "%resource.";

impl Composite {
    /// `None` when an expression does not compile. Of R4 there is none; others have been refused.
    pub(super) fn of(resource_type: ResourceType, composite: &SearchParameter, known: &Known<'_, '_>) -> Option<Self> {
        let parameters: Option<Vec<_>> = composite.components.iter().map(|component| known(&component.code)).collect();
        let parameters = parameters?;
        let paths = compile_paths(resource_type, &composite.expression).ok()?;
        let places: Option<Vec<Place>> = paths
            .into_iter()
            .map(|path| {
                let parts = composite.components.iter().zip(&parameters).map(|(component, parameter)| {
                    let own = sources(resource_type, &path, component, parameter)?;
                    if !own.is_empty() {
                        return Some(own);
                    }
                    // R4 has the expressions of `DocumentReference.relationship` the wrong way round.
                    let mut others = composite.components.iter();
                    others.find_map(|other| {
                        sources(resource_type, &path, other, parameter).filter(|sources| !sources.is_empty())
                    })
                });
                Some(Place { parts: parts.collect::<Option<_>>()?, steps: path.steps })
            })
            .collect();
        let places = places?;
        let parts = parameters.into_iter().enumerate().map(|(at, parameter)| Part {
            parameter: parameter.clone(),
            is_indexed: places.iter().all(|place| place.is_indexed(resource_type, at, parameter)),
        });
        Some(Self { parameter: composite.code.clone(), parts: parts.collect(), places })
    }

    /// What each element of the resource holds for all parts together.
    pub(super) fn extract(&self, resource: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        for place in &self.places {
            walk(resource, &place.steps, &mut |element| {
                if let Some(parts) = place.values(resource, element) {
                    emit(IndexValue::Composite { parts });
                }
            });
        }
    }

    /// The condition of `value$value`: each part by itself, for the indexes, and all of them together.
    pub(super) fn condition<'c>(
        &'c self,
        value: &str,
        part: impl Fn(&'c SearchParameter, &str) -> Result<Condition, BadValue>,
    ) -> Result<Condition, BadValue> {
        let values = split(value, '$');
        if values.len() != self.parts.len() {
            return Err(BadValue { expected: "a value for each part of the parameter, with `$` between them" });
        }
        let mut all = Vec::with_capacity(values.len() + 1);
        let mut together = Vec::with_capacity(values.len());
        for (known, value) in self.parts.iter().zip(values) {
            let condition = part(&known.parameter, value)?;
            let mut tests = Vec::new();
            alternatives(&condition, &mut tests);
            together.push(tests);
            if known.is_indexed {
                all.push(condition);
            }
        }
        all.push(Condition::Has(self.parameter.clone(), Test::Composite { parts: together }));
        Ok(Condition::All(all))
    }
}

/// What keeps a composite from having values: its own expression (`Some(None)`), or the one of the part at this place.
///
/// # Errors
/// When its expression is not understood.
pub(super) fn parts_without_values(
    resource_type: ResourceType,
    composite: &SearchParameter,
    known: &Known<'_, '_>,
) -> Result<Option<Option<usize>>, PathError> {
    let places = compile_paths(resource_type, &composite.expression)?;
    if places.is_empty() {
        return Ok(Some(None));
    }
    let has_values = |component: &Component| {
        let parameter = known(&component.code)?;
        let sources = places.iter().map(|place| sources(resource_type, place, component, parameter));
        sources.into_iter().all(|sources| sources.is_some_and(|it| !it.is_empty())).then_some(())
    };
    Ok(composite.components.iter().position(|component| has_values(component).is_none()).map(Some))
}

/// The tests of which one has to pass; a value of a part is a test or several such.
fn alternatives(condition: &Condition, tests: &mut Vec<Test>) {
    match condition {
        Condition::Has(_, test) => tests.push(test.clone()),
        Condition::Any(several) => several.iter().for_each(|condition| alternatives(condition, tests)),
        Condition::All(_)
        | Condition::Not(_)
        | Condition::Id(_)
        | Condition::LastUpdated { .. }
        | Condition::Words(_)
        | Condition::Near { .. }
        | Condition::Present(_)
        | Condition::Coded(..)
        | Condition::Within(..)
        | Condition::Linked { .. }
        | Condition::LinkedFrom { .. } => {}
    }
}

fn sources(
    resource_type: ResourceType,
    place: &Path,
    component: &Component,
    parameter: &SearchParameter,
) -> Option<Vec<Source>> {
    let (origin, paths) = match component.expression.strip_prefix(FROM_RESOURCE) {
        Some(rest) => (Origin::Resource, compile_paths(resource_type, rest)),
        None => (Origin::Element, compile_within(resource_type, place, &component.expression)),
    };
    let sources = paths.ok()?.into_iter().filter_map(|path| {
        Some(Source { origin, extraction: Extraction::of(parameter.kind, &path)?, steps: path.steps })
    });
    Some(sources.collect())
}

impl Place {
    /// The values of each part; `None` when a part has none here. The last part is most often the one without, so it
    /// is looked at first.
    fn values(&self, resource: &Node<'_>, element: &Node<'_>) -> Option<Vec<Vec<IndexValue>>> {
        let mut parts = Vec::new();
        for sources in self.parts.iter().rev() {
            let mut values = Vec::new();
            for source in sources {
                let origin = if source.origin == Origin::Resource { resource } else { element };
                walk(origin, &source.steps, &mut |node| {
                    source.extraction.run(node, &mut |value| values.push(value));
                });
            }
            if values.is_empty() {
                return None;
            }
            parts.push(values);
        }
        parts.reverse();
        Some(parts)
    }

    /// Whether the parameter of a part is indexed from every source the part has here.
    fn is_indexed(&self, resource_type: ResourceType, part: usize, parameter: &SearchParameter) -> bool {
        let indexed = compile_paths(resource_type, &parameter.expression).unwrap_or_default();
        let sources = self.parts.get(part).map_or(&[][..], Vec::as_slice);
        sources.iter().all(|source| {
            let before = if source.origin == Origin::Resource { &[][..] } else { self.steps.as_slice() };
            let steps = before.iter().chain(&source.steps);
            indexed.iter().any(|path| {
                path.steps.iter().eq(steps.clone()) && Extraction::of(parameter.kind, path) == Some(source.extraction)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::index::{entries, unsupported};
    use super::super::registry::Registry;
    use super::Composite;
    use crate::fhir::store::IndexValue;
    use crate::json;
    use crate::r4::definitions::search_parameters::{ParameterKind, search_parameter, search_parameters};
    use crate::r4::resource_type::ResourceType;

    fn composites() -> impl Iterator<Item = (String, Composite)> {
        ResourceType::all().flat_map(|resource_type| {
            let composites = search_parameters(resource_type).iter().filter(|it| it.kind == ParameterKind::Composite);
            composites.map(move |parameter| {
                let name = format!("{}.{}", resource_type.as_str(), parameter.code);
                assert!(parameter.components.len() > 1, "{name}");
                let known = |code: &str| search_parameter(resource_type, code);
                let composite = Composite::of(resource_type, parameter, &known).unwrap_or_else(|| panic!("{name}"));
                (name, composite)
            })
        })
    }

    #[test]
    fn every_part_of_every_composite_of_r4_has_values_and_a_parameter_that_is_built() {
        let mut count = 0;
        for (name, composite) in composites() {
            for (at, part) in composite.parts.iter().enumerate() {
                assert_eq!(unsupported(&part.parameter), None, "{name}");
                assert!(composite.places.iter().all(|place| !place.parts[at].is_empty()), "{name} {at}");
            }
            assert!(!composite.places.is_empty(), "{name}");
            count += 1;
        }
        assert_eq!(count, 72);
    }

    #[test]
    fn parts_that_their_own_parameter_does_not_find_are_known() {
        let mut missing = BTreeSet::new();
        for (name, composite) in composites() {
            for part in composite.parts.iter().filter(|part| !part.is_indexed) {
                missing.insert(format!("{name} {}", part.parameter.code));
            }
            assert!(composite.parts.iter().any(|part| part.is_indexed), "{name} has no index at all");
        }
        assert_eq!(missing, BTreeSet::new());
    }

    fn text(value: &IndexValue) -> String {
        match value {
            IndexValue::Token { code, .. } => code.clone(),
            IndexValue::Quantity { value, .. } | IndexValue::Number { value } => value.to_string(),
            IndexValue::Reference { target: text }
            | IndexValue::Uri { uri: text }
            | IndexValue::Series { concept: text, .. } => text.clone(),
            IndexValue::String { exact, .. } => exact.clone(),
            IndexValue::Display { folded } => folded.clone(),
            IndexValue::Date { start, end } => format!("{start}..{end}"),
            IndexValue::Range { low, high, .. } => format!("{low}..{high}"),
            IndexValue::Composite { parts } => {
                let part = |values: &Vec<_>| values.iter().map(text).collect::<Vec<_>>().join(",");
                parts.iter().map(part).collect::<Vec<_>>().join("$")
            }
        }
    }

    #[track_caller]
    fn check(resource_type: &str, parameter: &str, resource: &str, expected: &[&str]) {
        let resource_type = ResourceType::parse(resource_type).unwrap();
        assert!(search_parameter(resource_type, parameter).is_some());
        let entries = entries(Registry::r4(), resource_type, &json::parse(resource.as_bytes()).unwrap());
        let found = entries.into_iter().filter(|entry| &*entry.parameter == parameter);
        let found: Vec<String> = found.map(|entry| text(&entry.value)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn parts_come_from_one_element() {
        let coded = |code: &str, value: u8| {
            format!(
                r#"{{"code":{{"coding":[{{"code":"{code}"}},{{"code":"{code}2"}}]}},"valueQuantity":{{"value":{value}}}}}"#
            )
        };
        let observation = format!(
            r#"{{"code":{{"coding":[{{"code":"bp"}}]}},"component":[{},{},{{"valueQuantity":{{"value":1}}}}]}}"#,
            coded("sys", 120),
            coded("dia", 80)
        );
        let pairs = ["dia,dia2$80", "sys,sys2$120"];
        check("Observation", "component-code-value-quantity", &observation, &pairs);
        check("Observation", "combo-code-value-quantity", &observation, &pairs);
        check("Observation", "code-value-quantity", &observation, &[]);
    }

    #[test]
    fn a_part_may_come_from_the_whole_resource() {
        let sequence = r#"{"referenceSeq":{"chromosome":{"coding":[{"code":"1"}]}},
            "variant":[{"start":5,"end":7},{"start":9}]}"#;
        check("MolecularSequence", "chromosome-variant-coordinate", sequence, &["1$5$7"]);
    }

    #[test]
    fn a_part_may_be_a_reference() {
        let document = r#"{"relatesTo":[{"code":"replaces","target":{"reference":"DocumentReference/1"}}]}"#;
        check("DocumentReference", "relationship", document, &["DocumentReference/1$replaces"]);
    }
}
