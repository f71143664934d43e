//! The promise to answer the broker, and how it was kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// How a message ended. Every message taken ends in exactly one of these (promise P3).
///
/// A message may yield several measurements with different ends; the greatest in this order names the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    /// No template matched: nothing to store, nothing wrong (rule DM-48).
    Unmatched = 1,
    /// All that came of it was stored already.
    Unchanged = 2,
    /// It changed Observations that existed.
    Merged = 3,
    /// It made at least one new Observation.
    Stored = 4,
    /// At least a part of it was written to the dead letters.
    DeadLettered = 5,
}

impl Outcome {
    /// All outcomes, in the order the ledger lists them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Stored, Self::Merged, Self::Unchanged, Self::Unmatched, Self::DeadLettered];

    /// The name in logs, metrics and the ledger.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unmatched => "unmatched",
            Self::Unchanged => "unchanged",
            Self::Merged => "merged",
            Self::Stored => "stored",
            Self::DeadLettered => "dead_lettered",
        }
    }

    fn from_rank(rank: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| *outcome as u8 == rank)
    }
}

/// How the promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// All that came of the message is durable; the broker may forget it.
    Settled(Outcome),
    /// A share of the claim was dropped unfinished; the broker must offer the message again.
    Abandoned,
}

/// Hears how the claim on each message ended. Called from `Drop`, so it must not block.
pub(crate) trait Settle: Send + Sync {
    /// Hears the end of the message that was taken under `position`. Called exactly once for each.
    fn settle(&self, position: u64, settlement: Settlement);
}

/// A shared claim on one inbound message.
///
/// Split once per measurement derived from the message. The source hears the outcome when the last share goes. A share
/// that is merely dropped abandons the message, so forgetting one can cause a redelivery but never a loss.
#[derive(Debug)]
#[must_use = "dropping a receipt abandons its message"]
pub(crate) struct Receipt {
    claim: Arc<Claim>,
    completed: bool,
}

struct Claim {
    position: u64,
    settle: Arc<dyn Settle>,
    /// Rank of the greatest outcome so far; `ABANDONED` once a share was dropped unfinished.
    rank: AtomicU8,
}

const ABANDONED: u8 = u8::MAX;

impl Receipt {
    /// A claim on the message taken under `position`, of which `settle` hears the end.
    pub(crate) fn new(position: u64, settle: Arc<dyn Settle>) -> Self {
        let claim = Claim { position, settle, rank: AtomicU8::new(0) };
        Self { claim: Arc::new(claim), completed: false }
    }

    /// Another share of the same claim.
    pub(crate) fn share(&self) -> Self {
        Self { claim: Arc::clone(&self.claim), completed: false }
    }

    /// Gives up this share as done.
    pub(crate) fn complete(mut self, outcome: Outcome) {
        self.claim.rank.fetch_max(outcome as u8, Ordering::AcqRel);
        self.completed = true;
    }

    /// Gives up this share without a say in the outcome, because others carry on.
    pub(crate) fn hand_on(mut self) {
        self.completed = true;
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.completed {
            self.claim.rank.store(ABANDONED, Ordering::Release);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let settlement = match Outcome::from_rank(*self.rank.get_mut()) {
            Some(outcome) => Settlement::Settled(outcome),
            None => Settlement::Abandoned,
        };
        self.settle.settle(self.position, settlement);
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim").field("position", &self.position).field("rank", &self.rank).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Outcome, Receipt, Settle, Settlement};

    #[derive(Default)]
    struct Heard(Mutex<Vec<(u64, Settlement)>>);

    impl Settle for Heard {
        fn settle(&self, position: u64, settlement: Settlement) {
            self.0.lock().unwrap().push((position, settlement));
        }
    }

    #[track_caller]
    fn check(use_receipt: impl FnOnce(Receipt), expected: Settlement) {
        let heard = Arc::new(Heard::default());
        use_receipt(Receipt::new(7, Arc::clone(&heard) as Arc<dyn Settle>));
        assert_eq!(*heard.0.lock().unwrap(), [(7, expected)]);
    }

    #[test]
    fn the_last_share_settles_with_the_greatest_outcome() {
        check(
            |receipt| {
                let other = receipt.share();
                receipt.complete(Outcome::Stored);
                other.complete(Outcome::Unchanged);
            },
            Settlement::Settled(Outcome::Stored),
        );
    }

    #[test]
    fn a_dropped_share_abandons_the_message() {
        check(
            |receipt| {
                drop(receipt.share());
                receipt.complete(Outcome::Stored);
            },
            Settlement::Abandoned,
        );
    }

    #[test]
    fn a_claim_nobody_decided_is_abandoned() {
        check(Receipt::hand_on, Settlement::Abandoned);
    }
}
