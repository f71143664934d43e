//! The table of dead letters.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::database::Schema;
use crate::model::dead_letter::DeadLetter;

/// Ids rise with time; `at` is in microseconds since 1970.
pub(crate) const SCHEMA: Schema = Schema {
    name: "dead_letters",
    steps: &["CREATE TABLE dead_letters(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        connector TEXT NOT NULL,
        source TEXT NOT NULL,
        position INTEGER NOT NULL,
        stage TEXT NOT NULL,
        code TEXT NOT NULL,
        reason TEXT NOT NULL,
        template TEXT,
        line INTEGER,
        payload BLOB NOT NULL,
        at INTEGER NOT NULL
    );
    CREATE INDEX dead_letters_of_connector ON dead_letters(connector, id);"],
};

/// A dead letter as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Number of the letter; later ones are greater.
    pub(crate) id: i64,
    /// Name of the source within the connector.
    pub(crate) source: String,
    /// Number of the message since its source started.
    pub(crate) position: u64,
    /// Name of the stage that gave up.
    pub(crate) stage: String,
    /// Error code of the mapping specification, section 11.
    pub(crate) code: String,
    /// What was wrong; may quote the payload.
    pub(crate) reason: String,
    /// Type name of the template concerned.
    pub(crate) template: Option<String>,
    /// Its line in the mapping file.
    pub(crate) line: Option<u64>,
    /// The payload as received.
    pub(crate) payload: Vec<u8>,
    /// When the stage gave up.
    pub(crate) at: Timestamp,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The letters, newest first.
    pub(crate) entries: Vec<Entry>,
    /// What to pass as `before` for the next page; `None` after the last one.
    pub(crate) next: Option<i64>,
}

pub(super) fn insert(connection: &Connection, letters: &[DeadLetter]) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO dead_letters(connector, source, position, stage, code, reason, template, line, payload, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for letter in letters {
        let (template, line) = letter.template.as_ref().map(|(name, line)| (name.as_str(), *line)).unzip();
        statement.execute(params![
            letter.origin.connector,
            letter.origin.source,
            i64::try_from(letter.origin.position).unwrap_or(i64::MAX),
            letter.stage.as_str(),
            letter.code,
            letter.reason,
            template,
            line.and_then(|line| i64::try_from(line).ok()),
            letter.payload.as_ref(),
            letter.at.as_microsecond(),
        ])?;
    }
    Ok(())
}

pub(super) fn page(
    connection: &Connection,
    connector: &str,
    before: Option<i64>,
    limit: u16,
) -> Result<Page, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, source, position, stage, code, reason, template, line, payload, at FROM dead_letters
         WHERE connector = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![connector, before.unwrap_or(i64::MAX), limit], entry)?;
    let entries = rows.collect::<Result<Vec<_>, _>>()?;
    let full = entries.len() == usize::from(limit);
    let next = entries.last().filter(|_last| full).map(|last| last.id);
    Ok(Page { entries, next })
}

fn entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    Ok(Entry {
        id: row.get(0)?,
        source: row.get(1)?,
        position: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
        stage: row.get(3)?,
        code: row.get(4)?,
        reason: row.get(5)?,
        template: row.get(6)?,
        line: row.get::<_, Option<i64>>(7)?.and_then(|line| u64::try_from(line).ok()),
        payload: row.get(8)?,
        at: Timestamp::from_microsecond(row.get(9)?).unwrap_or(Timestamp::UNIX_EPOCH),
    })
}

pub(super) fn count(connection: &Connection, connector: &str) -> Result<u64, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM dead_letters WHERE connector = ?1")?;
    let count: i64 = statement.query_row([connector], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
