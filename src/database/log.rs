//! The log of writes (WAL) and when it moves into the database: rarely enough to be cheap, early enough to stay short.
//!
//! SQLite moves the log only as far as no reader needs it, and starts it afresh only at a moment without readers. Searches
//! that overlap all the time leave no such moment, and the log would grow for as long as they go on. So from a length on
//! the writer waits for the readers of that moment to end, which others then need not.

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;

/// Pages from which on the log is moved as far as that goes without waiting: 80 MB. SQLite's usual 1,000 pages would
/// come with each commit of a large Bundle.
const PAGES_MOVED: i32 = if cfg!(test) { 50 } else { 20_000 };
/// Pages after which readers are waited for, each time as many have come: 240 MB.
const PAGES_MAX: i32 = if cfg!(test) { 150 } else { 60_000 };

/// Keeps the log of what this connection writes short.
pub(super) fn keep_short(connection: &mut Connection) -> rusqlite::Result<()> {
    let mut waited_at = 0;
    connection.wal_hook(Some(move |log: &mut Wal, pages| {
        let length = pages / PAGES_MAX;
        // Readers that did not end in time are not waited for again before the log has grown by as much once more.
        let mode = if length > waited_at { CheckpointMode::TRUNCATE } else { CheckpointMode::PASSIVE };
        waited_at = length;
        if pages >= PAGES_MOVED {
            // The commit has happened; an error here would be taken for its own. The next commit tries again.
            drop(log.checkpoint_v2(mode));
        }
        Ok(())
    }))
}
