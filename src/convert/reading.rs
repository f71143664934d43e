//! Readings as the values of an Observation, before anything is written (rules FM-19 to FM-27).

use std::borrow::Cow;
use std::cmp::Ordering;

use jiff::Timestamp;

use super::content::{Content, Point};
use crate::mapping::decimal::{compare, json_number, sample};
use crate::mapping::fhir::code_value::{CodeValueFhir, Component, ValueKind, ValueTemplate};
use crate::mapping::timestamp;

/// Why readings cannot become, or join, an Observation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct ConversionFailure {
    /// Error code of section 11 of the mapping specification.
    pub(crate) code: &'static str,
    /// What is wrong. May quote a reading, so it is stored but never logged.
    pub(crate) reason: String,
    /// The value concerned and its time, when a single reading is to blame.
    pub(crate) reading: Option<(String, Timestamp)>,
}

impl ConversionFailure {
    pub(super) fn no_correlation_id() -> Self {
        Self {
            code: "CorrelationIdNotDefinedException",
            reason: "the period is correlation, but the measurement has no correlation id".to_owned(),
            reading: None,
        }
    }

    pub(crate) fn not_supported(reason: impl Into<String>) -> Self {
        Self { code: "NotSupportedException", reason: reason.into(), reading: None }
    }

    /// The readings would be filed under someone else.
    pub(super) fn wrong_patient(reason: impl Into<String>) -> Self {
        Self { code: "PatientDeviceMismatchException", reason: reason.into(), reading: None }
    }

    fn not_a_decimal(name: &str, (at, value): Point<'_>) -> Self {
        Self {
            code: "InvalidQuantityFhirValueException",
            reason: format!("value `{name}` is not a decimal: `{value}`"),
            reading: Some((name.to_owned(), at)),
        }
    }

    fn not_of_type(kind: &str, name: &str, (at, value): Point<'_>) -> Self {
        Self {
            code: "InvalidFhirValueException",
            reason: format!("value `{name}` is not {kind}: `{value}`"),
            reading: Some((name.to_owned(), at)),
        }
    }

    fn without_partner(name: &str, partner: &str, at: Timestamp) -> Self {
        Self {
            code: "InvalidFhirValueException",
            reason: format!("value `{name}` of {at} has no value `{partner}` of the same time"),
            reading: Some((name.to_owned(), at)),
        }
    }

    fn not_a_sample(name: &str, (at, value): Point<'_>) -> Self {
        Self {
            code: "InvalidSampledDataValueException",
            reason: format!("value `{name}` is not a decimal, E, U or L: `{value}`"),
            reading: Some((name.to_owned(), at)),
        }
    }
}

/// The readings of a content, converted for a template.
#[derive(Debug)]
pub(super) struct Readings<'c> {
    pub(super) value: Option<Reading<'c>>,
    /// Components with data, in template order (FM-20).
    pub(super) components: Vec<(&'c Component, Reading<'c>)>,
    /// Readings left out because they do not convert, while others of their name do.
    pub(super) rejected: Vec<ConversionFailure>,
}

/// What one template value gets.
#[derive(Debug)]
pub(super) enum Reading<'c> {
    /// Samples by time.
    Samples(Vec<Point<'c>>),
    /// A JSON number.
    Number(Cow<'c, str>),
    /// Low and high, or numerator and denominator, as JSON numbers.
    Numbers(Cow<'c, str>, Cow<'c, str>),
    Text(Cow<'c, str>),
    Truth(bool),
    /// Something was measured; the template says the rest (FM-27).
    Presence,
}

/// Converts the readings that the template asks for; others are ignored (FM-21).
///
/// # Errors
/// When a value has readings and none of them converts.
pub(super) fn convert<'c>(
    template: &'c CodeValueFhir,
    content: &Content<'c>,
) -> Result<Readings<'c>, ConversionFailure> {
    let mut rejected = Vec::new();
    let mut value = None;
    if let Some(template) = &template.value {
        value = reading(template, content, &mut rejected)?;
    }
    let mut components = Vec::new();
    for component in &template.components {
        if let Some(reading) = reading(&component.value, content, &mut rejected)? {
            components.push((component, reading));
        }
    }
    Ok(Readings { value, components, rejected })
}

fn reading<'c>(
    template: &ValueTemplate,
    content: &Content<'c>,
    rejected: &mut Vec<ConversionFailure>,
) -> Result<Option<Reading<'c>>, ConversionFailure> {
    let name = &template.name;
    let points = content.points(name).unwrap_or_default();
    let reading = match &template.kind {
        ValueKind::Range { high: other, .. } => {
            pair((name, points), (other, content.points(other).unwrap_or_default()), rejected, in_order)?
        }
        ValueKind::Ratio { denominator: other, .. } => {
            pair((name, points), (other, content.points(other).unwrap_or_default()), rejected, |_, _| Ok(()))?
        }
        ValueKind::SampledData { .. } if points.is_empty() => None,
        ValueKind::SampledData { .. } => Some(samples(name, points, rejected)?),
        ValueKind::Quantity(_) => latest(points, rejected, |point| decimal(name, point))?.map(Reading::Number),
        ValueKind::Integer => latest(points, rejected, |point| integer(name, point))?.map(Reading::Number),
        ValueKind::Boolean => latest(points, rejected, |point| truth(name, point))?.map(Reading::Truth),
        ValueKind::DateTime => latest(points, rejected, |point| date_time(name, point))?.map(Reading::Text),
        ValueKind::String => points.last().map(|(_, text)| Reading::Text(Cow::Borrowed(*text))),
        ValueKind::CodeableConcept { .. } => points.last().map(|_| Reading::Presence),
    };
    Ok(reading)
}

