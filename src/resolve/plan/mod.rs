//! What to do about an identity, given what the searches found (rules ID-5 to ID-16). Pure.
//!
//! The rule above all others: a measurement whose patient and whose device's patient differ is refused, never guessed.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::owner::{Owner, owner};
use crate::client::bundle::{Condition, Request};
use crate::client::search::{Hit, Token};
use crate::model::group::GroupKey;
use crate::model::logical_id::logical_id;
use crate::model::subject::Subject;

/// The code of a device that belongs to another patient than the measurement says (ID-14).
pub(super) const MISMATCH: &str = "PatientDeviceMismatchException";

/// How identities are found (ID-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityMode {
    /// Devices must exist and belong to a patient.
    Lookup,
    /// As `Lookup`, and measurements must name an encounter.
    LookupWithEncounter,
    /// Devices and patients that do not exist are created.
    Create,
}

/// Who a measurement says it is about. Blank ids count as missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) device_id: String,
    pub(super) patient_id: Option<String>,
    pub(super) encounter_id: Option<String>,
}

impl Identity {
    pub(super) fn of(key: &GroupKey) -> Self {
        let named = |id: &Option<String>| id.as_ref().filter(|id| !id.trim().is_empty()).cloned();
        Self {
            device_id: key.device_id.clone(),
            patient_id: named(&key.patient_id),
            encounter_id: named(&key.encounter_id),
        }
    }
}

/// Why an identity cannot be resolved: error code of the specification and a reason that names no person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdentityFailure {
    pub(super) code: &'static str,
    pub(super) reason: String,
}

impl IdentityFailure {
    pub(super) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// What the searches for one identity found, or why they could not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) devices: Hits<'a>,
    pub(super) patients: Hits<'a>,
    pub(super) encounters: Hits<'a>,
}

/// What one search found, or why it could not.
pub(super) type Hits<'a> = Result<&'a [Hit], &'a IdentityFailure>;

/// What to do about an identity.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    /// All is known.
    Known(Subject),
    /// The Device must be written, and before it the Patient if it is new.
    Write {
        patient: Option<Request>,
        device: Request,
        /// What is known once both are written.
        subject: Subject,
    },
}

/// What is the same for all identities of a connector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) mode: IdentityMode,
    /// Identifier system of devices (ID-2).
    pub(super) device_system: Option<&'a str>,
    /// Bases of the FHIR server, under which absolute references mean its own resources (ID-7).
    pub(super) base_urls: &'a [&'a str],
}

/// The identifiers to search for one identity: device, patient, encounter. None without a device id, which is refused in
/// any case.
pub(super) fn tokens(identity: &Identity, rules: Rules<'_>) -> Vec<Token> {
    if identity.device_id.trim().is_empty() {
        return Vec::new();
    }
    let token = |resource_type, system: Option<&str>, value: &String| Token {
        resource_type,
        system: system.map(str::to_owned),
        value: value.clone(),
    };
    let mut tokens = vec![token("Device", rules.device_system, &identity.device_id)];
    // The patient id plays no part in lookups (ID-6).
    if let (IdentityMode::Create, Some(patient_id)) = (rules.mode, &identity.patient_id) {
        tokens.push(token("Patient", None, patient_id));
    }
    tokens.extend(identity.encounter_id.iter().map(|encounter_id| token("Encounter", None, encounter_id)));
    tokens
}

/// Decides about one identity.
pub(super) fn decide(identity: &Identity, rules: Rules<'_>, found: Found<'_>) -> Result<Decision, IdentityFailure> {
    let mode = rules.mode;
    if identity.device_id.trim().is_empty() {
        return Err(IdentityFailure::new("DeviceIdentityNotDefinedException", "the measurement has no device id"));
    }
    let device = at_most_one(found.devices, "MultipleDeviceFoundException", "Device")?;
    match (device.map(|device| (device, owner(&device.resource, rules.base_urls))), mode) {
        (Some((device, Owner::Patient(patient_id))), _) => {
            if mode == IdentityMode::Create {
                check_owner(identity, &patient_id, found.patients)?;
            }
            let encounter_id = encounter(identity, mode, found.encounters)?;
            Ok(Decision::Known(Subject { patient_id, device_id: device.id.clone(), encounter_id }))
        }
        (Some((_, Owner::Unusable)), IdentityMode::Create) => Err(mismatch()),
        (Some((device, Owner::None)), IdentityMode::Create) => create(identity, rules, Some(device), found),
        (None, IdentityMode::Create) => create(identity, rules, None, found),
        (None, IdentityMode::Lookup | IdentityMode::LookupWithEncounter) => Err(IdentityFailure::new(
            "DeviceNotFoundException",
            "no Device has the measurement's device id as identifier",
        )),
        (Some(_), IdentityMode::Lookup | IdentityMode::LookupWithEncounter) => {
            Err(IdentityFailure::new("PatientNotFoundException", "the Device has no usable reference to a Patient"))
        }
    }
}

