//! The response Bundle, written straight to bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;

use crate::fhir::api::error::ApiError;
use crate::fhir::api::operations::Reply;
use crate::fhir::api::preconditions::etag;
use crate::fhir::api::respond::{Done, Return, self_report, version_path};
use crate::telemetry::meters::count_bundle_entries;

/// Counts entries by how they ended; those of a Bundle that fails as a whole are not counted.
fn count(outcomes: &[Outcome]) {
    let mut counts: BTreeMap<StatusCode, u64> = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry(outcome.status()).or_default() += 1;
    }
    for (status, number) in counts {
        count_bundle_entries(status.as_u16(), number);
    }
}

/// What an entry came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A write.
    Done(Done),
    /// A read or search.
    Read(Answer),
    /// Nothing.
    Failed(ApiError),
}

impl Outcome {
    fn status(&self) -> StatusCode {
        match self {
            Self::Done(done) => done.status,
            Self::Read(answer) => answer.status,
            Self::Failed(error) => error.category.status(),
        }
    }
}

/// An answer to a read or search.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// The resource or Bundle; the outcome where the status is an error.
    pub(super) body: Bytes,
    /// Entity tag of the version read.
    pub(super) etag: Option<String>,
    /// When it was written.
    pub(super) last_modified: Option<Timestamp>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { status: reply.status, body: reply.body, ..Self::default() }
    }
}

/// Writes the Bundle of this type with an entry for each outcome, in order.
pub(super) fn write(kind: &str, outcomes: &[Outcome], base_url: &str, prefer: Return) -> Vec<u8> {
    count(outcomes);
    let mut bundle = Vec::with_capacity(128 + outcomes.len() * 256);
    bundle.extend_from_slice(format!(r#"{{"resourceType":"Bundle","type":"{kind}""#).as_bytes());
    let mut separator: &[u8] = br#","entry":["#;
    for outcome in outcomes {
        bundle.extend_from_slice(separator);
        match outcome {
            Outcome::Done(done) => write_done(&mut bundle, done, base_url, prefer),
            Outcome::Read(answer) => write_answer(&mut bundle, answer),
            Outcome::Failed(error) => write_failure(&mut bundle, error),
        }
        separator = b",";
    }
    bundle.extend_from_slice(if outcomes.is_empty() { b"}" } else { b"]}" });
    bundle
}

fn write_done(bundle: &mut Vec<u8>, done: &Done, base_url: &str, prefer: Return) {
    bundle.push(b'{');
    let version = done.version.as_ref();
    if let Some(body) =
        version.and_then(|version| version.body.as_ref()).filter(|_body| prefer == Return::Representation)
    {
        extend(bundle, &[br#""resource":"#, body, b","]);
    }
    write_status(bundle, done.status);
    if let Some(version) = version {
        if version.body.is_some() {
            let path = version_path(version);
            extend(bundle, &[br#","location":""#, base_url.as_bytes(), b"/", path.as_bytes(), b"\""]);
        }
        write_version(bundle, &etag(version.number), Some(version.last_updated));
    }
    if prefer == Return::Outcome && done.status != StatusCode::NO_CONTENT {
        extend(bundle, &[br#","outcome":"#, &self_report(done.status)]);
    }
    bundle.extend_from_slice(b"}}");
}

fn write_answer(bundle: &mut Vec<u8>, answer: &Answer) {
    bundle.push(b'{');
    let is_failure = answer.status.is_client_error() || answer.status.is_server_error();
    if !answer.body.is_empty() && !is_failure {
        extend(bundle, &[br#""resource":"#, &answer.body, b","]);
    }
    write_status(bundle, answer.status);
    if let Some(etag) = &answer.etag {
        write_version(bundle, etag, answer.last_modified);
    }
    if is_failure && !answer.body.is_empty() {
        extend(bundle, &[br#","outcome":"#, &answer.body]);
    }
    bundle.extend_from_slice(b"}}");
}

fn write_failure(bundle: &mut Vec<u8>, error: &ApiError) {
    bundle.push(b'{');
    write_status(bundle, error.category.status());
    extend(bundle, &[br#","outcome":"#, &error.outcome(), b"}}"]);
}

/// Opens the member `response`.
fn write_status(bundle: &mut Vec<u8>, status: StatusCode) {
    let reason = status.canonical_reason().unwrap_or_default();
    extend(bundle, &[br#""response":{"status":""#, status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\""]);
}

/// Entity tags of this server are `W/"n"`: the quotes are the only characters to escape.
fn write_version(bundle: &mut Vec<u8>, etag: &str, last_modified: Option<Timestamp>) {
    let etag = etag.replace('"', "\\\"");
    extend(bundle, &[br#","etag":""#, etag.as_bytes(), b"\""]);
    if let Some(last_modified) = last_modified {
        bundle.extend_from_slice(format!(r#","lastModified":"{last_modified:.3}""#).as_bytes());
    }
}

fn extend(bundle: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| bundle.extend_from_slice(part));
}
