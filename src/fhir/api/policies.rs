//! What the operator decides: which versions count and are kept, and what a conditional delete may reach.

use std::collections::HashMap;

use crate::r4::resource_type::ResourceType;

/// Most resources that one conditional delete takes away.
pub(crate) const CONDITIONAL_DELETES_MAX: usize = 1_000;

/// What becomes of a conditional delete (<https://hl7.org/fhir/R4/valueset-conditional-delete-status.html>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ConditionalDeletes {
    /// It is refused.
    Refused,
    /// It deletes the one resource that fulfils the condition.
    #[default]
    Single,
    /// It deletes all that fulfil the condition, up to `CONDITIONAL_DELETES_MAX`, as a whole.
    Multiple,
}

impl ConditionalDeletes {
    /// The code of the CapabilityStatement.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Refused => "not-supported",
            Self::Single => "single",
            Self::Multiple => "multiple",
        }
    }
}

/// What versions of a type are good for (<https://hl7.org/fhir/R4/valueset-versioning-policy.html>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum VersioningPolicy {
    /// Each is kept, and clients may refer to them when they write.
    #[default]
    Versioned,
    /// As `Versioned`, and who changes a resource must say which version they change.
    VersionedUpdate,
    /// Only the current one is kept; it has a number, which clients may refer to when they write.
    NoVersion,
}

impl VersioningPolicy {
    /// The code of the CapabilityStatement.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Versioned => "versioned",
            Self::VersionedUpdate => "versioned-update",
            Self::NoVersion => "no-version",
        }
    }
}

/// The versioning policy of each type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versioning {
    /// Of types that have none of their own.
    pub(crate) default: VersioningPolicy,
    /// Of these types.
    pub(crate) of_types: HashMap<ResourceType, VersioningPolicy>,
}

impl Versioning {
    /// That of a type.
    pub(crate) fn of(&self, resource_type: ResourceType) -> VersioningPolicy {
        self.of_types.get(&resource_type).copied().unwrap_or(self.default)
    }

    /// The types of which only the current version is kept.
    pub(crate) fn without_history(&self) -> impl Iterator<Item = ResourceType> {
        ResourceType::all().filter(|resource_type| self.of(*resource_type) == VersioningPolicy::NoVersion)
    }
}
