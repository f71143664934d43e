//! Searches: candidates, filter, order, page.
//!
//! There are two ways to a page. *Gathering* looks at every candidate of the narrowest index and keeps the foremost; it
//! costs as much as there are candidates, whatever the order. *Walking* (`walks`) goes along an index that has the wanted
//! order, checks each resource it meets and stops when the page is full; it costs (page length) x (all resources /
//! matches), which nobody knows before. So each way is tried as far as it costs about as much as what was tried before
//! it, and the other one next (`TURNS`).

use std::collections::HashMap;

use rusqlite::OptionalExtension as _;

use super::candidates::{is_exact, narrowest, ordered_span};
use super::filter::{Candidate, Filter, ready};
use super::order::{Order, Place};
use super::read::{self, Reading};
use super::sieve::Sieve;
use crate::fhir::store::interface::StoreError;
use crate::fhir::store::{Condition, Page, Query, ResourceKey, Selection, Series, Version};
use crate::r4::resource_type::ResourceType;

/// Candidates up to which a search gathers, then rows up to which it walks, in turns; the last one ends every search. In
/// tests so few that small data takes all turns.
const TURNS: [(usize, usize); 3] = if cfg!(test) {
    [(5, 20), (10, 50_000), (usize::MAX, 0)]
} else {
    [(2_000, 4_000), (16_000, 50_000), (usize::MAX, 0)]
};
/// Candidates up to which gathering is cheaper than a walk along series.
const FEW: usize = if cfg!(test) { 2 } else { 64 };
/// Rows up to which series are walked.
const SERIES_WALKED_MAX: usize = if cfg!(test) { 20 } else { 4_000 };
/// Candidates up to which it is not worth preparing to ask indexes about them.
const SIFTED_MIN: usize = if cfg!(test) { 2 } else { 32 };

/// A search in a type with everything by number.
pub(super) struct Search<'a> {
    pub(super) reading: Reading<'a>,
    pub(super) resource_type: ResourceType,
    pub(super) filter: Filter,
    pub(super) order: Order,
    pub(super) after: Option<Place>,
    /// One more than the page holds, so that the last page is known to be the last.
    pub(super) wanted: usize,
    /// Where all matches are, in this order.
    series: Option<&'a Series>,
}

/// A resource that was found.
pub(super) struct Match {
    pub(super) place: Place,
    /// Without its body.
    version: Version,
    /// The row of `bodies`.
    body: i64,
}

/// A page of a search.
pub(super) fn find(reading: Reading<'_>, query: &Query) -> Result<Page, StoreError> {
    let mut matches = foremost(reading, query)?;
    let is_last = matches.len() <= query.limit;
    matches.truncate(query.limit);
    let next = if is_last { None } else { matches.last().map(|last| last.place.cursor()) };
    let mut body = reading.connection.prepare_cached("SELECT body FROM bodies WHERE number = ?1")?;
    let mut versions = Vec::with_capacity(matches.len());
    for Match { version, body: number, .. } in matches {
        let body: Vec<u8> = body.query_row([number], |row| row.get(0))?;
        versions.push(Version { body: Some(body.into()), ..version });
    }
    Ok(Page { versions, next })
}

