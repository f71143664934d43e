//! The interactions of <https://hl7.org/fhir/R4/http.html> on single resources, as any client may send them.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;

const LONG_UNMODIFIED: (&str, &str) = ("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT");

#[tokio::test]
async fn a_resource_lives_from_its_creation_to_its_history() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let created = fhir.raw("POST", "Patient", &[], r#"{"resourceType":"Patient","id":"mine"}"#).await.check(201);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_ne!(id, "mine", "the server chooses the id of what is created");
    let path = format!("Patient/{id}");
    assert_eq!(created.header("location"), format!("{}/fhir/{path}/_history/1", product.http));
    assert_eq!(created.header("etag"), "W/\"1\"");
    let modified = created.header("last-modified").to_owned();

    let read = fhir.get(&path).await.check(200);
    assert_eq!((read.header("etag"), read.header("last-modified")), ("W/\"1\"", modified.as_str()));
    assert_eq!(read.header("content-type"), "application/fhir+json; charset=utf-8");
    let head = fhir.raw("HEAD", &path, &[], "").await.check(200);
    assert_eq!((head.text.as_str(), head.header("etag")), ("", "W/\"1\""));
    for (name, value) in [("if-none-match", "W/\"1\""), ("if-modified-since", modified.as_str())] {
        let known = fhir.raw("GET", &path, &[(name, value)], "").await.check(304);
        assert_eq!((known.text.as_str(), known.header("etag")), ("", "W/\"1\""));
    }

    let body = json!({ "resourceType": "Patient", "id": id, "active": true }).to_string();
    let put = |headers| fhir.raw("PUT", &path, headers, body.clone());
    assert_eq!(put(&[("if-match", "W/\"1\"")]).await.check(200).header("etag"), "W/\"2\"");
    put(&[("if-match", "W/\"1\"")]).await.check_outcome(412, "conflict", "`If-Match`");
    put(&[("if-match", "two")]).await.check_outcome(400, "value", "entity tag");
    put(&[("if-none-match", "*")]).await.check_outcome(412, "conflict", "`If-None-Match`");
    put(&[LONG_UNMODIFIED]).await.check_outcome(412, "conflict", "`If-Unmodified-Since`");
    let delete = fhir.raw("DELETE", &path, &[LONG_UNMODIFIED], "").await;
    delete.check_outcome(412, "conflict", "`If-Unmodified-Since`");
    assert_eq!(
        put(&[("prefer", "return=minimal"), ("if-unmodified-since", "Sat, 01 Jan 2050 00:00:00 GMT")])
            .await
            .check(200)
            .text,
        ""
    );
    assert_eq!(
        put(&[("prefer", "return=OperationOutcome")]).await.check(200).json()["resourceType"],
        "OperationOutcome"
    );
    assert_eq!(put(&[("prefer", "return=representation")]).await.check(200).json()["meta"]["versionId"], "5");

    for method in ["PUT", "DELETE", "POST"] {
        let refused = fhir.raw(method, &format!("{path}/_history/1"), &[], body.clone()).await;
        assert_eq!(refused.check_outcome(405, "not-supported", "GET").header("allow"), "GET, HEAD, OPTIONS");
    }
    assert_eq!(fhir.get(&format!("{path}/_history/1")).await.check(200).json().get("active"), None);
    fhir.get(&format!("{path}/_history/6")).await.check_outcome(404, "not-found", "no such version");

    fhir.raw("DELETE", &path, &[("if-match", "W/\"1\"")], "").await.check_outcome(412, "conflict", "`If-Match`");
    fhir.raw("DELETE", &path, &[("if-match", "W/\"5\"")], "").await.check(204);
    fhir.get(&path).await.check_outcome(410, "deleted", "version 6");
    assert_eq!(fhir.count(&format!("Patient?_id={id}")).await, 0);
    assert_eq!(fhir.count(&format!("Patient?_id={id}&_lastUpdated=gt2000")).await, 0);
    fhir.raw("DELETE", &path, &[], "").await.check(204);
    assert_eq!(put(&[]).await.check(201).header("etag"), "W/\"7\"");
    let history = fhir.get(&format!("{path}/_history")).await.check(200).json();
    let methods: Vec<&Value> = history["entry"].as_array().unwrap().iter().map(|it| &it["request"]["method"]).collect();
    assert_eq!(methods, ["PUT", "DELETE", "PUT", "PUT", "PUT", "PUT", "POST"]);
}

