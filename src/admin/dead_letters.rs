//! Dead letters of a connector: looked at, replayed, discarded.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::connectors::{Connector, find, unknown, unreadable};
use super::{AdminState, Refusal};
use crate::dead_letters::{Entry, PAGE_MAX, Progress, RequestError, Selection, Sum, WholeLetter};
use crate::model::dead_letter::Stage;

/// Letters on a page unless asked otherwise.
const PAGE_DEFAULT: u16 = 100;
/// Letters that can be named one by one.
const IDS_MAX: usize = 10_000;

/// Which letters, and which page of them.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    code: Option<String>,
    stage: Option<String>,
    template: Option<String>,
    since: Option<Timestamp>,
    before: Option<i64>,
    limit: Option<u16>,
}

impl Listing {
    fn selection(&self) -> Result<Selection, Refusal> {
        let (code, template) = (self.code.clone(), self.template.clone());
        Ok(Selection { ids: None, code, stage: known_stage(self.stage.clone())?, template, since: self.since })
    }

    /// Where the next page is.
    fn next(&self, name: &str, before: i64) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in [("code", &self.code), ("stage", &self.stage), ("template", &self.template)] {
            if let Some(value) = value {
                query.append_pair(key, value);
            }
        }
        if let Some(since) = self.since {
            query.append_pair("since", &since.to_string());
        }
        if let Some(limit) = self.limit {
            query.append_pair("limit", &limit.to_string());
        }
        query.append_pair("before", &before.to_string());
        format!("/connectors/{name}/dead-letters?{}", query.finish())
    }
}

/// Which letters are to be replayed or discarded.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Selected {
    ids: Option<Vec<i64>>,
    all: Option<bool>,
    code: Option<String>,
    stage: Option<String>,
    template: Option<String>,
    since: Option<Timestamp>,
}

/// What such a body may be.
const SELECTED: &str = "say which letters in JSON: {\"ids\": [1, 2]}, or {\"all\": true}, or any of `code`, `stage`, \
                        `template` and `since` (an instant such as \"2024-03-02T07:15:00Z\")";

impl Selected {
    fn parse(body: &[u8]) -> Result<Selection, Refusal> {
        let selected: Self = serde_json::from_slice(body)
            .map_err(|problem| refusal(StatusCode::BAD_REQUEST, &format!("{problem}; {SELECTED}")))?;
        let Self { ids, all, code, stage, template, since } = selected;
        let filters = code.is_some() || stage.is_some() || template.is_some() || since.is_some();
        let (all, ids_given) = (all == Some(true), ids.is_some());
        if u8::from(filters) + u8::from(all) + u8::from(ids_given) != 1 {
            return Err(refusal(StatusCode::BAD_REQUEST, SELECTED));
        }
        if ids.as_ref().is_some_and(|ids| ids.len() > IDS_MAX) {
            let message =
                format!("more than {IDS_MAX} `ids`; name fewer, or select them by `code`, `template` or `since`");
            return Err(refusal(StatusCode::BAD_REQUEST, &message));
        }
        Ok(Selection { ids, code, stage: known_stage(stage)?, template, since })
    }
}

fn refusal(status: StatusCode, message: &str) -> Refusal {
    Refusal { status, message: message.to_owned() }
}

fn known_stage(stage: Option<String>) -> Result<Option<String>, Refusal> {
    let known = Stage::ALL.map(Stage::as_str);
    match stage {
        Some(stage) if !known.contains(&stage.as_str()) => {
            let message = format!("there is no stage `{stage}`; there are: {}", known.join(", "));
            Err(refusal(StatusCode::BAD_REQUEST, &message))
        }
        stage => Ok(stage),
    }
}

fn known_connector(state: &AdminState, name: &str) -> Result<Arc<Connector>, Refusal> {
    find(state, name).ok_or_else(|| unknown(state, name))
}

