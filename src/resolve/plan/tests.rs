use serde_json::{Value, json};

use super::{Decision, Found, Identity, IdentityFailure, IdentityMode, Rules, decide, tokens};
use crate::client::bundle::{Condition, Request};
use crate::client::search::{Hit, Token};
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
    let found = Found { devices: Ok(&case.devices), patients: Ok(&case.patients), encounters: Ok(&case.encounters) };
    let url = |request: &Request| match request {
        Request::Put { url, condition: Condition::Absent, .. } => format!("new {}", url.split('/').next().unwrap()),
        Request::Put { url, condition: Condition::Version(etag), .. } => format!("{url} if {etag}"),
        Request::Put { condition: Condition::Always, .. } | Request::Get { .. } => panic!("unsafe write"),
    };
    let described = match decide(&identity, Rules { mode: case.mode, device_system: None, base_urls: &[] }, found) {
        Ok(Decision::Known(subject)) => {
            format!("known {} {} {}", subject.patient_id, subject.device_id, subject.encounter_id.unwrap_or_default())
        }
        Ok(Decision::Write { patient, device, subject }) => {
            patient.iter().chain([&device]).map(url).chain(subject.encounter_id).collect::<Vec<_>>().join(", ")
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
fn id_8_id_9_an_encounter_that_is_named_must_exist_and_may_be_required() {
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
    check(
        &Case { encounter: Some("E"), encounters: vec![other("e")], ..Case::default() },
        "new Patient, new Device, e",
    );
}

#[test]
fn id_10_creation_uses_what_is_found_and_creates_no_encounter() {
    let (devices, encounters) = (vec![device(Some("p"))], vec![other("e")]);
    let patients = vec![other("p")];
    let found = Case { devices, patients, encounters, encounter: Some("E"), ..Case::default() };
    check(&found, "known p d e");
    check(&Case { encounters: vec![], ..found }, "EncounterNotFoundException");
}

#[test]
fn id_9_problems_of_device_and_patient_come_before_those_of_the_encounter() {
    let mode = IdentityMode::LookupWithEncounter;
    check(&Case { mode, ..Case::default() }, "DeviceNotFoundException");
    check(&Case { mode, devices: vec![device(None)], ..Case::default() }, "PatientNotFoundException");
    let several = vec![other("e"), other("f")];
    let create = Case { encounter: Some("E"), encounters: several, ..Case::default() };
    let device_of_another = Case { devices: vec![device(Some("a"))], ..create };
    check(&device_of_another, "PatientDeviceMismatchException");
    let patients = vec![other("a"), other("b")];
    check(&Case { devices: vec![], patients, ..device_of_another }, "MultiplePatientFoundException");
}

#[test]
fn id_9_a_search_for_the_encounter_that_failed_is_told_last() {
    let failure = IdentityFailure::new("EncounterNotFoundException", "refused");
    let (devices, other_owner) = ([device(Some("p"))], [other("q")]);
    let identity =
        Identity { device_id: "D".to_owned(), patient_id: Some("P".to_owned()), encounter_id: Some("E".to_owned()) };
    let code = |mode, devices, patients| {
        let found = Found { devices, patients, encounters: Err(&failure) };
        decide(&identity, Rules { mode, device_system: None, base_urls: &[] }, found).unwrap_err().code
    };
    assert_eq!(code(IdentityMode::Lookup, Ok(&[]), Ok(&[])), "DeviceNotFoundException");
    assert_eq!(code(IdentityMode::Lookup, Ok(&devices), Ok(&[])), "EncounterNotFoundException");
    assert_eq!(code(IdentityMode::Create, Ok(&devices), Ok(&other_owner)), "PatientDeviceMismatchException");
}

/// The searches for an identity, by their URLs.
fn searches(
    mode: IdentityMode,
    device_system: Option<&str>,
    (device, patient, encounter): (&str, &str, &str),
) -> String {
    let named = |id: &str| (!id.is_empty()).then(|| id.to_owned());
    let identity =
        Identity { device_id: device.to_owned(), patient_id: named(patient), encounter_id: named(encounter) };
    let tokens = tokens(&identity, Rules { mode, device_system, base_urls: &[] });
    tokens.iter().map(Token::url).collect::<Vec<_>>().join(" ")
}

#[test]
fn id_2_a_device_is_searched_in_its_system_or_in_any() {
    let lookup = |system, device| searches(IdentityMode::Lookup, system, (device, "", ""));
    assert_eq!(lookup(Some("urn:s"), "d"), "Device?identifier=urn%3As%7Cd");
    assert_eq!(lookup(None, "d"), "Device?identifier=d");
    // Without an id there is nothing to search, and everybody might be found.
    assert_eq!(lookup(Some("urn:s"), " "), "");
}

#[test]
fn id_3_patients_and_encounters_are_searched_in_any_system() {
    let all = searches(IdentityMode::Create, Some("urn:s"), ("d", "p", "e"));
    assert_eq!(all, "Device?identifier=urn%3As%7Cd Patient?identifier=p Encounter?identifier=e");
}

#[test]
fn id_4_values_are_escaped_before_they_are_searched() {
    let lookup = searches(IdentityMode::Lookup, Some("urn:s"), ("a|b&_id=c", "", "e,f$g#h"));
    assert_eq!(lookup, "Device?identifier=urn%3As%7Ca%5C%7Cb%26%5Fid%3Dc Encounter?identifier=e%5C%2Cf%5C%24g%23h");
}

#[test]
fn id_6_id_8_a_lookup_searches_no_patient_and_an_encounter_only_if_one_is_named() {
    for mode in [IdentityMode::Lookup, IdentityMode::LookupWithEncounter] {
        assert_eq!(searches(mode, None, ("d", "p", "")), "Device?identifier=d");
        assert_eq!(searches(mode, None, ("d", "p", "e")), "Device?identifier=d Encounter?identifier=e");
    }
}

#[test]
fn id_13_created_resources_carry_their_identifier_and_the_reference() {
    let identity = Identity { device_id: "D".to_owned(), patient_id: Some("P".to_owned()), encounter_id: None };
    let found = Found { devices: Ok(&[]), patients: Ok(&[]), encounters: Ok(&[]) };
    let rules = Rules { mode: IdentityMode::Create, device_system: Some("urn:s"), base_urls: &[] };
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
