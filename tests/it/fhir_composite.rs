//! Composite parameters, <https://hl7.org/fhir/R4/search.html#combining>: values that stand in one element.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;

fn measured(code: &str, value: f64) -> Value {
    json!({
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }, { "code": format!("local,{code}$") }] },
        "valueQuantity": { "value": value, "system": "http://unitsofmeasure.org", "code": "mm[Hg]", "unit": "mmHg" },
    })
}

fn pressure(id: &str, systolic: f64, diastolic: f64) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": "final", "subject": { "reference": "Patient/p" },
        "code": { "coding": [{ "system": "http://loinc.org", "code": "85354-9" }] },
        "component": [measured("8480-6", systolic), measured("8462-4", diastolic)],
    })
}

fn single(id: &str, code: &str, rest: Value) -> Value {
    let mut observation = json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
    });
    observation.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    observation
}

async fn seed(fhir: &Fhir) {
    for resource in [
        json!({ "resourceType": "Patient", "id": "p" }),
        pressure("high", 150.0, 60.0),
        pressure("low", 110.0, 95.0),
        single("heart", "8867-4", json!({ "valueQuantity": { "value": 104, "code": "/min" } })),
        single("rhythm", "8867-4", json!({ "valueCodeableConcept": { "coding": [{ "code": "sinus" }] } })),
        single("text", "8867-4", json!({ "valueString": "Fast, $ or so" })),
        single("time", "8867-4", json!({ "valueDateTime": "2026-11-21T08:00:00Z" })),
        json!({ "resourceType": "DiagnosticReport", "id": "report", "status": "final", "code": { "text": "x" }, "result": [{ "reference": "Observation/low" }] }),
        json!({ "resourceType": "Group", "id": "group", "type": "person", "actual": true, "characteristic": [
            { "code": { "coding": [{ "code": "gender" }] }, "valueCodeableConcept": { "coding": [{ "code": "mixed" }] }, "exclude": false },
            { "code": { "coding": [{ "code": "owner" }] }, "valueBoolean": true, "exclude": false },
        ] }),
    ] {
        fhir.put(&resource).await.check(201);
    }
}

/// Searches on what `seed` stored, and what they find.
const FOUND: &[(&str, &str)] = &[
    // The value of the same component: a diastolic value never meets the systolic code.
    ("Observation?component-code-value-quantity=http://loinc.org|8480-6$gt140", "high"),
    ("Observation?component-code-value-quantity=http://loinc.org|8462-4$gt140", ""),
    ("Observation?component-code-value-quantity=8462-4$lt90", "high"),
    ("Observation?component-code-value-quantity=8480-6$lt90", ""),
    ("Observation?component-code-value-quantity=8480-6$110|http://unitsofmeasure.org|mm[Hg]", "low"),
    ("Observation?component-code-value-quantity=8480-6$110||kPa", ""),
    // The Observation itself, and itself or any component.
    ("Observation?code-value-quantity=8867-4$gt100", "heart"),
    ("Observation?code-value-quantity=8480-6$gt100", ""),
    ("Observation?combo-code-value-quantity=8867-4$gt100,8462-4$ge95", "low heart"),
    ("Observation?combo-code-value-quantity=8480-6$gt100", "high low"),
    // Every part as its own type reads it.
    ("Observation?code-value-concept=8867-4$sinus", "rhythm"),
    ("Observation?combo-code-value-concept=8867-4$|sinus", "rhythm"),
    ("Observation?code-value-string=8867-4$fast", "text"),
    (r"Observation?code-value-string=8867-4$fast\, \$", "text"),
    ("Observation?code-value-date=8867-4$2026-11-21", "time"),
    ("Observation?code-value-date=8867-4$gt2026-11-21", ""),
    (r"Observation?component-code-value-quantity=local\,8480-6\$$150", "high"),
    // With others, and along links.
    ("Observation?component-code-value-quantity=8480-6$gt100&component-code-value-quantity=8462-4$gt90", "low"),
    ("DiagnosticReport?result.component-code-value-quantity=8462-4$gt90", "report"),
    ("DiagnosticReport?result.component-code-value-quantity=8480-6$lt100", ""),
    ("Patient?_has:Observation:patient:component-code-value-quantity=8480-6$gt140", "p"),
    ("Patient?_has:Observation:patient:component-code-value-quantity=8462-4$gt140", ""),
    ("Group?characteristic-value=gender$mixed", "group"),
    ("Group?characteristic-value=gender$mixed,owner$Eve", "group"),
    ("Group?characteristic-value=gender$true", ""),
    ("Group?characteristic-value=owner$true", "group"),
];

/// What is not understood, with what the refusal says.
const REFUSED: &[(&str, &str)] = &[
    ("code-value-quantity=8867-4", "a value for each part"),
    ("code-value-quantity=8867-4$5$6", "a value for each part"),
    (r"code-value-quantity=8867-4\$5", "a value for each part"),
    ("code-value-quantity=8867-4$fast", "a number"),
    ("code-value-quantity=$5", "`system|code`"),
    ("code-value-quantity:missing=true", "`:missing` is not a modifier"),
    ("_sort=code-value-quantity", "neither composite"),
];

#[tokio::test]
async fn both_values_are_of_one_element() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (search, expected) in FOUND {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(fhir.ids(search, "match").await, expected, "{search}");
        assert_eq!(fhir.count(search).await, expected.len() as u64, "{search}");
    }
    for (search, says) in REFUSED {
        let answer = fhir.get(&format!("Observation?{search}")).await.check(400);
        assert!(answer.text.contains(says), "{search}: {answer:?}");
    }
    let changed = pressure("high", 120.0, 60.0);
    fhir.put(&changed).await.check(200);
    assert!(fhir.ids(FOUND[0].0, "match").await.is_empty(), "an update changes the pairs as well");
    let criterion = "component-code-value-quantity=8480-6$120";
    let again = [("if-none-exist", criterion)];
    fhir.raw("POST", "Observation", &again, pressure("other", 1.0, 1.0).to_string()).await.check(200);
}
