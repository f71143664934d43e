//! The FHIR server as seen from outside.
