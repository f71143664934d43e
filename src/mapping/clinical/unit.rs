//! Units: what is UCUM, what was meant by what is not, and whether two units measure the same thing.
//!
//! The grammar and the table of UCUM are those of `octofhir-ucum`. It reads a few English abbreviations as units that no
//! device sends, because a prefix and a letter make one (`ft` is a femtotonne); those are named here.

use std::sync::LazyLock;

use super::table;

/// `Quantity.system` of UCUM.
pub(super) const UCUM: &str = "http://unitsofmeasure.org";

/// Codes that are UCUM and are hardly ever meant: the code, what UCUM takes it for, and what is meant.
const LOOKALIKES: [(&str, &str, &str); 4] = [
    ("C", "coulomb", "Cel"),
    ("F", "farad", "[degF]"),
    ("ft", "femtotonne", "[ft_i]"),
    ("mph", "milliphot", "[mi_i]/h"),
];

static NAMES: LazyLock<Vec<(&'static str, Vec<String>)>> = LazyLock::new(|| {
    let rows = table::lines(include_str!("unit_names.tsv")).filter_map(|line| line.split_once('\t'));
    rows.map(|(unit, names)| (unit, names.split(',').map(squash).collect())).collect()
});

/// How two units stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// A number means the same in both: `/min` and `{beats}/min`.
    Same,
    /// One can be converted to the other.
    Convertible,
    /// They measure different things.
    Different,
}

/// Whether the text is a UCUM code, case sensitive.
pub(super) fn is_ucum(code: &str) -> bool {
    octofhir_ucum::parse_expression(code).is_ok_and(|expression| octofhir_ucum::evaluate(&expression).is_ok())
}

/// How two UCUM codes stand to each other; what is not UCUM is `Different` from everything.
pub(super) fn relation(one: &str, other: &str) -> Relation {
    let (Ok(left), Ok(right)) = (octofhir_ucum::analyse(one), octofhir_ucum::analyse(other)) else {
        return Relation::Different;
    };
    let same = left.factor == right.factor && left.scale == right.scale && left.offset == right.offset;
    match octofhir_ucum::is_comparable(one, other) {
        Ok(true) if same => Relation::Same,
        Ok(true) => Relation::Convertible,
        Ok(false) | Err(_) => Relation::Different,
    }
}

/// What UCUM takes a code for, and what is meant, when it is one of those that are hardly ever meant.
pub(super) fn lookalike(code: &str) -> Option<(&'static str, &'static str)> {
    LOOKALIKES.iter().find(|(lookalike, ..)| *lookalike == code).map(|(_, is, meant)| (*is, *meant))
}

/// The UCUM code of a unit in words people use, such as `beats/minute` or `°C`.
pub(super) fn named(text: &str) -> Option<&'static str> {
    let text = squash(text);
    NAMES.iter().find(|(_, names)| names.contains(&text)).map(|(unit, _)| *unit)
}

/// The UCUM code a text stands for: a name people use, or a code already.
pub(super) fn meant(text: &str) -> Option<&str> {
    named(text).or_else(|| is_ucum(text).then_some(text))
}

