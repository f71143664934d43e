//! An Observation as the rules see it: what it says, and where in the mapping file it says so.
//!
//! The rules know nothing of template types. Whatever can be read as one of these is judged by the same rules.

use super::super::fhir::FhirTemplate;
use super::super::fhir::code_value::{Code, CodeValueFhir, Unit, ValueKind, ValueTemplate};
use super::super::source::Position;

/// What a template says of its Observations. Blank texts count as missing.
#[derive(Debug)]
pub(super) struct Observation<'t> {
    pub(super) at: Position,
    /// The measurement type.
    pub(super) type_name: &'t str,
    /// The codings of all categories.
    pub(super) categories: Vec<Coding<'t>>,
    pub(super) codes: Vec<Coding<'t>>,
    pub(super) value: Option<Value<'t>>,
    pub(super) components: Vec<Component<'t>>,
}

/// A component and its codings.
#[derive(Debug)]
pub(super) struct Component<'t> {
    pub(super) codes: Vec<Coding<'t>>,
    pub(super) value: Option<Value<'t>>,
}

/// A code of a code system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding<'t> {
    pub(super) at: Position,
    pub(super) system: Option<&'t str>,
    pub(super) code: Option<&'t str>,
    pub(super) display: Option<&'t str>,
}

/// A value and what it is called.
#[derive(Debug)]
pub(super) struct Value<'t> {
    pub(super) at: Position,
    /// The name of the measured value.
    pub(super) name: &'t str,
    pub(super) content: Content<'t>,
}

/// What kind of value it is, as far as a rule asks.
#[derive(Debug)]
pub(super) enum Content<'t> {
    Quantity(Quantity<'t>),
    /// Two numbers over each other, each with its unit; what they make together is not known.
    Ratio(Quantity<'t>, Quantity<'t>),
    /// A stream of samples whose unit is a text only, as CodeValueFhir writes it (FM-22).
    SampledData {
        unit: Option<&'t str>,
    },
    /// Something without a unit, and what FHIR calls it.
    Unitless(&'static str),
}

/// The unit of a Quantity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantity<'t> {
    pub(super) unit: Option<&'t str>,
    pub(super) system: Option<&'t str>,
    pub(super) code: Option<&'t str>,
}

impl<'t> Observation<'t> {
    pub(super) fn of_code_value(template: &'t FhirTemplate, observation: &'t CodeValueFhir) -> Self {
        let components = observation
            .components
            .iter()
            .map(|component| Component { codes: codings(&component.codes), value: Some(value(&component.value)) });
        Self {
            at: template.at,
            type_name: &template.type_name,
            categories: observation.category.iter().flat_map(|category| codings(&category.codes)).collect(),
            codes: codings(&observation.codes),
            value: observation.value.as_ref().map(value),
            components: components.collect(),
        }
    }
}

fn codings(codes: &[Code]) -> Vec<Coding<'_>> {
    codes.iter().map(coding).collect()
}

fn coding(code: &Code) -> Coding<'_> {
    Coding { at: code.at, system: given(&code.system), code: given(&code.code), display: given(&code.display) }
}

fn value(template: &ValueTemplate) -> Value<'_> {
    let content = match &template.kind {
        ValueKind::Quantity(unit) | ValueKind::Range { unit, .. } => Content::Quantity(quantity(unit)),
        ValueKind::Ratio { unit, denominator_unit, .. } => Content::Ratio(quantity(unit), quantity(denominator_unit)),
        ValueKind::SampledData { unit, .. } => Content::SampledData { unit: given(unit) },
        ValueKind::String => Content::Unitless("String"),
        ValueKind::CodeableConcept { .. } => Content::Unitless("CodeableConcept"),
        ValueKind::DateTime => Content::Unitless("dateTime"),
        ValueKind::Boolean => Content::Unitless("boolean"),
        ValueKind::Integer => Content::Unitless("integer"),
    };
    Value { at: template.at, name: &template.name, content }
}

fn quantity(unit: &Unit) -> Quantity<'_> {
    Quantity { unit: given(&unit.unit), system: given(&unit.system), code: given(&unit.code) }
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.trim().is_empty())
}
