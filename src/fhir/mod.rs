//! The FHIR R4 server: `api` (an interaction a file), `search` (a parameter type a file), `patch` (a notation a file),
//! `terminology`, `store`, `structure` (whether a resource is one of R4), and `units`, by which amounts compare.

pub(crate) mod api;
pub(crate) mod patch;
pub(crate) mod search;
pub(crate) mod store;
pub(crate) mod structure;
pub(crate) mod terminology;
pub(crate) mod units;
mod words;
pub(crate) mod xml;
