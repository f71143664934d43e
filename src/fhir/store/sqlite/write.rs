//! Puts and deletes: the next version, and only those index rows that change.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::{Timestamp, Unit};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::amounts::StoredUnit;
use super::entries::{Entry, Parts, Value, pack_parts, unpack};
use super::names::{Names, display_text};
use super::notes;
use super::read::{Reading, method_number};
use crate::clock::Clock;
use crate::database::interrupted_after;
use crate::fhir::store::interface::{Head, Reader, StoreError, Writer};
use crate::fhir::store::watch::Changes;
use crate::fhir::store::{
    Basis, Condition, Dated, Draft, DraftBody, HistoryQuery, IndexEntry, IndexValue, Method, Newest, Note, Page,
    Parameter, Query, ResourceKey, Version,
};
use crate::r4::resource_type::ResourceType;

/// How long all searches of one write may take together. What an index answers takes a millisecond.
const SEARCHING_MAX: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });

/// The store inside the one write of the moment.
pub(super) struct Writing<'a> {
    reading: Reading<'a>,
    names: &'a RefCell<Names>,
    clock: &'a Clock,
    forgotten: &'a HashSet<ResourceType>,
    changes: &'a mut Changes,
    /// The next number of a type, for types to which this write has added.
    next_numbers: HashMap<ResourceType, i64>,
    /// The generation of the definitions, once it was asked for.
    generation: Cell<Option<u64>>,
    /// What is left of `SEARCHING_MAX`.
    search_time_left: Cell<Duration>,
}

