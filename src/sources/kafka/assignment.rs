//! The partitions that a consumer has for now, each with the ledger of what it took of it.
//!
//! An offset may be committed when everything before it in its partition has ended. A message that was abandoned holds back
//! its partition alone, which is read again from there with a new ledger. A partition that is lost takes its ledger with it:
//! what ends later is heard by nobody, as it must be, since the offset belongs to another consumer then.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::model::receipt::{Settle, Settlement};
use crate::sources::ledger::{Abandoned, Ledger};

/// The partitions of one consumer.
pub(super) struct Assignment {
    topics: HashMap<String, BTreeMap<i32, Partition>>,
    /// Messages taken of partitions that are still here, and not yet ended in order.
    in_flight: usize,
    in_flight_max: NonZeroUsize,
    /// Told of every message that ends.
    settled: Arc<Notify>,
}

/// One partition.
struct Partition {
    desk: Arc<Desk>,
    in_flight: usize,
    /// The first message that has not ended, once there was one.
    next: Option<i64>,
    /// It is to be read again from `next`, and what arrives until then is older news.
    is_rewinding: bool,
}

/// The ledger of a partition, as receipts want it.
struct Desk {
    ledger: Ledger<i64>,
    settled: Arc<Notify>,
    is_lost: AtomicBool,
}

/// The right to take a message of a partition.
pub(super) struct Claim {
    /// Where it stands in the ledger.
    pub(super) position: u64,
    desk: Arc<Desk>,
}

/// What is new of a partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) step: Step,
}

/// How far a partition has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Everything before this offset has ended.
    Next(i64),
    /// The message at this offset was abandoned: it must be read again from there.
    Again(i64),
}

impl Claim {
    /// Who hears the end of the message.
    pub(super) fn settle(&self) -> Arc<dyn Settle> {
        Arc::clone(&self.desk) as Arc<dyn Settle>
    }

    /// Whether the partition is another consumer's by now.
    pub(super) fn is_lost(&self) -> bool {
        self.desk.is_lost.load(Ordering::Acquire)
    }
}

impl Desk {
    fn new(settled: &Arc<Notify>) -> Arc<Self> {
        // The bound is that of the assignment, over all partitions.
        let ledger = Ledger::new(NonZeroUsize::MAX);
        Arc::new(Self { ledger, settled: Arc::clone(settled), is_lost: AtomicBool::new(false) })
    }
}

impl Settle for Desk {
    fn settle(&self, position: u64, settlement: Settlement) {
        self.ledger.settle(position, settlement);
        self.settled.notify_one();
    }
}

impl Assignment {
    /// No partitions yet, and room for `in_flight_max` messages; `settled` is told whenever one ends.
    pub(super) fn new(in_flight_max: NonZeroUsize, settled: Arc<Notify>) -> Self {
        Self { topics: HashMap::new(), in_flight: 0, in_flight_max, settled }
    }

    /// Gains a partition, unless it is here already.
    pub(super) fn gain(&mut self, topic: &str, partition: i32) {
        let settled = &self.settled;
        self.topics.entry(topic.to_owned()).or_default().entry(partition).or_insert_with(|| Partition {
            desk: Desk::new(settled),
            in_flight: 0,
            next: None,
            is_rewinding: false,
        });
    }

    /// Loses a partition. What waits of it need not be taken up any more.
    pub(super) fn lose(&mut self, topic: &str, partition: i32) {
        let Some(lost) = self.topics.get_mut(topic).and_then(|partitions| partitions.remove(&partition)) else {
            return;
        };
        lost.desk.is_lost.store(true, Ordering::Release);
        self.in_flight = self.in_flight.saturating_sub(lost.in_flight);
    }

    /// Loses all partitions.
    pub(super) fn lose_all(&mut self) {
        for (_, lost) in self.topics.drain().flat_map(|(_, partitions)| partitions) {
            lost.desk.is_lost.store(true, Ordering::Release);
        }
        self.in_flight = 0;
    }

