//! The FHIR R4 server: `api` (an interaction a file), `search` (a parameter type a file), `patch` (a notation a file),
//! `store`, and `structure` (whether a resource is one of R4).

pub(crate) mod api;
pub(crate) mod patch;
pub(crate) mod search;
pub(crate) mod store;
pub(crate) mod structure;
