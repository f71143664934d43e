//! Searches: candidates, filter, order, page.
//!
//! There are two ways to a page. *Gathering* looks at every candidate of the narrowest index and keeps the foremost; it
//! costs as much as there are candidates, whatever the order. *Walking* goes along an index that has the wanted order,
//! checks each resource it meets and stops when the page is full; it costs (page length) x (all resources / matches).
//! The two meet where the candidates number about the root of (page length x all resources): some thousands for millions
//! of resources. So up to `GATHERED_MAX` candidates are gathered. Above, the order is walked if an index has it:
//! by first writing, by last change, and by a date, newest first (`code=X` newest first over millions of Observations
//! takes the first rows of the date index). A walk that meets too few matches is given up and gathered after all.

use std::collections::HashMap;

use rusqlite::{OptionalExtension as _, Rows, params_from_iter};

use super::candidates::{Ways, is_exact, narrowest, ordered_span, ordered_ways};
use super::filter::{Candidate, Filter, ready};
use super::order::{By, Order, Place, Shown};
use super::probes::Probes;
use super::read::{self, Reading};
use crate::fhir::store::interface::StoreError;
use crate::fhir::store::{Condition, Page, Query, ResourceKey, Selection, SortKind, Version};
use crate::r4::resource_type::ResourceType;

/// Candidates up to which gathering is cheaper than walking; in tests so few that small data is walked as well.
const GATHERED_MAX: usize = if cfg!(test) { 5 } else { 2_000 };
/// Rows that a walk may look at before it is given up.
const WALKED_MAX: usize = 50_000;
/// Candidates up to which it is not worth preparing to ask indexes about them.
const PROBED_MIN: usize = if cfg!(test) { 2 } else { 32 };

/// A search in a type with everything by number.
struct Search<'a> {
    reading: Reading<'a>,
    resource_type: ResourceType,
    filter: Filter,
    order: Order,
    after: Option<Place>,
    /// One more than the page holds, so that the last page is known to be the last.
    wanted: usize,
}

/// A page of a search.
pub(super) fn find(reading: Reading<'_>, query: &Query) -> Result<Page, StoreError> {
    let mut places = foremost_places(reading, query)?;
    let is_last = places.len() <= query.limit;
    places.truncate(query.limit);
    let next = if is_last { None } else { places.last().map(Place::cursor) };
    let mut versions = Vec::with_capacity(places.len());
    for place in &places {
        versions.extend(version(reading, place.number)?);
    }
    Ok(Page { versions, next })
}

/// The places of the page and of one match more, in order. Each type is searched for itself; the order is one over all.
fn foremost_places(reading: Reading<'_>, query: &Query) -> Result<Vec<Place>, StoreError> {
    let wanted = query.limit.saturating_add(1);
    let mut selections: Vec<&Selection> = query.selections.iter().collect();
    selections.sort_by_key(|selection| reading.types.number(selection.resource_type));
    let mut places = Vec::new();
    for Selection { resource_type, condition } in selections {
        let order = Order::compile(reading, *resource_type, &query.order)?;
        let after = query.after.as_ref().map(|cursor| order.place_of(cursor)).transpose()?;
        let numbers = reading.types.resources(*resource_type);
        let is_behind = after.as_ref().is_some_and(|after| after.number > *numbers.end());
        // Without a key the order is that of numbers, so types come one after the other.
        if order.keys.is_empty() && (is_behind || places.len() >= wanted) {
            continue;
        }
        let filter = ready(reading, *resource_type, condition)?;
        let search = Search { reading, resource_type: *resource_type, filter, order, after, wanted };
        places.extend(search.places()?);
        places.sort_by(|one, other| search.order.compare(one, other));
        places.truncate(wanted);
    }
    Ok(places)
}

