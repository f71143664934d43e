//! The counts of one connector as a value, and the ends that wait to be counted.

use std::sync::Arc;

use crate::model::receipt::{Outcome, Settle, Settlement};

/// How many messages ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    outcomes: [u64; Outcome::ALL.len()],
    abandoned: u64,
}

impl Counts {
    /// Counts in the order of [`Outcome::ALL`], and of messages handed back.
    pub(super) fn new(outcomes: [u64; Outcome::ALL.len()], abandoned: u64) -> Self {
        Self { outcomes, abandoned }
    }

    /// Messages with this outcome.
    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        Outcome::ALL
            .iter()
            .zip(self.outcomes)
            .find_map(|(known, count)| (*known == outcome).then_some(count))
            .unwrap_or(0)
    }

    /// How often a message was handed back to its broker.
    pub(crate) fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Messages that ended in a named state.
    pub(crate) fn settled(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    pub(super) fn add(&mut self, settlement: Settlement) {
        match settlement {
            Settlement::Settled(outcome) => {
                let count = Outcome::ALL.iter().zip(&mut self.outcomes).find(|(known, _)| **known == outcome);
                if let Some((_, count)) = count {
                    *count += 1;
                }
            }
            Settlement::Abandoned => self.abandoned += 1,
        }
    }

    fn add_all(&mut self, other: Self) {
        for (count, more) in self.outcomes.iter_mut().zip(other.outcomes) {
            *count += more;
        }
        self.abandoned += other.abandoned;
    }
}

/// What the ledger of a connector says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Messages taken, without those handed back.
    pub(crate) received: u64,
    /// Messages taken whose end is not yet counted.
    pub(crate) in_flight: u64,
    /// How the others ended.
    pub(crate) counts: Counts,
}

impl Snapshot {
    /// Messages received that are neither in flight nor in a named state. Anything but 0 is a fault of the program.
    pub(crate) fn unexplained(&self) -> i128 {
        i128::from(self.received) - i128::from(self.in_flight) - i128::from(self.counts.settled())
    }
}

/// The end of a message whose ledger has not heard of it.
pub(super) struct Ended {
    pub(super) ledger: Arc<dyn Settle>,
    pub(super) position: u64,
    pub(super) settlement: Settlement,
}

/// The live counts of one connector.
pub(super) struct Books {
    /// Taken, since the first start ever, handed back ones included.
    taken: u64,
    in_flight: u64,
    counts: Counts,
    noted: Vec<Ended>,
}

impl Books {
    pub(super) fn new(counts: Counts) -> Self {
        Self { taken: counts.settled() + counts.abandoned(), in_flight: 0, counts, noted: Vec::new() }
    }

    pub(super) fn received(&mut self) {
        self.taken += 1;
        self.in_flight += 1;
    }

    pub(super) fn note(&mut self, ended: Ended) {
        self.noted.push(ended);
    }

    pub(super) fn take_noted(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.noted)
    }

    /// What was taken from `take_noted` is counted durably.
    pub(super) fn counted(&mut self, counts: Counts) {
        self.in_flight = self.in_flight.saturating_sub(counts.settled() + counts.abandoned());
        self.counts.add_all(counts);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { received: self.taken - self.counts.abandoned(), in_flight: self.in_flight, counts: self.counts }
    }
}
