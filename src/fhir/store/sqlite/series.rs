//! Series: what resources say of a concept about a subject, read from the newest back.
//!
//! The rows of a series are in the order of time, so the newest of a kind are found without a look at the others, unless
//! the condition refuses many of them.

use std::cmp::Reverse;

use super::filter::{Filter, ready};
use super::find::{passes_by_number, version};
use super::names::text_of;
use super::read::Reading;
use super::sieve::Sieve;
use crate::fhir::store::interface::StoreError;
use crate::fhir::store::{Dated, Newest, Parameter, Series};
use crate::r4::resource_type::ResourceType;

/// The concepts of the series about a subject, at most `limit`. Each is one step into the index.
pub(super) fn concepts(
    reading: Reading<'_>,
    resource_type: ResourceType,
    parameter: &Parameter,
    subject: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let (Some(parameter), Some(subject)) =
        (reading.number_of_parameter(resource_type, parameter)?, reading.number_of(subject)?)
    else {
        return Ok(Vec::new());
    };
    let mut statement = reading.connection.prepare_cached(NEXT_CONCEPT)?;
    let mut concepts = Vec::new();
    let mut last = i64::MIN;
    while concepts.len() < limit {
        let next: Option<i64> = statement.query_row((parameter, subject, last), |row| row.get(0))?;
        let Some(next) = next else { break };
        concepts.extend(text_of(reading.connection, next)?);
        last = next;
    }
    Ok(concepts)
}

/// The newest matches of each kind.
pub(super) fn newest(reading: Reading<'_>, newest: &Newest) -> Result<Vec<Dated>, StoreError> {
    let (Some(parameter), Some(subject)) = (
        reading.number_of_parameter(newest.selection.resource_type, &newest.parameter)?,
        reading.number_of(&newest.subject)?,
    ) else {
        return Ok(Vec::new());
    };
    let walk = Walk {
        reading,
        parameter,
        subject,
        filter: ready(reading, newest.selection.resource_type, &newest.selection.condition)?,
        newest,
    };
    let mut found = Vec::new();
    for kind in &newest.kinds {
        for place in walk.kind(kind)? {
            let version = version(reading, place.number)?;
            found.extend(version.map(|version| Dated { end: place.end, version }));
        }
    }
    Ok(found)
}

/// Up to `length` of each series, none newer than `from`, all in the order of time. The second: from where to go on, if
/// there is more.
pub(super) fn newest_of_each(
    reading: Reading<'_>,
    resource_type: ResourceType,
    series: &Series,
    from: i64,
    length: usize,
) -> Result<(Vec<Timed>, Option<i64>), StoreError> {
    let Some(parameter) = reading.number_of_parameter(resource_type, &series.parameter)? else {
        return Ok((Vec::new(), None));
    };
    let limit = i64::try_from(length).unwrap_or(i64::MAX);
    let mut statement = reading.connection.prepare_cached(NEWEST_NUMBERS)?;
    let mut newest = Vec::new();
    let mut next = None;
    for (subject, concept) in &series.of {
        let (Some(subject), Some(concept)) = (reading.number_of(subject)?, reading.number_of(concept)?) else {
            continue;
        };
        let before = newest.len();
        let rows = statement.query_map((parameter, subject, concept, from, limit), |row| {
            Ok(Timed { number: row.get(0)?, end: row.get(1)? })
        })?;
        for row in rows {
            newest.push(row?);
        }
        if newest.len() - before >= length {
            next = next.max(newest.last().map(|last| last.end));
        }
    }
    // What is as new as the last of a series that was not read to its end has others between it.
    newest.retain(|timed| next.is_none_or(|next| timed.end > next));
    newest.sort_unstable_by_key(|timed| (Reverse(timed.end), timed.number));
    Ok((newest, next))
}

/// A resource at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timed {
    pub(super) number: i64,
    /// The end of that time.
    pub(super) end: i64,
}

struct Walk<'a> {
    reading: Reading<'a>,
    parameter: i64,
    subject: i64,
    filter: Filter,
    newest: &'a Newest,
}

/// Newest is greatest; of two that are as new the one first written later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    end: i64,
    number: i64,
}

impl Walk<'_> {
    fn kind(&self, concepts: &[String]) -> Result<Vec<Place>, StoreError> {
        let mut places = Vec::new();
        for concept in concepts {
            self.concept(concept, &mut places)?;
        }
        places.sort_unstable_by_key(|place| Reverse(*place));
        let mut kept = Vec::with_capacity(places.len());
        for place in places {
            if self.is_enough(&kept, place) {
                break;
            }
            kept.push(place);
        }
        Ok(kept)
    }

    /// The newest matches of one concept; among them are those that are among the newest of its kind.
    fn concept(&self, concept: &str, places: &mut Vec<Place>) -> Result<(), StoreError> {
        let Some(concept) = self.reading.number_of(concept)? else {
            return Ok(());
        };
        let resource_type = self.newest.selection.resource_type;
        let mut found = Vec::new();
        let mut sieve: Option<Sieve<'_>> = None;
        let mut statement = self.reading.connection.prepare_cached(NEWEST_IN_SERIES)?;
        let mut rows = statement.query((self.parameter, self.subject, concept))?;
        while let Some(row) = rows.next()? {
            let place = Place { end: row.get(0)?, number: row.get(1)? };
            if self.is_enough(&found, place) {
                break;
            }
            if let Some(sieve) = &mut sieve
                && sieve.sift(&[place.number])?.is_empty()
            {
                continue;
            }
            if passes_by_number(self.reading, resource_type, place.number, &self.filter)? {
                found.push(place);
            } else if sieve.is_none() {
                // Where one is refused, more will be: what refuses them is asked first from here on.
                sieve = Some(Sieve::of(self.reading, resource_type, &self.filter)?);
            }
        }
        places.append(&mut found);
        Ok(())
    }

    /// Whether what was found leaves no room for the place that comes next.
    fn is_enough(&self, found: &[Place], next: Place) -> bool {
        let is_tie = found.last().is_some_and(|last| last.end == next.end && next.end != i64::MIN);
        found.len() >= self.newest.most || (found.len() >= self.newest.count && !is_tie)
    }
}

const NEWEST_NUMBERS: &str = r#"SELECT resource, "end" FROM index_series
    WHERE parameter = ?1 AND subject = ?2 AND concept = ?3 AND "end" <= ?4 ORDER BY "end" DESC, resource DESC LIMIT ?5"#;
const NEXT_CONCEPT: &str =
    "SELECT min(concept) FROM index_series WHERE parameter = ?1 AND subject = ?2 AND concept > ?3";
const NEWEST_IN_SERIES: &str = r#"SELECT "end", resource FROM index_series
    WHERE parameter = ?1 AND subject = ?2 AND concept = ?3 ORDER BY "end" DESC, resource DESC"#;
