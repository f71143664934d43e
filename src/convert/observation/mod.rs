//! A group and its template as an Observation (section 7.2 of the mapping specification).
//!
//! The JSON is written straight to text: this runs for every reading. Merging into an Observation that exists is in
//! `merge` and writes values through the functions here.

use super::content::{Boundary, Content};
use super::json_text::{ObjectWriter, write_array, write_string};
use super::reading::{ConversionFailure, Reading, convert};
use super::sampled_data::{samples_of, slots, write_stream};
use crate::mapping::SamplePeriod;
use crate::mapping::fhir::code_value::{Category, Code, CodeValueFhir, Component, Unit, ValueKind};
use crate::mapping::timestamp::write_seven_digits;

/// An Observation that did not exist before.
#[derive(Debug)]
pub(crate) struct Built {
    /// The resource as JSON.
    pub(crate) json: Vec<u8>,
    /// Readings that are not in it, because they do not convert.
    pub(crate) rejected: Vec<ConversionFailure>,
}

/// Builds the Observation of a group.
///
/// # Errors
/// When a value has readings and none of them converts (FM-23, FM-24), or the stream would be too long.
pub(crate) fn build(template: &CodeValueFhir, content: &Content<'_>) -> Result<Built, ConversionFailure> {
    let readings = convert(template, content)?;
    let mut json = String::with_capacity(1024);
    let mut object = ObjectWriter::open(&mut json);
    object.string("resourceType", "Observation");
    object.string("id", &content.identifier.id);
    write_array(object.member("identifier"), [content], |out, content| {
        let mut identifier = ObjectWriter::open(out);
        identifier.string("system", &content.identifier.system);
        identifier.string("value", &content.identifier.value);
        identifier.close();
    });
    object.string("status", "final");
    if !template.category.is_empty() {
        write_category(object.member("category"), &template.category);
    }
    let system = &content.identifier.system;
    write_own_concept(object.member("code"), &template.codes, system, content.measurement_type);
    write_references(&mut object, content);
    write_period(object.member("effectivePeriod"), content.boundary);
    write_time(object.member("issued"), content.issued);
    write_reference(object.member("device"), "Device", &content.subject.device_id);
    if let Some((reading, template)) = readings.value.as_ref().zip(template.value.as_ref()) {
        let out = object.member(value_member(&template.kind));
        write_value(out, &template.kind, reading, content.boundary)?;
    }
    if !readings.components.is_empty() {
        let mut components = String::new();
        for (component, reading) in &readings.components {
            components.push(if components.is_empty() { '[' } else { ',' });
            write_component(&mut components, component, reading, (system, content.boundary))?;
        }
        components.push(']');
        object.json("component", &components);
    }
    object.close();
    Ok(Built { json: json.into_bytes(), rejected: readings.rejected })
}

fn write_references(object: &mut ObjectWriter<'_>, content: &Content<'_>) {
    write_reference(object.member("subject"), "Patient", &content.subject.patient_id);
    if let Some(encounter_id) = &content.subject.encounter_id {
        write_reference(object.member("encounter"), "Encounter", encounter_id);
    }
}

pub(super) fn write_reference(out: &mut String, resource_type: &str, id: &str) {
    let mut reference = ObjectWriter::open(out);
    reference.string("reference", &format!("{resource_type}/{id}"));
    reference.close();
}

pub(super) fn write_time(out: &mut String, at: jiff::Timestamp) {
    out.push('"');
    write_seven_digits(out, at);
    out.push('"');
}

/// A Period of a boundary, always with seven digits (FM-16).
pub(super) fn write_period(out: &mut String, boundary: Boundary) {
    let mut period = ObjectWriter::open(out);
    write_time(period.member("start"), boundary.start);
    write_time(period.member("end"), boundary.end);
    period.close();
}

/// The categories of a template (FM-15).
pub(super) fn write_category(out: &mut String, category: &[Category]) {
    write_array(out, category, |out, category| write_concept(out, category.text.as_deref(), &category.codes));
}

fn write_code(out: &mut String, code: &Code) {
    write_coding(out, code.system.as_deref(), code.code.as_deref(), code.display.as_deref());
}

fn write_coding(out: &mut String, system: Option<&str>, code: Option<&str>, display: Option<&str>) {
    let mut coding = ObjectWriter::open(out);
    coding.optional_string("system", system);
    coding.optional_string("code", code);
    coding.optional_string("display", display);
    coding.close();
}

fn write_concept(out: &mut String, text: Option<&str>, codes: &[Code]) {
    let mut concept = ObjectWriter::open(out);
    if !codes.is_empty() {
        write_array(concept.member("coding"), codes, write_code);
    }
    concept.optional_string("text", text);
    concept.close();
}

