//! The official definitions of R4, condensed into tables by `scripts/condense-r4-definitions` and embedded.
//!
//! The tables are read once, on first use. They say what R4 defines, not what the server supports: that is decided
//! where expressions are compiled and searches planned. Operations are deliberately absent.

pub(crate) mod compartments;
pub(crate) mod elements;
pub(crate) mod invariants;
pub(crate) mod profiles;
pub(crate) mod search_parameters;
pub(crate) mod table;
pub(crate) mod value_sets;
