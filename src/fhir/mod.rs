//! The FHIR R4 server: `api` (an interaction a file), `search` (a parameter type a file), `patch` (a notation a file),
//! `terminology`, `store`, `structure` (whether a resource is one of R4), `profile` (whether it is one of a profile), `subset` (parts of resources), `units`, by which
//! amounts compare, and `xml`.

pub(crate) mod api;
pub(crate) mod patch;
pub(crate) mod profile;
pub(crate) mod search;
pub(crate) mod store;
pub(crate) mod structure;
pub(crate) mod subset;
pub(crate) mod terminology;
pub(crate) mod units;
mod words;
pub(crate) mod xml;