fn known_listing(listing: Result<Query<Listing>, QueryRejection>) -> Result<Listing, Refusal> {
    listing.map(|Query(listing)| listing).map_err(|rejection| {
        let message = format!(
            "{}; the parameters are `code`, `stage`, `template`, `since` (an instant), `before` (the id of a letter) and \
             `limit`",
            rejection.body_text()
        );
        refusal(StatusCode::BAD_REQUEST, &message)
    })
}

/// A page of letters, newest first.
pub(super) async fn list(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Refusal> {
    known_connector(&state, &name)?;
    let listing = known_listing(listing)?;
    let limit = listing.limit.unwrap_or(PAGE_DEFAULT);
    if limit == 0 || limit > PAGE_MAX {
        return Err(refusal(StatusCode::BAD_REQUEST, &format!("`limit` is {limit}; it can be 1 to {PAGE_MAX}")));
    }
    let page = state.dead_letters.list(&name, listing.selection()?, listing.before, limit).await;
    let page = page.map_err(|_cause| unreadable())?;
    let letters: Vec<Value> = page.entries.iter().map(|entry| letter(&state, entry)).collect();
    let next = page.next.map(|before| listing.next(&name, before));
    Ok(axum::Json(json!({ "dead_letters": letters, "next": next })).into_response())
}

/// How many letters there are of which cause.
pub(super) async fn summary(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Refusal> {
    known_connector(&state, &name)?;
    let selection = known_listing(listing)?.selection()?;
    let causes = state.dead_letters.summary(&name, selection).await.map_err(|_cause| unreadable())?;
    let total: u64 = causes.iter().map(|cause| cause.letters).sum();
    let causes: Vec<Value> = causes.iter().map(cause).collect();
    Ok(axum::Json(json!({ "dead_letters": total, "causes": causes })).into_response())
}

fn cause(sum: &Sum) -> Value {
    json!({
        "stage": sum.stage,
        "code": sum.code,
        "template": sum.template,
        "dead_letters": sum.letters,
        "first_at": sum.first_at.to_string(),
        "last_at": sum.last_at.to_string(),
        "newest": sum.newest,
    })
}

/// One letter with its whole message.
pub(super) async fn read(
    State(state): State<AdminState>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let whole = known_letter(&state, &name, &id).await?;
    let mut shown = letter(&state, &whole.entry);
    let Some(shown) = shown.as_object_mut() else { return Err(unreadable()) };
    if let Err(bytes) = String::from_utf8(whole.entry.payload) {
        shown.remove("payload");
        shown.insert("payload_base64".to_owned(), STANDARD.encode(bytes.as_bytes()).into());
    }
    shown.insert("properties".to_owned(), members(&whole.properties));
    shown.insert("system_properties".to_owned(), members(&whole.system_properties));
    shown.insert("other_letters".to_owned(), whole.others.into());
    Ok(axum::Json(&*shown).into_response())
}

fn members(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::Object(Map::new()))
}

async fn known_letter(state: &AdminState, name: &str, id: &str) -> Result<WholeLetter, Refusal> {
    known_connector(state, name)?;
    let missing = || {
        let message = format!(
            "connector `{name}` has no dead letter `{id}`; it may have been replayed or discarded. Those there are stand \
             at /connectors/{name}/dead-letters"
        );
        refusal(StatusCode::NOT_FOUND, &message)
    };
    let number = id.parse().map_err(|_not_a_number| missing())?;
    let found = state.dead_letters.find(name, number).await.map_err(|_cause| unreadable())?;
    found.ok_or_else(missing)
}

fn letter(state: &AdminState, entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "message": entry.message,
        "at": entry.at.to_string(),
        "stage": entry.stage,
        "code": entry.code,
        "reason": entry.reason,
        "template": entry.template,
        "line": entry.line,
        "mapping": entry.mapping,
        "source": entry.source,
        "position": entry.position,
        "enqueued_at": entry.enqueued_at.to_string(),
        "replays": entry.replays,
        "replayed_at": entry.replayed_at.map(|at| at.to_string()),
        "replay_outcome": entry.replay_outcome,
        "under_way": state.dead_letters.is_under_way(entry.message),
        "payload_bytes": entry.payload_bytes,
        // What is not UTF-8 is shown with replacement characters here; a letter by itself has all bytes.
        "payload": String::from_utf8_lossy(&entry.payload),
    })
}

