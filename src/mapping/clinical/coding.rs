//! Rules on codes alone: the spelling of system and code, the display, and codes side by side that contradict each other.

use super::finding::Finding;
use super::loinc;
use super::observed::Coding;
use super::table::{self, Known, LOINC, MDC};

/// What is known of each of the codes, in their order. A misspelt system does not hide a code.
pub(super) fn known<'c, 't>(codes: &'c [Coding<'t>]) -> impl Iterator<Item = (&'c Coding<'t>, &'static Known)> {
    codes.iter().filter_map(|coding| Some((coding, known_code(coding)?)))
}

/// Judges each code and what they say together.
pub(super) fn check(codes: &[Coding<'_>], findings: &mut Vec<Finding>) {
    for coding in codes {
        findings.extend(system(coding).or_else(|| number(coding)));
        findings.extend(display(coding));
    }
    findings.extend(contradiction(codes));
}

/// The canonical system that a text means, `None` when it means another one.
fn canonical(system: &str) -> Option<&'static str> {
    let system = system.to_ascii_lowercase();
    let is_loinc = system.contains("loinc") || system.ends_with("2.16.840.1.113883.6.1");
    let is_mdc = system.contains("11073") || system == "mdc" || system.ends_with("1.2.840.10004.1.1.1.0.0.1");
    match (is_loinc, is_mdc) {
        (true, _) => Some(LOINC),
        (_, true) => Some(MDC),
        (false, false) => None,
    }
}

fn known_code(coding: &Coding<'_>) -> Option<&'static Known> {
    let code = coding.code?;
    match coding.system {
        Some(system) => match canonical(system) {
            Some(canonical) => table::find(canonical, code),
            None => table::find(LOINC, code),
        },
        // A LOINC code is recognised by its hyphen and check digit; other numbers say nothing without a system.
        None => table::find(LOINC, code)
            .or_else(|| table::find(MDC, code).filter(|known| coding.display == Some(known.display))),
    }
}

fn system(coding: &Coding<'_>) -> Option<Finding> {
    let Some(system) = coding.system else {
        let known = known_code(coding)?;
        let message = format!("code `{}` ({}) has no system", known.code, known.display);
        return Some(Finding::new(coding.at, message, format!("\"system\": \"{}\"", known.system)));
    };
    let meant = canonical(system);
    if meant.is_some_and(|meant| meant == system) {
        return None;
    }
    let message = match (meant, known_code(coding)) {
        (Some(LOINC), _) => format!("`{system}` is not how FHIR names LOINC"),
        (Some(_), _) => format!("`{system}` is not how FHIR names ISO/IEEE 11073-10101"),
        (None, Some(known)) => {
            format!("code `{}` is LOINC's ({}), its system is `{system}`", known.code, known.display)
        }
        (None, None) => return None,
    };
    Some(Finding::new(coding.at, message, format!("\"system\": \"{}\"", meant.unwrap_or(LOINC))))
}

/// A LOINC code whose form or check digit is wrong.
fn number(coding: &Coding<'_>) -> Option<Finding> {
    let code = coding.code.filter(|code| coding.system == Some(LOINC) && !loinc::is_code(code))?;
    let message = format!("`{code}` is not a LOINC code, its check digit is wrong");
    let nearest =
        table::all().iter().find(|known| known.system == LOINC && strsim::osa_distance(known.code, code) == 1);
    Some(match (nearest, loinc::parts(code)) {
        (Some(known), _) => Finding::new(coding.at, message, format!("`{}` is {}", known.code, known.display)),
        (None, Some(_)) => Finding::new(coding.at, message, "a digit is wrong, see https://loinc.org"),
        (None, None) => {
            let message = format!("`{code}` is not a LOINC code");
            Finding::new(coding.at, message, "a LOINC code is a number, a hyphen and a check digit, such as `8867-4`")
        }
    })
}

/// A display that is the name of something else than the code.
fn display(coding: &Coding<'_>) -> Option<Finding> {
    let known = known_code(coding)?;
    let display = coding.display?;
    let said = table::concept_of_name(display)?;
    if table::agree(said, known.concept) {
        return None;
    }
    let message = format!("display `{display}` does not fit code `{}`", known.code);
    let other = table::of_concept(said).find(|other| other.system == known.system);
    let other = other.map(|other| format!("; `{display}` is `{}`", other.code)).unwrap_or_default();
    Some(Finding::new(coding.at, message, format!("`{}` is {}{other}", known.code, known.display)))
}

/// Codes of one list all say what the value is, in several code systems; they must say the same.
fn contradiction(codes: &[Coding<'_>]) -> Option<Finding> {
    let (_, first) = known(codes).next()?;
    let (coding, other) = known(codes).find(|(_, other)| !table::agree(first.concept, other.concept))?;
    let message = format!(
        "code `{}` ({}) and code `{}` ({}) mean different things",
        first.code, first.display, other.code, other.display
    );
    let same = table::of_concept(first.concept).find(|same| same.system == other.system && same.system != first.system);
    let hint = match same {
        Some(same) => format!("beside `{}` stands `{}` ({}), for example", first.code, same.code, same.display),
        None => "keep one of them; a second value is a component or a template of its own".to_owned(),
    };
    Some(Finding::new(coding.at, message, hint))
}
