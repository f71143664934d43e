//! Messages that are being replayed, and the letters they have ended in so far.
//!
//! Marked and unmarked here alone, for all connectors. A message that is marked is neither replayed a second time at
//! the same moment nor discarded. The letters of a replay wait here until its message has ended, because only then is
//! it known that they take the place of the earlier ones. They need not be durable before: the message is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::dead_letter::DeadLetter;
use crate::model::envelope::WayIn;

/// Messages that are being replayed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay {
    letters: Arc<Mutex<HashMap<i64, Vec<DeadLetter>>>>,
}

impl UnderWay {
    /// Marks a message; `false` when it is marked already.
    pub(super) fn begin(&self, message: i64) -> bool {
        let mut letters = self.lock();
        let is_new = !letters.contains_key(&message);
        letters.entry(message).or_default();
        is_new
    }

    /// Keeps a letter of a replayed message until its end.
    ///
    /// # Errors
    /// Gives the letter back when it is of no message under way.
    pub(super) fn hold(&self, letter: DeadLetter) -> Result<(), Box<DeadLetter>> {
        let WayIn::Replay(message) = letter.envelope.way_in else { return Err(Box::new(letter)) };
        match self.lock().get_mut(&message) {
            Some(letters) => letters.push(letter),
            None => return Err(Box::new(letter)),
        }
        Ok(())
    }

    /// The letters a message has ended in. It stays marked.
    pub(super) fn letters(&self, message: i64) -> Vec<DeadLetter> {
        self.lock().get_mut(&message).map(std::mem::take).unwrap_or_default()
    }

    /// Unmarks messages.
    pub(super) fn end(&self, messages: impl IntoIterator<Item = i64>) {
        let mut letters = self.lock();
        for message in messages {
            letters.remove(&message);
        }
    }

    /// The messages that are marked.
    pub(super) fn messages(&self) -> Vec<i64> {
        self.lock().keys().copied().collect()
    }

    /// Whether a message is marked.
    pub(super) fn contains(&self, message: i64) -> bool {
        self.lock().contains_key(&message)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Vec<DeadLetter>>> {
        // Every change is a single step, so a panic elsewhere cannot have left anything half changed.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
