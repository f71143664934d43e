//! What is not R4 is refused with every place named, by writes and by `$validate`, and no more than the official HL7
//! validator refuses.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Answer, Fhir};
use crate::support::hl7_validator;
use crate::support::process::Vitalwire;

/// The places of the errors in an OperationOutcome.
fn places(answer: &Answer) -> Vec<String> {
    let outcome = answer.json();
    let issues = outcome["issue"].as_array().unwrap().clone();
    let errors = issues.iter().filter(|issue| issue["severity"] == "error");
    errors.map(|issue| issue["expression"][0].as_str().unwrap_or_default().to_owned()).collect()
}

async fn validate(fhir: &Fhir, resource: &Value) -> Vec<String> {
    let path = format!("{}/$validate", resource["resourceType"].as_str().unwrap());
    places(&fhir.raw("POST", &path, &[], resource.to_string()).await.check(200))
}

#[tokio::test]
async fn every_write_is_refused_with_all_that_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let wrong = json!({
        "resourceType": "Observation", "id": "o", "status": "fianl", "valueQuantity": { "value": "65" },
        "component": [{ "code": { "text": "x" } }, { "valueString": "x" }],
    });
    let expected =
        ["Observation.status", "Observation.value.value", "Observation.component[1].code", "Observation.code"];
    let below =
        |entry: usize| expected.map(|place| place.replace("Observation", &format!("Bundle.entry[{entry}].resource")));
    let text = wrong.to_string();
    assert_eq!(places(&fhir.raw("POST", "Observation", &[], text.clone()).await.check(400)), expected);
    assert_eq!(places(&fhir.raw("PUT", "Observation/o", &[], text.clone()).await.check(400)), expected);
    assert_eq!(places(&fhir.raw("PUT", "Observation?code=x", &[], text).await.check(400)), expected);
    let entry = |resource: Value| json!({ "resource": resource, "request": { "method": "POST", "url": resource["resourceType"] } });
    let entries = [entry(json!({ "resourceType": "Patient" })), entry(wrong)];
    assert_eq!(places(&fhir.bundle("transaction", &entries).await.check(400)), below(1));
    assert_eq!(fhir.count("Patient").await, 0);
    let batch = fhir.bundle("batch", &entries).await.check(200);
    assert_eq!(batch.entry_statuses(), ["201", "400"]);
    let outcome = &batch.json()["entry"][1]["response"]["outcome"];
    assert_eq!(outcome["issue"].as_array().unwrap().len(), expected.len());
}

#[tokio::test]
async fn the_json_rules_alone_are_kept_where_that_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}[fhir]\nvalidation = \"json\"\n"));
    let fhir = product.fhir();
    fhir.raw("POST", "Observation", &[], r#"{"resourceType":"Observation","colour":"red"}"#).await.check(201);
    let empty = r#"{"resourceType":"Observation","colour":[]}"#;
    fhir.raw("POST", "Observation", &[], empty).await.check_outcome(400, "structure", "empty array");
    // What is asked for is what R4 says, whatever is written.
    assert_eq!(validate(&fhir, &json!({ "resourceType": "Patient", "colour": "red" })).await, ["Patient.colour"]);
}

#[tokio::test]
async fn validate_gives_the_verdict_of_a_write_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    fhir.put(&json!({ "resourceType": "Patient", "id": "p" })).await.check(201);
    let good = json!({ "resourceType": "Patient", "id": "p", "active": true });
    let bad = json!({ "resourceType": "Patient", "id": "p", "active": "yes" });
    let wrapped = |resource: &Value, mode: &str| {
        let parameter = json!([{ "name": "resource", "resource": resource }, { "name": "mode", "valueCode": mode }]);
        json!({ "resourceType": "Parameters", "parameter": parameter }).to_string()
    };
    let none: [&str; 0] = [];
    for (path, body, expected) in [
        ("Patient/$validate", good.to_string(), &none[..]),
        ("Patient/$validate", bad.to_string(), &["Patient.active"]),
        ("Patient/$validate?mode=create", good.to_string(), &none),
        ("Patient/$validate", wrapped(&bad, "create"), &["Patient.active"]),
        ("Patient/p/$validate", wrapped(&good, "update"), &none),
        ("Patient/q/$validate?mode=update", good.to_string(), &["Patient.id"]),
        ("Patient/p/$validate?mode=delete", String::new(), &none),
        ("Patient/p/$validate", String::new(), &none),
        ("Patient/$validate", r#"{"resourceType":"Device"}"#.to_owned(), &["Device.resourceType"]),
        ("Patient/$validate", r#"{"active":true}"#.to_owned(), &[""]),
    ] {
        let answer = fhir.raw("POST", path, &[], body.clone()).await.check(200);
        assert_eq!(places(&answer), expected, "{path} {body}");
        assert_eq!(answer.json()["issue"].as_array().unwrap().len(), expected.len().max(1), "there is always an issue");
    }
    assert_eq!(places(&fhir.get("Patient/p/$validate").await.check(200)), none);
    for (path, body, status, code, says) in [
        ("Patient/$validate", "", 400, "required", "no `resource`"),
        ("Patient/$validate?mode=update", "{}", 400, "value", "about a resource"),
        ("Patient/p/$validate?mode=create", "{}", 400, "value", "does not exist yet"),
        ("Patient/p/$validate?mode=delete", "{}", 400, "value", "takes no `resource`"),
        ("Patient/p/$validate?mode=patch", "{}", 400, "value", "`create`, `update` or `delete`"),
        ("Patient/$validate?profile=http://x", "{}", 400, "not-supported", "does not know it"),
        ("Patient/none/$validate", "", 404, "not-found", "no resource"),
        ("Patient/$validate", "{", 400, "structure", "line 1"),
        ("$validate", "{}", 404, "not-found", "`[type]/$validate`"),
    ] {
        fhir.raw("POST", path, &[], body).await.check_outcome(status, code, says);
    }
    assert_eq!(fhir.count("Patient").await, 1);
    assert_eq!(fhir.get("Patient/p").await.json()["meta"]["versionId"], "1");
}

/// An Observation with these members besides those it must have.
fn observation(members: Value) -> Value {
    let mut observation = json!({
        "resourceType": "Observation", "status": "final", "code": { "text": "x" }, "subject": { "reference": "Patient/1" },
        "effectiveDateTime": "2024-01-01", "performer": [{ "reference": "Practitioner/1" }],
        "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>" },
    });
    observation.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    observation
}

