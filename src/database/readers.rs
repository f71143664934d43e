//! Connections that only read, lent out one query at a time.
//!
//! A query whose caller has gone (a timeout, a client that hung up) is interrupted: it would keep a connection from others
//! and the log of writes from being moved into the database for as long as it runs.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::deadline::STEPS_PER_LOOK;
use super::{DatabaseError, LONG_READS_MAX};

/// Looks at a job after which it is too long for the caller's own thread: some thousand steps of SQLite's machine.
const LOOKS_HERE_MAX: u32 = 8;

/// A fixed number of reading connections.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    /// Connections nobody uses now. As many permits as connections, so whoever has a permit finds one.
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    /// Fewer than connections.
    long_permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        let long_permits = Arc::new(Semaphore::new(LONG_READS_MAX));
        Self { idle: Arc::new(Mutex::new(connections)), permits, long_permits }
    }

    /// Runs `job` inside one read transaction, in the company of few others that may take long.
    pub(super) async fn read_long<T, F>(&self, job: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> T + Send + 'static,
    {
        let permit = Arc::clone(&self.long_permits).acquire_owned().await.map_err(|_closed| DatabaseError::Closed)?;
        // Until the connection is back, which may be later than the caller waits.
        let job = move |connection: &Connection| {
            let answer = job(connection);
            drop(permit);
            answer
        };
        self.read(job).await
    }

    /// Runs `job` inside one read transaction.
    pub(super) async fn read<T, F>(&self, job: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> T + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_closed| DatabaseError::Closed)?;
        let idle = Arc::clone(&self.idle);
        let gone = CancellationToken::new();
        let _caller = gone.clone().drop_guard();
        let lent = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            Loan::take(&idle).serve(Some(move || gone.is_cancelled()), job)
        });
        lent.await.map_err(|_cancelled| DatabaseError::Closed)?
    }

    /// Runs `job` inside one read transaction on the caller's own thread. Only for what a few steps into an index find: they
    /// take less time than the way to another thread and back.
    pub(super) async fn read_here<T>(&self, job: impl FnOnce(&Connection) -> T) -> Result<T, DatabaseError> {
        let _permit = self.permits.acquire().await.map_err(|_closed| DatabaseError::Closed)?;
        Loan::take(&self.idle).serve(None::<fn() -> bool>, job)
    }

    /// As `read_here`, for what usually is as short; `None` if it was not and was given up.
    pub(super) async fn try_here<T>(&self, job: impl FnOnce(&Connection) -> T) -> Result<Option<T>, DatabaseError> {
        let _permit = self.permits.acquire().await.map_err(|_closed| DatabaseError::Closed)?;
        let looks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&looks);
        let is_long = move || counted.fetch_add(1, Ordering::Relaxed) >= LOOKS_HERE_MAX;
        let answer = Loan::take(&self.idle).serve(Some(is_long), job)?;
        Ok((looks.load(Ordering::Relaxed) <= LOOKS_HERE_MAX).then_some(answer))
    }

    /// Takes no more queries and closes the connections that nobody uses.
    pub(super) fn close(&self) {
        self.long_permits.close();
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A connection that goes back when dropped, also when the job panics.
struct Loan<'a> {
    idle: &'a Mutex<Vec<Connection>>,
    connection: Option<Connection>,
}

impl<'a> Loan<'a> {
    fn take(idle: &'a Mutex<Vec<Connection>>) -> Self {
        Self { idle, connection: idle.lock().unwrap_or_else(PoisonError::into_inner).pop() }
    }

    /// Runs `job`; what it asks is interrupted when that is due.
    fn serve<T>(
        mut self,
        is_due: Option<impl FnMut() -> bool + Send + 'static>,
        job: impl FnOnce(&Connection) -> T,
    ) -> Result<T, DatabaseError> {
        let connection = self.connection.as_mut().ok_or(DatabaseError::Closed)?;
        connection.progress_handler(STEPS_PER_LOOK, is_due)?;
        let transaction = connection.transaction()?;
        let answer = job(&transaction);
        transaction.finish()?;
        Ok(answer)
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
