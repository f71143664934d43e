//! Filters of value sets: concepts of a code system by what is said of them,
//! <https://hl7.org/fhir/R4/valueset-filter-operator.html>.

use std::collections::HashSet;

use regex::RegexBuilder;

use super::code_system::{CodeSystem, Concept};
use super::error::TerminologyError;
use super::text;
use crate::json::Node;

/// Largest compiled regular expression, in bytes. They are matched in linear time.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A filter as a value set states it.
struct Filter {
    property: String,
    operator: String,
    value: String,
}

/// The concepts of a system that pass every one of the filters, in the order of the system.
///
/// # Errors
/// When a filter is not understood, or speaks of codes that there are not. `of` is the value set.
pub(super) fn select<'s>(
    of: &str,
    system: &'s CodeSystem,
    filters: &[Node<'_>],
) -> Result<Vec<&'s Concept>, TerminologyError> {
    let mut chosen: Vec<&Concept> = system.all()?.iter().collect();
    for node in filters {
        let filter = Filter::read(of, node)?;
        let codes = filter.codes(of, system)?;
        chosen.retain(|concept| codes.contains(concept.code.as_str()));
    }
    Ok(chosen)
}

impl Filter {
    fn read(of: &str, node: &Node<'_>) -> Result<Self, TerminologyError> {
        let part = |name: &str| {
            let missing = || TerminologyError::definition(of, format!("has a filter without `{name}`"));
            text(node, name).filter(|text| !text.is_empty()).ok_or_else(missing)
        };
        Ok(Self { property: part("property")?, operator: part("op")?, value: part("value")? })
    }

    /// The codes that pass.
    fn codes<'s>(&self, of: &str, system: &'s CodeSystem) -> Result<HashSet<&'s str>, TerminologyError> {
        let is_about_codes = matches!(self.property.as_str(), "concept" | "code");
        let value = self.value.as_str();
        let below = || system.with_descendants(value);
        let named = |concepts: Vec<&'s Concept>| concepts.into_iter().map(|concept| concept.code.as_str());
        Ok(match self.operator.as_str() {
            "is-a" if is_about_codes => named(below()?).collect(),
            "descendent-of" if is_about_codes => named(below()?).filter(|code| !system.is_same(code, value)).collect(),
            "is-not-a" if is_about_codes => {
                let below: HashSet<&str> = named(below()?).collect();
                named(system.all()?.iter().collect()).filter(|code| !below.contains(code)).collect()
            }
            "generalizes" if is_about_codes => named(system.with_ancestors(value)?).collect(),
            "=" => self.keep(system, |stored| stored == value),
            "in" => {
                let values: HashSet<&str> = value.split(',').map(str::trim).collect();
                self.keep(system, |stored| values.contains(stored))
            }
            "not-in" => {
                let values: HashSet<&str> = value.split(',').map(str::trim).collect();
                let within = self.keep(system, |stored| values.contains(stored));
                named(system.all()?.iter().collect()).filter(|code| !within.contains(code)).collect()
            }
            "regex" => {
                let pattern = RegexBuilder::new(&format!("^(?:{value})$")).size_limit(REGEX_BYTES_MAX).build();
                let pattern = pattern.map_err(|_bad| {
                    TerminologyError::definition(
                        of,
                        format!("has a filter with the regular expression `{value}`, which is not understood"),
                    )
                })?;
                self.keep(system, |stored| pattern.is_match(stored))
            }
            "exists" => {
                let existing = self.keep(system, |_stored| true);
                match value {
                    "true" => existing,
                    "false" => named(system.all()?.iter().collect()).filter(|code| !existing.contains(code)).collect(),
                    _ => {
                        let what = "has a filter `exists` that is neither `true` nor `false`";
                        return Err(TerminologyError::definition(of, what));
                    }
                }
            }
            operator => {
                let what = format!("has a filter `{} {operator}`, which is not understood", self.property);
                return Err(TerminologyError::definition(of, what));
            }
        })
    }

    /// The codes of which a value of the property passes.
    fn keep<'s>(&self, system: &'s CodeSystem, passes: impl Fn(&str) -> bool) -> HashSet<&'s str> {
        let has = |concept: &&Concept| match self.property.as_str() {
            "concept" | "code" => passes(&concept.code),
            "display" => concept.display.as_deref().is_some_and(&passes),
            "definition" => concept.definition.as_deref().is_some_and(&passes),
            name => concept.properties.iter().any(|property| property.code == name && passes(&property.plain)),
        };
        system.concepts.iter().filter(has).map(|concept| concept.code.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::select;
    use crate::fhir::terminology::code_system::CodeSystem;
    use crate::json;

    const DRINKS: &str = r#"{"url":"http://d","content":"complete","concept":[
        {"code":"drink","concept":[
            {"code":"tea","display":"Tea","property":[{"code":"heat","valueInteger":90}],"concept":[{"code":"green"}]},
            {"code":"juice","display":"Juice","property":[{"code":"made","valueCoding":{"code":"fruit"}}]}]},
        {"code":"cup"}]}"#;

    #[track_caller]
    fn check(filters: &[(&str, &str, &str)], expected: Option<&[&str]>) {
        let system = CodeSystem::read(&json::parse(DRINKS.as_bytes()).unwrap()).unwrap();
        let filters: Vec<String> = filters
            .iter()
            .map(|(property, op, value)| format!(r#"{{"property":"{property}","op":"{op}","value":"{value}"}}"#))
            .collect();
        let filters: Vec<_> = filters.iter().map(|filter| json::parse(filter.as_bytes()).unwrap()).collect();
        let found = select("http://vs", &system, &filters).ok();
        let found = found.map(|found| found.into_iter().map(|concept| concept.code.as_str()).collect::<Vec<_>>());
        assert_eq!(found.as_deref(), expected, "{filters:?}");
    }

    #[test]
    fn the_hierarchy_selects() {
        check(&[("concept", "is-a", "tea")], Some(&["tea", "green"]));
        check(&[("concept", "descendent-of", "drink")], Some(&["tea", "green", "juice"]));
        check(&[("concept", "is-not-a", "tea")], Some(&["drink", "juice", "cup"]));
        check(&[("code", "generalizes", "green")], Some(&["drink", "tea", "green"]));
        check(&[("concept", "is-a", "beer")], None);
    }

    #[test]
    fn values_select() {
        check(&[("heat", "=", "90")], Some(&["tea"]));
        check(&[("made", "=", "fruit")], Some(&["juice"]));
        check(&[("concept", "in", "tea, cup")], Some(&["tea", "cup"]));
        check(&[("concept", "not-in", "tea,cup")], Some(&["drink", "green", "juice"]));
        check(&[("display", "regex", "[TJ].*e.?")], Some(&["tea", "juice"]));
        check(&[("code", "regex", "e")], Some(&[]));
        check(&[("heat", "exists", "true")], Some(&["tea"]));
        check(&[("display", "exists", "false")], Some(&["drink", "green", "cup"]));
    }

    #[test]
    fn every_filter_must_pass() {
        check(&[("concept", "is-a", "drink"), ("display", "exists", "true")], Some(&["tea", "juice"]));
        check(&[], Some(&["drink", "tea", "green", "juice", "cup"]));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        check(&[("concept", "like", "tea")], None);
        check(&[("heat", "is-a", "tea")], None);
        check(&[("heat", "exists", "maybe")], None);
        check(&[("code", "regex", "(")], None);
        check(&[("code", "=", "")], None);
    }
}
