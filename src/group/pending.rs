//! Groups waiting for company, as a value.
//!
//! It has no clock and no task: the stage says when to take. A group that was taken is not reopened. A late measurement
//! starts another group with the same key, and delivery merges the two, because their Observation is the same.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

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
        waiting.into_iter().map(|(key, group)| finished(key, group.contributions)).collect()
    }
}

fn finished(key: GroupKey, mut contributions: Vec<Contribution>) -> MeasurementGroup {
    if contributions.len() > 1 {
        keep_survivors(&mut contributions);
    }
    MeasurementGroup { key, contributions }
}

/// Leaves one value for each name and instant: the one ingested last, of equals the first to arrive (GR-2). Measurements
/// that lose all their values stay, for they carry receipts.
fn keep_survivors(contributions: &mut [Contribution]) {
    let mut survivors: HashMap<(Timestamp, Arc<str>), (usize, Timestamp)> = HashMap::new();
    for (index, contribution) in contributions.iter().enumerate() {
        let measurement = &contribution.measurement;
        for property in &measurement.properties {
            let slot = (measurement.occurred_at, Arc::clone(&property.name));
            let survivor = survivors.entry(slot).or_insert((index, measurement.ingested_at));
            if measurement.ingested_at > survivor.1 {
                *survivor = (index, measurement.ingested_at);
            }
        }
    }
    for (index, contribution) in contributions.iter_mut().enumerate() {
        let measurement = &mut contribution.measurement;
        let occurred_at = measurement.occurred_at;
        measurement.properties.retain(|property| {
            survivors.get(&(occurred_at, Arc::clone(&property.name))).is_some_and(|(winner, _)| *winner == index)
        });
    }
}

#[cfg(test)]
pub(super) mod tests;
