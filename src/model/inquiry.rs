//! What a sender that waits for an answer is told of the dead letters about its messages.
//!
//! A source hands in messages with an inquiry each; whoever makes a letter about one durable tells it, before the receipt
//! of the message completes. So when a source hears that a message has ended, all it may tell of it is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dead_letter::{DeadLetter, Stage};

/// Letters told of one message; a message may have a hundred.
const LETTERS_TOLD_MAX: usize = 3;

/// The letters about the messages of one request.
#[derive(Debug, Default)]
pub(crate) struct Inquiries {
    /// By the number of the message in its request.
    letters: Mutex<HashMap<usize, Vec<Told>>>,
}

/// What a sender may know of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Number of the letter.
    pub(crate) letter: i64,
    /// Its error code.
    pub(crate) code: &'static str,
    /// What was wrong with the message by itself. What was found out about others, such as whose a device is, is not told
    /// to a sender, so it is `None` then.
    pub(crate) reason: Option<String>,
}

/// Where the letters about one message are told.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    inquiries: Arc<Inquiries>,
    message: usize,
}

impl Inquiries {
    /// The inquiry about a message of the request.
    pub(crate) fn about(self: &Arc<Self>, message: usize) -> Inquiry {
        Inquiry { inquiries: Arc::clone(self), message }
    }

    /// What was told so far of a message, at most three letters.
    pub(crate) fn told(&self, message: usize) -> Vec<Told> {
        self.letters().get(&message).cloned().unwrap_or_default()
    }

    fn letters(&self) -> MutexGuard<'_, HashMap<usize, Vec<Told>>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inquiry {
    /// A letter is durable under this number.
    pub(crate) fn tell(&self, number: i64, letter: &DeadLetter) {
        let mut letters = self.inquiries.letters();
        let told = letters.entry(self.message).or_default();
        if told.len() < LETTERS_TOLD_MAX {
            let reason = (letter.stage == Stage::Normalize).then(|| letter.reason.clone());
            told.push(Told { letter: number, code: letter.code, reason });
        }
    }
}
