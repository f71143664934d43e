//! How a replay stands, as a value.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::dead_letters::store::End;

/// Whether a replay goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Others come first.
    Waiting,
    /// Its messages go through the pipeline.
    Running,
    /// Each of its messages has ended in some way.
    Ended,
    /// The program ends before it does. Letters of messages that did not end are as they were.
    Stopped,
}

impl State {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Stopped => "stopped",
        }
    }

    /// Whether nothing more will happen.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Ended | Self::Stopped)
    }
}

/// How a replay stands. Counts are of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Number of the replay; later ones are greater, also after a restart.
    pub(crate) id: u64,
    /// Whether it goes on.
    pub(crate) state: State,
    /// When it was asked for.
    pub(crate) requested_at: Timestamp,
    /// How many messages it was asked for.
    pub(crate) messages: u64,
    /// In the pipeline at this moment.
    pub(crate) in_flight: u64,
    /// All that came of them is stored; their letters are gone.
    pub(crate) done: u64,
    /// In dead letters again, by the code of the first.
    pub(crate) failed: BTreeMap<&'static str, u64>,
    /// Matched by no template; their letters stay.
    pub(crate) unmatched: u64,
    /// Given up on the way; their letters stay.
    pub(crate) abandoned: u64,
}

impl Progress {
    pub(super) fn new(id: u64, messages: u64, requested_at: Timestamp) -> Self {
        Self {
            id,
            state: State::Waiting,
            requested_at,
            messages,
            in_flight: 0,
            done: 0,
            failed: BTreeMap::new(),
            unmatched: 0,
            abandoned: 0,
        }
    }

    /// Not yet taken. Of a replay that is over: no longer there when their turn came, or never taken.
    pub(crate) fn left(&self) -> u64 {
        self.messages.saturating_sub(self.in_flight + self.done + self.failed() + self.unmatched + self.abandoned)
    }

    /// In dead letters again.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.values().sum()
    }

    pub(super) fn count(&mut self, end: &End) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match end {
            End::Done => self.done += 1,
            End::Failed(letters) => {
                let code = letters.first().map_or("unknown", |letter| letter.code);
                *self.failed.entry(code).or_default() += 1;
            }
            End::Unmatched => self.unmatched += 1,
        }
    }

    pub(super) fn abandon(&mut self, messages: usize) {
        let messages = u64::try_from(messages).unwrap_or(u64::MAX);
        self.in_flight = self.in_flight.saturating_sub(messages);
        self.abandoned += messages;
    }
}
