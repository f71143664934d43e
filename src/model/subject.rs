//! Who an Observation is about, as the FHIR server knows them (rules ID-1 to ID-18).

/// The logical ids an Observation refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    /// Logical id of the Patient.
    pub(crate) patient_id: String,
    /// Logical id of the Device.
    pub(crate) device_id: String,
    /// Logical id of the Encounter, when the measurement named one.
    pub(crate) encounter_id: Option<String>,
}
