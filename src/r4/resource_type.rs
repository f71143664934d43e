//! The resource types of R4.

use std::sync::LazyLock;

use crate::r4::definitions::table;

/// The name of an R4 resource type; only names of the specification can be built. `Resource` and `DomainResource` are
/// not among them: nothing is ever one of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ResourceType(&'static str);

/// Name and what it specialises, sorted by name.
static TYPES: LazyLock<Vec<(ResourceType, &'static str)>> = LazyLock::new(|| {
    table::rows(include_str!("definitions/resource-types.txt"))
        .map(|[name, specialises]| (ResourceType(name), specialises))
        .collect()
});

impl ResourceType {
    /// What Bundles are of.
    #[cfg(test)]
    pub(crate) const BUNDLE: Self = Self("Bundle");
    /// What `_list` names.
    pub(crate) const LIST: Self = Self("List");
    /// What devices send becomes this type.
    #[cfg(test)]
    pub(crate) const OBSERVATION: Self = Self("Observation");

    /// The type of this name, compared exactly.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let row = TYPES.binary_search_by(|(known, _)| known.0.cmp(name)).ok()?;
        TYPES.get(row).map(|(known, _)| *known)
    }

    /// The name.
    pub(crate) fn as_str(self) -> &'static str {
        self.0
    }

    /// Every type, by name.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        TYPES.iter().map(|(known, _)| *known)
    }

    /// The types whose search parameters this one has besides its own.
    pub(crate) fn ancestors(self) -> &'static [&'static str] {
        match TYPES.iter().find(|(known, _)| *known == self) {
            Some((_, "DomainResource")) => &["DomainResource", "Resource"],
            _ => &["Resource"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ResourceType;

    #[test]
    fn r4_has_146_types_that_can_be_stored() {
        assert_eq!(ResourceType::all().count(), 146);
        for name in ["Account", "Observation", "Bundle", "VisionPrescription"] {
            assert_eq!(ResourceType::parse(name).map(ResourceType::as_str), Some(name));
        }
    }

    #[test]
    fn names_that_are_no_type_are_refused() {
        for name in ["", "observation", "Resource", "DomainResource", "SubscriptionStatus", "type"] {
            assert_eq!(ResourceType::parse(name), None, "{name}");
        }
    }

    #[test]
    fn the_constants_are_types_of_the_table() {
        for constant in [ResourceType::BUNDLE, ResourceType::LIST, ResourceType::OBSERVATION] {
            assert_eq!(ResourceType::parse(constant.as_str()), Some(constant));
        }
    }
}
