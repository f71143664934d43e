//! Answers that were given to requests with a key, so that the same request again has the same answer.
//!
//! A sender that does not hear an answer sends its request once more. What it had stored is found unchanged then, but it
//! would be counted a second time. A key by which the sender knows its request again avoids that, for a day, also across a
//! restart. An answer is durable before it is given for the first time; a crash before that forgets the key, not the
//! messages.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::clock::Clock;
use crate::database::{Database, DatabaseError, Schema, WriteError};

/// How long an answer is kept.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Answers kept, of all connectors; the oldest go first.
const ANSWERS_MAX: i64 = 1_000_000;
/// Answers looked at for their age with each that is written.
const AGED_PER_WRITE_MAX: i64 = 10;
/// Results of many messages are all alike, so the quickest level packs them to almost nothing.
const ZSTD_LEVEL: i32 = 1;

/// Ids rise with time. `at` is in microseconds since 1970, `body` packed with zstd.
pub(crate) const SCHEMA: Schema = Schema {
    name: "answers",
    steps: &["CREATE TABLE answers(
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            connector TEXT NOT NULL,
            key TEXT NOT NULL,
            request BLOB NOT NULL,
            body BLOB NOT NULL,
            at INTEGER NOT NULL
        );
        CREATE UNIQUE INDEX answers_by_key ON answers(connector, key);"],
};

/// SHA-256 of what was asked.
pub(crate) type Fingerprint = [u8; 32];

/// The answers of all connectors. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    database: Database,
    clock: Clock,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The same request was answered so.
    Answered(String),
    /// Another request was.
    Other,
}

impl Answers {
    /// Answers kept in `database`.
    pub(crate) fn new(database: Database, clock: Clock) -> Self {
        Self { database, clock }
    }

    /// What was answered under a key of a connector within a day; `None` if nothing was.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn find(
        &self,
        connector: &str,
        key: &str,
        request: &Fingerprint,
    ) -> Result<Option<Known>, DatabaseError> {
        let (connector, key, since) = (connector.to_owned(), key.to_owned(), self.oldest());
        let kept = self.database.read(move |connection| select(connection, &connector, &key, since)).await??;
        let Some((known, packed)) = kept else { return Ok(None) };
        if known != *request {
            return Ok(Some(Known::Other));
        }
        // What cannot be unpacked is damaged; without it the request is processed once more, which does no harm.
        let answer = zstd::decode_all(packed.as_slice()).ok().and_then(|text| String::from_utf8(text).ok());
        Ok(answer.map(Known::Answered))
    }

    /// Keeps the answer to a request.
    ///
    /// # Errors
    /// When it is not kept.
    pub(crate) async fn keep(
        &self,
        connector: &str,
        key: &str,
        request: Fingerprint,
        answer: &str,
    ) -> Result<(), DatabaseError> {
        let body = zstd::encode_all(answer.as_bytes(), ZSTD_LEVEL).unwrap_or_default();
        let (connector, key) = (connector.to_owned(), key.to_owned());
        let (now, since) = (self.clock.now().as_microsecond(), self.oldest());
        let kept = self.database.write(move |connection| {
            let mut insert = connection.prepare_cached(
                "INSERT OR REPLACE INTO answers(connector, key, request, body, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            insert.execute(params![connector, key, request, body, now])?;
            forget(connection, since)
        });
        kept.await.map_err(|error| match error {
            WriteError::Job(error) => rusqlite::Error::into(error),
            WriteError::Database(error) => error,
        })
    }

    /// When the oldest answer that counts was given, in microseconds since 1970.
    fn oldest(&self) -> i64 {
        self.clock.now().checked_sub(AGE_MAX).unwrap_or(Timestamp::MIN).as_microsecond()
    }
}

fn select(
    connection: &Connection,
    connector: &str,
    key: &str,
    since: i64,
) -> Result<Option<(Fingerprint, Vec<u8>)>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT request, body FROM answers WHERE connector = ?1 AND key = ?2 AND at > ?3")?
        .query_row(params![connector, key, since], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Removes some of what is too old, and what is too many: more than comes in, so that it ends.
fn forget(connection: &Connection, since: i64) -> Result<(), rusqlite::Error> {
    let mut aged = connection.prepare_cached(
        "DELETE FROM answers WHERE id IN (SELECT id FROM (SELECT id, at FROM answers ORDER BY id LIMIT ?2) WHERE at <= ?1)",
    )?;
    aged.execute(params![since, AGED_PER_WRITE_MAX])?;
    let mut surplus = connection.prepare_cached("DELETE FROM answers WHERE id <= ?1")?;
    surplus.execute([connection.last_insert_rowid() - ANSWERS_MAX])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Answers, Known, SCHEMA};
    use crate::clock::Clock;
    use crate::database::Database;

    const ASKED: [u8; 32] = [1; 32];

    fn answered(text: &str) -> Option<Known> {
        Some(Known::Answered(text.to_owned()))
    }

    #[tokio::test]
    async fn the_same_request_has_the_same_answer_for_a_day_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::stopped("2024-03-02T07:15:00Z".parse().unwrap());
        let answers = Answers::new(Database::open(directory.path(), &[SCHEMA]).unwrap(), clock.clone());
        assert_eq!(answers.find("wards", "k", &ASKED).await.unwrap(), None);
        answers.keep("wards", "k", ASKED, "first").await.unwrap();
        answers.database.close().await;

        let answers = Answers::new(Database::open(directory.path(), &[SCHEMA]).unwrap(), clock.clone());
        clock.advance_to("2024-03-03T07:14:59Z".parse().unwrap());
        assert_eq!(answers.find("wards", "k", &ASKED).await.unwrap(), answered("first"));
        assert_eq!(answers.find("wards", "k", &[2; 32]).await.unwrap(), Some(Known::Other));
        assert_eq!(answers.find("homes", "k", &ASKED).await.unwrap(), None);
        clock.advance_to("2024-03-03T07:15:00Z".parse().unwrap());
        assert_eq!(answers.find("wards", "k", &[2; 32]).await.unwrap(), None);
        answers.keep("wards", "k", [2; 32], "second").await.unwrap();
        assert_eq!(answers.find("wards", "k", &[2; 32]).await.unwrap(), answered("second"));
    }

    #[tokio::test]
    async fn p_7_what_is_too_old_goes() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::stopped("2024-03-02T07:15:00Z".parse().unwrap());
        let answers = Answers::new(Database::open(directory.path(), &[SCHEMA]).unwrap(), clock.clone());
        for key in 0..5 {
            answers.keep("wards", &key.to_string(), ASKED, "old").await.unwrap();
        }
        clock.advance_to("2024-03-04T07:15:00Z".parse().unwrap());
        answers.keep("wards", "new", ASKED, "new").await.unwrap();
        let count = |connection: &rusqlite::Connection| {
            connection.query_row("SELECT count(*) FROM answers", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(answers.database.read(count).await.unwrap(), 1);
    }
}
