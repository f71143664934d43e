//! Reads a file of messages, one JSON value a line (NDJSON), once.
//!
//! A bookmark in the database follows behind the last line that is settled together with all before it, so a restart reads
//! on from there. A file that ends in `.gz` or `.zst` is unpacked while it is read. Lines are sent on as they are: one that is
//! not JSON becomes a dead letter where all payloads are judged. The file is read away from the runtime, a batch at a time,
//! and not faster than the pipeline takes it.
//!
//! Deliberately absent: following a file that grows. What is added to it is read at the next start.

mod lines;

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::lines::{Line, Lines};
use super::backoff::Backoff;
use super::ledger::{Abandoned, Ledger};
use super::state::SourceState;
use crate::bookmarks::{Bookmark, Bookmarks};
use crate::clock::Clock;
use crate::model::envelope::{Envelope, Origin, WayIn};
use crate::model::intake::Intake;
use crate::model::receipt::Settle;

/// Name of the source in the origin of its messages.
pub(crate) const SOURCE: &str = "file";

/// Lines up to this size are kept whole, whatever their bound.
const LINE_BYTES_KEPT_MIN: usize = 16 << 20;
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Pause after a bookmark that could not be set, for example because the disk is full.
const BOOKMARK_PAUSE: Duration = Duration::from_secs(1);

/// What to read, and how.
#[derive(Clone, Debug)]
pub(crate) struct FileSettings {
    /// The file.
    pub(crate) path: PathBuf,
    /// Most lines that are taken and not yet settled.
    pub(crate) in_flight_max: NonZeroUsize,
    /// Largest line that is looked into, in bytes.
    pub(crate) message_bytes_max: usize,
    /// Whether a line that is an array is as many messages as it has elements.
    pub(crate) split_arrays: bool,
}

/// A file that is to be read.
pub(crate) struct FileSource {
    settings: FileSettings,
    bookmarks: Bookmarks,
    clock: Clock,
    state: watch::Sender<SourceState>,
}

/// How the reading of a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All lines are settled.
    Finished,
    /// It was told to stop; what it took is settled.
    Stopped,
}

/// Why the reading of a file broke off.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("the database does not say how far the file was read")]
    NoBookmark,
    #[error("a line was handed back")]
    Abandoned(#[from] Abandoned),
}

/// One pass over a file.
struct Pass<'a> {
    source: &'a FileSource,
    intake: &'a Intake,
    stop: &'a CancellationToken,
    ledger: Arc<Ledger<Bookmark>>,
    /// The same ledger, as receipts want it.
    settle: Arc<dyn Settle>,
    /// The ledger has let lines go.
    released: Notify,
    /// Nothing more is taken.
    all_taken: CancellationToken,
}

/// Whether the file can be read; its size in bytes, as it is on the disk.
///
/// # Errors
/// Why it cannot.
pub(crate) fn probe(settings: &FileSettings) -> io::Result<u64> {
    Lines::open(&settings.path, None, settings.message_bytes_max)?.batch()?;
    Ok(std::fs::metadata(&settings.path)?.len())
}

impl FileSource {
    /// A source whose place in its file is kept in `bookmarks`, and how it stands.
    pub(crate) fn new(
        settings: FileSettings,
        bookmarks: Bookmarks,
        clock: Clock,
    ) -> (Self, watch::Receiver<SourceState>) {
        let (state, watched) = watch::channel(SourceState::Connecting);
        (Self { settings, bookmarks, clock, state }, watched)
    }

