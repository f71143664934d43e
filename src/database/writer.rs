//! The one writer: a thread that runs whatever waits in one transaction and answers after the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::lock::DirectoryLock;
use super::{DatabaseError, OpenError, WriteError};

/// Jobs that may wait. More would only hide that the disk is slower than the callers.
const JOBS_MAX: usize = 256;
/// Jobs that may share a commit.
const JOBS_PER_COMMIT_MAX: usize = 64;

/// A handle to the writing thread, which ends when the last handle goes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Starts the thread. The lock on the directory goes with it, after the connection has closed.
    pub(super) fn start(connection: Connection, lock: DirectoryLock) -> Result<Self, OpenError> {
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        std::thread::Builder::new()
            .name("database-writer".to_owned())
            .spawn(move || {
                run(connection, waiting);
                drop(lock);
            })
            .map_err(OpenError::Thread)?;
        Ok(Self { jobs })
    }

    pub(super) async fn write<T, E, F>(&self, job: F) -> Result<T, WriteError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Pending { step: Some(Step::Waiting(job)), answer: Some(answer) });
        self.jobs.send(job).await.map_err(|_closed| WriteError::Database(DatabaseError::Closed))?;
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

fn run(mut connection: Connection, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    let mut jobs = Vec::with_capacity(JOBS_PER_COMMIT_MAX);
    while waiting.blocking_recv_many(&mut jobs, JOBS_PER_COMMIT_MAX) > 0 {
        let committed = commit_together(&mut connection, &mut jobs);
        for job in jobs.drain(..) {
            job.answer(committed.clone());
        }
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
