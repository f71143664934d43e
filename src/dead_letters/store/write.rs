//! Recording dead letters, replaying them, discarding them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::{End, Kept, Numbers, from_nanoseconds, nanoseconds, properties_text, signed, unsigned};
use crate::dead_letters::selection::{Selection, numbers};
use crate::model::dead_letter::DeadLetter;
use crate::model::envelope::{Envelope, WayIn};

/// Records letters, and each message once. Returns the numbers of each letter and its message.
pub(in crate::dead_letters) fn insert(
    connection: &Connection,
    letters: &[DeadLetter],
) -> Result<Vec<Numbers>, rusqlite::Error> {
    let mut kept: HashMap<*const Envelope, i64> = HashMap::new();
    let mut numbers = Vec::with_capacity(letters.len());
    for letter in letters {
        let message = match kept.entry(Arc::as_ptr(&letter.envelope)) {
            Entry::Occupied(message) => *message.get(),
            Entry::Vacant(place) => *place.insert(insert_message(connection, &letter.envelope)?),
        };
        let letter = insert_letter(connection, message, letter)?;
        numbers.push(Numbers { letter, message });
    }
    Ok(numbers)
}

/// Keeps a message under the number it has, if any. It may be kept already, or no more: then it is kept again.
fn insert_message(connection: &Connection, envelope: &Envelope) -> Result<i64, rusqlite::Error> {
    let (properties, system_properties) = properties_text(envelope)?;
    let number = match &envelope.way_in {
        WayIn::Source(number) | WayIn::Asked(number, _) => number.get().copied(),
        WayIn::Replay(number) => Some(*number),
    };
    let mut statement = connection.prepare_cached(
        "INSERT INTO dead_messages(
             id, connector, source, position, enqueued_at, body, properties, system_properties, split_arrays
         ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT(id) DO NOTHING",
    )?;
    statement.execute(params![
        number,
        envelope.origin.connector,
        envelope.origin.source,
        signed(envelope.origin.position),
        nanoseconds(envelope.enqueued_at),
        envelope.body.as_ref(),
        properties,
        system_properties,
        envelope.split_arrays,
    ])?;
    Ok(number.unwrap_or_else(|| connection.last_insert_rowid()))
}

fn insert_letter(connection: &Connection, message: i64, letter: &DeadLetter) -> Result<i64, rusqlite::Error> {
    let (template, line) = letter.template.as_ref().map(|(name, line)| (name.as_str(), *line)).unzip();
    let mut statement = connection.prepare_cached(
        "INSERT INTO dead_letters(message, connector, stage, code, reason, template, line, mapping, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    statement.execute(params![
        message,
        letter.envelope.origin.connector,
        letter.stage.as_str(),
        letter.code,
        letter.reason,
        template,
        line.and_then(|line| i64::try_from(line).ok()),
        letter.mapping,
        letter.at.as_microsecond(),
    ])?;
    Ok(connection.last_insert_rowid())
}

/// The messages under these numbers that are still kept, in this order.
pub(in crate::dead_letters) fn take(connection: &Connection, messages: &[i64]) -> Result<Vec<Kept>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, source, position, enqueued_at, body, properties, system_properties, split_arrays
         FROM dead_messages WHERE id = ?1",
    )?;
    let kept = messages.iter().map(|message| statement.query_row([message], kept).optional());
    kept.filter_map(Result::transpose).collect()
}

fn kept(row: &Row<'_>) -> Result<Kept, rusqlite::Error> {
    Ok(Kept {
        id: row.get(0)?,
        source: row.get(1)?,
        position: unsigned(row.get(2)?),
        enqueued_at: from_nanoseconds(row.get(3)?),
        body: Bytes::from(row.get::<_, Vec<u8>>(4)?),
        properties: row.get(5)?,
        system_properties: row.get(6)?,
        split_arrays: row.get(7)?,
    })
}

/// Writes down how replays ended.
pub(in crate::dead_letters) fn end_replays(
    connection: &Connection,
    ends: &[(i64, End)],
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    for (message, end) in ends {
        match end {
            End::Done => {
                remove_letters(connection, *message)?;
                connection.prepare_cached("DELETE FROM dead_messages WHERE id = ?1")?.execute([message])?;
            }
            End::Failed(letters) => {
                remove_letters(connection, *message)?;
                insert(connection, letters)?;
            }
            End::Unmatched => {}
        }
        if let Some(outcome) = end.outcome() {
            connection
                .prepare_cached(
                    "UPDATE dead_messages SET replays = replays + 1, replayed_at = ?2, replay_outcome = ?3 WHERE id = ?1",
                )?
                .execute(params![message, at.as_microsecond(), outcome.as_str()])?;
        }
    }
    Ok(())
}

fn remove_letters(connection: &Connection, message: i64) -> Result<usize, rusqlite::Error> {
    connection.prepare_cached("DELETE FROM dead_letters WHERE message = ?1")?.execute([message])
}

/// Removes at most `limit` selected letters, but none of the messages `spared`, and messages with their last letter.
/// Returns how many letters went, by code.
pub(in crate::dead_letters) fn discard(
    connection: &Connection,
    connector: &str,
    selection: &Selection,
    spared: &[i64],
    limit: u16,
) -> Result<BTreeMap<String, u64>, rusqlite::Error> {
    let condition = selection.condition(connector);
    let query = format!(
        "DELETE FROM dead_letters WHERE id IN (SELECT l.id FROM dead_letters l WHERE {}
             AND l.message NOT IN (SELECT value FROM json_each(?)) LIMIT ?) RETURNING message, code",
        condition.sql
    );
    let values = condition.values_and([numbers(spared), Value::Integer(limit.into())]);
    let mut statement = connection.prepare_cached(&query)?;
    let removed = statement.query_map(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let removed: Vec<(i64, String)> = removed.collect::<Result<_, _>>()?;
    let mut counts = BTreeMap::new();
    let mut emptied = connection.prepare_cached(
        "DELETE FROM dead_messages WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE message = ?1)",
    )?;
    for (message, code) in removed {
        emptied.execute([message])?;
        *counts.entry(code).or_default() += 1;
    }
    Ok(counts)
}
