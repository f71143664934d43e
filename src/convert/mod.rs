//! Measurements of a group as a FHIR resource: built when there is none, merged into the one that exists.
//!
//! Pure: what is stored and when it is made are arguments. The deliver stage calls it for every group on its way to the
//! server; the mapping workbench calls the same functions to show what a mapping makes of a sample.

pub(crate) mod content;
#[cfg(test)]
mod fixture;
pub(crate) mod identifier;
mod json_text;
pub(crate) mod merge;
pub(crate) mod observation;
pub(crate) mod preview;
mod raw;
pub(crate) mod reading;
mod rendered;
mod sampled_data;
#[cfg(test)]
mod tests;
pub(crate) mod trace;

use self::content::Content;
use self::merge::Merge;
use self::observation::Built;
use self::reading::ConversionFailure;
use crate::mapping::fhir::{FhirTemplate, TemplateKind};

/// Builds the resource of a group that has none yet.
///
/// # Errors
/// When nothing can be written with all of the readings.
pub(crate) fn build(template: &FhirTemplate, content: &Content<'_>) -> Result<Built, ConversionFailure> {
    match &template.kind {
        TemplateKind::CodeValue(template) => observation::build(template, content),
        TemplateKind::Handlebars(template) => rendered::build(template, content),
    }
}

/// Merges the readings of a group into the resource stored under its identifier.
///
/// # Errors
/// When nothing can be written with all of the readings, or what is stored does not fit the template.
pub(crate) fn merge(stored: &[u8], template: &FhirTemplate, content: &Content<'_>) -> Result<Merge, ConversionFailure> {
    match &template.kind {
        TemplateKind::CodeValue(template) => merge::merge(stored, template, content),
        TemplateKind::Handlebars(template) => merge::rendered::merge(stored, template, content),
    }
}
