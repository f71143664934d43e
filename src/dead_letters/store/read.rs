//! Looking at dead letters.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::{
    EXCERPT_BYTES_MAX, Entry, Messages, Page, Sum, Turn, WholeLetter, from_microseconds, from_nanoseconds, unsigned,
};
use crate::dead_letters::selection::Selection;

/// The columns of an [`Entry`] but for the payload, which comes next.
const ENTRY: &str = "l.id, l.message, m.source, m.position, m.enqueued_at, l.stage, l.code, l.reason, l.template,
    l.line, l.mapping, l.at, m.replays, m.replayed_at, m.replay_outcome, length(m.body)";

/// Letters that are selected and older than the letter `before`, newest first.
pub(in crate::dead_letters) fn page(
    connection: &Connection,
    connector: &str,
    selection: &Selection,
    before: Option<i64>,
    limit: u16,
) -> Result<Page, rusqlite::Error> {
    let condition = selection.condition(connector);
    // To SQLite nothing is NULL when it is a part of nothing, as of an empty body.
    let query = format!(
        "SELECT {ENTRY}, coalesce(substr(m.body, 1, {EXCERPT_BYTES_MAX}), x'') FROM dead_letters l
         JOIN dead_messages m ON m.id = l.message WHERE {} AND l.id < ? ORDER BY l.id DESC LIMIT ?",
        condition.sql
    );
    let values = condition.values_and([Value::Integer(before.unwrap_or(i64::MAX)), Value::Integer(limit.into())]);
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map(params_from_iter(values), entry)?;
    let entries = rows.collect::<Result<Vec<_>, _>>()?;
    let full = entries.len() == usize::from(limit);
    let next = entries.last().filter(|_last| full).map(|last| last.id);
    Ok(Page { entries, next })
}

/// One letter with its whole message.
pub(in crate::dead_letters) fn letter(
    connection: &Connection,
    connector: &str,
    id: i64,
) -> Result<Option<WholeLetter>, rusqlite::Error> {
    let query = format!(
        "SELECT {ENTRY}, m.body, m.properties, m.system_properties FROM dead_letters l
         JOIN dead_messages m ON m.id = l.message WHERE l.connector = ?1 AND l.id = ?2"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_row((connector, id), |row| Ok((entry(row)?, row.get(17)?, row.get(18)?))).optional()?;
    let Some((entry, properties, system_properties)) = found else { return Ok(None) };
    let mut others =
        connection.prepare_cached("SELECT id FROM dead_letters WHERE message = ?1 AND id <> ?2 ORDER BY id")?;
    let others = others.query_map((entry.message, id), |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(WholeLetter { entry, properties, system_properties, others }))
}

fn entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    Ok(Entry {
        id: row.get(0)?,
        message: row.get(1)?,
        source: row.get(2)?,
        position: unsigned(row.get(3)?),
        enqueued_at: from_nanoseconds(row.get(4)?),
        stage: row.get(5)?,
        code: row.get(6)?,
        reason: row.get(7)?,
        template: row.get(8)?,
        line: row.get::<_, Option<i64>>(9)?.map(unsigned),
        mapping: row.get(10)?,
        at: from_microseconds(row.get(11)?),
        replays: unsigned(row.get(12)?),
        replayed_at: row.get::<_, Option<i64>>(13)?.map(from_microseconds),
        replay_outcome: row.get(14)?,
        payload_bytes: unsigned(row.get(15)?),
        payload: row.get(16)?,
    })
}

/// How many letters a connector has.
pub(in crate::dead_letters) fn count(connection: &Connection, connector: &str) -> Result<u64, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM dead_letters WHERE connector = ?1")?;
    statement.query_row([connector], |row| row.get(0).map(unsigned))
}

/// Selected letters by cause, the most frequent first; at most `limit` causes.
pub(in crate::dead_letters) fn summary(
    connection: &Connection,
    connector: &str,
    selection: &Selection,
    limit: u16,
) -> Result<Vec<Sum>, rusqlite::Error> {
    let condition = selection.condition(connector);
    let query = format!(
        "SELECT l.stage, l.code, l.template, count(*), max(l.id), min(l.at), max(l.at) FROM dead_letters l WHERE {}
         GROUP BY l.stage, l.code, l.template ORDER BY count(*) DESC, l.code, l.template LIMIT ?",
        condition.sql
    );
    let values = condition.values_and([Value::Integer(limit.into())]);
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        Ok(Sum {
            stage: row.get(0)?,
            code: row.get(1)?,
            template: row.get(2)?,
            letters: unsigned(row.get(3)?),
            newest: row.get(4)?,
            first_at: from_microseconds(row.get(5)?),
            last_at: from_microseconds(row.get(6)?),
        })
    })?;
    rows.collect()
}

/// The messages that selected letters are about.
pub(in crate::dead_letters) fn messages_of(
    connection: &Connection,
    connector: &str,
    selection: &Selection,
) -> Result<Messages, rusqlite::Error> {
    let condition = selection.condition(connector);
    let query = format!(
        "SELECT count(DISTINCT l.message), coalesce(max(l.message), 0) FROM dead_letters l WHERE {}",
        condition.sql
    );
    connection.prepare_cached(&query)?.query_row(params_from_iter(condition.values), |row| {
        Ok(Messages { count: unsigned(row.get(0)?), last: row.get(1)? })
    })
}

/// The next `limit` messages of selected letters after `after`, in the order in which they arrived, with the bytes of
/// their bodies; those that were numbered after `last` are not among them.
pub(in crate::dead_letters) fn turns(
    connection: &Connection,
    connector: &str,
    selection: &Selection,
    (after, last): (Turn, i64),
    limit: u16,
) -> Result<Vec<(Turn, u64)>, rusqlite::Error> {
    let condition = selection.condition(connector);
    // Few letters are looked up by number; of many, each message is asked whether it has one.
    let selected = if selection.ids.is_some() {
        format!("m.id IN (SELECT l.message FROM dead_letters l WHERE {})", condition.sql)
    } else {
        format!("EXISTS (SELECT 1 FROM dead_letters l WHERE l.message = m.id AND {})", condition.sql)
    };
    let query = format!(
        "SELECT m.enqueued_at, m.position, m.id, length(m.body) FROM dead_messages m
         WHERE {selected} AND m.connector = ? AND m.id <= ? AND (m.enqueued_at, m.position, m.id) > (?, ?, ?)
         ORDER BY m.enqueued_at, m.position, m.id LIMIT ?"
    );
    let values = condition.values_and([
        Value::Text(connector.to_owned()),
        Value::Integer(last),
        Value::Integer(after.enqueued_at),
        Value::Integer(after.position),
        Value::Integer(after.id),
        Value::Integer(limit.into()),
    ]);
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        let turn = Turn { enqueued_at: row.get(0)?, position: row.get(1)?, id: row.get(2)? };
        Ok((turn, unsigned(row.get(3)?)))
    })?;
    rows.collect()
}
