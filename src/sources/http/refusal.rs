//! Why a request is not answered as asked, as its sender reads it: `{"error": "..."}`, as on the surface for operators.
//!
//! The status says what to do next. 400, 413, 415 and 422: mend the request; nothing of it was taken. 401, 404: mend the
//! configuration. 409, 429 and 503: send the same again after `Retry-After`.

use std::time::Duration;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// When to come back to a door that is crowded.
const CROWDED: Duration = Duration::from_secs(1);
/// When to come back to one behind which something must end or be mended first.
const STUCK: Duration = Duration::from_secs(5);

/// A request that is not answered as asked.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
    /// Members of the answer beside the error.
    more: Option<Value>,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None, more: None }
    }

    fn retried(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// The request cannot be understood as a whole.
    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The sender does not show the token.
    pub(super) fn unknown_sender() -> Self {
        let message = "send the header `Authorization: Bearer` with the `token` of this source";
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// There is no door of this name.
    pub(super) fn no_door(connector: &str) -> Self {
        let message = format!(
            "no connector `{connector}` takes messages over HTTP; give it a [[connectors.sources]] with type = \"http\""
        );
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Only POST is understood.
    pub(super) fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "messages are sent with POST")
    }

    /// The body did not arrive.
    pub(super) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time; nothing of it was taken")
    }

    /// The key is of a request that is under way.
    pub(super) fn under_way() -> Self {
        let message = "a request with this Idempotency-Key is under way; send the same again for its answer";
        Self::new(StatusCode::CONFLICT, message).retried(CROWDED)
    }

    /// The request is larger than may be; `bound` names the key that says so.
    pub(super) fn too_large(what: &str, bound: &str, most: usize) -> Self {
        let message = format!("{what} is over {most} (`{bound}` of this source); send it in parts");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// The format of the body is not one that is understood.
    pub(super) fn unknown_format(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// The key is of another request.
    pub(super) fn key_of_another() -> Self {
        let message = "this Idempotency-Key was sent with another request within a day; give each request its own";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// There is no room at present.
    pub(super) fn crowded() -> Self {
        let message = "more messages are on their way than this connector takes at a time; send the same again later";
        Self::new(StatusCode::TOO_MANY_REQUESTS, message).retried(CROWDED)
    }

    /// The door is closed.
    pub(super) fn closed() -> Self {
        let message = "this connector is starting or stopping; send the same again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retried(STUCK)
    }

    /// Not everything has ended; `results` tells how far it came.
    pub(super) fn unfinished(results: Value) -> Self {
        let message = "not all is stored yet; send the same again later, which changes nothing that is stored by then";
        Self { more: Some(results), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retried(STUCK) }
    }

    /// What the answer should hold is not at hand.
    pub(super) fn failed(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retried(STUCK)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.message });
        if let (Value::Object(members), Some(Value::Object(more))) = (&mut body, self.more) {
            members.extend(more);
        }
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, after.as_secs().into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"vitalwire\""));
        }
        response
    }
}
