//! The resource types of R4.

/// The name of an R4 resource type; only names of the specification can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ResourceType(&'static str);

const NAMES: [&str; 3] = ["Device", "Observation", "Patient"];

impl ResourceType {
    /// The type of this name, compared exactly.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|known| **known == name).map(|known| Self(known))
    }

    /// The name.
    pub(crate) fn as_str(self) -> &'static str {
        self.0
    }
}
