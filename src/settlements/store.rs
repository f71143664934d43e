//! The row of a connector.

use rusqlite::{Connection, OptionalExtension, params};

use super::books::Counts;
use crate::database::Schema;
use crate::model::receipt::Outcome;

/// One row for each connector. `received` is not a column: it is the sum of the outcomes, by definition of what is kept.
pub(crate) const SCHEMA: Schema = Schema {
    name: "settlements",
    steps: &["CREATE TABLE settlements(
        connector TEXT PRIMARY KEY,
        stored INTEGER NOT NULL,
        merged INTEGER NOT NULL,
        unchanged INTEGER NOT NULL,
        unmatched INTEGER NOT NULL,
        dead_lettered INTEGER NOT NULL,
        abandoned INTEGER NOT NULL
    ) WITHOUT ROWID"],
};

/// The counts of a connector, all zero for a new one.
pub(super) fn load(connection: &Connection, connector: &str) -> Result<Counts, rusqlite::Error> {
    let query =
        "SELECT stored, merged, unchanged, unmatched, dead_lettered, abandoned FROM settlements WHERE connector = ?1";
    let counts = connection.prepare_cached(query)?.query_row([connector], |row| {
        let count = |column: usize| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
        Ok(Counts::new([count(0)?, count(1)?, count(2)?, count(3)?, count(4)?], count(5)?))
    });
    Ok(counts.optional()?.unwrap_or_default())
}

/// Adds to the counts of a connector.
pub(super) fn add(connection: &Connection, connector: &str, counts: Counts) -> Result<(), rusqlite::Error> {
    let statement = "INSERT INTO settlements(connector, stored, merged, unchanged, unmatched, dead_lettered, abandoned)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT(connector) DO UPDATE SET stored = stored + excluded.stored, merged = merged + excluded.merged,
            unchanged = unchanged + excluded.unchanged, unmatched = unmatched + excluded.unmatched,
            dead_lettered = dead_lettered + excluded.dead_lettered, abandoned = abandoned + excluded.abandoned";
    let of = |outcome| number(counts.of(outcome));
    connection.prepare_cached(statement)?.execute(params![
        connector,
        of(Outcome::Stored),
        of(Outcome::Merged),
        of(Outcome::Unchanged),
        of(Outcome::Unmatched),
        of(Outcome::DeadLettered),
        number(counts.abandoned()),
    ])?;
    Ok(())
}

/// SQLite's integers end at 2^63, which no count reaches.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
