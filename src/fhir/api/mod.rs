//! The FHIR REST API: the whole surface on one page, an interaction a file.

pub(crate) mod error;
pub(crate) mod resource;
pub(crate) mod search;
mod stand_in;
pub(crate) mod state;
