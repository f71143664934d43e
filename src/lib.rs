//! Device telemetry to FHIR R4 Observations, and the FHIR service that serves them.

mod clock;
mod fhir;
mod json;
mod model;
mod r4;
