//! The boundary of the store: what may be read, what may be written, and in what company.
//!
//! Work is handed in as a function. One that reads sees a committed state that does not move under it. One that writes
//! runs alone, sees all that was written before it, and takes effect as a whole once its caller has the answer: an
//! error from the function, or from the store, leaves nothing behind. Searches and writes run on the store's own
//! threads, so whatever can be computed beforehand (parsing, indexing) belongs in front of the call.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    Code, CodeSet, Condition, Dated, Draft, HistoryQuery, IndexEntry, Method, Newest, Note, Page, Parameter, Query,
    ResourceKey, Version,
};
use crate::r4::resource_type::ResourceType;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The cursor is not one that this store gave out for this order.
    #[error("the cursor does not belong to this search")]
    Cursor,
    /// A condition names codes that cannot be told; the text says why, for whoever asked.
    #[error("{0}")]
    Codes(String),
    /// The index of a write was made with other definitions than those in force. Nothing was written.
    #[error("the index was made with definitions that are no longer in force")]
    Outdated,
    /// The searches of one write took longer than they may, for all other writes wait for it. Nothing was written.
    #[error("a condition of the write takes too long to look up")]
    TooSlow,
    /// It is shutting down, or its writer has failed for good. Nothing was written.
    #[error("the store takes no more work")]
    Stopped,
    /// The database failed. Nothing was written.
    #[error("the store's database failed")]
    Database(#[source] Box<dyn Error + Send + Sync>),
}

/// What is known of a resource without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Number of the current version, from 1.
    pub(crate) number: u64,
    /// When it was written.
    pub(crate) last_updated: Timestamp,
    /// How it came about; `Delete` when the resource is deleted.
    pub(crate) method: Method,
}

/// What may be asked.
pub(crate) trait Reader {
    /// The current version without its body; a deletion counts as one. `None` when there never was such a resource.
    ///
    /// # Errors
    /// When the database fails; so for every function here.
    fn head(&self, key: &ResourceKey) -> Result<Option<Head>, StoreError>;

    /// The current version; a deletion counts as one.
    ///
    /// # Errors
    /// When the database fails.
    fn current(&self, key: &ResourceKey) -> Result<Option<Version>, StoreError>;

    /// One version, old or current.
    ///
    /// # Errors
    /// When the database fails.
    fn version(&self, key: &ResourceKey, number: u64) -> Result<Option<Version>, StoreError>;

    /// How often the definitions (`Note::Definitions`) have changed. What is written must be indexed by those in force.
    ///
    /// # Errors
    /// When the database fails.
    fn generation(&self) -> Result<u64, StoreError>;

    /// What a note says; nothing before it is written for the first time.
    ///
    /// # Errors
    /// When the database fails.
    fn note(&self, note: Note) -> Result<Bytes, StoreError>;

    /// The current resources of a type in the order in which they were first written, from behind a place in this order,
    /// each with its place; 0 is before all places.
    ///
    /// # Errors
    /// When the database fails.
    fn in_order(
        &self,
        resource_type: ResourceType,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Version)>, StoreError>;

    /// The place of the resource of a type that was first written last; 0 if there never was one.
    ///
    /// # Errors
    /// When the database fails.
    fn last_place(&self, resource_type: ResourceType) -> Result<u64, StoreError>;

    /// A page of a history, deletions included. Empty for a resource that never was.
    ///
    /// # Errors
    /// When the cursor is not of a history, or the database fails.
    fn history(&self, query: &HistoryQuery) -> Result<Page, StoreError>;

    /// A page of a search. Deleted resources are never found.
    ///
    /// # Errors
    /// When the cursor is not of this search, or the database fails.
    fn find(&self, query: &Query) -> Result<Page, StoreError>;

    /// The concepts of the series about a subject, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    fn concepts(
        &self,
        resource_type: ResourceType,
        parameter: &Parameter,
        subject: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError>;

    /// The newest matches in the series of a subject, those of each kind newest first.
    ///
    /// # Errors
    /// When the database fails.
    fn newest(&self, newest: &Newest) -> Result<Vec<Dated>, StoreError>;

    /// How many resources a condition finds.
    ///
    /// # Errors
    /// When the database fails.
    fn count(&self, resource_type: ResourceType, condition: &Condition) -> Result<u64, StoreError>;

    /// About how many resources a condition finds: exact where an index knows or few come into question, otherwise
    /// judged by a sample of those that do.
    ///
    /// # Errors
    /// When the database fails.
    fn estimate(&self, resource_type: ResourceType, condition: &Condition) -> Result<u64, StoreError>;
}

/// What may be done.
pub(crate) trait Writer: Reader {
    /// Writes the next version, the first if there is none yet; revives a deleted resource.
    ///
    /// # Errors
    /// When the index was made with other definitions, or the database fails. The write must then end in an error as well.
    fn put(&mut self, draft: Draft) -> Result<Version, StoreError>;

    /// Writes the current version anew: other content under the same number, time and method, for what is said of a
    /// version and not by it. `None` when there is nothing to amend.
    ///
    /// # Errors
    /// When the index was made with other definitions, or the database fails. The write must then end in an error as well.
    fn amend(&mut self, draft: Draft) -> Result<Option<Version>, StoreError>;