/// The row of `resources` that a write replaces.
struct Current {
    number: i64,
    version: i64,
    changed: i64,
    method: i64,
    body: Option<i64>,
    entries: Vec<u8>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        reading: Reading<'a>,
        names: &'a RefCell<Names>,
        clock: &'a Clock,
        forgotten: &'a HashSet<ResourceType>,
        changes: &'a mut Changes,
    ) -> Self {
        Self {
            reading,
            names,
            clock,
            forgotten,
            changes,
            next_numbers: HashMap::new(),
            generation: Cell::new(None),
            search_time_left: Cell::new(SEARCHING_MAX),
        }
    }

    /// Runs a search in what is left of the time for them.
    fn in_time<T>(&self, search: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let left = self.search_time_left.get();
        let started = Instant::now();
        let found = interrupted_after(left, search);
        let taken = started.elapsed();
        self.search_time_left.set(left.saturating_sub(taken));
        found.map_err(|error| if taken >= left { StoreError::TooSlow } else { error })
    }

    /// What was indexed by other definitions would not be found by those in force.
    fn check_basis(&self, basis: &Basis) -> Result<(), StoreError> {
        if basis.generation == self.generation()? { Ok(()) } else { Err(StoreError::Outdated) }
    }

    fn connection(&self) -> &'a Connection {
        self.reading.connection
    }

    fn current_row(&self, key: &ResourceKey) -> rusqlite::Result<Option<Current>> {
        self.connection()
            .prepare_cached(
                "SELECT number, version, changed, method, body, entries FROM resources WHERE type = ?1 AND id = ?2",
            )?
            .query_row((self.reading.types.number(key.resource_type), &key.id), |row| {
                Ok(Current {
                    number: row.get(0)?,
                    version: row.get(1)?,
                    changed: row.get(2)?,
                    method: row.get(3)?,
                    body: row.get(4)?,
                    entries: row.get(5)?,
                })
            })
            .optional()
    }

    /// The time of a version: to the millisecond, as it is shown, and never before that of the version it follows.
    fn time_after(&self, changed: i64) -> i64 {
        let now = self.clock.now();
        let shown = now.round(jiff::TimestampRound::new().smallest(Unit::Millisecond).mode(jiff::RoundMode::Floor));
        shown.unwrap_or(now).as_microsecond().max(changed)
    }

    fn pack(&self, resource_type: ResourceType, index: &[IndexEntry]) -> rusqlite::Result<Vec<u8>> {
        let connection = self.connection();
        let mut names = self.names.borrow_mut();
        let mut packed = Vec::with_capacity(index.len() * 16);
        for entry in index {
            let parameter = names.parameter(connection, resource_type, &entry.parameter)?;
            if let IndexValue::Composite { parts } = &entry.value {
                let parts = pack_composite(connection, &mut names, parts)?;
                Entry { parameter, value: Value::Composite { parts: Parts::new(&parts) } }.pack_into(&mut packed);
            } else if let Some(value) = single(connection, &mut names, &entry.value)? {
                Entry { parameter, value }.pack_into(&mut packed);
            }
        }
        Ok(packed)
    }

    /// The packed entries but those under some parameters.
    fn entries_without(
        &self,
        resource_type: ResourceType,
        entries: &[u8],
        parameters: &[Parameter],
    ) -> rusqlite::Result<Vec<u8>> {
        let mut names = self.names.borrow_mut();
        let numbers = parameters.iter().map(|it| names.parameter(self.connection(), resource_type, it));
        let numbers: Vec<i64> = numbers.collect::<rusqlite::Result<_>>()?;
        let mut kept = Vec::with_capacity(entries.len());
        for entry in unpack(entries).iter().filter(|entry| !numbers.contains(&entry.parameter)) {
            entry.pack_into(&mut kept);
        }
        Ok(kept)
    }

    fn next_number(&mut self, resource_type: ResourceType) -> rusqlite::Result<i64> {
        let number = match self.next_numbers.get(&resource_type) {
            Some(number) => *number,
            None => {
                let range = self.reading.types.resources(resource_type);
                let last: Option<i64> = self
                    .connection()
                    .prepare_cached("SELECT max(number) FROM resources WHERE number BETWEEN ?1 AND ?2")?
                    .query_row((range.start(), range.end()), |row| row.get(0))?;
                last.unwrap_or(*range.start()) + 1
            }
        };
        self.next_numbers.insert(resource_type, number + 1);
        Ok(number)
    }

    fn insert(&mut self, key: &ResourceKey, next: &Next<'_>) -> rusqlite::Result<()> {
        let number = self.next_number(key.resource_type)?;
        let body = add_body(self.connection(), next.body)?;
        self.connection()
            .prepare_cached(
                "INSERT INTO resources(number, type, id, version, changed, method, body, entries)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                number,
                self.reading.types.number(key.resource_type),
                key.id,
                next.version,
                next.changed,
                method_number(next.method),
                body,
                next.entries
            ])?;
        unpack(next.entries).iter().try_for_each(|entry| add_row(self.connection(), number, entry))
    }

    /// Keeps the version that is replaced, unless its type is one to forget.
    fn retire(&self, resource_type: ResourceType, current: &Current, next: &Next<'_>) -> rusqlite::Result<()> {
        if self.forgotten.contains(&resource_type) {
            return self.forget(current);
        }
        self.connection()
            .prepare_cached(
                "INSERT INTO history(resource, version, changed, until, method, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((current.number, current.version, current.changed, next.changed, current.method, current.body))?;
        Ok(())
    }

    /// Takes away the current version, and those before it, which may be there from a time of another policy.
    fn forget(&self, current: &Current) -> rusqlite::Result<()> {
        let number = Some(current.number);
        let execute = |sql: &str, value: Option<i64>| self.connection().prepare_cached(sql)?.execute([value]).map(drop);
        execute("DELETE FROM bodies WHERE number IN (SELECT body FROM history WHERE resource = ?1)", number)?;
        execute("DELETE FROM history WHERE resource = ?1", number)?;
        execute("DELETE FROM bodies WHERE number = ?1", current.body)
    }

    fn replace(&self, resource_type: ResourceType, current: &Current, next: &Next<'_>) -> rusqlite::Result<()> {
        self.retire(resource_type, current, next)?;
        let body = add_body(self.connection(), next.body)?;
        self.connection()
            .prepare_cached(
                "UPDATE resources SET version = ?2, changed = ?3, method = ?4, body = ?5, entries = ?6 WHERE number = ?1",
            )?
            .execute(params![
                current.number,
                next.version,
                next.changed,
                method_number(next.method),
                body,
                next.entries
            ])?;
        if current.entries != next.entries {
            self.change_rows(current.number, &unpack(&current.entries), &unpack(next.entries))?;
        }
        Ok(())
    }

    fn change_rows(&self, number: i64, before: &[Entry<'_>], after: &[Entry<'_>]) -> rusqlite::Result<()> {
        let packed = |entries: &[Entry<'_>]| entries.iter().map(Entry::pack).collect::<HashSet<_>>();
        let (known, kept) = (packed(before), packed(after));
        for entry in before.iter().filter(|entry| !kept.contains(&entry.pack())) {
            remove_row(self.connection(), number, entry)?;
        }
        for entry in after.iter().filter(|entry| !known.contains(&entry.pack())) {
            add_row(self.connection(), number, entry)?;
        }
        Ok(())
    }
}

/// A value with its texts by number; `None` for a composite, which is several.
fn single<'v>(
    connection: &Connection,
    names: &mut Names,
    value: &'v IndexValue,
) -> rusqlite::Result<Option<Value<'v>>> {
    Ok(Some(match value {
        IndexValue::Token { system, code } => Value::Token { system: names.number(connection, system)?, code },
        IndexValue::Reference { target } => Value::Reference { target: names.number(connection, target)? },
        IndexValue::Date { start, end } => Value::Date { start: *start, end: *end },
        IndexValue::Number { value } => Value::Number { value: *value },
        IndexValue::Quantity { system, code, unit, value } => {
            let unit = names.number(connection, &StoredUnit { system, code, unit }.text())?;
            Value::Quantity { unit, value: *value }
        }
        IndexValue::Range { system, code, unit, low, high } => {
            let unit = names.number(connection, &StoredUnit { system, code, unit }.text())?;
            Value::Range { unit, low: *low, high: *high }
        }
        IndexValue::String { folded, exact } => Value::String { folded, exact },
        IndexValue::Uri { uri } => Value::Uri { uri },
        IndexValue::Display { folded } => Value::Display { text: names.number(connection, &display_text(folded))? },
        IndexValue::Series { subject, concept, end } => Value::Series {
            subject: names.number(connection, subject)?,
            concept: names.number(connection, concept)?,
            end: *end,
        },
        IndexValue::Composite { .. } => return Ok(None),
    }))
}

