//! What every interaction has at hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use tokio::sync::Notify;

use super::body::Room;
use super::definitions::{self, Loaded};
use super::error::{ApiError, Category};
use super::policies::{ConditionalDeletes, Versioning};
use super::resource::Rules;
use crate::clock::Clock;
use crate::fhir::search::registry::Registry;
use crate::fhir::store::interface::{Reader, Store};
use crate::fhir::structure::Validation;

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
    /// Bytes of bodies in memory at a time.
    pub(crate) in_flight_bytes_max: usize,
    /// Longest URL taken: path and query, in bytes.
    pub(crate) url_bytes_max: usize,
    /// Largest headers taken: names and values together, in bytes.
    pub(crate) header_bytes_max: usize,
    /// Most entries of a Bundle taken.
    pub(crate) bundle_entries_max: usize,
    /// Entries on a page when the client names no `_count`.
    pub(crate) page_size: usize,
    /// Most entries on a page.
    pub(crate) page_size_max: usize,
    /// How much of a resource is checked before it is written.
    pub(crate) validation: Validation,
    /// Origins whose pages may use the service from a browser; `*` is any.
    pub(crate) cors_origins: Vec<HeaderValue>,
    /// Longest time until the answer to a request begins.
    pub(crate) request_timeout: Duration,
    /// Longest time that a search may take.
    pub(crate) search_time_max: Duration,
    /// What a conditional delete may reach.
    pub(crate) conditional_deletes: ConditionalDeletes,
    /// What versions of each type are good for. That some are not kept is up to the store.
    pub(crate) versioning: Versioning,
}

impl ApiSettings {
    /// Longest link that can be followed, in bytes behind the base.
    pub(crate) fn link_bytes_max(&self) -> usize {
        self.url_bytes_max.saturating_sub(MOUNT.len())
    }
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            base_url: None,
            body_bytes_max: 16 << 20,
            in_flight_bytes_max: 256 << 20,
            url_bytes_max: 32_768,
            header_bytes_max: 32_768,
            bundle_entries_max: 10_000,
            page_size: 50,
            page_size_max: 1_000,
            validation: Validation::Structure,
            cors_origins: Vec::new(),
            request_timeout: Duration::from_secs(60),
            search_time_max: Duration::from_secs(20),
            conditional_deletes: ConditionalDeletes::default(),
            versioning: Versioning::default(),
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
    /// The time of operations that are about now, and of what is made up for an answer.
    pub(crate) clock: Clock,
    loaded: Loaded,
    /// Where bodies are kept until they are done with.
    pub(crate) room: Room,
    /// Told when a run of `$reindex` begins.
    pub(crate) run_began: Arc<Notify>,
    /// Since when the service has been there, for its CapabilityStatement.
    pub(crate) started_at: Timestamp,
}

impl ApiState {
    /// The state of a service that starts now.
    pub(crate) fn new(store: Arc<dyn Store>, clock: &Clock, settings: ApiSettings) -> Self {
        Self {
            store,
            clock: clock.clone(),
            loaded: Loaded::default(),
            room: Room::new(settings.in_flight_bytes_max),
            settings: Arc::new(settings),
            run_began: Arc::default(),
            started_at: clock.now(),
        }
    }

    /// Runs a search, which is interrupted when it takes longer than it may.
    ///
    /// # Errors
    /// What the search returns, or that it was interrupted or had no chance to begin.
    pub(crate) async fn search<T: Send + 'static>(
        &self,
        search: impl FnOnce(&dyn Reader) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let limit = self.settings.search_time_max;
        let began = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&began);
        let found = self.store.search(move |reader| {
            begins.store(true, Ordering::Relaxed);
            search(reader)
        });
        tokio::time::timeout(limit, found).await.unwrap_or_else(|_elapsed| {
            let limit = limit.as_secs_f32();
            Err(if began.load(Ordering::Relaxed) {
                let detail = format!(
                    "The search did not finish within {limit} s and was given up. Narrow it: name a patient, a code, a \
                     shorter time, or fewer and shorter chains."
                );
                ApiError::new(Category::TooCostly, detail)
            } else {
                let detail = format!("Other searches kept the server busy for {limit} s. Try again later.");
                ApiError::new(Category::Unavailable, detail)
            })
        })
    }

    /// The search parameters of the moment.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn registry(&self) -> Result<Arc<Registry>, ApiError> {
        // Asked for before it is loaded: a change that comes meanwhile shows the next time.
        let epoch = self.store.definitions_epoch();
        if let Some(registry) = self.loaded.of_epoch(epoch) {
            return Ok(registry);
        }
        let registry = self.store.read(definitions::in_force).await?;
        self.loaded.keep(epoch, &registry);
        Ok(registry)
    }

    /// How resources are read by this service, which is at `base_url`.
    pub(crate) fn rules<'a>(&self, base_url: &'a str, registry: &'a Arc<Registry>) -> Rules<'a> {
        Rules { base_url, validation: self.settings.validation, registry }
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
