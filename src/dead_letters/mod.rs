//! Writes down what could not be processed, for every stage.
//!
//! A letter is durable before the receipt of its message completes. While the database refuses it is tried again, which
//! fills the inbox, stops the stages and holds the sources back. Each letter is logged and counted by the call that
//! records it. The log line names the template and where the message came from, never what was in it; the payload and
//! the reason are in the database alone.

mod store;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, DatabaseError, WriteError};
use crate::model::Tracked;
use crate::model::dead_letter::DeadLetter;
use crate::model::receipt::Outcome;
use crate::telemetry::chain;
use crate::telemetry::meters::count_dead_letter;

pub(crate) use self::store::{Entry, Page, SCHEMA};

/// Pause after a write that failed, for example because the disk is full.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Batches of letters that share a write.
const BATCHES_PER_WRITE_MAX: usize = 64;
/// Letters on one page of a listing.
pub(crate) const PAGE_MAX: u16 = 100;

/// The dead letters of all connectors. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetters {
    database: Database,
    give_up: CancellationToken,
}

/// The program ended before the letters were written; their messages must not be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dead letters were not written")]
struct Unrecorded;

impl DeadLetters {
    /// Letters kept in `database`. After `give_up` a refused write is not tried again.
    pub(crate) fn new(database: Database, give_up: CancellationToken) -> Self {
        Self { database, give_up }
    }

    /// Runs until the inbox closes: records letters and completes their receipts.
    pub(crate) async fn run(self, mut inbox: mpsc::Receiver<Vec<Tracked<DeadLetter>>>) {
        let mut arrived = Vec::new();
        while inbox.recv_many(&mut arrived, BATCHES_PER_WRITE_MAX).await > 0 {
            let tracked = arrived.drain(..).flatten();
            let (letters, receipts): (Vec<_>, Vec<_>) = tracked.map(|letter| (letter.value, letter.receipt)).unzip();
            // Unrecorded letters abandon their messages, which the broker then offers again.
            if self.record(letters).await.is_ok() {
                receipts.into_iter().for_each(|receipt| receipt.complete(Outcome::DeadLettered));
            }
        }
    }

    /// Records letters, all in one write, and answers when they are durable.
    async fn record(&self, letters: Vec<DeadLetter>) -> Result<(), Unrecorded> {
        if letters.is_empty() {
            return Ok(());
        }
        let letters = Arc::new(letters);
        while let Err(error) = self.write(&letters).await {
            tracing::error!(error = %chain(&error), letters = letters.len(), "dead letters not written");
            if self.give_up.is_cancelled() {
                return Err(Unrecorded);
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_PAUSE) => {}
                () = self.give_up.cancelled() => {}
            }
        }
        letters.iter().for_each(report);
        Ok(())
    }

    async fn write(&self, letters: &Arc<Vec<DeadLetter>>) -> Result<(), DatabaseError> {
        let letters = Arc::clone(letters);
        let written = self.database.write(move |connection| store::insert(connection, &letters)).await;
        written.map_err(|error| match error {
            WriteError::Job(error) => error.into(),
            WriteError::Database(error) => error,
        })
    }

    /// A page of a connector's letters, newest first, older than the letter `before` if that is given.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn list(&self, connector: &str, before: Option<i64>) -> Result<Page, DatabaseError> {
        let connector = connector.to_owned();
        Ok(self.database.read(move |connection| store::page(connection, &connector, before, PAGE_MAX)).await??)
    }

    /// How many letters a connector has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn count(&self, connector: &str) -> Result<u64, DatabaseError> {
        let connector = connector.to_owned();
        Ok(self.database.read(move |connection| store::count(connection, &connector)).await??)
    }
}

fn report(letter: &DeadLetter) {
    count_dead_letter(&letter.origin.connector, letter.stage, letter.code);
    tracing::warn!(
        stage = letter.stage.as_str(),
        code = letter.code,
        template.r#type = letter.template.as_ref().map(|(name, _)| name.as_str()),
        template.line = letter.template.as_ref().map(|(_, line)| *line),
        origin.connector = %letter.origin.connector,
        origin.source = %letter.origin.source,
        origin.position = letter.origin.position,
        "dead letter recorded"
    );
}

#[cfg(test)]
mod tests;
