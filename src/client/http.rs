//! One Bundle, sent once, over http or https.

use bytes::Bytes;
use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use url::Url;

use super::authentication::{Authentication, Signer};
use super::bundle::{self, Answer, Request, ResponseError};
use super::connection::{self, ConnectionSettings, Read, Reply};
use super::error::{ClientError, SubmitError};

/// FHIR's media type for JSON.
const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");
/// Largest answer that is read. One to a Bundle of 500 Observations with their bodies is a megabyte.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where the FHIR server is, and how to speak to it.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    /// Base of the server, for example `http://127.0.0.1:8080/fhir`.
    pub(crate) base_url: Url,
    /// How the client proves who it is.
    pub(crate) authentication: Authentication,
    /// How connections are made, to the server and to its token endpoint.
    pub(crate) connection: ConnectionSettings,
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
    Http {
        http: reqwest::Client,
        signer: Signer,
    },
    /// Nothing but function calls, so that tests may stop the clock.
    #[cfg(test)]
    Simulated(super::simulated_wire::SimulatedWire),
}

impl FhirClient {
    /// A client for one server. Connects when first used.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        let http = connection::open(&settings.base_url, &settings.connection)?;
        let signer = Signer::new(&settings.authentication, &settings.connection)?;
        let endpoint = connection::shown(&settings.base_url);
        Ok(Self { wire: Wire::Http { http, signer }, base_url: settings.base_url.clone(), endpoint })
    }

    /// A client of a server that is not reached over a network.
    #[cfg(test)]
    pub(crate) fn simulated(wire: super::simulated_wire::SimulatedWire, base_url: Url) -> Self {
        Self { wire: Wire::Simulated(wire), endpoint: connection::shown(&base_url), base_url }
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
            serde_json::from_slice(&text).map_err(|cause| self.unreadable(ResponseError::shape(&text, cause)))?;
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
            Wire::Http { http, signer } => self.reply(signer, || http.get(&url)).await,
            #[cfg(test)]
            Wire::Simulated(wire) => wire.get(path).await.map_err(|cause| cause.error(&self.endpoint)),
        }
    }

    async fn post(&self, bundle: Vec<u8>) -> Result<Reply, SubmitError> {
        match &self.wire {
            Wire::Http { http, signer } => {
                let bundle = Bytes::from(bundle);
                // What was written is known; sending it back would cost both sides more than the writing.
                let request = || http.post(self.base_url.clone()).header("prefer", "return=minimal");
                // HAPI answers a search as it did a minute ago. A device that was given to a patient meanwhile would look
                // as if it did not exist, and be given to another one.
                let request = || request().header(CACHE_CONTROL, "no-cache");
                self.reply(signer, || request().body(bundle.clone())).await
            }
            #[cfg(test)]
            Wire::Simulated(wire) => wire.post(bundle).await.map_err(|cause| cause.error(&self.endpoint)),
        }
    }

    /// The answer to a request; with another token if the server does not take the first.
    async fn reply(&self, signer: &Signer, request: impl Fn() -> RequestBuilder) -> Result<Reply, SubmitError> {
        let signed = signer.sign(request()).await.map_err(SubmitError::Token)?;
        let reply = self.read(signed.request).await?;
        match signed.token {
            // Revoked before its time, perhaps.
            Some(token) if reply.status == 401 => {
                signer.forget(&token).await;
                let signed = signer.sign(request()).await.map_err(SubmitError::Token)?;
                self.read(signed.request).await
            }
            Some(_) | None => Ok(reply),
        }
    }

    async fn read(&self, request: RequestBuilder) -> Result<Reply, SubmitError> {
        let request = request.header(ACCEPT, FHIR_JSON).header(CONTENT_TYPE, FHIR_JSON);
        // Without this header a server may choose any encoding.
        match connection::read(request.header(ACCEPT_ENCODING, "identity"), ANSWER_BYTES_MAX).await {
            Ok(Read::Whole(reply)) => Ok(reply),
            Ok(Read::TooLarge) => Err(SubmitError::TooLarge { endpoint: self.endpoint.clone() }),
            Err(cause) => Err(SubmitError::unanswered(&self.endpoint, cause)),
        }
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

    fn unreadable(&self, cause: ResponseError) -> SubmitError {
        SubmitError::Unreadable { endpoint: self.endpoint.clone(), cause }
    }
}

/// The part of a CapabilityStatement that tells what a server speaks.
#[derive(serde::Deserialize)]
struct Capabilities {
    #[serde(rename = "fhirVersion")]
    fhir_version: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Authentication, ClientError, ClientSettings, ConnectionSettings, FhirClient};
    use crate::secret::Secret;

    fn settings(base_url: &str) -> ClientSettings {
        ClientSettings {
            base_url: base_url.parse().unwrap(),
            authentication: Authentication::Bearer(Secret::new("t".to_owned())),
            connection: ConnectionSettings {
                request_timeout: Duration::from_secs(1),
                connect_timeout: Duration::from_secs(1),
                authorities: None,
                identity: None,
            },
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
