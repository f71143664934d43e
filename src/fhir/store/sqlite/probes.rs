//! Exact parts of a condition, asked of an index before a resource is fetched.
//!
//! A resource costs a row of several hundred bytes and the unpacking of its values; whether it is under one exact value
//! is a single step into a narrow index. A part that most resources pass is not worth the step and is asked no more.

use rusqlite::CachedStatement;

use super::candidates::exact_spans;
use super::filter::Filter;
use super::read::Reading;
use crate::fhir::store::interface::StoreError;
use crate::r4::resource_type::ResourceType;

/// Answers after which a part must have proven its worth.
const TRIED: u32 = 64;

/// The exact parts of a filter.
pub(super) struct Probes<'a>(Vec<Probe<'a>>);

struct Probe<'a> {
    statement: CachedStatement<'a>,
    /// Place of the resource's number among the parameters of the statement.
    place: usize,
    asked: u32,
    passed: u32,
}

impl<'a> Probes<'a> {
    /// Those of a filter on resources of a type.
    pub(super) fn of(reading: Reading<'a>, resource_type: ResourceType, filter: &Filter) -> Result<Self, StoreError> {
        let mut probes = Vec::new();
        for span in exact_spans(reading, resource_type, filter)? {
            let (sql, bounds) = span.sql_of_one();
            let mut statement = reading.connection.prepare_cached(&sql)?;
            for (bound, place) in bounds.iter().zip(1..) {
                statement.raw_bind_parameter(place, bound)?;
            }
            probes.push(Probe { statement, place: bounds.len() + 1, asked: 0, passed: 0 });
        }
        Ok(Self(probes))
    }

    /// Whether a resource may be a match: `false` if one of the parts does not hold.
    pub(super) fn may_pass(&mut self, number: i64) -> Result<bool, StoreError> {
        for (index, probe) in self.0.iter_mut().enumerate() {
            if !probe.passes(number)? {
                return Ok(false);
            }
            if probe.is_useless() {
                self.0.remove(index);
                break;
            }
        }
        Ok(true)
    }
}

impl Probe<'_> {
    fn passes(&mut self, number: i64) -> Result<bool, StoreError> {
        self.statement.raw_bind_parameter(self.place, number)?;
        let passes = self.statement.raw_query().next()?.is_some();
        self.asked += 1;
        self.passed += u32::from(passes);
        Ok(passes)
    }

    fn is_useless(&self) -> bool {
        self.asked >= TRIED && self.passed > self.asked / 2
    }
}
