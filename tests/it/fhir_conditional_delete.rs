//! Deletion by a search, <https://hl7.org/fhir/R4/http.html#delete>, as the operator allows it.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;

fn serve(directory: &tempfile::TempDir, policy: &str) -> Vitalwire {
    Vitalwire::serve(directory.path(), &format!("{SERVICE}[fhir]\nconditional_delete = \"{policy}\"\n"))
}

/// Patients `0`, `1`, ...: all of system `s`, the first of value `0`, the others of value `1`.
async fn add_patients(fhir: &Fhir, number: usize) {
    let entries: Vec<Value> = (0..number)
        .map(|number| {
            let identifier = json!([{ "system": "s", "value": usize::from(number > 0).to_string() }]);
            let resource = json!({ "resourceType": "Patient", "id": number.to_string(), "identifier": identifier });
            json!({ "resource": resource, "request": { "method": "PUT", "url": format!("Patient/{number}") } })
        })
        .collect();
    fhir.bundle("transaction", &entries).await.check(200);
}

#[tokio::test]
async fn one_resource_is_deleted_and_several_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let product = serve(&directory, "single");
    let fhir = product.fhir();
    add_patients(&fhir, 3).await;
    let delete = |path| fhir.raw("DELETE", path, &[], "");
    delete("Patient?identifier=s|1").await.check_outcome(412, "multiple-matches", "narrower");
    assert_eq!(fhir.count("Patient").await, 3);
    let stale = fhir.raw("DELETE", "Patient?identifier=s|0", &[("if-match", "W/\"2\"")], "").await;
    stale.check_outcome(412, "conflict", "`If-Match`");
    // As the specification writes it, with a slash.
    let deleted = fhir.raw("DELETE", "Patient/?identifier=s|0", &[("if-match", "W/\"1\"")], "").await.check(204);
    assert_eq!((deleted.header("etag"), deleted.text.as_str()), ("W/\"2\"", ""));
    fhir.get("Patient/0").await.check_outcome(410, "deleted", "version 2");
    delete("Patient?identifier=s|0").await.check(204);
    let history = fhir.get("Patient/0/_history").await.check(200).json();
    assert_eq!(history["entry"][0]["request"], json!({ "method": "DELETE", "url": "Patient/0" }));
    delete("Patient").await.check(400);
    delete("Patient?colour=red").await.check_outcome(400, "not-supported", "colour");
    assert_eq!(fhir.count("Patient").await, 2);
}

#[tokio::test]
async fn all_that_are_found_go_together_up_to_a_bound() {
    let directory = tempfile::tempdir().unwrap();
    let product = serve(&directory, "multiple");
    let fhir = product.fhir();
    add_patients(&fhir, 1_002).await;
    let delete = |path| fhir.raw("DELETE", path, &[], "");
    delete("Patient?identifier=s|").await.check_outcome(412, "multiple-matches", "1000");
    assert_eq!(fhir.count("Patient").await, 1_002);
    fhir.raw("DELETE", "Patient/1", &[], "").await.check(204);
    let stale = fhir.raw("DELETE", "Patient?identifier=s|1", &[("if-match", "W/\"2\"")], "").await;
    stale.check_outcome(412, "conflict", "`If-Match`");
    assert_eq!(delete("Patient?identifier=s|1").await.check(204).header("etag"), "");
    assert_eq!(fhir.ids("Patient", "match").await, ["0"]);
    assert_eq!(metadata(&fhir, "Patient").await["conditionalDelete"], "multiple");
}

#[tokio::test]
async fn an_operator_may_refuse_it() {
    let directory = tempfile::tempdir().unwrap();
    let product = serve(&directory, "refused");
    let fhir = product.fhir();
    add_patients(&fhir, 1).await;
    let refused = fhir.raw("DELETE", "Patient?identifier=s|0", &[], "").await;
    refused.check_outcome(400, "not-supported", "conditional deletes");
    assert_eq!(fhir.count("Patient").await, 1);
    assert_eq!(metadata(&fhir, "Patient").await["conditionalDelete"], "not-supported");
}

/// What the CapabilityStatement says of a type.
async fn metadata(fhir: &Fhir, resource_type: &str) -> Value {
    let statement = fhir.get_json("metadata").await;
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    resources.iter().find(|resource| resource["type"] == resource_type).unwrap().clone()
}