/// A UCUM code for one that is not, spelled like one of `expected` where that is the same unit.
pub(super) fn correction(code: &str, expected: &[&'static str]) -> Option<String> {
    let corrected = named(code).map(str::to_owned).or_else(|| respelled(code)).or_else(|| counted(code))?;
    let usual = expected.iter().find(|unit| relation(unit, &corrected) == Relation::Same);
    Some(usual.map_or(corrected, |unit| (*unit).to_owned()))
}

/// The code without spaces and with `u` for micro, or the unit of the table that differs in case only.
fn respelled(code: &str) -> Option<String> {
    let cleaned: String = code.chars().filter(|character| !character.is_whitespace()).collect();
    let cleaned = cleaned.replace(['µ', 'μ'], "u");
    if is_ucum(&cleaned) {
        return Some(cleaned);
    }
    let mut units = table::all().iter().flat_map(|known| &known.units);
    units.find(|unit| unit.eq_ignore_ascii_case(&cleaned)).map(|unit| (*unit).to_owned())
}

/// `{drops}/min` for `drops/min`: what is counted has no unit and goes into braces.
fn counted(code: &str) -> Option<String> {
    let (what, per) = code.split_once('/').map_or((code, None), |(what, per)| (what, Some(per)));
    let is_word = what.len() >= 3 && what.bytes().all(|byte| byte.is_ascii_lowercase());
    let per = per.map_or(String::new(), |per| format!("/{}", named(per).unwrap_or(per)));
    let counted = format!("{{{what}}}{per}");
    (is_word && is_ucum(&counted)).then_some(counted)
}

fn squash(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ucum() {
        for code in [
            "{beats}/min",
            "mm[Hg]",
            "Cel",
            "[degF]",
            "%",
            "/min",
            "1/min",
            "10*9/L",
            "meq/L",
            "[in_i]",
            "[lb_av]",
            "kPa",
            "kg/m2",
            "mg/dL",
            "mmol/L",
            "{steps}",
            "1",
            "/mV",
            "Hz",
            "cm[H2O]",
            "kcal",
            "mL/h",
            "[IU]/h",
            "ug/kg/min",
            "mV",
            "/(24.h)",
            "{score}",
            "[ppm]",
            "dB",
            "uS/cm",
        ] {
            assert!(is_ucum(code), "{code}");
        }
        for code in [
            "count/min",
            "bpm",
            "mmHg",
            "BPM",
            "beats/minute",
            "degC",
            "°C",
            "lbs",
            "lb",
            "in",
            "inch",
            "percent",
            "",
            " ",
            "/min ",
            "kg/m^2",
            "kg/m²",
            "µg",
            "mcg",
            "IU",
            "hr",
            "sec",
            "psi",
            "{beats/min",
            "mm[hg]",
            "cel",
            "cmH2O",
        ] {
            assert!(!is_ucum(code), "{code}");
        }
    }

    #[test]
    fn a_unit_of_any_length_is_answered() {
        assert!(!is_ucum(&"(".repeat(1_000_000)));
        assert!(!is_ucum(&"m/".repeat(1_000_000)));
        assert!(!is_ucum(&"x".repeat(1_000_000)));
        assert_eq!(relation(&"q".repeat(1_000_000), "m"), Relation::Different);
    }

    #[test]
    fn every_name_gives_a_ucum_code() {
        for (unit, names) in NAMES.iter() {
            assert!(is_ucum(unit), "{unit}");
            assert!(names.iter().all(|name| named(name) == Some(*unit)), "{names:?}");
        }
        for (code, _, meant) in LOOKALIKES {
            assert!(is_ucum(code) && is_ucum(meant), "{code}");
        }
    }

    #[test]
    fn relations() {
        for (one, other, expected) in [
            ("/min", "{beats}/min", Relation::Same),
            ("/min", "1/min", Relation::Same),
            ("mg/dL", "mg/dl", Relation::Same),
            ("/min", "Hz", Relation::Convertible),
            ("Cel", "[degF]", Relation::Convertible),
            ("Cel", "K", Relation::Convertible),
            ("kg", "[lb_av]", Relation::Convertible),
            ("%", "1", Relation::Convertible),
            ("/min", "%", Relation::Different),
            ("mg/dL", "mmol/L", Relation::Different),
            ("Cel", "C", Relation::Different),
            ("bpm", "/min", Relation::Different),
        ] {
            assert_eq!(relation(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn corrections() {
        for (code, expected) in [
            ("bpm", Some("/min")),
            ("beats/min", Some("/min")),
            ("count/min", Some("/min")),
            ("Beats / Minute", Some("/min")),
            ("mmHg", Some("mm[Hg]")),
            ("degC", Some("Cel")),
            ("°C", Some("Cel")),
            ("lbs", Some("[lb_av]")),
            ("percent", Some("%")),
            ("MM[HG]", Some("mm[Hg]")),
            ("µg/kg", Some("ug/kg")),
            ("kg / m2", Some("kg/m2")),
            ("drops/min", Some("{drops}/min")),
            ("reps", Some("{reps}")),
            ("q!", None),
            ("", None),
        ] {
            assert_eq!(correction(code, &[]).as_deref(), expected, "{code}");
        }
        assert_eq!(correction("count", &["1"]).as_deref(), Some("1"));
    }
}