/// The latest reading that converts (FM-25); later ones that do not are left out.
fn latest<'c, T>(
    points: &[Point<'c>],
    rejected: &mut Vec<ConversionFailure>,
    convert: impl Fn(Point<'c>) -> Result<T, ConversionFailure>,
) -> Result<Option<T>, ConversionFailure> {
    let mut failures = Vec::new();
    for point in points.iter().rev() {
        match convert(*point) {
            Ok(converted) => {
                rejected.append(&mut failures);
                return Ok(Some(converted));
            }
            Err(failure) => failures.push(failure),
        }
    }
    failures.into_iter().next().map_or(Ok(None), Err)
}

/// Two readings of one time, the latest such time; a later one without its partner, or that is no decimal, is left out.
fn pair<'c>(
    (name, points): (&str, &[Point<'c>]),
    (other_name, others): (&str, &[Point<'c>]),
    rejected: &mut Vec<ConversionFailure>,
    check: impl Fn(&str, &str) -> Result<(), &'static str>,
) -> Result<Option<Reading<'c>>, ConversionFailure> {
    let mut times: Vec<Timestamp> = points.iter().chain(others).map(|(at, _)| *at).collect();
    times.sort_unstable();
    times.dedup();
    let at_time = |points: &[Point<'c>], at| points.iter().find(|(time, _)| *time == at).copied();
    let mut failures = Vec::new();
    for at in times.into_iter().rev() {
        let both = match (at_time(points, at), at_time(others, at)) {
            (Some(one), Some(other)) => decimals((name, one), (other_name, other), &check),
            (None, _) => Err(ConversionFailure::without_partner(other_name, name, at)),
            (Some(_), None) => Err(ConversionFailure::without_partner(name, other_name, at)),
        };
        match both {
            Ok((one, other)) => {
                rejected.append(&mut failures);
                return Ok(Some(Reading::Numbers(one, other)));
            }
            Err(failure) => failures.push(failure),
        }
    }
    failures.into_iter().next().map_or(Ok(None), Err)
}

fn decimals<'c>(
    (name, point): (&str, Point<'c>),
    (other_name, other): (&str, Point<'c>),
    check: impl Fn(&str, &str) -> Result<(), &'static str>,
) -> Result<(Cow<'c, str>, Cow<'c, str>), ConversionFailure> {
    let both = (decimal(name, point)?, decimal(other_name, other)?);
    match check(&both.0, &both.1) {
        Ok(()) => Ok(both),
        Err(kind) => Err(ConversionFailure::not_of_type(kind, name, point)),
    }
}

/// What FHIR asks of a Range.
fn in_order(low: &str, high: &str) -> Result<(), &'static str> {
    if compare(low, high).is_some_and(Ordering::is_gt) { Err("at most the high end of its range") } else { Ok(()) }
}

fn decimal<'c>(name: &str, point: Point<'c>) -> Result<Cow<'c, str>, ConversionFailure> {
    json_number(point.1).ok_or_else(|| ConversionFailure::not_a_decimal(name, point))
}

fn integer<'c>(name: &str, point: Point<'c>) -> Result<Cow<'c, str>, ConversionFailure> {
    let number = json_number(point.1).filter(|number| number.parse::<i32>().is_ok());
    number.ok_or_else(|| ConversionFailure::not_of_type("an integer of 32 bits", name, point))
}

fn truth(name: &str, point: Point<'_>) -> Result<bool, ConversionFailure> {
    let is = |known: [&str; 2]| known.iter().any(|known| point.1.trim().eq_ignore_ascii_case(known));
    match (is(["true", "1"]), is(["false", "0"])) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        (false, false) => Err(ConversionFailure::not_of_type("true or false", name, point)),
    }
}

fn date_time<'c>(name: &str, point: Point<'c>) -> Result<Cow<'c, str>, ConversionFailure> {
    let date_time = timestamp::fhir_date_time(point.1);
    date_time.ok_or_else(|| ConversionFailure::not_of_type("a date or time", name, point))
}

/// The readings a stream may hold (FM-23).
fn samples<'c>(
    name: &str,
    points: &[Point<'c>],
    rejected: &mut Vec<ConversionFailure>,
) -> Result<Reading<'c>, ConversionFailure> {
    let mut samples = Vec::with_capacity(points.len());
    let mut failures = Vec::new();
    for (at, value) in points {
        match sample(value) {
            Some(token) => samples.push((*at, token)),
            None => failures.push(ConversionFailure::not_a_sample(name, (*at, value))),
        }
    }
    if samples.is_empty() {
        return Err(first(failures));
    }
    rejected.append(&mut failures);
    Ok(Reading::Samples(samples))
}

/// A value has at least one reading, so there is a first failure when none converts.
fn first(failures: Vec<ConversionFailure>) -> ConversionFailure {
    let first = failures.into_iter().next();
    first.unwrap_or_else(|| ConversionFailure::not_supported("a value without readings"))
}
