//! Histories: versions newest first, of a resource, of a type or of all there is.
//!
//! Every version stands at a place made of the time at which it was written, the number of its resource and its own
//! number. It keeps the place for ever, also when the next version moves it from `resources` to `history`; so pages that
//! go on behind a place show every version once, whatever is written meanwhile. A history of a type runs along three
//! indexes, a history of all along three for each type, and takes from each no more than a page.

use rusqlite::{OptionalExtension as _, Statement};

use super::find::number_of_resource;
use super::read::{Reading, method, method_number};
use crate::fhir::store::interface::StoreError;
use crate::fhir::store::{Cursor, HistoryQuery, Lineage, Method, Page, ResourceKey, Version};
use crate::r4::resource_type::ResourceType;

/// Where a version stands: when it was written, its resource's number, its own. Later ones are greater.
type Place = (i64, i64, i64);

/// A version on the way to a page.
struct Met {
    place: Place,
    method: Method,
    body: Option<i64>,
}

/// Numbers that every statement is asked with: whose versions, written between which times, before which place, and
/// current after which time.
struct Bounds {
    since: i64,
    until: i64,
    before: Place,
    current_after: i64,
    limit: i64,
}

/// A page of a history.
pub(super) fn history(reading: Reading<'_>, query: &HistoryQuery) -> Result<Page, StoreError> {
    let bounds = Bounds::of(query)?;
    let mut met = Vec::new();
    match &query.of {
        Lineage::Resource(key) => {
            let number = number_of_resource(reading, key.resource_type, &key.id)?;
            number.map_or(Ok(()), |number| bounds.take(reading, &OF_RESOURCE, number, &mut met))?;
        }
        Lineage::Type(resource_type) => {
            bounds.take(reading, &OF_TYPE, reading.types.number(*resource_type), &mut met)?;
        }
        Lineage::System => {
            for resource_type in ResourceType::all() {
                bounds.take(reading, &OF_TYPE, reading.types.number(resource_type), &mut met)?;
            }
        }
    }
    met.sort_unstable_by_key(|version| std::cmp::Reverse(version.place));
    let is_last = met.len() <= query.limit;
    met.truncate(query.limit);
    let next = met.last().filter(|_version| !is_last).map(|version| cursor(version.place));
    let mut versions = Vec::with_capacity(met.len());
    for version in met {
        versions.extend(version.read(reading)?);
    }
    Ok(Page { versions, next })
}

/// The columns of each are those of `Met`: changed, resource, version, method, body.
const OF_RESOURCE: [&str; 2] = [
    "SELECT changed, number, version, method, body FROM resources
     WHERE number = ?1 AND changed BETWEEN ?2 AND ?3 AND (changed, number, version) < (?4, ?5, ?6) LIMIT ?8",
    "SELECT changed, resource, version, method, body FROM history
     WHERE resource = ?1 AND changed BETWEEN ?2 AND ?3 AND (changed, resource, version) < (?4, ?5, ?6) AND until > ?7
     ORDER BY version DESC LIMIT ?8",
];
const OF_TYPE: [&str; 3] = [
    "SELECT changed, number, version, method, body FROM resources
     WHERE type = ?1 AND method <> 4
         AND changed BETWEEN ?2 AND ?3 AND (changed, number, version) < (?4, ?5, ?6)
     ORDER BY changed DESC, number DESC LIMIT ?8",
    "SELECT changed, number, version, method, body FROM resources
     WHERE type = ?1 AND method = 4
         AND changed BETWEEN ?2 AND ?3 AND (changed, number, version) < (?4, ?5, ?6)
     ORDER BY changed DESC, number DESC LIMIT ?8",
    "SELECT changed, resource, version, method, body FROM history
     WHERE resource >> 40 = ?1
         AND changed BETWEEN ?2 AND ?3 AND (changed, resource, version) < (?4, ?5, ?6) AND until > ?7
     ORDER BY changed DESC, resource DESC, version DESC LIMIT ?8",
];

impl Bounds {
    fn of(query: &HistoryQuery) -> Result<Self, StoreError> {
        let before = query.after.as_ref().map(place_of).transpose()?.unwrap_or((i64::MAX, i64::MAX, i64::MAX));
        let (current_from, current_to) = query.current_in.unwrap_or((i64::MIN, i64::MAX));
        Ok(Self {
            since: query.since,
            // The first of these also bounds the range of the index that is read.
            until: before.0.min(query.until).min(current_to),
            before,
            current_after: current_from,
            limit: i64::try_from(query.limit.saturating_add(1)).unwrap_or(i64::MAX),
        })
    }

    fn take(
        &self,
        reading: Reading<'_>,
        statements: &[&str],
        whose: i64,
        met: &mut Vec<Met>,
    ) -> Result<(), StoreError> {
        for sql in statements {
            let mut statement = reading.connection.prepare_cached(sql)?;
            self.run(&mut statement, whose, met)?;
        }
        Ok(())
    }

    fn run(&self, statement: &mut Statement<'_>, whose: i64, met: &mut Vec<Met>) -> rusqlite::Result<()> {
        let (changed, resource, version) = self.before;
        let bounds = (whose, self.since, self.until, changed, resource, version, self.current_after, self.limit);
        let mut rows = statement.query(bounds)?;
        while let Some(row) = rows.next()? {
            let place = (row.get(0)?, row.get(1)?, row.get(2)?);
            met.push(Met { place, method: method(row, 3)?, body: row.get(4)? });
        }
        Ok(())
    }
}

impl Met {
    /// The version; `None` only if its type is not one of R4's, which this store never writes.
    fn read(self, reading: Reading<'_>) -> Result<Option<Version>, StoreError> {
        let (changed, resource, number) = self.place;
        let Some(resource_type) = reading.types.type_of(resource) else {
            return Ok(None);
        };
        let version = reading
            .connection
            .prepare_cached(
                "SELECT ?2, ?3, ?4, b.body, r.id FROM resources r LEFT JOIN bodies b ON b.number = ?5
                 WHERE r.number = ?1",
            )?
            .query_row((resource, number, changed, method_number(self.method), self.body), |row| {
                super::read::version(row, ResourceKey { resource_type, id: row.get(4)? })
            })
            .optional()?;
        Ok(version)
    }
}

fn cursor((changed, resource, version): Place) -> Cursor {
    Cursor(format!("{changed}.{resource}.{version}"))
}

fn place_of(cursor: &Cursor) -> Result<Place, StoreError> {
    let mut numbers = cursor.0.split('.').map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(changed)), Some(Ok(resource)), Some(Ok(version)), None) => Ok((changed, resource, version)),
        _ => Err(StoreError::Cursor),
    }
}

#[cfg(test)]
mod tests;
