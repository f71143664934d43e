//! Groups waiting for company, as a value.
//!
//! It has no clock and no task: the stage says when to take. A group that was taken is not reopened. A late measurement
//! starts another group with the same key, and delivery merges the two, because their Observation is the same. For the
//! same reason it is delivery that decides between values of one name and instant (GR-2).

use std::collections::HashMap;

use crate::model::group::{Contribution, GroupKey, Keyed, MeasurementGroup};

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingLimits {
    /// Groups that leave together at the latest.
    pub(crate) groups_max: usize,
    /// Measurements in all of them.
    pub(crate) measurements_max: usize,
}

/// Groups waiting for company.
#[derive(Debug)]
pub(super) struct Pending {
    limits: PendingLimits,
    waiting: HashMap<GroupKey, Waiting>,
    measurements: usize,
}

#[derive(Debug)]
struct Waiting {
    /// Place among the groups by first arrival, which delivery keeps for each device (GR-3).
    place: usize,
    contributions: Vec<Contribution>,
}

impl Pending {
    pub(super) fn new(limits: PendingLimits) -> Self {
        Self { limits, waiting: HashMap::new(), measurements: 0 }
    }

    /// Puts a measurement to its group.
    pub(super) fn add(&mut self, keyed: Keyed) {
        let place = self.waiting.len();
        let group = self.waiting.entry(keyed.key);
        let group = group.or_insert_with(|| Waiting { place, contributions: Vec::with_capacity(1) });
        group.contributions.push(keyed.contribution);
        self.measurements += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many more measurements fit before the groups must leave; none when they are full.
    pub(super) fn room(&self) -> usize {
        let groups = self.limits.groups_max.saturating_sub(self.waiting.len());
        groups.min(self.limits.measurements_max.saturating_sub(self.measurements))
    }

    /// Takes all groups, in the order in which they first appeared.
    pub(super) fn take(&mut self) -> Vec<MeasurementGroup> {
        self.measurements = 0;
        let mut waiting: Vec<(GroupKey, Waiting)> = self.waiting.drain().collect();
        waiting.sort_unstable_by_key(|(_, group)| group.place);
        let finished = |(key, group): (GroupKey, Waiting)| MeasurementGroup { key, contributions: group.contributions };
        waiting.into_iter().map(finished).collect()
    }
}

#[cfg(test)]
mod tests;
