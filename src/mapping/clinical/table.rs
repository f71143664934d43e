//! What the program knows of codes: vital signs of the FHIR profiles and common device metrics.
//!
//! The facts are in `observations.tsv` and `concepts.tsv`, one a line. Codes that are not there are nobody's business: no
//! rule speaks of them. A *concept* is what two codes have in common when a device may mean either, so the heart rate of
//! an electrocardiogram and the pulse rate of an oximeter are one.

use std::sync::LazyLock;

/// `Coding.system` of LOINC.
pub(super) const LOINC: &str = "http://loinc.org";
/// `Coding.system` of ISO/IEEE 11073-10101.
pub(super) const MDC: &str = "urn:iso:std:iso:11073:10101";

/// A code and what is known of it.
#[derive(Debug)]
pub(super) struct Known {
    /// `Coding.system`
    pub(super) system: &'static str,
    /// `Coding.code`
    pub(super) code: &'static str,
    /// What it measures, shared by codes that a device may use for the same value.
    pub(super) concept: &'static str,
    /// Whether an Observation with it belongs to the category `vital-signs`.
    pub(super) is_vital_sign: bool,
    /// Whether the FHIR vital-signs profiles allow no other units than `units`.
    pub(super) is_strict: bool,
    /// The LOINC code by which FHIR finds the vital sign, for a more specific code.
    pub(super) beside: Option<&'static str>,
    /// UCUM codes, the usual one first; empty when it has no value of its own.
    pub(super) units: Vec<&'static str>,
    /// The name the code system gives it.
    pub(super) display: &'static str,
}

static OBSERVATIONS: LazyLock<Vec<Known>> =
    LazyLock::new(|| lines(include_str!("observations.tsv")).filter_map(known).collect());

static CONCEPTS: LazyLock<Vec<(&'static str, Vec<String>)>> = LazyLock::new(|| {
    let rows = lines(include_str!("concepts.tsv")).filter_map(|line| line.split_once('\t'));
    rows.map(|(concept, names)| (concept, names.split(',').map(squash).collect())).collect()
});

/// The lines of a table without its comments.
pub(super) fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn known(line: &'static str) -> Option<Known> {
    let mut cells = line.split('\t');
    let system = match cells.next()? {
        "loinc" => LOINC,
        _ => MDC,
    };
    let (code, concept, rule) = (cells.next()?, cells.next()?, cells.next()?);
    let units = cells.next()?.split(' ').filter(|unit| *unit != "-").collect();
    let (rule, beside) = rule.split_once('+').map_or((rule, None), |(rule, beside)| (rule, Some(beside)));
    let is_strict = rule == "vital";
    let is_vital_sign = is_strict || rule == "category";
    Some(Known { system, code, concept, is_vital_sign, is_strict, beside, units, display: cells.next()? })
}

/// Everything known of the codes.
pub(super) fn all() -> &'static [Known] {
    &OBSERVATIONS
}

/// What is known of a code of a system, which must be spelled as FHIR spells it.
pub(super) fn find(system: &str, code: &str) -> Option<&'static Known> {
    OBSERVATIONS.iter().find(|known| known.system == system && known.code == code)
}

/// The codes for a concept, those by which FHIR finds a vital sign first.
pub(super) fn of_concept(concept: &str) -> impl Iterator<Item = &'static Known> {
    OBSERVATIONS.iter().filter(move |known| known.concept == concept)
}

/// What a name says is measured, `None` when it is not a known name as a whole.
pub(super) fn concept_of_name(name: &str) -> Option<&'static str> {
    let name = squash(name);
    let named = CONCEPTS.iter().find(|(_, names)| names.contains(&name)).map(|(concept, _)| *concept);
    named.or_else(|| OBSERVATIONS.iter().find(|known| squash(known.display) == name).map(|known| known.concept))
}

/// Whether two concepts may be said of one value. "Blood pressure" is said of its parts too.
pub(super) fn agree(one: &str, other: &str) -> bool {
    const PARTS: [&str; 3] = ["systolic", "diastolic", "mean-pressure"];
    let is_part_of = |whole: &str, part: &str| whole == "blood-pressure" && PARTS.contains(&part);
    one == other || is_part_of(one, other) || is_part_of(other, one)
}

/// A name without what differs from one writer to the next: `heartRate`, `Heart rate` and `HEART_RATE` are one.
fn squash(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{loinc, unit};
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read_and_is_sound() {
        let text = include_str!("observations.tsv");
        assert_eq!(all().len(), lines(text).count());
        for known in all() {
            assert!(known.system != LOINC || loinc::is_code(known.code), "{known:?}");
            assert!(known.system != MDC || known.code.parse::<u32>().is_ok(), "{known:?}");
            assert!(known.units.iter().all(|unit| unit::is_ucum(unit)), "{known:?}");
            assert!(known.beside.is_none_or(|code| find(LOINC, code).is_some_and(|known| known.is_vital_sign)));
            assert!(!known.display.is_empty(), "{known:?}");
        }
    }

    #[test]
    fn a_code_is_in_the_table_once() {
        for known in all() {
            let same = all().iter().filter(|other| (other.system, other.code) == (known.system, known.code));
            assert_eq!(same.count(), 1, "{known:?}");
        }
    }

    #[test]
    fn a_concept_has_names_and_codes_and_a_name_has_one_concept() {
        for (concept, names) in CONCEPTS.iter() {
            assert!(of_concept(concept).next().is_some(), "{concept}");
            for name in names {
                assert_eq!(concept_of_name(name), Some(*concept), "{name}");
            }
        }
    }

    #[test]
    fn names_are_recognised_as_a_whole_only() {
        assert_eq!(concept_of_name("heartRate"), Some("heart-rate"));
        assert_eq!(concept_of_name("SpO2"), Some("oxygen-saturation"));
        assert_eq!(concept_of_name("Systolic blood pressure"), Some("systolic"));
        assert_eq!(concept_of_name("pulse pressure"), None);
        assert_eq!(concept_of_name("room temperature"), None);
    }
}
