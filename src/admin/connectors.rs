//! Connectors: how they stand, their ledger, what no template matched.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{AdminState, Refusal};
use crate::dead_letters::Replays;
use crate::model::connector_state::ConnectorState;
use crate::model::receipt::Outcome;
use crate::normalize::Shapes;
use crate::settlements::{Settlements, Snapshot};
use crate::sources::state::SourceState;
use crate::telemetry::meters::{SourceStanding, Standing, show};

/// The words of `Connector::status`.
const STATES: [&str; 3] = ["running", "retrying", "halted"];

/// What can be seen of a connector.
pub(crate) struct Connector {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its ledger.
    pub(crate) settlements: Settlements,
    /// Whether it delivers.
    pub(crate) state: watch::Receiver<ConnectorState>,
    /// Makes it try at once what it waits with.
    pub(crate) hurry: Arc<Notify>,
    /// Why its mappings are refused at present; nothing is taken in then.
    pub(crate) mapping_trouble: watch::Receiver<Option<String>>,
    /// Fingerprint of the mapping in force, or of the last one that was.
    pub(crate) mapping_version: watch::Receiver<Arc<str>>,
    /// Where its messages come from.
    pub(crate) sources: Vec<Source>,
    /// What no template of its mapping matched.
    pub(crate) unmatched: Arc<Shapes>,
    /// Messages of its dead letters that go through it once more.
    pub(crate) replays: Replays,
}

/// What can be seen of a source.
pub(crate) struct Source {
    /// What kind it is, as in the configuration.
    pub(crate) kind: &'static str,
    /// Where it listens, or what it subscribes to.
    pub(crate) address: String,
    /// How it stands.
    pub(crate) state: watch::Receiver<SourceState>,
    /// Messages that wait where it reads, if it is told of them; `None` while that is not known.
    pub(crate) behind: Option<watch::Receiver<Option<u64>>>,
}

impl Connector {
    /// Whether it delivers, in one word.
    pub(super) fn status(&self) -> &'static str {
        if self.mapping_trouble.borrow().is_some() {
            return "halted";
        }
        match *self.state.borrow() {
            ConnectorState::Running => "running",
            ConnectorState::Retrying(_) => "retrying",
            ConnectorState::Halted(_) => "halted",
        }
    }

    /// Sets the gauges of the connector to what is so now.
    pub(super) fn gauge(&self) {
        let ledger = self.settlements.snapshot();
        show(&Standing {
            connector: &self.name,
            in_flight: ledger.in_flight,
            unexplained: ledger.unexplained(),
            state: self.status(),
            states: &STATES,
            sources: self.sources.iter().map(Source::standing).collect(),
        });
    }

    /// Sets the gauges of a connector that is gone: nothing is under way, and it is in no state.
    pub(crate) fn ungauge(&self) {
        show(&Standing {
            connector: &self.name,
            in_flight: 0,
            unexplained: 0,
            state: "",
            states: &STATES,
            sources: self.sources.iter().map(Source::gone).collect(),
        });
    }

    /// What is in the way, if anything: its code, the reason, since when, and when it is tried again.
    fn trouble(&self, now: Timestamp) -> Map<String, Value> {
        let mut members = Map::new();
        if let Some(reason) = &*self.mapping_trouble.borrow() {
            members.insert("code".to_owned(), "ValidationException".into());
            members.insert("reason".to_owned(), reason.as_str().into());
        } else if let Some(trouble) = self.state.borrow().trouble() {
            let next_attempt = trouble.next_attempt.saturating_duration_since(Instant::now());
            members.insert("code".to_owned(), trouble.code.into());
            members.insert("reason".to_owned(), trouble.reason.as_str().into());
            members.insert("since".to_owned(), to_the_second(now - trouble.since.elapsed()).into());
            members.insert("next_attempt_at".to_owned(), to_the_second(now + next_attempt).into());
        }
        members
    }

    fn summary(&self, now: Timestamp) -> Map<String, Value> {
        let mut summary = Map::new();
        summary.insert("name".to_owned(), self.name.as_ref().into());
        summary.insert("state".to_owned(), self.status().into());
        summary.extend(self.trouble(now));
        summary.insert("mapping_version".to_owned(), self.mapping_version.borrow().as_ref().into());
        summary.insert("sources".to_owned(), self.sources.iter().map(Source::summary).collect());
        summary.insert("ledger".to_owned(), ledger(&self.settlements.snapshot()));
        summary
    }
}

