//! The FHIR R4 server: `api` (an interaction a file), `search` (a parameter type a file), `store`.

pub(crate) mod api;
pub(crate) mod search;
pub(crate) mod store;
