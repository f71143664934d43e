//! The replays of a connector that are asked for, and how they stand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::progress::{Progress, State};
use crate::clock::Clock;
use crate::database::DatabaseError;
use crate::dead_letters::selection::Selection;
use crate::dead_letters::{DeadLetters, Messages};

/// Replays of a connector that wait.
const WAITING_MAX: usize = 16;
/// Replays of a connector that are over and still told of.
const OVER_MAX: usize = 64;

/// The replays of one connector. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Replays {
    pub(super) connector: Arc<str>,
    pub(super) letters: DeadLetters,
    pub(super) clock: Clock,
    desk: Arc<Desk>,
}

/// What a replay is to send.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) id: u64,
    pub(super) selection: Selection,
    /// The last message that was there when it was asked for.
    pub(super) last: i64,
}

/// Why a replay is not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// Too many wait.
    #[error("{WAITING_MAX} replays of this connector are waiting; ask again when one has ended")]
    TooMany,
    /// The program ends.
    #[error("the program is stopping; ask again when it has started")]
    Stopping,
    /// Nobody knows what is selected.
    #[error("the database does not answer")]
    Unreadable(#[source] DatabaseError),
}

struct Desk {
    /// Written by whoever asks, and by the task that replays.
    board: Mutex<Board>,
    asked: Notify,
}

#[derive(Default)]
struct Board {
    waiting: VecDeque<Order>,
    /// Oldest first.
    progress: VecDeque<Progress>,
    stopped: bool,
}

impl Replays {
    /// No replays yet of the connector, whose letters are among `letters`.
    pub(crate) fn new(connector: Arc<str>, letters: DeadLetters, clock: Clock) -> Self {
        let desk = Arc::new(Desk { board: Mutex::new(Board::default()), asked: Notify::new() });
        Self { connector, letters, clock, desk }
    }

    /// Asks for a replay of the messages that selected letters are about at this moment.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub(crate) async fn request(&self, selection: Selection) -> Result<Progress, RequestError> {
        let messages = self.letters.messages_of(&self.connector, selection.clone()).await;
        let messages = messages.map_err(RequestError::Unreadable)?;
        let now = self.clock.now();
        let progress = self.board().enter(selection, messages, now)?;
        tracing::info!(connector = %self.connector, replay = progress.id, messages = progress.messages, "replay requested");
        self.desk.asked.notify_one();
        Ok(progress)
    }

    /// How the replays stand, latest first. Those that were over long ago are left out.
    pub(crate) fn list(&self) -> Vec<Progress> {
        self.board().progress.iter().rev().cloned().collect()
    }

    /// How one stands; `None` when there is none, or none any more.
    pub(crate) fn find(&self, id: u64) -> Option<Progress> {
        self.board().progress.iter().find(|progress| progress.id == id).cloned()
    }

    /// Waits for the next one that is to be run.
    pub(super) async fn next(&self) -> Order {
        loop {
            if let Some(order) = self.take() {
                return order;
            }
            self.desk.asked.notified().await;
        }
    }

    fn take(&self) -> Option<Order> {
        let order = self.board().waiting.pop_front()?;
        self.update(order.id, |progress| progress.state = State::Running);
        Some(order)
    }

    pub(super) fn update(&self, id: u64, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.board().progress.iter_mut().find(|progress| progress.id == id) {
            change(progress);
        }
    }

    /// A replay has come to its end.
    pub(super) fn ended(&self, id: u64) {
        self.update(id, |progress| {
            progress.state = State::Ended;
            tracing::info!(
                connector = %self.connector,
                replay = id,
                done = progress.done,
                failed = progress.failed(),
                unmatched = progress.unmatched,
                abandoned = progress.abandoned,
                "replay ended"
            );
        });
    }

    /// No replay is run any more.
    pub(super) fn stop(&self) {
        let mut board = self.board();
        board.stopped = true;
        board.waiting.clear();
        for progress in board.progress.iter_mut().filter(|progress| !progress.state.is_over()) {
            progress.state = State::Stopped;
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // Every change is a single step, so a panic elsewhere cannot have left anything half changed.
        self.desk.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    fn enter(&mut self, selection: Selection, messages: Messages, now: Timestamp) -> Result<Progress, RequestError> {
        if self.stopped {
            return Err(RequestError::Stopping);
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err(RequestError::TooMany);
        }
        // Milliseconds tell replays of different runs of the program apart, so nobody takes one for another.
        let latest = self.progress.back().map_or(0, |progress| progress.id);
        let id = u64::try_from(now.as_millisecond()).unwrap_or(0).max(latest + 1);
        let progress = Progress::new(id, messages.count, now);
        self.waiting.push_back(Order { id, selection, last: messages.last });
        self.progress.push_back(progress.clone());
        let over = self.progress.iter().filter(|progress| progress.state.is_over()).count();
        if over > OVER_MAX {
            self.progress.pop_front();
        }
        Ok(progress)
    }
}
