//! Numbers for repeated texts, remembered by the writer.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _};

use crate::fhir::store::Parameter;
use crate::r4::resource_type::ResourceType;

/// Texts remembered. Devices, patients and code systems in use fit many times over; when it is full it starts afresh.
const TEXTS_MAX: usize = 100_000;
/// Parameters remembered: all of R4.
const PARAMETERS_MAX: usize = 5_000;

/// What the writer remembers between jobs.
///
/// A job that is rolled back takes its new texts with it, so a remembered number may be one that the table does not
/// have. Numbers are given in increasing order; so once the table's highest is below the highest remembered, nothing
/// remembered is to be trusted.
#[derive(Debug, Default)]
pub(super) struct Names {
    texts: HashMap<Box<str>, i64>,
    parameters: HashMap<(ResourceType, Parameter), i64>,
    highest: i64,
}

impl Names {
    /// Forgets what a rollback has taken back. To be called before a job.
    pub(super) fn check(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let highest: i64 =
            connection.prepare_cached("SELECT coalesce(max(id), 0) FROM strings")?.query_row([], |row| row.get(0))?;
        if highest < self.highest {
            *self = Self::default();
        }
        Ok(())
    }

    /// The number of a text, if it is remembered.
    pub(super) fn known(&self, text: &str) -> Option<i64> {
        self.texts.get(text).copied()
    }

    /// The number of a parameter of a type, if it is remembered.
    pub(super) fn known_parameter(&self, resource_type: ResourceType, parameter: &Parameter) -> Option<i64> {
        self.parameters.get(&(resource_type, Parameter::clone(parameter))).copied()
    }

    /// The number of a text, a new one if it has none.
    pub(super) fn number(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(number) = self.texts.get(text) {
            return Ok(*number);
        }
        let number = self.find_or_add(connection, text)?;
        if self.texts.len() >= TEXTS_MAX {
            self.texts.clear();
        }
        self.texts.insert(text.into(), number);
        Ok(number)
    }

    /// The number of a parameter of a type, a new one if it has none.
    pub(super) fn parameter(
        &mut self,
        connection: &Connection,
        resource_type: ResourceType,
        parameter: &Parameter,
    ) -> rusqlite::Result<i64> {
        let key = (resource_type, Parameter::clone(parameter));
        if let Some(number) = self.parameters.get(&key) {
            return Ok(*number);
        }
        let number = self.find_or_add(connection, &parameter_text(resource_type, parameter))?;
        if self.parameters.len() >= PARAMETERS_MAX {
            self.parameters.clear();
        }
        self.parameters.insert(key, number);
        Ok(number)
    }

    fn find_or_add(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<i64> {
        let number = match number_of(connection, text)? {
            Some(number) => number,
            None => connection.prepare_cached("INSERT INTO strings(text) VALUES (?1)")?.insert([text])?,
        };
        self.highest = self.highest.max(number);
        Ok(number)
    }
}

/// The number of a text, if it has one.
pub(super) fn number_of(connection: &Connection, text: &str) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached("SELECT id FROM strings WHERE text = ?1")?.query_row([text], |row| row.get(0)).optional()
}

/// The number of a parameter of a type, if any resource ever had a value under it.
pub(super) fn number_of_parameter(
    connection: &Connection,
    resource_type: ResourceType,
    parameter: &str,
) -> rusqlite::Result<Option<i64>> {
    number_of(connection, &parameter_text(resource_type, parameter))
}

/// The text of a number.
pub(super) fn text_of(connection: &Connection, number: i64) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT text FROM strings WHERE id = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()
}

/// How a text beside codes is kept among all texts, so that those with the same beginning are one stretch of the table.
pub(super) fn display_text(folded: &str) -> String {
    format!("~{folded}")
}

/// The numbers of the texts beside codes that start with this one.
pub(super) fn numbers_of_displays(connection: &Connection, folded: &str) -> rusqlite::Result<HashSet<i64>> {
    let first = display_text(folded);
    let end = successor(&first).unwrap_or_default();
    connection
        .prepare_cached("SELECT id FROM strings WHERE text >= ?1 AND text < ?2")?
        .query_map((first, end), |row| row.get(0))?
        .collect()
}

/// The first text, in the order of UTF-8 bytes, behind all that start with this one; `None` when there is no such text.
pub(super) fn successor(text: &str) -> Option<String> {
    let mut text = text.to_owned();
    while let Some(last) = text.pop() {
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

fn parameter_text(resource_type: ResourceType, parameter: &str) -> String {
    format!("{}.{parameter}", resource_type.as_str())
}

#[cfg(test)]
mod tests {
    use super::successor;

    #[test]
    fn the_successor_of_a_prefix_is_behind_all_that_start_with_it() {
        assert_eq!(successor("abc").as_deref(), Some("abd"));
        assert_eq!(successor("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(successor("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(successor(""), None);
    }
}
