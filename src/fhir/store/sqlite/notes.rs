//! Texts that are kept for the service and not read here.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};

use crate::fhir::store::Note;

fn name(note: Note) -> &'static str {
    match note {
        Note::Definitions => "definitions",
        Note::Reindexing => "reindexing",
    }
}

/// How often a note was written.
pub(super) fn changes(connection: &Connection, note: Note) -> rusqlite::Result<u64> {
    let changes: Option<i64> = connection
        .prepare_cached("SELECT changes FROM notes WHERE name = ?1")?
        .query_row([name(note)], |row| row.get(0))
        .optional()?;
    Ok(changes.unwrap_or_default().unsigned_abs())
}

/// What a note says; nothing before it is written for the first time.
pub(super) fn text(connection: &Connection, note: Note) -> rusqlite::Result<Bytes> {
    let text: Option<Vec<u8>> = connection
        .prepare_cached("SELECT text FROM notes WHERE name = ?1")?
        .query_row([name(note)], |row| row.get(0))
        .optional()?;
    Ok(text.unwrap_or_default().into())
}

/// Writes a note anew.
pub(super) fn set(connection: &Connection, note: Note, text: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO notes(name, changes, text) VALUES (?1, 1, ?2)
             ON CONFLICT(name) DO UPDATE SET changes = changes + 1, text = ?2",
        )?
        .execute((name(note), text))?;
    Ok(())
}
