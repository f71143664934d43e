use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{Strategy, any, proptest};
use tokio::time::advance;

use super::{IDENTITIES_MAX, KnownIdentities, Searched};
use crate::model::subject::Subject;
use crate::resolve::freshness::Freshness;
use crate::resolve::plan::Identity;

const AGE_MAX: Duration = Duration::from_secs(300);

fn identity(device_id: &str) -> Identity {
    Identity {
        device_id: device_id.to_owned(),
        patient_id: Some(format!("patient of {device_id}")),
        encounter_id: Some(format!("encounter of {device_id}")),
    }
}

fn subject(patient_id: &str) -> Arc<Subject> {
    Arc::new(Subject {
        patient_id: patient_id.to_owned(),
        device_id: "device-1".to_owned(),
        encounter_id: Some("encounter-1".to_owned()),
    })
}

/// Whether an identity is still known after a write.
fn survives(resource_type: &str, id: &str, identifier: &str) -> bool {
    let freshness = Arc::new(Freshness::new());
    let known = KnownIdentities::new(Arc::clone(&freshness), AGE_MAX);
    let searched = known.search_begins();
    known.keep(identity("d"), subject("patient-1"), searched);
    freshness.note(resource_type, id, std::iter::once(identifier));
    known.find(&identity("d")).is_some()
}

#[test]
fn id_15_a_write_of_what_was_found_or_of_another_with_its_identifier_ends_it() {
    for (resource_type, id, identifier) in [
        ("Device", "device-1", "x"),
        ("Device", "x", "d"),
        ("Patient", "patient-1", "x"),
        ("Patient", "x", "patient of d"),
        ("Encounter", "encounter-1", "x"),
        ("Encounter", "x", "encounter of d"),
    ] {
        assert!(!survives(resource_type, id, identifier), "{resource_type}/{id} {identifier}");
    }
}

#[test]
fn id_15_a_write_of_something_else_leaves_it() {
    for (resource_type, id, identifier) in
        [("Device", "device-2", "e"), ("Patient", "device-1", "d"), ("Encounter", "patient-1", "patient of d")]
    {
        assert!(survives(resource_type, id, identifier), "{resource_type}/{id} {identifier}");
    }
}

#[test]
fn id_15_the_key_is_device_patient_and_encounter() {
    let known = KnownIdentities::new(Arc::new(Freshness::new()), AGE_MAX);
    known.keep(identity("d"), subject("p"), known.search_begins());
    let other_patient = Identity { patient_id: None, ..identity("d") };
    let other_encounter = Identity { encounter_id: Some("another".to_owned()), ..identity("d") };
    assert!(known.find(&identity("d")).is_some());
    assert!(known.find(&other_patient).is_none() && known.find(&other_encounter).is_none());
}

#[tokio::test(start_paused = true)]
async fn id_15_nothing_is_believed_for_ever_however_often_it_is_used() {
    let known = KnownIdentities::new(Arc::new(Freshness::new()), AGE_MAX);
    let searched = known.search_begins();
    // The age is that of the search, not of its answer.
    advance(AGE_MAX / 2).await;
    known.keep(identity("d"), subject("p"), searched);
    advance(AGE_MAX / 2 - Duration::from_millis(1)).await;
    assert!(known.find(&identity("d")).is_some());
    advance(Duration::from_millis(1)).await;
    assert!(known.find(&identity("d")).is_none());
}

#[test]
fn id_15_long_identifiers_take_the_room_of_several() {
    let known = KnownIdentities::new(Arc::new(Freshness::new()), AGE_MAX);
    for device in 0..200 {
        let long = Identity { patient_id: Some("p".repeat(100 << 10)), ..identity(&device.to_string()) };
        known.keep(long, subject("p"), known.search_begins());
    }
    known.kept.run_pending_tasks();
    assert!(known.kept.entry_count() <= IDENTITIES_MAX / 100, "{}", known.kept.entry_count());
    assert!(known.kept.entry_count() > 0);
}

