//! A FHIR server for the tests of stages: resources in memory, batch Bundles, conditions on writes, faults on demand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::authentication::Authentication;
use super::connection::ConnectionSettings;
use super::retry::RetrySettings;
use super::{ClientSettings, FhirClient, Link, LinkSettings};

/// What the server does wrong, once.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answers the Bundle with this status and leaves everything as it is.
    Refuse(u16),
    /// Does all that was asked, and breaks off the answer.
    LoseAnswer,
    /// Answers the first entry of the Bundle with this status and processes the others.
    RefuseFirstEntry(u16),
    /// Finds nothing of this type, as if it were created a moment later.
    Overlook(&'static str),
    /// Has lost all resources when the Bundle arrives.
    ForgetAll,
    /// Knows no conditions.
    WriteAnyway,
    /// Nothing.
    None,
}

#[derive(Default)]
struct Inner {
    resources: BTreeMap<String, (u64, Value)>,
    faults: VecDeque<Fault>,
    /// Number of entries of each Bundle that arrived.
    bundles: Vec<usize>,
    entries_max: Option<usize>,
    /// Entries whose body contains this text are refused with this status.
    unwelcome: Option<(String, u16)>,
    /// Entries whose body contains this text are put off with 503.
    put_off: Option<&'static str>,
    /// Searches find whatever value begins as the one searched, a hit on each page.
    searches_loosely: bool,
    /// Searches do not find what was written since, because the index lags.
    hidden_from_search: bool,
    /// What searches found, by their URL: the answer to the next ones that do not ask for a fresh one, as HAPI has it.
    remembered: BTreeMap<String, Value>,
}

#[derive(Clone)]
pub(crate) struct TestServer {
    inner: Arc<Mutex<Inner>>,
    base_url: url::Url,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/fhir", listener.local_addr().unwrap()).parse().unwrap();
        let server = Self { inner: Arc::default(), base_url };
        let router = Router::new().route("/fhir", post(answer)).with_state(server.clone());
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// A server that nothing listens for, to be asked entry by entry.
    pub(crate) fn offline() -> Self {
        Self { inner: Arc::default(), base_url: "http://simulated/fhir".parse().unwrap() }
    }

    /// The answer to one entry of a Bundle, as an entry of its response.
    pub(crate) fn answer_to(&self, entry: &Value) -> Value {
        process(&mut self.inner.lock().unwrap(), entry)
    }

    /// The version of each resource.
    pub(crate) fn versions(&self) -> BTreeMap<String, u64> {
        let inner = self.inner.lock().unwrap();
        inner.resources.iter().map(|(url, (version, _))| (url.clone(), *version)).collect()
    }

    pub(crate) fn link(&self, give_up: &CancellationToken) -> Arc<Link> {
        let client = FhirClient::new(&ClientSettings {
            base_url: self.base_url.clone(),
            authentication: Authentication::None,
            connection: ConnectionSettings {
                request_timeout: Duration::from_secs(30),
                connect_timeout: Duration::from_secs(30),
                authorities: None,
                identity: None,
            },
        });
        let millisecond = Duration::from_millis(1);
        let retry = RetrySettings { pause_first: millisecond, pause_max: millisecond, pause_halted: millisecond };
        let settings = LinkSettings { entries_max: 500, bytes_max: 1 << 20, retry, dice: || 0 };
        Arc::new(Link::new(Arc::from("wards"), client.unwrap(), settings, give_up.clone()))
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.inner.lock().unwrap().faults.push_back(fault);
    }

    pub(crate) fn refuse_bundles_larger_than(&self, entries_max: usize) {
        self.inner.lock().unwrap().entries_max = Some(entries_max);
    }

    pub(crate) fn refuse_bodies_with(&self, text: &str, status: u16) {
        self.inner.lock().unwrap().unwelcome = Some((text.to_owned(), status));
    }

