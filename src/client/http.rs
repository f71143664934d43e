//! One Bundle, sent once, over http or https.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use url::Url;

use super::bundle::{self, Answer, Request};
use super::error::SubmitError;
use crate::secret::Secret;

/// FHIR's media type for JSON.
const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");
/// Connections kept open to the server; no more are in use than Bundles may be in flight.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// Where the FHIR server is, and how to speak to it.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    /// Base of the server, for example `http://127.0.0.1:8080/fhir`.
    pub(crate) base_url: Url,
    /// How long a Bundle may take from the first byte sent to the last received.
    pub(crate) request_timeout: Duration,
    /// How long a connection may take to open.
    pub(crate) connect_timeout: Duration,
    /// Token for the header `Authorization: Bearer`.
    pub(crate) bearer_token: Option<Secret>,
}

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The URL is for something else.
    #[error("the URL of a FHIR server starts with http:// or https://")]
    Scheme,
    /// The token holds characters that no header can carry.
    #[error("the bearer token holds characters that cannot be sent")]
    Token,
    /// The system's certificates cannot be read, or the like.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
}

/// A FHIR server. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub(crate) struct FhirClient {
    wire: Wire,
    base_url: Url,
    /// The base as it may be shown: without credentials.
    endpoint: String,
}

/// What carries Bundles to the server.
#[derive(Clone, Debug)]
enum Wire {
    Http(reqwest::Client),
    /// Nothing but function calls, so that tests may stop the clock.
    #[cfg(test)]
    Simulated(super::simulated_wire::SimulatedWire),
}

/// What the server said, whatever it was.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// How long it asked to be left alone.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl FhirClient {
    /// A client for one server. Connects when first used.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        // Another part of the process may have chosen the same provider before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = reqwest::Client::builder()
            .timeout(settings.request_timeout)
            .connect_timeout(settings.connect_timeout)
            .default_headers(headers(settings)?)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .tcp_nodelay(true);
        let builder = match settings.base_url.scheme() {
            "https" => builder.https_only(true),
            // Without TLS no certificates are needed, and a machine may have none.
            "http" => builder.tls_certs_only([]),
            _ => return Err(ClientError::Scheme),
        };
        let http = builder.build().map_err(ClientError::Setup)?;
        let endpoint = shown(&settings.base_url);
        Ok(Self { wire: Wire::Http(http), base_url: settings.base_url.clone(), endpoint })
    }

    /// A client of a server that is not reached over a network.
    #[cfg(test)]
    pub(crate) fn simulated(wire: super::simulated_wire::SimulatedWire, base_url: Url) -> Self {
        Self { wire: Wire::Simulated(wire), endpoint: shown(&base_url), base_url }
    }

    /// The base of the server as it may be shown, without credentials.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The part of an absolute URL below the base, for a Bundle entry; `None` when it points elsewhere.
    pub(crate) fn relative(&self, url: &str) -> Option<String> {
        let base = self.base_url.as_str().trim_end_matches('/');
        match url.strip_prefix(base) {
            Some(rest) => Some(rest.trim_start_matches('/').to_owned()),
            None => (!url.contains("://")).then(|| url.trim_start_matches('/').to_owned()),
        }
    }

    /// The version of FHIR the server says it speaks, for example `4.0.1`.
    ///
    /// # Errors
    /// When it does not answer, refuses, or its answer is not a CapabilityStatement.
    pub(crate) async fn fhir_version(&self) -> Result<String, SubmitError> {
        let text = self.accepted(self.get("metadata").await?)?;
        let capabilities: Capabilities =
            serde_json::from_slice(&text).map_err(|cause| self.unreadable(bundle::ResponseError::Shape(cause)))?;
        Ok(capabilities.fhir_version)
    }

    /// Sends requests in one Bundle and gives an answer for each, in their order.
    ///
    /// # Errors
    /// When the Bundle as a whole was not processed, or it is not known whether it was; see [`SubmitError`].
    pub(crate) async fn submit<'a>(
        &self,
        requests: impl ExactSizeIterator<Item = &'a Request>,
    ) -> Result<Vec<Answer>, SubmitError> {
        let asked = requests.len();
        let text = self.accepted(self.post(bundle::write(requests)).await?)?;
        bundle::read(&text, asked).map_err(|cause| self.unreadable(cause))
    }

    async fn get(&self, path: &str) -> Result<Reply, SubmitError> {
        let url = format!("{}/{path}", self.base_url.as_str().trim_end_matches('/'));
        match &self.wire {
            Wire::Http(http) => self.reply(http.get(url)).await,
            #[cfg(test)]
            Wire::Simulated(wire) => wire.get(path).await.map_err(|cause| cause.error(&self.endpoint)),
        }
    }

    async fn post(&self, bundle: Vec<u8>) -> Result<Reply, SubmitError> {
        match &self.wire {
            Wire::Http(http) => self.reply(http.post(self.base_url.clone()).body(bundle)).await,
            #[cfg(test)]
            Wire::Simulated(wire) => wire.post(bundle).await.map_err(|cause| cause.error(&self.endpoint)),
        }
    }

    async fn reply(&self, request: reqwest::RequestBuilder) -> Result<Reply, SubmitError> {
        let unanswered = |cause| SubmitError::unanswered(&self.endpoint, cause);
        let response = request.send().await.map_err(unanswered)?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(cause) if status.is_success() => return Err(unanswered(cause)),
            // The answer is no, whether or not its explanation arrives.
            Err(_) => Bytes::new(),
        };
        Ok(Reply { status: status.as_u16(), retry_after, body })
    }

    /// The body of a yes.
    fn accepted(&self, reply: Reply) -> Result<Bytes, SubmitError> {
        let Reply { status, retry_after, body } = reply;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let diagnosis = std::str::from_utf8(&body).ok().and_then(bundle::diagnosis);
        Err(SubmitError::Refused { endpoint: self.endpoint.clone(), status, retry_after, diagnosis })
    }

    fn unreadable(&self, cause: bundle::ResponseError) -> SubmitError {
        SubmitError::Unreadable { endpoint: self.endpoint.clone(), cause }
    }
}

