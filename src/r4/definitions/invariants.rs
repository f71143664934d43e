//! The rules in FHIRPath that R4 itself has for its types and elements
//! (<https://hl7.org/fhir/R4/conformance-rules.html#constraints>), but those that the check of the structure keeps.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::table;

/// A rule of R4.
#[derive(Debug)]
pub(crate) struct Invariant {
    /// Its name: `obs-6`.
    pub(crate) key: &'static str,
    /// Whether a resource that breaks it is wrong, or only less good than it could be.
    pub(crate) is_error: bool,
    /// What it asks, for people.
    pub(crate) human: &'static str,
    /// The same as FHIRPath.
    pub(crate) expression: &'static str,
}

static INVARIANTS: LazyLock<HashMap<&'static str, Vec<Invariant>>> = LazyLock::new(|| {
    let mut invariants: HashMap<&'static str, Vec<Invariant>> = HashMap::new();
    for [element, key, severity, human, expression] in table::rows(include_str!("invariants.tsv")) {
        let invariant = Invariant { key, is_error: severity == "error", human, expression };
        invariants.entry(element).or_default().push(invariant);
    }
    invariants
});

/// The rules of an element or type by its path: `Observation`, `Observation.component`, `Quantity`. What all resources
/// with a narrative have in common is under `DomainResource`.
pub(crate) fn invariants_of(path: &str) -> &'static [Invariant] {
    INVARIANTS.get(path).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::{INVARIANTS, invariants_of};

    #[test]
    fn every_row_loads_and_no_path_has_a_key_twice() {
        let rows: usize = INVARIANTS.values().map(Vec::len).sum();
        assert_eq!(rows, include_str!("invariants.tsv").lines().count() - 1);
        for (path, invariants) in INVARIANTS.iter() {
            let mut keys: Vec<_> = invariants.iter().map(|invariant| invariant.key).collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), invariants.len(), "{path}");
        }
    }

    #[test]
    fn an_element_knows_its_own_rules() {
        let keys = |path| invariants_of(path).iter().map(|invariant| invariant.key).collect::<Vec<_>>();
        assert_eq!(keys("Observation"), ["obs-6", "obs-7"]);
        assert_eq!(keys("Quantity"), ["qty-3"]);
        assert_eq!(keys("DomainResource"), ["dom-3", "dom-6"]);
        assert!(!invariants_of("DomainResource")[1].is_error);
        assert!(keys("Observation.status").is_empty());
    }
}
