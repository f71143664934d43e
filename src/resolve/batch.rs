//! A batch of groups, divided into those that can go on and those that must be searched for. Pure.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::plan::{Identity, IdentityFailure};
use crate::model::group::{MeasurementGroup, ResolvedGroup};
use crate::model::subject::Subject;

/// Who identities are, or why that cannot be said.
pub(super) type Resolutions = HashMap<Identity, Result<Arc<Subject>, IdentityFailure>>;

/// A batch of groups, divided.
#[derive(Debug)]
pub(super) struct Batch {
    /// Groups of devices about which nothing is open.
    pub(super) resolved: Vec<ResolvedGroup>,
    /// All groups of the other devices, so that those of one device stay together and in order (GR-3).
    pub(super) open: Vec<MeasurementGroup>,
    /// What is open about them, each once, in the order in which it came.
    pub(super) unknown: Vec<Identity>,
    /// What is known already.
    pub(super) known: Resolutions,
}

impl Batch {
    /// Divides groups by what `find` knows.
    pub(super) fn of(groups: Vec<MeasurementGroup>, find: impl Fn(&Identity) -> Option<Arc<Subject>>) -> Self {
        let mut known = Resolutions::new();
        let mut unknown = Vec::new();
        let mut asked = HashSet::new();
        let mut devices = HashSet::new();
        let keyed: Vec<(Identity, MeasurementGroup)> =
            groups.into_iter().map(|group| (Identity::of(&group.key), group)).collect();
        for (identity, _) in &keyed {
            let Entry::Vacant(place) = known.entry(identity.clone()) else { continue };
            match find(identity) {
                Some(subject) => drop(place.insert(Ok(subject))),
                None if asked.insert(identity) => {
                    devices.insert(identity.device_id.clone());
                    unknown.push(identity.clone());
                }
                None => {}
            }
        }
        let mut resolved = Vec::with_capacity(keyed.len());
        let mut open = Vec::new();
        for (identity, group) in keyed {
            match known.get(&identity) {
                Some(Ok(subject)) if !devices.contains(&identity.device_id) => {
                    resolved.push(ResolvedGroup { group, subject: Arc::clone(subject) });
                }
                Some(_) | None => open.push(group),
            }
        }
        Self { resolved, open, unknown, known }
    }
}
