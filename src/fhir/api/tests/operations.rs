use serde_json::{Value, json};

use super::{Bench, patient};

const LABELLED: &str = r#"{"resourceType":"Patient","id":"1","meta":{"source":"urn:x","tag":[{"code":"a"}]}}"#;

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.put("/Patient/1", LABELLED).await.check(201);
    bench
}

#[tokio::test]
async fn an_operation_is_called_with_get_and_post_and_answers_parameters() {
    let bench = bench().await;
    let expected = json!({
        "resourceType": "Parameters",
        "parameter": [{ "name": "return", "valueMeta": { "tag": [{ "code": "a" }] } }],
    });
    let empty = r#"{"resourceType":"Parameters"}"#;
    assert_eq!(bench.get("/Patient/1/$meta").await.check(200).json(), expected);
    assert_eq!(bench.get("/Patient/1/%24meta?_format=json").await.check(200).json(), expected);
    assert_eq!(bench.post("/Patient/1/$meta", empty).await.check(200).json(), expected);
    assert_eq!(bench.post("/Patient/1/$meta", "").await.check(200).json(), expected);
    assert_eq!(bench.send("HEAD", "/Patient/1/$meta", "", "").await.check(200).text, "");
    let options = bench.send("OPTIONS", "/Patient/1/$meta", "", "").await.check(204);
    assert_eq!(options.header("allow"), "GET, HEAD, POST, OPTIONS");
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_elsewhere_or_unknown() {
    let bench = bench().await;
    for path in ["/$mata", "/Patient/$mata", "/Patient/1/$mata"] {
        let answer = bench.get(path).await.check_issue(404, "not-found");
        assert!(answer.text.contains("did you mean `$meta`?"), "{path}: {}", answer.text);
    }
    for path in ["/$frobnicate", "/Patient/1/_history/1/$meta"] {
        bench.post(path, "").await.check_issue(404, "not-found");
    }
    bench.get("/Patients/1/$meta").await.check_issue(404, "not-found");
    bench.get("/Patient/a_b/$meta").await.check_issue(400, "value");
    bench.get("/Patient/2/$meta").await.check_issue(404, "not-found");
    bench.get("/Patient/1/$meta?tag=a").await.check_issue(400, "not-supported");
    bench.put("/Patient/1/$meta", LABELLED).await.check_issue(405, "not-supported");
}

#[tokio::test]
async fn operations_are_entries_of_bundles() {
    let bench = bench().await;
    let call = |method: &str, url: &str| json!({ "request": { "method": method, "url": url } });
    for kind in ["batch", "transaction"] {
        let entries = [call("GET", "Patient/1/$meta"), call("POST", "Patient/1/$meta")];
        let bundle = json!({ "resourceType": "Bundle", "type": kind, "entry": entries }).to_string();
        let answer = bench.post("", &bundle).await.check(200).json();
        for entry in answer["entry"].as_array().unwrap() {
            assert_eq!(entry["response"]["status"], "200 OK", "{kind}");
            assert_eq!(entry["resource"]["parameter"][0]["valueMeta"]["tag"][0]["code"], "a", "{kind}");
        }
    }
    let entries = [call("GET", "Patient/1/$mata"), call("DELETE", "Patient/1/$meta"), call("GET", "Patient/1/$meta")];
    let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries }).to_string();
    let answer = bench.post("", &bundle).await.check(200).json();
    let statuses: Vec<&Value> =
        answer["entry"].as_array().unwrap().iter().map(|it| &it["response"]["status"]).collect();
    assert_eq!(statuses, ["404 Not Found", "400 Bad Request", "200 OK"]);
}

#[tokio::test]
async fn a_transaction_reads_by_operation_what_it_wrote() {
    let bench = bench().await;
    let entries = [
        json!({ "request": { "method": "GET", "url": "Patient/2/$meta" } }),
        json!({ "request": { "method": "PUT", "url": "Patient/2" },
            "resource": serde_json::from_str::<Value>(&patient("2")).unwrap() }),
    ];
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries }).to_string();
    let answer = bench.post("", &bundle).await.check(200).json();
    assert_eq!(answer["entry"][0]["response"]["status"], "200 OK");
}

#[tokio::test]
async fn the_capability_statement_lists_operations() {
    let bench = bench().await;
    let statement = bench.get("/metadata").await.check(200).json();
    let of_account = &statement["rest"][0]["resource"][0]["operation"];
    let meta = json!({ "name": "meta", "definition": "http://hl7.org/fhir/OperationDefinition/Resource-meta" });
    assert!(of_account.as_array().unwrap().contains(&meta), "{of_account}");
}
