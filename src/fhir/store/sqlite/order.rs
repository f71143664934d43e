//! The order of matches, and the cursor that marks a place in it.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::entries::Value;
use super::filter::Candidate;
use super::names::text_of;
use super::read::Reading;
use crate::fhir::store::interface::StoreError;
use crate::fhir::store::{Cursor, SortBy, SortKey, SortKind};
use crate::r4::resource_type::ResourceType;

/// An order with its parameters by number.
#[derive(Debug)]
pub(super) struct Order(pub(super) Vec<Key>);

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
        keys.collect::<Result<_, StoreError>>().map(Self)
    }

    /// Where a resource stands.
    pub(super) fn place(&self, reading: Reading<'_>, candidate: &Candidate<'_>) -> Result<Place, StoreError> {
        let mut shown = Vec::with_capacity(self.0.len());
        for key in &self.0 {
            shown.push(match &key.by {
                By::Changed => Shown::Integer(candidate.changed),
                By::Id => Shown::Text(candidate.id.to_owned()),
                By::Value(None, _) => Shown::Nothing,
                By::Value(Some(parameter), kind) => foremost(reading, candidate, *parameter, *kind, key.descending)?,
            });
        }
        Ok(Place { shown, number: candidate.number })
    }

    /// Which of two places comes first.
    pub(super) fn compare(&self, one: &Place, other: &Place) -> Ordering {
        let keys = self.0.iter().zip(one.shown.iter().zip(&other.shown));
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
        let fits =
            place.shown.len() == self.0.len() && place.shown.iter().zip(&self.0).all(|(shown, key)| key.shows(shown));
        if fits { Ok(place) } else { Err(StoreError::Cursor) }
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
                SortKind::Number | SortKind::Quantity => matches!(shown, Shown::Float(_)),
                SortKind::Token | SortKind::Reference | SortKind::String | SortKind::Uri => {
                    matches!(shown, Shown::Text(_))
                }
            },
            _ => false,
        }
    }
}

/// Of several values the one that brings the resource furthest to the front.
fn foremost(
    reading: Reading<'_>,
    candidate: &Candidate<'_>,
    parameter: i64,
    kind: SortKind,
    descending: bool,
) -> Result<Shown, StoreError> {
    let mut foremost = Shown::Nothing;
    for value in candidate.values(parameter) {
        let shown = show(reading, value, kind, descending)?;
        if compare_shown(&shown, &foremost, descending) == Ordering::Less {
            foremost = shown;
        }
    }
    Ok(foremost)
}

fn show(reading: Reading<'_>, value: &Value<'_>, kind: SortKind, descending: bool) -> Result<Shown, StoreError> {
    Ok(match (kind, value) {
        (SortKind::Token, Value::Token { code, .. }) => Shown::Text((*code).to_owned()),
        (SortKind::Reference, Value::Reference { target }) => {
            Shown::Text(text_of(reading.connection, *target)?.unwrap_or_default())
        }
        (SortKind::Date, Value::Date { start, end }) => Shown::Integer(if descending { *end } else { *start }),
        (SortKind::Number, Value::Number { value }) | (SortKind::Quantity, Value::Quantity { value, .. }) => {
            Shown::Float(value.to_bits())
        }
        (SortKind::String, Value::String { folded, .. }) => Shown::Text((*folded).to_owned()),
        (SortKind::Uri, Value::Uri { uri }) => Shown::Text((*uri).to_owned()),
        _ => Shown::Nothing,
    })
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
        (Shown::Integer(_) | Shown::Float(_) | Shown::Text(_), _) => Ordering::Equal,
    };
    if descending { ascending.reverse() } else { ascending }
}