/// The part of a CapabilityStatement that tells what a server speaks.
#[derive(serde::Deserialize)]
struct Capabilities {
    #[serde(rename = "fhirVersion")]
    fhir_version: String,
}

fn headers(settings: &ClientSettings) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, FHIR_JSON);
    headers.insert(CONTENT_TYPE, FHIR_JSON);
    // What was written is known; sending it back would cost both sides more than the writing.
    headers.insert("prefer", HeaderValue::from_static("return=minimal"));
    if let Some(token) = &settings.bearer_token {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_invalid| ClientError::Token)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn shown(base_url: &Url) -> String {
    let mut shown = base_url.clone();
    // Only URLs that cannot have a user name refuse, and those are no http URLs.
    let plain = shown.set_username("").and_then(|()| shown.set_password(None));
    if plain.is_err() { base_url.scheme().to_owned() } else { shown.to_string() }
}

/// Seconds, or a date (<https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>); a date is left to the usual pause.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ClientError, ClientSettings, FhirClient};
    use crate::secret::Secret;

    fn settings(base_url: &str) -> ClientSettings {
        ClientSettings {
            base_url: base_url.parse().unwrap(),
            request_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            bearer_token: Some(Secret::new("t".to_owned())),
        }
    }

    #[test]
    fn only_http_urls_are_servers() {
        assert!(matches!(FhirClient::new(&settings("ftp://x/fhir")), Err(ClientError::Scheme)));
    }

    #[test]
    fn credentials_in_the_url_are_not_shown() {
        let client = FhirClient::new(&settings("http://user:word@localhost/fhir")).unwrap();
        assert_eq!(client.endpoint(), "http://localhost/fhir");
    }

    #[test]
    fn links_below_the_base_become_relative() {
        let client = FhirClient::new(&settings("http://localhost/fhir")).unwrap();
        assert_eq!(client.relative("http://localhost/fhir/Device?x=1").as_deref(), Some("Device?x=1"));
        assert_eq!(client.relative("Device?x=1").as_deref(), Some("Device?x=1"));
        assert_eq!(client.relative("http://elsewhere/fhir/Device?x=1"), None);
    }
}
