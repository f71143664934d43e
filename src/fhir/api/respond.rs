//! Answers that carry a version: headers, and as much of a body as the client prefers.

use std::time::SystemTime;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::error::FHIR_JSON;
use super::preconditions::etag;
use crate::fhir::store::Version;
use crate::r4::outcome::{Issue, Severity, outcome};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What a client wants back from a write (<https://hl7.org/fhir/R4/http.html#ops>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// No body.
    Minimal,
    /// The resource as stored.
    Representation,
    /// An OperationOutcome that says what was done.
    Outcome,
}

impl Return {
    /// What the headers ask for, if anything.
    pub(crate) fn in_headers(headers: &HeaderMap) -> Option<Self> {
        let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        preferences.flat_map(|value| value.split([',', ';'])).find_map(|preference| match preference.trim() {
            "return=minimal" => Some(Self::Minimal),
            "return=representation" => Some(Self::Representation),
            "return=OperationOutcome" => Some(Self::Outcome),
            _ => None,
        })
    }
}

/// What a write came to.
#[derive(Debug)]
pub(crate) struct Done {
    /// 201 when something came into being, 200 when it changed or was there already, 204 when it is gone.
    pub(crate) status: StatusCode,
    /// The version there is now; `None` when there was nothing to delete.
    pub(crate) version: Option<Version>,
}

impl Done {
    /// The answer to a single interaction.
    pub(crate) fn into_response(self, base_url: &str, prefer: Option<Return>) -> Response {
        let Some(version) = self.version else {
            return empty(self.status);
        };
        let mut response = match prefer.unwrap_or(Return::Representation) {
            _ if self.status == StatusCode::NO_CONTENT => empty(self.status),
            Return::Minimal => empty(self.status),
            Return::Representation => json(self.status, version.body.clone().unwrap_or_default().into()),
            Return::Outcome => json(self.status, self_report(self.status).into()),
        };
        insert_version_headers(response.headers_mut(), &version);
        if version.body.is_some() {
            let location = HeaderValue::from_str(&format!("{base_url}/{}", version_path(&version)));
            response.headers_mut().extend(location.ok().map(|location| (LOCATION, location)));
        }
        response
    }
}

/// What was done, as an OperationOutcome.
pub(crate) fn self_report(status: StatusCode) -> Vec<u8> {
    let text = if status == StatusCode::CREATED { "Created." } else { "Stored." };
    outcome(&[Issue::new(Severity::Information, "informational", text)])
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, FHIR_JSON);
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// `ETag` and `Last-Modified` of a version.
pub(crate) fn insert_version_headers(headers: &mut HeaderMap, version: &Version) {
    let modified = httpdate::fmt_http_date(SystemTime::from(version.last_updated));
    let values = [(ETAG, etag(version.number)), (LAST_MODIFIED, modified)];
    headers.extend(values.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(&value).ok()?))));
}

/// The path of a version below the base.
pub(crate) fn version_path(version: &Version) -> String {
    format!("{}/{}/_history/{}", version.key.resource_type.as_str(), version.key.id, version.number)
}
