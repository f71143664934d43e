//! What a source took and has not answered for, in arrival order.
//!
//! Messages are settled in any order, but answered in the order they came: MQTT asks for it, and a position in a log
//! means it. So an answer is released once its message and every earlier one is settled. A message that was abandoned is
//! never answered, and so holds back all that came after it: its connection must be made anew, with a new ledger, for
//! the sender to offer them again. A ledger belongs to one connection; what settles after its connection has ended is
//! heard by nobody, which is right, because answers of an ended connection mean nothing to the next.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::receipt::{Settle, Settlement};

/// The messages of one connection that wait for their answer, with what `T` tells the sender which one is meant.
pub(crate) struct Ledger<T> {
    book: Mutex<Book<T>>,
    in_flight_max: usize,
    /// Something at the front can be released, or never will be.
    front_settled: Notify,
}

/// The oldest message not yet answered was abandoned. Nothing can be released any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message was abandoned, so its connection must be made anew")]
pub(crate) struct Abandoned;

struct Book<T> {
    /// Position of the first entry.
    first: u64,
    entries: VecDeque<Entry<T>>,
}

struct Entry<T> {
    answer: Option<T>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Settled,
    Abandoned,
}

impl<T> Ledger<T> {
    /// An empty ledger with room for `in_flight_max` messages.
    pub(crate) fn new(in_flight_max: NonZeroUsize) -> Self {
        let book = Book { first: 0, entries: VecDeque::new() };
        Self { book: Mutex::new(book), in_flight_max: in_flight_max.get(), front_settled: Notify::new() }
    }

    /// Enters a message and returns its position, to claim the receipt under. `None` when its sender expects no answer
    /// (MQTT QoS 0): it takes its place in the order, but if abandoned it is let go, since nobody would offer it again.
    ///
    /// The bound is the caller's to keep: it asks `has_room` before it reads.
    pub(crate) fn take(&self, answer: Option<T>) -> u64 {
        let mut book = self.book();
        let position = book.first.saturating_add(u64::try_from(book.entries.len()).unwrap_or(u64::MAX));
        book.entries.push_back(Entry { answer, state: State::Open });
        position
    }

    /// Enters a message that is not taken: its answer waits only for its turn.
    pub(crate) fn decline(&self, answer: T) {
        let mut book = self.book();
        book.entries.push_back(Entry { answer: Some(answer), state: State::Settled });
        let is_first = book.entries.len() == 1;
        drop(book);
        if is_first {
            self.front_settled.notify_one();
        }
    }

    /// Whether another message may be taken. Changes to true only by a release.
    pub(crate) fn has_room(&self) -> bool {
        self.book().entries.len() < self.in_flight_max
    }

    /// Whether every message taken is answered.
    pub(crate) fn is_empty(&self) -> bool {
        self.book().entries.is_empty()
    }

    /// Takes out what may be answered now, oldest first, without waiting; `None` when nothing may.
    ///
    /// # Errors
    /// When the oldest message was abandoned.
    pub(crate) fn release(&self) -> Result<Option<Vec<T>>, Abandoned> {
        let mut book = self.book();
        let ready = book.entries.iter().take_while(|entry| entry.may_go()).count();
        if ready == 0 {
            return if book.is_blocked() { Err(Abandoned) } else { Ok(None) };
        }
        book.first = book.first.saturating_add(u64::try_from(ready).unwrap_or(u64::MAX));
        Ok(Some(book.entries.drain(..ready).filter_map(|entry| entry.answer).collect()))
    }

    /// Waits until something may be answered, and takes it out, oldest first. Empty when only messages without an
    /// answer were released. Nothing is lost when the wait is given up. For one waiter at a time.
    ///
    /// # Errors
    /// When the oldest message was abandoned.
    pub(crate) async fn released(&self) -> Result<Vec<T>, Abandoned> {
        loop {
            let settled = self.front_settled.notified();
            if let Some(answers) = self.release()? {
                return Ok(answers);
            }
            settled.await;
        }
    }

    fn book(&self) -> MutexGuard<'_, Book<T>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Book<T> {
    fn is_blocked(&self) -> bool {
        self.entries.front().is_some_and(|entry| entry.state == State::Abandoned && !entry.may_go())
    }
}

impl<T> Entry<T> {
    fn may_go(&self) -> bool {
        match self.state {
            State::Open => false,
            State::Settled => true,
            State::Abandoned => self.answer.is_none(),
        }
    }
}

