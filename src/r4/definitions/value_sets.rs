//! The value sets R4 requires codes to be from (the bindings of strength `required`), code by code.
//!
//! Some are defined by a standard elsewhere and are not listed: media types (BCP 13), currencies (ISO 4217), units (UCUM)
//! and two that no edition of the definitions lists (`characteristic-combination`, `LL379-9` of LOINC).

use std::collections::HashMap;
use std::sync::LazyLock;

use super::table;

/// A value set of R4.
#[derive(Debug)]
pub(crate) struct ValueSet {
    /// Its canonical URL, without a version.
    pub(crate) url: &'static str,
    /// What it takes from each system.
    parts: Vec<Part>,
}

/// The codes a value set takes from one system.
#[derive(Debug)]
struct Part {
    system: &'static str,
    /// Sorted; empty when R4 does not list them.
    codes: Vec<&'static str>,
}

static VALUE_SETS: LazyLock<HashMap<&'static str, ValueSet>> = LazyLock::new(|| {
    let mut value_sets: HashMap<&'static str, ValueSet> = HashMap::new();
    for [url, system, codes] in table::rows(include_str!("value-sets.tsv")) {
        let mut codes: Vec<&'static str> = table::list(codes, ' ').collect();
        codes.sort_unstable();
        let value_set = value_sets.entry(url).or_insert_with(|| ValueSet { url, parts: Vec::new() });
        value_set.parts.push(Part { system, codes });
    }
    value_sets
});

/// The value set of this URL, if a binding of R4 requires it.
pub(crate) fn value_set(url: &str) -> Option<&'static ValueSet> {
    VALUE_SETS.get(url)
}

impl ValueSet {
    /// The system all its codes are of; empty when they are of several.
    pub(crate) fn only_system(&self) -> &'static str {
        if let [part] = self.parts.as_slice() { part.system } else { "" }
    }

    /// Whether R4 lists its codes. If not, nothing can be said of a code.
    pub(crate) fn is_listed(&self) -> bool {
        self.parts.iter().all(|part| !part.codes.is_empty())
    }

    /// Whether a code of it, of any system, is this one.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.parts.iter().any(|part| part.codes.binary_search(&code).is_ok())
    }

    /// Whether this code of this system is in it.
    pub(crate) fn has_coding(&self, system: &str, code: &str) -> bool {
        let mut parts = self.parts.iter().filter(|part| part.system == system);
        parts.any(|part| part.codes.binary_search(&code).is_ok())
    }

    /// Its codes by system, sorted within each.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, &[&'static str])> {
        self.parts.iter().map(|part| (part.system, part.codes.as_slice()))
    }

    /// Its codes of all systems, sorted within each.
    pub(crate) fn codes(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().flat_map(|part| part.codes.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::{VALUE_SETS, value_set};
    use crate::r4::definitions::elements::element_of;

    #[test]
    fn a_value_set_knows_its_codes() {
        let status = element_of("Observation", "status").unwrap().binding.unwrap();
        assert_eq!(status.url, "http://hl7.org/fhir/ValueSet/observation-status");
        assert!(status.is_listed() && status.has_code("final") && !status.has_code("Final"));
        assert!(status.has_coding("http://hl7.org/fhir/observation-status", "amended"));
        assert!(!status.has_coding("http://hl7.org/fhir/account-status", "amended"));
        assert_eq!(status.codes().count(), 8);
    }

    #[test]
    fn codes_below_others_and_of_imported_sets_are_listed() {
        let all_types = element_of("ParameterDefinition", "type").unwrap().binding.unwrap();
        for code in ["Patient", "Quantity", "dateTime", "Any"] {
            assert!(all_types.has_code(code), "{code}");
        }
        assert_eq!(all_types.only_system(), "");
        let expression_language = element_of("SearchParameter", "xpathUsage").unwrap().binding.unwrap();
        assert!(expression_language.has_code("nearby"));
    }

    #[test]
    fn only_these_are_not_listed() {
        let mut unlisted: Vec<_> = VALUE_SETS.values().filter(|it| !it.is_listed()).map(|it| it.url).collect();
        unlisted.sort_unstable();
        assert_eq!(
            unlisted,
            [
                "http://hl7.org/fhir/ValueSet/characteristic-combination",
                "http://hl7.org/fhir/ValueSet/currencies",
                "http://hl7.org/fhir/ValueSet/mimetypes",
                "http://hl7.org/fhir/ValueSet/ucum-units",
                "http://loinc.org/vs/LL379-9",
            ]
        );
    }

    #[test]
    fn what_no_binding_requires_is_unknown() {
        assert!(value_set("").is_none());
        assert!(value_set("http://hl7.org/fhir/ValueSet/observation-codes").is_none());
    }
}