fn pack_composite(connection: &Connection, names: &mut Names, parts: &[Vec<IndexValue>]) -> rusqlite::Result<Vec<u8>> {
    let mut packed = Vec::with_capacity(parts.len());
    for part in parts {
        let values = part.iter().filter_map(|value| single(connection, names, value).transpose());
        packed.push(values.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(pack_parts(&packed))
}

/// What the row of a resource is to say.
struct Next<'a> {
    version: i64,
    changed: i64,
    method: Method,
    body: Option<&'a [u8]>,
    entries: &'a [u8],
}

impl Writer for Writing<'_> {
    fn put(&mut self, draft: Draft) -> Result<Version, StoreError> {
        self.check_basis(&draft.basis)?;
        let current = self.current_row(&draft.key)?;
        let entries = self.pack(draft.key.resource_type, &draft.index)?;
        let version = current.as_ref().map_or(0, |current| current.version) + 1;
        let changed = self.time_after(current.as_ref().map_or(i64::MIN, |current| current.changed));
        let last_updated = timestamp(changed)?;
        let body = assemble(&draft.key.id, version, last_updated, &draft.body);
        let next = Next { version, changed, method: draft.method, body: Some(&body), entries: &entries };
        match &current {
            None => self.insert(&draft.key, &next)?,
            Some(current) => self.replace(draft.key.resource_type, current, &next)?,
        }
        self.changes.add(&draft.key, draft.index);
        Ok(Version {
            key: draft.key,
            number: version.unsigned_abs(),
            last_updated,
            method: draft.method,
            body: Some(Bytes::from(body)),
        })
    }

    fn amend(&mut self, draft: Draft) -> Result<Option<Version>, StoreError> {
        self.check_basis(&draft.basis)?;
        let Some(current) = self.current_row(&draft.key)?.filter(|current| current.body.is_some()) else {
            return Ok(None);
        };
        let entries = self.pack(draft.key.resource_type, &draft.index)?;
        let last_updated = timestamp(current.changed)?;
        let body = assemble(&draft.key.id, current.version, last_updated, &draft.body);
        self.connection()
            .prepare_cached("UPDATE bodies SET body = ?2 WHERE number = ?1")?
            .execute((current.body, &body))?;
        self.connection()
            .prepare_cached("UPDATE resources SET entries = ?2 WHERE number = ?1")?
            .execute((current.number, &entries))?;
        self.change_rows(current.number, &unpack(&current.entries), &unpack(&entries))?;
        self.changes.add(&draft.key, draft.index);
        self.reading.current(&draft.key)
    }

    fn index(&mut self, key: &ResourceKey, only: Option<&[Parameter]>, index: &[IndexEntry]) -> Result<(), StoreError> {
        let Some(current) = self.current_row(key)?.filter(|current| current.body.is_some()) else {
            return Ok(());
        };
        let mut entries = match only {
            None => Vec::new(),
            Some(only) => self.entries_without(key.resource_type, &current.entries, only)?,
        };
        entries.extend(self.pack(key.resource_type, index)?);
        if entries == current.entries {
            return Ok(());
        }
        self.connection()
            .prepare_cached("UPDATE resources SET entries = ?2 WHERE number = ?1")?
            .execute((current.number, &entries))?;
        Ok(self.change_rows(current.number, &unpack(&current.entries), &unpack(&entries))?)
    }

    fn set_note(&mut self, note: Note, text: &[u8]) -> Result<(), StoreError> {
        notes::set(self.connection(), note, text)?;
        match note {
            Note::Definitions => {
                self.generation.set(None);
                self.changes.add_definitions();
            }
            Note::Reindexing => {}
        }
        Ok(())
    }

    fn delete(&mut self, key: &ResourceKey) -> Result<Option<Version>, StoreError> {
        let Some(current) = self.current_row(key)?.filter(|current| current.body.is_some()) else {
            return Ok(None);
        };
        let version = current.version + 1;
        let changed = self.time_after(current.changed);
        self.replace(
            key.resource_type,
            &current,
            &Next { version, changed, method: Method::Delete, body: None, entries: &[] },
        )?;
        self.changes.add(key, Vec::new());
        Ok(Some(Version {
            key: key.clone(),
            number: version.unsigned_abs(),
            last_updated: timestamp(changed)?,
            method: Method::Delete,
            body: None,
        }))
    }
}

