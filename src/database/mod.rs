//! The database file: one process, one writer with group commit, readers beside it, schemas with forward migration.
//!
//! Everything durable lives in one SQLite file in WAL mode with `synchronous=FULL`, so that what one commit says about a
//! message (stored, dead-lettered, counted) can never contradict another file. A write is a function that runs alone on
//! the writer's connection. All writes waiting at that moment share one transaction and one flush of the disk, each
//! inside a savepoint of its own: one that fails takes back only itself. An answer is given after the commit.
//!
//! This module knows no tables. Who keeps something here brings a [`Schema`] and its own statements.

mod deadline;
mod lock;
mod log;
mod readers;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

pub(crate) use self::deadline::interrupted_after;
pub(crate) use self::schema::Schema;

use self::lock::DirectoryLock;
use self::readers::Readers;
use self::writer::Writer;

/// Name of the database file within the data directory.
const FILE_NAME: &str = "vitalwire.db";
/// Readers beside the writer. A reader holds a thread of the blocking pool for as long as its query runs.
const READERS_MAX: usize = 4;
/// How many of the readers may be lent for what may take long; the others answer what is looked up by a key meanwhile.
const LONG_READS_MAX: usize = READERS_MAX - 1;
/// Prepared statements kept per connection; the store has more than SQLite's usual 16.
const STATEMENTS_MAX: usize = 256;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The directory is missing and cannot be made, or may not be written.
    #[error("cannot use the data directory {path}; choose another with `--data-dir` or mend its permissions")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// Another process has it open.
    #[error(
        "the data directory {path} is in use by another vitalwire process; stop that one or choose another directory"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file is not a database, or a damaged one.
    #[error("{path} is not a usable database; restore it from a backup, or move it away to start empty")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        cause: rusqlite::Error,
    },
    /// The file was written by a newer version of the program.
    #[error(
        "{path} has version {found} of the schema `{schema}`, this program knows up to {known}; use the newer program"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Which schema.
        schema: &'static str,
        /// The version found.
        found: usize,
        /// The latest version known.
        known: usize,
    },
    /// The file was laid out by a build whose steps are not those of this program.
    #[error(
        "{path} was made by another build of vitalwire, whose schema `{schema}` is not one this program can bring up to date; use \
         that build, or another data directory"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Which schema.
        schema: &'static str,
    },
    /// The system refused a thread.
    #[error("cannot start the database writer")]
    Thread(#[source] std::io::Error),
}

/// Why a read or a write did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// SQLite refused: disk full, input/output error, damage. Nothing of the transaction was kept.
    #[error("the database refused the transaction")]
    Refused(#[source] Arc<rusqlite::Error>),
    /// The job panicked; what it had written is taken back, its neighbours go on.
    #[error("the database job failed from within")]
    Panicked,
    /// The database is shutting down, or its writer has stopped.
    #[error("the database is closed")]
    Closed,
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Refused(Arc::new(cause))
    }
}

/// Why a write had no effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError<E> {
    /// The job itself gave up; what it had written is taken back.
    #[error(transparent)]
    Job(E),
    /// The commit failed; nothing of the job is kept.
    #[error(transparent)]
    Database(DatabaseError),
}

impl From<WriteError<rusqlite::Error>> for DatabaseError {
    fn from(error: WriteError<rusqlite::Error>) -> Self {
        match error {
            WriteError::Job(error) => error.into(),
            WriteError::Database(error) => error,
        }
    }
}

/// The database of a data directory. Cheap to clone; the file closes when the last clone goes, or with `close`.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    writer: Writer,
    readers: Readers,
}

impl Database {
    /// Opens the database in `directory`, making both if they are not there, and brings its schemas up to date.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is changed then.
    pub(crate) fn open(directory: &Path, schemas: &[Schema]) -> Result<Self, OpenError> {
        let lock = DirectoryLock::take(directory)?;
        let path = directory.join(FILE_NAME);
        let broken = |cause| OpenError::Broken { path: path.clone(), cause };
        let mut connection = open_for_writing(&path).map_err(broken)?;
        for schema in schemas {
            schema.migrate(&mut connection, &path)?;
        }
        let readers = (0..READERS_MAX).map(|_| open_for_reading(&path)).collect::<Result<_, _>>().map_err(broken)?;
        Ok(Self { writer: Writer::start(connection, lock)?, readers: Readers::new(readers) })
    }

    /// Runs `job` alone on the writer's connection and answers when what it wrote is durable.
    ///
    /// # Errors
    /// [`WriteError::Job`] with the job's own error, after its savepoint was rolled back;
    /// [`WriteError::Database`] when the commit failed.
    pub(crate) async fn write<T, E, F>(&self, job: F) -> Result<T, WriteError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        self.writer.write(job).await
    }

    /// Runs `job` on a reader's connection, which sees one consistent state of all that is committed.
    ///
    /// # Errors
    /// [`DatabaseError::Closed`] at shutdown; [`DatabaseError::Refused`] when no transaction could begin.
    pub(crate) async fn read<T, F>(&self, job: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> T + Send + 'static,
    {
        self.readers.read(job).await
    }

    /// As `read`, for a job that may take long: one reader is always left for those that do not.
    ///
    /// # Errors
    /// As `read`.
    pub(crate) async fn read_long<T, F>(&self, job: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> T + Send + 'static,
    {
        self.readers.read_long(job).await
    }

    /// As `read`, on the caller's own thread; only for what a few steps into an index find.
    ///
    /// # Errors
    /// As `read`.
    pub(crate) async fn read_here<T>(&self, job: impl FnOnce(&Connection) -> T) -> Result<T, DatabaseError> {
        self.readers.read_here(job).await
    }

    /// As `read_here`, for what usually is as short; `None` if it was not and was given up.
    ///
    /// # Errors
    /// As `read`.
    pub(crate) async fn try_here<T>(&self, job: impl FnOnce(&Connection) -> T) -> Result<Option<T>, DatabaseError> {
        self.readers.try_here(job).await
    }

    /// Takes no more work, finishes what waits, moves the log into the database file and closes it. Every clone then
    /// answers [`DatabaseError::Closed`], and the data directory is free.
    pub(crate) async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }
}

fn open_for_writing(path: &Path) -> Result<Connection, rusqlite::Error> {
    let mut connection = Connection::open(path)?;
    prepare_once(&connection)?;
    // WAL keeps readers going beside the writer; FULL flushes the log at every commit, so that what is acknowledged
    // survives a power cut. When the log moves into the database is the business of `log`.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA cache_size = -131072;
         PRAGMA temp_store = MEMORY;
         PRAGMA foreign_keys = OFF;",
    )?;
    log::keep_short(&mut connection)?;
    connection.progress_handler(deadline::STEPS_PER_LOOK, Some(deadline::has_passed))?;
    // Damage shows here rather than in the middle of the day.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(connection)
}

/// Lets statements read lists of numbers. Keeps statements, and keeps them as they were planned: without the guarantee of
/// stable plans SQLite plans a statement anew whenever a value is bound that a partial index might be about, which costs
/// more than most statements themselves.
fn prepare_once(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    rusqlite::vtab::array::load_module(connection)
}

fn open_for_reading(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare_once(&connection)?;
    connection.execute_batch("PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY; PRAGMA query_only = ON;")?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
