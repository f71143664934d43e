//! Rules on categories: a vital sign that is not in the category `vital-signs` is not found as one.

use super::coding;
use super::finding::Finding;
use super::observed::{Coding, Observation};

/// `Coding.system` of the categories that FHIR defines for Observations.
const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

/// Codes of that system.
const CODES: [&str; 9] =
    ["social-history", "vital-signs", "imaging", "laboratory", "procedure", "survey", "exam", "therapy", "activity"];

const VITAL_SIGNS: &str = r#"{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs", "display": "Vital Signs" }"#;

/// Judges the categories by themselves and against the codes.
pub(super) fn check(observation: &Observation<'_>, findings: &mut Vec<Finding>) {
    let before = findings.len();
    findings.extend(observation.categories.iter().filter_map(spelling));
    let is_said = observation.categories.iter().any(is_vital_signs);
    let vital_sign = coding::known(&observation.codes).find(|(_, known)| known.is_vital_sign);
    // A misspelt category says what is wrong better than a missing one.
    if let Some((coding, known)) = vital_sign.filter(|_| !is_said && findings.len() == before) {
        let message = format!("vital sign `{}` ({}) without the category `vital-signs`", known.code, known.display);
        findings.push(Finding::new(coding.at, message, format!("\"category\": [{{ \"codes\": [{VITAL_SIGNS}] }}]")));
    }
}

fn is_vital_signs(category: &Coding<'_>) -> bool {
    category.system == Some(SYSTEM) && category.code == Some("vital-signs")
}

fn spelling(category: &Coding<'_>) -> Option<Finding> {
    let code = category.code?;
    let system = category.system;
    if system == Some(SYSTEM) {
        if CODES.contains(&code) {
            return None;
        }
        let nearest = CODES.iter().find(|known| strsim::osa_distance(known, &code.to_lowercase()) <= 2);
        let hint = nearest.map_or_else(|| format!("one of {}", CODES.join(", ")), |known| format!("`{known}`"));
        return Some(Finding::new(category.at, format!("`{code}` is not a category of FHIR"), hint));
    }
    let is_near = system.is_some_and(|system| system.to_ascii_lowercase().contains("observation-category"));
    let is_missing = system.is_none() && code == "vital-signs";
    let message = match system {
        Some(system) if is_near => format!("`{system}` is not the system of FHIR's categories"),
        None if is_missing => "category `vital-signs` has no system".to_owned(),
        Some(_) | None => return None,
    };
    Some(Finding::new(category.at, message, format!("\"system\": \"{SYSTEM}\"")))
}
