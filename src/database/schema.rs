//! Schemas with forward migration. Each has its own version, so that rooms change theirs without asking one another.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::OpenError;

/// The tables of one room of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    /// Whose tables.
    pub(crate) name: &'static str,
    /// Statements that bring version `n` to version `n + 1`, for n from 0. A released step never changes again.
    pub(crate) steps: &'static [&'static str],
}

impl Schema {
    /// Runs the steps that the file has not seen, all in one transaction.
    pub(super) fn migrate(&self, connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
        let broken = |cause| OpenError::Broken { path: path.to_owned(), cause };
        let transaction = connection.transaction().map_err(broken)?;
        transaction
            .execute_batch("CREATE TABLE IF NOT EXISTS schema_version(name TEXT PRIMARY KEY, version INTEGER NOT NULL)")
            .map_err(broken)?;
        let found: Option<u32> = transaction
            .query_row("SELECT version FROM schema_version WHERE name = ?1", [self.name], |row| row.get(0))
            .optional()
            .map_err(broken)?;
        let found = found.unwrap_or(0);
        let known = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        let Some(missing) = usize::try_from(found).ok().and_then(|found| self.steps.get(found..)) else {
            return Err(OpenError::Newer { path: path.to_owned(), schema: self.name, found, known });
        };
        for step in missing {
            transaction.execute_batch(step).map_err(broken)?;
        }
        transaction
            .execute("INSERT OR REPLACE INTO schema_version(name, version) VALUES (?1, ?2)", params![self.name, known])
            .map_err(broken)?;
        transaction.commit().map_err(broken)
    }
}