/// What may happen, in any order. Two devices are enough to tell one's writes from the other's.
#[derive(Clone, Debug)]
enum Event {
    /// Somebody changes to whom a device belongs; readers see it from here on.
    Commit {
        device: usize,
        how: usize,
    },
    /// One of the commits is noted, and its author has the answer.
    Note {
        which: usize,
    },
    /// A search begins, sees the owner, ends.
    Begin {
        device: usize,
    },
    See {
        device: usize,
    },
    End {
        device: usize,
    },
    /// A message arrives.
    LookUp {
        device: usize,
    },
}

fn event() -> impl Strategy<Value = Event> {
    (0..6_u8, 0..2_usize, any::<usize>()).prop_map(|(kind, device, number)| match kind {
        0 => Event::Commit { device, how: number },
        1 => Event::Note { which: number },
        2 => Event::Begin { device },
        3 => Event::See { device },
        4 => Event::End { device },
        _ => Event::LookUp { device },
    })
}

/// The owners as the server has them, and what its users know of them.
struct World {
    freshness: Arc<Freshness>,
    known: KnownIdentities,
    /// How often each device changed hands; its owner is called so.
    owners: [u64; 2],
    /// The latest owner of which somebody has an answer.
    answered: [u64; 2],
    /// Commits that are not noted yet: device, how, owner.
    commits: Vec<(usize, usize, u64)>,
    searches: HashMap<usize, (Searched, Option<u64>)>,
}

impl World {
    fn new() -> Self {
        let freshness = Arc::new(Freshness::new());
        let known = KnownIdentities::new(Arc::clone(&freshness), AGE_MAX);
        let (owners, answered) = ([0; 2], [0; 2]);
        Self { freshness, known, owners, answered, commits: Vec::new(), searches: HashMap::new() }
    }

    fn note(&self, device: usize, how: usize) {
        let (other, id) = ("other", format!("device-{device}"));
        let identity = identity(&device.to_string());
        let (patient, encounter) = (identity.patient_id.unwrap(), identity.encounter_id.unwrap());
        let (resource_type, id, identifier) = match how % 5 {
            0 => ("Device", id.as_str(), other),
            1 => ("Device", other, identity.device_id.as_str()),
            2 => ("Patient", other, patient.as_str()),
            3 => ("Encounter", "encounter", other),
            _ => ("Encounter", other, encounter.as_str()),
        };
        self.freshness.note(resource_type, id, std::iter::once(identifier));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Commit { device, how } => {
                self.owners[device] += 1;
                self.commits.push((device, how, self.owners[device]));
            }
            Event::Note { which } if !self.commits.is_empty() => {
                let (device, how, owner) = self.commits.remove(which % self.commits.len());
                self.note(device, how);
                self.answered[device] = self.answered[device].max(owner);
            }
            Event::Note { .. } => {}
            Event::Begin { device } => drop(self.searches.insert(device, (self.known.search_begins(), None))),
            Event::See { device } => {
                if let Some((_, seen)) = self.searches.get_mut(&device) {
                    *seen = Some(self.owners[device]);
                }
            }
            Event::End { device } => {
                if let Some((searched, Some(owner))) = self.searches.remove(&device) {
                    let subject = Subject {
                        patient_id: owner.to_string(),
                        device_id: format!("device-{device}"),
                        encounter_id: Some("encounter".to_owned()),
                    };
                    self.known.keep(identity(&device.to_string()), Arc::new(subject), searched);
                }
            }
            Event::LookUp { device } => {
                if let Some(subject) = self.known.find(&identity(&device.to_string())) {
                    let owner: u64 = subject.patient_id.parse().unwrap();
                    assert!(owner >= self.answered[device], "{owner} after {}", self.answered[device]);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn id_15_nobody_is_found_who_was_replaced_before_the_message_came(
        events in proptest::collection::vec(event(), 0..200),
    ) {
        let mut world = World::new();
        events.into_iter().for_each(|event| world.happen(event));
    }
}
