//! Mappings tried out on samples, with nothing running: the mapping validator (section 10 of the mapping specification).
//!
//! Everything here goes through the functions of the pipeline itself, so that what it shows is what would be stored. No
//! IO but through readers and writers that are handed in, no clock: the same samples give the same document.

pub(crate) mod aggregate;
pub(crate) mod document;
mod engine;
pub(crate) mod events;
pub(crate) mod example;
pub(crate) mod exception;
pub(crate) mod sample;
pub(crate) mod trial;

pub use engine::Engine;

use document::TemplateResult;
use exception::{Category, Exception};
use sample::Wrapping;
use trial::Trial;

use crate::mapping::{Include, Inspection, Mappings, Problem, Source};

/// A device mapping, a FHIR mapping or both, loaded to be tried out.
#[derive(Debug)]
pub(crate) struct Workbench {
    inspection: Inspection,
    has_device_mapping: bool,
    has_fhir_mapping: bool,
}

/// Neither a device mapping nor a FHIR mapping was given (VA-1).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("at least one mapping must be given: a device mapping, a FHIR mapping, or both")]
pub(crate) struct NoMapping;

impl Workbench {
    /// Loads what is given and the files it names, with all that is wrong with it (VA-3 to VA-5).
    ///
    /// # Errors
    /// When nothing is given.
    pub(crate) fn open(
        device: Option<Source<'_>>,
        fhir: Option<Source<'_>>,
        include: Include<'_>,
    ) -> Result<Self, NoMapping> {
        let (has_device_mapping, has_fhir_mapping) = (device.is_some(), fhir.is_some());
        if !has_device_mapping && !has_fhir_mapping {
            return Err(NoMapping);
        }
        let inspection = Mappings::inspect_with(device, fhir, include);
        Ok(Self { inspection, has_device_mapping, has_fhir_mapping })
    }

    /// All that was found in the files: the device mapping, the FHIR mapping, where they do not fit together.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &Problem> {
        let Inspection { device, fhir, between, .. } = &self.inspection;
        device.iter().chain(fhir).chain(between)
    }

    /// Whether a mapping has an error, so that it would not run (DM-9).
    pub(crate) fn has_errors(&self) -> bool {
        self.problems().any(Problem::is_error)
    }

    /// The templates that loaded.
    pub(crate) fn mappings(&self) -> &Mappings {
        &self.inspection.mappings
    }

    /// How many device templates and how many FHIR templates loaded.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.inspection.mappings.counts()
    }

    /// What is wrong with the templates, as the document says it.
    pub(crate) fn template_result(&self) -> TemplateResult {
        let Inspection { device, fhir, between, .. } = &self.inspection;
        let device = device.iter().map(|problem| Exception::of_problem(problem, Category::Normalization));
        let fhir = fhir.iter().chain(between);
        let fhir = fhir.map(|problem| Exception::of_problem(problem, Category::FhirTransformation));
        let (device_templates, fhir_templates) = self.counts();
        TemplateResult { exceptions: device.chain(fhir).collect(), device_templates, fhir_templates }
    }

    /// Runs sample events; `None` when there is no device mapping (VA-10), or an error in a mapping (VA-6).
    pub(crate) fn trial(&self, wrapping: Wrapping) -> Option<Trial<'_>> {
        self.trial_of_what_loaded(wrapping).filter(|_| !self.has_errors())
    }

    /// As `trial`, but the templates that loaded are run although others have errors (DM-9).
    pub(crate) fn trial_of_what_loaded(&self, wrapping: Wrapping) -> Option<Trial<'_>> {
        let (mappings, converts) = (&self.inspection.mappings, self.has_fhir_mapping);
        self.has_device_mapping.then_some(Trial { mappings, converts, wrapping })
    }
}

#[cfg(test)]
mod tests;
