//! Measurements that make one Observation (rules GR-1 to GR-8).

use std::sync::Arc;

use jiff::Timestamp;

use super::envelope::Envelope;
use super::measurement::Measurement;
use super::receipt::Receipt;
use super::subject::Subject;

/// Which Observation a measurement belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    /// Type of the measurements, as the device mapping spells it (GR-14).
    pub(crate) measurement_type: Arc<str>,
    /// Identifier of the device.
    pub(crate) device_id: String,
    /// Identifier of the patient.
    pub(crate) patient_id: Option<String>,
    /// Identifier of the encounter.
    pub(crate) encounter_id: Option<String>,
    /// Correlation id as the device mapping found it (GR-1), whatever the period.
    pub(crate) correlation_id: Option<String>,
    /// The span of the Observation.
    pub(crate) span: Span,
}

/// The span of time one Observation covers (GR-5 to GR-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Span {
    /// One instant.
    Single(Timestamp),
    /// A UTC hour or day; the end is 100 ns before the next one starts.
    Bucket {
        /// First instant.
        start: Timestamp,
        /// Last instant.
        end: Timestamp,
    },
    /// From the earliest to the latest measurement with the same correlation id.
    Correlation,
}

/// Measurements that make one Observation, or a part of it.
#[derive(Debug)]
pub(crate) struct MeasurementGroup {
    /// Which Observation.
    pub(crate) key: GroupKey,
    /// Its measurements with the claims on their messages, in order of arrival.
    pub(crate) contributions: Vec<Contribution>,
}

/// A measurement with the message it came from.
#[derive(Debug)]
pub(crate) struct Contribution {
    /// What was measured.
    pub(crate) measurement: Measurement,
    /// The message, shared by all that came of it, for the dead letters.
    pub(crate) envelope: Arc<Envelope>,
    /// A share of the claim on the message.
    pub(crate) receipt: Receipt,
}

/// A measurement on its way to its group.
#[derive(Debug)]
pub(crate) struct Keyed {
    /// Which Observation it belongs to.
    pub(crate) key: GroupKey,
    /// The measurement.
    pub(crate) contribution: Contribution,
}

/// A group whose Device, Patient and Encounter the FHIR server knows.
#[derive(Debug)]
pub(crate) struct ResolvedGroup {
    /// The measurements.
    pub(crate) group: MeasurementGroup,
    /// Who they are about.
    pub(crate) subject: Arc<Subject>,
}
