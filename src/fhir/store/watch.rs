//! Who must know of a change before its author hears that it took effect.
//!
//! A cache outside the store is right only if nothing can happen between a change and its becoming known there. So what
//! a write changed is told when the write ends: after the commit, and before its caller goes on. It is told from `Drop`,
//! because a caller may stop waiting while its write takes effect all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{IndexEntry, ResourceKey};
use crate::r4::resource_type::ResourceType;

/// Hears of changes to some resources.
pub(crate) struct Watch {
    /// The types it hears of. Writes of others cost no more than looking here.
    pub(crate) resource_types: Vec<ResourceType>,
    /// Called for each change, which may also be one that did not take effect. Must not block.
    pub(crate) hear: Box<dyn Fn(&Change) + Send + Sync>,
}

/// A version that was written.
#[derive(Debug)]
pub(crate) struct Change {
    /// Of which resource.
    pub(crate) key: ResourceKey,
    /// What it is found by from now on; empty for a deletion.
    pub(crate) index: Vec<IndexEntry>,
}

/// What one write changes, told when it is dropped.
pub(super) struct Changes {
    watch: Option<Arc<Watch>>,
    changes: Vec<Change>,
    /// Counts the writes that changed definitions.
    epoch: Arc<AtomicU64>,
    has_new_definitions: bool,
}

impl Changes {
    /// No changes yet.
    pub(super) fn of(watch: Option<Arc<Watch>>, epoch: Arc<AtomicU64>) -> Self {
        Self { watch, changes: Vec::new(), epoch, has_new_definitions: false }
    }

    /// Keeps that the definitions changed.
    pub(super) fn add_definitions(&mut self) {
        self.has_new_definitions = true;
    }

    /// Keeps a change if someone wants to hear of it.
    pub(super) fn add(&mut self, key: &ResourceKey, index: Vec<IndexEntry>) {
        if self.watch.as_ref().is_some_and(|watch| watch.resource_types.contains(&key.resource_type)) {
            self.changes.push(Change { key: key.clone(), index });
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if self.has_new_definitions {
            self.epoch.fetch_add(1, Ordering::Release);
        }
        if let Some(watch) = &self.watch {
            self.changes.iter().for_each(|change| (watch.hear)(change));
        }
    }
}
