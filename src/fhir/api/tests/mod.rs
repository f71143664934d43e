use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::router;
use super::state::{ApiSettings, ApiState, MOUNT};
use crate::clock::Clock;
use crate::database::Database;
use crate::fhir::store::sqlite::{SCHEMA, SqliteStore};
use crate::fhir::terminology;

mod bundles;
mod lastn;
mod operations;
mod reindex;

/// The service on an empty store.
struct Bench {
    router: Router,
    state: ApiState,
    clock: Clock,
    _directory: tempfile::TempDir,
}

/// An answer, read.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, 1 << 26).await.unwrap().to_vec()).unwrap();
        Self { status: parts.status, headers: parts.headers, text }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The issue code of an OperationOutcome.
    #[track_caller]
    fn issue(&self) -> String {
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{self:?}");
        assert!(self.header("content-type").starts_with("application/fhir+json"));
        outcome["issue"][0]["code"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn check(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    #[track_caller]
    fn check_issue(self, status: u16, issue: &str) -> Self {
        let answer = self.check(status);
        assert_eq!(answer.issue(), issue, "{answer:?}");
        answer
    }
}

impl Bench {
    async fn new() -> Self {
        Self::with(ApiSettings::default()).await
    }

    async fn with(settings: ApiSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
        let clock = Clock::stopped("2026-01-02T03:04:05.678Z".parse().unwrap());
        let store = SqliteStore::open(database, clock.clone()).await.unwrap();
        let store = store.with_terminology(terminology::search::codes);
        let state = ApiState::new(Arc::new(store), &clock, settings);
        Self { router: router(state.clone()), state, clock, _directory: directory }
    }

    /// Sends a request; headers as `Name: value`, one a line.
    async fn send(&self, method: &str, path: &str, headers: &str, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{MOUNT}{path}"));
        for line in headers.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let headers = request.headers_mut().unwrap();
        headers.entry("host").or_insert_with(|| "localhost:8080".parse().unwrap());
        headers.entry("content-type").or_insert_with(|| "application/fhir+json".parse().unwrap());
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        Answer::of(response).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", Body::empty()).await
    }

    async fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, "", body.to_owned()).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, "", body.to_owned()).await
    }

    async fn count(&self, search: &str) -> u64 {
        let separator = if search.contains('?') { '&' } else { '?' };
        self.get(&format!("{search}{separator}_total=accurate")).await.check(200).json()["total"].as_u64().unwrap()
    }
}

