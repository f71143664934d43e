use serde_json::{Value, json};

use super::{Answer, Bench, identified, patient};

fn bundle(kind: &str, entries: &[Value]) -> String {
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries }).to_string()
}

fn put(id: &str, condition: Value) -> Value {
    let mut request = json!({ "method": "PUT", "url": format!("Patient/{id}") });
    request.as_object_mut().unwrap().extend(condition.as_object().unwrap().clone());
    json!({ "resource": serde_json::from_str::<Value>(&patient(id)).unwrap(), "request": request })
}

fn post(resource: &Value, request: Value) -> Value {
    let mut all = json!({ "method": "POST", "url": resource["resourceType"] });
    all.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    json!({ "resource": resource, "request": all })
}

fn get(url: &str) -> Value {
    json!({ "request": { "method": "GET", "url": url } })
}

fn delete(url: &str) -> Value {
    json!({ "request": { "method": "DELETE", "url": url } })
}

fn statuses(answer: &Answer) -> Vec<String> {
    let bundle = answer.json();
    let entries = bundle["entry"].as_array().unwrap().iter();
    entries.map(|entry| entry["response"]["status"].as_str().unwrap().chars().take(3).collect()).collect()
}

async fn send(bench: &Bench, kind: &str, entries: &[Value]) -> Answer {
    bench.post("", &bundle(kind, entries)).await
}

#[tokio::test]
async fn entries_of_a_batch_succeed_and_fail_each_for_itself() {
    let bench = Bench::new().await;
    bench.put("/Patient/old", &patient("old")).await.check(201);
    let entries = [
        put("new", json!({ "ifNoneMatch": "*" })),
        put("old", json!({ "ifNoneMatch": "*" })),
        put("old", json!({ "ifMatch": "W/\"1\"" })),
        put("old", json!({ "ifMatch": "W/\"1\"" })),
        put("bad_id", json!({})),
        post(&json!({ "resourceType": "Patient", "name": [] }), json!({})),
        get("Patient/new"),
        get("Patient/none"),
        get("Patient?_id=new,old"),
        json!({ "request": { "method": "PATCH", "url": "Patient/old" } }),
        delete("Patient/never"),
        json!({ "fullUrl": "urn:uuid:1" }),
    ];
    let answer = send(&bench, "batch", &entries).await.check(200);
    assert_eq!(statuses(&answer), ["201", "412", "200", "412", "400", "400", "200", "404", "200", "400", "204", "400"]);
    let bundle = answer.json();
    assert_eq!(bundle["type"], "batch-response");
    let created = &bundle["entry"][0]["response"];
    assert_eq!(created["location"], "http://localhost:8080/fhir/Patient/new/_history/1");
    assert_eq!(created["etag"], "W/\"1\"");
    assert_eq!(created["lastModified"], "2026-01-02T03:04:05.678Z");
    assert!(bundle["entry"][0]["resource"].is_null(), "a write answers briefly unless asked otherwise");
    assert_eq!(bundle["entry"][1]["response"]["outcome"]["issue"][0]["code"], "conflict");
    assert_eq!(bundle["entry"][5]["response"]["outcome"]["issue"][0]["expression"][0], "Bundle.entry[5].resource.name");
    assert_eq!(bundle["entry"][6]["resource"]["id"], "new");
    assert_eq!(bundle["entry"][6]["response"]["etag"], "W/\"1\"");
    assert_eq!(bundle["entry"][7]["response"]["outcome"]["issue"][0]["code"], "not-found");
    assert_eq!(bundle["entry"][8]["resource"]["entry"].as_array().unwrap().len(), 2);
    assert_eq!(bench.get("/Patient/old").await.header("etag"), "W/\"2\"");
}

