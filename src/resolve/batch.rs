//! A batch of groups, divided into those that can go on and those that must be searched for. Pure.

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
            if !asked.insert(identity) {
                continue;
            }
            match find(identity) {
                Some(subject) => drop(known.insert(identity.clone(), Ok(subject))),
                None => {
                    devices.insert(identity.device_id.clone());
                    unknown.push(identity.clone());
                }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::Batch;
    use crate::model::group::Span;
    use crate::model::samples::{Heard, group};
    use crate::model::subject::Subject;
    use crate::resolve::plan::Identity;

    fn known(identity: &Identity) -> Option<Arc<Subject>> {
        let patient_id = identity.patient_id.clone().filter(|patient| patient != "q")?;
        Some(Arc::new(Subject { patient_id, device_id: identity.device_id.clone(), encounter_id: None }))
    }

    #[test]
    fn gr_3_a_device_about_which_something_is_open_waits_as_a_whole_and_in_order() {
        let heard = Arc::new(Heard::default());
        let at = (Timestamp::UNIX_EPOCH, Span::Single(Timestamp::UNIX_EPOCH));
        let of = |(device, patient)| group(&heard, 1, (device, Some(patient)), at, "65");
        let groups = [("a", "p"), ("b", "p"), ("a", "q"), ("b", "p"), ("a", "p")].map(of);
        let batch = Batch::of(groups.into(), known);
        let resolved: Vec<&str> = batch.resolved.iter().map(|one| one.group.key.device_id.as_str()).collect();
        let open: Vec<_> =
            batch.open.iter().map(|one| (one.key.device_id.as_str(), one.key.patient_id.as_deref())).collect();
        assert_eq!((resolved, open), (vec!["b", "b"], vec![("a", Some("p")), ("a", Some("q")), ("a", Some("p"))]));
        let unknown: Vec<_> = batch.unknown.iter().map(|identity| identity.patient_id.as_deref()).collect();
        assert_eq!((unknown, batch.known.len()), (vec![Some("q")], 2));
    }
}
