//! Reference parameters as <https://hl7.org/fhir/R4/search.html#reference> has them.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;

fn observation(id: &str, subject: &Value) -> Value {
    json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "text": "x" }, "subject": subject })
}

/// Searches for Observations, and what they find; `BASE` is this server.
const FOUND: &[(&str, &str)] = &[
    ("subject=Patient/23", "relative absolute versioned"),
    ("subject=BASE/Patient/23", "relative absolute versioned"),
    ("subject:Patient=23", "relative absolute versioned"),
    ("subject:Patient=Patient/23", "relative absolute versioned"),
    ("patient=23", "relative absolute versioned"),
    ("subject:Group=23", ""),
    ("subject=http://elsewhere/fhir/Patient/23", "elsewhere"),
    ("subject=urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "urn"),
    ("subject=Patient/24,http://elsewhere/fhir/Patient/23", "elsewhere"),
    // By the identifier of the reference itself, not of what it points to.
    ("subject:identifier=http://mrn|9", "identified"),
    ("subject:identifier=9", "identified"),
    ("subject:identifier=http://mrn|23", ""),
    // An identifier is no value that a reference could be found by.
    ("subject:missing=true", "identified none"),
];

#[tokio::test]
async fn references_are_found_however_they_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let base = format!("{}/fhir", product.http);
    fhir.put(
        &json!({ "resourceType": "Patient", "id": "23", "identifier": [{ "system": "http://mrn", "value": "23" }] }),
    )
    .await
    .check(201);
    for resource in [
        observation("relative", &json!({ "reference": "Patient/23" })),
        observation("absolute", &json!({ "reference": format!("{base}/Patient/23") })),
        observation("versioned", &json!({ "reference": "Patient/23/_history/1" })),
        observation("elsewhere", &json!({ "reference": "http://elsewhere/fhir/Patient/23" })),
        observation("urn", &json!({ "reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0" })),
        observation("identified", &json!({ "identifier": { "system": "http://mrn", "value": "9" } })),
        json!({ "resourceType": "Observation", "id": "none", "status": "final", "code": { "text": "x" } }),
        json!({ "resourceType": "QuestionnaireResponse", "id": "answers", "status": "completed",
            "questionnaire": "http://forms/pain|2.0" }),
    ] {
        fhir.put(&resource).await.check(201);
    }
    for (search, expected) in FOUND {
        let search = format!("Observation?{}", search.replace("BASE", &base));
        assert_eq!(fhir.ids(&search, "match").await.join(" "), *expected, "{search}");
    }
    // The condition of a write finds what a search finds.
    let condition = format!("subject={base}/Patient/23&_id=relative");
    let again = observation("again", &json!({ "reference": "Patient/23" })).to_string();
    let found = fhir.raw("POST", "Observation", &[("if-none-exist", condition.as_str())], again).await.check(200);
    assert_eq!(found.json()["id"], "relative");
    for (search, expected) in
        [("http://forms/pain", "answers"), (r"http://forms/pain\|2.0", "answers"), (r"http://forms/pain\|1.0", "")]
    {
        let search = format!("QuestionnaireResponse?questionnaire={search}");
        assert_eq!(fhir.ids(&search, "match").await.join(" "), expected, "{search}");
    }
    for (search, code, says) in [
        ("Observation?subject=patient/23", "value", "`Type/id`"),
        ("Observation?subject=%23p", "value", "`Type/id`"),
        ("Observation?subject:Practitioner=1", "not-supported", "`:Practitioner`"),
        ("Observation?patient:above=Patient/23", "not-supported", "`:above`"),
        ("Observation?subject:above=Patient/23", "value", "of an Encounter"),
        ("Observation?subject:text=x", "not-supported", "`:text`"),
        ("QuestionnaireResponse?questionnaire:identifier=x", "not-supported", "`:identifier`"),
    ] {
        fhir.get(search).await.check_outcome(400, code, says);
    }
}

/// A clinic of wards of rooms; a ring of three; a room of a ward that is gone; stays within stays.
async fn seed_hierarchies(fhir: &Fhir) {
    let part =
        |id: &str, whole: &str| json!({ "resourceType": "Location", "id": id, "partOf": { "reference": whole } });
    let at = |id: &str, location: &str, encounter: &str| {
        json!({ "resourceType": "Procedure", "id": id, "status": "completed", "subject": { "reference": "Patient/23" },
            "location": { "reference": location }, "encounter": { "reference": encounter } })
    };
    let stay = |id: &str, whole: Value| json!({ "resourceType": "Encounter", "id": id, "status": "finished", "class": { "code": "IMP" }, "partOf": whole });
    for resource in [
        json!({ "resourceType": "Location", "id": "clinic" }),
        part("ward", "Location/clinic"),
        part("room", "Location/ward"),
        part("bed", "Location/room/_history/1"),
        part("gone", "Location/clinic"),
        part("orphan", "Location/gone"),
        part("a", "Location/c"),
        part("b", "Location/a"),
        part("c", "Location/b"),
        json!({ "resourceType": "Encounter", "id": "whole", "status": "finished", "class": { "code": "IMP" } }),
        stay("half", json!({ "reference": "Encounter/whole" })),
        stay("quarter", json!({ "reference": "Encounter/half" })),
        at("in-clinic", "Location/clinic", "Encounter/whole"),
        at("in-bed", "Location/bed", "Encounter/half"),
        at("in-orphan", "Location/orphan", "Encounter/other"),
        at("in-b", "Location/b", "Encounter/other"),
        at("elsewhere", "http://elsewhere/fhir/Location/clinic", "Encounter/other"),
    ] {
        fhir.put(&resource).await.check(201);
    }
    fhir.raw("DELETE", "Location/gone", &[], "").await.check(204);
}

#[tokio::test]
async fn parts_and_wholes_are_found_through_their_hierarchy() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed_hierarchies(&fhir).await;
    let here = format!("location:below={}/fhir/Location/ward", product.http);
    for (search, expected) in [
        ("location:below=clinic", "in-clinic in-bed"),
        ("location:below=Location/room", "in-bed"),
        (here.as_str(), "in-bed"),
        ("location:above=bed", "in-clinic in-bed"),
        ("location:above=clinic", "in-clinic"),
        ("location:below=nowhere", ""),
        // What is deleted is part of nothing, but what names it names it.
        ("location:below=gone", "in-orphan"),
        ("location:above=orphan", "in-orphan"),
        ("location:below=c", "in-b"),
        ("location:above=a", "in-b"),
        ("location:below=http://elsewhere/fhir/Location/clinic", "elsewhere"),
        ("encounter:above=quarter", "in-clinic in-bed"),
        ("encounter:below=whole,other&location:below=clinic", "in-clinic in-bed"),
        ("encounter:below=half", "in-bed"),
        ("location.partof:below=ward", "in-bed"),
    ] {
        assert_eq!(fhir.ids(&format!("Procedure?{search}"), "match").await.join(" "), expected, "{search}");
    }
    for (search, code, says) in [
        ("Procedure?location:below=Patient/1", "value", "`id` of an Encounter"),
        ("Procedure?subject:below=1", "not-supported", "`:below` is not a modifier"),
        ("Procedure?instantiates-canonical:below=http://x", "not-supported", "`:below` is not a modifier"),
    ] {
        fhir.get(search).await.check_outcome(400, code, says);
    }
}
