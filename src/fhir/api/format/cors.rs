//! Pages of other origins: a browser lets them read answers only where the server names their origin
//! (<https://fetch.spec.whatwg.org/#http-cors-protocol>), which apps of SMART on FHIR depend on.
//!
//! No origin is named unless the configuration names it. Cookies are never accepted from anybody: an app shows who it is
//! with a header of its own making.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LOCATION, CONTENT_TYPE, ETAG,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Method};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was told it may do.
const REMEMBERED_MAX: Duration = Duration::from_secs(3_600);

/// Any origin.
const ANY: &str = "*";

/// What pages of these origins may do. `*` among them stands for any origin.
pub(crate) fn rules(origins: &[HeaderValue]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == ANY) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().cloned())
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            ACCEPT,
            AUTHORIZATION,
            CONTENT_ENCODING,
            CONTENT_TYPE,
            IF_MATCH,
            IF_MODIFIED_SINCE,
            IF_NONE_MATCH,
            HeaderName::from_static("if-none-exist"),
            HeaderName::from_static("prefer"),
            HeaderName::from_static("x-security-context"),
        ])
        .expose_headers([
            CONTENT_LOCATION,
            ETAG,
            LAST_MODIFIED,
            LOCATION,
            RETRY_AFTER,
            HeaderName::from_static("x-security-context"),
        ])
        .max_age(REMEMBERED_MAX)
}

/// Keeps the rules. A question for the methods of a path that no browser asks beforehand is the path's to answer.
pub(crate) async fn keep(State(rules): State<CorsLayer>, request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS && !request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return next.run(request).await;
    }
    let inner = service_fn(move |request| {
        let next = next.clone();
        async move { Ok::<_, Infallible>(next.run(request).await) }
    });
    match rules.layer(inner).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
