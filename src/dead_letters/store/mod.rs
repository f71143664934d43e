//! The tables of dead letters: messages as received, each once, and the letters that say what was wrong with them.

mod read;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::database::Schema;
use crate::model::dead_letter::DeadLetter;
use crate::model::envelope::Envelope;
use crate::model::receipt::Outcome;

pub(super) use self::read::{count, letter, messages_of, page, summary, turns};
pub(super) use self::write::{discard, end_replays, insert, take};

/// Ids rise with time. `at` and `replayed_at` are in microseconds since 1970, `enqueued_at` in nanoseconds. A message
/// goes with its last letter. `replays` counts those that ended.
pub(crate) const SCHEMA: Schema = Schema {
    name: "dead_letters",
    steps: &[
        "CREATE TABLE dead_letters(
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
        CREATE INDEX dead_letters_of_connector ON dead_letters(connector, id);",
        // Of earlier letters the properties are not known, and the time of arrival only by the time of giving up.
        "CREATE TABLE dead_messages(
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            connector TEXT NOT NULL,
            source TEXT NOT NULL,
            position INTEGER NOT NULL,
            enqueued_at INTEGER NOT NULL,
            body BLOB NOT NULL,
            properties TEXT NOT NULL,
            system_properties TEXT NOT NULL,
            replays INTEGER NOT NULL DEFAULT 0,
            replayed_at INTEGER,
            replay_outcome TEXT
        );
        INSERT INTO dead_messages(id, connector, source, position, enqueued_at, body, properties, system_properties)
            SELECT id, connector, source, position, at * 1000, payload, '{}', '{}' FROM dead_letters;
        ALTER TABLE dead_letters RENAME TO dead_letters_with_payload;
        CREATE TABLE dead_letters(
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            message INTEGER NOT NULL,
            connector TEXT NOT NULL,
            stage TEXT NOT NULL,
            code TEXT NOT NULL,
            reason TEXT NOT NULL,
            template TEXT,
            line INTEGER,
            mapping TEXT,
            at INTEGER NOT NULL
        );
        INSERT INTO dead_letters(id, message, connector, stage, code, reason, template, line, at)
            SELECT id, id, connector, stage, code, reason, template, line, at FROM dead_letters_with_payload;
        DROP TABLE dead_letters_with_payload;
        CREATE INDEX dead_letters_of_connector ON dead_letters(connector, id);
        CREATE INDEX dead_letters_of_message ON dead_letters(message);
        CREATE INDEX dead_messages_in_order ON dead_messages(connector, enqueued_at, position, id);",
        "ALTER TABLE dead_messages ADD COLUMN split_arrays INTEGER NOT NULL DEFAULT 0;",
    ],
};

/// Bytes of a payload that a listing shows.
const EXCERPT_BYTES_MAX: u32 = 1024;

/// A dead letter as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Number of the letter; later ones are greater.
    pub(crate) id: i64,
    /// Number of its message, which other letters may share.
    pub(crate) message: i64,
    /// Name of the source within the connector.
    pub(crate) source: String,
    /// Number of the message since its source started.
    pub(crate) position: u64,
    /// When the message arrived (EV-12).
    pub(crate) enqueued_at: Timestamp,
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
    /// Fingerprint of the mapping the message was read with; `None` of letters of an earlier version of the program.
    pub(crate) mapping: Option<String>,
    /// When the stage gave up.
    pub(crate) at: Timestamp,
    /// How often a replay of the message has ended without removing the letter or its predecessor.
    pub(crate) replays: u64,
    /// When the last of them ended.
    pub(crate) replayed_at: Option<Timestamp>,
    /// How it ended: `dead_lettered` or `unmatched`.
    pub(crate) replay_outcome: Option<String>,
    /// The payload as received, or its beginning.
    pub(crate) payload: Vec<u8>,
    /// Bytes of the whole payload.
    pub(crate) payload_bytes: u64,
}

/// A dead letter with all that is known of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WholeLetter {
    /// As in a listing, but with the whole payload.
    pub(crate) entry: Entry,
    /// What the sender said about the message, as a JSON object.
    pub(crate) properties: String,
    /// What the broker and the source said, as a JSON object.
    pub(crate) system_properties: String,
    /// Numbers of the other letters of the message.
    pub(crate) others: Vec<i64>,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The letters, newest first.
    pub(crate) entries: Vec<Entry>,
    /// What to pass as `before` for the next page; `None` after the last one.
    pub(crate) next: Option<i64>,
}

/// Letters with the same cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Name of the stage that gave up.
    pub(crate) stage: String,
    /// Error code.
    pub(crate) code: String,
    /// Type name of the template concerned.
    pub(crate) template: Option<String>,
    /// How many letters.
    pub(crate) letters: u64,
    /// The newest of them, as an example.
    pub(crate) newest: i64,
    /// When the first of them was given up.
    pub(crate) first_at: Timestamp,
    /// When the last of them was.
    pub(crate) last_at: Timestamp,
}

/// The messages of some letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Messages {
    /// How many.
    pub(crate) count: u64,
    /// The greatest of their numbers.
    pub(crate) last: i64,
}

/// The place of a message in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub(super) enqueued_at: i64,
    pub(super) position: i64,
    pub(super) id: i64,
}

impl Turn {
    /// Before every message.
    pub(super) const FIRST: Self = Self { enqueued_at: i64::MIN, position: i64::MIN, id: i64::MIN };
}

/// How the replay of a message ended.
#[derive(Debug)]
pub(super) enum End {
    /// All that came of it is stored: its letters go.
    Done,
    /// It is in dead letters again, which take the place of the earlier ones.
    Failed(Vec<DeadLetter>),
    /// No template matches it any more: its letters stay.
    Unmatched,
}

impl End {
    /// The name in metrics.
    pub(in crate::dead_letters) fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Unmatched => "unmatched",
        }
    }

    /// What is kept of it with the message.
    fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Done => None,
            Self::Failed(_) => Some(Outcome::DeadLettered),
            Self::Unmatched => Some(Outcome::Unmatched),
        }
    }
}

/// Under which numbers a letter was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) letter: i64,
    pub(super) message: i64,
}

/// A message as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) id: i64,
    pub(super) source: Arc<str>,
    pub(super) position: u64,
    pub(super) enqueued_at: Timestamp,
    pub(super) body: Bytes,
    pub(super) split_arrays: bool,
    pub(super) properties: String,
    pub(super) system_properties: String,
}

/// Nanoseconds since 1970, which end in the year 2262.
fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}

fn from_nanoseconds(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn from_microseconds(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// SQLite's integers are signed; no count or position reaches their end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The message under a number, for the tables; the envelope has more, which is not kept.
fn properties_text(envelope: &Envelope) -> Result<(String, String), rusqlite::Error> {
    let text =
        |members| serde_json::to_string(members).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()));
    Ok((text(&envelope.properties)?, text(&envelope.system_properties)?))
}
