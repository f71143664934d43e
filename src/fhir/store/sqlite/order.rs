//! The order of matches, and the cursor that marks a place in it.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::amounts::Measures;
use super::entries::Value;
use super::filter::Candidate;
use super::names::text_of;
use super::read::Reading;
use crate::fhir::store::interface::StoreError;
use crate::fhir::store::{Cursor, SortBy, SortKey, SortKind};
use crate::r4::resource_type::ResourceType;

/// An order with its parameters by number.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) keys: Vec<Key>,
    measures: Measures,
}

/// One key of the order.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) by: By,
    pub(super) descending: bool,
}

/// What is compared. A parameter without a number is one under which nothing has a value.
#[derive(Debug)]
pub(super) enum By {
    Changed,
    Id,
    Value(Option<i64>, SortKind),
}

/// What a resource shows to one key of the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Shown {
    #[serde(rename = "i")]
    Integer(i64),
    /// The bits of a float, which text would round.
    #[serde(rename = "f")]
    Float(u64),
    #[serde(rename = "t")]
    Text(String),
    /// What is measured, and the bits of the number in its canonical unit.
    #[serde(rename = "q")]
    Amount(String, u64),
    #[serde(rename = "n")]
    Nothing,
}

/// A place in the order: what the resource shows to each key, and its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    #[serde(rename = "k")]
    pub(super) shown: Vec<Shown>,
    #[serde(rename = "n")]
    pub(super) number: i64,
}

impl Order {
    /// Makes an order of resources of a type ready.
    pub(super) fn compile(
        reading: Reading<'_>,
        resource_type: ResourceType,
        keys: &[SortKey],
    ) -> Result<Self, StoreError> {
        let keys = keys.iter().map(|key| {
            let by = match &key.by {
                SortBy::LastUpdated => By::Changed,
                SortBy::Id => By::Id,
                SortBy::Value(parameter, kind) => {
                    By::Value(reading.number_of_parameter(resource_type, parameter)?, *kind)
                }
            };
            Ok(Key { by, descending: key.descending })
        });
        Ok(Self { keys: keys.collect::<Result<_, StoreError>>()?, measures: Measures::default() })
    }

