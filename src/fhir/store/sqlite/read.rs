//! Resources by their id: current, old, all versions.

use std::cell::RefCell;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::names::{Names, number_of, number_of_parameter};
use super::types::Types;
use super::{find, history, notes, series};
use crate::fhir::store::interface::{Head, Reader, StoreError, Terminology};
use crate::fhir::store::{
    Condition, Dated, HistoryQuery, Method, Newest, Note, Page, Parameter, Query, ResourceKey, Version,
};
use crate::r4::resource_type::ResourceType;

/// A look at the store as it is in one transaction.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) connection: &'a Connection,
    pub(super) types: &'a Types,
    /// Who knows the codes of a set.
    pub(super) terminology: Terminology,
    /// What the writer remembers, while it looks.
    pub(super) names: Option<&'a RefCell<Names>>,
}

impl Reading<'_> {
    /// The number of a text, if it has one.
    pub(super) fn number_of(self, text: &str) -> rusqlite::Result<Option<i64>> {
        match self.names.and_then(|names| names.borrow().known(text)) {
            Some(number) => Ok(Some(number)),
            None => number_of(self.connection, text),
        }
    }

    /// The number of a parameter of a type, if any resource ever had a value under it.
    pub(super) fn number_of_parameter(
        self,
        resource_type: ResourceType,
        parameter: &Parameter,
    ) -> rusqlite::Result<Option<i64>> {
        match self.names.and_then(|names| names.borrow().known_parameter(resource_type, parameter)) {
            Some(number) => Ok(Some(number)),
            None => number_of_parameter(self.connection, resource_type, parameter),
        }
    }
}

impl Reader for Reading<'_> {
    fn head(&self, key: &ResourceKey) -> Result<Option<Head>, StoreError> {
        let head = self
            .connection
            .prepare_cached("SELECT version, changed, method FROM resources WHERE type = ?1 AND id = ?2")?
            .query_row((self.types.number(key.resource_type), &key.id), |row| {
                Ok(Head { number: number(row, 0)?, last_updated: time(row, 1)?, method: method(row, 2)? })
            })
            .optional()?;
        Ok(head)
    }

    fn current(&self, key: &ResourceKey) -> Result<Option<Version>, StoreError> {
        let version = self
            .connection
            .prepare_cached(
                "SELECT version, changed, method, b.body FROM resources r LEFT JOIN bodies b ON b.number = r.body
                 WHERE type = ?1 AND id = ?2",
            )?
            .query_row((self.types.number(key.resource_type), &key.id), |row| version(row, key.clone()))
            .optional()?;
        Ok(version)
    }

    fn version(&self, key: &ResourceKey, number: u64) -> Result<Option<Version>, StoreError> {
        let Ok(number) = i64::try_from(number) else {
            return Ok(None);
        };
        let version = self
            .connection
            .prepare_cached(
                "SELECT v.version, v.changed, v.method, b.body FROM (
                     SELECT version, changed, method, body FROM resources WHERE type = ?1 AND id = ?2 AND version = ?3
                     UNION ALL
                     SELECT h.version, h.changed, h.method, h.body
                     FROM resources r JOIN history h ON h.resource = r.number
                     WHERE r.type = ?1 AND r.id = ?2 AND h.version = ?3
                 ) v LEFT JOIN bodies b ON b.number = v.body",
            )?
            .query_row((self.types.number(key.resource_type), &key.id, number), |row| version(row, key.clone()))
            .optional()?;
        Ok(version)
    }

    fn generation(&self) -> Result<u64, StoreError> {
        Ok(notes::changes(self.connection, Note::Definitions)?)
    }

    fn note(&self, note: Note) -> Result<Bytes, StoreError> {
        Ok(notes::text(self.connection, note)?)
    }

    fn in_order(
        &self,
        resource_type: ResourceType,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Version)>, StoreError> {
        let range = self.types.resources(resource_type);
        let after = range.start().saturating_add(i64::try_from(after).unwrap_or(i64::MAX));
        let mut statement = self.connection.prepare_cached(
            "SELECT version, changed, method, b.body, r.number, r.id FROM resources r JOIN bodies b ON b.number = r.body
             WHERE r.number > ?1 AND r.number <= ?2 ORDER BY r.number LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((after, range.end(), limit), |row| {
            let key = ResourceKey { resource_type, id: row.get(5)? };
            let place = row.get::<_, i64>(4)?.abs_diff(*range.start());
            Ok((place, version(row, key)?))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn last_place(&self, resource_type: ResourceType) -> Result<u64, StoreError> {
        let range = self.types.resources(resource_type);
        let last: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(number) FROM resources WHERE number BETWEEN ?1 AND ?2")?
            .query_row((range.start(), range.end()), |row| row.get(0))?;
        Ok(last.map_or(0, |last| last.abs_diff(*range.start())))
    }

    fn history(&self, query: &HistoryQuery) -> Result<Page, StoreError> {
        history::history(*self, query)
    }

    fn find(&self, query: &Query) -> Result<Page, StoreError> {
        find::find(*self, query)
    }

    fn concepts(
        &self,
        resource_type: ResourceType,
        parameter: &Parameter,
        subject: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        series::concepts(*self, resource_type, parameter, subject, limit)
    }

    fn newest(&self, newest: &Newest) -> Result<Vec<Dated>, StoreError> {
        series::newest(*self, newest)
    }

    fn count(&self, resource_type: ResourceType, condition: &Condition) -> Result<u64, StoreError> {
        find::count(*self, resource_type, condition)
    }

    fn estimate(&self, resource_type: ResourceType, condition: &Condition) -> Result<u64, StoreError> {
        find::estimate(*self, resource_type, condition)
    }
}

/// A version from the columns version, changed, method, body, in this order.
pub(super) fn version(row: &Row<'_>, key: ResourceKey) -> rusqlite::Result<Version> {
    let body: Option<Vec<u8>> = row.get(3)?;
    Ok(Version {
        key,
        number: number(row, 0)?,
        last_updated: time(row, 1)?,
        method: method(row, 2)?,
        body: body.map(Bytes::from),
    })
}

/// The number of a version that a column says.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_negative| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// The instant that a column says.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let value: i64 = row.get(column)?;
    Timestamp::from_microsecond(value).map_err(|_far| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// The method a column says.
pub(super) fn method(row: &Row<'_>, column: usize) -> rusqlite::Result<Method> {
    match row.get(column)? {
        1 => Ok(Method::Post),
        2 => Ok(Method::Put),
        3 => Ok(Method::Patch),
        4 => Ok(Method::Delete),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(column, other)),
    }
}

/// How a method is written in a column.
pub(super) fn method_number(method: Method) -> i64 {
    match method {
        Method::Post => 1,
        Method::Put => 2,
        Method::Patch => 3,
        Method::Delete => 4,
    }
}
