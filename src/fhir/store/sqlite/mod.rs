//! The store on SQLite.
//!
//! `schema.sql` says what is kept. `write` puts and deletes, `read` gets what is named by its id, `history` lists versions, and `find` searches: the
//! narrowest part of a condition yields candidates from one index (`candidates`), its exact parts are asked of theirs
//! (`sieve`), the whole is checked against each candidate's own list of values (`filter`), and the order is either
//! walked along an index (`walks`) or sorted (`order`).
//! SQL is put together from fixed pieces alone, never from what was sent; every statement is prepared once per connection.

mod amounts;
mod candidates;
mod entries;
mod filter;
mod find;
mod hierarchy;
mod history;
mod names;
mod notes;
mod order;
mod read;
mod series;
mod sieve;
mod types;
mod walks;
mod write;

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use self::names::Names;
use self::read::Reading;
use self::types::Types;
use self::write::Writing;
use super::interface::{JobEnd, ReadJob, Reader, Store, StoreError, Terminology, TrialEnd, Verdict, WriteJob};
use super::watch::{Changes, Watch};
use super::{Code, CodeSet};
use crate::clock::Clock;
use crate::database::{Database, DatabaseError, Schema, WriteError};
use crate::r4::resource_type::ResourceType;

/// The tables of the store; the database that is handed to `SqliteStore::open` has been opened with it.
pub(crate) const SCHEMA: Schema = Schema { name: "fhir", steps: &[include_str!("schema.sql")] };

/// A store in a database file.
pub(crate) struct SqliteStore {
    database: Database,
    types: Arc<Types>,
    names: Arc<Mutex<RefCell<Names>>>,
    clock: Clock,
    watch: Option<Arc<Watch>>,
    terminology: Terminology,
    /// See `Store::definitions_epoch`.
    epoch: Arc<AtomicU64>,
    /// The types of which only the current version is kept.
    forgotten: Arc<HashSet<ResourceType>>,
}

impl SqliteStore {
    /// A store over the tables of `SCHEMA`; `clock` dates what is written.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn open(database: Database, clock: Clock) -> Result<Self, StoreError> {
        let types = database.write(|connection| Types::load(connection).map_err(StoreError::from)).await;
        let types = types.map_err(|error| match error {
            WriteError::Job(error) => error,
            WriteError::Database(error) => error.into(),
        })?;
        Ok(Self {
            database,
            types: Arc::new(types),
            names: Arc::default(),
            clock,
            watch: None,
            terminology: no_codes,
            epoch: Arc::default(),
            forgotten: Arc::default(),
        })
    }

    /// The same store, watched.
    pub(crate) fn watched_by(self, watch: Watch) -> Self {
        Self { watch: Some(Arc::new(watch)), ..self }
    }

    /// The same store, which now knows whom to ask for the codes of a set.
    pub(crate) fn with_terminology(self, terminology: Terminology) -> Self {
        Self { terminology, ..self }
    }

    /// The same store, which forgets a version of these types as soon as there is a later one.
    pub(crate) fn forgetting(self, types: impl Iterator<Item = ResourceType>) -> Self {
        Self { forgotten: Arc::new(types.collect()), ..self }
    }

    /// A job as the database runs it.
    fn reading(&self, job: ReadJob) -> impl FnOnce(&Connection) + Send + use<> {
        let (types, terminology) = (Arc::clone(&self.types), self.terminology);
        move |connection| job(&Reading { connection, types: &types, terminology, names: None })
    }
}

fn no_codes(_reader: &dyn Reader, _set: &CodeSet) -> Result<Vec<Code>, StoreError> {
    Err(StoreError::Codes("this store knows no terminology".to_owned()))
}

/// The job asked for its own undoing.
struct Undone;

impl Store for SqliteStore {
    fn run_read(&self, job: ReadJob) -> JobEnd<'_> {
        let job = self.reading(job);
        Box::pin(async move { Ok(self.database.read_here(job).await?) })
    }

    fn try_read(&self, job: ReadJob) -> TrialEnd<'_> {
        let job = self.reading(job);
        Box::pin(async move { Ok(self.database.try_here(job).await?.is_some()) })
    }

    fn run_search(&self, job: ReadJob) -> JobEnd<'_> {
        let job = self.reading(job);
        Box::pin(async move { Ok(self.database.read_long(job).await?) })
    }

    fn run_write(&self, job: WriteJob) -> JobEnd<'_> {
        let (types, names, clock) = (Arc::clone(&self.types), Arc::clone(&self.names), self.clock.clone());
        let terminology = self.terminology;
        let mut changes = Changes::of(self.watch.clone(), Arc::clone(&self.epoch));
        let forgotten = Arc::clone(&self.forgotten);
        Box::pin(async move {
            let ended = self.database.write(move |connection| {
                let names = names.lock().unwrap_or_else(PoisonError::into_inner);
                if names.borrow_mut().check(connection).is_err() {
                    names.take();
                }
                let reading = Reading { connection, types: &types, terminology, names: Some(&names) };
                match job(&mut Writing::new(reading, &names, &clock, &forgotten, &mut changes)) {
                    Verdict::Keep => Ok(changes),
                    Verdict::Undo => Err(Undone),
                }
            });
            match ended.await {
                // Here, or with the answer that nobody took.
                Ok(changes) => {
                    drop(changes);
                    Ok(())
                }
                Err(WriteError::Job(Undone)) => Ok(()),
                Err(WriteError::Database(error)) => Err(error.into()),
            }
        })
    }

    fn definitions_epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Closed => Self::Stopped,
            DatabaseError::Refused(_) | DatabaseError::Panicked => Self::Database(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests;
