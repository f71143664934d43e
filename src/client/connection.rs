//! Connections over http and https, and answers read up to a bound.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Identity, RequestBuilder};
use url::Url;

use super::error::ClientError;
use super::retry;
use crate::secret::Secret;

/// Connections kept open to a server; no more are in use than Bundles may be in flight.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// How connections are made.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSettings {
    /// How long a request may take from the first byte sent to the last received.
    pub(crate) request_timeout: Duration,
    /// How long a connection may take to open.
    pub(crate) connect_timeout: Duration,
    /// Certificates of authorities that are trusted besides those of the system, as PEM.
    pub(crate) authorities: Option<String>,
    /// Certificate and key to show to a server that asks for one, as PEM.
    pub(crate) identity: Option<Secret>,
}

/// What a server said, whatever it was.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// How long it asked to be left alone.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// An answer within its bound, or beyond.
pub(super) enum Read {
    Whole(Reply),
    TooLarge,
}

/// A client for one address. Connects when first used; follows no redirects, which lead away from FHIR servers.
pub(super) fn open(url: &Url, settings: &ConnectionSettings) -> Result<reqwest::Client, ClientError> {
    // Another part of the process may have chosen the same provider before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = reqwest::Client::builder()
        .timeout(settings.request_timeout)
        .connect_timeout(settings.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .tcp_nodelay(true);
    let mut builder = match url.scheme() {
        "https" => builder.https_only(true),
        // Without TLS no certificates are needed, and a machine may have none.
        "http" => return builder.tls_certs_only([]).build().map_err(ClientError::Setup),
        _ => return Err(ClientError::Scheme),
    };
    if let Some(authorities) = &settings.authorities {
        let authorities = Certificate::from_pem_bundle(authorities.as_bytes()).map_err(ClientError::Setup)?;
        builder = builder.tls_certs_merge(authorities);
    }
    if let Some(identity) = &settings.identity {
        builder = builder.identity(Identity::from_pem(identity.expose().as_bytes()).map_err(ClientError::Setup)?);
    }
    builder.build().map_err(ClientError::Setup)
}

/// Sends a request and reads the answer, unless it is larger than `bytes_max`.
pub(super) async fn read(request: RequestBuilder, bytes_max: usize) -> Result<Read, reqwest::Error> {
    let mut response = request.send().await?;
    let (status, retry_after) = (response.status(), retry_after(response.headers()));
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > bytes_max && status.is_success() {
        return Ok(Read::TooLarge);
    }
    let mut body = Vec::with_capacity(announced.min(bytes_max));
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= bytes_max => body.extend_from_slice(&chunk),
            Ok(Some(_)) if status.is_success() => return Ok(Read::TooLarge),
            Ok(None) => break,
            Err(cause) if status.is_success() => return Err(cause),
            // The answer is no, whether or not its explanation arrives.
            Ok(Some(_)) | Err(_) => {
                body.clear();
                break;
            }
        }
    }
    Ok(Read::Whole(Reply { status: status.as_u16(), retry_after, body: body.into() }))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok());
    retry::asked(text(RETRY_AFTER)?, text(reqwest::header::DATE))
}

/// An address as it may be shown: without credentials and query.
pub(super) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    // Only URLs that cannot have a user name refuse, and those are no http URLs.
    let plain = shown.set_username("").and_then(|()| shown.set_password(None));
    if plain.is_err() { url.scheme().to_owned() } else { shown.to_string() }
}
