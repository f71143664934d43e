//! Rules on values: that a unit is UCUM, that it is complete, and that it fits the code beside it.

use super::coding;
use super::finding::Finding;
use super::observed::{Coding, Content, Quantity, Value};
use super::table::{self, Known};
use super::unit::{self, Relation, UCUM};

/// Names of values that say nothing of what is measured, so that the measurement type speaks for them.
const NAMELESS: [&str; 5] = ["value", "reading", "measurement", "result", "v"];

/// Judges a value against the codes beside it; `type_name` is there for the top-level value.
pub(super) fn check(value: &Value<'_>, codes: &[Coding<'_>], type_name: Option<&str>, findings: &mut Vec<Finding>) {
    let known = Meaning::of(codes);
    findings.extend(known.name(value, type_name));
    match &value.content {
        Content::Quantity(quantity) => findings.extend(known.quantity(quantity, value)),
        Content::SampledData { unit } => findings.extend(known.sampled_unit(*unit, value)),
        Content::Unitless(kind) => findings.extend(known.kind(kind, value)),
        Content::Ratio(numerator, denominator) => {
            // The codes are of the ratio, not of its parts.
            let nothing = Meaning { known: Vec::new() };
            findings.extend(nothing.quantity(numerator, value));
            findings.extend(nothing.quantity(denominator, value));
        }
    }
}

/// What the codes beside a value say of it.
struct Meaning {
    /// Empty when no code is known, or when they contradict each other, which another rule says.
    known: Vec<&'static Known>,
}

impl Meaning {
    fn of(codes: &[Coding<'_>]) -> Self {
        let known: Vec<&Known> = coding::known(codes).map(|(_, known)| known).collect();
        let agree = known.iter().all(|one| known.iter().all(|other| table::agree(one.concept, other.concept)));
        Self { known: if agree { known } else { Vec::new() } }
    }

    /// The code that binds most: one with a profile before others.
    fn binding(&self) -> Option<&'static Known> {
        self.known.iter().find(|known| known.is_strict).or(self.known.first()).copied()
    }

