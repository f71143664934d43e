//! What every interaction has at hand.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::HOST;
use jiff::Timestamp;

use super::error::{ApiError, Category};
use crate::clock::Clock;
use crate::fhir::store::interface::Store;

/// Where the service is mounted; part of every link it writes.
pub(crate) const MOUNT: &str = "/fhir";

/// Bounds and names of the service.
#[derive(Clone, Debug)]
pub(crate) struct ApiSettings {
    /// The base of all links when the service is reached through another address than its own, for example
    /// `https://fhir.example.org/fhir`. `None`: taken from the `Host` of each request.
    pub(crate) base_url: Option<String>,
    /// Largest body taken, in bytes.
    pub(crate) body_bytes_max: usize,
    /// Most entries of a Bundle taken.
    pub(crate) bundle_entries_max: usize,
    /// Entries on a page when the client names no `_count`.
    pub(crate) page_size: usize,
    /// Most entries on a page.
    pub(crate) page_size_max: usize,
    /// Longest time until the answer to a request begins.
    pub(crate) request_timeout: Duration,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            base_url: None,
            body_bytes_max: 16 << 20,
            bundle_entries_max: 10_000,
            page_size: 50,
            page_size_max: 1_000,
            request_timeout: Duration::from_secs(60),
        }
    }
}

/// What every interaction has at hand. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ApiState {
    /// Where resources are.
    pub(crate) store: Arc<dyn Store>,
    /// Bounds and names.
    pub(crate) settings: Arc<ApiSettings>,
    /// Since when the service has been there, for its CapabilityStatement.
    pub(crate) started_at: Timestamp,
}

impl ApiState {
    /// The state of a service that starts now.
    pub(crate) fn new(store: Arc<dyn Store>, clock: &Clock, settings: ApiSettings) -> Self {
        Self { store, settings: Arc::new(settings), started_at: clock.now() }
    }

    /// The base URL of links in an answer to a request with these headers, without a slash at its end.
    ///
    /// # Errors
    /// When no base is configured and the request names no usable host.
    pub(crate) fn base_url(&self, headers: &HeaderMap) -> Result<String, ApiError> {
        if let Some(base_url) = &self.settings.base_url {
            return Ok(base_url.trim_end_matches('/').to_owned());
        }
        headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .filter(|host| !host.is_empty() && host.bytes().all(is_host_character))
            .map(|host| format!("http://{host}{MOUNT}"))
            .ok_or_else(|| ApiError::new(Category::Required, "The request has no usable `Host` header."))
    }
}

fn is_host_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)
}
