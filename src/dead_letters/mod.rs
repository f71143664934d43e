//! What could not be processed, for every stage: written down, looked at, replayed, discarded.
//!
//! A letter is durable before the receipt of its message completes. While the database refuses it is tried again, which
//! fills the inbox, stops the stages and holds the sources back. Each letter is logged and counted by the call that
//! records it. The log line names the template and where the message came from, never what was in it; the message and
//! the reason are in the database alone.
//!
//! A message is kept once, as received, however many letters are about it, and goes with the last of them. Replaying it
//! is the business of [`replay`].

mod replay;
mod selection;
mod store;
mod under_way;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::store::{End, Kept, Messages, Numbers, Turn};
use self::under_way::UnderWay;
use crate::database::{Database, DatabaseError};
use crate::model::Tracked;
use crate::model::dead_letter::DeadLetter;
use crate::model::envelope::WayIn;
use crate::model::receipt::Outcome;
use crate::telemetry::chain;
use crate::telemetry::meters::{count_dead_letter, count_discarded};

pub(crate) use self::replay::{Progress, Replayer, Replays, RequestError};
pub(crate) use self::selection::Selection;
pub(crate) use self::store::{Entry, Page, SCHEMA, Sum, WholeLetter};

/// Pause after a write that failed, for example because the disk is full.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Batches of letters that share a write.
const BATCHES_PER_WRITE_MAX: usize = 64;
/// Letters on one page of a listing.
pub(crate) const PAGE_MAX: u16 = 1_000;
/// Causes told apart in a summary; the rarest are left out.
const SUMMARY_MAX: u16 = 1_000;
/// Letters discarded by one write, so that others get their turn.
const DISCARDED_PER_WRITE_MAX: u16 = 2_000;

/// The dead letters of all connectors. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetters {
    database: Database,
    under_way: UnderWay,
    give_up: CancellationToken,
}

/// The program ended before the letters were written; their messages must not be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dead letters were not written")]
struct Unrecorded;

impl DeadLetters {
    /// Letters kept in `database`. After `give_up` a refused write is not tried again.
    pub(crate) fn new(database: Database, give_up: CancellationToken) -> Self {
        Self { database, under_way: UnderWay::default(), give_up }
    }

    /// The same letters, for one whose refused writes are not tried again after this `give_up`.
    pub(crate) fn giving_up_with(&self, give_up: CancellationToken) -> Self {
        Self { give_up, ..self.clone() }
    }

    /// Runs until the inbox closes: records letters and completes their receipts.
    pub(crate) async fn run(self, mut inbox: mpsc::Receiver<Vec<Tracked<DeadLetter>>>) {
        let mut arrived = Vec::new();
        while inbox.recv_many(&mut arrived, BATCHES_PER_WRITE_MAX).await > 0 {
            let (mut letters, mut receipts) = (Vec::new(), Vec::new());
            for Tracked { value: letter, receipt } in arrived.drain(..).flatten() {
                match self.under_way.hold(letter) {
                    Ok(()) => receipt.complete(Outcome::DeadLettered),
                    Err(letter) => {
                        letters.push(*letter);
                        receipts.push(receipt);
                    }
                }
            }
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
        let written = Arc::clone(&letters);
        let recorded = self.insist(move |connection| store::insert(connection, &written)).await?;
        for (letter, numbers) in letters.iter().zip(recorded) {
            tell(letter, numbers);
            report(letter);
        }
        Ok(())
    }

    /// Writes, however long it takes, until the program gives up.
    async fn insist<T, F>(&self, job: F) -> Result<T, Unrecorded>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, rusqlite::Error> + Clone + Send + 'static,
    {
        loop {
            let error = match self.write(job.clone()).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            tracing::error!(error = %chain(&error), "dead letters not written");
            if self.give_up.is_cancelled() {
                return Err(Unrecorded);
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_PAUSE) => {}
                () = self.give_up.cancelled() => {}
            }
        }
    }

    async fn write<T, F>(&self, job: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        Ok(self.database.write(job).await?)
    }

    async fn read<T, F>(&self, job: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        Ok(self.database.read(job).await??)
    }

