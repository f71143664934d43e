//! The document of the validator, written as its parts become known, so that it may be of any length.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::exception::Exception;
use crate::model::measurement::Measurement;

/// What is wrong with the templates, and how many loaded.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TemplateResult {
    /// In the order of the files; the device mapping first.
    pub(crate) exceptions: Vec<Exception>,
    /// Device templates without errors.
    pub(crate) device_templates: usize,
    /// FHIR templates without errors.
    pub(crate) fhir_templates: usize,
}

/// What came of an event, or of all events with the same problem (VA-11).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeviceResult<'e> {
    /// The event, character for character.
    pub(crate) device_event: &'e RawValue,
    /// In the order of DM-23.
    pub(crate) measurements: Vec<NormalizedMeasurement>,
    /// One for each measurement that converts.
    pub(crate) observations: Vec<Box<RawValue>>,
    /// No two the same.
    pub(crate) exceptions: Vec<Exception>,
    /// Events with the problem; 0 when each event stands for itself.
    pub(crate) aggregated_count: u64,
}

impl<'e> DeviceResult<'e> {
    /// A result with nothing in it yet.
    pub(super) fn of(device_event: &'e RawValue) -> Self {
        Self {
            device_event,
            measurements: Vec::new(),
            observations: Vec::new(),
            exceptions: Vec::new(),
            aggregated_count: 0,
        }
    }

    /// Adds a problem. Measurements of one event often share one, which is said once.
    pub(super) fn note(&mut self, exception: Exception) {
        if !self.exceptions.contains(&exception) {
            self.exceptions.push(exception);
        }
    }
}

/// A measurement as it travels between the two halves of the reference (NM-1 to NM-3).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NormalizedMeasurement {
    /// Type of the measurement.
    pub(crate) r#type: String,
    /// When it was measured, UTC, without zeros at the end of the fraction.
    pub(crate) occurrence_time_utc: Timestamp,
    /// When its event was enqueued; null when the sample does not say.
    pub(crate) ingestion_time_utc: Option<Timestamp>,
    /// Identifier of the device.
    pub(crate) device_id: String,
    /// Identifier of the patient.
    pub(crate) patient_id: Option<String>,
    /// Identifier of the encounter.
    pub(crate) encounter_id: Option<String>,
    /// What binds it to others of its Observation.
    pub(crate) correlation_id: Option<String>,
    /// Values in mapping order.
    pub(crate) properties: Vec<NormalizedProperty>,
}

/// A value of a measurement (NM-2).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NormalizedProperty {
    /// Its name.
    pub(crate) name: String,
    /// Always text.
    pub(crate) value: String,
}

impl NormalizedMeasurement {
    /// A measurement whose event says that it was enqueued at this time, or does not say.
    pub(super) fn of(measurement: &Measurement, enqueued_at: Option<Timestamp>) -> Self {
        let properties = measurement
            .properties
            .iter()
            .map(|property| NormalizedProperty { name: property.name.to_string(), value: property.value.clone() });
        Self {
            r#type: measurement.measurement_type.to_string(),
            occurrence_time_utc: measurement.occurred_at,
            ingestion_time_utc: enqueued_at,
            device_id: measurement.device_id.clone(),
            patient_id: measurement.patient_id.clone(),
            encounter_id: measurement.encounter_id.clone(),
            correlation_id: measurement.correlation_id.clone(),
            properties: properties.collect(),
        }
    }
}

/// The document on its way out: one line for the templates, one for each result. It must be closed.
#[must_use]
pub(crate) struct Document<W> {
    out: W,
    is_empty: bool,
}

impl<W: Write> Document<W> {
    /// Begins with the templates.
    ///
    /// # Errors
    /// When it cannot be written; so with the others.
    pub(crate) fn open(mut out: W, templates: &TemplateResult) -> io::Result<Self> {
        write!(out, "{{\"TemplateResult\":{},\n\"DeviceResults\":[", serde_json::to_string(templates)?)?;
        Ok(Self { out, is_empty: true })
    }

    /// Writes the next result.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn result(&mut self, result: &DeviceResult<'_>) -> io::Result<()> {
        self.out.write_all(if std::mem::replace(&mut self.is_empty, false) { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut self.out, result)?;
        Ok(())
    }

    /// Ends the document.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.out.write_all(b"]}\n")?;
        self.out.flush()
    }
}
