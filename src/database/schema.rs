//! Schemas with forward migration. Each has its own version, so that rooms change theirs without asking one another.

use std::path::Path;

use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use super::OpenError;

/// SHA-256 of the text of a step.
type Digest = [u8; 32];

/// The tables of one room of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    /// Whose tables.
    pub(crate) name: &'static str,
    /// Statements that bring version `n` to version `n + 1`, for n from 0. A step that has changed makes files laid out by it foreign; a released one never changes.
    pub(crate) steps: &'static [&'static str],
}

impl Schema {
    /// Runs the steps that the file has not seen, all in one transaction.
    pub(super) fn migrate(&self, connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
        let broken = |cause| OpenError::Broken { path: path.to_owned(), cause };
        let transaction = connection.transaction().map_err(broken)?;
        if !is_ours(&transaction).map_err(broken)? {
            return Err(OpenError::Foreign { path: path.to_owned(), schema: self.name });
        }
        transaction
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS schema_steps(
                     schema TEXT NOT NULL, step INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY(schema, step)
                 ) WITHOUT ROWID",
            )
            .map_err(broken)?;
        let found = self.steps_taken(&transaction).map_err(broken)?;
        let digests: Vec<Digest> = self.steps.iter().map(|step| Sha256::digest(step).into()).collect();
        if found.len() > digests.len() {
            let (found, known) = (found.len(), digests.len());
            return Err(OpenError::Newer { path: path.to_owned(), schema: self.name, found, known });
        }
        if !digests.starts_with(&found) {
            return Err(OpenError::Foreign { path: path.to_owned(), schema: self.name });
        }
        for ((step, digest), number) in self.steps.iter().zip(&digests).zip(0_i64..).skip(found.len()) {
            transaction.execute_batch(step).map_err(broken)?;
            transaction
                .execute("INSERT INTO schema_steps VALUES (?1, ?2, ?3)", params![self.name, number, digest])
                .map_err(broken)?;
        }
        transaction.commit().map_err(broken)
    }

    fn steps_taken(&self, connection: &Connection) -> rusqlite::Result<Vec<Digest>> {
        let mut statement = connection.prepare("SELECT digest FROM schema_steps WHERE schema = ?1 ORDER BY step")?;
        let digests = statement.query_map([self.name], |row| row.get(0))?;
        digests.collect()
    }
}

/// Whether a file is empty or has been laid out in recorded steps.
fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    let tables = "SELECT count(*) = 0 OR sum(name = 'schema_steps') > 0 FROM sqlite_schema";
    connection.query_row(tables, [], |row| row.get(0))
}
