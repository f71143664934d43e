//! How every message ended, counted durably before its source hears of it (promise P3).
//!
//! Receipts end anywhere, also in `Drop`, so an end is only noted there. The task takes all that is noted, adds it to
//! the connector's row in one write, and then tells the ledgers, in the order the messages ended. A crash before the
//! write leaves the messages with the broker; a crash after it has them offered, received and counted once more, as
//! unchanged. Either way what is on disk closes: received = stored + merged + unchanged + unmatched + dead-lettered.
//! A message that was handed back is not received until it is taken again; `abandoned` tells how often that happened.
//!
//! What is noted and not yet counted is bounded by what the sources may have in flight.

mod books;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::books::Books;
use crate::database::{Database, DatabaseError, WriteError};
use crate::model::intake::Witness;
use crate::model::receipt::{Receipt, Settle, Settlement};
use crate::telemetry::chain;
use crate::telemetry::meters::SettlementMeters;

pub(crate) use self::books::{Counts, Snapshot};
pub(crate) use self::store::SCHEMA;

/// Pause after a write that failed, for example because the disk is full.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The settlements of one connector. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Settlements {
    desk: Arc<Desk>,
    database: Database,
}

/// Where the ends of messages are noted.
struct Desk {
    connector: Arc<str>,
    /// Written by sources and receipts, emptied by the task.
    books: Mutex<Books>,
    noted: Notify,
    meters: SettlementMeters,
}

impl Settlements {
    /// The settlements of `connector`, going on from what the database says.
    ///
    /// # Errors
    /// When the row cannot be read.
    pub(crate) async fn open(database: Database, connector: Arc<str>) -> Result<Self, DatabaseError> {
        let name = Arc::clone(&connector);
        let counts = database.read(move |connection| store::load(connection, &name)).await??;
        let meters = SettlementMeters::new(&connector);
        let desk = Desk { connector, books: Mutex::new(Books::new(counts)), noted: Notify::new(), meters };
        Ok(Self { desk: Arc::new(desk), database })
    }

    /// The witness for the sources of the connector.
    pub(crate) fn witness(&self) -> Arc<dyn Witness> {
        Arc::clone(&self.desk) as Arc<dyn Witness>
    }

    /// The counts at this moment.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.desk.books().snapshot()
    }

    /// Counts and passes on ends of messages until `stop`, and then those that are noted already. To be stopped after
    /// the last stage has ended, for then no receipt is left.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.desk.noted.notified() => self.settle_noted(&stop).await,
                () = stop.cancelled() => return self.settle_noted(&stop).await,
            }
        }
    }

    async fn settle_noted(&self, stop: &CancellationToken) {
        let ended = self.desk.books().take_noted();
        if ended.is_empty() {
            return;
        }
        let mut counts = Counts::default();
        for end in &ended {
            counts.add(end.settlement);
        }
        let began = Instant::now();
        // Without the count the ledgers must not hear of it; the broker offers the messages again after a restart.
        if !self.add_durably(counts, stop).await {
            return;
        }
        self.desk.books().counted(counts);
        self.desk.meters.settled(|outcome| counts.of(outcome), counts.abandoned(), began.elapsed());
        for end in ended {
            end.ledger.settle(end.position, end.settlement);
        }
    }

    /// Adds to the row however long it takes; `false` when the program ends before it succeeded.
    async fn add_durably(&self, counts: Counts, stop: &CancellationToken) -> bool {
        loop {
            let connector = Arc::clone(&self.desk.connector);
            let written = self.database.write(move |connection| store::add(connection, &connector, counts)).await;
            let error: &dyn std::error::Error = match &written {
                Ok(()) => return true,
                Err(WriteError::Job(error)) => error,
                Err(WriteError::Database(error)) => error,
            };
            tracing::error!(connector = %self.desk.connector, error = %chain(error), "settlements not written");
            if stop.is_cancelled() {
                return false;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

impl Desk {
    fn books(&self) -> MutexGuard<'_, Books> {
        // Every change to the books is a single step, so a panic elsewhere cannot have left them half changed.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for Desk {
    fn receipt(self: Arc<Self>, position: u64, ledger: &Arc<dyn Settle>) -> Receipt {
        self.books().received();
        self.meters.received();
        let witnessed = Witnessed { desk: self, ledger: Arc::clone(ledger) };
        Receipt::new(position, Arc::new(witnessed))
    }
}

/// Stands between a receipt and its ledger.
struct Witnessed {
    desk: Arc<Desk>,
    ledger: Arc<dyn Settle>,
}

impl Settle for Witnessed {
    fn settle(&self, position: u64, settlement: Settlement) {
        self.desk.books().note(books::Ended { ledger: Arc::clone(&self.ledger), position, settlement });
        self.desk.noted.notify_one();
    }
}

#[cfg(test)]
mod tests;
