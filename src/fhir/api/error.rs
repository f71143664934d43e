//! What can go wrong with a request, and how the client hears of it: a status and an OperationOutcome.
//!
//! An error names a category; the status and the issue code follow from it by the two tables in this file and nowhere
//! else. The text says what was wrong, where, and how to mend it. It is read by the client who sent the request, never
//! logged; the cause of a failure of ours is logged and never sent.

use std::error::Error;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use crate::fhir::store::interface::StoreError;
use crate::r4::outcome::{self, Issue, Severity};
use crate::telemetry;

/// The media type of everything this server says.
pub(crate) const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json; charset=utf-8");

/// How long a client should wait when the store takes no work, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// What kind of failure; decides status and issue code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    /// The body is not JSON, or breaks the rules of the JSON format of FHIR.
    Structure,
    /// A value is not allowed where it stands.
    Value,
    /// Something that must be there is not.
    Required,
    /// The request contradicts itself or a rule of the interaction.
    Rule,
    /// Understood, but not offered by this server.
    NotSupported,
    /// No such resource, type or path.
    NotFound,
    /// The resource was deleted.
    Deleted,
    /// The path exists, but not for this method.
    MethodNotAllowed,
    /// The client accepts only formats this server does not speak.
    NotAcceptable,
    /// The body is in a format this server does not read.
    UnsupportedMedia,
    /// The request does not fit what is stored already.
    Conflict,
    /// The resource is not in the state the client made a condition.
    Stale,
    /// Understood, but what it asks for cannot be done with the resource as it is.
    Unprocessable,
    /// A condition that must find at most one resource finds several.
    MultipleMatches,
    /// The body is larger than allowed.
    TooLarge,
    /// The URL is longer than allowed.
    UrlTooLong,
    /// The headers are larger than allowed.
    HeadersTooLarge,
    /// What is asked for takes more work than one request may cause.
    TooCostly,
    /// The body did not arrive in time.
    Slow,
    /// The server did not finish in time.
    TimedOut,
    /// The server cannot take the request now.
    Unavailable,
    /// A fault of this server.
    Internal,
}

impl Category {
    /// The status of the answer; see <https://hl7.org/fhir/R4/http.html#Status-Codes>.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Structure | Self::Value | Self::Required | Self::Rule | Self::NotSupported | Self::TooCostly => {
                StatusCode::BAD_REQUEST
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Deleted => StatusCode::GONE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Stale | Self::MultipleMatches => StatusCode::PRECONDITION_FAILED,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UrlTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TimedOut | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code of the issue; see <https://hl7.org/fhir/R4/valueset-issue-type.html>.
    fn issue_code(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Value => "value",
            Self::Required => "required",
            Self::Rule => "invariant",
            Self::NotSupported | Self::MethodNotAllowed | Self::NotAcceptable | Self::UnsupportedMedia => {
                "not-supported"
            }
            Self::NotFound => "not-found",
            Self::Deleted => "deleted",
            Self::Conflict | Self::Stale => "conflict",
            Self::MultipleMatches => "multiple-matches",
            Self::TooLarge | Self::UrlTooLong | Self::HeadersTooLarge => "too-long",
            Self::TooCostly => "too-costly",
            Self::Unprocessable => "processing",
            Self::Slow | Self::TimedOut => "timeout",
            Self::Unavailable => "transient",
            Self::Internal => "exception",
        }
    }
}