/// Replays the message of one letter.
pub(super) async fn replay_one(
    State(state): State<AdminState>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let whole = known_letter(&state, &name, &id).await?;
    let connector = known_connector(&state, &name)?;
    begin(&connector, Selection::of(vec![whole.entry.id])).await
}

/// Replays the messages of selected letters.
pub(super) async fn replay(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let connector = known_connector(&state, &name)?;
    begin(&connector, Selected::parse(&body)?).await
}

async fn begin(connector: &Connector, selection: Selection) -> Result<Response, Refusal> {
    let progress = connector.replays.request(selection).await.map_err(|error| {
        let status = match &error {
            RequestError::TooMany => StatusCode::TOO_MANY_REQUESTS,
            RequestError::Stopping | RequestError::Unreadable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal { status, message: error.to_string() }
    })?;
    let location = format!("/connectors/{}/dead-letters/replays/{}", connector.name, progress.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], axum::Json(standing(&progress))).into_response())
}

/// How the replays of a connector stand, latest first.
pub(super) async fn replays(State(state): State<AdminState>, Path(name): Path<String>) -> Result<Response, Refusal> {
    let replays: Vec<Value> = known_connector(&state, &name)?.replays.list().iter().map(standing).collect();
    Ok(axum::Json(json!({ "replays": replays })).into_response())
}

/// How one replay stands.
pub(super) async fn read_replay(
    State(state): State<AdminState>,
    Path((name, replay)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let connector = known_connector(&state, &name)?;
    let progress = replay.parse().ok().and_then(|id| connector.replays.find(id));
    let progress = progress.ok_or_else(|| {
        let message = format!(
            "connector `{name}` knows no replay `{replay}`; what was asked for before the program started is forgotten, \
             and letters that were not done are still there"
        );
        refusal(StatusCode::NOT_FOUND, &message)
    })?;
    Ok(axum::Json(standing(&progress)).into_response())
}

fn standing(progress: &Progress) -> Value {
    let (queued, gone) = if progress.state.is_over() { (0, progress.left()) } else { (progress.left(), 0) };
    json!({
        "id": progress.id,
        "state": progress.state.as_str(),
        "requested_at": progress.requested_at.to_string(),
        "messages": progress.messages,
        "queued": queued,
        "in_flight": progress.in_flight,
        "done": progress.done,
        "failed": progress.failed(),
        "failed_by_code": progress.failed,
        "unmatched": progress.unmatched,
        "abandoned": progress.abandoned,
        "gone": gone,
    })
}

/// Removes one letter for good.
pub(super) async fn discard_one(
    State(state): State<AdminState>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let whole = known_letter(&state, &name, &id).await?;
    let discarded = state.dead_letters.discard(&name, &Selection::of(vec![whole.entry.id])).await;
    if discarded.map_err(|_cause| unreadable())?.is_empty() {
        let message = format!(
            "the message of dead letter `{id}` is being replayed; ask again when that has ended, see \
             /connectors/{name}/dead-letters/replays"
        );
        return Err(refusal(StatusCode::CONFLICT, &message));
    }
    Ok(axum::Json(json!({ "discarded": 1 })).into_response())
}

/// Removes selected letters for good, but for those whose messages are being replayed.
pub(super) async fn discard(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    known_connector(&state, &name)?;
    let selection = Selected::parse(&body)?;
    let discarded = state.dead_letters.discard(&name, &selection).await.map_err(|_cause| unreadable())?;
    let total: u64 = discarded.values().sum();
    Ok(axum::Json(json!({ "discarded": total, "discarded_by_code": discarded })).into_response())
}
