//! Resources, mostly Observations, as they were last written, so that merging into them needs no read (OB-1).
//!
//! Only a shortcut: writes carry the version, so an entry that others have outdated costs one more round and nothing
//! else. Observations of one instant are not kept; hardly any is written twice.

use std::time::Duration;

use moka::sync::Cache;

use super::target::{Known, Target};
use crate::client::bundle::Request;

/// Observations kept at most, and how long (OB-1).
const ENTRIES_MAX: u32 = 5_000;
const AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// Bytes of Observations kept at most. Streams with short periods are large.
const BYTES_MAX: u32 = 64 * 1024 * 1024;

/// The cache of a connector.
#[derive(Debug)]
pub(super) struct KnownObservations {
    /// By the URL under which they would be created, which stands for type and identifier. Where they are is in them.
    by_identifier: Cache<String, Known>,
}

impl KnownObservations {
    pub(super) fn new() -> Self {
        // Weighing each as at least its share keeps both bounds with one number.
        let weigh = |_url: &String, known: &Known| {
            u32::try_from(known.body.len()).unwrap_or(u32::MAX).max(BYTES_MAX / ENTRIES_MAX)
        };
        let cache = Cache::builder().max_capacity(u64::from(BYTES_MAX)).weigher(weigh).time_to_live(AGE_MAX);
        Self { by_identifier: cache.build() }
    }

    /// The resource of a target.
    pub(super) fn find(&self, target: &Target) -> Option<Known> {
        if target.is_single() { None } else { self.by_identifier.get(&target.url()) }
    }

    /// Keeps what was written, provided the server told its version.
    pub(super) fn keep(&self, target: &Target, request: Request, etag: Option<String>) {
        match (request, etag) {
            (Request::Put { resource, .. }, Some(etag)) if !target.is_single() => {
                let known = Known { id: target.id().to_owned(), body: resource, etag: Some(etag) };
                self.by_identifier.insert(target.url(), known);
            }
            (Request::Put { .. } | Request::Get { .. }, _) => self.forget(target),
        }
    }

    /// Drops what turned out to be outdated.
    pub(super) fn forget(&self, target: &Target) {
        if !target.is_single() {
            self.by_identifier.invalidate(&target.url());
        }
    }
}
