//! One request: many messages, a line each, packed, under a key of its own.

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use serde_json::Value;
use uuid::Uuid;

use super::target::{Login, Target};

/// Longest wait for an answer; longer than the server takes to say that not all is stored yet.
const ANSWER_MAX: Duration = Duration::from_secs(90);
/// Longest wait for a connection to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Who sends the requests of one sending.
pub(super) struct Client {
    http: reqwest::Client,
    target: Target,
    /// What the keys of this sending begin with.
    keys: Uuid,
}

/// What came of a request.
pub(super) enum Answered {
    /// All in it is stored or dead-lettered.
    Stored,
    /// To be sent again.
    Later {
        /// When, if the server says so.
        after: Option<Duration>,
        reason: String,
    },
    /// To be sent in smaller parts.
    TooLarge(String),
    /// Not to be sent again.
    Refused(String),
    /// There is no answer.
    Nothing(String),
}

impl Client {
    /// Connects with the first request.
    ///
    /// # Errors
    /// When the system has no usable certificates, or the like.
    pub(super) fn new(target: &Target) -> Result<Self, String> {
        // Another part of the process may have chosen the same provider before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = reqwest::Client::builder().timeout(ANSWER_MAX).connect_timeout(CONNECT_TIMEOUT);
        let builder = match target.url.scheme() {
            "https" => builder.https_only(true),
            // Without TLS no certificates are needed, and a machine may have none.
            _ => builder.tls_certs_only([]),
        };
        let http = builder.build().map_err(|error| innermost(&error))?;
        Ok(Self { http, target: target.clone(), keys: Uuid::new_v4() })
    }

    /// Sends messages of which the first has this number. The same messages have the same key.
    pub(super) async fn post<'m>(&self, first: u64, messages: impl Iterator<Item = &'m Bytes>) -> Answered {
        let mut lines = Vec::new();
        let mut count = 0_u64;
        for message in messages {
            // Within a JSON text a line break is nothing but a space.
            lines.extend(message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
            lines.push(b'\n');
            count += 1;
        }
        let request = self.http.post(self.target.url.clone());
        let request = match &self.target.login {
            Login::None => request,
            Login::Token(token) => request.bearer_auth(token.expose()),
            Login::Basic(user, password) => request.basic_auth(user, Some(password.expose())),
        };
        let request = request
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header(CONTENT_ENCODING, "gzip")
            .header("idempotency-key", format!("{}-{first}-{count}", self.keys));
        let answer = match request.body(packed(&lines)).send().await {
            Ok(answer) => answer,
            Err(error) => return Answered::Nothing(innermost(&error)),
        };
        let (status, after) = (answer.status(), retry_after(&answer));
        match answer.bytes().await {
            Ok(body) => judged(status, after, &body),
            Err(error) => Answered::Nothing(innermost(&error)),
        }
    }
}

fn packed(lines: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    drop(encoder.write_all(lines));
    encoder.finish().unwrap_or_default()
}

/// In seconds; a date is left to the own pace.
fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn judged(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Answered {
    let said = serde_json::from_slice::<Value>(body).ok();
    let said = said.as_ref().and_then(|body| body.get("error")?.as_str()).unwrap_or("no reason is given");
    let reason = format!("{}: {said}", status.as_u16());
    match status {
        StatusCode::OK => Answered::Stored,
        StatusCode::PAYLOAD_TOO_LARGE => Answered::TooLarge(reason),
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => {
            Answered::Later { after, reason }
        }
        status if status.is_server_error() => Answered::Later { after, reason },
        _ => Answered::Refused(reason),
    }
}

/// What the network said, without the URL, which may hold a secret.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