    /// Partitions here.
    pub(super) fn partitions(&self) -> usize {
        self.topics.values().map(BTreeMap::len).sum()
    }

    /// Whether a partition is here.
    pub(super) fn has(&self, topic: &str, partition: i32) -> bool {
        self.partition(topic, partition).is_some()
    }

    /// Whether another message may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight < self.in_flight_max.get()
    }

    /// Whether everything taken has ended.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Whether everything taken of one partition has ended, or nothing more of it can.
    pub(super) fn is_done(&self, topic: &str, partition: i32) -> bool {
        self.partition(topic, partition).is_none_or(|partition| partition.in_flight == 0 || partition.is_rewinding)
    }

    /// Takes the message at `offset`. `None` when it is not to be taken: its partition is not here any more, or about to be
    /// read again from an earlier message.
    pub(super) fn take(&mut self, topic: &str, partition: i32, offset: i64) -> Option<Claim> {
        let partition = self.topics.get_mut(topic)?.get_mut(&partition).filter(|partition| !partition.is_rewinding)?;
        partition.next.get_or_insert(offset);
        partition.in_flight = partition.in_flight.saturating_add(1);
        self.in_flight = self.in_flight.saturating_add(1);
        Some(Claim { position: partition.desk.ledger.take(Some(offset)), desk: Arc::clone(&partition.desk) })
    }

    /// How far each partition has come since this was last asked; partitions of which nothing is new are left out.
    pub(super) fn progress(&mut self) -> Vec<Progress> {
        let mut news = Vec::new();
        for (topic, partitions) in &mut self.topics {
            for (number, partition) in partitions.iter_mut().filter(|(_, partition)| partition.in_flight > 0) {
                let before = partition.in_flight;
                let step = partition.step(&self.settled);
                self.in_flight = self.in_flight.saturating_sub(before.saturating_sub(partition.in_flight));
                let progress = |step| Progress { topic: topic.clone(), partition: *number, step };
                news.extend(step.map(progress));
            }
        }
        news
    }

    /// The partition is read again, as `progress` asked for.
    pub(super) fn rewound(&mut self, topic: &str, partition: i32) {
        if let Some(partition) = self.topics.get_mut(topic).and_then(|partitions| partitions.get_mut(&partition)) {
            partition.is_rewinding = false;
        }
    }

    /// Whether the partition is still to be read again.
    pub(super) fn is_rewinding(&self, topic: &str, partition: i32) -> bool {
        self.partition(topic, partition).is_some_and(|partition| partition.is_rewinding)
    }

    fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.get(&partition)
    }
}

