//! Walks: along an index that has the wanted order, from the cursor on, until the page is full.
//!
//! Rows are read in blocks that grow, so that the first page of a frequent value costs little and a rare value few
//! statements. Only resources that their indexes let pass (`sieve`) are fetched.

use rusqlite::Rows;

use super::candidates::ordered_ways;
use super::filter::Candidate;
use super::find::{BY_NUMBER, Match, Search, each_among};
use super::order::{By, Shown};
use super::series::{Timed, newest_of_each};
use super::sieve::Sieve;
use crate::fhir::store::interface::StoreError;
use crate::fhir::store::{Series, SortKind};

/// Rows of a block beyond which blocks grow no more.
const BLOCK_MAX: usize = 1_024;

impl Search<'_> {
    /// The matches of the page and one more, in order; `None` when no index has the order, or when they are not
    /// among its first `most` rows.
    pub(super) fn walk(&self, most: usize) -> Result<Option<Vec<Match>>, StoreError> {
        match self.order.keys.as_slice() {
            [] => self.walk_numbers(most),
            [key] => match (&key.by, key.descending) {
                (By::Changed, true) => self.walk_changes(NEWEST_CHANGE, i64::MAX, most),
                (By::Changed, false) => self.walk_changes(OLDEST_CHANGE, i64::MIN, most),
                (By::Value(Some(parameter), SortKind::Date), true) => self.walk_dates(*parameter, most),
                (By::Id | By::Value(..), _) => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// As `walk`, in the order of numbers.
    pub(super) fn walk_numbers(&self, most: usize) -> Result<Option<Vec<Match>>, StoreError> {
        let range = self.reading.types.resources(self.resource_type);
        let mut after = self.after.as_ref().map_or(*range.start(), |after| after.number.max(*range.start()));
        let Some(ways) = ordered_ways(self.reading, self.resource_type, &self.filter)? else {
            let mut statement = self.reading.connection.prepare_cached(BY_NUMBER)?;
            return self.walk_rows(statement.query((after, range.end()))?, most);
        };
        let mut sieve = Sieve::of(self.reading, self.resource_type, &self.filter)?;
        let mut matches = Vec::new();
        let mut walked = 0;
        while walked < most {
            let numbers = ways.behind(self.reading, after, self.block(walked))?;
            let Some(last) = numbers.last() else { return Ok(Some(matches)) };
            after = *last;
            walked += numbers.len();
            for number in sieve.sift(&numbers)? {
                self.look_at(number, |found| matches.push(found))?;
                if matches.len() >= self.wanted {
                    return Ok(Some(matches));
                }
            }
        }
        Ok(None)
    }

    fn walk_changes(&self, sql: &str, from: i64, most: usize) -> Result<Option<Vec<Match>>, StoreError> {
        let from = match self.after.as_ref().and_then(|after| after.shown.first()) {
            Some(Shown::Integer(changed)) => *changed,
            _ => from,
        };
        let mut statement = self.reading.connection.prepare_cached(sql)?;
        self.walk_rows(statement.query((self.reading.types.number(self.resource_type), from))?, most)
    }

    /// The matches behind the cursor among all resources in the wanted order.
    fn walk_rows(&self, mut rows: Rows<'_>, most: usize) -> Result<Option<Vec<Match>>, StoreError> {
        let mut matches = Vec::new();
        for _ in 0..most {
            let Some(row) = rows.next()? else { return Ok(Some(matches)) };
            let candidate = Candidate::from_row(row, self.resource_type)?;
            if self.filter.passes(self.reading, &candidate)? {
                matches.extend(self.behind_cursor(&candidate)?);
            }
            if matches.len() >= self.wanted {
                return Ok(Some(matches));
            }
        }
        Ok(None)
    }

    /// `None` also when the page would go on with resources without a date, which come last and are not in the index.
    fn walk_dates(&self, parameter: i64, most: usize) -> Result<Option<Vec<Match>>, StoreError> {
        let from = match self.after.as_ref().and_then(|after| after.shown.first()) {
            None => i64::MAX,
            Some(Shown::Integer(end)) => *end,
            Some(Shown::Nothing | Shown::Float(_) | Shown::Text(_) | Shown::Amount(..)) => return Ok(None),
        };
        let mut sieve = Sieve::of(self.reading, self.resource_type, &self.filter)?;
        let mut statement = self.reading.connection.prepare_cached(NEWEST_DATE)?;
        let mut rows = statement.query((parameter, from))?;
        let mut matches = Vec::new();
        let mut walked = 0;
        while walked < most {
            let block = next_dates(&mut rows, self.block(walked))?;
            if block.is_empty() || self.add_timed(&block, &mut sieve, &mut matches)? {
                break;
            }
            walked += block.len();
        }
        Ok(Some(matches).filter(|matches| matches.len() >= self.wanted))
    }

    /// Along the series that are known to hold all matches, of which the order is that of the search. `None` when they do
    /// not fill the page with their first `most` rows.
    pub(super) fn walk_series(&self, series: &Series, most: usize) -> Result<Option<Vec<Match>>, StoreError> {
        let mut from = match self.after.as_ref().and_then(|after| after.shown.first()) {
            None => i64::MAX,
            Some(Shown::Integer(end)) => *end,
            Some(Shown::Nothing) => i64::MIN,
            Some(Shown::Float(_) | Shown::Text(_) | Shown::Amount(..)) => return Ok(None),
        };
        // Mostly all that is in the series passes: indexes are asked only when it does not.
        let mut sieve = Sieve::default();
        let mut matches = Vec::new();
        // Twice the share of each, and more, because what is as new as the last row of a block is left to the next one.
        let mut length = 2 * self.wanted / series.of.len().max(1) + 2;
        let mut walked = 0;
        while walked < most {
            let (block, next) = newest_of_each(self.reading, self.resource_type, series, from, length)?;
            let (first, others) = block.split_at(block.len().min(self.wanted));
            if self.add_timed(first, &mut sieve, &mut matches)? {
                return Ok(Some(matches));
            }
            sieve = Sieve::of(self.reading, self.resource_type, &self.filter)?;
            if self.add_timed(others, &mut sieve, &mut matches)? {
                return Ok(Some(matches));
            }
            let Some(next) = next else { return Ok(Some(matches)) };
            walked += length.max(block.len());
            from = next;
            length *= 2;
        }
        Ok(None)
    }

    /// Adds the matches among resources in the order of their times. Whether the page is full.
    fn add_timed(&self, timed: &[Timed], sieve: &mut Sieve<'_>, matches: &mut Vec<Match>) -> Result<bool, StoreError> {
        let numbers: Vec<i64> = timed.iter().map(|timed| timed.number).collect();
        let mut timed = timed.iter();
        for number in sieve.sift(&numbers)? {
            let end = timed.find(|timed| timed.number == number).map(|timed| timed.end);
            self.look_at(number, |found| {
                // A resource with several dates is met at each of them; its place is at the latest.
                let is_latest = match found.place.shown.first() {
                    Some(Shown::Integer(latest)) => Some(*latest) == end,
                    _ => true,
                };
                let is_known = matches.last().is_some_and(|last| last.place.number == found.place.number);
                if is_latest && !is_known {
                    matches.push(found);
                }
            })?;
            if matches.len() >= self.wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Calls `found` with a resource if it is a match behind the cursor.
    fn look_at(&self, number: i64, mut found: impl FnMut(Match)) -> Result<(), StoreError> {
        each_among(self.reading, self.resource_type, &self.filter, &[number], |candidate| {
            self.behind_cursor(candidate)?.into_iter().for_each(&mut found);
            Ok(())
        })
    }

    /// How many rows to read when so many have been read.
    fn block(&self, walked: usize) -> usize {
        self.wanted.max(walked).min(BLOCK_MAX.max(self.wanted))
    }
}

fn next_dates(rows: &mut Rows<'_>, most: usize) -> Result<Vec<Timed>, StoreError> {
    let mut timed = Vec::with_capacity(most);
    while timed.len() < most
        && let Some(row) = rows.next()?
    {
        timed.push(Timed { number: row.get(0)?, end: row.get(1)? });
    }
    Ok(timed)
}

const NEWEST_CHANGE: &str = "SELECT number, id, changed, entries, version, method, body FROM resources
    WHERE type = ?1 AND changed <= ?2 AND method <> 4 ORDER BY changed DESC, number";
const OLDEST_CHANGE: &str = "SELECT number, id, changed, entries, version, method, body FROM resources
    WHERE type = ?1 AND changed >= ?2 AND method <> 4 ORDER BY changed, number";
const NEWEST_DATE: &str = r#"SELECT resource, "end" FROM index_date
    WHERE parameter = ?1 AND "end" <= ?2 ORDER BY "end" DESC, resource"#;

/// The walks, for a test of their plans.
#[cfg(test)]
pub(super) const WALKS: [&str; 4] = [BY_NUMBER, NEWEST_CHANGE, OLDEST_CHANGE, NEWEST_DATE];