impl<T: Send> Settle for Ledger<T> {
    fn settle(&self, position: u64, settlement: Settlement) {
        let mut book = self.book();
        let index = position.checked_sub(book.first).and_then(|index| usize::try_from(index).ok());
        let Some((index, entry)) = index.and_then(|index| book.entries.get_mut(index).map(|entry| (index, entry)))
        else {
            return;
        };
        entry.state = match settlement {
            Settlement::Settled(_) => State::Settled,
            Settlement::Abandoned => State::Abandoned,
        };
        drop(book);
        if index == 0 {
            self.front_settled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use proptest::prelude::{Strategy, any, proptest};

    use super::{Abandoned, Ledger};
    use crate::model::receipt::{Outcome, Settle, Settlement};

    const STORED: Settlement = Settlement::Settled(Outcome::Stored);

    fn ledger(in_flight_max: usize) -> Ledger<u16> {
        Ledger::new(NonZeroUsize::new(in_flight_max).unwrap())
    }

    #[tokio::test]
    async fn what_is_declined_is_answered_in_its_turn() {
        let ledger = ledger(4);
        ledger.decline(10);
        assert_eq!(ledger.released().await, Ok(vec![10]));
        let first = ledger.take(Some(11));
        ledger.decline(12);
        assert_eq!(ledger.release(), Ok(None));
        ledger.settle(first, STORED);
        assert_eq!(ledger.released().await, Ok(vec![11, 12]));
    }

    #[test]
    fn bt_6_answers_wait_for_the_oldest_and_what_did_not_end_has_none() {
        let ledger = ledger(2);
        let first = ledger.take(Some(11));
        let second = ledger.take(Some(12));
        assert!(!ledger.has_room());
        ledger.settle(second, STORED);
        assert_eq!(ledger.release(), Ok(None));
        ledger.settle(first, STORED);
        assert_eq!(ledger.release(), Ok(Some(vec![11, 12])));
        assert!(ledger.has_room() && ledger.is_empty());
    }

    #[test]
    fn bt_11_an_abandoned_message_holds_back_what_came_after_it() {
        let ledger = ledger(3);
        let positions = [ledger.take(Some(1)), ledger.take(Some(2)), ledger.take(Some(3))];
        ledger.settle(positions[2], STORED);
        ledger.settle(positions[1], Settlement::Abandoned);
        ledger.settle(positions[0], STORED);
        assert_eq!(ledger.release(), Ok(Some(vec![1])));
        assert_eq!(ledger.release(), Err(Abandoned));
        assert!(!ledger.is_empty());
    }

    #[test]
    fn a_message_without_an_answer_is_let_go_when_abandoned() {
        let ledger = ledger(3);
        let unanswered = ledger.take(None);
        let answered = ledger.take(Some(1));
        ledger.settle(answered, STORED);
        ledger.settle(unanswered, Settlement::Abandoned);
        assert_eq!(ledger.release(), Ok(Some(vec![1])));
    }

    #[tokio::test]
    async fn a_waiter_hears_of_a_settlement_made_while_nobody_waited() {
        let ledger = ledger(1);
        let position = ledger.take(Some(7));
        ledger.settle(position, STORED);
        assert_eq!(ledger.released().await, Ok(vec![7]));
    }

    /// For each message in arrival order: the rank that decides when it settles, and whether its sender expects an answer.
    fn messages() -> impl Strategy<Value = Vec<(u32, bool)>> {
        proptest::collection::vec((any::<u32>(), any::<bool>()), 1..200)
    }

    proptest! {
        #[test]
        fn bt_6_bt_11_any_order_of_settling_answers_each_once_in_arrival_order(messages in messages(), abandoned in any::<Option<u16>>()) {
            let ledger = ledger(messages.len());
            let positions: Vec<u64> = (0u16..)
                .zip(&messages)
                .map(|(answer, (_, expected))| ledger.take(expected.then_some(answer)))
                .collect();
            let abandoned = abandoned.map(|index| usize::from(index) % messages.len());
            let mut order: Vec<usize> = (0..messages.len()).collect();
            order.sort_by_key(|index| messages[*index].0);

            let mut answers = Vec::new();
            for index in order {
                let settlement = if abandoned == Some(index) { Settlement::Abandoned } else { STORED };
                ledger.settle(positions[index], settlement);
                if let Ok(Some(released)) = ledger.release() {
                    answers.extend(released);
                }
            }

            let blocked = abandoned.filter(|index| messages[*index].1);
            let expected: Vec<u16> = (0u16..)
                .zip(&messages)
                .take(blocked.unwrap_or(messages.len()))
                .filter_map(|(answer, (_, expected))| expected.then_some(answer))
                .collect();
            assert_eq!(answers, expected);
            assert_eq!(ledger.release().is_err(), blocked.is_some());
        }

        #[test]
        fn taking_and_settling_may_alternate(steps in proptest::collection::vec(any::<u8>(), 1..300)) {
            let ledger = ledger(usize::from(u16::MAX));
            let mut open = Vec::new();
            let mut taken = 0u16;
            let mut answers = Vec::new();
            for step in steps {
                if step % 3 == 0 && !open.is_empty() {
                    let index = usize::from(step) % open.len();
                    ledger.settle(open.swap_remove(index), STORED);
                    answers.extend(ledger.release().unwrap().unwrap_or_default());
                } else {
                    open.push(ledger.take(Some(taken)));
                    taken += 1;
                }
            }
            for position in open {
                ledger.settle(position, STORED);
            }
            answers.extend(ledger.release().unwrap().unwrap_or_default());
            assert_eq!(answers, (0..taken).collect::<Vec<_>>());
        }
    }
}
