//! REST for operators: connectors with their ledger and dead letters, health, metrics.
//!
//! Answers are JSON, errors too: `{"error": "..."}`. Nothing here changes anything by itself: dead letters can be replayed
//! and discarded, a connector can be told not to wait, and the configuration can be had read anew. The parts of a
//! connector that can be looked at are handed in by `app`.
//!
//! There is no authentication, so a web page of a stranger in an operator's browser must not get through. It cannot read
//! an answer, and may send by itself only what a form could: no DELETE, and no POST that says it is JSON. Any other
//! POST is refused.

mod connectors;
mod dead_letters;
mod health;
mod reload;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::dead_letters::DeadLetters;

pub(crate) use self::connectors::{Connector, Source};
pub(crate) use self::reload::{NotReloaded, ReloadRequest, Reloaded, Reloads};

/// The connectors there are at a moment, in the order of the configuration.
pub(crate) type Connectors = Arc<[Arc<Connector>]>;

/// What can be looked at. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AdminState {
    /// The connectors, now and from now on.
    pub(crate) connectors: watch::Receiver<Connectors>,
    /// Where the configuration is read anew.
    pub(crate) reloads: Reloads,
    /// The dead letters of all of them.
    pub(crate) dead_letters: DeadLetters,
    /// What time it is.
    pub(crate) clock: Clock,
    /// The metrics of the process; `None` when another part of the process collects them.
    pub(crate) metrics: Option<PrometheusHandle>,
}

impl AdminState {
    /// The connectors there are now.
    fn connectors(&self) -> Connectors {
        Arc::clone(&self.connectors.borrow())
    }
}

/// The surface for operators.
pub(crate) fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/connectors", get(connectors::list))
        .route("/connectors/{name}", get(connectors::read))
        .route("/connectors/{name}/retry", post(connectors::retry))
        .route("/connectors/{name}/dead-letters", get(dead_letters::list))
        .route("/connectors/{name}/dead-letters/summary", get(dead_letters::summary))
        .route("/connectors/{name}/dead-letters/replay", post(dead_letters::replay))
        .route("/connectors/{name}/dead-letters/replays", get(dead_letters::replays))
        .route("/connectors/{name}/dead-letters/replays/{replay}", get(dead_letters::read_replay))
        .route("/connectors/{name}/dead-letters/discard", post(dead_letters::discard))
        .route("/connectors/{name}/dead-letters/{id}", get(dead_letters::read).delete(dead_letters::discard_one))
        .route("/connectors/{name}/dead-letters/{id}/replay", post(dead_letters::replay_one))
        .route("/config/reload", post(reload::reload))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route_layer(from_fn(posts_are_json))
        .with_state(state)
}

async fn index() -> Response {
    let resources = ["/fhir/metadata", "/connectors", "/health/live", "/health/ready", "/metrics"];
    axum::Json(json!({ "name": "vitalwire", "version": env!("CARGO_PKG_VERSION"), "resources": resources }))
        .into_response()
}

/// Refuses what a form of a web page could send.
async fn posts_are_json(request: Request, next: Next) -> Response {
    let is_json = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    });
    if *request.method() == Method::POST && !is_json {
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the header `Content-Type: application/json`");
    }
    next.run(request).await
}

fn error(status: StatusCode, message: &str) -> Response {
    Refusal { status, message: message.to_owned() }.into_response()
}

/// Why a request is not answered as asked.
struct Refusal {
    status: StatusCode,
    /// What is wrong, and how to mend it.
    message: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, axum::Json(json!({ "error": self.message }))).into_response()
    }
}