    pub(crate) fn overload_bodies_with(&self, text: Option<&'static str>) {
        self.inner.lock().unwrap().put_off = text;
    }

    pub(crate) fn search_loosely(&self) {
        self.inner.lock().unwrap().searches_loosely = true;
    }

    pub(crate) fn hide_from_search(&self) {
        self.inner.lock().unwrap().hidden_from_search = true;
    }

    pub(crate) fn store(&self, url: &str, resource: Value) {
        put(&mut self.inner.lock().unwrap(), url, resource);
    }

    pub(crate) fn remove(&self, url: &str) {
        self.inner.lock().unwrap().resources.remove(url);
    }

    pub(crate) fn resource(&self, url: &str) -> Option<(u64, Value)> {
        self.inner.lock().unwrap().resources.get(url).cloned()
    }

    pub(crate) fn resources(&self, resource_type: &str) -> Vec<(u64, Value)> {
        let inner = self.inner.lock().unwrap();
        let of_type = |url: &&String| url.split('/').next() == Some(resource_type);
        inner.resources.iter().filter(|(url, _)| of_type(url)).map(|(_, stored)| stored.clone()).collect()
    }

    /// Numbers of entries of the Bundles that arrived.
    pub(crate) fn bundles(&self) -> Vec<usize> {
        self.inner.lock().unwrap().bundles.clone()
    }
}

async fn answer(State(server): State<TestServer>, headers: HeaderMap, body: Bytes) -> Response {
    let asks_afresh = headers.get("cache-control").is_some_and(|value| value == "no-cache");
    let bundle: Value = serde_json::from_slice(&body).unwrap();
    let entries = bundle["entry"].as_array().unwrap();
    let mut inner = server.inner.lock().unwrap();
    inner.bundles.push(entries.len());
    if inner.entries_max.is_some_and(|entries_max| entries.len() > entries_max) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let fault = inner.faults.pop_front();
    if let Some(Fault::Refuse(status)) = fault {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    if let Some(Fault::ForgetAll) = fault {
        inner.resources.clear();
    }
    let mut answers = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        answers.push(match fault {
            Some(Fault::RefuseFirstEntry(status)) if index == 0 => outcome(status),
            Some(Fault::Overlook(resource_type)) if searches(entry, resource_type) => searchset(&[]),
            Some(Fault::WriteAnyway) => {
                let mut entry = entry.clone();
                entry["request"].as_object_mut().unwrap().retain(|name, _| !name.starts_with("if"));
                process(&mut inner, &entry)
            }
            _ if asks_afresh => process(&mut inner, entry),
            _ => process_or_remember(&mut inner, entry),
        });
    }
    if let Some(Fault::LoseAnswer) = fault {
        let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("lost"))]);
        return Body::from_stream(broken).into_response();
    }
    axum::Json(json!({"resourceType": "Bundle", "type": "batch-response", "entry": answers})).into_response()
}

fn process_or_remember(inner: &mut Inner, entry: &Value) -> Value {
    let answer = process(inner, entry);
    let url = entry["request"]["url"].as_str().unwrap();
    if entry["request"]["method"] != "GET" || !url.contains('?') {
        return answer;
    }
    inner.remembered.entry(url.to_owned()).or_insert(answer).clone()
}