    /// Where a resource stands.
    pub(super) fn place(&self, reading: Reading<'_>, candidate: &Candidate<'_>) -> Result<Place, StoreError> {
        let mut shown = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            shown.push(match &key.by {
                By::Changed => Shown::Integer(candidate.changed),
                By::Id => Shown::Text(candidate.id.to_owned()),
                By::Value(None, _) => Shown::Nothing,
                By::Value(Some(parameter), kind) => {
                    self.foremost(reading, candidate.values(*parameter), *kind, key.descending)?
                }
            });
        }
        Ok(Place { shown, number: candidate.number })
    }

    /// Which of two places comes first.
    pub(super) fn compare(&self, one: &Place, other: &Place) -> Ordering {
        let keys = self.keys.iter().zip(one.shown.iter().zip(&other.shown));
        for (key, (one, other)) in keys {
            let ordering = compare_shown(one, other, key.descending);
            if ordering != Ordering::Equal {
                return ordering;
            }
        }
        one.number.cmp(&other.number)
    }

    /// The place that a cursor marks.
    pub(super) fn place_of(&self, cursor: &Cursor) -> Result<Place, StoreError> {
        let place: Place = serde_json::from_str(&cursor.0).map_err(|_not_a_place| StoreError::Cursor)?;
        let fits = place.shown.len() == self.keys.len()
            && place.shown.iter().zip(&self.keys).all(|(shown, key)| key.shows(shown));
        if fits { Ok(place) } else { Err(StoreError::Cursor) }
    }

    /// Of several values the one that brings the resource furthest to the front.
    fn foremost<'v, 'a: 'v>(
        &self,
        reading: Reading<'_>,
        values: impl Iterator<Item = &'v Value<'a>>,
        kind: SortKind,
        descending: bool,
    ) -> Result<Shown, StoreError> {
        let mut foremost = Shown::Nothing;
        for value in values {
            let shown = self.show(reading, value, kind, descending)?;
            if compare_shown(&shown, &foremost, descending) == Ordering::Less {
                foremost = shown;
            }
        }
        Ok(foremost)
    }

    /// An interval shows its first end, or its last in a descending order.
    fn show(
        &self,
        reading: Reading<'_>,
        value: &Value<'_>,
        kind: SortKind,
        descending: bool,
    ) -> Result<Shown, StoreError> {
        Ok(match (kind, value) {
            (SortKind::Token, Value::Token { code, .. }) => Shown::Text((*code).to_owned()),
            (SortKind::Reference, Value::Reference { target }) => {
                Shown::Text(text_of(reading.connection, *target)?.unwrap_or_default())
            }
            (SortKind::Date, Value::Date { start, end }) => Shown::Integer(if descending { *end } else { *start }),
            (SortKind::Number, Value::Number { value }) => Shown::Float(value.to_bits()),
            (SortKind::Number, Value::Range { low, high, .. }) => {
                Shown::Float(if descending { high } else { low }.to_bits())
            }
            (SortKind::Quantity, Value::Quantity { unit, value }) => self.amount(reading, *unit, *value)?,
            (SortKind::Quantity, Value::Range { unit, low, high }) => {
                self.amount(reading, *unit, if descending { *high } else { *low })?
            }
            // A text that is only a part of another is not what the resource is called.
            (SortKind::String, Value::String { exact: "", .. }) => Shown::Nothing,
            (SortKind::String, Value::String { folded, .. }) => Shown::Text((*folded).to_owned()),
            (SortKind::Uri, Value::Uri { uri }) => Shown::Text((*uri).to_owned()),
            _ => Shown::Nothing,
        })
    }

    fn amount(&self, reading: Reading<'_>, unit: i64, number: f64) -> Result<Shown, StoreError> {
        let (measure, canonical) = self.measures.canonical(reading, unit, number)?;
        Ok(Shown::Amount(measure, canonical.to_bits()))
    }
}

impl Place {
    /// The cursor that marks this place.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor(serde_json::to_string(self).unwrap_or_default())
    }
}

impl Key {
    fn shows(&self, shown: &Shown) -> bool {
        match (&self.by, shown) {
            (By::Changed, Shown::Integer(_)) | (By::Id, Shown::Text(_)) | (By::Value(..), Shown::Nothing) => true,
            (By::Value(_, kind), shown) => match kind {
                SortKind::Date => matches!(shown, Shown::Integer(_)),
                SortKind::Number => matches!(shown, Shown::Float(_)),
                SortKind::Quantity => matches!(shown, Shown::Amount(..)),
                SortKind::Token | SortKind::Reference | SortKind::String | SortKind::Uri => {
                    matches!(shown, Shown::Text(_))
                }
            },
            _ => false,
        }
    }
}

/// Nothing comes last in either direction.
fn compare_shown(one: &Shown, other: &Shown, descending: bool) -> Ordering {
    let ascending = match (one, other) {
        (Shown::Nothing, Shown::Nothing) => return Ordering::Equal,
        (Shown::Nothing, _) => return Ordering::Greater,
        (_, Shown::Nothing) => return Ordering::Less,
        (Shown::Integer(one), Shown::Integer(other)) => one.cmp(other),
        (Shown::Float(one), Shown::Float(other)) => f64::from_bits(*one).total_cmp(&f64::from_bits(*other)),
        (Shown::Text(one), Shown::Text(other)) => one.cmp(other),
        (Shown::Amount(measure, one), Shown::Amount(other_measure, other)) => {
            measure.cmp(other_measure).then_with(|| f64::from_bits(*one).total_cmp(&f64::from_bits(*other)))
        }
        (Shown::Integer(_) | Shown::Float(_) | Shown::Text(_) | Shown::Amount(..), _) => Ordering::Equal,
    };
    if descending { ascending.reverse() } else { ascending }
}