    /// Reads to the end, or until `stop`, and returns when all it took is settled. A file that cannot be read is tried
    /// again.
    pub(crate) async fn run(self, intake: Intake, stop: CancellationToken) {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let connector = intake.connector().as_ref();
        loop {
            let trouble = match self.read(&intake, &stop).await {
                Ok(End::Finished) => {
                    tracing::info!(connector, "file read to its end");
                    self.state.send_replace(SourceState::Finished);
                    return;
                }
                Ok(End::Stopped) => break,
                Err(trouble) => trouble,
            };
            let wait = backoff.next_wait();
            let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(connector, reason = %trouble, retry_ms, "file not read, will try again");
            self.state.send_replace(SourceState::Retrying(trouble.to_string()));
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
        self.state.send_replace(SourceState::Stopped);
    }

    async fn read(&self, intake: &Intake, stop: &CancellationToken) -> Result<End, Trouble> {
        let bookmark = self.bookmarks.find().await.map_err(|_told_by_others| Trouble::NoBookmark)?;
        let (path, bytes_max) = (self.settings.path.clone(), self.settings.message_bytes_max.max(LINE_BYTES_KEPT_MIN));
        let had_bookmark = bookmark.is_some();
        let lines = off_the_runtime(move || Lines::open(&path, bookmark, bytes_max)).await?;
        let (connector, after_line) = (intake.connector().as_ref(), lines.line());
        if had_bookmark && after_line == 0 {
            tracing::info!(connector, "another file than before is there, which is read from its beginning");
        }
        tracing::info!(connector, after_line, "reading file");
        self.state.send_replace(SourceState::Connected);
        let ledger = Arc::new(Ledger::new(self.settings.in_flight_max));
        let settle = Arc::clone(&ledger) as Arc<dyn Settle>;
        let (released, all_taken) = (Notify::new(), CancellationToken::new());
        let pass = Pass { source: self, intake, stop, ledger, settle, released, all_taken };
        let (end, ()) = tokio::try_join!(pass.take(lines), pass.answer())?;
        Ok(end)
    }

    fn envelope(&self, line: Line, connector: &Arc<str>) -> Envelope {
        let enqueued_at = self.clock.now();
        let mut system_properties = Map::with_capacity(4);
        let mut insert = |name: &str, value: Value| system_properties.insert(name.to_owned(), value);
        insert("fileName", file_name(&self.settings.path).into());
        insert("x-opt-enqueued-time", enqueued_at.to_string().into());
        insert("x-opt-offset", line.offset.to_string().into());
        insert("x-opt-sequence-number", line.end.line.into());
        Envelope {
            body: line.text,
            body_bytes_max: self.settings.message_bytes_max,
            split_arrays: self.settings.split_arrays,
            properties: Map::new(),
            system_properties,
            enqueued_at,
            origin: Origin { connector: Arc::clone(connector), source: SOURCE.into(), position: line.end.line },
            way_in: WayIn::default(),
        }
    }
}

impl Pass<'_> {
    /// Takes lines while there are some and there is room, until told to stop.
    async fn take(&self, lines: Lines) -> Result<End, Trouble> {
        let end = self.take_all(lines).await;
        self.all_taken.cancel();
        end
    }

    async fn take_all(&self, mut lines: Lines) -> Result<End, Trouble> {
        loop {
            let batch;
            (lines, batch) = off_the_runtime(move || {
                let batch = lines.batch()?;
                Ok((lines, batch))
            })
            .await?;
            for line in batch.lines {
                if self.stop.run_until_cancelled(self.room()).await.is_none() {
                    return Ok(End::Stopped);
                }
                let position = self.ledger.take(Some(line.end.clone()));
                let envelope = self.source.envelope(line, self.intake.connector());
                let message = self.intake.take(envelope, position, &self.settle);
                // The pipeline ends before its sources only when the program gives up.
                if self.intake.send(message).await.is_err() {
                    return Ok(End::Stopped);
                }
            }
            if batch.is_last {
                return Ok(End::Finished);
            }
        }
    }

    async fn room(&self) {
        while !self.ledger.has_room() {
            self.released.notified().await;
        }
        while !self.intake.has_room() {
            self.intake.room().await;
        }
    }

    /// Moves the bookmark behind what is settled, until all that was taken is.
    async fn answer(&self) -> Result<(), Trouble> {
        while !(self.all_taken.is_cancelled() && self.ledger.is_empty()) {
            let settled = tokio::select! {
                settled = self.ledger.released() => settled?,
                () = self.all_taken.cancelled(), if !self.all_taken.is_cancelled() => continue,
            };
            if let Some(last) = settled.into_iter().next_back() {
                self.set(last).await;
            }
            self.released.notify_one();
        }
        Ok(())
    }

    async fn set(&self, bookmark: Bookmark) {
        while let Err(error) = self.source.bookmarks.set(bookmark.clone()).await {
            tracing::error!(connector = self.intake.connector().as_ref(), %error, "bookmark not set");
            if self.stop.run_until_cancelled(tokio::time::sleep(BOOKMARK_PAUSE)).await.is_none() {
                return;
            }
        }
    }
}

/// The name of a file without its folders, which may say more about this machine than a mapping needs.
fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Does what may wait for a disk where no other task waits for it.
async fn off_the_runtime<T: Send + 'static>(job: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(job).await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
}
