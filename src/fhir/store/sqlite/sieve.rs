//! Exact parts of a condition, asked of an index before resources are fetched.
//!
//! A resource costs a row of several hundred bytes and the unpacking of its values; whether it is under one exact value
//! is a single step into a narrow index, and one statement takes these steps for a whole list of resources. A part that
//! most resources pass is not worth the step and is asked no more.

use std::rc::Rc;

use rusqlite::CachedStatement;
use rusqlite::types::Value;

use super::candidates::exact_spans;
use super::filter::Filter;
use super::read::Reading;
use crate::fhir::store::interface::StoreError;
use crate::r4::resource_type::ResourceType;

/// Answers after which a part must have proven its worth.
const TRIED: usize = 64;

/// Place of the list of numbers among the parameters of a statement.
const LIST: usize = 1;

/// The exact parts of a filter; by default none.
#[derive(Default)]
pub(super) struct Sieve<'a>(Vec<Part<'a>>);

struct Part<'a> {
    statement: CachedStatement<'a>,
    asked: usize,
    passed: usize,
}

impl<'a> Sieve<'a> {
    /// That of a filter on resources of a type.
    pub(super) fn of(reading: Reading<'a>, resource_type: ResourceType, filter: &Filter) -> Result<Self, StoreError> {
        let mut parts = Vec::new();
        for span in exact_spans(reading, resource_type, filter)? {
            let (sql, bounds) = span.sql_of_one("listed.value");
            let sql = format!("SELECT value FROM rarray(?) AS listed WHERE EXISTS({sql})");
            let mut statement = reading.connection.prepare_cached(&sql)?;
            for (bound, place) in bounds.iter().zip(LIST + 1..) {
                statement.raw_bind_parameter(place, bound)?;
            }
            parts.push(Part { statement, asked: 0, passed: 0 });
        }
        Ok(Self(parts))
    }

    /// Those of the numbers, in their order, whose resources may be matches.
    pub(super) fn sift(&mut self, numbers: &[i64]) -> Result<Vec<i64>, StoreError> {
        let mut kept = Vec::with_capacity(numbers.len());
        let (trial, others) = numbers.split_at(numbers.len().min(TRIED));
        for block in [trial, others] {
            let mut block = block.to_vec();
            for part in &mut self.0 {
                block = part.sift(block)?;
            }
            kept.append(&mut block);
            self.0.retain(|part| !part.is_useless());
        }
        Ok(kept)
    }
}

impl Part<'_> {
    fn sift(&mut self, numbers: Vec<i64>) -> rusqlite::Result<Vec<i64>> {
        if numbers.is_empty() {
            return Ok(numbers);
        }
        self.asked += numbers.len();
        let list: Vec<Value> = numbers.into_iter().map(Value::Integer).collect();
        self.statement.raw_bind_parameter(LIST, Rc::new(list))?;
        let passed: Vec<i64> = self.statement.raw_query().mapped(|row| row.get(0)).collect::<rusqlite::Result<_>>()?;
        self.passed += passed.len();
        Ok(passed)
    }

    fn is_useless(&self) -> bool {
        self.asked >= TRIED && self.passed > self.asked / 2
    }
}