#[tokio::test]
async fn an_entry_that_only_creates_what_a_search_does_not_find_is_412_for_what_has_another_id() {
    let bench = Bench::new().await;
    let imported = identified("1").replace(r#""Patient","#, r#""Patient","id":"imported","#);
    bench.put("/Patient/imported", &imported).await.check(201);
    let entry = |id: &str, value: &str| {
        let mut resource: Value = serde_json::from_str(&identified(value)).unwrap();
        resource["id"] = id.into();
        let url = format!("Patient?identifier=urn:x%7C{value}");
        json!({ "resource": resource, "request": { "method": "PUT", "url": url, "ifNoneMatch": "*" } })
    };
    let entries = [entry("own", "1"), entry("new", "2"), entry("new", "2")];
    assert_eq!(statuses(&send(&bench, "batch", &entries).await), ["412", "201", "412"]);
    assert_eq!(send(&bench, "transaction", &entries[..1]).await.status, 412);
    assert_eq!(bench.count("/Patient").await, 2);
}

#[tokio::test]
async fn a_repeated_batch_changes_nothing() {
    let bench = Bench::new().await;
    let entries: Vec<Value> = (0..50).map(|number| put(&format!("p{number}"), json!({ "ifNoneMatch": "*" }))).collect();
    assert!(statuses(&send(&bench, "batch", &entries).await).iter().all(|status| status == "201"));
    assert!(statuses(&send(&bench, "batch", &entries).await).iter().all(|status| status == "412"));
    assert_eq!(bench.count("/Patient").await, 50);
    assert_eq!(bench.get("/Patient/p7").await.header("etag"), "W/\"1\"");
}

#[tokio::test]
async fn a_batch_returns_resources_when_asked_to() {
    let bench = Bench::new().await;
    let text = bundle("batch", &[put("a", json!({}))]);
    let answer = bench.send("POST", "", "Prefer: return=representation", text.clone()).await.check(200);
    assert_eq!(answer.json()["entry"][0]["resource"]["meta"]["versionId"], "1");
    let answer = bench.send("POST", "", "Prefer: return=OperationOutcome", text).await.check(200);
    assert_eq!(answer.json()["entry"][0]["response"]["outcome"]["resourceType"], "OperationOutcome");
}

#[tokio::test]
async fn conditional_entries_of_a_batch_are_exact() {
    let bench = Bench::new().await;
    let entry = post(&serde_json::from_str(&identified("1")).unwrap(), json!({ "ifNoneExist": "identifier=urn:x|1" }));
    let update = json!({
        "resource": serde_json::from_str::<Value>(&identified("1")).unwrap(),
        "request": { "method": "PUT", "url": "Patient?identifier=urn:x|1" },
    });
    let answer = send(&bench, "batch", &[entry.clone(), entry, update]).await;
    assert_eq!(statuses(&answer), ["201", "200", "200"]);
    assert_eq!(bench.count("/Patient").await, 1);
}

#[tokio::test]
async fn bundles_of_other_types_and_shapes_are_refused() {
    let bench = Bench::new().await;
    send(&bench, "collection", &[]).await.check_issue(400, "value");
    bench.post("", &patient("a")).await.check_issue(400, "value");
    bench.post("", r#"{"resourceType":"Bundle","type":"batch","entry":{}}"#).await.check_issue(400, "structure");
    bench.post("", "{").await.check_issue(400, "structure");
    assert_eq!(
        bench.post("", r#"{"resourceType":"Bundle","type":"batch"}"#).await.check(200).json()["type"],
        "batch-response"
    );
}

#[tokio::test]
async fn a_transaction_takes_effect_as_a_whole_or_not_at_all() {
    let bench = Bench::new().await;
    bench.put("/Patient/old", &patient("old")).await.check(201);
    let failing = [put("a", json!({})), put("old", json!({ "ifMatch": "W/\"9\"" }))];
    let refused = send(&bench, "transaction", &failing).await.check_issue(412, "conflict");
    assert_eq!(refused.json()["issue"][0]["expression"][0], "Bundle.entry[1]");
    bench.get("/Patient/a").await.check(404);
    let failing = [put("a", json!({})), post(&json!({ "resourceType": "Patient", "name": [] }), json!({}))];
    send(&bench, "transaction", &failing).await.check_issue(400, "structure");
    let failing = [put("a", json!({})), get("Patient/never")];
    send(&bench, "transaction", &failing).await.check_issue(404, "not-found");
    bench.get("/Patient/a").await.check(404);
    let entries = [
        get("Patient/a"),
        put("a", json!({})),
        delete("Patient/old"),
        get("Patient?active=true"),
        get("Patient/a/_history/1"),
    ];
    let answer = send(&bench, "transaction", &entries).await.check(200);
    assert_eq!(statuses(&answer), ["200", "201", "204", "200", "200"]);
    let bundle = answer.json();
    assert_eq!(bundle["type"], "transaction-response");
    assert_eq!(bundle["entry"][0]["resource"]["id"], "a");
    assert_eq!(bundle["entry"][3]["resource"]["entry"].as_array().unwrap().len(), 1);
    bench.get("/Patient/old").await.check(410);
}

#[tokio::test]
async fn a_transaction_that_contradicts_itself_is_refused_as_a_whole() {
    let bench = Bench::new().await;
    for entries in [
        [put("a", json!({})), put("a", json!({}))],
        [put("a", json!({})), delete("Patient/a")],
        [put("b", json!({})), {
            let mut entry = put("a", json!({}));
            entry["request"]["url"] = json!("Patient/c");
            entry
        }],
        [put("b", json!({})), json!({ "request": { "method": "PATCH", "url": "Patient/a" } })],
        [
            post(&json!({ "resourceType": "Patient" }), json!({ "ifNoneExist": "identifier=urn:x|1" })),
            post(&json!({ "resourceType": "Patient" }), json!({ "ifNoneExist": "identifier=urn:x|1" })),
        ],
    ] {
        send(&bench, "transaction", &entries).await.check(400);
        assert_eq!(bench.count("/Patient").await, 0);
    }
}

fn with_url(mut entry: Value, full_url: &str) -> Value {
    entry["fullUrl"] = json!(full_url);
    entry
}

#[tokio::test]
async fn references_between_entries_lead_to_the_ids_they_were_given() {
    let bench = Bench::new().await;
    bench.put("/Device/d", r#"{"resourceType":"Device","id":"d","identifier":[{"system":"urn:d","value":"1"}]}"#).await;
    let observation = json!({
        "resourceType": "Observation",
        "status": "final",
        "code": { "text": "x" },
        "subject": { "reference": "urn:uuid:p" },
        "device": { "reference": "Device?identifier=urn:d|1" },
        "valueString": "urn:uuid:p",
    });
    let patient: Value = serde_json::from_str(&identified("1")).unwrap();
    let entries = [
        with_url(post(&observation, json!({})), "urn:uuid:o"),
        with_url(post(&patient, json!({ "ifNoneExist": "identifier=urn:x|1" })), "urn:uuid:p"),
    ];
    for expected in [["201", "201"], ["201", "200"]] {
        assert_eq!(statuses(&send(&bench, "transaction", &entries).await.check(200)), expected);
    }
    let patients = bench.get("/Patient").await.json();
    let id = patients["entry"][0]["resource"]["id"].as_str().unwrap();
    let found = bench.get(&format!("/Observation?subject=Patient/{id}&device=Device/d")).await.json();
    let found = found["entry"].as_array().unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["resource"]["valueString"], "urn:uuid:p");
}

#[tokio::test]
async fn a_reference_that_leads_nowhere_fails_the_transaction() {
    let bench = Bench::new().await;
    let to = |reference: &str| {
        let observation = json!({
            "resourceType": "Observation", "status": "final", "code": { "text": "x" }, "subject": { "reference": reference }
        });
        post(&observation, json!({}))
    };
    send(&bench, "transaction", &[to("urn:uuid:none")]).await.check_issue(400, "value");
    send(&bench, "transaction", &[to("Patient?identifier=urn:x|none")]).await.check_issue(412, "conflict");
    send(&bench, "transaction", &[to("Patient?colour=red")]).await.check_issue(400, "not-supported");
    assert_eq!(bench.count("/Observation").await, 0);
}

#[tokio::test]
async fn a_bundle_has_a_bound_on_its_entries() {
    let settings = super::ApiSettings { bundle_entries_max: 1, ..super::ApiSettings::default() };
    let bench = Bench::with(settings).await;
    send(&bench, "batch", &[put("a", json!({})), put("b", json!({}))]).await.check_issue(413, "too-long");
}

#[tokio::test]
async fn the_query_of_an_entry_is_read_as_strictly_as_that_of_a_request() {
    let bench = Bench::new().await;
    bench.put("/Patient/a", &patient("a")).await.check(201);
    let update = |url: &str| {
        let mut entry = put("a", json!({}));
        entry["request"]["url"] = json!(url);
        entry
    };
    for entry in [
        get("Patient?name=%"),
        get("Patient?name=%FF"),
        get("Patient?name=%00"),
        get("Patient/_history?_count=%zz"),
        get("Patient/a/_history?_since=%C3%28"),
        get("Patient/a?active=true"),
        get("Patient/a?%"),
        get("Patient/a/_history/1?active=true"),
        get("ValueSet/$expand?url=%FF"),
        update("Patient?identifier=%FF"),
        update("Patient?identifier=100%"),
        delete("Patient?identifier=%u0041"),
    ] {
        let answer = send(&bench, "batch", std::slice::from_ref(&entry)).await.check(200);
        assert_eq!(statuses(&answer), ["400"], "{entry}");
        send(&bench, "transaction", std::slice::from_ref(&entry)).await.check(400);
    }
    assert_eq!(bench.count("/Patient").await, 1);
}
