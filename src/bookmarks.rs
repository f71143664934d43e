//! How far files were read, so that whoever reads on after a restart begins where it ended.
//!
//! A bookmark says by the beginning of the file which one it is in: under the same path there may be another by now.
//! Sources set it behind what is settled. What a crash leaves between a settlement and its bookmark is read again, and found
//! unchanged.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::database::{Database, DatabaseError, Schema};

/// One row for each file of a connector.
pub(crate) const SCHEMA: Schema = Schema {
    name: "bookmarks",
    steps: &["CREATE TABLE bookmarks(
        connector TEXT NOT NULL,
        path TEXT NOT NULL,
        head_bytes INTEGER NOT NULL,
        head_digest BLOB NOT NULL,
        offset INTEGER NOT NULL,
        line INTEGER NOT NULL,
        PRIMARY KEY(connector, path)
    ) WITHOUT ROWID"],
};

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bookmark {
    /// Bytes at the beginning of the file by which it is known.
    pub(crate) head_bytes: u64,
    /// Their SHA-256.
    pub(crate) head_digest: Vec<u8>,
    /// Bytes of text before the place, unpacked.
    pub(crate) offset: u64,
    /// Lines before the place.
    pub(crate) line: u64,
}

/// The bookmark of one connector in the file under one path.
#[derive(Clone, Debug)]
pub(crate) struct Bookmarks {
    database: Database,
    connector: Arc<str>,
    path: Arc<str>,
}

impl Bookmarks {
    /// The bookmark that `connector` has, or will have, in the file that it knows under `path`.
    pub(crate) fn new(database: Database, connector: &str, path: &str) -> Self {
        Self { database, connector: connector.into(), path: path.into() }
    }

    /// Where it is; `None` when nothing was read.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn find(&self) -> Result<Option<Bookmark>, DatabaseError> {
        let (connector, path) = (Arc::clone(&self.connector), Arc::clone(&self.path));
        Ok(self.database.read(move |connection| load(connection, &connector, &path)).await??)
    }

    /// Sets it, durably.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) async fn set(&self, bookmark: Bookmark) -> Result<(), DatabaseError> {
        let (connector, path) = (Arc::clone(&self.connector), Arc::clone(&self.path));
        let written = self.database.write(move |connection| store(connection, &connector, &path, &bookmark)).await;
        Ok(written?)
    }
}

fn load(connection: &Connection, connector: &str, path: &str) -> Result<Option<Bookmark>, rusqlite::Error> {
    let query = "SELECT head_bytes, head_digest, offset, line FROM bookmarks WHERE connector = ?1 AND path = ?2";
    let bookmark = connection.prepare_cached(query)?.query_row([connector, path], |row| {
        let number = |column: usize| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0));
        Ok(Bookmark { head_bytes: number(0)?, head_digest: row.get(1)?, offset: number(2)?, line: number(3)? })
    });
    bookmark.optional()
}

fn store(connection: &Connection, connector: &str, path: &str, bookmark: &Bookmark) -> Result<(), rusqlite::Error> {
    let statement = "INSERT INTO bookmarks(connector, path, head_bytes, head_digest, offset, line)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT(connector, path) DO UPDATE SET head_bytes = excluded.head_bytes, head_digest = excluded.head_digest,
            offset = excluded.offset, line = excluded.line";
    // SQLite's integers end at 2^63, which no file reaches.
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    connection.prepare_cached(statement)?.execute(params![
        connector,
        path,
        number(bookmark.head_bytes),
        bookmark.head_digest,
        number(bookmark.offset),
        number(bookmark.line),
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Bookmark, Bookmarks, SCHEMA};
    use crate::database::Database;

    #[tokio::test]
    async fn a_bookmark_is_found_where_it_was_set_last_and_by_its_connector_alone() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
        let [wards, others] =
            ["wards", "others"].map(|connector| Bookmarks::new(database.clone(), connector, "a.ndjson"));
        assert_eq!(wards.find().await.unwrap(), None);
        for line in [1, 2] {
            let bookmark = Bookmark { head_bytes: 3, head_digest: vec![1, 2], offset: 100 * line, line };
            wards.set(bookmark.clone()).await.unwrap();
            assert_eq!(wards.find().await.unwrap(), Some(bookmark));
        }
        assert_eq!(others.find().await.unwrap(), None);
    }
}