    /// Replaces what the current version of a resource is found by, and changes nothing else of it. With `only` that is
    /// what it is found by under these parameters, and `index` has no others.
    ///
    /// # Errors
    /// When the database fails. The write must then end in an error as well.
    fn index(&mut self, key: &ResourceKey, only: Option<&[Parameter]>, index: &[IndexEntry]) -> Result<(), StoreError>;

    /// Writes a note anew.
    ///
    /// # Errors
    /// When the database fails. The write must then end in an error as well.
    fn set_note(&mut self, note: Note, text: &[u8]) -> Result<(), StoreError>;

    /// Deletes, which is a version of its own. `None` when there is nothing to delete.
    ///
    /// # Errors
    /// When the database fails. The write must then end in an error as well.
    fn delete(&mut self, key: &ResourceKey) -> Result<Option<Version>, StoreError>;
}

/// Whether what a write did is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It takes effect.
    Keep,
    /// It leaves nothing behind.
    Undo,
}

/// Lists the codes of a set, as the resources that are stored define them. The store knows nothing of terminology; it is
/// given this when it is opened.
pub(crate) type Terminology = fn(&dyn Reader, &CodeSet) -> Result<Vec<Code>, StoreError>;

/// Work that only reads.
pub(crate) type ReadJob = Box<dyn FnOnce(&dyn Reader) + Send>;

/// Work that writes.
pub(crate) type WriteJob = Box<dyn FnOnce(&mut dyn Writer) -> Verdict + Send>;

/// The end of a job: an error when it did not run or its effect could not be made durable.
pub(crate) type JobEnd<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// The end of a job that is given up when it takes long: whether it came to its end.
pub(crate) type TrialEnd<'a> = Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'a>>;

/// A place for resources. Callers use the functions `read` and `write` of `dyn Store`, which carry results of any type.
pub(crate) trait Store: Send + Sync {
    /// Runs a job on a committed state, on the caller's own thread: it takes no more than a few steps into an index.
    fn run_read(&self, job: ReadJob) -> JobEnd<'_>;

    /// As `run_read`, for a job that usually is as short. Whether it was; if not, it was given up and its answer is not to be
    /// used.
    fn try_read(&self, job: ReadJob) -> TrialEnd<'_>;

    /// Runs a job on a committed state that may take long; jobs of `run_read` do not wait for it.
    fn run_search(&self, job: ReadJob) -> JobEnd<'_>;

    /// Runs a job alone; ends when its effect is durable or undone.
    fn run_write(&self, job: WriteJob) -> JobEnd<'_>;

    /// A number that is another one whenever the definitions may have changed since it was asked for. A change shows here
    /// before its author hears that it took effect.
    fn definitions_epoch(&self) -> u64;
}

impl dyn Store {
    /// Runs a function that reads a resource or two, by their ids.
    ///
    /// # Errors
    /// What the function returns, or the store's own failure.
    pub(crate) async fn read<T, E>(
        &self,
        job: impl FnOnce(&dyn Reader) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.run_read(Box::new(move |reader| drop(answer.send(job(reader))))).await?;
        answered.await.unwrap_or_else(|_never_ran| Err(StoreError::Stopped.into()))
    }

    /// Runs a function that usually reads a resource or two; `None` if it takes longer than that.
    ///
    /// # Errors
    /// What the function returns, or the store's own failure.
    pub(crate) async fn try_briefly<T, E>(
        &self,
        job: impl FnOnce(&dyn Reader) -> Result<T, E> + Send + 'static,
    ) -> Result<Option<T>, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        if !self.try_read(Box::new(move |reader| drop(answer.send(job(reader))))).await? {
            return Ok(None);
        }
        answered.await.unwrap_or_else(|_never_ran| Err(StoreError::Stopped.into())).map(Some)
    }

    /// Runs a function that reads and may take long. It is interrupted when its caller stops waiting.
    ///
    /// # Errors
    /// What the function returns, or the store's own failure.
    pub(crate) async fn search<T, E>(
        &self,
        job: impl FnOnce(&dyn Reader) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.run_search(Box::new(move |reader| drop(answer.send(job(reader))))).await?;
        answered.await.unwrap_or_else(|_never_ran| Err(StoreError::Stopped.into()))
    }

    /// Runs a function that writes. What it did takes effect if and only if it returns `Ok` and so does this call;
    /// the one doubt is a caller that stops waiting: then the write may still take effect.
    ///
    /// # Errors
    /// What the function returns, or the store's own failure.
    pub(crate) async fn write<T, E>(
        &self,
        job: impl FnOnce(&mut dyn Writer) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = move |writer: &mut dyn Writer| {
            let result = job(writer);
            let verdict = if result.is_ok() { Verdict::Keep } else { Verdict::Undo };
            drop(answer.send(result));
            verdict
        };
        self.run_write(Box::new(job)).await?;
        answered.await.unwrap_or_else(|_never_ran| Err(StoreError::Stopped.into()))
    }
}
