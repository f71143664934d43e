//! HTTP push: devices and gateways POST their messages to `/connectors/{name}/messages`.
//!
//! A request is answered when everything in it has ended: stored, dead-lettered, or known to match nothing. Until then its
//! sender keeps what it sent; without an answer it sends all of it again, which changes nothing that is stored. What was
//! taken goes its way whether or not the sender stays to hear of it.
//!
//! A connector with such a source has a *door*, found by its name. It is open while the source runs, and lets in as much
//! as it has room for: senders beyond that are told to come back before they have sent anything.
//!
//! A request is read in [`body`], understood in [`mod@format`], taken apart by [`messages`] or [`cloud_events`], and its
//! messages are followed to their ends by [`passage`]. `axum` is known here alone among the sources.

mod body;
mod cloud_events;
mod door;
mod format;
mod idempotency;
mod messages;
mod passage;
mod refusal;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::HeaderValue;
use axum::http::header::ALLOW;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::intake::Intake;
use crate::secret::Secret;

use self::door::Entrance;
use self::refusal::Refusal;

pub(crate) use self::door::{Door, Doors};

/// Name of the source, in origins and in the configuration.
pub(crate) const SOURCE: &str = "http";

/// How requests are taken.
#[derive(Clone, Debug)]
pub(crate) struct PushSettings {
    /// Who does not show it is not let in.
    pub(crate) token: Option<Secret>,
    /// Headers of requests that become properties of their messages, spelled as the properties are to be.
    pub(crate) headers: Vec<String>,
    /// Largest body of a request, packed or unpacked.
    pub(crate) body_bytes_max: usize,
    /// Bytes of all bodies that are being read.
    pub(crate) reading_bytes_max: usize,
    /// Messages of one request.
    pub(crate) messages_max: usize,
    /// Requests under way.
    pub(crate) requests_max: usize,
    /// Messages taken and not yet ended, no less than one request may have.
    pub(crate) in_flight_max: usize,
    /// Longest time to answer.
    pub(crate) request_timeout: Duration,
    /// Largest message that is looked into.
    pub(crate) message_bytes_max: usize,
    /// Whether a message that is an array is mapped element by element.
    pub(crate) split_arrays: bool,
    /// Whether messages must be JSON as RFC 8259 has it; else the mapping judges them.
    pub(crate) is_strict: bool,
}

/// The source of a connector.
pub(crate) struct Push {
    door: Door,
}

impl Push {
    /// The source behind a door, which is closed until it runs.
    pub(crate) fn new(door: Door) -> Self {
        Self { door }
    }

    /// The door, to be put among those that are found.
    pub(crate) fn door(&self) -> Door {
        self.door.clone()
    }

    /// Lets requests in until `stop`. Those that are in by then run on `tasks` until all of their messages have ended.
    pub(crate) async fn run(self, intake: Intake, tasks: TaskTracker, stop: CancellationToken) {
        self.door.open(Entrance { intake, tasks });
        stop.cancelled().await;
        self.door.close();
    }
}

/// The path under which the messages of a connector are taken.
pub(crate) fn path(connector: &str) -> String {
    format!("/connectors/{connector}/messages")
}

/// The surface for senders.
pub(crate) fn router(doors: Doors) -> Router {
    Router::new().route(&path("{name}"), post(push).fallback(only_post)).with_state(doors)
}

async fn push(State(doors): State<Doors>, Path(name): Path<String>, request: Request) -> Response {
    passage::pass(&doors, &name, request).await.unwrap_or_else(Refusal::into_response)
}

async fn only_post() -> Response {
    let mut response = Refusal::wrong_method().into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}
