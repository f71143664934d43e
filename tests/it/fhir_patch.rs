//! Patch, <https://hl7.org/fhir/R4/http.html#patch>: JSON Patch and FHIRPath Patch, by id and by condition.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Answer, Fhir};
use crate::support::process::Vitalwire;

const JSON_PATCH: (&str, &str) = ("content-type", "application/json-patch+json");

/// What no patch below touches, as it was sent.
const REST: &str = r#""status":"final","code":{ "text" : "\u0041\/b" },"valueQuantity":{"value":65.00, "unit":"kg"},"_issued":{"extension":[{"url":"u","valueDecimal":1.50}]},"identifier":[{"system":"s","value":"1"}]"#;

async fn json_patch(fhir: &Fhir, path: &str, headers: &[(&str, &str)], operations: Value) -> Answer {
    fhir.raw("PATCH", path, &[&[JSON_PATCH], headers].concat(), operations.to_string()).await
}

/// A FHIRPath Patch of one operation.
fn parameters(kind: &str, path: &str, rest: &[Value]) -> String {
    let mut parts = vec![json!({ "name": "type", "valueCode": kind }), json!({ "name": "path", "valueString": path })];
    parts.extend_from_slice(rest);
    json!({ "resourceType": "Parameters", "parameter": [{ "name": "operation", "part": parts }] }).to_string()
}

