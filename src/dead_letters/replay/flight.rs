//! Messages of a replay that are in the pipeline.
//!
//! Their number and their bytes are bounded, so that a replay of very many waits here and not in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::replays::Replays;
use crate::dead_letters::store::{End, Turn};
use crate::model::Tracked;
use crate::model::envelope::Envelope;
use crate::model::intake::Intake;
use crate::model::receipt::{Outcome, Settle, Settlement};
use crate::telemetry::meters::count_replayed;

/// Messages of a connector's replays in its pipeline.
const IN_FLIGHT_MAX: usize = 1_000;
/// Bytes of their bodies. One message that is larger goes alone.
const BYTES_MAX: u64 = 32 << 20;

/// What is in the pipeline.
pub(super) struct Flight {
    replays: Replays,
    heard: Arc<Heard>,
    /// Bytes by message.
    open: HashMap<i64, u64>,
    bytes: u64,
    /// The replay they are of.
    replay: u64,
}

impl Flight {
    pub(super) fn new(replays: Replays) -> Self {
        Self { replays, heard: Arc::new(Heard::default()), open: HashMap::new(), bytes: 0, replay: 0 }
    }

    /// What is sent from now on is of this replay.
    pub(super) fn begin(&mut self, replay: u64) {
        self.replay = replay;
    }

    /// The first of these messages, as many as there is room for. The first of all always fits when nothing is open.
    pub(super) fn fitting(&self, turns: Vec<(Turn, u64)>) -> Vec<Turn> {
        let mut bytes = self.bytes;
        let room = IN_FLIGHT_MAX.saturating_sub(self.open.len());
        let fits = turns.into_iter().take(room).take_while(|(_, length)| {
            let fits = bytes == 0 || bytes.saturating_add(*length) <= BYTES_MAX;
            bytes = bytes.saturating_add(*length);
            fits
        });
        fits.map(|(turn, _)| turn).collect()
    }

    /// Takes a message in.
    pub(super) fn take(&mut self, message: i64, envelope: Envelope, intake: &Intake) -> Tracked<Envelope> {
        let bytes = u64::try_from(envelope.body.len()).unwrap_or(u64::MAX);
        self.open.insert(message, bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        self.replays.update(self.replay, |progress| progress.in_flight += 1);
        let ledger = Arc::clone(&self.heard) as Arc<dyn Settle>;
        intake.take(envelope, u64::try_from(message).unwrap_or(0), &ledger)
    }

    /// Waits until the pipeline has room for the bytes of another message; `false` when `stop` came first. Messages that
    /// end in the meantime are written down, because letters that wait for that hold room.
    pub(super) async fn land_for_bytes(&mut self, intake: &Intake, stop: &CancellationToken) -> bool {
        loop {
            let heard = Arc::clone(&self.heard);
            tokio::select! {
                () = intake.room() => return true,
                () = heard.some() => self.land().await,
                () = stop.cancelled() => return false,
            }
        }
    }

    /// Waits until there is room for some messages; `false` when `stop` came first.
    pub(super) async fn land_for_room(&mut self, stop: &CancellationToken) -> bool {
        self.land_while(|flight| flight.open.len() >= IN_FLIGHT_MAX / 2 || flight.bytes >= BYTES_MAX / 2, stop).await
    }

    /// Waits until nothing is open; `false` when `stop` came first.
    pub(super) async fn land_all(&mut self, stop: &CancellationToken) -> bool {
        self.land_while(|flight| !flight.open.is_empty(), stop).await
    }

    async fn land_while(&mut self, is_full: impl Fn(&Self) -> bool, stop: &CancellationToken) -> bool {
        while is_full(self) {
            let heard = Arc::clone(&self.heard);
            if stop.run_until_cancelled(heard.some()).await.is_none() {
                return false;
            }
            self.land().await;
        }
        true
    }

    /// Writes down how the messages heard of have ended.
    async fn land(&mut self) {
        let mut ended = Vec::new();
        let mut abandoned = Vec::new();
        for (message, settlement) in self.heard.take() {
            self.bytes = self.bytes.saturating_sub(self.open.remove(&message).unwrap_or(0));
            match settlement {
                Settlement::Settled(outcome) => ended.push((message, self.end(message, outcome))),
                Settlement::Abandoned => abandoned.push(message),
            }
        }
        let ended = Arc::new(ended);
        ended.iter().for_each(|(_, end)| count_replayed(&self.replays.connector, end.as_str()));
        abandoned.iter().for_each(|_message| count_replayed(&self.replays.connector, "abandoned"));
        self.replays.letters.end(Arc::clone(&ended), self.replays.clock.now()).await;
        self.replays.letters.end_abandoned(&abandoned);
        self.replays.update(self.replay, |progress| {
            progress.abandon(abandoned.len());
            ended.iter().for_each(|(_, end)| progress.count(end));
        });
    }

    fn end(&self, message: i64, outcome: Outcome) -> End {
        match outcome {
            Outcome::Stored | Outcome::Merged | Outcome::Unchanged => End::Done,
            Outcome::Unmatched => End::Unmatched,
            Outcome::DeadLettered => End::Failed(self.replays.letters.held(message)),
        }
    }
}

/// Hears how the messages end, by their numbers.
#[derive(Default)]
struct Heard {
    ends: Mutex<Vec<(i64, Settlement)>>,
    more: Notify,
}

impl Heard {
    /// Waits until some have ended.
    async fn some(&self) {
        while self.ends.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.more.notified().await;
        }
    }

    fn take(&self) -> Vec<(i64, Settlement)> {
        std::mem::take(&mut *self.ends.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Settle for Heard {
    fn settle(&self, position: u64, settlement: Settlement) {
        let message = i64::try_from(position).unwrap_or(i64::MAX);
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).push((message, settlement));
        self.more.notify_one();
    }
}