/// Times of states are known by how long ago they were, which is not exact enough for more.
fn to_the_second(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}

impl Source {
    fn standing(&self) -> SourceStanding {
        let is_connected = *self.state.borrow() == SourceState::Connected;
        SourceStanding {
            kind: self.kind,
            is_connected,
            behind: self.behind.as_ref().map(|behind| behind.borrow().unwrap_or(0)),
        }
    }

    fn gone(&self) -> SourceStanding {
        SourceStanding { kind: self.kind, is_connected: false, behind: self.behind.as_ref().map(|_behind| 0) }
    }

    fn behind(&self) -> Option<u64> {
        self.behind.as_ref().and_then(|behind| *behind.borrow())
    }

    fn summary(&self) -> Value {
        let (state, reason) = match &*self.state.borrow() {
            SourceState::Connecting => ("connecting", None),
            SourceState::Connected => ("connected", None),
            SourceState::Retrying(reason) => ("retrying", Some(reason.clone())),
            SourceState::Finished => ("finished", None),
            SourceState::Stopped => ("stopped", None),
        };
        let mut summary = json!({ "type": self.kind, "address": self.address, "state": state });
        if let (Some(reason), Value::Object(members)) = (reason, &mut summary) {
            members.insert("reason".to_owned(), reason.into());
        }
        if let (Some(behind), Value::Object(members)) = (self.behind(), &mut summary) {
            members.insert("behind".to_owned(), behind.into());
        }
        summary
    }
}

fn ledger(snapshot: &Snapshot) -> Value {
    let mut ledger = Map::new();
    ledger.insert("received".to_owned(), snapshot.received.into());
    for outcome in Outcome::ALL {
        ledger.insert(outcome.as_str().to_owned(), snapshot.counts.of(outcome).into());
    }
    ledger.insert("in_flight".to_owned(), snapshot.in_flight.into());
    ledger.insert("abandoned".to_owned(), snapshot.counts.abandoned().into());
    let unexplained = i64::try_from(snapshot.unexplained()).unwrap_or(i64::MAX);
    ledger.insert("unexplained".to_owned(), unexplained.into());
    Value::Object(ledger)
}

/// All connectors.
pub(super) async fn list(State(state): State<AdminState>) -> Response {
    let now = state.clock.now();
    let connectors: Vec<Value> =
        state.connectors().iter().map(|connector| Value::Object(connector.summary(now))).collect();
    axum::Json(json!({ "connectors": connectors })).into_response()
}

/// One connector, with what did not match and how many dead letters there are.
pub(super) async fn read(State(state): State<AdminState>, Path(name): Path<String>) -> Response {
    let Some(connector) = find(&state, &name) else { return unknown(&state, &name).into_response() };
    let Ok(dead_letters) = state.dead_letters.count(&name).await else { return unreadable().into_response() };
    let mut summary = connector.summary(state.clock.now());
    summary.insert("dead_letters".to_owned(), dead_letters.into());
    let shapes = connector.unmatched.list();
    let shapes = shapes.into_iter().map(|shape| json!({ "members": shape.names, "count": shape.count }));
    summary.insert("unmatched_shapes".to_owned(), shapes.collect());
    axum::Json(summary).into_response()
}

/// Has a connector try its FHIR server at once, because an operator mended something.
pub(super) async fn retry(State(state): State<AdminState>, Path(name): Path<String>) -> Response {
    let Some(connector) = find(&state, &name) else { return unknown(&state, &name).into_response() };
    connector.hurry.notify_waiters();
    (StatusCode::ACCEPTED, axum::Json(connector.summary(state.clock.now()))).into_response()
}

/// The connector of this name.
pub(super) fn find(state: &AdminState, name: &str) -> Option<Arc<Connector>> {
    state.connectors().iter().find(|connector| connector.name.as_ref() == name).cloned()
}

/// There is no such connector.
pub(super) fn unknown(state: &AdminState, name: &str) -> Refusal {
    let connectors = state.connectors();
    let known: Vec<&str> = connectors.iter().map(|connector| connector.name.as_ref()).collect();
    let message = format!("there is no connector `{name}`; there are: {}", known.join(", "));
    Refusal { status: StatusCode::NOT_FOUND, message }
}

/// The database cannot be read or written at present.
pub(super) fn unreadable() -> Refusal {
    Refusal { status: StatusCode::SERVICE_UNAVAILABLE, message: "the database does not answer".to_owned() }
}