/// How many resources a condition finds.
pub(super) fn count(
    reading: Reading<'_>,
    resource_type: ResourceType,
    condition: &Condition,
) -> Result<u64, StoreError> {
    let filter = ready(reading, resource_type, condition)?;
    if matches!(&filter, Filter::All(parts) if parts.is_empty()) {
        let count: i64 = reading
            .connection
            .prepare_cached("SELECT count(*) FROM resources WHERE type = ?1 AND method <> 4")?
            .query_row([reading.types.number(resource_type)], |row| row.get(0))?;
        return Ok(count.unsigned_abs());
    }
    if is_exact(&filter)
        && let Some(span) = ordered_span(reading, resource_type, &filter)?
    {
        return span.count(reading);
    }
    let mut count = 0;
    each_match(reading, resource_type, &filter, usize::MAX, |_match| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// Candidates that are listed for an estimate.
const LISTED_MAX: usize = 64_000;
/// Candidates that are looked at for an estimate.
const SAMPLED_MAX: usize = 1_000;

/// About how many resources a condition finds.
pub(super) fn estimate(
    reading: Reading<'_>,
    resource_type: ResourceType,
    condition: &Condition,
) -> Result<u64, StoreError> {
    let filter = ready(reading, resource_type, condition)?;
    if is_exact(&filter) || matches!(&filter, Filter::All(parts) if parts.is_empty()) {
        return count(reading, resource_type, condition);
    }
    let listed = narrowest(reading, resource_type, &filter, LISTED_MAX)?;
    let (numbers, population) = match listed {
        Some(numbers) => {
            let population = numbers.len();
            (numbers.into_iter().step_by(population.div_ceil(SAMPLED_MAX).max(1)).collect(), population)
        }
        None => spread(reading, resource_type)?,
    };
    let mut found = 0_usize;
    each_of(reading, resource_type, &filter, &numbers, |_match| {
        found += 1;
        Ok(())
    })?;
    Ok(u64::try_from(found * population / numbers.len().max(1)).unwrap_or(u64::MAX))
}

/// Some numbers of resources of a type, evenly spread, and how many there are to choose from.
fn spread(reading: Reading<'_>, resource_type: ResourceType) -> Result<(Vec<i64>, usize), StoreError> {
    let range = reading.types.resources(resource_type);
    let last: Option<i64> = reading
        .connection
        .prepare_cached("SELECT max(number) FROM resources WHERE number BETWEEN ?1 AND ?2")?
        .query_row((range.start(), range.end()), |row| row.get(0))?;
    // The first number of the range is never given.
    let population = usize::try_from(last.map_or(0, |last| last - range.start())).unwrap_or(usize::MAX);
    let step = population.div_ceil(SAMPLED_MAX).max(1);
    Ok(((*range.start()..=last.unwrap_or(*range.start())).skip(1).step_by(step).collect(), population))
}

/// The matches with their ids, if an index shows that there are at most `max`.
pub(super) fn few(
    reading: Reading<'_>,
    resource_type: ResourceType,
    filter: &Filter,
    max: usize,
) -> Result<Option<HashMap<i64, String>>, StoreError> {
    let Some(numbers) = narrowest(reading, resource_type, filter, max)? else {
        return Ok(None);
    };
    let mut matches = HashMap::new();
    each_of(reading, resource_type, filter, &numbers, |candidate| {
        matches.insert(candidate.number, candidate.id.to_owned());
        Ok(())
    })?;
    Ok(Some(matches))
}

/// The number of the resource with this id, deleted or not.
pub(super) fn number_of_resource(
    reading: Reading<'_>,
    resource_type: ResourceType,
    id: &str,
) -> Result<Option<i64>, StoreError> {
    let number = reading
        .connection
        .prepare_cached("SELECT number FROM resources WHERE type = ?1 AND id = ?2")?
        .query_row((reading.types.number(resource_type), id), |row| row.get(0))
        .optional()?;
    Ok(number)
}

/// Whether the resource with this number exists and is a match.
pub(super) fn passes_by_number(
    reading: Reading<'_>,
    resource_type: ResourceType,
    number: i64,
    filter: &Filter,
) -> Result<bool, StoreError> {
    let mut passes = false;
    each_of(reading, resource_type, filter, &[number], |_match| {
        passes = true;
        Ok(())
    })?;
    Ok(passes)
}

impl Search<'_> {
    /// The places of the page and of one match more, in order.
    fn places(&self) -> Result<Vec<Place>, StoreError> {
        // Every row of the walk is a match: no other way is shorter.
        if self.order.keys.is_empty()
            && is_exact(&self.filter)
            && let Some(places) = self.walk_numbers()?
        {
            return Ok(places);
        }
        if let Some(numbers) = narrowest(self.reading, self.resource_type, &self.filter, GATHERED_MAX)? {
            return self.gather(Some(&numbers));
        }
        let walked = match self.order.keys.as_slice() {
            [] => self.walk_numbers()?,
            [key] => match (&key.by, key.descending) {
                (By::Changed, true) => self.walk_changes(NEWEST_CHANGE, i64::MAX)?,
                (By::Changed, false) => self.walk_changes(OLDEST_CHANGE, i64::MIN)?,
                (By::Value(Some(parameter), SortKind::Date), true) => self.walk_dates(*parameter)?,
                (By::Id | By::Value(..), _) => None,
            },
            _ => None,
        };
        if let Some(places) = walked {
            return Ok(places);
        }
        let numbers = narrowest(self.reading, self.resource_type, &self.filter, usize::MAX)?;
        self.gather(numbers.as_deref())
    }

    fn gather(&self, numbers: Option<&[i64]>) -> Result<Vec<Place>, StoreError> {
        let mut places = Vec::new();
        let keep = self.wanted.saturating_mul(2).max(1_000);
        let mut add = |candidate: &Candidate<'_>| {
            let place = self.order.place(self.reading, candidate)?;
            if self.is_behind_cursor(&place) {
                places.push(place);
            }
            if places.len() >= keep {
                places.sort_by(|one, other| self.order.compare(one, other));
                places.truncate(self.wanted);
            }
            Ok(())
        };
        match numbers {
            Some(numbers) => each_of(self.reading, self.resource_type, &self.filter, numbers, &mut add)?,
            None => each_of_type(self.reading, self.resource_type, &self.filter, &mut add)?,
        }
        places.sort_by(|one, other| self.order.compare(one, other));
        places.truncate(self.wanted);
        Ok(places)
    }

    fn is_behind_cursor(&self, place: &Place) -> bool {
        self.after.as_ref().is_none_or(|after| self.order.compare(place, after).is_gt())
    }

    fn walk_numbers(&self) -> Result<Option<Vec<Place>>, StoreError> {
        let range = self.reading.types.resources(self.resource_type);
        let after = self.after.as_ref().map_or(*range.start(), |after| after.number.max(*range.start()));
        let Some(span) = ordered_span(self.reading, self.resource_type, &self.filter)? else {
            if let Some(ways) = ordered_ways(self.reading, self.resource_type, &self.filter)? {
                return self.walk_ways(&ways, after);
            }
            let mut statement = self.reading.connection.prepare_cached(BY_NUMBER)?;
            return self.walk(statement.query((after, range.end()))?);
        };
        let (sql, bounds) = span.sql_behind(after);
        let mut statement = self.reading.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(bounds))?;
        let mut places = Vec::new();
        for _ in 0..WALKED_MAX {
            let Some(row) = rows.next()? else { return Ok(Some(places)) };
            each_of(self.reading, self.resource_type, &self.filter, &[row.get(0)?], |candidate| {
                places.push(self.order.place(self.reading, candidate)?);
                Ok(())
            })?;
            if places.len() >= self.wanted {
                return Ok(Some(places));
            }
        }
        Ok(None)
    }

    fn walk_ways(&self, ways: &Ways, mut after: i64) -> Result<Option<Vec<Place>>, StoreError> {
        let mut places = Vec::new();
        let mut walked = 0;
        while walked < WALKED_MAX {
            let numbers = ways.behind(self.reading, after, self.wanted)?;
            let Some(last) = numbers.last() else { return Ok(Some(places)) };
            after = *last;
            walked += numbers.len();
            each_of(self.reading, self.resource_type, &self.filter, &numbers, |candidate| {
                places.push(self.order.place(self.reading, candidate)?);
                Ok(())
            })?;
            if places.len() >= self.wanted {
                places.truncate(self.wanted);
                return Ok(Some(places));
            }
        }
        Ok(None)
    }

    fn walk_changes(&self, sql: &str, from: i64) -> Result<Option<Vec<Place>>, StoreError> {
        let from = match self.after.as_ref().and_then(|after| after.shown.first()) {
            Some(Shown::Integer(changed)) => *changed,
            _ => from,
        };
        let mut statement = self.reading.connection.prepare_cached(sql)?;
        self.walk(statement.query((self.reading.types.number(self.resource_type), from))?)
    }

    /// The matches behind the cursor among all resources in the wanted order, until there are enough or no more rows.
    fn walk(&self, mut rows: Rows<'_>) -> Result<Option<Vec<Place>>, StoreError> {
        let mut places = Vec::new();
        for _ in 0..WALKED_MAX {
            let Some(row) = rows.next()? else { return Ok(Some(places)) };
            let candidate = Candidate::from_row(row, self.resource_type)?;
            let place = self.order.place(self.reading, &candidate)?;
            if self.is_behind_cursor(&place) && self.filter.passes(self.reading, &candidate)? {
                places.push(place);
            }
            if places.len() >= self.wanted {
                return Ok(Some(places));
            }
        }
        Ok(None)
    }

    /// `None` when the walk did not fill the page: within its bound, or before resources without a date, which come last
    /// and are not in the index.
    fn walk_dates(&self, parameter: i64) -> Result<Option<Vec<Place>>, StoreError> {
        let from = match self.after.as_ref().and_then(|after| after.shown.first()) {
            None => i64::MAX,
            Some(Shown::Integer(end)) => *end,
            Some(Shown::Nothing | Shown::Float(_) | Shown::Text(_) | Shown::Amount(..)) => return Ok(None),
        };
        let mut places: Vec<Place> = Vec::new();
        let mut probes = Probes::of(self.reading, self.resource_type, &self.filter)?;
        let mut dates = self.reading.connection.prepare_cached(NEWEST_DATE)?;
        let mut dates = dates.query((parameter, from))?;
        for _ in 0..WALKED_MAX {
            let Some(date) = dates.next()? else { break };
            let (number, end) = (date.get(0)?, date.get(1)?);
            if !probes.may_pass(number)? {
                continue;
            }
            each_of(self.reading, self.resource_type, &self.filter, &[number], |candidate| {
                let place = self.order.place(self.reading, candidate)?;
                // A resource with several dates is met at each of them; its place is at the latest.
                let is_latest = place.shown.first() == Some(&Shown::Integer(end));
                let is_known = places.last().is_some_and(|last| last.number == place.number);
                if is_latest && !is_known && self.is_behind_cursor(&place) {
                    places.push(place);
                }
                Ok(())
            })?;
            if places.len() >= self.wanted {
                return Ok(Some(places));
            }
        }
        Ok(None)
    }
}