/// The matches of the page and one more, in order. Each type is searched for itself; the order is one over all.
fn foremost(reading: Reading<'_>, query: &Query) -> Result<Vec<Match>, StoreError> {
    let wanted = query.limit.saturating_add(1);
    let mut selections: Vec<&Selection> = query.selections.iter().collect();
    selections.sort_by_key(|selection| reading.types.number(selection.resource_type));
    let mut matches = Vec::new();
    for Selection { resource_type, condition } in selections {
        let order = Order::compile(reading, *resource_type, &query.order)?;
        let after = query.after.as_ref().map(|cursor| order.place_of(cursor)).transpose()?;
        let numbers = reading.types.resources(*resource_type);
        let is_behind = after.as_ref().is_some_and(|after| after.number > *numbers.end());
        // Without a key the order is that of numbers, so types come one after the other.
        if order.keys.is_empty() && (is_behind || matches.len() >= wanted) {
            continue;
        }
        let filter = ready(reading, *resource_type, condition)?;
        let series = query.series.as_ref();
        let search = Search { reading, resource_type: *resource_type, filter, order, after, wanted, series };
        matches.extend(search.foremost()?);
        search.keep_foremost(&mut matches);
    }
    Ok(matches)
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
    /// The matches of the page and one more, in order.
    fn foremost(&self) -> Result<Vec<Match>, StoreError> {
        // Every row of the walk is a match: no other way is shorter.
        if self.order.keys.is_empty()
            && is_exact(&self.filter)
            && let Some(matches) = self.walk_numbers(usize::MAX)?
        {
            return Ok(matches);
        }
        if let Some(series) = self.series {
            if let Some(numbers) = narrowest(self.reading, self.resource_type, &self.filter, FEW)? {
                return self.gather(Some(&numbers));
            }
            if let Some(matches) = self.walk_series(series, SERIES_WALKED_MAX)? {
                return Ok(matches);
            }
        }
        for (gathered, walked) in TURNS {
            if let Some(numbers) = narrowest(self.reading, self.resource_type, &self.filter, gathered)? {
                return self.gather(Some(&numbers));
            }
            if let Some(matches) = self.walk(walked)? {
                return Ok(matches);
            }
        }
        self.gather(None)
    }

    fn gather(&self, numbers: Option<&[i64]>) -> Result<Vec<Match>, StoreError> {
        let mut matches = Vec::new();
        let keep = self.wanted.saturating_mul(2).max(1_000);
        let mut add = |candidate: &Candidate<'_>| {
            matches.extend(self.behind_cursor(candidate)?);
            if matches.len() >= keep {
                self.keep_foremost(&mut matches);
            }
            Ok(())
        };
        match numbers {
            Some(numbers) => each_of(self.reading, self.resource_type, &self.filter, numbers, &mut add)?,
            None => each_of_type(self.reading, self.resource_type, &self.filter, &mut add)?,
        }
        self.keep_foremost(&mut matches);
        Ok(matches)
    }

    fn keep_foremost(&self, matches: &mut Vec<Match>) {
        matches.sort_by(|one, other| self.order.compare(&one.place, &other.place));
        matches.truncate(self.wanted);
    }

    /// A match, if it is on this page or a later one.
    pub(super) fn behind_cursor(&self, candidate: &Candidate<'_>) -> Result<Option<Match>, StoreError> {
        let place = self.order.place(self.reading, candidate)?;
        if self.after.as_ref().is_some_and(|after| self.order.compare(&place, after).is_le()) {
            return Ok(None);
        }
        let (version, body) = candidate.version()?;
        Ok(Some(Match { place, version, body }))
    }
}

const BY_ONE_NUMBER: &str =
    "SELECT number, id, changed, entries, version, method, body FROM resources WHERE number = ?1 AND method <> 4";
/// Everything of a type by number.
pub(super) const BY_NUMBER: &str = "SELECT number, id, changed, entries, version, method, body FROM resources
    WHERE number > ?1 AND number <= ?2 AND method <> 4 ORDER BY number";

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

/// Calls `found` for every match among resources, in their order.
fn each_of(
    reading: Reading<'_>,
    resource_type: ResourceType,
    filter: &Filter,
    numbers: &[i64],
    found: impl FnMut(&Candidate<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if numbers.len() <= SIFTED_MIN {
        return each_among(reading, resource_type, filter, numbers, found);
    }
    let sifted = Sieve::of(reading, resource_type, filter)?.sift(numbers)?;
    each_among(reading, resource_type, filter, &sifted, found)
}

/// As `each_of`, for resources that no index is to be asked about before they are fetched.
pub(super) fn each_among(
    reading: Reading<'_>,
    resource_type: ResourceType,
    filter: &Filter,
    numbers: &[i64],
    mut found: impl FnMut(&Candidate<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = reading.connection.prepare_cached(BY_ONE_NUMBER)?;
    for number in numbers {
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
