//! Searches within what belongs to somebody or something
//! (<https://hl7.org/fhir/R4/compartmentdefinition.html>).

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Fhir, link};
use crate::support::process::Vitalwire;

fn reference(target: &str) -> Value {
    json!({ "reference": target })
}

fn observation(id: &str, rest: Value) -> Value {
    let mut observation = json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] },
    });
    for (name, value) in rest.as_object().unwrap() {
        observation[name] = value.clone();
    }
    observation
}

/// Two patients with readings, an encounter, a device and a doctor; what only mentions the first is not in its
/// compartment.
async fn seed(fhir: &Fhir) {
    for resource in [
        json!({ "resourceType": "Patient", "id": "p", "generalPractitioner": [reference("Practitioner/dr")] }),
        json!({ "resourceType": "Patient", "id": "q" }),
        json!({ "resourceType": "Practitioner", "id": "dr" }),
        json!({ "resourceType": "RelatedPerson", "id": "son", "patient": reference("Patient/p") }),
        json!({ "resourceType": "Device", "id": "w", "patient": reference("Patient/p") }),
        json!({ "resourceType": "Encounter", "id": "stay", "status": "finished", "class": { "code": "IMP" },
            "subject": reference("Patient/p") }),
        observation("own", json!({ "subject": reference("Patient/p"), "encounter": reference("Encounter/stay") })),
        observation("worn", json!({ "subject": reference("Patient/p"), "device": reference("Device/w") })),
        observation("other", json!({ "subject": reference("Patient/q"), "device": reference("Device/w") })),
        observation("done", json!({ "subject": reference("Patient/q"), "performer": [reference("Patient/p")] })),
        observation("focus", json!({ "subject": reference("Patient/q"), "focus": [reference("Patient/p")] })),
        json!({ "resourceType": "Task", "id": "t", "status": "draft", "intent": "plan", "for": reference("Patient/p") }),
    ] {
        fhir.put(&resource).await.check(201);
    }
}

async fn ids(fhir: &Fhir, path: &str) -> String {
    let (mut found, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(page) = next {
        let bundle = fhir.get(&page).await.check(200).json();
        let entries = bundle["entry"].as_array().map_or(&[][..], Vec::as_slice);
        found.extend(entries.iter().map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()));
        next = link(&bundle, "next");
    }
    found.sort();
    found.join(" ")
}

#[tokio::test]
async fn a_compartment_has_what_the_specification_puts_there_and_nothing_besides() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (path, expected) in [
        ("Patient/p/Observation", "done own worn"),
        ("Patient/p/Observation?code=8867-4&device=Device/w", "worn"),
        ("Patient/p/Observation?_count=1&_sort=-_id", "done own worn"),
        ("Patient/p/Patient", "p"),
        ("Patient/p/*?_count=2", "done own p son stay worn"),
        ("Patient/p/*?_type=Encounter,Observation", "done own stay worn"),
        ("Patient/q/*", "done focus other q"),
        ("Patient/nobody/*", ""),
        ("Encounter/stay/*", "own stay"),
        ("Encounter/stay/Observation", "own"),
        ("Device/w/Observation", "other worn"),
        ("Device/w/*", "other w worn"),
        ("Practitioner/dr/Patient", "p"),
        ("Practitioner/dr/*", "dr p"),
        ("RelatedPerson/son/*", "son"),
    ] {
        assert_eq!(ids(&fhir, path).await, expected, "{path}");
        let (place, query) = path.split_once('?').unwrap_or((path, ""));
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let posted = fhir.raw("POST", &format!("{place}/_search"), &form, query).await.check(200).json();
        assert_eq!(link(&posted, "first"), link(&fhir.get(path).await.json(), "first"), "{path}");
    }
    let bundle = fhir.get("Patient/p/Observation?_count=1&status=final").await.check(200).json();
    let own = format!("{}/fhir/Patient/p/Observation?_count=1&status=final", product.http);
    assert_eq!(link(&bundle, "self"), Some(own));
    let elsewhere = link(&bundle, "next").unwrap().replace("Patient/p", "Patient/q");
    fhir.get(&elsewhere).await.check_outcome(400, "value", "`_cursor`");
}

#[tokio::test]
async fn where_there_is_no_compartment_there_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for (path, status, code, says) in [
        ("Group/g/Observation", 404, "not-found", "no such compartment"),
        ("Patient/p/Medication", 404, "not-found", "no such compartment"),
        ("Patient/p/Task", 404, "not-found", "no such compartment"),
        ("Patient/p/Nobody", 404, "not-found", "no resource type"),
        ("Patient/a_b/Observation", 400, "value", "logical id"),
        ("Patient/p/Observation?name=x", 400, "not-supported", "not a search parameter of Observation"),
        ("Patient/p/*?code=x", 400, "not-supported", "not a search parameter of Account"),
        ("Patient/p/*?_type=Medication", 400, "value", "resource types"),
    ] {
        fhir.get(path).await.check_outcome(status, code, says);
    }
    fhir.raw("DELETE", "Patient/p/Observation", &[], "").await.check_outcome(405, "not-supported", "GET");
    let options = fhir.raw("OPTIONS", "Patient/p/Observation", &[], "").await.check(204);
    assert_eq!(options.header("allow"), "GET, HEAD, OPTIONS");
    assert_eq!(fhir.raw("HEAD", "Patient/p/Observation", &[], "").await.check(200).text, "");
}
