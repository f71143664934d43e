//! Readings as the values of an Observation, before anything is written (rules FM-19 to FM-27).

use std::borrow::Cow;

use jiff::Timestamp;

use super::content::{Content, Point};
use super::decimal::json_number;
use crate::mapping::fhir::code_value::{CodeValueFhir, Component, ValueKind, ValueTemplate};

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

    fn not_a_decimal(name: &str, (at, value): Point<'_>) -> Self {
        Self {
            code: "InvalidQuantityFhirValueException",
            reason: format!("value `{name}` is not a decimal: `{value}`"),
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
    Decimal(Cow<'c, str>),
    Text(&'c str),
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
    let Some((points, latest)) = content.points(&template.name).and_then(|points| Some((points, *points.last()?)))
    else {
        return Ok(None);
    };
    match &template.kind {
        ValueKind::SampledData { .. } => samples(&template.name, points, rejected).map(Some),
        ValueKind::Quantity { .. } => decimal(&template.name, points, rejected).map(Some),
        ValueKind::String => Ok(Some(Reading::Text(latest.1))),
        ValueKind::CodeableConcept { .. } => Ok(Some(Reading::Presence)),
    }
}

/// The latest reading that is a decimal (FM-25); later ones that are none are left out.
fn decimal<'c>(
    name: &str,
    points: &[Point<'c>],
    rejected: &mut Vec<ConversionFailure>,
) -> Result<Reading<'c>, ConversionFailure> {
    let mut failures = Vec::new();
    for point in points.iter().rev() {
        match json_number(point.1) {
            Some(number) => {
                rejected.append(&mut failures);
                return Ok(Reading::Decimal(number));
            }
            None => failures.push(ConversionFailure::not_a_decimal(name, *point)),
        }
    }
    Err(first(failures))
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

/// A FHIR decimal in the very form FHIR gives it, or one of the letters.
fn sample(value: &str) -> Option<&str> {
    let token = value.trim();
    match token {
        "E" | "U" | "L" => Some(token),
        decimal => json_number(decimal).is_some_and(|number| number == decimal).then_some(decimal),
    }
}

/// A value has at least one reading, so there is a first failure when none converts.
fn first(failures: Vec<ConversionFailure>) -> ConversionFailure {
    let first = failures.into_iter().next();
    first.unwrap_or_else(|| ConversionFailure::not_supported("a value without readings"))
}
