//! The FHIR REST API: the whole surface on one page, an interaction a file.
