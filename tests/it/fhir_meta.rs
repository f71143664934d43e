//! `$meta`, `$meta-add`, `$meta-delete` (<https://hl7.org/fhir/R4/resource-operations.html>).

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;

async fn call(fhir: &Fhir, operation: &str, meta: &Value) -> Value {
    let parameters = json!({ "resourceType": "Parameters", "parameter": [{ "name": "meta", "valueMeta": meta }] });
    let path = format!("Observation/o/{operation}");
    let answer = fhir.raw("POST", &path, &[], parameters.to_string()).await.check(200).json();
    assert_eq!(fhir.get("Observation/o/$meta").await.check(200).json(), answer);
    answer["parameter"][0]["valueMeta"].clone()
}

#[tokio::test]
async fn labels_come_and_go_without_a_version_and_nothing_else_changes_a_byte() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let value = r#""valueQuantity":{ "value" : 65.00,"unit":"\u0031\/min"}"#;
    let meta = r#""source":"urn:x","tag":[{"system":"urn:t" , "code":"a","display":"A"}]"#;
    let body = format!(
        r#"{{"resourceType":"Observation","id":"o","meta":{{{meta}}},"status":"final","code":{{"text":"t"}},{value}}}"#
    );
    fhir.raw("PUT", "Observation/o", &[], body).await.check(201);
    let before = fhir.get("Observation/o").await.check(200);

    let added = call(
        &fhir,
        "$meta-add",
        &json!({
            "profile": ["http://p/1"], "security": [{ "system": "urn:s", "code": "R" }],
            // The same tag, whatever its display, is not there twice.
            "tag": [{ "system": "urn:t", "code": "a", "display": "other" }, { "code": "a" }],
        }),
    )
    .await;
    assert_eq!(
        added,
        json!({
            "profile": ["http://p/1"], "security": [{ "system": "urn:s", "code": "R" }],
            "tag": [{ "system": "urn:t", "code": "a", "display": "A" }, { "code": "a" }],
        })
    );
    let after = fhir.get("Observation/o").await.check(200);
    assert_eq!(after.header("etag"), before.header("etag"));
    let lines = |text: &str| text.split_once(r#""status""#).unwrap().1.to_owned();
    assert_eq!(lines(&after.text), lines(&before.text));
    assert!(after.text.contains(r#"{"system":"urn:t" , "code":"a","display":"A"}"#), "{}", after.text);
    for name in ["versionId", "lastUpdated", "source"] {
        assert_eq!(after.json()["meta"][name], before.json()["meta"][name]);
    }
    assert_eq!(fhir.get_json("Observation/o/_history").await["total"], 1);
    for (search, count) in [("_tag=urn:t|a", 1), ("_tag=|a", 1), ("_security=R", 1), ("_profile=http://p/1", 1)] {
        assert_eq!(fhir.count(&format!("Observation?{search}")).await, count, "{search}");
    }

    let removed = json!({ "tag": [{ "system": "urn:t", "code": "a", "version": "9" }, { "code": "never" }], "profile": ["http://p/1"] });
    let left = call(&fhir, "$meta-delete", &removed).await;
    assert_eq!(left, json!({ "security": [{ "system": "urn:s", "code": "R" }], "tag": [{ "code": "a" }] }));
    assert_eq!(fhir.count("Observation?_tag=urn:t|a").await, 0);
    assert_eq!(fhir.count("Observation?_profile=http://p/1").await, 0);
    assert_eq!(call(&fhir, "$meta-delete", &removed).await, left, "what is not there needs no deleting");
    call(&fhir, "$meta-delete", &left).await;
    assert_eq!(
        fhir.get("Observation/o").await.check(200).text,
        before.text.replace(r#","tag":[{"system":"urn:t" , "code":"a","display":"A"}]"#, "")
    );
}

#[tokio::test]
async fn what_is_no_label_or_no_resource_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    fhir.put(&json!({ "resourceType": "Patient", "id": "1" })).await.check(201);
    let send = |path: &'static str, meta: Value, headers: &'static [(&'static str, &'static str)]| {
        let parameters = json!({ "resourceType": "Parameters", "parameter": [{ "name": "meta", "valueMeta": meta }] });
        let fhir = &fhir;
        async move { fhir.raw("POST", path, headers, parameters.to_string()).await }
    };
    let tag = || json!({ "tag": [{ "code": "a" }] });
    send("Patient/2/$meta-add", tag(), &[]).await.check_outcome(404, "not-found", "no resource");
    send("Patient/1/$meta-add", json!({ "source": "urn:x" }), &[]).await.check_outcome(400, "value", "`profile`");
    send("Patient/1/$meta-add", json!({ "tag": [{ "display": "x" }] }), &[])
        .await
        .check_outcome(400, "value", "`code`");
    send("Patient/1/$meta-add", json!({ "versionId": "1" }), &[]).await.check_outcome(400, "value", "has no");
    send("Patient/1/$meta-add", tag(), &[("if-match", "W/\"7\"")]).await.check_outcome(412, "conflict", "If-Match");
    fhir.raw("POST", "Patient/1/$meta-add", &[], "").await.check_outcome(400, "required", "`meta`");
    assert_eq!(fhir.count("Patient?_tag=a").await, 0);
    fhir.raw("DELETE", "Patient/1", &[], "").await.check(204);
    send("Patient/1/$meta-add", tag(), &[]).await.check(410);
}