fn patient(id: &str) -> String {
    format!(r#"{{"resourceType":"Patient","id":"{id}","active":true}}"#)
}

fn identified(value: &str) -> String {
    format!(r#"{{"resourceType":"Patient","identifier":[{{"system":"urn:x","value":"{value}"}}]}}"#)
}

#[tokio::test]
async fn what_is_created_is_read_back_as_sent_under_an_id_of_the_server() {
    let bench = Bench::new().await;
    let sent = r#"{"resourceType":"Observation","id":"mine","meta":{"tag":[{"code":"t"}],"versionId":"9"},"status":"final","code":{"text":"x"},"valueQuantity":{"value":65.00}}"#;
    let created = bench.post("/Observation", sent).await.check(201);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_ne!(id, "mine");
    assert_eq!(created.header("location"), format!("http://localhost:8080/fhir/Observation/{id}/_history/1"));
    assert_eq!(created.header("etag"), r#"W/"1""#);
    assert_eq!(created.header("last-modified"), "Fri, 02 Jan 2026 03:04:05 GMT");
    let read = bench.get(&format!("/Observation/{id}")).await.check(200);
    assert_eq!(
        read.text,
        format!(
            r#"{{"resourceType":"Observation","id":"{id}","meta":{{"versionId":"1","lastUpdated":"2026-01-02T03:04:05.678Z","tag":[{{"code":"t"}}]}},"status":"final","code":{{"text":"x"}},"valueQuantity":{{"value":65.00}}}}"#
        )
    );
    assert_eq!(read.header("content-type"), "application/fhir+json; charset=utf-8");
    assert_eq!(read.header("etag"), r#"W/"1""#);
}

#[tokio::test]
async fn a_put_creates_then_updates_and_every_version_stays() {
    let bench = Bench::new().await;
    let created = bench.put("/Patient/a", &patient("a")).await.check(201);
    assert_eq!(created.header("location"), "http://localhost:8080/fhir/Patient/a/_history/1");
    let updated = bench.put("/Patient/a", r#"{"resourceType":"Patient","id":"a","active":false}"#).await.check(200);
    assert_eq!(updated.header("etag"), r#"W/"2""#);
    assert_eq!(bench.get("/Patient/a").await.json()["active"], false);
    assert_eq!(bench.get("/Patient/a/_history/1").await.check(200).json()["active"], true);
    assert_eq!(bench.get("/Patient/a/_history/2").await.check(200).header("etag"), r#"W/"2""#);
    bench.get("/Patient/a/_history/3").await.check_issue(404, "not-found");
    bench.get("/Patient/a/_history/x").await.check_issue(404, "not-found");
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_what_never_was_is_not_found() {
    let bench = Bench::new().await;
    bench.put("/Patient/a", &patient("a")).await.check(201);
    let deleted = bench.send("DELETE", "/Patient/a", "", "").await.check(204);
    assert_eq!(deleted.header("etag"), r#"W/"2""#);
    assert_eq!(deleted.text, "");
    bench.get("/Patient/a").await.check_issue(410, "deleted");
    bench.get("/Patient/a/_history/2").await.check_issue(410, "deleted");
    bench.get("/Patient/a/_history/1").await.check(200);
    bench.send("DELETE", "/Patient/a", "", "").await.check(204);
    bench.send("DELETE", "/Patient/b", "", "").await.check(204);
    bench.get("/Patient/b").await.check_issue(404, "not-found");
    assert_eq!(bench.put("/Patient/a", &patient("a")).await.check(201).header("etag"), r#"W/"3""#);
}

#[tokio::test]
async fn the_body_of_a_put_has_the_type_and_the_id_of_the_url() {
    let bench = Bench::new().await;
    bench.put("/Patient/a", &patient("b")).await.check_issue(400, "invariant");
    bench.put("/Patient/a", r#"{"resourceType":"Patient"}"#).await.check_issue(400, "invariant");
    bench.put("/Device/a", &patient("a")).await.check_issue(400, "invariant");
    bench.post("/Device", &patient("a")).await.check_issue(400, "invariant");
    bench.put("/Patient/a_b", &patient("a_b")).await.check_issue(400, "value");
    let long = "a".repeat(65);
    bench.put(&format!("/Patient/{long}"), &patient(&long)).await.check_issue(400, "value");
    let longest = "a".repeat(64);
    bench.put(&format!("/Patient/{longest}"), &patient(&longest)).await.check(201);
}

#[tokio::test]
async fn bad_bodies_are_refused_with_a_place() {
    let bench = Bench::new().await;
    let refused = bench.post("/Patient", "{\"resourceType\":\"Patient\",\n}").await.check_issue(400, "structure");
    assert!(refused.text.contains("line 2"), "{refused:?}");
    let refused = bench.post("/Patient", r#"{"resourceType":"Patient","name":[{"family":null}]}"#).await;
    assert_eq!(refused.check_issue(400, "structure").json()["issue"][0]["expression"][0], "Patient.name[0].family");
    bench.send("POST", "/Patient", "", vec![b'{', 0xff]).await.check_issue(400, "structure");
    bench.post("/Patient", "").await.check_issue(400, "structure");
}

#[tokio::test]
async fn if_match_is_honoured_on_every_write() {
    let bench = Bench::new().await;
    bench.put("/Patient/a", &patient("a")).await.check(201);
    let put = |tag| bench.send("PUT", "/Patient/a", tag, patient("a"));
    put("If-Match: W/\"7\"").await.check_issue(412, "conflict");
    put("If-Match: nonsense").await.check_issue(400, "value");
    put("If-Match: W/\"1\"").await.check(200);
    let delete = |tag| bench.send("DELETE", "/Patient/a", tag, "");
    delete("If-Match: W/\"1\"").await.check_issue(412, "conflict");
    delete("If-Match: 1").await.check_issue(400, "value");
    bench.send("PUT", "/Patient/b", "If-Match: W/\"1\"", patient("b")).await.check_issue(412, "conflict");
    bench.get("/Patient/b").await.check(404);
    delete("If-Match: W/\"2\"").await.check(204);
    put("If-Match: W/\"3\"").await.check_issue(412, "conflict");
}

#[tokio::test]
async fn if_none_match_on_a_put_only_creates() {
    let bench = Bench::new().await;
    let put = || bench.send("PUT", "/Patient/a", "If-None-Match: *", patient("a"));
    put().await.check(201);
    put().await.check_issue(412, "conflict");
    assert_eq!(bench.get("/Patient/a").await.header("etag"), r#"W/"1""#);
}

#[tokio::test]
async fn a_read_of_what_the_client_has_is_304_with_the_tag() {
    let bench = Bench::new().await;
    bench.put("/Patient/a", &patient("a")).await.check(201);
    for condition in [
        "If-None-Match: W/\"1\"",
        "If-None-Match: \"4\", \"1\"",
        "If-None-Match: *",
        "If-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT",
    ] {
        let answer = bench.send("GET", "/Patient/a", condition, "").await.check(304);
        assert_eq!((answer.header("etag"), answer.text.as_str()), (r#"W/"1""#, ""));
    }
    for condition in [
        "If-None-Match: W/\"2\"",
        "If-None-Match: W/\"2\"\nIf-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT",
        "If-Modified-Since: Fri, 02 Jan 2026 03:04:04 GMT",
        "If-Modified-Since: yesterday",
    ] {
        bench.send("GET", "/Patient/a", condition, "").await.check(200);
    }
}

#[tokio::test]
async fn the_client_chooses_what_comes_back() {
    let bench = Bench::new().await;
    let put = |prefer| bench.send("PUT", "/Patient/a", prefer, patient("a"));
    assert_eq!(put("Prefer: return=minimal").await.check(201).text, "");
    assert_eq!(put("Prefer: return=representation").await.check(200).json()["id"], "a");
    assert_eq!(put("Prefer: return=OperationOutcome").await.check(200).issue(), "informational");
    assert_eq!(put("Prefer: handling=strict; return=minimal").await.check(200).text, "");
}

#[tokio::test]
async fn history_is_newest_first_and_paged_while_versions_come() {
    let bench = Bench::new().await;
    let created = bench.post("/Patient", &patient("x")).await.check(201);
    let path = format!("/Patient/{}", created.json()["id"].as_str().unwrap());
    let body = patient(path.strip_prefix("/Patient/").unwrap());
    bench.clock.advance_to("2026-02-01T00:00:00Z".parse().unwrap());
    bench.put(&path, &body).await.check(200);
    bench.send("DELETE", &path, "", "").await.check(204);
    let whole = bench.get(&format!("{path}/_history")).await.check(200).json();
    assert_eq!((&whole["type"], &whole["total"]), (&json!("history"), &json!(3)));
    let first = bench.get(&format!("{path}/_history?_count=2")).await.check(200).json();
    let tags = |bundle: &Value| -> Vec<String> {
        let entries = bundle["entry"].as_array().unwrap().iter();
        entries
            .map(|entry| {
                let (request, response) = (&entry["request"], &entry["response"]);
                format!("{} {} {}", request["method"], response["status"], response["etag"]).replace('"', "")
            })
            .collect()
    };
    assert_eq!(tags(&first), [r"DELETE 204 W/\3\", r"PUT 200 W/\2\"]);
    assert!(first["entry"][0]["resource"].is_null());
    bench.put(&path, &body).await.check(201);
    let next = first["link"][2]["url"].as_str().unwrap().strip_prefix("http://localhost:8080/fhir").unwrap();
    let second = bench.get(next).await.check(200).json();
    assert_eq!(tags(&second), [r"POST 201 W/\1\"]);
    assert_eq!(second["entry"][0]["resource"]["active"], true);
    let relations: Vec<&Value> = second["link"].as_array().unwrap().iter().map(|link| &link["relation"]).collect();
    assert_eq!(relations, ["self", "first"]);
    let since = bench.get(&format!("{path}/_history?_since=2026-01-15T00:00:00Z")).await.check(200).json();
    assert_eq!(tags(&since).len(), 3);
    bench.get(&format!("{path}/_history?_since=lately")).await.check_issue(400, "value");
    bench.get(&format!("{path}/_history?name=x")).await.check_issue(400, "not-supported");
    bench.get("/Patient/never/_history").await.check_issue(404, "not-found");
}

#[tokio::test]
async fn a_conditional_create_writes_only_what_is_not_there() {
    let bench = Bench::new().await;
    let create = |condition: &'static str| bench.send("POST", "/Patient", condition, identified("1"));
    let created = create("If-None-Exist: identifier=urn:x|1").await.check(201);
    let found = create("If-None-Exist: identifier=urn:x|1").await.check(200);
    assert_eq!(found.json()["id"], created.json()["id"]);
    create("If-None-Exist: identifier=urn:x|2").await.check(201);
    create("If-None-Exist: identifier=urn:x|1").await.check_issue(412, "multiple-matches");
    create("If-None-Exist: shoe-size=43").await.check_issue(400, "not-supported");
    create("If-None-Exist: _format=json").await.check(400);
    create("If-None-Exist:  ").await.check(400);
    assert_eq!(bench.count("/Patient").await, 2);
}

#[tokio::test]
async fn twenty_conditional_creates_at_once_make_one_resource() {
    let bench = Bench::new().await;
    let creates = (0..20).map(|_| bench.send("POST", "/Patient", "If-None-Exist: identifier=urn:x|1", identified("1")));
    let answers = futures_util::future::join_all(creates).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 19, "{statuses:?}");
    assert_eq!(bench.count("/Patient?identifier=urn:x|1").await, 1);
}

#[tokio::test]
async fn a_conditional_update_writes_what_the_search_finds() {
    let bench = Bench::new().await;
    let path = "/Patient?identifier=urn:x%7C1";
    let created = bench.put(path, &identified("1")).await.check(201);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let updated = bench.put(path, &identified("1")).await.check(200);
    assert_eq!(updated.json()["id"], id.as_str());
    assert_eq!(updated.header("etag"), r#"W/"2""#);
    let with_id = |id: &str| identified("1").replace(r#""Patient","#, &format!(r#""Patient","id":"{id}","#));
    bench.put(path, &with_id(&id)).await.check(200);
    bench.put(path, &with_id("other")).await.check_issue(400, "invariant");
    let elsewhere = "/Patient?identifier=urn:x%7C9";
    bench.put(elsewhere, &with_id(&id)).await.check_issue(409, "conflict");
    bench.put(elsewhere, &with_id("chosen")).await.check(201);
    bench.get("/Patient/chosen").await.check(200);
    bench.put(path, &identified("1")).await.check_issue(412, "multiple-matches");
    bench.put("/Patient", &identified("1")).await.check(400);
    bench.put("/Patient?colour=red", &identified("1")).await.check_issue(400, "not-supported");
    let stale = bench.send("PUT", "/Patient?_id=chosen", "If-Match: W/\"5\"", with_id("chosen")).await;
    stale.check_issue(412, "conflict");
}

#[tokio::test]
async fn a_conditional_update_that_only_creates_is_told_that_there_is_one_before_its_id_is_looked_at() {
    let bench = Bench::new().await;
    let with_id = |id: &str| identified("1").replace(r#""Patient","#, &format!(r#""Patient","id":"{id}","#));
    let create = |id: &str| bench.send("PUT", "/Patient?identifier=urn:x%7C1", "If-None-Match: *", with_id(id));
    let created = create("a").await.check(201);
    assert_eq!((&created.json()["id"], created.header("etag")), (&"a".into(), r#"W/"1""#));
    create("a").await.check_issue(412, "conflict");
    create("b").await.check_issue(412, "conflict");
    bench.put("/Patient/b", &with_id("b")).await.check(201);
    create("c").await.check_issue(412, "multiple-matches");
    let elsewhere = bench.send("PUT", "/Patient?identifier=urn:x%7C9", "If-None-Match: *", with_id("a"));
    elsewhere.await.check_issue(409, "conflict");
    assert_eq!(bench.count("/Patient").await, 2);
}

#[tokio::test]
async fn every_error_of_routing_is_an_outcome() {
    let bench = Bench::new().await;
    bench.put("/Patient/a", &patient("a")).await.check(201);
    bench.get("/Pateint/a").await.check_issue(404, "not-found");
    bench.get("/Patient/a/b/c/d").await.check_issue(404, "not-found");
    bench.get("/Patient/%ff").await.check_issue(404, "not-found");
    bench.get("/Patient/a%20b").await.check_issue(400, "value");
    for (method, path, allow) in [
        ("PUT", "/Patient/a/_history/1", "GET, HEAD, OPTIONS"),
        ("DELETE", "/Patient/a/_history/1", "GET, HEAD, OPTIONS"),
        ("PATCH", "/Patient/a/_history/1", "GET, HEAD, OPTIONS"),
        ("POST", "/Patient/a", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("POST", "/metadata", "GET, HEAD, OPTIONS"),
        ("PUT", "/", "GET, HEAD, POST, OPTIONS"),
        ("DELETE", "", "GET, HEAD, POST, OPTIONS"),
    ] {
        let answer = bench.send(method, path, "", patient("a")).await.check_issue(405, "not-supported");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
        let options = bench.send("OPTIONS", path, "", "").await.check(204);
        assert_eq!(options.header("allow"), allow, "{path}");
    }
    assert_eq!(bench.get("/Patient/a").await.check(200).header("etag"), r#"W/"1""#);
}

#[tokio::test]
async fn bodies_have_a_bound() {
    let bench = Bench::with(ApiSettings { body_bytes_max: 100, ..ApiSettings::default() }).await;
    bench.post("/Patient", &patient("b")).await.check(201);
    bench.post("/Patient", &patient(&"b".repeat(100))).await.check_issue(413, "too-long");
    bench
        .send("POST", "/Patient/_search", "Content-Type: application/x-www-form-urlencoded", "a".repeat(101))
        .await
        .check_issue(413, "too-long");
}

#[tokio::test]
async fn links_begin_with_the_configured_base_or_the_host_that_was_asked() {
    let bench = Bench::with(ApiSettings {
        base_url: Some("https://fhir.example.org/r4/".to_owned()),
        ..ApiSettings::default()
    })
    .await;
    let created = bench.put("/Patient/a", &patient("a")).await.check(201);
    assert_eq!(created.header("location"), "https://fhir.example.org/r4/Patient/a/_history/1");
    let bench = Bench::new().await;
    bench.send("PUT", "/Patient/a", "Host: evil\"host", patient("a")).await.check_issue(400, "required");
}

#[tokio::test]
async fn a_panic_is_an_outcome_too() {
    let bench = Bench::new().await;
    let routes = Router::new().route("/fhir/fault", axum::routing::get(async || -> Response { panic!("a fault") }));
    let bench = Bench { router: super::served(routes, bench.state.clone()), ..bench };
    bench.get("/fault").await.check_issue(500, "exception");
    let in_xml = bench.send("GET", "/fault", "Accept: application/fhir+xml", Body::empty()).await.check(500);
    assert!(in_xml.text.contains("<OperationOutcome"), "{in_xml:?}");
}

#[tokio::test]
async fn capabilities_say_what_exists() {
    let bench = Bench::new().await;
    let statement = bench.get("/metadata").await.check(200).json();
    assert_eq!(statement["resourceType"], "CapabilityStatement");
    assert_eq!(statement["fhirVersion"], "4.0.1");
    assert_eq!(statement["implementation"]["url"], "http://localhost:8080/fhir");
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    assert_eq!(resources.len(), 146);
    let observation = resources.iter().find(|resource| resource["type"] == "Observation").unwrap();
    let parameters = observation["searchParam"].as_array().unwrap();
    let parameter = |name: &str| parameters.iter().find(|parameter| parameter["name"] == name);
    assert_eq!(parameter("code").unwrap()["type"], "token");
    assert_eq!(parameter("date").unwrap()["type"], "date");
    // A parameter that is announced is one that a search takes.
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap();
        let value = match parameter["type"].as_str().unwrap() {
            "date" => "2026",
            "number" | "quantity" => "1",
            "reference" => "Patient/1",
            "composite" if name.ends_with("-quantity") => "x$1",
            "composite" if name.ends_with("-date") => "x$2026",
            "composite" => "x$x",
            _ => "x",
        };
        bench.get(&format!("/Observation?{name}={value}")).await.check(200);
    }
}
