//! Amounts: a number and the number of a unit. What a searched unit means for each stored one is worked out once.
//!
//! A unit (system, code and text as displayed) is one text in `strings`. Amounts are kept as they were written; it is the
//! searched range that is converted, into each comparable unit that is met. So a row holds no number twice, the bounds
//! of a range stay tight in every unit, and what UCUM says can change without an index being written anew.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::names::text_of;
use super::read::Reading;
use crate::fhir::store::Relation;
use crate::fhir::store::interface::StoreError;
use crate::fhir::units::Scale;

/// A unit as stored. Absent parts are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredUnit<'a> {
    pub(super) system: &'a str,
    pub(super) code: &'a str,
    pub(super) unit: &'a str,
}

impl<'a> StoredUnit<'a> {
    /// Its text in `strings`; the lengths in front tell the parts apart whatever is in them.
    pub(super) fn text(self) -> String {
        let Self { system, code, unit } = self;
        format!("{}|{}|{system}{code}{unit}", system.len(), code.len())
    }

    /// The unit of a text.
    pub(super) fn of_text(text: &'a str) -> Option<Self> {
        let (system_length, rest) = text.split_once('|')?;
        let (code_length, rest) = rest.split_once('|')?;
        let (system, rest) = rest.split_at_checked(system_length.parse().ok()?)?;
        let (code, unit) = rest.split_at_checked(code_length.parse().ok()?)?;
        Some(Self { system, code, unit })
    }
}

/// A searched number, in the unit of what it is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) relation: Relation,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) value: f64,
}

impl Range {
    /// Whether the stored interval, both ends inclusive, lies as asked; a single number is an interval of its own.
    pub(super) fn relates(self, from: f64, to: f64) -> bool {
        let within = from >= self.low && to < self.high;
        match self.relation {
            Relation::Within => within,
            Relation::NotWithin => !within,
            Relation::Above => to > self.value,
            Relation::Below => from < self.value,
            Relation::AtLeast => to >= self.value,
            Relation::AtMost => from <= self.value,
            Relation::StartsAfter => from > self.value,
            Relation::EndsBefore => to < self.value,
            Relation::Overlaps => from < self.high && to >= self.low,
        }
    }

    /// Between what the first and the last number of an interval lie if it relates; it may still not.
    pub(super) fn bounds(self) -> [(f64, f64); 2] {
        const ALL: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
        let (from_value, to_value) = ((self.value, f64::INFINITY), (f64::NEG_INFINITY, self.value));
        match self.relation {
            Relation::Within => [(self.low, self.high), (self.low, self.high)],
            Relation::NotWithin => [ALL, ALL],
            Relation::Above | Relation::AtLeast => [ALL, from_value],
            Relation::Below | Relation::AtMost => [to_value, ALL],
            Relation::StartsAfter => [from_value, from_value],
            Relation::EndsBefore => [to_value, to_value],
            Relation::Overlaps => [(f64::NEG_INFINITY, self.high), (self.low, f64::INFINITY)],
        }
    }

    fn convert(self, from: &Scale, to: &Scale) -> Option<Self> {
        let convert = |number| from.convert(number, to);
        let (low, high, value) = (convert(self.low)?, convert(self.high)?, convert(self.value)?);
        Some(Self { relation: self.relation, low, high, value })
    }
}

/// A searched amount, <https://hl7.org/fhir/R4/search.html#quantity>.
#[derive(Debug)]
pub(super) struct Amount {
    range: Range,
    system: Option<String>,
    code: Option<String>,
    scale: Option<Arc<Scale>>,
    /// What it means in the units met so far; `None` where it can find nothing.
    met: RefCell<HashMap<i64, Option<Range>>>,
}

impl Amount {
    pub(super) fn new(range: Range, system: Option<String>, code: Option<String>) -> Self {
        let scale = system.as_deref().zip(code.as_deref()).and_then(|(system, code)| Scale::of(system, code));
        Self { range, system, code, scale, met: RefCell::default() }
    }

    /// The searched range in a stored unit; `None` if the units do not fit.
    pub(super) fn within(&self, reading: Reading<'_>, unit: i64) -> Result<Option<Range>, StoreError> {
        if self.system.is_none() && self.code.is_none() {
            return Ok(Some(self.range));
        }
        if let Some(met) = self.met.borrow().get(&unit) {
            return Ok(*met);
        }
        let text = text_of(reading.connection, unit)?.unwrap_or_default();
        let range = StoredUnit::of_text(&text).and_then(|unit| self.in_unit(unit));
        self.met.borrow_mut().insert(unit, range);
        Ok(range)
    }

    /// A code without a system is compared as a text with code and displayed unit, for nothing says it is UCUM.
    fn in_unit(&self, stored: StoredUnit<'_>) -> Option<Range> {
        let is_same = match (&self.system, &self.code) {
            (None, None) => true,
            (None, Some(code)) => stored.code == code || stored.unit == code,
            (Some(system), None) => stored.system == system,
            (Some(system), Some(code)) => stored.system == system && stored.code == code,
        };
        if is_same {
            return Some(self.range);
        }
        self.range.convert(self.scale.as_ref()?, &*Scale::of(stored.system, stored.code)?)
    }
}

/// Amounts made comparable for an order: those of one measure stand together, by their canonical numbers.
#[derive(Debug, Default)]
pub(super) struct Measures(RefCell<HashMap<i64, Arc<Measure>>>);

/// What amounts of a unit are ordered by.
#[derive(Debug)]
struct Measure {
    name: String,
    scale: Option<Arc<Scale>>,
}

impl Measures {
    /// The name of what is measured and the number in its canonical unit.
    pub(super) fn canonical(&self, reading: Reading<'_>, unit: i64, number: f64) -> Result<(String, f64), StoreError> {
        let met = self.0.borrow().get(&unit).cloned();
        let measure = match met {
            Some(met) => met,
            None => {
                let text = text_of(reading.connection, unit)?.unwrap_or_default();
                let measure = Arc::new(Measure::of(&text));
                self.0.borrow_mut().insert(unit, Arc::clone(&measure));
                measure
            }
        };
        let number = measure.scale.as_ref().map_or(number, |scale| scale.canonical(number));
        Ok((measure.name.clone(), number))
    }
}

impl Measure {
    fn of(text: &str) -> Self {
        let StoredUnit { system, code, unit } =
            StoredUnit::of_text(text).unwrap_or(StoredUnit { system: "", code: "", unit: "" });
        let scale = Scale::of(system, code);
        let name = match &scale {
            Some(scale) => scale.measure().to_owned(),
            None if system.is_empty() && code.is_empty() => unit.to_owned(),
            None if code.is_empty() => format!("{system}|{unit}"),
            None => format!("{system}|{code}"),
        };
        Self { name, scale }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::StoredUnit;

    proptest! {
        #[test]
        fn the_parts_of_a_unit_come_out_of_its_text(
            system in "[a|0-9é]{0,6}", code in "[a|0-9é]{0,6}", unit in "[a|0-9é]{0,6}",
        ) {
            let unit = StoredUnit { system: &system, code: &code, unit: &unit };
            let text = unit.text();
            prop_assert_eq!(StoredUnit::of_text(&text), Some(unit));
        }
    }
}
