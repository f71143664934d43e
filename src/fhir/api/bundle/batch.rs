//! A batch: each entry for itself.

use std::collections::HashSet;

use axum::Router;
use axum::body::Body;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::header::{ETAG, HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, Method, Request as HttpRequest};
use jiff::Timestamp;
use tower::ServiceExt as _;

use super::Requests;
use super::entry::{Action, Change, Read, Request};
use super::links::{Entries, Link};
use super::respond::{Answer, Outcome, write};
use crate::fhir::api::body;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::operations;
use crate::fhir::api::respond::Return;
use crate::fhir::api::state::ApiState;

/// Reads of one Bundle that are under way at a time.
const READS_AT_ONCE: usize = 4;

/// Answers a batch.
pub(super) async fn run(
    state: &ApiState,
    requests: Requests,
    base_url: &str,
    prefer: Return,
) -> Result<Vec<u8>, ApiError> {
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(requests.len());
    let mut changes = Vec::new();
    let mut reads = Vec::new();
    let mut calls = Vec::new();
    let created = created(&requests);
    let entries = Entries { full_urls: &created, base_url };
    for (index, request) in requests.into_iter().enumerate() {
        let mut failed = None;
        match request {
            Ok(Request::Write(change)) => match check_alone(&change, &entries) {
                Ok(()) => changes.push((index, change)),
                Err(error) => failed = Some(Outcome::Failed(error.in_entry(index))),
            },
            Ok(Request::Read(read)) => reads.push((index, read)),
            Ok(Request::Operation(asked)) => calls.push((index, asked)),
            Err(error) => failed = Some(Outcome::Failed(error)),
        }
        outcomes.push(failed);
    }
    let written = write_all(state, changes).await?;
    let called = call_all(state, calls, base_url).await;
    let read = read_all(state, reads, base_url).await?;
    for (index, outcome) in written.into_iter().chain(called).chain(read) {
        if let Some(place) = outcomes.get_mut(index) {
            *place = Some(outcome);
        }
    }
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    Ok(write("batch-response", &outcomes, base_url, prefer))
}

/// The `fullUrl`s of entries that create, which have another URL once they are stored.
fn created(requests: &Requests) -> HashSet<String> {
    let created = requests.iter().filter_map(|request| match request {
        Ok(Request::Write(change)) if matches!(change.action, Action::Create(_)) => change.full_url.clone(),
        Ok(_) | Err(_) => None,
    });
    created.collect()
}

/// An entry of a batch knows no other (<https://hl7.org/fhir/R4/http.html#brules>).
fn check_alone(change: &Change, entries: &Entries<'_>) -> Result<(), ApiError> {
    if entries.full_urls.is_empty() {
        return Ok(());
    }
    let links = entries.links(&change.text, change.full_url.as_deref())?;
    let is_known =
        |full_url: &str| entries.full_urls.contains(full_url) && change.full_url.as_deref() != Some(full_url);
    if links.iter().filter_map(Link::full_url).any(is_known) {
        let detail = "The entry refers to one that the same batch creates. Send both in a transaction.";
        return Err(ApiError::new(Category::Rule, detail));
    }
    Ok(())
}

async fn write_all(state: &ApiState, changes: Vec<(usize, Box<Change>)>) -> Result<Vec<(usize, Outcome)>, ApiError> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let job = move |writer: &mut dyn crate::fhir::store::interface::Writer| {
        let mut outcomes = Vec::with_capacity(changes.len());
        for (index, change) in changes {
            match change.action.apply(writer) {
                Ok(done) => outcomes.push((index, Outcome::Done(done))),
                // A failure of the store may have come between two steps of an entry: all of the Bundle is undone.
                Err(error) if error.is_ours() => return Err(error),
                Err(error) => outcomes.push((index, Outcome::Failed(error.in_entry(index)))),
            }
        }
        Ok(outcomes)
    };
    state.store.write(job).await
}

async fn call_all(state: &ApiState, calls: Vec<(usize, operations::Asked)>, base_url: &str) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::with_capacity(calls.len());
    for (index, asked) in calls {
        let answer = call(state, &asked, base_url).await;
        outcomes.push((index, answer.map_or_else(|error| Outcome::Failed(error.in_entry(index)), Outcome::Read)));
    }
    outcomes
}

async fn call(state: &ApiState, asked: &operations::Asked, base_url: &str) -> Result<Answer, ApiError> {
    let registry = state.registry().await?;
    let work = asked.prepare(state, &registry, base_url, &HeaderMap::new())?;
    operations::carry_out(work, state).await.map(Answer::from)
}

async fn read_all(
    state: &ApiState,
    reads: Vec<(usize, Read)>,
    base_url: &str,
) -> Result<Vec<(usize, Outcome)>, ApiError> {
    if reads.is_empty() {
        return Ok(Vec::new());
    }
    let router = crate::fhir::api::reads().with_state(state.clone());
    let host = base_url.split_once("://").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    let outcomes: Vec<_> = stream::iter(reads)
        .map(|(index, asked)| {
            let router = router.clone();
            async move {
                let answer = read(router, asked, host).await;
                (index, answer.unwrap_or_else(|error| Outcome::Failed(error.in_entry(index))))
            }
        })
        .buffered(READS_AT_ONCE)
        .collect()
        .await;
    Ok(outcomes)
}

/// Runs a read through the same routes as a request of its own.
async fn read(router: Router, asked: Read, host: &str) -> Result<Outcome, ApiError> {
    let bad_url =
        |_bad| ApiError::new(Category::Value, "`request.url` is not a URL relative to the base.").at("request.url");
    let method = if asked.is_head { Method::HEAD } else { Method::GET };
    let mut request = HttpRequest::builder().method(method).uri(format!("/{}", asked.url)).header(HOST, host);
    if let Some(tags) = asked.none_match {
        request = request.header(IF_NONE_MATCH, tags);
    }
    if let Some(since) = asked.modified_since {
        request = request.header(IF_MODIFIED_SINCE, httpdate::fmt_http_date(since.into()));
    }
    let request = request.body(Body::empty()).map_err(bad_url)?;
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    Ok(Outcome::Read(Answer {
        status: parts.status,
        body: body::of_answer(body).await?,
        etag: parts.headers.get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned),
        last_modified: parts.extensions.get::<Timestamp>().copied(),
    }))
}
