//! A running vitalwire process as a command of an operator reaches it: its REST surface, JSON in and out.
//!
//! Knows nothing of what is asked. The process is the only one that may open its database, so that whoever wants to see
//! or change what is in it asks here.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use url::Url;

/// Longest wait for an answer. Discarding very many dead letters takes a while.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for a connection to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A running process.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    http: reqwest::Client,
    base: Url,
}

/// Why a process does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// What was given is no URL of HTTP.
    #[error("`{0}` is not the URL of a vitalwire process; expected one such as http://127.0.0.1:8080")]
    Url(String),
    /// The system's certificates cannot be read, or the like.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// It may not run, or elsewhere.
    #[error(
        "no vitalwire process answers at {base}; start it with `vitalwire serve`, or give its address with --url (it \
         logs where it listens)"
    )]
    NoAnswer {
        /// The address asked.
        base: Url,
        /// What the network said.
        #[source]
        cause: reqwest::Error,
    },
    /// It says no, and why.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// Something else listens there.
    #[error("{base} answers with status {status}, but not as vitalwire does; check --url")]
    Stranger {
        /// The address asked.
        base: Url,
        /// HTTP status.
        status: u16,
    },
}

impl Remote {
    /// The process at this URL. Connects when first asked.
    ///
    /// # Errors
    /// When the URL is not one, or no client can be made.
    pub(crate) fn new(url: &str) -> Result<Self, RemoteError> {
        let base: Url = url.parse().map_err(|_cause| RemoteError::Url(url.to_owned()))?;
        // Another part of the process may have chosen the same provider before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).connect_timeout(CONNECT_TIMEOUT);
        let builder = match base.scheme() {
            "https" => builder.https_only(true),
            // Without TLS no certificates are needed, and a machine may have none.
            "http" => builder.tls_certs_only([]),
            _ => return Err(RemoteError::Url(url.to_owned())),
        };
        Ok(Self { http: builder.build().map_err(RemoteError::Setup)?, base })
    }

    /// What stands at a path, given by its segments.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, RemoteError> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.answer(self.http.request(Method::GET, url)).await
    }

    /// What comes of sending a JSON body to a path, given by its segments.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, RemoteError> {
        let request = self.http.request(Method::POST, self.url(path));
        self.answer(request.header(CONTENT_TYPE, "application/json").body(body.to_string())).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // URLs of HTTP always have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value, RemoteError> {
        let silent =
            |cause: reqwest::Error| RemoteError::NoAnswer { base: self.base.clone(), cause: cause.without_url() };
        let answer = request.send().await.map_err(silent)?;
        let status = answer.status();
        let body: Option<Value> = serde_json::from_slice(&answer.bytes().await.map_err(silent)?).ok();
        match body {
            Some(body) if status.is_success() => Ok(body),
            Some(Value::Object(mut body)) => match body.remove("error") {
                Some(Value::String(message)) => Err(RemoteError::Refused { status: status.as_u16(), message }),
                _ => Err(self.stranger(status.as_u16())),
            },
            _ => Err(self.stranger(status.as_u16())),
        }
    }

    fn stranger(&self, status: u16) -> RemoteError {
        RemoteError::Stranger { base: self.base.clone(), status }
    }
}
