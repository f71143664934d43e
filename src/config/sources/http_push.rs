//! Devices and gateways that send their messages to this process over HTTP.

use std::time::Duration;

use crate::config::section::{Problems, Section};
use crate::secret::Secret;

/// Headers that are never properties: they hold secrets, or what they say is done before a message is one.
const HEADERS_REFUSED: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "content-encoding", "transfer-encoding"];
/// What the headers of a CloudEvent begin with, which are properties anyway.
const CLOUD_EVENT: &str = "ce-";

/// The way in over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpPushConfig {
    /// What a sender must show.
    pub(crate) token: Option<Secret>,
    /// Headers of requests that become properties of their messages.
    pub(crate) headers: Vec<String>,
    /// Largest body of a request, in bytes, packed or unpacked.
    pub(crate) body_bytes_max: usize,
    /// Messages of one request.
    pub(crate) messages_max: usize,
    /// Requests under way.
    pub(crate) requests_max: usize,
    /// Messages taken and not yet ended, no less than one request may have.
    pub(crate) in_flight_max: usize,
    /// Longest time to answer.
    pub(crate) request_timeout: Duration,
    /// Largest message that is taken apart, in bytes of its payload.
    pub(crate) message_bytes_max: usize,
    /// Whether a payload that is an array is mapped element by element.
    pub(crate) split_arrays: bool,
}

/// Whether the connector in hand has such a source already; there is one path for it.
#[derive(Debug, Default)]
pub(super) struct OnePath {
    is_taken: bool,
}

impl OnePath {
    /// What follows belongs to another connector.
    pub(super) fn enter(&mut self) {
        self.is_taken = false;
    }
}

/// The way in that a section describes.
pub(super) fn http_push(mut section: Section, path: &mut OnePath, problems: &mut Problems) -> HttpPushConfig {
    let push = HttpPushConfig {
        token: section.optional("token", problems),
        headers: section.required("headers", Vec::new(), problems),
        body_bytes_max: section.required("body_bytes_max", 1, problems),
        messages_max: section.required("messages_max", 1, problems),
        requests_max: section.required("requests_max", 1, problems),
        in_flight_max: section.required("in_flight_max", 1, problems),
        request_timeout: section.required("request_timeout", Duration::ZERO, problems),
        message_bytes_max: section.required("message_bytes_max", 1, problems),
        split_arrays: section.required("split_arrays", false, problems),
    };
    if std::mem::replace(&mut path.is_taken, true) {
        let message = "\"http\" is there already; a connector has one path, which takes all formats".to_owned();
        problems.push(section.problem("type", None, message));
    }
    if push.in_flight_max < push.messages_max {
        let message = "must be at least `messages_max`, or the largest requests would never be taken".to_owned();
        problems.push(section.problem("in_flight_max", None, message));
    }
    if push.token.as_ref().is_some_and(|token| token.expose().trim().is_empty()) {
        problems.push(section.problem("token", None, "is empty; leave it out to let everybody send".to_owned()));
    }
    for (number, header) in (1..).zip(&push.headers) {
        if let Some(message) = header_problem(header) {
            problems.push(section.problem("headers", None, format!("header {number} {message}")));
        }
    }
    section.finish(problems);
    push
}

fn header_problem(header: &str) -> Option<String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if header.is_empty() || !header.bytes().all(is_token) {
        return Some("is not the name of a header, such as \"X-Device-Id\"".to_owned());
    }
    let name = header.to_ascii_lowercase();
    if HEADERS_REFUSED.contains(&name.as_str()) {
        return Some(format!("is `{name}`, which is never passed on: it is a secret, or dealt with already"));
    }
    name.starts_with(CLOUD_EVENT).then(|| format!("is `{name}`, which is a property of every CloudEvent as it is"))
}

#[cfg(test)]
mod tests {
    use super::header_problem;

    #[test]
    fn p_8_secrets_and_what_is_no_header_are_not_passed_on() {
        for good in ["X-Device-Id", "user-agent", "x_y"] {
            assert_eq!(header_problem(good), None, "{good}");
        }
        for bad in ["", "X Device", "Authorization", "COOKIE", "Content-Encoding", "ce-id", "é"] {
            assert!(header_problem(bad).is_some(), "{bad}");
        }
    }
}
