//! Operations in general (<https://hl7.org/fhir/R4/operations.html>): methods, places, parameters, Bundles.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::process::Vitalwire;

#[tokio::test]
async fn what_reads_is_called_with_get_and_post_and_what_writes_with_post_alone() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    fhir.put(&json!({ "resourceType": "Patient", "id": "1" })).await.check(201);
    for method in ["GET", "POST"] {
        let answer = fhir.raw(method, "Patient/1/$meta", &[], "").await.check(200);
        assert_eq!(answer.json()["resourceType"], "Parameters");
    }
    let without_body = fhir.send(Method::POST, "Patient/1/$meta", &[], None).await;
    assert_eq!(without_body.status(), 200, "what has no body needs no Content-Type");
    let refused = fhir.get("Patient/1/$meta-add").await.check_outcome(405, "not-supported", "POST");
    assert_eq!(refused.header("allow"), "POST, OPTIONS");
    fhir.get("Patient/1/$mata").await.check_outcome(404, "not-found", "`$meta`");
    fhir.raw("POST", "$lastn", &[], "").await.check_outcome(404, "not-found", "`Observation/$lastn`");
    fhir.get("Patient/1/$meta?x=1").await.check_outcome(400, "not-supported", "`x`");
    let unlike = json!({ "resourceType": "Patient", "id": "1" }).to_string();
    fhir.raw("POST", "Patient/1/$meta-add", &[], unlike).await.check_outcome(400, "value", "Parameters");
    let media = [("content-type", "text/csv")];
    fhir.raw("POST", "Patient/1/$meta-add", &media, "a,b").await.check(415);
}

#[tokio::test]
async fn a_batch_calls_operations_and_a_transaction_those_that_read() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    fhir.put(&json!({ "resourceType": "Patient", "id": "1" })).await.check(201);
    let meta = json!({ "resourceType": "Parameters", "parameter": [{ "name": "meta", "valueMeta": { "tag": [{ "code": "t" }] } }] });
    let add = json!({ "request": { "method": "POST", "url": "Patient/1/$meta-add" }, "resource": meta });
    let read = json!({ "request": { "method": "GET", "url": "Observation/$lastn?patient=1" } });
    let statuses = |answer: Value| {
        let entries = answer["entry"].as_array().unwrap().clone();
        entries.iter().map(|entry| entry["response"]["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let answer = fhir.bundle("batch", &[add.clone(), read.clone()]).await.check(200).json();
    assert_eq!(statuses(answer), ["200 OK", "200 OK"]);
    assert_eq!(fhir.count("Patient?_tag=t").await, 1);
    let answer = fhir.bundle("transaction", &[read]).await.check(200).json();
    assert_eq!(statuses(answer), ["200 OK"]);
    fhir.bundle("transaction", &[add]).await.check_outcome(400, "not-supported", "changes state");
}

#[tokio::test]
async fn the_capability_statement_names_every_operation_where_it_is_called() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let statement = product.fhir().get_json("metadata").await;
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    let operations = |resource_type: &str| {
        let resource = resources.iter().find(|resource| resource["type"] == resource_type).unwrap();
        let operations = resource["operation"].as_array().unwrap().iter();
        operations.map(|operation| operation["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let of_observation = operations("Observation");
    for name in ["lastn", "stats", "meta", "meta-add", "meta-delete", "validate"] {
        assert!(of_observation.iter().any(|known| known == name), "{name}: {of_observation:?}");
    }
    assert!(!operations("Patient").contains(&"lastn".to_owned()));
}
