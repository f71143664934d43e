//! The one writer: a thread that runs whatever waits in one transaction and answers after the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::lock::DirectoryLock;
use super::{DatabaseError, OpenError, WriteError};

/// Jobs that may wait. More would only hide that the disk is slower than the callers.
const JOBS_MAX: usize = 256;
/// Jobs that may share a commit.
const JOBS_PER_COMMIT_MAX: usize = 64;

/// A handle to the writing thread, which ends when it is closed or the last handle goes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    /// Its other end goes with the thread.
    running: watch::Receiver<()>,
}

/// What the thread is to do.
enum Order {
    Write(Box<dyn Job>),
    /// Take no more orders, finish those that wait, end.
    Close,
}

impl Writer {
    /// Starts the thread. The lock on the directory goes with it, after the connection has closed.
    pub(super) fn start(connection: Connection, lock: DirectoryLock) -> Result<Self, OpenError> {
        let (orders, waiting) = mpsc::channel(JOBS_MAX);
        let (is_running, running) = watch::channel(());
        std::thread::Builder::new()
            .name("database-writer".to_owned())
            .spawn(move || {
                run(connection, waiting);
                drop(lock);
                drop(is_running);
            })
            .map_err(OpenError::Thread)?;
        Ok(Self { orders, running })
    }

    /// Returns when all that waits is written and the connection has closed.
    pub(super) async fn close(&self) {
        // Both fail when the thread has ended already.
        drop(self.orders.send(Order::Close).await);
        drop(self.running.clone().changed().await);
    }

    pub(super) async fn write<T, E, F>(&self, job: F) -> Result<T, WriteError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Pending { step: Some(Step::Waiting(job)), answer: Some(answer) });
        self.orders.send(Order::Write(job)).await.map_err(|_closed| WriteError::Database(DatabaseError::Closed))?;
        answered.await.unwrap_or(Err(WriteError::Database(DatabaseError::Closed)))
    }
}

/// A job whose result type is its own affair.
trait Job: Send {
    /// Does the work; `false` when the job gave up and its savepoint must be rolled back.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells the caller, once the fate of the transaction is known.
    fn answer(self: Box<Self>, committed: Result<(), DatabaseError>);
}

enum Step<F, T, E> {
    Waiting(F),
    Done(Result<T, E>),
}

struct Pending<F, T, E> {
    step: Option<Step<F, T, E>>,
    answer: Option<oneshot::Sender<Result<T, WriteError<E>>>>,
}

impl<F, T, E> Job for Pending<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(Step::Waiting(job)) = self.step.take() else {
            return false;
        };
        // The savepoint undoes whatever a panicking job left half done, so nothing broken is seen by others.
        let Ok(result) = catch_unwind(AssertUnwindSafe(|| job(connection))) else { return false };
        let kept = result.is_ok();
        self.step = Some(Step::Done(result));
        kept
    }

    fn answer(mut self: Box<Self>, committed: Result<(), DatabaseError>) {
        let result = match (self.step.take(), committed) {
            // The job's own refusal stands, whatever became of its neighbours.
            (Some(Step::Done(Err(error))), _) => Err(WriteError::Job(error)),
            (_, Err(error)) => Err(WriteError::Database(error)),
            (Some(Step::Done(Ok(value))), Ok(())) => Ok(value),
            (Some(Step::Waiting(_)) | None, Ok(())) => Err(WriteError::Database(DatabaseError::Panicked)),
        };
        if let Some(answer) = self.answer.take() {
            // A caller that no longer waits has given up its interest, not the write.
            drop(answer.send(result));
        }
    }
}

fn run(mut connection: Connection, mut waiting: mpsc::Receiver<Order>) {
    let mut orders = Vec::with_capacity(JOBS_PER_COMMIT_MAX);
    let mut jobs = Vec::with_capacity(JOBS_PER_COMMIT_MAX);
    while waiting.blocking_recv_many(&mut orders, JOBS_PER_COMMIT_MAX) > 0 {
        for order in orders.drain(..) {
            match order {
                Order::Write(job) => jobs.push(job),
                Order::Close => waiting.close(),
            }
        }
        let committed = commit_together(&mut connection, &mut jobs);
        for job in jobs.drain(..) {
            job.answer(committed.clone());
        }
    }
    // Nothing is lost if it fails: the next start reads the log.
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(())) {
        tracing::warn!(%error, "the log could not be moved into the database");
    }
}

fn commit_together(connection: &mut Connection, jobs: &mut [Box<dyn Job>]) -> Result<(), DatabaseError> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in jobs {
        let savepoint = transaction.savepoint()?;
        if job.run(&savepoint) {
            savepoint.commit()?;
        }
        // A savepoint that is dropped rolls back.
    }
    transaction.commit()?;
    Ok(())
}
