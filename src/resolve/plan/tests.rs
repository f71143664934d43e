use serde_json::{Value, json};

use super::{Decision, Found, Identity, IdentityMode, Rules, decide};
use crate::client::bundle::{Condition, Request};
use crate::client::search::Hit;
use crate::model::logical_id::logical_id;

fn hit(resource: &Value) -> Hit {
    Hit {
        id: resource["id"].as_str().unwrap().to_owned(),
        version: Some("4".to_owned()),
        resource: resource.as_object().unwrap().clone(),
    }
}

fn device(owner: Option<&str>) -> Hit {
    match owner {
        Some(owner) => hit(&json!({"id": "d", "patient": {"reference": format!("Patient/{owner}")}})),
        None => hit(&json!({"id": "d", "udi": 65.0})),
    }
}

fn other(id: &str) -> Hit {
    hit(&json!({"id": id}))
}

struct Case<'a> {
    mode: IdentityMode,
    patient: Option<&'a str>,
    encounter: Option<&'a str>,
    devices: Vec<Hit>,
    patients: Vec<Hit>,
    encounters: Vec<Hit>,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            mode: IdentityMode::Create,
            patient: Some("P"),
            encounter: None,
            devices: vec![],
            patients: vec![],
            encounters: vec![],
        }
    }
}

/// The decision in short: `known patient device encounter`, the writes by URL, or the error code.
#[track_caller]
fn check(case: &Case<'_>, expected: &str) {
    let identity = Identity {
        device_id: "D".to_owned(),
        patient_id: case.patient.map(str::to_owned),
        encounter_id: case.encounter.map(str::to_owned),
    };
    let found = Found { devices: &case.devices, patients: &case.patients, encounters: &case.encounters };
    let url = |request: &Request| match request {
        Request::Put { url, condition: Condition::Absent, .. } => format!("new {}", url.split('/').next().unwrap()),
        Request::Put { url, condition: Condition::Version(etag), .. } => format!("{url} if {etag}"),
        Request::Put { condition: Condition::Always, .. } | Request::Get { .. } => panic!("unsafe write"),
    };
    let described = match decide(&identity, Rules { mode: case.mode, device_system: None, base_url: "" }, found) {
        Ok(Decision::Known(subject)) => {
            format!("known {} {} {}", subject.patient_id, subject.device_id, subject.encounter_id.unwrap_or_default())
        }
        Ok(Decision::Write { patient, device, .. }) => {
            patient.iter().chain([&device]).map(url).collect::<Vec<_>>().join(", ")
        }
        Err(failure) => failure.code.to_owned(),
    };
    assert_eq!(described.trim(), expected);
}

#[test]
fn id_6_a_lookup_takes_the_patient_of_the_device() {
    let mode = IdentityMode::Lookup;
    check(&Case { mode, devices: vec![device(Some("p"))], patient: Some("other"), ..Case::default() }, "known p d");
    check(&Case { mode, ..Case::default() }, "DeviceNotFoundException");
    check(&Case { mode, devices: vec![device(None)], ..Case::default() }, "PatientNotFoundException");
}

#[test]
fn id_5_several_hits_are_no_answer() {
    check(&Case { devices: vec![device(None), device(None)], ..Case::default() }, "MultipleDeviceFoundException");
    check(&Case { patients: vec![other("a"), other("b")], ..Case::default() }, "MultiplePatientFoundException");
    let devices = vec![device(Some("p"))];
    let encounters = vec![other("e"), other("f")];
    let case = Case { devices, encounters, patient: None, encounter: Some("E"), ..Case::default() };
    check(&case, "MultipleEncounterFoundException");
}

#[test]
fn id_8_and_9_an_encounter_that_is_named_must_exist_and_may_be_required() {
    let devices = || vec![device(Some("p"))];
    let mode = IdentityMode::Lookup;
    let case = Case { mode, devices: devices(), encounter: Some("E"), ..Case::default() };
    check(&case, "EncounterNotFoundException");
    let case = Case { mode, devices: devices(), encounter: Some("E"), encounters: vec![other("e")], ..Case::default() };
    check(&case, "known p d e");
    let case = Case { mode: IdentityMode::LookupWithEncounter, devices: devices(), ..Case::default() };
    check(&case, "EncounterIdentityNotDefinedException");
}

#[test]
fn id_11_creation_needs_a_patient_id() {
    check(&Case { patient: None, ..Case::default() }, "PatientIdentityNotDefinedException");
}

#[test]
fn id_12_patient_and_device_are_created_or_linked() {
    check(&Case::default(), "new Patient, new Device");
    check(&Case { patients: vec![other("p")], ..Case::default() }, "new Device");
    check(&Case { patients: vec![other("p")], devices: vec![device(None)], ..Case::default() }, "Device/d if W/\"4\"");
}

#[test]
fn id_14_a_message_for_another_patient_than_the_devices_is_refused() {
    let devices = || vec![device(Some("a"))];
    check(
        &Case { devices: devices(), patients: vec![other("b")], ..Case::default() },
        "PatientDeviceMismatchException",
    );
    check(&Case { devices: devices(), ..Case::default() }, "PatientDeviceMismatchException");
    check(&Case { devices: devices(), patients: vec![other("a")], ..Case::default() }, "known a d");
    check(&Case { devices: devices(), patient: None, ..Case::default() }, "known a d");
}

#[test]
fn id_7_a_device_of_an_unknown_owner_is_not_given_to_another() {
    let devices = vec![hit(&json!({"id": "d", "patient": {"display": "Eve"}}))];
    check(&Case { devices, patients: vec![other("p")], ..Case::default() }, "PatientDeviceMismatchException");
}

#[test]
fn id_16_creation_resolves_the_encounter_as_well() {
    check(&Case { encounter: Some("E"), ..Case::default() }, "EncounterNotFoundException");
}

#[test]
fn id_13_created_resources_carry_their_identifier_and_the_reference() {
    let identity = Identity { device_id: "D".to_owned(), patient_id: Some("P".to_owned()), encounter_id: None };
    let found = Found { devices: &[], patients: &[], encounters: &[] };
    let rules = Rules { mode: IdentityMode::Create, device_system: Some("urn:s"), base_url: "" };
    let decision = decide(&identity, rules, found).unwrap();
    let Decision::Write { patient: Some(Request::Put { resource: patient, .. }), device, .. } = decision else {
        panic!()
    };
    let Request::Put { resource: device, .. } = device else { panic!() };
    let (patient_id, device_id) = (logical_id("", "P"), logical_id("urn:s", "D"));
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    assert_eq!(read(&patient), json!({"resourceType": "Patient", "id": patient_id, "identifier": [{"value": "P"}]}));
    let expected = json!({"resourceType": "Device", "id": device_id, "identifier": [{"system": "urn:s", "value": "D"}],
        "patient": {"reference": format!("Patient/{patient_id}")}});
    assert_eq!(read(&device), expected);
}
