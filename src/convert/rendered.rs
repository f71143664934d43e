//! A group as the resource that its HandlebarsFhir template renders, completed with what the template leaves out.
//!
//! The template may write anything but two things: the id, and another patient. Whatever it says of a Patient must be the
//! one that was resolved for the device; a template whose data says otherwise fails (P5).

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::content::{Content, Point};
use super::json_text::{ObjectWriter, write_string};
use super::merge::effective::effective;
use super::observation::{Built, write_period, write_reference, write_time};
use super::raw::RawObject;
use super::reading::ConversionFailure;
use crate::mapping::fhir::handlebars::view::{Party, View};
use crate::mapping::fhir::handlebars::{HandlebarsFhir, Identifiers, Refusal};

/// A resource as it would be created.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) json: String,
    /// The members that the template wrote itself.
    pub(super) written: Vec<String>,
}

/// Builds the resource of a group that has none yet.
///
/// # Errors
/// When the template does not render, or names another patient.
pub(super) fn build(template: &HandlebarsFhir, content: &Content<'_>) -> Result<Built, ConversionFailure> {
    let rendered = render(template, content)?;
    Ok(Built { json: rendered.json.into_bytes(), rejected: Vec::new() })
}

/// Renders the resource and completes it.
///
/// # Errors
/// As `build`.
pub(super) fn render(template: &HandlebarsFhir, content: &Content<'_>) -> Result<Rendered, ConversionFailure> {
    let members = template.render(&view(content)).map_err(|refusal| failure(refusal, template, content))?;
    check_patient(&members, template, &content.subject.patient_id)?;
    let mut json = String::with_capacity(1024);
    let mut object = ObjectWriter::open(&mut json);
    object.string("resourceType", template.resource_type.as_str());
    object.string("id", &content.identifier.id);
    write_identifier(&mut object, template.identifiers(), members.get("identifier"), content);
    let others = members.iter().filter(|(name, _)| !matches!(name.as_str(), "resourceType" | "id" | "identifier"));
    for (name, value) in others {
        object.json(name, &value.to_string());
    }
    if template.is_observation() {
        complete(&mut object, &members, content);
    }
    object.close();
    if template.is_observation() {
        check_effective(&json, content)?;
    }
    Ok(Rendered { json, written: members.into_iter().map(|(name, _)| name).collect() })
}

fn view<'c>(content: &'c Content<'_>) -> View<'c> {
    let party = |id, identifier| Party { id, identifier };
    let (subject, names) = (content.subject, content.names);
    View {
        measurement_type: content.measurement_type,
        series: content.series.iter().map(|series| (series.name, series.points.as_slice())).collect(),
        start: content.boundary.start,
        end: content.boundary.end,
        issued: content.issued,
        device: party(&subject.device_id, Some(names.device)),
        patient: party(&subject.patient_id, names.patient),
        encounter: subject.encounter_id.as_deref().map(|id| party(id, names.encounter)),
        correlation_id: names.correlation_id,
        identifier_system: &content.identifier.system,
        identifier_value: &content.identifier.value,
    }
}

