//! Which resources were written since when, so that what was found before counts no more.
//!
//! Time is a count of writes. A search remembers the count at which it began; what it found is fresh as long as nothing
//! it depends on was written at a later count. A search that began before a write and ends after it is therefore never
//! believed afterwards, whatever it saw.
//!
//! What is written and what is depended on are marks: hashes of a logical id, or of the value of an identifier, into a
//! table of fixed size. Two that share a place only cost a search too many.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// Places in the table, 1 MiB. With all of the cache full, one write outdates less than one entry by mistake.
const PLACES: usize = 1 << 17;

/// When Devices, Patients and Encounters were last written, as far as this process is told. Shared by those who write and
/// those who resolve.
pub(crate) struct Freshness {
    /// Grows with every write.
    writes: AtomicU64,
    /// For each place the count of the last write that concerned it; never shrinks.
    last_written: Box<[AtomicU64]>,
}

/// A moment in the order of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(u64);

/// What can be written, or depended on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mark<'a> {
    /// The resource of this type under this logical id.
    Resource(&'a str, &'a str),
    /// Resources of this type with an identifier of this value.
    Identifier(&'a str, &'a str),
}

/// A mark, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Freshness {
    /// Nothing was written yet.
    pub(crate) fn new() -> Self {
        Self { writes: AtomicU64::new(0), last_written: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Notes that a resource was written or deleted; `identifiers` are the values it is now found by. To be called after
    /// the change can be seen, and before its author hears of it.
    pub(crate) fn note<'a>(&self, resource_type: &str, id: &str, identifiers: impl Iterator<Item = &'a str>) {
        let count = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        self.touch(Mark::Resource(resource_type, id), count);
        for value in identifiers {
            self.touch(Mark::Identifier(resource_type, value), count);
        }
    }

    fn touch(&self, mark: Mark<'_>, count: u64) {
        if let Some(last) = self.last_written.get(place(mark).0) {
            last.fetch_max(count, Ordering::SeqCst);
        }
    }

    /// The present. Whatever is searched from here on sees all that was noted before it.
    pub(super) fn now(&self) -> Moment {
        Moment(self.writes.load(Ordering::SeqCst))
    }

    /// Whether none of these was written after `moment`.
    pub(super) fn unchanged_since(&self, moment: Moment, places: &[Place]) -> bool {
        let last = |place: &Place| self.last_written.get(place.0).map_or(u64::MAX, |last| last.load(Ordering::SeqCst));
        places.iter().all(|place| last(place) <= moment.0)
    }
}

/// Where a mark is kept.
pub(super) fn place(mark: Mark<'_>) -> Place {
    let mut hasher = DefaultHasher::new();
    mark.hash(&mut hasher);
    let hash = hasher.finish() % u64::try_from(PLACES).unwrap_or(1);
    Place(usize::try_from(hash).unwrap_or(0))
}