#[tokio::test]
async fn what_was_sent_is_what_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let rest = r#""name":[{"family":"Müller-Ångström 李","given":["Zoë"]}],"extension":[{"url":"a","valueDecimal":65.0},{"url":"b","valueDecimal":1e-7},{"url":"c","valueDecimal":123456789012345678901234.5},{"url":"d","valueDecimal":1E+400},{"url":"e","valueDecimal":-0.0}]"#;
    let kept = r#""profile":["http://x/p"],"security":[{"code":"R"}],"extension":[{"url":"u","valueDecimal":1.50}]"#;
    let sent = format!(
        r#"{{"resourceType":"Patient","id":"p","meta":{{"versionId":"77","lastUpdated":"1999-01-01T00:00:00Z",{kept}}},{rest}}}"#
    );
    for body in [sent.clone(), format!("\u{feff}{sent}")] {
        fhir.raw("PUT", "Patient/p", &[], body).await;
        let read = fhir.get("Patient/p").await.check(200);
        assert!(read.text.ends_with(&format!(",{kept}}},{rest}}}")), "{read:?}");
    }
    assert_eq!(fhir.get("Patient/p").await.json()["meta"]["versionId"], "2");
    assert_eq!(fhir.ids("Patient?name=MULLER&name:contains=%E6%9D%8E", "match").await, ["p"]);

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(sent.as_bytes()).unwrap();
    fhir.raw("PUT", "Patient/p", &[("content-encoding", "gzip")], packed.finish().unwrap()).await.check(200);
    let packed = fhir.raw("GET", "Patient?_id=p", &[("accept-encoding", "gzip")], "").await.check(200);
    assert_eq!(packed.header("content-encoding"), "gzip");

    let nested = |depth: usize| {
        let (open, close) = (r#"{"url":"u","extension":["#.repeat(depth), "]}".repeat(depth));
        format!(
            r#"{{"resourceType":"Basic","code":{{"text":"x"}},"extension":[{open}{{"url":"u","valueCode":"c"}}{close}]}}"#
        )
    };
    fhir.raw("POST", "Basic", &[], nested(60)).await.check(201);
    fhir.raw("POST", "Basic", &[], nested(70)).await.check_outcome(400, "structure", "nests deeper than 128");
    let (longest, longer) = ("a".repeat(64), "a".repeat(65));
    fhir.put(&json!({ "resourceType": "Basic", "code": { "text": "x" }, "id": longest })).await.check(201);
    fhir.put(&json!({ "resourceType": "Basic", "code": { "text": "x" }, "id": longer }))
        .await
        .check_outcome(400, "value", "1 to 64");
}