impl Partition {
    fn step(&mut self, settled: &Arc<Notify>) -> Option<Step> {
        match self.desk.ledger.release() {
            Ok(None) => None,
            Ok(Some(offsets)) => {
                self.in_flight = self.in_flight.saturating_sub(offsets.len());
                let next = offsets.last()?.saturating_add(1);
                self.next = Some(next);
                Some(Step::Next(next))
            }
            Err(Abandoned) => {
                self.desk = Desk::new(settled);
                self.in_flight = 0;
                self.is_rewinding = true;
                self.next.map(Step::Again)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;
    use std::sync::Arc;

    use proptest::prelude::{Strategy, any, proptest};

    use super::{Assignment, Claim, Progress, Step};
    use crate::model::receipt::{Outcome, Settlement};

    const STORED: Settlement = Settlement::Settled(Outcome::Stored);

    fn assignment(in_flight_max: usize) -> Assignment {
        let mut assignment = Assignment::new(NonZeroUsize::new(in_flight_max).unwrap(), Arc::default());
        assignment.gain("t", 0);
        assignment.gain("t", 1);
        assignment
    }

    fn end(claim: &Claim, settlement: Settlement) {
        claim.settle().settle(claim.position, settlement);
    }

    fn progress(partition: i32, step: Step) -> Vec<Progress> {
        vec![Progress { topic: "t".to_owned(), partition, step }]
    }

    #[test]
    fn bt_6_an_offset_is_passed_when_everything_before_it_has_ended() {
        let mut assignment = assignment(9);
        let (first, second) = (assignment.take("t", 0, 7).unwrap(), assignment.take("t", 0, 9).unwrap());
        end(&second, STORED);
        assert_eq!(assignment.progress(), []);
        end(&first, STORED);
        assert_eq!(assignment.progress(), progress(0, Step::Next(10)));
        assert_eq!(assignment.progress(), []);
        assert!(assignment.is_idle());
    }

    #[test]
    fn bt_11_an_abandoned_message_is_read_again_and_holds_back_its_partition_alone() {
        let mut assignment = assignment(9);
        let claims = [7, 8, 9].map(|offset| assignment.take("t", 0, offset).unwrap());
        let neighbour = assignment.take("t", 1, 3).unwrap();
        end(&claims[0], STORED);
        end(&claims[2], STORED);
        assert_eq!(assignment.progress(), progress(0, Step::Next(8)));
        end(&claims[1], Settlement::Abandoned);
        assert_eq!(assignment.progress(), progress(0, Step::Again(8)));
        assert!(assignment.is_rewinding("t", 0) && assignment.take("t", 0, 10).is_none());
        end(&neighbour, STORED);
        assert_eq!(assignment.progress(), progress(1, Step::Next(4)));
        assignment.rewound("t", 0);
        end(&assignment.take("t", 0, 8).unwrap(), STORED);
        assert_eq!(assignment.progress(), progress(0, Step::Next(9)));
    }

    #[test]
    fn bt_10_what_ends_after_its_partition_was_lost_is_heard_by_nobody() {
        let mut assignment = assignment(1);
        let claim = assignment.take("t", 0, 7).unwrap();
        assert!(!assignment.has_room());
        assignment.lose("t", 0);
        assert!(claim.is_lost() && assignment.has_room() && assignment.is_idle());
        assert!(assignment.take("t", 0, 8).is_none());
        assignment.gain("t", 0);
        end(&claim, STORED);
        assert_eq!(assignment.progress(), []);
        assert!(!assignment.take("t", 0, 7).unwrap().is_lost());
    }

    /// Messages of three partitions: the rank that decides when each ends.
    fn messages() -> impl Strategy<Value = Vec<(u32, i32)>> {
        proptest::collection::vec((any::<u32>(), 0..3), 1..200)
    }

    proptest! {
        #[test]
        fn bt_6_in_any_order_of_ending_each_partition_passes_what_a_naive_count_says(messages in messages()) {
            let mut assignment = Assignment::new(NonZeroUsize::MAX, Arc::default());
            (0..3).for_each(|partition| assignment.gain("t", partition));
            let mut taken: Vec<(u32, i32, i64, Claim)> = Vec::new();
            let mut next = [0_i64; 3];
            for (rank, partition) in messages {
                let offset = &mut next[usize::try_from(partition).unwrap()];
                taken.push((rank, partition, *offset, assignment.take("t", partition, *offset).unwrap()));
                *offset += 1;
            }
            taken.sort_by_key(|(rank, ..)| *rank);
            let mut open: BTreeMap<(i32, i64), ()> = taken.iter().map(|(_, partition, offset, _)| ((*partition, *offset), ())).collect();
            let mut passed = [0_i64; 3];
            for (_, partition, offset, claim) in &taken {
                end(claim, STORED);
                open.remove(&(*partition, *offset));
                for news in assignment.progress() {
                    let Step::Next(offset) = news.step else { panic!("{news:?}") };
                    passed[usize::try_from(news.partition).unwrap()] = offset;
                }
                let first_open = open.range((*partition, 0)..(*partition + 1, 0)).next().map(|((_, offset), ())| *offset);
                let index = usize::try_from(*partition).unwrap();
                assert_eq!(passed[index], first_open.unwrap_or(next[index]));
            }
            assert!(assignment.is_idle());
        }
    }
}