fn extended(extension: Value) -> Value {
    observation(json!({ "valueString": "x", "extension": [extension] }))
}

/// With this inside the `div` of its narrative.
fn narrated(inner: &str) -> Value {
    let div = format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>");
    observation(json!({ "text": { "status": "generated", "div": div } }))
}

fn decimal(value: Value) -> Value {
    observation(json!({ "valueQuantity": { "value": value } }))
}

#[tokio::test]
async fn the_official_validator_judges_alike() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let contained = |resource: Value| observation(json!({ "contained": [resource], "focus": [{ "reference": "#c" }] }));
    let device = |members: Value| {
        let mut device = json!({ "resourceType": "Device", "text": { "status": "generated",
            "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>" } });
        device.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        device
    };
    let mut differ = Vec::new();
    for (is_good, resource) in [
        (true, observation(json!({ "valueQuantity": { "value": 65.0, "comparator": "<", "unit": "/min" } }))),
        (true, observation(json!({ "component": [{ "code": { "text": "x" }, "valueInteger": -3 }] }))),
        (true, observation(json!({ "_status": { "id": "x" }, "issued": "2024-02-29T23:59:59.123+14:00" }))),
        (true, contained(json!({ "resourceType": "Patient", "id": "c", "birthDate": "1970-02" }))),
        (
            true,
            device(
                json!({ "manufactureDate": "2024-02-29T08:00:00Z", "deviceName": [{ "name": "x", "type": "other" }] }),
            ),
        ),
        (
            true,
            device(
                json!({ "identifier": [{ "system": "urn:oid:2.16.840.1.113883.4.1", "value": "1", "use": "usual" }] }),
            ),
        ),
        (
            true,
            narrated("<p class=\"x\">a &amp; b<br/></p><table><tr><td>1</td></tr></table><a href=\"http://x/y\">y</a>"),
        ),
        (false, narrated("<script>x</script>")),
        (false, narrated("<p onclick=\"x\">x</p>")),
        (false, narrated("<p>x")),
        (false, narrated("")),
        (false, observation(json!({ "text": { "status": "generated", "div": "<div>x</div>" } }))),
        (false, observation(json!({ "colour": "red" }))),
        (false, observation(json!({ "valueDecimal": 1 }))),
        (false, observation(json!({ "valueString": "x", "valueInteger": 1 }))),
        (false, observation(json!({ "status": "done" }))),
        (false, observation(json!({ "status": null }))),
        (false, observation(json!({ "note": { "text": "x" } }))),
        (false, observation(json!({ "code": [{ "text": "x" }] }))),
        (false, observation(json!({ "component": [{ "valueString": "x" }] }))),
        (false, observation(json!({ "code": "x" }))),
        (false, observation(json!({ "effectiveDateTime": "2024-02-30" }))),
        (false, observation(json!({ "effectiveDateTime": "2024-01-01T08:00:00" }))),
        (false, observation(json!({ "issued": "2024-01-01" }))),
        (false, observation(json!({ "valueTime": "24:00:00" }))),
        (false, observation(json!({ "valueInteger": 2_147_483_648_i64 }))),
        (false, observation(json!({ "valueInteger": "1" }))),
        (false, observation(json!({ "valueBoolean": "true" }))),
        (false, observation(json!({ "subject": { "reference": "#x" } }))),
        (false, decimal(json!("65"))),
        (false, extended(json!({ "valueString": "x" }))),
        (false, extended(json!({ "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason" }))),
        (false, contained(json!({ "resourceType": "Reading", "id": "c" }))),
        (false, contained(json!({ "resourceType": "Patient", "id": "c", "gender": "x" }))),
        (false, contained(json!({ "resourceType": "Patient", "id": "c", "meta": { "versionId": "1" } }))),
        (false, device(json!({ "deviceName": [{ "name": "x" }] }))),
        (false, device(json!({ "identifier": [{ "use": "always", "value": "1" }] }))),
        (false, device(json!({ "identifier": [] }))),
    ] {
        let ours = validate(&fhir, &resource).await;
        let theirs = hl7_validator::errors(&resource);
        if (ours.is_empty(), theirs.is_empty()) != (is_good, is_good) {
            differ.push(format!("{resource}\n  here {ours:?}\n  there {theirs:?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    // What R4 says and the validator passes over: rule ele-1, and where a reference leads that it cannot follow.
    for (members, place) in [
        (json!({ "method": { "id": "x" } }), "Observation.method"),
        (json!({ "subject": { "reference": "Practitioner/1" } }), "Observation.subject.reference"),
    ] {
        assert_eq!(validate(&fhir, &observation(members)).await, [place]);
    }
}
