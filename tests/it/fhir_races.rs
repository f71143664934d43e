//! Many clients at once with one identifier: conditions hold also then.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Answer, Fhir};
use crate::support::process::Vitalwire;

const CLIENTS: usize = 64;

fn patient() -> Value {
    json!({ "resourceType": "Patient", "identifier": [{ "system": "s", "value": "1" }] })
}

/// What 64 clients with a connection each are told that send the same at once, by status.
async fn at_once(product: &Vitalwire, send: impl AsyncFn(Fhir) -> Vec<String>) -> BTreeMap<String, usize> {
    let clients = (0..CLIENTS).map(|_| send(product.fhir()));
    let mut statuses = BTreeMap::new();
    for status in join_all(clients).await.into_iter().flatten() {
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

fn status(answer: &Answer) -> Vec<String> {
    vec![answer.status.to_string()]
}

fn one_created() -> BTreeMap<String, usize> {
    BTreeMap::from([("201".to_owned(), 1), ("200".to_owned(), CLIENTS - 1)])
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_creates_of_64_clients_make_one_resource() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let condition = [("if-none-exist", "identifier=s|1")];
    let create = async |fhir: Fhir| status(&fhir.raw("POST", "Patient", &condition, patient().to_string()).await);
    assert_eq!(at_once(&product, create).await, one_created());
    assert_eq!(product.fhir().count("Patient").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_updates_of_64_clients_make_one_resource_with_64_versions() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let update =
        async |fhir: Fhir| status(&fhir.raw("PUT", "Patient?identifier=s|1", &[], patient().to_string()).await);
    assert_eq!(at_once(&product, update).await, one_created());
    let found = product.fhir().all("Patient").await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["meta"]["versionId"], CLIENTS.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_batches_of_64_clients_make_one_resource() {
    for kind in ["transaction", "batch"] {
        let directory = tempfile::tempdir().unwrap();
        let product = Vitalwire::serve(directory.path(), SERVICE);
        let request = json!({ "method": "POST", "url": "Patient", "ifNoneExist": "identifier=s|1" });
        let entry = json!({ "resource": patient(), "request": request });
        let create = async |fhir: Fhir| fhir.bundle(kind, std::slice::from_ref(&entry)).await.entry_statuses();
        assert_eq!(at_once(&product, create).await, one_created(), "{kind}");
        assert_eq!(product.fhir().count("Patient").await, 1, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_of_64_clients_all_take_effect_and_one_of_those_to_a_version() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let resource = json!({ "resourceType": "Patient", "id": "x", "name": [{ "family": "0" }] });
    product.fhir().put(&resource).await.check(201);
    let operation = r#"[{"op":"add","path":"/name/-","value":{"family":"x"}}]"#;
    let content = ("content-type", "application/json-patch+json");
    let versioned = [content, ("if-match", "W/\"1\"")];
    let to_version = async |fhir: Fhir| status(&fhir.raw("PATCH", "Patient/x", &versioned, operation).await);
    let expected = BTreeMap::from([("200".to_owned(), 1), ("412".to_owned(), CLIENTS - 1)]);
    assert_eq!(at_once(&product, to_version).await, expected);
    let any = async |fhir: Fhir| status(&fhir.raw("PATCH", "Patient/x", &[content], operation).await);
    assert_eq!(at_once(&product, any).await, BTreeMap::from([("200".to_owned(), CLIENTS)]));
    let names = product.fhir().get_json("Patient/x").await["name"].as_array().unwrap().len();
    assert_eq!(names, CLIENTS + 2);
}

#[tokio::test]
async fn updates_of_64_clients_of_what_must_not_exist_make_one_resource() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let body = r#"{"resourceType":"Patient","id":"p","active":true}"#;
    let absent = [("if-none-match", "*")];
    let statuses =
        at_once(&product, async |fhir: Fhir| status(&fhir.raw("PUT", "Patient/p", &absent, body).await)).await;
    assert_eq!(statuses, BTreeMap::from([("201".to_owned(), 1), ("412".to_owned(), 63)]));
    assert_eq!(product.fhir().get_json("Patient/p").await["meta"]["versionId"], "1");
}