/// A refusal with the reading to blame: the one it names, else the latest that the template looks at. So one message
/// that cannot be rendered does not take all others of its period with it (P4).
fn failure(refusal: Refusal, template: &HandlebarsFhir, content: &Content<'_>) -> ConversionFailure {
    let latest = |name: &str| content.points(name).and_then(|points: &[Point<'_>]| points.last()).map(|(at, _)| *at);
    let named = refusal.reading.and_then(|(name, time)| {
        let at = time.and_then(|time| time.parse::<Timestamp>().ok()).or_else(|| latest(&name))?;
        Some((name, at))
    });
    let used = content.series.iter().filter(|series| template.uses(series.name));
    let latest_of_all = used.filter_map(|series| Some((series.name.to_owned(), series.points.last()?.0)));
    let reading = named.or_else(|| latest_of_all.max_by_key(|(_, at)| *at));
    ConversionFailure { code: refusal.code, reason: refusal.reason, reading }
}

/// Refuses what would be filed under anybody but the resolved patient.
fn check_patient(
    members: &Map<String, Value>,
    template: &HandlebarsFhir,
    patient_id: &str,
) -> Result<(), ConversionFailure> {
    let expected = format!("Patient/{patient_id}");
    for name in ["subject", "patient"] {
        let Some(value) = members.get(name) else { continue };
        let reference = value.get("reference").and_then(Value::as_str);
        let is_other_type = |reference: &str| !template.is_observation() && is_of_other_type(reference);
        if reference != Some(expected.as_str()) && !reference.is_some_and(is_other_type) {
            return Err(ConversionFailure::wrong_patient(format!("`{name}` is not the patient of the device")));
        }
    }
    members.iter().try_for_each(|(_, value)| check_references(value, &expected))
}

/// Whether a reference is to a resource that is neither a Patient nor one that only the resource itself knows.
fn is_of_other_type(reference: &str) -> bool {
    reference.split_once('/').is_some_and(|(name, id)| {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphabetic());
        is_name && name.starts_with(|first: char| first.is_ascii_uppercase()) && name != "Patient" && !id.contains('/')
    })
}

/// Whether a reference leads to a Patient: by id, by a search, here or elsewhere.
fn names_patient(reference: &str) -> bool {
    let rest =
        |part: &str| part.strip_prefix("Patient").map(|rest| rest.starts_with(|next: char| next.is_alphanumeric()));
    reference.split('/').any(|part| rest(part) == Some(false))
}

fn check_references(value: &Value, expected: &str) -> Result<(), ConversionFailure> {
    match value {
        Value::Object(members) => {
            let reference = members.get("reference").and_then(Value::as_str);
            if reference.is_some_and(|reference| reference != expected && names_patient(reference)) {
                let reason = "a reference is to a patient who is not that of the device";
                return Err(ConversionFailure::wrong_patient(reason));
            }
            members.values().try_for_each(|value| check_references(value, expected))
        }
        Value::Array(elements) => elements.iter().try_for_each(|element| check_references(element, expected)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Slots of streams are counted from the start of the boundary, and readers count them from the effective time.
fn check_effective(json: &str, content: &Content<'_>) -> Result<(), ConversionFailure> {
    let not_read = || ConversionFailure::not_supported("what was rendered names a member twice");
    let observation = RawObject::parse(json.as_bytes()).ok_or_else(not_read)?;
    let start = effective(&observation)?.start;
    if start != content.boundary.start && json.contains("\"valueSampledData\"") {
        let reason = "the effective time does not begin with `start`, where the slots of SampledData begin";
        return Err(ConversionFailure::not_supported(reason));
    }
    Ok(())
}

/// The identifier of the resource, after those that the template writes.
fn write_identifier(
    object: &mut ObjectWriter<'_>,
    shape: Identifiers,
    rendered: Option<&Value>,
    content: &Content<'_>,
) {
    let identifier = content.identifier;
    let mut own = String::new();
    let mut members = ObjectWriter::open(&mut own);
    members.string("system", &identifier.system);
    members.string("value", &identifier.value);
    members.close();
    match (shape, rendered) {
        (Identifiers::None, None) => {}
        (Identifiers::None | Identifiers::One, Some(rendered)) => object.json("identifier", &rendered.to_string()),
        (Identifiers::One, None) => object.json("identifier", &own),
        (Identifiers::Many, rendered) => {
            let rendered = rendered.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let is_own = |one: &Value| {
                let is = |name, text: &str| one.get(name).and_then(Value::as_str) == Some(text);
                is("system", &identifier.system) && is("value", &identifier.value)
            };
            let mut all: Vec<String> = rendered.iter().map(Value::to_string).collect();
            if !rendered.iter().any(is_own) {
                all.push(own);
            }
            object.json("identifier", &format!("[{}]", all.join(",")));
        }
    }
}

/// What every Observation has (FM-16 to FM-18), where the template does not write it.
fn complete(object: &mut ObjectWriter<'_>, members: &Map<String, Value>, content: &Content<'_>) {
    let lacks = |name: &str| !members.contains_key(name);
    if lacks("status") {
        write_string(object.member("status"), "final");
    }
    if lacks("subject") {
        write_reference(object.member("subject"), "Patient", &content.subject.patient_id);
    }
    if let Some(encounter_id) = content.subject.encounter_id.as_deref().filter(|_| lacks("encounter")) {
        write_reference(object.member("encounter"), "Encounter", encounter_id);
    }
    if !members.keys().any(|name| name.starts_with("effective")) {
        write_period(object.member("effectivePeriod"), content.boundary);
    }
    if lacks("issued") {
        write_time(object.member("issued"), content.issued);
    }
    if lacks("device") {
        write_reference(object.member("device"), "Device", &content.subject.device_id);
    }
}