    /// The units that fit: of a profile when there is one, else of all codes.
    fn units(&self) -> Vec<&'static str> {
        match self.known.iter().find(|known| known.is_strict) {
            Some(strict) => strict.units.clone(),
            None => self.known.iter().flat_map(|known| known.units.iter().copied()).collect(),
        }
    }

    fn name(&self, value: &Value<'_>, type_name: Option<&str>) -> Option<Finding> {
        let is_nameless = NAMELESS.iter().any(|nameless| nameless.eq_ignore_ascii_case(value.name));
        let name = if is_nameless { type_name? } else { value.name };
        let said = table::concept_of_name(name)?;
        let known = self.binding().filter(|known| !table::agree(said, known.concept))?;
        let message = format!("code `{}` ({}) on a value called `{name}`", known.code, known.display);
        let fitting = table::of_concept(said).find(|fitting| fitting.system == known.system)?;
        Some(Finding::new(
            value.at,
            message,
            format!("the code of `{name}` is `{}` ({})", fitting.code, fitting.display),
        ))
    }

    fn kind(&self, kind: &str, value: &Value<'_>) -> Option<Finding> {
        let known = self.binding().filter(|known| known.is_strict)?;
        let message = format!("vital sign `{}` ({}) as {kind}", known.code, known.display);
        let unit = known.units.first().copied().unwrap_or_default();
        let hint = format!(
            "the vital-signs profile asks for a Quantity: \"valueType\": \"Quantity\", \"system\": \"{UCUM}\", \"code\": \"{unit}\""
        );
        Some(Finding::new(value.at, message, hint))
    }

    fn sampled_unit(&self, text: Option<&str>, value: &Value<'_>) -> Option<Finding> {
        let (text, known) = (text?, self.binding()?);
        let meant = unit::meant(text)?;
        let units = self.units();
        let is_foreign =
            !units.is_empty() && units.iter().all(|fits| unit::relation(fits, meant) == Relation::Different);
        is_foreign.then(|| foreign(value, text, known, &units))
    }

    fn quantity(&self, quantity: &Quantity<'_>, value: &Value<'_>) -> Vec<Finding> {
        let (Some(system), Some(code)) = (quantity.system, quantity.code) else {
            return self.incomplete(quantity, value).into_iter().collect();
        };
        if system == UCUM {
            return self.code(code, quantity, value).into_iter().collect();
        }
        let is_misspelt = ["unitsofmeasure", "ucum", "2.16.840.1.113883.6.8"]
            .iter()
            .any(|part| system.to_ascii_lowercase().contains(part));
        if is_misspelt {
            let message = format!("`{system}` is not how FHIR names UCUM");
            let mut findings = vec![Finding::new(value.at, message, format!("\"system\": \"{UCUM}\""))];
            findings.extend(self.code(code, quantity, value));
            return findings;
        }
        let strict = self.binding().filter(|known| known.is_strict);
        let finding = strict.map(|known| {
            let message = format!("vital sign `{}` ({}) in a unit that is not UCUM's", known.code, known.display);
            Finding::new(value.at, message, system_and_code(known.units.first().copied().unwrap_or_default()))
        });
        finding.into_iter().collect()
    }

    /// Without `system` and `code` only people know the unit.
    fn incomplete(&self, quantity: &Quantity<'_>, value: &Value<'_>) -> Option<Finding> {
        let units = self.units();
        let missing = match (quantity.unit, quantity.system, quantity.code) {
            (None, None, None) => {
                let known = self.binding().filter(|_| !units.is_empty())?;
                let message = format!("Quantity of `{}` ({}) without a unit", known.code, known.display);
                return Some(Finding::new(
                    value.at,
                    message,
                    system_and_code(units.first().copied().unwrap_or_default()),
                ));
            }
            (_, None, Some(code)) => {
                let message = format!("Quantity with the code `{code}` and no `system`");
                let code = self.proposal(code).unwrap_or_else(|| code.to_owned());
                return Some(Finding::new(value.at, message, system_and_code(&code)));
            }
            (_, Some(_), None) => "no `code`",
            (_, _, _) => "neither `system` nor `code`",
        };
        let text = quantity.unit;
        let of = text.map_or(String::new(), |text| format!(" of unit `{text}`"));
        let proposal =
            text.and_then(|text| self.proposal(text)).or_else(|| units.first().map(|unit| (*unit).to_owned()));
        let hint = match proposal {
            Some(code) => system_and_code(&code),
            None => format!("\"system\": \"{UCUM}\" and the \"code\" of the unit there; `{{text}}` for what has none"),
        };
        Some(Finding::new(value.at, format!("Quantity{of} with {missing}, programs cannot tell its unit"), hint))
    }

    /// The code for a text, spelled as the known codes want it.
    fn proposal(&self, text: &str) -> Option<String> {
        let units = self.units();
        let meant = unit::named(text).map(str::to_owned).or_else(|| unit::is_ucum(text).then(|| text.to_owned()));
        let meant = meant.or_else(|| unit::correction(text, &units))?;
        let usual = units.iter().find(|unit| unit::relation(unit, &meant) == Relation::Same);
        Some(usual.map_or(meant, |unit| (*unit).to_owned()))
    }

    /// A UCUM code: is it one, is it meant, does it fit code and text beside it? The first that is wrong is said.
    fn code(&self, code: &str, quantity: &Quantity<'_>, value: &Value<'_>) -> Option<Finding> {
        let units = self.units();
        if !unit::is_ucum(code) {
            let hint = match unit::correction(code, &units) {
                Some(corrected) => format!("\"code\": \"{corrected}\""),
                None if units.is_empty() => "see https://ucum.org; `{text}` for what has no unit".to_owned(),
                None => format!("one of {}", list(&units)),
            };
            return Some(Finding::new(value.at, format!("`{code}` is not a UCUM code"), hint));
        }
        self.lookalike(code, quantity, value)
            .or_else(|| self.fit(code, &units, value))
            .or_else(|| text_and_code(code, quantity, value))
    }

    fn lookalike(&self, code: &str, quantity: &Quantity<'_>, value: &Value<'_>) -> Option<Finding> {
        let (is, meant) = unit::lookalike(code)?;
        // Whoever spells it out means it.
        let is_meant = quantity.unit.is_some_and(|text| text.to_lowercase().contains(is));
        let message = format!("`{code}` is the {is} in UCUM");
        (!is_meant).then(|| Finding::new(value.at, message, format!("\"code\": \"{meant}\"")))
    }

    fn fit(&self, code: &str, units: &[&'static str], value: &Value<'_>) -> Option<Finding> {
        let known = self.binding().filter(|_| !units.is_empty() && !units.contains(&code))?;
        let relations: Vec<Relation> = units.iter().map(|fits| unit::relation(fits, code)).collect();
        if relations.iter().all(|relation| *relation == Relation::Different) {
            return Some(foreign(value, code, known, units));
        }
        let same =
            units.iter().zip(&relations).find(|(_, relation)| **relation == Relation::Same).map(|(unit, _)| *unit);
        if known.is_strict {
            let message =
                format!("the vital-signs profile of `{}` ({}) does not allow `{code}`", known.code, known.display);
            let hint = same.map_or_else(|| format!("allowed: {}", list(units)), |unit| format!("\"code\": \"{unit}\""));
            return Some(Finding::new(value.at, message, hint));
        }
        // Searches compare codes as text.
        let usual = same.filter(|usual| usual.eq_ignore_ascii_case(code))?;
        let message = format!("`{code}` is usually written `{usual}`, and searches tell them apart");
        Some(Finding::new(value.at, message, format!("\"code\": \"{usual}\"")))
    }
}

/// A unit that people read as one thing and programs as another.
fn text_and_code(code: &str, quantity: &Quantity<'_>, value: &Value<'_>) -> Option<Finding> {
    let text = quantity.unit?;
    let named = unit::named(text).filter(|named| unit::relation(named, code) != Relation::Same)?;
    let message = format!("unit `{text}` with the code `{code}`, which is another unit");
    Some(Finding::new(value.at, message, format!("\"code\": \"{named}\", or another `unit`")))
}

/// A unit that measures something else than the code says.
fn foreign(value: &Value<'_>, text: &str, known: &Known, units: &[&str]) -> Finding {
    let message = format!("`{text}` is not a unit of `{}` ({})", known.code, known.display);
    let fitting = table::of_concept(known.concept)
        .filter(|other| other.system == known.system)
        .find(|other| other.units.iter().any(|unit| unit::relation(unit, text) != Relation::Different));
    let instead = fitting.map(|other| format!("; or code `{}` ({})", other.code, other.display)).unwrap_or_default();
    Finding::new(
        value.at,
        message,
        format!("{} {}{instead}", if units.len() > 1 { "one of" } else { "it is in" }, list(units)),
    )
}

fn system_and_code(code: &str) -> String {
    format!("\"system\": \"{UCUM}\", \"code\": \"{code}\"")
}

fn list(units: &[&str]) -> String {
    units.iter().map(|unit| format!("`{unit}`")).collect::<Vec<_>>().join(", ")
}
