//! The measured server, as an HTTP client that checks what it gets.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, StatusCode};

/// Longest wait for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a request is no measurement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The system's certificates cannot be read, or the like.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// No answer.
    #[error("`{request}` got no answer")]
    Silent {
        /// Method and path.
        request: String,
        /// What the network said.
        #[source]
        cause: reqwest::Error,
    },
    /// Another answer than success.
    #[error("`{request}` was answered with {status}: {body}")]
    Refused {
        /// Method and path.
        request: String,
        /// Its status.
        status: StatusCode,
        /// The beginning of its body.
        body: String,
    },
}

/// A client of one server. Clones share connections.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client,
    base: String,
}

impl Http {
    /// A client of the server at this base URL.
    pub(super) fn new(base: &str) -> Result<Self, HttpError> {
        // Another part of the process may have chosen the same provider before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = Client::builder().timeout(REQUEST_TIMEOUT).tcp_nodelay(true);
        if base.starts_with("http://") {
            // Without TLS no certificates are needed, and a machine may have none.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self { client: builder.build().map_err(HttpError::Setup)?, base: base.trim_end_matches('/').to_owned() })
    }

    /// Where it is, without a slash at the end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The body of an answer to a read or search.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, HttpError> {
        self.answer(self.client.get(format!("{}/{path}", self.base)), "GET", path).await
    }

    /// The body, and how long it took from the first byte sent to the last received.
    pub(super) async fn timed_get(&self, path: &str) -> Result<(Bytes, Duration), HttpError> {
        let started = Instant::now();
        let body = self.get(path).await?;
        Ok((body, started.elapsed()))
    }

    /// Sends a Bundle to the base.
    pub(super) async fn transaction(&self, bundle: String) -> Result<(), HttpError> {
        self.post("", bundle).await
    }

    /// Creates an Observation.
    pub(super) async fn create(&self, observation: String) -> Result<(), HttpError> {
        self.post("/Observation", observation).await
    }

    /// Sends a message of a device to this path.
    pub(super) async fn push(&self, path: &str, message: String) -> Result<(), HttpError> {
        let request = self.client.post(format!("{}/{path}", self.base)).header(CONTENT_TYPE, "application/json");
        self.answer(request.body(message), "POST", path).await.map(drop)
    }

    async fn post(&self, path: &str, body: String) -> Result<(), HttpError> {
        let request = self.client.post(format!("{}{path}", self.base));
        let request = request.header(CONTENT_TYPE, "application/fhir+json").header("prefer", "return=minimal");
        self.answer(request.body(body), "POST", path).await.map(drop)
    }

    async fn answer(&self, request: RequestBuilder, method: &str, path: &str) -> Result<Bytes, HttpError> {
        let name = || format!("{method} {path}");
        let silent = |cause: reqwest::Error| HttpError::Silent { request: name(), cause: cause.without_url() };
        let answer = request.send().await.map_err(silent)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(silent)?;
        if status.is_success() {
            return Ok(body);
        }
        let body = String::from_utf8_lossy(&body).chars().take(400).collect();
        Err(HttpError::Refused { request: name(), status, body })
    }
}