/// What a client that knows R4 by heart would try, and what it is told.
const REFUSED: &[(&str, &str, &str, &str, u16, &str, &str)] = &[
    ("GET", "Patient/p", "accept: text/turtle", "", 406, "not-supported", "application/fhir+json"),
    ("GET", "Patient/p", "accept: application/fhir+json; fhirVersion=3.0", "", 406, "not-supported", "FHIR 4.0"),
    ("GET", "Patient/p?_format=ttl", "", "", 406, "not-supported", "_format"),
    ("GET", "Patient/p?_pretty=yes", "", "", 400, "value", "`true` or `false`"),
    ("GET", "Patient/none", "", "", 404, "not-found", "no resource"),
    ("GET", "Patient/a_b", "", "", 400, "value", "1 to 64"),
    ("GET", "Patients/p", "", "", 404, "not-found", "no resource type"),
    ("GET", "Patient/p/a/b/c", "", "", 404, "not-found", "[type]/[id]"),
    ("GET", "$export", "", "", 404, "not-found", "no operation"),
    ("GET", "Patient/p", "if-none-match: 1", "", 400, "value", "entity tag"),
    ("PATCH", "Patient/p", "content-type: application/xml-patch+xml", "", 415, "not-supported", "json-patch+json"),
    ("PATCH", "Patient/none", "content-type: application/json-patch+json", "[]", 404, "not-found", "no resource"),
    (
        "PATCH",
        "Patient/p?active=true",
        "content-type: application/json-patch+json",
        "[]",
        400,
        "not-supported",
        "`active`",
    ),
    ("DELETE", "Patient/p?active=true", "", "", 400, "not-supported", "`active`"),
    ("DELETE", "Patient", "", "", 400, "value", "at least one search parameter"),
    ("PUT", "", "", "", 405, "not-supported", "POST"),
    ("POST", "Patient", "", "", 400, "structure", "empty"),
    ("POST", "Patient", "", "[]", 400, "structure", "not a JSON object"),
    ("POST", "Patient", "", "{\"resourceType\":\"Patient\"", 400, "structure", "line 1, column 25"),
    ("POST", "Patient", "", r#"{"resourceType":"Patient","active":true,"active":true}"#, 400, "structure", "twice"),
    ("POST", "Patient", "", r#"{"resourceType":"Patient","name":null}"#, 400, "structure", "`null`"),
    ("POST", "Patient", "", r#"{"active":true}"#, 400, "required", "`resourceType`"),
    ("POST", "Patient", "", r#"{"resourceType":"Observation"}"#, 400, "invariant", "Observation"),
    ("POST", "Patient", "content-type: text/plain", "{}", 415, "not-supported", "application/fhir+json"),
    ("POST", "Patient", "content-encoding: br", "{}", 415, "not-supported", "gzip"),
    ("POST", "Patient", "content-encoding: gzip", "{}", 400, "structure", "unpacked"),
    (
        "POST",
        "Patient",
        "if-none-exist: shoe-size=43",
        r#"{"resourceType":"Patient"}"#,
        400,
        "not-supported",
        "shoe-size",
    ),
    (
        "PUT",
        "Patient/q",
        "if-none-exist: active=true",
        r#"{"resourceType":"Patient","id":"q"}"#,
        400,
        "not-supported",
        "`If-None-Exist`",
    ),
    ("DELETE", "Patient/p", "if-none-exist: active=true", "", 400, "not-supported", "`If-None-Exist`"),
    ("POST", "Patient", "if-none-exist: name=Müller", r#"{"resourceType":"Patient"}"#, 400, "value", "Percent-encode"),
    ("PUT", "Patient/p", "", r#"{"resourceType":"Patient"}"#, 400, "invariant", "`id`"),
    ("PUT", "Patient/p", "", r#"{"resourceType":"Patient","id":"q"}"#, 400, "invariant", "`id`"),
    ("PUT", "Patient", "", r#"{"resourceType":"Patient"}"#, 400, "value", "at least one"),
    ("POST", "", "", r#"{"resourceType":"Patient"}"#, 400, "value", "takes a Bundle"),
    (
        "POST",
        "Patient?identifier=urn:x%7C1",
        "",
        r#"{"resourceType":"Patient"}"#,
        400,
        "not-supported",
        "`If-None-Exist`",
    ),
    ("GET", "Patient/p?active=true", "", "", 400, "not-supported", "`active`"),
    ("GET", "Patient/p/_history/1?active=true", "", "", 400, "not-supported", "`active`"),
    ("PUT", "Patient/q?active=true", "", r#"{"resourceType":"Patient","id":"q"}"#, 400, "not-supported", "`active`"),
    ("POST", "", "", r#"{"resourceType":"Bundle","type":"history"}"#, 400, "value", "`transaction`"),
    ("POST", "Patient/_search", "content-type: text/plain", "name=x", 415, "not-supported", "x-www-form-urlencoded"),
];

#[tokio::test]
async fn every_refusal_is_an_outcome_that_says_how_to_mend_it() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    fhir.put(&json!({ "resourceType": "Patient", "id": "p", "name": [{ "family": "Secret" }] })).await.check(201);
    for (method, path, header, body, status, code, says) in REFUSED {
        let headers: Vec<_> = header.split_once(": ").into_iter().collect();
        let refused = fhir.raw(method, path, &headers, *body).await.check_outcome(*status, code, says);
        for leak in ["Secret", "SELECT", "sqlite", "panicked", ".rs"] {
            assert!(!refused.text.contains(leak), "{method} {path}: {refused:?}");
        }
    }
    let twice = [("if-none-exist", "name=a"), ("if-none-exist", "name=b")];
    let refused = fhir.raw("POST", "Patient", &twice, r#"{"resourceType":"Patient"}"#).await;
    refused.check_outcome(400, "value", "more than once");
    for accept in
        ["*/*", "application/json", "application/fhir+json; fhirVersion=4.0", "text/html, application/*;q=0.1"]
    {
        fhir.raw("GET", "Patient/p", &[("accept", accept)], "").await.check(200);
    }
    for format in ["json", "application/json", "application/fhir%2Bjson", "application/fhir+json"] {
        for path in ["Patient/p", "Patient", "metadata", "Patient/p/_history"] {
            fhir.raw("GET", &format!("{path}?_format={format}"), &[("accept", "text/xml")], "").await.check(200);
        }
    }
    assert_eq!(
        fhir.get("Patient/p").await.check(200).header("etag"),
        "W/\"1\"",
        "nothing that was refused has written"
    );
    let options = fhir.raw("OPTIONS", "Patient/p", &[], "").await.check(204);
    assert_eq!(options.header("allow"), "GET, HEAD, PUT, PATCH, DELETE, OPTIONS");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_with_an_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}request_timeout = 1\n"));
    let entries: Vec<Value> = (0..2_000)
        .map(
            |_| json!({ "resource": { "resourceType": "Patient" }, "request": { "method": "POST", "url": "Patient" } }),
        )
        .collect();
    let answer = product.fhir().bundle("batch", &entries).await.check_outcome(503, "timeout", "did not finish");
    assert_ne!(answer.header("retry-after"), "");
}

/// All at once, on connections of their own.
async fn at_once<T>(tasks: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures_util::future::join_all(tasks).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_clients_at_once_one_creates_and_one_updates() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let body = r#"{"resourceType":"Patient","identifier":[{"system":"s","value":"1"}]}"#;
    let clients: Vec<Fhir> = (0..20).map(|_| product.fhir()).collect();
    let condition = [("if-none-exist", "identifier=s|1")];
    let created = at_once(clients.iter().map(|fhir| fhir.raw("POST", "Patient", &condition, body))).await;
    assert_eq!(created.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(created.iter().filter(|answer| answer.status == 200).count(), 19);
    let found = clients[0].ids("Patient?identifier=s|1", "match").await;
    let [id] = found.as_slice() else { panic!("{found:?}") };

    let body = body.replacen('{', &format!(r#"{{"id":"{id}","#), 1);
    let path = format!("Patient/{id}");
    let condition = [("if-match", "W/\"1\"")];
    let updated = at_once(clients.iter().map(|fhir| fhir.raw("PUT", &path, &condition, body.clone()))).await;
    assert_eq!(updated.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(updated.iter().filter(|answer| answer.status == 412).count(), 19);
    assert_eq!(clients[0].get(&path).await.header("etag"), "W/\"2\"");
}
