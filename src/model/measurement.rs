//! What one device measured at one time (rules NM-1 to NM-3).

use std::sync::Arc;

use jiff::Timestamp;

/// What one device measured at one time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measurement {
    /// The name that binds device mapping and FHIR mapping, as the device mapping spells it.
    pub(crate) measurement_type: Arc<str>,
    /// When it was measured, UTC, kept to 100 ns (DM-43).
    pub(crate) occurred_at: Timestamp,
    /// When its message was enqueued (EV-12).
    pub(crate) ingested_at: Timestamp,
    /// Identifier (not logical id) of the device.
    pub(crate) device_id: String,
    /// Identifier of the patient.
    pub(crate) patient_id: Option<String>,
    /// Identifier of the encounter.
    pub(crate) encounter_id: Option<String>,
    /// What binds measurements of one Observation when the period is correlation.
    pub(crate) correlation_id: Option<String>,
    /// Values by name, in mapping order; always text (NM-2).
    pub(crate) properties: Vec<Property>,
}

/// One value of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    /// The value's name, as the device mapping spells it.
    pub(crate) name: Arc<str>,
    /// The value as text (DM-29).
    pub(crate) value: String,
}
