//! FHIR R4 (4.0.1) as it is written on the wire, for both ends of it: the pipeline that sends and the server.
//!
//! Definitions (resource types, search parameters) are compact tables condensed from the official ones; there is no
//! generated type library.

pub(crate) mod definitions;
pub(crate) mod id;
pub(crate) mod outcome;
pub(crate) mod resource_type;