/// A request that failed.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct ApiError {
    /// What kind of failure.
    pub(crate) category: Category,
    detail: String,
    /// What is told to the client; at least one.
    issues: Vec<Issue>,
    /// The methods of the path, when the method is the problem.
    allow: Option<&'static str>,
    #[source]
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// A failure of this kind; the text says what was wrong and how to mend it.
    pub(crate) fn new(category: Category, detail: impl Into<String>) -> Self {
        let issue = Issue::new(Severity::Error, category.issue_code(), detail);
        Self { category, detail: issue.diagnostics.clone(), issues: vec![issue], allow: None, cause: None }
    }

    /// What is wrong with a body, in several places.
    ///
    /// # Errors
    /// When there is at least one issue.
    pub(crate) fn unless_empty(issues: Vec<Issue>) -> Result<(), Self> {
        let Some(first) = issues.first() else { return Ok(()) };
        Err(Self { category: Category::Structure, detail: first.diagnostics.clone(), issues, allow: None, cause: None })
    }

    /// The same failure at a place in the body, for example `Observation.component[1].code`.
    pub(crate) fn at(mut self, location: impl Into<String>) -> Self {
        if let Some(first) = self.issues.first_mut() {
            first.expression = Some(location.into());
        }
        self
    }

    /// The same failure inside a Bundle's entry.
    pub(crate) fn in_entry(mut self, index: usize) -> Self {
        for issue in &mut self.issues {
            let inner = issue.expression.take().as_deref().map_or_else(String::new, below_entry);
            issue.expression = Some(format!("Bundle.entry[{index}]{inner}"));
        }
        self
    }

    /// The path knows only these methods, for example `GET, HEAD`.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let mut error =
            Self::new(Category::MethodNotAllowed, format!("This path does not take this method; it takes {allow}."));
        error.allow = Some(allow);
        error
    }

    /// A fault of this server that the client cannot mend; the cause is logged, not sent.
    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut error = Self::new(
            Category::Internal,
            "The server failed to carry out the request. Nothing was changed; its log has the cause.",
        );
        error.cause = Some(cause.into());
        error
    }

    /// Whether the failure is the server's and says nothing about the request.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.category, Category::Internal | Category::Unavailable)
    }

    /// The OperationOutcome of this failure, as JSON.
    pub(crate) fn outcome(&self) -> Vec<u8> {
        outcome::outcome(&self.issues)
    }

    /// What is told to the client, when it is not the end of the request.
    pub(crate) fn into_issues(self) -> Vec<Issue> {
        self.issues
    }

    /// Writes the cause, if this is a fault of the server, to the log. Called once, where the answer is made.
    pub(crate) fn log(&self) {
        if let Some(cause) = &self.cause {
            tracing::error!(error = %telemetry::chain(cause.as_ref()), "request failed");
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Cursor => Self::new(
                Category::Value,
                "The page cursor does not belong to this search. Follow the links of a search as given, or start it again.",
            ),
            StoreError::Codes(why) => Self::new(Category::Value, format!("The search was refused: {why}.")),
            StoreError::TooSlow => Self::new(
                Category::TooCostly,
                "A condition of the write takes too long to look up, and all other writes wait for it. Nothing was \
                 changed. Name the resource by an identifier.",
            ),
            StoreError::Stopped => {
                Self::new(Category::Unavailable, "The server is shutting down or cannot write. Try again later.")
            }
            StoreError::Outdated | StoreError::Database(_) => Self::internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let mut response = Response::new(Body::from(self.outcome()));
        *response.status_mut() = self.category.status();
        response.headers_mut().insert(CONTENT_TYPE, FHIR_JSON);
        if let Some(allow) = self.allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.category.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

/// A place in an entry's request or resource, from the entry; the name of the type gives way to `resource`.
fn below_entry(location: &str) -> String {
    match location.split_once('.') {
        Some(("request", _)) => format!(".{location}"),
        Some((_type, inner)) => format!(".resource.{inner}"),
        None if location == "fullUrl" => format!(".{location}"),
        None => format!(".resource.{location}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{ApiError, Category};

    #[test]
    fn an_outcome_says_what_and_where() {
        let error = ApiError::new(Category::Value, "An empty \"text\".").at("Patient.name[0]");
        assert_eq!(
            String::from_utf8(error.outcome()).unwrap(),
            r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","diagnostics":"An empty \"text\".","expression":["Patient.name[0]"]}]}"#
        );
        let expression = |error: ApiError| error.in_entry(2).issues.remove(0).expression;
        assert_eq!(expression(error).as_deref(), Some("Bundle.entry[2].resource.name[0]"));
        let asked = ApiError::new(Category::Value, "No URL.").at("request.url");
        assert_eq!(expression(asked).as_deref(), Some("Bundle.entry[2].request.url"));
        assert_eq!(expression(ApiError::new(Category::Rule, "Twice.")).as_deref(), Some("Bundle.entry[2]"));
    }
}
