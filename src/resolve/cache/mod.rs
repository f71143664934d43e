//! Identities that were found before, as long as they may be believed (ID-15).
//!
//! Three things end that: a write noted by [`Freshness`] that concerns the Device, Patient or Encounter; the age of what
//! was found, because nobody tells of writes at a server in another process; and want of room.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

use super::freshness::{Freshness, Mark, Moment, Place, place};
use super::plan::Identity;
use crate::model::subject::Subject;

/// Identities kept (ID-15), if they have common sizes.
const IDENTITIES_MAX: u64 = 5_000;
/// How long an identity is kept after its last use (ID-15).
const IDLE_MAX: Duration = Duration::from_secs(2 * 60 * 60);
/// The common size of an identity in bytes. One that is twice as large takes the room of two, because senders choose how
/// long identifiers are.
const IDENTITY_BYTES: usize = 1_024;

/// Identities that were found before.
pub(super) struct KnownIdentities {
    kept: Cache<Identity, Arc<Known>>,
    freshness: Arc<Freshness>,
    age_max: Duration,
}

struct Known {
    subject: Arc<Subject>,
    searched: Searched,
    depends_on: Vec<Place>,
}

/// When a search began, in the order of writes and by the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Searched {
    moment: Moment,
    at: Instant,
}

impl KnownIdentities {
    /// Knows nobody; believes what was found for at most `age_max`.
    pub(super) fn new(freshness: Arc<Freshness>, age_max: Duration) -> Self {
        let kept = Cache::builder()
            .max_capacity(IDENTITIES_MAX)
            .time_to_idle(IDLE_MAX)
            .weigher(|identity: &Identity, known: &Arc<Known>| weight(identity, &known.subject))
            .build();
        Self { kept, freshness, age_max }
    }

    /// To be called before a search begins, and handed to `keep` with what it found.
    pub(super) fn search_begins(&self) -> Searched {
        Searched { moment: self.freshness.now(), at: Instant::now() }
    }

    /// Who an identity is, if that is known and nothing it depends on was written since.
    pub(super) fn find(&self, identity: &Identity) -> Option<Arc<Subject>> {
        let known = self.kept.get(identity)?;
        let believed = known.searched.at.elapsed() < self.age_max
            && self.freshness.unchanged_since(known.searched.moment, &known.depends_on);
        believed.then(|| Arc::clone(&known.subject))
    }

    /// Keeps what a search found.
    pub(super) fn keep(&self, identity: Identity, subject: Arc<Subject>, searched: Searched) {
        let depends_on = marks(&identity, &subject).into_iter().flatten().map(place).collect();
        self.kept.insert(identity, Arc::new(Known { subject, searched, depends_on }));
    }
}

/// Whose writes may change who an identity is: the resources found, and others that come to have its identifiers.
fn marks<'a>(identity: &'a Identity, subject: &'a Subject) -> [Option<Mark<'a>>; 6] {
    [
        Some(Mark::Resource("Device", &subject.device_id)),
        Some(Mark::Identifier("Device", &identity.device_id)),
        Some(Mark::Resource("Patient", &subject.patient_id)),
        identity.patient_id.as_ref().map(|value| Mark::Identifier("Patient", value)),
        subject.encounter_id.as_ref().map(|id| Mark::Resource("Encounter", id)),
        identity.encounter_id.as_ref().map(|value| Mark::Identifier("Encounter", value)),
    ]
}

fn weight(identity: &Identity, subject: &Subject) -> u32 {
    let required = [&identity.device_id, &subject.device_id, &subject.patient_id].into_iter();
    let optional = [&identity.patient_id, &identity.encounter_id, &subject.encounter_id].into_iter().flatten();
    let bytes: usize = required.chain(optional).map(String::len).sum();
    u32::try_from(bytes.div_ceil(IDENTITY_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