fn at_most_one<'a>(hits: Hits<'a>, code: &'static str, name: &str) -> Result<Option<&'a Hit>, IdentityFailure> {
    match hits.map_err(Clone::clone)? {
        [] => Ok(None),
        [hit] => Ok(Some(hit)),
        _ => Err(IdentityFailure::new(code, format!("more than one {name} has this identifier"))),
    }
}

/// The patient of the message must be the patient of the device (ID-14).
fn check_owner(identity: &Identity, owner_id: &str, patients: Hits<'_>) -> Result<(), IdentityFailure> {
    if identity.patient_id.is_none() {
        return Ok(());
    }
    let agrees = patients.map_err(Clone::clone)?.iter().any(|patient| patient.id == owner_id);
    if agrees { Ok(()) } else { Err(mismatch()) }
}

fn mismatch() -> IdentityFailure {
    let reason = "the Device belongs to a Patient without the measurement's patient id";
    IdentityFailure::new(MISMATCH, reason)
}

fn encounter(identity: &Identity, mode: IdentityMode, hits: Hits<'_>) -> Result<Option<String>, IdentityFailure> {
    if identity.encounter_id.is_none() {
        return match mode {
            IdentityMode::LookupWithEncounter => Err(IdentityFailure::new(
                "EncounterIdentityNotDefinedException",
                "the measurement has no encounter id, and this connector asks for one",
            )),
            IdentityMode::Lookup | IdentityMode::Create => Ok(None),
        };
    }
    let missing = || IdentityFailure::new("EncounterNotFoundException", "no Encounter has this identifier");
    let hit = at_most_one(hits, "MultipleEncounterFoundException", "Encounter")?.ok_or_else(missing)?;
    Ok(Some(hit.id.clone()))
}

/// The writes that make the identity known (ID-11 to ID-13).
fn create(
    identity: &Identity,
    rules: Rules<'_>,
    device: Option<&Hit>,
    found: Found<'_>,
) -> Result<Decision, IdentityFailure> {
    let Some(patient_identifier) = &identity.patient_id else {
        let reason = "the device is not linked to a Patient, and the measurement has no patient id to create one for";
        return Err(IdentityFailure::new("PatientIdentityNotDefinedException", reason));
    };
    let known_patient = at_most_one(found.patients, "MultiplePatientFoundException", "Patient")?;
    let encounter_id = encounter(identity, rules.mode, found.encounters)?;
    let (patient_id, patient) = match known_patient {
        Some(patient) => (patient.id.clone(), None),
        None => {
            let id = logical_id("", patient_identifier);
            let request = new_patient(&id, patient_identifier);
            (id, Some(request))
        }
    };
    let (device_id, device) = match device {
        Some(device) => (device.id.clone(), linked_device(device, &patient_id)),
        None => {
            let id = logical_id(rules.device_system.unwrap_or_default(), &identity.device_id);
            let request = new_device(&id, rules.device_system, &identity.device_id, &patient_id);
            (id, request)
        }
    };
    Ok(Decision::Write { patient, device, subject: Subject { patient_id, device_id, encounter_id } })
}

fn put(url: String, resource: &Value, condition: Condition) -> Request {
    Request::Put { url, resource: Bytes::from(resource.to_string()), condition }
}

fn new_patient(id: &str, value: &str) -> Request {
    let patient = json!({"resourceType": "Patient", "id": id, "identifier": [{"value": value}]});
    put(format!("Patient/{id}"), &patient, Condition::Absent)
}

fn new_device(id: &str, system: Option<&str>, value: &str, patient_id: &str) -> Request {
    let identifier = match system {
        Some(system) => json!({"system": system, "value": value}),
        None => json!({"value": value}),
    };
    let patient = json!({"reference": format!("Patient/{patient_id}")});
    let device = json!({"resourceType": "Device", "id": id, "identifier": [identifier], "patient": patient});
    put(format!("Device/{id}"), &device, Condition::Absent)
}

fn linked_device(device: &Hit, patient_id: &str) -> Request {
    let mut resource: Map<String, Value> = device.resource.clone();
    resource.insert("patient".to_owned(), json!({"reference": format!("Patient/{patient_id}")}));
    let condition = match &device.version {
        Some(version) => Condition::Version(format!("W/\"{version}\"")),
        None => Condition::Always,
    };
    put(format!("Device/{}", device.id), &Value::Object(resource), condition)
}

#[cfg(test)]
mod tests;
