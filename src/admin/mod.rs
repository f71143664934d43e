//! REST for operators: connectors with their ledger and dead letters, health, metrics.
//!
//! Answers are JSON, errors too: `{"error": "..."}`. Nothing here changes anything. The parts of a connector that can be
//! looked at are handed in by `app`; there is no way from here into the pipeline.

mod connectors;
mod health;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::dead_letters::DeadLetters;

pub(crate) use self::connectors::{Connector, Source};

/// What can be looked at. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AdminState {
    /// The connectors, in the order of the configuration.
    pub(crate) connectors: Arc<[Connector]>,
    /// The dead letters of all of them.
    pub(crate) dead_letters: DeadLetters,
    /// The metrics of the process; `None` when another part of the process collects them.
    pub(crate) metrics: Option<PrometheusHandle>,
}

/// The surface for operators.
pub(crate) fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/connectors", get(connectors::list))
        .route("/connectors/{name}", get(connectors::read))
        .route("/connectors/{name}/dead-letters", get(connectors::dead_letters))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .with_state(state)
}

async fn index() -> Response {
    let resources = ["/fhir/metadata", "/connectors", "/health/live", "/health/ready", "/metrics"];
    axum::Json(json!({ "name": "vitalwire", "version": env!("CARGO_PKG_VERSION"), "resources": resources }))
        .into_response()
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({ "error": message }))).into_response()
}