/// The template's codes and one more of the product's own system, by which the element is found again (FM-14, FM-20).
fn write_own_concept(out: &mut String, codes: &[Code], system: &str, name: &str) {
    let mut concept = ObjectWriter::open(out);
    write_array(concept.member("coding"), codes.iter().map(Some).chain([None]), |out, code| match code {
        Some(code) => write_code(out, code),
        None => write_coding(out, Some(system), Some(name), Some(name)),
    });
    concept.string("text", name);
    concept.close();
}

/// A component with its code and value; the system is that of the product's own codings.
pub(super) fn write_component(
    out: &mut String,
    component: &Component,
    reading: &Reading<'_>,
    (system, boundary): (&str, Boundary),
) -> Result<(), ConversionFailure> {
    let mut object = ObjectWriter::open(out);
    write_own_concept(object.member("code"), &component.codes, system, &component.value.name);
    let kind = &component.value.kind;
    write_value(object.member(value_member(kind)), kind, reading, boundary)?;
    object.close();
    Ok(())
}

/// The member that holds a value of this kind.
pub(super) fn value_member(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::SampledData { .. } => "valueSampledData",
        ValueKind::Quantity(_) => "valueQuantity",
        ValueKind::String => "valueString",
        ValueKind::CodeableConcept { .. } => "valueCodeableConcept",
        ValueKind::DateTime => "valueDateTime",
        ValueKind::Boolean => "valueBoolean",
        ValueKind::Integer => "valueInteger",
        ValueKind::Range { .. } => "valueRange",
        ValueKind::Ratio { .. } => "valueRatio",
    }
}

/// A value; the reading is of the template's kind, because both come from `convert`.
pub(super) fn write_value(
    out: &mut String,
    kind: &ValueKind,
    reading: &Reading<'_>,
    boundary: Boundary,
) -> Result<(), ConversionFailure> {
    match (kind, reading) {
        (ValueKind::SampledData { period, unit }, Reading::Samples(samples)) => {
            let slots = slots(boundary, period, samples_of(samples))?;
            write_sampled_data(out, period, unit.as_deref(), &slots);
        }
        (ValueKind::Quantity(unit), Reading::Number(number)) => write_quantity(out, number, unit),
        (ValueKind::Integer, Reading::Number(number)) => out.push_str(number),
        (ValueKind::String | ValueKind::DateTime, Reading::Text(text)) => write_string(out, text),
        (ValueKind::Boolean, Reading::Truth(truth)) => out.push_str(if *truth { "true" } else { "false" }),
        (ValueKind::CodeableConcept { text, codes }, Reading::Presence) => write_concept(out, text.as_deref(), codes),
        (ValueKind::Range { unit, .. }, Reading::Numbers(low, high)) => {
            write_quantities(out, [("low", low, unit), ("high", high, unit)]);
        }
        (ValueKind::Ratio { unit, denominator_unit, .. }, Reading::Numbers(numerator, denominator)) => {
            write_quantities(out, [("numerator", numerator, unit), ("denominator", denominator, denominator_unit)]);
        }
        (
            _,
            Reading::Samples(_)
            | Reading::Number(_)
            | Reading::Numbers(..)
            | Reading::Text(_)
            | Reading::Truth(_)
            | Reading::Presence,
        ) => return Err(ConversionFailure::not_supported("a reading of another kind than its template")),
    }
    Ok(())
}

fn write_quantity(out: &mut String, number: &str, unit: &Unit) {
    let mut quantity = ObjectWriter::open(out);
    quantity.json("value", number);
    quantity.optional_string("unit", unit.unit.as_deref());
    quantity.optional_string("system", unit.system.as_deref());
    quantity.optional_string("code", unit.code.as_deref());
    quantity.close();
}

fn write_quantities(out: &mut String, parts: [(&str, &str, &Unit); 2]) {
    let mut object = ObjectWriter::open(out);
    for (name, number, unit) in parts {
        write_quantity(object.member(name), number, unit);
    }
    object.close();
}

fn write_sampled_data(out: &mut String, period: &SamplePeriod, unit: Option<&str>, slots: &[&str]) {
    let mut sampled_data = ObjectWriter::open(out);
    let mut origin = ObjectWriter::open(sampled_data.member("origin"));
    origin.json("value", "0");
    origin.optional_string("unit", unit);
    origin.close();
    sampled_data.json("period", period.as_str());
    sampled_data.json("dimensions", "1");
    write_stream(sampled_data.member("data"), slots.iter().copied());
    sampled_data.close();
}

#[cfg(test)]
mod tests;
