//! A FHIR server for the tests of stages: resources in memory, batch Bundles, conditions on writes, faults on demand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
}

#[derive(Default)]
struct Inner {
    resources: BTreeMap<String, (u64, Value)>,
    faults: VecDeque<Fault>,
    /// Number of entries of each Bundle that arrived.
    bundles: Vec<usize>,
    entries_max: Option<usize>,
    /// Entries whose body contains this text are refused with 422.
    unwelcome: Option<String>,
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

    pub(crate) fn link(&self, give_up: &CancellationToken) -> Arc<Link> {
        let client = FhirClient::new(&ClientSettings {
            base_url: self.base_url.clone(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            bearer_token: None,
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

    pub(crate) fn refuse_bodies_with(&self, text: &str) {
        self.inner.lock().unwrap().unwelcome = Some(text.to_owned());
    }

    pub(crate) fn store(&self, url: &str, resource: Value) {
        put(&mut self.inner.lock().unwrap(), url, resource);
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

async fn answer(State(server): State<TestServer>, body: Bytes) -> Response {
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
    let mut answers = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        answers.push(match fault {
            Some(Fault::RefuseFirstEntry(status)) if index == 0 => outcome(status),
            Some(Fault::Overlook(resource_type)) if searches(entry, resource_type) => searchset(&[]),
            _ => process(&mut inner, entry),
        });
    }
    if let Some(Fault::LoseAnswer) = fault {
        let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("lost"))]);
        return Body::from_stream(broken).into_response();
    }
    axum::Json(json!({"resourceType": "Bundle", "type": "batch-response", "entry": answers})).into_response()
}

fn process(inner: &mut Inner, entry: &Value) -> Value {
    let url = entry["request"]["url"].as_str().unwrap();
    if entry["request"]["method"] == "GET" {
        return match url.split_once("?identifier=") {
            Some((resource_type, token)) => search(inner, resource_type, token),
            None => read(inner, url),
        };
    }
    if inner.unwelcome.as_ref().is_some_and(|text| entry["resource"].to_string().contains(text)) {
        return outcome(422);
    }
    let version = inner.resources.get(url).map(|(version, _)| *version);
    let request = &entry["request"];
    let taken = request["ifNoneMatch"] == "*" && version.is_some();
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
    resource["meta"] = json!({"versionId": version.to_string()});
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

fn search(inner: &Inner, resource_type: &str, token: &str) -> Value {
    let token = percent_encoding::percent_decode_str(token).decode_utf8().unwrap().into_owned();
    let (system, value) = token.split_once('|').map_or((None, token.as_str()), |(system, value)| (Some(system), value));
    let fits = |resource: &Value| {
        resource["identifier"].as_array().is_some_and(|identifiers| {
            identifiers.iter().any(|identifier| {
                identifier["value"] == value && system.is_none_or(|system| identifier["system"] == system)
            })
        })
    };
    let matches = inner
        .resources
        .iter()
        .filter(|(url, (_, resource))| url.split('/').next() == Some(resource_type) && fits(resource));
    let entries: Vec<Value> = matches.map(|(_, (_, resource))| json!({"resource": resource})).collect();
    searchset(&entries)
}

fn searches(entry: &Value, resource_type: &str) -> bool {
    entry["request"]["url"].as_str().unwrap().starts_with(&format!("{resource_type}?"))
}

fn searchset(entries: &[Value]) -> Value {
    json!({"resource": {"resourceType": "Bundle", "type": "searchset", "entry": entries}, "response": {"status": "200"}})
}
