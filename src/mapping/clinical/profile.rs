//! Rules on an Observation as a whole: the code by which FHIR finds a vital sign, and the parts of a blood pressure.

use super::coding;
use super::finding::Finding;
use super::observed::{Coding, Observation};
use super::table::{self, Known, LOINC};

const PANEL: &str = "85354-9";
const PARTS: [&str; 2] = ["8480-6", "8462-4"];

pub(super) fn check(observation: &Observation<'_>, findings: &mut Vec<Finding>) {
    findings.extend(beside(observation));
    findings.extend(blood_pressure_parts(observation));
    findings.extend(blood_pressure_panel(observation));
}

/// More specific codes may be there, and the general one must be.
fn beside(observation: &Observation<'_>) -> Option<Finding> {
    let codes = &observation.codes;
    let is_missing = |known: &Known| known.beside.is_some_and(|general| !has(codes, general));
    let (coding, known) = coding::known(codes).find(|(_, known)| is_missing(known))?;
    let general = table::find(LOINC, known.beside?)?;
    let message = format!(
        "code `{}` ({}) without `{}`, by which FHIR finds the vital sign",
        known.code, known.display, general.code
    );
    Some(Finding::new(coding.at, message, format!("before it: {}", written(general))))
}

fn blood_pressure_parts(observation: &Observation<'_>) -> Option<Finding> {
    let (coding, panel) = coding::known(&observation.codes).find(|(_, known)| known.code == PANEL)?;
    let missing: Vec<&Known> = PARTS.iter().filter(|part| !has_component(observation, part)).filter_map(part).collect();
    if missing.is_empty() {
        return None;
    }
    let names: Vec<String> = missing.iter().map(|part| format!("`{}` ({})", part.code, part.display)).collect();
    let message = format!("code `{}` ({}) without a component {}", panel.code, panel.display, names.join(" and "));
    let codes: Vec<String> = missing.iter().map(|part| written(part)).collect();
    Some(Finding::new(coding.at, message, format!("a component with the code {}", codes.join(", another with "))))
}

fn blood_pressure_panel(observation: &Observation<'_>) -> Option<Finding> {
    let is_panel = coding::known(&observation.codes).any(|(_, known)| known.concept == "blood-pressure");
    if is_panel || !PARTS.iter().all(|part| has_component(observation, part)) {
        return None;
    }
    let at = observation.codes.first().map_or(observation.at, |code| code.at);
    let message = format!("components of a blood pressure without the code `{PANEL}`, by which FHIR finds it");
    let panel = table::find(LOINC, PANEL)?;
    Some(Finding::new(at, message, format!("in `codes` of the template: {}", written(panel))))
}

fn part(code: &&str) -> Option<&'static Known> {
    table::find(LOINC, code)
}

fn has_component(observation: &Observation<'_>, code: &str) -> bool {
    observation.components.iter().any(|component| has(&component.codes, code))
}

fn has(codes: &[Coding<'_>], code: &str) -> bool {
    coding::known(codes).any(|(_, known)| known.system == LOINC && known.code == code)
}

fn written(known: &Known) -> String {
    format!(r#"{{ "system": "{}", "code": "{}", "display": "{}" }}"#, known.system, known.code, known.display)
}
