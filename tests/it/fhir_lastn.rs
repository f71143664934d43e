//! `$lastn` of Observations (<https://hl7.org/fhir/R4/observation-operation-lastn.html>), as a clinician's tool asks.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Fhir, entry_ids, link};
use crate::support::process::Vitalwire;

fn observation(id: &str, patient: &str, codes: &[&str], date: &str) -> Value {
    let coding: Vec<Value> = codes.iter().map(|code| json!({ "system": "urn:s", "code": code })).collect();
    json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "category": [{ "coding": [{ "code": if codes.contains(&"lab") { "laboratory" } else { "vital-signs" } }] }],
        "code": { "coding": coding }, "subject": { "reference": format!("Patient/{patient}") },
        "effectiveDateTime": date,
    })
}

/// Two patients with the same kinds of readings; those of the other one are all newer.
async fn ward(fhir: &Fhir) {
    for resource in [
        json!({ "resourceType": "Patient", "id": "p", "identifier": [{ "system": "mrn", "value": "1" }] }),
        json!({ "resourceType": "Patient", "id": "q", "identifier": [{ "system": "mrn", "value": "2" }] }),
        observation("hr-old", "p", &["hr"], "2026-01-01T08:00:00Z"),
        // Earlier than it looks: the offset counts.
        observation("hr-offset", "p", &["hr"], "2026-01-01T10:30:00+02:00"),
        observation("hr-new", "p", &["hr"], "2026-01-01T09:00:00Z"),
        observation("hr-tie", "p", &["pulse", "hr"], "2026-01-01T10:00:00+01:00"),
        observation("lab", "p", &["lab"], "2025-01-01"),
        observation("q-hr", "q", &["hr"], "2026-02-01T09:00:00Z"),
        observation("q-lab", "q", &["lab"], "2026-02-01"),
    ] {
        fhir.put(&resource).await.check(201);
    }
}

#[tokio::test]
async fn the_newest_of_each_kind_of_this_patient_and_of_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    ward(&fhir).await;
    for (query, expected) in [
        ("patient=p", vec!["hr-tie", "hr-new", "lab"]),
        ("patient=Patient/p", vec!["hr-tie", "hr-new", "lab"]),
        ("subject=Patient/p", vec!["hr-tie", "hr-new", "lab"]),
        ("patient.identifier=mrn|1", vec!["hr-tie", "hr-new", "lab"]),
        ("patient=p&max=3", vec!["hr-tie", "hr-new", "hr-offset", "lab"]),
        ("patient=p&max=9", vec!["hr-tie", "hr-new", "hr-offset", "hr-old", "lab"]),
        ("patient=p&category=laboratory", vec!["lab"]),
        ("patient=p&code=urn:s|hr&max=2", vec!["hr-tie", "hr-new"]),
        // The filter comes before the choice of the newest.
        ("patient=p&code=urn:s|pulse", vec!["hr-tie"]),
        ("patient=p&date=lt2026-01-01T08:45:00Z&code=urn:s|hr", vec!["hr-offset"]),
        ("patient=p&status=amended", vec![]),
        ("patient=nobody", vec![]),
        // A day lasts to its end.
        ("patient=q", vec!["q-lab", "q-hr"]),
        ("patient=p,q&code=urn:s|lab", vec!["q-lab", "lab"]),
    ] {
        assert_eq!(fhir.ids(&format!("Observation/$lastn?{query}"), "match").await, expected, "{query}");
    }
    for (path, status) in [
        ("Observation/$lastn", 400),
        ("Observation/$lastn?code=urn:s|hr", 400),
        ("Observation/$lastn?patient=p&patinet=p", 400),
        ("Observation/hr-old/$lastn", 404),
        ("Patient/$lastn", 404),
    ] {
        fhir.get(path).await.check(status);
    }
}

#[tokio::test]
async fn it_takes_parameters_in_a_body_and_brings_along_what_is_pointed_to() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    ward(&fhir).await;
    let parameters = json!({
        "resourceType": "Parameters",
        "parameter": [
            { "name": "max", "valuePositiveInt": 1 },
            { "name": "patient", "valueString": "Patient/p" },
            { "name": "category", "valueString": "vital-signs" },
            { "name": "_include", "valueString": "Observation:subject" },
        ],
    });
    let answer = fhir.raw("POST", "Observation/$lastn", &[], parameters.to_string()).await.check(200).json();
    assert_eq!(entry_ids(&answer, "match"), ["hr-tie", "hr-new"]);
    assert_eq!(entry_ids(&answer, "include"), ["p"]);
    assert_eq!(answer["type"], "searchset");
    let own = link(&answer, "self").unwrap();
    assert!(own.contains("/Observation/$lastn?max=1&patient="), "{own}");
    assert_eq!(entry_ids(&fhir.get(&own).await.check(200).json(), "match"), ["hr-tie", "hr-new"]);

    // What is corrected, moved to another patient or deleted is found by what it says now.
    fhir.put(&observation("hr-tie", "q", &["hr"], "2026-03-01")).await.check(200);
    fhir.raw("DELETE", "Observation/hr-new", &[], "").await.check(204);
    assert_eq!(fhir.ids("Observation/$lastn?patient=p", "match").await, ["hr-offset", "lab"]);
    assert_eq!(fhir.ids("Observation/$lastn?patient=q", "match").await, ["hr-tie", "q-lab"]);
}
