//! Which messages are still to be published, on their way, or acknowledged. Pure: it sees numbers only.
//!
//! A connection that is lost puts all that was on its way back to the front: at least once, in order.

use std::collections::{BTreeSet, HashMap, VecDeque};

/// The state of a sending.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// First number never requested.
    next: u64,
    /// How many there are; `None` without end.
    total: Option<u64>,
    /// To be published again.
    again: BTreeSet<u64>,
    /// Requested, but without a packet id so far, oldest first.
    requested: VecDeque<u64>,
    /// Published, by packet id.
    published: HashMap<u16, u64>,
    acknowledged: u64,
}

impl Outbox {
    /// All of `total` messages, or messages without end, are to be published.
    pub(super) fn new(total: Option<u64>) -> Self {
        Self { total, ..Self::default() }
    }

    /// The number to publish next, if there is one.
    pub(super) fn next(&self) -> Option<u64> {
        let fresh = self.total.is_none_or(|total| self.next < total).then_some(self.next);
        self.again.first().copied().or(fresh)
    }

    /// The publication of `number`, which `next` gave, was requested.
    pub(super) fn requested(&mut self, number: u64) {
        if !self.again.remove(&number) {
            self.next = self.next.saturating_add(1);
        }
        self.requested.push_back(number);
    }

    /// The oldest publication requested went out under this packet id.
    pub(super) fn published(&mut self, packet_id: u16) {
        if let Some(number) = self.requested.pop_front() {
            self.published.insert(packet_id, number);
        }
    }

    /// The publication with this packet id was acknowledged; false when there is none.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> bool {
        let known = self.published.remove(&packet_id).is_some();
        self.acknowledged = self.acknowledged.saturating_add(u64::from(known));
        known
    }

    /// The connection was lost with all that was on its way.
    pub(super) fn lost(&mut self) {
        self.again.extend(self.requested.drain(..));
        self.again.extend(self.published.drain().map(|(_, number)| number));
    }

    /// Nothing more than what was requested before is to be published.
    pub(super) fn end(&mut self) {
        self.total = Some(self.next);
    }

    /// Whether nothing is left that was never requested.
    pub(super) fn has_end(&self) -> bool {
        self.total.is_some_and(|total| total <= self.next)
    }

    /// How many are on their way.
    pub(super) fn in_flight(&self) -> usize {
        self.requested.len().saturating_add(self.published.len())
    }

    /// How many were acknowledged.
    pub(super) fn count(&self) -> u64 {
        self.acknowledged
    }

    /// Whether all are acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.next().is_none() && self.in_flight() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::Outbox;

    #[test]
    fn what_was_on_its_way_when_the_connection_was_lost_is_published_again_in_order() {
        let mut outbox = Outbox::new(Some(3));
        for number in 0..3 {
            assert_eq!(outbox.next(), Some(number));
            outbox.requested(number);
        }
        outbox.published(1);
        outbox.published(2);
        assert!(outbox.acknowledged(1) && !outbox.acknowledged(1));
        outbox.lost();
        assert_eq!(outbox.next(), Some(1));
        outbox.requested(1);
        assert_eq!(outbox.next(), Some(2));
        assert!(!outbox.is_done());
    }

    proptest! {
        #[test]
        fn each_message_is_acknowledged_once_however_often_the_connection_is_lost(steps in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut outbox = Outbox::new(Some(50));
            let mut packet_id = 0u16;
            let mut out: Vec<u16> = Vec::new();
            for step in steps {
                match step % 8 {
                    0 => { outbox.lost(); out.clear(); }
                    1..=3 => if let Some(number) = outbox.next() {
                        outbox.requested(number);
                        packet_id += 1;
                        outbox.published(packet_id);
                        out.push(packet_id);
                    },
                    _ => if !out.is_empty() {
                        assert!(outbox.acknowledged(out.remove(0)));
                    },
                }
            }
            while let Some(number) = outbox.next() {
                outbox.requested(number);
                packet_id += 1;
                outbox.published(packet_id);
                out.push(packet_id);
            }
            for packet_id in out {
                assert!(outbox.acknowledged(packet_id));
            }
            assert!(outbox.is_done());
            assert_eq!(outbox.count(), 50);
        }
    }
}
