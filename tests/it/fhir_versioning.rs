//! Versioning policies by type, <https://hl7.org/fhir/R4/valueset-versioning-policy.html>.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;

const POLICIES: &str = "[fhir.versioning]\nPatient = \"versioned-update\"\nDevice = \"no-version\"\n";

fn serve(directory: &tempfile::TempDir) -> Vitalwire {
    Vitalwire::serve(directory.path(), &format!("{SERVICE}{POLICIES}"))
}

async fn put(fhir: &Fhir, resource_type: &str, headers: &[(&str, &str)], path: &str) -> crate::support::fhir::Answer {
    let identifier = json!([{ "system": "s", "value": "1" }]);
    let body = json!({ "resourceType": resource_type, "id": "x", "identifier": identifier });
    fhir.raw("PUT", path, headers, body.to_string()).await
}

#[tokio::test]
async fn who_changes_a_resource_must_say_which_version_where_that_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let product = serve(&directory);
    let fhir = product.fhir();
    let refused = "with `If-Match` only";
    put(&fhir, "Patient", &[], "Patient/x").await.check(201);
    put(&fhir, "Patient", &[], "Patient/x").await.check_outcome(400, "required", refused);
    put(&fhir, "Patient", &[("if-match", "W/\"2\"")], "Patient/x").await.check_outcome(412, "conflict", "`If-Match`");
    put(&fhir, "Patient", &[("if-match", "W/\"1\"")], "Patient/x").await.check(200);
    put(&fhir, "Patient", &[], "Patient?identifier=s|1").await.check_outcome(400, "required", refused);
    put(&fhir, "Patient", &[("if-match", "W/\"2\"")], "Patient?identifier=s|1").await.check(200);
    let patch = |headers: &'static [(&'static str, &'static str)]| {
        let body = r#"[{"op":"add","path":"/active","value":true}]"#;
        fhir.raw("PATCH", "Patient/x", headers, body)
    };
    const JSON_PATCH: (&str, &str) = ("content-type", "application/json-patch+json");
    patch(&[JSON_PATCH]).await.check_outcome(400, "required", refused);
    patch(&[JSON_PATCH, ("if-match", "W/\"3\"")]).await.check(200);
    let entry = |if_match: Value| {
        let mut request = json!({ "method": "PUT", "url": "Patient/x" });
        if !if_match.is_null() {
            request["ifMatch"] = if_match;
        }
        json!({ "resource": { "resourceType": "Patient", "id": "x" }, "request": request })
    };
    fhir.bundle("transaction", &[entry(Value::Null)]).await.check_outcome(400, "required", refused);
    assert_eq!(fhir.bundle("batch", &[entry(Value::Null)]).await.entry_statuses(), ["400"]);
    fhir.bundle("transaction", &[entry(json!("W/\"4\""))]).await.check(200);
    // A deletion is no change of this kind, and what is deleted may come back.
    fhir.raw("DELETE", "Patient/x", &[], "").await.check(204);
    put(&fhir, "Patient", &[], "Patient/x").await.check(201);
}

#[tokio::test]
async fn of_a_type_without_versions_only_the_current_one_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let product = serve(&directory);
    let fhir = product.fhir();
    for version in ["1", "2", "3"] {
        let written = put(&fhir, "Device", &[], "Device/x").await;
        assert_eq!(written.header("etag"), format!("W/\"{version}\""));
    }
    put(&fhir, "Device", &[("if-match", "W/\"2\"")], "Device/x").await.check_outcome(412, "conflict", "`If-Match`");
    for old in ["1", "2"] {
        fhir.get(&format!("Device/x/_history/{old}")).await.check_outcome(404, "not-found", "no such version");
    }
    assert_eq!(fhir.get("Device/x/_history/3").await.check(200).header("etag"), "W/\"3\"");
    assert_eq!(tags(&fhir, "Device/x/_history").await, ["W/\"3\""]);
    assert_eq!(tags(&fhir, "Device/_history").await, ["W/\"3\""]);
    assert_eq!(fhir.count("Device?identifier=s|1").await, 1);
    fhir.raw("DELETE", "Device/x", &[], "").await.check(204);
    fhir.get("Device/x").await.check_outcome(410, "deleted", "version 4");
    fhir.get("Device/x/_history/3").await.check_outcome(404, "not-found", "no such version");
    assert_eq!(put(&fhir, "Device", &[], "Device/x").await.check(201).header("etag"), "W/\"5\"");
}

async fn tags(fhir: &Fhir, history: &str) -> Vec<String> {
    let bundle = fhir.get(history).await.check(200).json();
    let entries = bundle["entry"].as_array().unwrap().iter();
    entries.map(|entry| entry["response"]["etag"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_change_of_policy_forgets_what_was_kept_before() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    for _ in 0..3 {
        put(&product.fhir(), "Device", &[], "Device/x").await;
    }
    assert_eq!(tags(&product.fhir(), "Device/x/_history").await.len(), 3);
    assert!(product.interrupt().0.success());
    let product = serve(&directory);
    let fhir = product.fhir();
    assert_eq!(tags(&fhir, "Device/x/_history").await.len(), 3);
    put(&fhir, "Device", &[], "Device/x").await.check(200);
    assert_eq!(tags(&fhir, "Device/x/_history").await, ["W/\"4\""]);
}

#[tokio::test]
async fn the_capability_statement_says_what_holds_for_each_type() {
    let directory = tempfile::tempdir().unwrap();
    let product = serve(&directory);
    let statement = product.fhir().get_json("metadata").await;
    let said = |resource_type: &str| {
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        let resource = resources.iter().find(|resource| resource["type"] == resource_type).unwrap();
        let interactions = resource["interaction"].as_array().unwrap();
        let reads_versions = interactions.iter().any(|interaction| interaction["code"] == "vread");
        (resource["versioning"].as_str().unwrap().to_owned(), resource["readHistory"] == true, reads_versions)
    };
    assert_eq!(said("Observation"), ("versioned".to_owned(), true, true));
    assert_eq!(said("Patient"), ("versioned-update".to_owned(), true, true));
    assert_eq!(said("Device"), ("no-version".to_owned(), false, false));
}