async fn serve_one() -> (tempfile::TempDir, Vitalwire, Fhir) {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let sent = format!(r#"{{"resourceType":"Observation","id":"o",{REST}}}"#);
    fhir.raw("PUT", "Observation/o", &[], sent).await.check(201);
    (directory, product, fhir)
}

#[tokio::test]
async fn what_a_patch_does_not_touch_keeps_its_bytes() {
    let (_directory, product, fhir) = serve_one().await;
    let noted = json!([
        { "op": "test", "path": "/valueQuantity/value", "value": 65 },
        { "op": "add", "path": "/note", "value": [{ "text": "a" }] },
    ]);
    let patched = json_patch(&fhir, "Observation/o", &[], noted).await.check(200);
    assert_eq!(patched.header("etag"), "W/\"2\"");
    assert_eq!(patched.header("location"), format!("{}/fhir/Observation/o/_history/2", product.http));
    assert!(patched.text.ends_with(&format!(r#",{REST},"note":[{{"text":"a"}}]}}"#)), "{patched:?}");

    let value = json!({ "name": "value", "valueAnnotation": { "text": "b" } });
    let name = json!({ "name": "name", "valueString": "note" });
    let added =
        fhir.raw("PATCH", "Observation/o", &[], parameters("add", "Observation", &[name, value])).await.check(200);
    assert!(added.text.ends_with(&format!(r#",{REST},"note":[{{"text":"a"}},{{"text":"b"}}]}}"#)), "{added:?}");
    assert_eq!(fhir.get("Observation/o").await.text, added.text);
    assert_eq!(added.json()["meta"]["versionId"], "3");

    let deleted = fhir.raw("PATCH", "Observation/o", &[], parameters("delete", "Observation.note[0]", &[])).await;
    assert!(deleted.check(200).text.ends_with(&format!(r#",{REST},"note":[{{"text":"b"}}]}}"#)));
    let history = fhir.get("Observation/o/_history").await.check(200).json();
    let requests: Vec<(&Value, &Value)> = history["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["request"]["method"], &it["request"]["url"]))
        .collect();
    let patched = (&json!("PATCH"), &json!("Observation/o"));
    assert_eq!(requests, [patched, patched, patched, (&json!("PUT"), patched.1)]);
}

#[tokio::test]
async fn a_patch_is_found_by_what_it_wrote() {
    let (_directory, _product, fhir) = serve_one().await;
    let subject = json!([{ "op": "add", "path": "/subject", "value": { "reference": "Patient/x" } }]);
    json_patch(&fhir, "Observation/o", &[], subject).await.check(200);
    assert_eq!(fhir.ids("Observation?subject=Patient/x", "match").await, ["o"]);
    json_patch(&fhir, "Observation/o", &[], json!([{ "op": "remove", "path": "/subject" }])).await.check(200);
    assert_eq!(fhir.count("Observation?subject=Patient/x").await, 0);
}

#[tokio::test]
async fn a_patch_that_changes_nothing_makes_no_version() {
    let (_directory, _product, fhir) = serve_one().await;
    for operations in [json!([]), json!([{ "op": "replace", "path": "/status", "value": "final" }])] {
        assert_eq!(json_patch(&fhir, "Observation/o", &[], operations).await.check(200).header("etag"), "W/\"1\"");
    }
    fhir.raw("PATCH", "Observation/o", &[], parameters("delete", "Observation.note", &[])).await.check(200);
    assert_eq!(fhir.get("Observation/o").await.header("etag"), "W/\"1\"");
}

#[tokio::test]
async fn the_version_and_the_answer_are_what_the_client_asks_for() {
    let (_directory, _product, fhir) = serve_one().await;
    let amend = |status: &str| json!([{ "op": "replace", "path": "/status", "value": status }]);
    let path = "Observation/o";
    json_patch(&fhir, path, &[("if-match", "W/\"7\"")], amend("amended")).await.check_outcome(
        412,
        "conflict",
        "`If-Match`",
    );
    json_patch(&fhir, path, &[("if-match", "x")], amend("amended")).await.check_outcome(400, "value", "entity tag");
    let minimal =
        json_patch(&fhir, path, &[("if-match", "W/\"1\""), ("prefer", "return=minimal")], amend("amended")).await;
    assert_eq!((minimal.text.as_str(), minimal.header("etag")), ("", "W/\"2\""));
    let outcome = json_patch(&fhir, path, &[("prefer", "return=OperationOutcome")], amend("final")).await.check(200);
    assert_eq!(outcome.json()["resourceType"], "OperationOutcome");
    fhir.raw("DELETE", path, &[], "").await.check(204);
    json_patch(&fhir, path, &[], amend("final")).await.check_outcome(410, "deleted", "version 4");
    json_patch(&fhir, "Observation/none", &[], amend("final")).await.check_outcome(404, "not-found", "no resource");
}

#[tokio::test]
async fn what_cannot_be_done_changes_nothing() {
    let (_directory, _product, fhir) = serve_one().await;
    for (status, code, says, operations) in [
        (
            422,
            "processing",
            "Operation 1, `test`",
            json!([
                { "op": "remove", "path": "/code" },
                { "op": "test", "path": "/status", "value": "amended" },
            ]),
        ),
        (422, "processing", "nothing at `/note`", json!([{ "op": "remove", "path": "/note" }])),
        (400, "structure", "`op`", json!([{ "op": "increment", "path": "/status" }])),
        (400, "structure", "array", json!({ "op": "remove", "path": "/status" })),
        (400, "invariant", "`id`", json!([{ "op": "replace", "path": "/id", "value": "p" }])),
        (400, "invariant", "`id`", json!([{ "op": "remove", "path": "/id" }])),
        (400, "invariant", "Patient", json!([{ "op": "replace", "path": "/resourceType", "value": "Patient" }])),
        (400, "structure", "`null`", json!([{ "op": "add", "path": "/note", "value": null }])),
    ] {
        json_patch(&fhir, "Observation/o", &[], operations).await.check_outcome(status, code, says);
        assert_eq!(fhir.get("Observation/o").await.check(200).header("etag"), "W/\"1\"", "{says}");
    }
    let value = json!({ "name": "value", "valueCode": "x" });
    for (status, code, says, body) in [
        (400, "not-supported", "exists()", parameters("delete", "Observation.note.exists()", &[])),
        (
            400,
            "structure",
            "no element `status2`",
            parameters("replace", "Observation.status2", std::slice::from_ref(&value)),
        ),
        (422, "processing", "nothing at", parameters("replace", "Observation.note[0].text", &[value])),
        (400, "structure", "Parameters", json!([{ "op": "remove", "path": "/status" }]).to_string()),
    ] {
        fhir.raw("PATCH", "Observation/o", &[], body).await.check_outcome(status, code, says);
    }
    for media_type in ["application/xml-patch+xml", "text/plain", "application/merge-patch+json"] {
        let refused = fhir.raw("PATCH", "Observation/o", &[("content-type", media_type)], "{}").await;
        refused.check_outcome(415, "not-supported", "application/json-patch+json");
    }
    assert_eq!(fhir.get("Observation/o").await.check(200).header("etag"), "W/\"1\"");
}

#[tokio::test]
async fn a_condition_must_lead_to_one_resource() {
    let (_directory, _product, fhir) = serve_one().await;
    let amend = json!([{ "op": "replace", "path": "/status", "value": "amended" }]);
    let path = "Observation?identifier=s|1";
    let patched = json_patch(&fhir, path, &[], amend.clone()).await.check(200);
    assert_eq!((&patched.json()["id"], &patched.json()["status"]), (&json!("o"), &json!("amended")));
    json_patch(&fhir, path, &[("if-match", "W/\"1\"")], amend.clone()).await.check_outcome(
        412,
        "conflict",
        "`If-Match`",
    );
    json_patch(&fhir, "Observation?identifier=s|2", &[], amend.clone()).await.check_outcome(
        404,
        "not-found",
        "condition",
    );
    json_patch(&fhir, "Observation", &[], amend.clone()).await.check(400);
    json_patch(&fhir, "Observation?colour=red", &[], amend.clone()).await.check_outcome(400, "not-supported", "colour");
    let twin = format!(r#"{{"resourceType":"Observation",{REST}}}"#);
    fhir.raw("POST", "Observation", &[], twin).await.check(201);
    json_patch(&fhir, path, &[], amend).await.check_outcome(412, "multiple-matches", "narrower");
}

#[tokio::test]
async fn a_patch_makes_no_resource_larger_than_what_may_be_sent() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}body_bytes_max = 1000\n"));
    let fhir = product.fhir();
    fhir.put(&json!({ "resourceType": "Patient", "id": "o", "name": [{ "family": "x".repeat(200) }] }))
        .await
        .check(201);
    let grown = |times: usize| vec![json!({ "op": "copy", "from": "/name/0", "path": "/name/-" }); times];
    json_patch(&fhir, "Patient/o", &[], grown(2).into()).await.check(200);
    json_patch(&fhir, "Patient/o", &[], grown(3).into()).await.check_outcome(413, "too-long", "1000 bytes");
    assert_eq!(fhir.get("Patient/o").await.header("etag"), "W/\"2\"");
}
