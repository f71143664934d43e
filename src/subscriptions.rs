//! Which filters the sessions at MQTT brokers were subscribed to. A broker keeps them with the session, whatever the
//! configuration says by now, so who connects again must know what to take back.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::Connection;

use crate::database::{Database, DatabaseError, Schema};

/// One row for each filter of a session.
pub(crate) const SCHEMA: Schema = Schema {
    name: "subscriptions",
    steps: &["CREATE TABLE subscriptions(
        broker TEXT NOT NULL,
        client_id TEXT NOT NULL,
        filter TEXT NOT NULL,
        PRIMARY KEY(broker, client_id, filter)
    ) WITHOUT ROWID"],
};

/// The filters of one session.
#[derive(Clone, Debug)]
pub(crate) struct Subscriptions {
    database: Database,
    broker: Arc<str>,
    client_id: Arc<str>,
}

impl Subscriptions {
    /// Those of the session that the broker at this address has, or will have, under the name `client_id`.
    pub(crate) fn new(database: Database, broker: &str, client_id: &str) -> Self {
        Self { database, broker: broker.into(), client_id: client_id.into() }
    }

    /// The filters that were kept last.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn find(&self) -> Result<BTreeSet<String>, DatabaseError> {
        let (broker, client_id) = (Arc::clone(&self.broker), Arc::clone(&self.client_id));
        Ok(self.database.read(move |connection| load(connection, &broker, &client_id)).await??)
    }

    /// Keeps these filters instead, durably.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) async fn keep(&self, filters: BTreeSet<String>) -> Result<(), DatabaseError> {
        let (broker, client_id) = (Arc::clone(&self.broker), Arc::clone(&self.client_id));
        let written = self.database.write(move |connection| store(connection, &broker, &client_id, &filters)).await;
        Ok(written?)
    }
}

fn load(connection: &Connection, broker: &str, client_id: &str) -> Result<BTreeSet<String>, rusqlite::Error> {
    let query = "SELECT filter FROM subscriptions WHERE broker = ?1 AND client_id = ?2";
    connection.prepare_cached(query)?.query_map([broker, client_id], |row| row.get(0))?.collect()
}

fn store(
    connection: &Connection,
    broker: &str,
    client_id: &str,
    filters: &BTreeSet<String>,
) -> Result<(), rusqlite::Error> {
    let clear = "DELETE FROM subscriptions WHERE broker = ?1 AND client_id = ?2";
    connection.prepare_cached(clear)?.execute([broker, client_id])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO subscriptions(broker, client_id, filter) VALUES (?1, ?2, ?3)")?;
    filters.iter().try_for_each(|filter| insert.execute([broker, client_id, filter]).map(drop))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{SCHEMA, Subscriptions};
    use crate::database::Database;

    fn set(filters: &[&str]) -> BTreeSet<String> {
        filters.iter().map(|filter| (*filter).to_owned()).collect()
    }

    #[tokio::test]
    async fn the_filters_of_a_session_are_those_that_were_kept_last() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
        let [first, second] =
            ["a", "b"].map(|client_id| Subscriptions::new(database.clone(), "broker:1883", client_id));
        assert_eq!(first.find().await.unwrap(), set(&[]));
        for filters in [set(&["ward/#", "lab/#"]), set(&["ward/#"])] {
            first.keep(filters.clone()).await.unwrap();
            assert_eq!(first.find().await.unwrap(), filters);
        }
        assert_eq!(second.find().await.unwrap(), set(&[]));
    }
}
