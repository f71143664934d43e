//! Which host names the HTTP server answers to while it is meant for this machine alone.
//!
//! A web page of a stranger can have its own name resolve to 127.0.0.1 and then read what is served there as if it were
//! its own (DNS rebinding). The `Host` header still tells the stranger's name, so a name that is not this machine's is
//! refused.
//!
//! The name also becomes part of links where no public URL is set, so it must be beyond doubt: a request that names two
//! hosts is refused, and what proxies say in headers of their own (`X-Forwarded-Host`) counts for nothing.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use url::Url;

use crate::fhir::api::error::{ApiError, Category, FHIR_JSON};

/// The names answered to.
#[derive(Clone, Debug)]
pub(super) enum HostNames {
    /// Names and addresses of this machine's loopback interface, and the one clients are told to use.
    Local {
        /// Host of `fhir.public_url`.
        public: Option<Arc<str>>,
    },
    /// Any: strangers were let in on purpose.
    Any,
}

impl HostNames {
    /// Names of this machine, and of the URL under which clients are told to reach it.
    pub(super) fn local(public_url: Option<&Url>) -> Self {
        Self::Local { public: public_url.and_then(Url::host_str).map(Arc::from) }
    }

    /// Whether a request for this `Host`, with or without port, is answered.
    fn answers_to(&self, host: &str) -> bool {
        let Self::Local { public } = self else { return true };
        let Ok(url) = Url::parse(&format!("http://{host}")) else { return false };
        let Some(name) = url.host_str() else { return false };
        let address: Option<IpAddr> = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
        address.is_some_and(|address| address.is_loopback())
            || name == "localhost"
            || name.ends_with(".localhost")
            || public.as_deref() == Some(name)
    }
}

/// Passes on requests for a name of this machine with that name as their only `Host`, and refuses others.
pub(super) async fn only_known(State(names): State<HostNames>, mut request: Request, next: Next) -> Response {
    let host = match asked_host(&request) {
        Ok(host) => host,
        Err(refusal) => return refusal.into_response(),
    };
    if !host.as_ref().map_or(matches!(names, HostNames::Any), |host| names.answers_to(host.as_str())) {
        return not_here();
    }
    let in_target = request.uri().authority().map(|host| HeaderValue::from_str(host.as_str()));
    if let Some(Ok(host)) = in_target {
        request.headers_mut().insert(HOST, host);
    }
    next.run(request).await
}

/// The host that a request is for; only HTTP/1.0 may leave it out. What the target of the request says goes before the
/// header (<https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2>); HTTP/2 has it nowhere else.
fn asked_host(request: &Request) -> Result<Option<Authority>, ApiError> {
    let mut headers = request.headers().get_all(HOST).iter();
    let (header, another) = (headers.next(), headers.next());
    if another.is_some() {
        return Err(ApiError::new(Category::Value, "The header `Host` comes more than once."));
    }
    let host = match (request.uri().authority(), header) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(header)) => Authority::try_from(header.as_bytes()).ok(),
        (None, None) if request.version() == Version::HTTP_10 => return Ok(None),
        (None, None) => None,
    };
    match host {
        Some(host) if !host.as_str().contains('@') => Ok(Some(host)),
        _ => Err(ApiError::new(Category::Required, "The request has no usable `Host` header.")),
    }
}

/// This machine is not the one that was meant.
fn not_here() -> Response {
    let text = "This server is for its own machine and answers only to loopback names, such as localhost. Set \
                `fhir.public_url` if clients reach it under another name.";
    let issue = json!({ "severity": "error", "code": "forbidden", "diagnostics": text });
    let outcome = json!({ "resourceType": "OperationOutcome", "issue": [issue] });
    (StatusCode::MISDIRECTED_REQUEST, [(CONTENT_TYPE, FHIR_JSON)], outcome.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::HostNames;

    #[track_caller]
    fn check(host: &str, expected: bool) {
        let public_url = "https://fhir.example.org/fhir".parse().unwrap();
        assert_eq!(HostNames::local(Some(&public_url)).answers_to(host), expected, "{host}");
    }

    #[test]
    fn loopback_names_and_the_public_one_are_answered() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "fhir.example.org"] {
            check(host, true);
        }
    }

    #[test]
    fn a_name_that_only_resolves_to_loopback_is_refused() {
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "", "a b", "@", "[::1"]
        {
            check(host, false);
        }
    }
}
