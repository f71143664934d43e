//! Where the check is, written out only for an issue.

use std::fmt;

/// A place in a resource: a chain of steps on the stack, innermost first.
///
/// Written as R4 asks of `OperationOutcome.issue.expression`: element names and indexes. A choice is named by its
/// element, so `valueQuantity.unit` is `value.unit`, which FHIRPath evaluates to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// A resource, by its type.
    Root(&'a str),
    /// An element of another.
    Element(&'a Place<'a>, &'a str),
    /// One of several values of an element.
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Element(outer, name) => write!(f, "{outer}.{name}"),
            Self::Index(outer, index) => write!(f, "{outer}[{index}]"),
        }
    }
}

impl<'a> Place<'a> {
    /// The name of the element this place is in.
    pub(crate) fn name(&self) -> &'a str {
        match self {
            Self::Root(name) | Self::Element(_, name) => name,
            Self::Index(outer, _) => outer.name(),
        }
    }
}