impl Reader for Writing<'_> {
    fn head(&self, key: &ResourceKey) -> Result<Option<Head>, StoreError> {
        self.reading.head(key)
    }

    fn current(&self, key: &ResourceKey) -> Result<Option<Version>, StoreError> {
        self.reading.current(key)
    }

    fn version(&self, key: &ResourceKey, number: u64) -> Result<Option<Version>, StoreError> {
        self.reading.version(key, number)
    }

    fn generation(&self) -> Result<u64, StoreError> {
        if let Some(generation) = self.generation.get() {
            return Ok(generation);
        }
        let generation = self.reading.generation()?;
        self.generation.set(Some(generation));
        Ok(generation)
    }

    fn note(&self, note: Note) -> Result<Bytes, StoreError> {
        self.reading.note(note)
    }

    fn in_order(
        &self,
        resource_type: ResourceType,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Version)>, StoreError> {
        self.reading.in_order(resource_type, after, limit)
    }

    fn last_place(&self, resource_type: ResourceType) -> Result<u64, StoreError> {
        self.reading.last_place(resource_type)
    }

    fn history(&self, query: &HistoryQuery) -> Result<Page, StoreError> {
        self.reading.history(query)
    }

    fn find(&self, query: &Query) -> Result<Page, StoreError> {
        self.in_time(|| self.reading.find(query))
    }

    fn concepts(
        &self,
        resource_type: ResourceType,
        parameter: &Parameter,
        subject: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.in_time(|| self.reading.concepts(resource_type, parameter, subject, limit))
    }

    fn newest(&self, newest: &Newest) -> Result<Vec<Dated>, StoreError> {
        self.in_time(|| self.reading.newest(newest))
    }

    fn count(&self, resource_type: ResourceType, condition: &Condition) -> Result<u64, StoreError> {
        self.in_time(|| self.reading.count(resource_type, condition))
    }

    fn estimate(&self, resource_type: ResourceType, condition: &Condition) -> Result<u64, StoreError> {
        self.in_time(|| self.reading.estimate(resource_type, condition))
    }
}

fn timestamp(changed: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(changed).map_err(|_far| rusqlite::Error::IntegralValueOutOfRange(0, changed))
}

