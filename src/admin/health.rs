//! Whether the process lives, whether it can serve, and its metrics.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{AdminState, error};

/// The process answers. A supervisor restarts it when it does not.
pub(super) async fn live() -> Response {
    axum::Json(json!({ "status": "live" })).into_response()
}

/// Requests can be served: the database answers. How each connector stands is told as well, but a broker that is away
/// is no reason to send clinicians elsewhere.
pub(super) async fn ready(State(state): State<AdminState>) -> Response {
    if state.dead_letters.count("").await.is_err() {
        return error(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer");
    }
    let connectors = state.connectors();
    let connectors: serde_json::Map<_, _> =
        connectors.iter().map(|connector| (connector.name.to_string(), connector.status().into())).collect();
    axum::Json(json!({ "status": "ready", "connectors": connectors })).into_response()
}

/// The metrics in the Prometheus text format.
pub(super) async fn metrics(State(state): State<AdminState>) -> Response {
    match &state.metrics {
        Some(metrics) => {
            // Looked at while the gauges are set, so that one that goes has the last word about its own.
            state.connectors.borrow().iter().for_each(|connector| connector.gauge());
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
        }
        None => error(StatusCode::NOT_FOUND, "metrics are not collected in this process"),
    }
}
