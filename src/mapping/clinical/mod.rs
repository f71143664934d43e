//! Clinical warnings: what loads and runs, and still files a reading where nobody looks for it, or as something it is not.
//!
//! The rules compare codes, units, categories and names with a small table of the vital signs of the
//! [FHIR R4 profiles](http://hl7.org/fhir/R4/observation-vitalsigns.html) and of common device metrics, and every warning
//! says how to mend the mapping. A code that is not in the table is nobody's business here: a warning that is wrong once
//! is not read twice.

mod category;
mod coding;
mod finding;
mod loinc;
mod observed;
mod profile;
mod resource;
mod table;
mod unit;
mod value;

use serde_json::Value;

use finding::Finding;
use observed::Observation;

use super::fhir::{FhirTemplate, TemplateKind};
use super::problem::Problems;
use super::source::Position;

/// Adds the warnings of each template to the problems of its file.
pub(super) fn lint(templates: &[FhirTemplate], problems: &mut Problems<'_>) {
    for template in templates {
        match &template.kind {
            TemplateKind::CodeValue(observation) => {
                for finding in judge(&Observation::of_code_value(template, observation)) {
                    problems.clinical(finding.at, finding.message, finding.hint);
                }
            }
            TemplateKind::Handlebars(handlebars) => {
                if let Some(resource) = handlebars.trial() {
                    lint_resource(&resource, &template.type_name, template.at, problems);
                }
            }
        }
    }
}

/// Adds the warnings of a resource that a template gives on trial, all at `at`. Texts that come from data must be left out of
/// it before: they are not the template's.
fn lint_resource(resource: &Value, type_name: &str, at: Position, problems: &mut Problems<'_>) {
    let observation = resource::read(resource, type_name, at);
    for finding in observation.iter().flat_map(judge) {
        problems.clinical(finding.at, finding.message, finding.hint);
    }
}

/// Everything the rules say of an Observation, in the order of the file as far as rules are of one place.
fn judge(observation: &Observation<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    coding::check(&observation.codes, &mut findings);
    category::check(observation, &mut findings);
    profile::check(observation, &mut findings);
    if let Some(value) = &observation.value {
        value::check(value, &observation.codes, Some(observation.type_name), &mut findings);
    }
    for component in &observation.components {
        coding::check(&component.codes, &mut findings);
        if let Some(value) = &component.value {
            value::check(value, &component.codes, None, &mut findings);
        }
    }
    findings.sort_by_key(|finding| (finding.at.line, finding.at.column));
    findings
}

#[cfg(test)]
mod tests;