fn process(inner: &mut Inner, entry: &Value) -> Value {
    let url = entry["request"]["url"].as_str().unwrap();
    if entry["request"]["method"] == "GET" {
        return match url.split_once("?identifier=") {
            Some((resource_type, query)) => search(inner, resource_type, query),
            None => read(inner, url),
        };
    }
    let text = entry["resource"].to_string();
    if let Some((_, status)) = inner.unwelcome.as_ref().filter(|(unwelcome, _)| text.contains(unwelcome)) {
        return outcome(*status);
    }
    if inner.put_off.is_some_and(|text| entry["resource"].to_string().contains(text)) {
        return outcome(503);
    }
    let request = &entry["request"];
    let own_url;
    let (url, found) = match url.split_once("?identifier=") {
        Some((resource_type, token)) => {
            own_url = format!("{resource_type}/{}", entry["resource"]["id"].as_str().unwrap());
            (own_url.as_str(), !hits(inner, resource_type, token).is_empty())
        }
        None => (url, false),
    };
    let version = inner.resources.get(url).map(|(version, _)| *version);
    let taken = request["ifNoneMatch"] == "*" && (found || version.is_some());
    let stale = request["ifMatch"].as_str().is_some_and(|etag| version.map(etag_of).as_deref() != Some(etag));
    if taken || stale {
        return outcome(412);
    }
    let written = put(inner, url, entry["resource"].clone());
    let status = if written == 1 { "201 Created" } else { "200 OK" };
    json!({"response": {"status": status, "etag": etag_of(written)}})
}

fn etag_of(version: u64) -> String {
    format!("W/\"{version}\"")
}

fn outcome(status: u16) -> Value {
    let outcome = json!({"resourceType": "OperationOutcome", "issue": [{"code": "processing", "diagnostics": "no"}]});
    json!({"response": {"status": status.to_string(), "outcome": outcome}})
}

fn put(inner: &mut Inner, url: &str, mut resource: Value) -> u64 {
    let version = inner.resources.get(url).map_or(0, |(version, _)| *version) + 1;
    resource["id"] = json!(url.split('/').next_back().unwrap());
    resource["meta"]["versionId"] = version.to_string().into();
    inner.resources.insert(url.to_owned(), (version, resource));
    version
}

fn read(inner: &Inner, url: &str) -> Value {
    match inner.resources.get(url) {
        Some((version, resource)) => {
            json!({"resource": resource, "response": {"status": "200", "etag": etag_of(*version)}})
        }
        None => outcome(404),
    }
}

fn search(inner: &Inner, resource_type: &str, query: &str) -> Value {
    let (token, page) = query.split_once("&page=").unwrap_or((query, "0"));
    let page: usize = page.parse().unwrap();
    let mut found = hits(inner, resource_type, token);
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset"});
    if inner.searches_loosely && page + 1 < found.len() {
        let next = format!("{resource_type}?identifier={token}&page={}", page + 1);
        bundle["link"] = json!([{"relation": "self", "url": "x"}, {"relation": "next", "url": next}]);
    }
    if inner.searches_loosely {
        found = found.into_iter().skip(page).take(1).collect();
    }
    bundle["entry"] = found.into_iter().map(|resource| json!({"resource": resource})).collect();
    json!({"resource": bundle, "response": {"status": "200"}})
}

fn hits(inner: &Inner, resource_type: &str, token: &str) -> Vec<Value> {
    let token = percent_encoding::percent_decode_str(token).decode_utf8().unwrap().into_owned();
    let (system, value) = token.split_once('|').map_or((None, token.as_str()), |(system, value)| (Some(system), value));
    let fits = |resource: &Value| {
        resource["identifier"].as_array().is_some_and(|identifiers| {
            identifiers.iter().any(|identifier| {
                let known = identifier["value"].as_str().unwrap();
                let is_value = known == value || inner.searches_loosely && known.starts_with(value);
                is_value && system.is_none_or(|system| identifier["system"] == system)
            })
        })
    };
    let of_type = |url: &str| url.split('/').next() == Some(resource_type) && !inner.hidden_from_search;
    let found = inner.resources.iter().filter(|(url, (_, resource))| of_type(url) && fits(resource));
    found.map(|(_, (_, resource))| resource.clone()).collect()
}

fn searches(entry: &Value, resource_type: &str) -> bool {
    entry["request"]["url"].as_str().unwrap().starts_with(&format!("{resource_type}?"))
}

fn searchset(entries: &[Value]) -> Value {
    json!({"resource": {"resourceType": "Bundle", "type": "searchset", "entry": entries}, "response": {"status": "200"}})
}