const BY_ONE_NUMBER: &str = "SELECT number, id, changed, entries FROM resources WHERE number = ?1 AND method <> 4";
const BY_NUMBER: &str = "SELECT number, id, changed, entries FROM resources
    WHERE number > ?1 AND number <= ?2 AND method <> 4 ORDER BY number";
const NEWEST_CHANGE: &str = "SELECT number, id, changed, entries FROM resources
    WHERE type = ?1 AND changed <= ?2 AND method <> 4 ORDER BY changed DESC, number";
const OLDEST_CHANGE: &str = "SELECT number, id, changed, entries FROM resources
    WHERE type = ?1 AND changed >= ?2 AND method <> 4 ORDER BY changed, number";
const NEWEST_DATE: &str = r#"SELECT resource, "end" FROM index_date
    WHERE parameter = ?1 AND "end" <= ?2 ORDER BY "end" DESC, resource"#;

/// The walks, for a test of their plans.
#[cfg(test)]
pub(super) const WALKS: [&str; 4] = [BY_NUMBER, NEWEST_CHANGE, OLDEST_CHANGE, NEWEST_DATE];

/// Calls `found` for every match, in no particular order.
fn each_match(
    reading: Reading<'_>,
    resource_type: ResourceType,
    filter: &Filter,
    max: usize,
    found: impl FnMut(&Candidate<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    match narrowest(reading, resource_type, filter, max)? {
        Some(numbers) => each_of(reading, resource_type, filter, &numbers, found),
        None => each_of_type(reading, resource_type, filter, found),
    }
}

fn each_of(
    reading: Reading<'_>,
    resource_type: ResourceType,
    filter: &Filter,
    numbers: &[i64],
    mut found: impl FnMut(&Candidate<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = reading.connection.prepare_cached(BY_ONE_NUMBER)?;
    let mut probes = if numbers.len() > PROBED_MIN { Some(Probes::of(reading, resource_type, filter)?) } else { None };
    for number in numbers {
        if let Some(probes) = &mut probes
            && !probes.may_pass(*number)?
        {
            continue;
        }
        let mut rows = statement.query([number])?;
        while let Some(row) = rows.next()? {
            let candidate = Candidate::from_row(row, resource_type)?;
            if filter.passes(reading, &candidate)? {
                found(&candidate)?;
            }
        }
    }
    Ok(())
}

fn each_of_type(
    reading: Reading<'_>,
    resource_type: ResourceType,
    filter: &Filter,
    mut found: impl FnMut(&Candidate<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let range = reading.types.resources(resource_type);
    let mut statement = reading.connection.prepare_cached(BY_NUMBER)?;
    let mut rows = statement.query((range.start(), range.end()))?;
    while let Some(row) = rows.next()? {
        let candidate = Candidate::from_row(row, resource_type)?;
        if filter.passes(reading, &candidate)? {
            found(&candidate)?;
        }
    }
    Ok(())
}

/// The current version of the resource with this number.
pub(super) fn version(reading: Reading<'_>, number: i64) -> Result<Option<Version>, StoreError> {
    let Some(resource_type) = reading.types.type_of(number) else {
        return Ok(None);
    };
    let version = reading
        .connection
        .prepare_cached(
            "SELECT version, changed, method, b.body, id FROM resources r JOIN bodies b ON b.number = r.body
             WHERE r.number = ?1",
        )?
        .query_row([number], |row| read::version(row, ResourceKey { resource_type, id: row.get(4)? }))
        .optional()?;
    Ok(version)
}
