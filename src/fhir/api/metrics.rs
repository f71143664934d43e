//! Counts of what was asked and how it ended: interactions and statuses, nothing about the content.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;

use super::operations;
use super::reindexing::status::PATH;
use super::state::MOUNT;
use crate::telemetry::meters::count_request;

/// Counts and times a request.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", |path| path.as_str());
    let interaction = interaction(request.method(), path.strip_prefix(MOUNT).unwrap_or(path));
    let started = Instant::now();
    let response = next.run(request).await;
    count_request(interaction, response.status().as_u16(), started.elapsed());
    response
}

/// The interaction of a route; see the table of routes.
fn interaction(method: &Method, path: &str) -> &'static str {
    match (method.as_str(), path) {
        ("POST", "" | "/") => "bundle",
        ("GET" | "HEAD", "/metadata") => "capabilities",
        ("GET" | "HEAD", "/{type}") | ("POST", "/{type}/_search") => "search",
        ("POST", "/{type}") => "create",
        ("PUT", "/{type}") => "conditional-update",
        ("PATCH", "/{type}") => "conditional-patch",
        ("DELETE", "/{type}") => "conditional-delete",
        ("GET" | "HEAD", "/{type}/{id}") => "read",
        ("PUT", "/{type}/{id}") => "update",
        ("PATCH", "/{type}/{id}") => "patch",
        ("DELETE", "/{type}/{id}") => "delete",
        ("GET" | "HEAD", "/{type}/{id}/_history") => "history",
        ("GET" | "HEAD", "/{type}/{id}/_history/{version}") => "vread",
        ("GET" | "HEAD" | "DELETE", path) if path.starts_with(PATH) => "operation",
        ("GET" | "HEAD" | "POST", path) if operations::is_path(path) => "operation",
        _ => "unknown",
    }
}