    /// A page of a connector's letters, newest first, older than the letter `before` if that is given.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn list(
        &self,
        connector: &str,
        selection: Selection,
        before: Option<i64>,
        limit: u16,
    ) -> Result<Page, DatabaseError> {
        let connector = connector.to_owned();
        let limit = limit.min(PAGE_MAX);
        self.read(move |connection| store::page(connection, &connector, &selection, before, limit)).await
    }

    /// A letter of a connector with its whole message; `None` when there is none under this number.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn find(&self, connector: &str, id: i64) -> Result<Option<WholeLetter>, DatabaseError> {
        let connector = connector.to_owned();
        self.read(move |connection| store::letter(connection, &connector, id)).await
    }

    /// How many letters a connector has for which cause, the most frequent first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn summary(&self, connector: &str, selection: Selection) -> Result<Vec<Sum>, DatabaseError> {
        let connector = connector.to_owned();
        self.read(move |connection| store::summary(connection, &connector, &selection, SUMMARY_MAX)).await
    }

    /// How many letters a connector has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn count(&self, connector: &str) -> Result<u64, DatabaseError> {
        let connector = connector.to_owned();
        self.read(move |connection| store::count(connection, &connector)).await
    }

    /// Whether the message of a letter is being replayed at this moment.
    pub(crate) fn is_under_way(&self, message: i64) -> bool {
        self.under_way.contains(message)
    }

    /// Removes selected letters for good, but none whose message is being replayed at this moment. Returns how many
    /// there were, by code.
    ///
    /// # Errors
    /// When the database cannot be written; a part of the letters may be gone then.
    pub(crate) async fn discard(
        &self,
        connector: &str,
        selection: &Selection,
    ) -> Result<BTreeMap<String, u64>, DatabaseError> {
        let mut total: BTreeMap<String, u64> = BTreeMap::new();
        loop {
            let (name, selection, under_way) = (connector.to_owned(), selection.clone(), self.under_way.clone());
            let job = move |connection: &Connection| {
                // Messages are marked by the writer as well, so none is marked while this runs.
                let spared = under_way.messages();
                store::discard(connection, &name, &selection, &spared, DISCARDED_PER_WRITE_MAX)
            };
            let discarded = self.write(job).await?;
            let count: u64 = discarded.values().sum();
            if count > 0 {
                count_discarded(connector, count);
                tracing::warn!(connector, letters = count, codes = ?discarded, "dead letters discarded");
            }
            for (code, count) in discarded {
                *total.entry(code).or_default() += count;
            }
            if count < u64::from(DISCARDED_PER_WRITE_MAX) {
                return Ok(total);
            }
        }
    }

    /// The messages that selected letters are about.
    async fn messages_of(&self, connector: &str, selection: Selection) -> Result<Messages, DatabaseError> {
        let connector = connector.to_owned();
        self.read(move |connection| store::messages_of(connection, &connector, &selection)).await
    }

    /// The next messages of selected letters in the order of their arrival, see [`store::turns`].
    async fn turns(
        &self,
        connector: &str,
        selection: Selection,
        range: (Turn, i64),
        limit: u16,
    ) -> Result<Vec<(Turn, u64)>, DatabaseError> {
        let connector = connector.to_owned();
        self.read(move |connection| store::turns(connection, &connector, &selection, range, limit)).await
    }

    /// Marks messages as under way and reads them, in this order, without those that are gone or marked already.
    async fn take(&self, messages: Vec<i64>) -> Result<Vec<Kept>, DatabaseError> {
        let (under_way, wanted) = (self.under_way.clone(), messages.clone());
        let taken = self
            .write(move |connection| {
                let mut taken = store::take(connection, &wanted)?;
                taken.retain(|message| under_way.begin(message.id));
                Ok(taken)
            })
            .await;
        if taken.is_err() {
            self.under_way.end(messages);
        }
        taken
    }

    /// Writes down how replays ended, and unmarks their messages.
    async fn end(&self, ended: Arc<Vec<(i64, End)>>, at: Timestamp) {
        if ended.is_empty() {
            return;
        }
        let written = Arc::clone(&ended);
        // What is not written because the program ends is replayed once more after the next request, without harm.
        if self.insist(move |connection| store::end_replays(connection, &written, at)).await.is_ok() {
            for (_, end) in ended.iter() {
                if let End::Failed(letters) = end {
                    letters.iter().for_each(report);
                }
            }
        }
        self.under_way.end(ended.iter().map(|(message, _)| *message));
    }

    /// Unmarks messages whose replay did not end; their letters stay as they are.
    fn end_abandoned(&self, messages: &[i64]) {
        self.under_way.end(messages.iter().copied());
    }

    /// The letters in which the replay of a message has ended.
    fn held(&self, message: i64) -> Vec<DeadLetter> {
        self.under_way.letters(message)
    }
}

/// Tells a message under which number it is kept, and its sender of the letter.
fn tell(letter: &DeadLetter, numbers: Numbers) {
    match &letter.envelope.way_in {
        WayIn::Source(number) | WayIn::Asked(number, _) => number.get_or_init(|| numbers.message),
        WayIn::Replay(number) => number,
    };
    if let WayIn::Asked(_, inquiry) = &letter.envelope.way_in {
        inquiry.tell(numbers.letter, letter);
    }
}

fn report(letter: &DeadLetter) {
    let origin = &letter.envelope.origin;
    count_dead_letter(&origin.connector, letter.stage, letter.code);
    tracing::warn!(
        stage = letter.stage.as_str(),
        code = letter.code,
        template.r#type = letter.template.as_ref().map(|(name, _)| name.as_str()),
        template.line = letter.template.as_ref().map(|(_, line)| *line),
        origin.connector = %origin.connector,
        origin.source = %origin.source,
        origin.position = origin.position,
        replay = matches!(letter.envelope.way_in, WayIn::Replay(_)),
        "dead letter recorded"
    );
}

#[cfg(test)]
mod tests;
