//! One sample event through the mappings: its measurements, what becomes of each alone, and all that goes wrong.

use serde_json::value::RawValue;

use super::document::{DeviceResult, NormalizedMeasurement};
use super::exception::Exception;
use super::sample::{Sample, Wrapping};
use crate::convert::preview::preview;
use crate::mapping::Mappings;
use crate::mapping::explain::{Explanation, Token};
use crate::mapping::extract::{Extracted, Extraction};

/// Mappings to run samples through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial<'w> {
    pub(super) mappings: &'w Mappings,
    /// Whether there is a FHIR mapping (VA-10).
    pub(super) converts: bool,
    pub(super) wrapping: Wrapping,
}

/// What one template made of an event.
#[derive(Debug)]
pub(crate) struct Explained<'e> {
    /// The template step by step.
    pub(crate) template: Explanation,
    /// What came of each of the tokens that are explained.
    pub(crate) results: Vec<DeviceResult<'e>>,
}

impl Trial<'_> {
    /// Runs one event (VA-7 to VA-9).
    pub(crate) fn run<'e>(&self, event: &'e RawValue) -> DeviceResult<'e> {
        let mut result = DeviceResult::of(event);
        match Sample::of(event, self.wrapping) {
            Ok(sample) => self.normalize(&sample, &mut result),
            Err(exception) => result.note(exception),
        }
        result
    }

    /// Runs one event and tells of every template what it did, and what came of each of its tokens.
    ///
    /// # Errors
    /// When the event is no envelope, or its payload is not JSON.
    pub(crate) fn explain<'e>(&self, event: &'e RawValue) -> Result<Vec<Explained<'e>>, Exception> {
        let sample = Sample::of(event, self.wrapping)?;
        let templates = self.mappings.explain(&sample.envelope);
        let templates = templates.map_err(|failure| Exception::of_failure(&failure))?;
        let explained = templates.into_iter().map(|template| Explained {
            results: template.tokens.iter().map(|token| self.result_of(token, &sample, event)).collect(),
            template,
        });
        Ok(explained.collect())
    }

    fn result_of<'e>(&self, token: &Token, sample: &Sample, event: &'e RawValue) -> DeviceResult<'e> {
        let mut result = DeviceResult::of(event);
        self.tell(&token.extraction, sample, &mut result);
        result
    }

    fn normalize(&self, sample: &Sample, result: &mut DeviceResult<'_>) {
        let extraction = match self.mappings.extract(&sample.envelope) {
            Ok(extraction) => extraction,
            Err(failure) => Extraction { failures: vec![failure], ..Extraction::default() },
        };
        if extraction.measurements.is_empty() && extraction.failures.is_empty() {
            result.note(Exception::no_measurements());
        }
        self.tell(&extraction, sample, result);
    }

    /// What was extracted, and what becomes of it.
    fn tell(&self, extraction: &Extraction, sample: &Sample, result: &mut DeviceResult<'_>) {
        Exception::of_failures(&extraction.failures).into_iter().for_each(|exception| result.note(exception));
        extraction.warnings.iter().for_each(|doubt| result.note(Exception::of_doubt(doubt)));
        for Extracted { measurement, .. } in &extraction.measurements {
            result.measurements.push(NormalizedMeasurement::of(measurement, sample.enqueued_at));
        }
        if self.converts {
            extraction.measurements.iter().for_each(|extracted| self.convert(extracted, result));
        }
    }

    fn convert(&self, Extracted { measurement, .. }: &Extracted, result: &mut DeviceResult<'_>) {
        let Some(template) = self.mappings.fhir_template(&measurement.measurement_type) else {
            return result.note(Exception::template_not_found(&measurement.measurement_type));
        };
        match preview(template, measurement) {
            Ok(preview) => {
                result.observations.extend(RawValue::from_string(preview.json));
                let rejected = preview.rejected.iter();
                rejected.for_each(|failure| result.note(Exception::of_conversion(failure, template.at)));
            }
            Err(failure) => result.note(Exception::of_conversion(&failure, template.at)),
        }
    }
}