/// Writes `id` and `meta` into a body; the layout is that of `DraftBody`.
fn assemble(id: &str, version: i64, last_updated: Timestamp, body: &DraftBody) -> Vec<u8> {
    body.text(id, &format!(r#""versionId":"{version}","lastUpdated":"{last_updated:.3}""#))
}

fn add_body(connection: &Connection, body: Option<&[u8]>) -> rusqlite::Result<Option<i64>> {
    let Some(body) = body else {
        return Ok(None);
    };
    connection.prepare_cached("INSERT INTO bodies(body) VALUES (?1)")?.insert([body]).map(Some)
}

fn add_row(connection: &Connection, resource: i64, entry: &Entry<'_>) -> rusqlite::Result<()> {
    let parameter = entry.parameter;
    match entry.value {
        Value::Token { system, code } => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO index_token(parameter, code, system, resource) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((parameter, code, system, resource)),
        Value::Reference { target } => connection
            .prepare_cached("INSERT OR IGNORE INTO index_reference(parameter, target, resource) VALUES (?1, ?2, ?3)")?
            .execute((parameter, target, resource)),
        Value::Date { start, end } => connection
            .prepare_cached(
                r#"INSERT OR IGNORE INTO index_date(parameter, "end", start, resource) VALUES (?1, ?2, ?3, ?4)"#,
            )?
            .execute((parameter, end, start, resource)),
        Value::Number { value } => connection
            .prepare_cached("INSERT OR IGNORE INTO index_number(parameter, value, resource) VALUES (?1, ?2, ?3)")?
            .execute((parameter, value, resource)),
        Value::Quantity { unit, value } => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO index_quantity(parameter, unit, value, resource) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((parameter, unit, value, resource)),
        Value::Range { unit, low, high } => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO index_range(parameter, unit, low, high, resource) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((parameter, unit, low, high, resource)),
        Value::String { folded, exact } => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO index_string(parameter, folded, exact, resource) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((parameter, folded, exact, resource)),
        Value::Uri { uri } => connection
            .prepare_cached("INSERT OR IGNORE INTO index_uri(parameter, uri, resource) VALUES (?1, ?2, ?3)")?
            .execute((parameter, uri, resource)),
        Value::Composite { .. } | Value::Display { .. } => Ok(0),
        Value::Series { subject, concept, end } => connection
            .prepare_cached(
                r#"INSERT OR IGNORE INTO index_series(parameter, subject, concept, "end", resource)
                   VALUES (?1, ?2, ?3, ?4, ?5)"#,
            )?
            .execute((parameter, subject, concept, end, resource)),
    }
    .map(|_rows| ())
}

fn remove_row(connection: &Connection, resource: i64, entry: &Entry<'_>) -> rusqlite::Result<()> {
    let parameter = entry.parameter;
    match entry.value {
        Value::Token { system, code } => connection
            .prepare_cached(
                "DELETE FROM index_token WHERE parameter = ?1 AND code = ?2 AND system = ?3 AND resource = ?4",
            )?
            .execute((parameter, code, system, resource)),
        Value::Reference { target } => connection
            .prepare_cached("DELETE FROM index_reference WHERE parameter = ?1 AND target = ?2 AND resource = ?3")?
            .execute((parameter, target, resource)),
        Value::Date { start, end } => connection
            .prepare_cached(
                r#"DELETE FROM index_date WHERE parameter = ?1 AND "end" = ?2 AND start = ?3 AND resource = ?4"#,
            )?
            .execute((parameter, end, start, resource)),
        Value::Number { value } => connection
            .prepare_cached("DELETE FROM index_number WHERE parameter = ?1 AND value = ?2 AND resource = ?3")?
            .execute((parameter, value, resource)),
        Value::Quantity { unit, value } => connection
            .prepare_cached(
                "DELETE FROM index_quantity WHERE parameter = ?1 AND unit = ?2 AND value = ?3 AND resource = ?4",
            )?
            .execute((parameter, unit, value, resource)),
        Value::Range { unit, low, high } => connection
            .prepare_cached(
                "DELETE FROM index_range WHERE parameter = ?1 AND unit = ?2 AND low = ?3 AND high = ?4 AND resource = ?5",
            )?
            .execute((parameter, unit, low, high, resource)),
        Value::String { folded, exact } => connection
            .prepare_cached(
                "DELETE FROM index_string WHERE parameter = ?1 AND folded = ?2 AND exact = ?3 AND resource = ?4",
            )?
            .execute((parameter, folded, exact, resource)),
        Value::Uri { uri } => connection
            .prepare_cached("DELETE FROM index_uri WHERE parameter = ?1 AND uri = ?2 AND resource = ?3")?
            .execute((parameter, uri, resource)),
        Value::Composite { .. } | Value::Display { .. } => Ok(0),
        Value::Series { subject, concept, end } => connection
            .prepare_cached(
                r#"DELETE FROM index_series WHERE parameter = ?1 AND subject = ?2 AND concept = ?3 AND "end" = ?4
                   AND resource = ?5"#,
            )?
            .execute((parameter, subject, concept, end, resource)),
    }
    .map(|_rows| ())
}
