//! The values of FHIRPath, and when two are equal (<http://hl7.org/fhirpath/N1/#equality>).

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Failure;
use crate::fhir::profile::decimal::Decimal;
use crate::fhir::profile::equal;
use crate::fhir::profile::instance::Item;
use crate::json::Node;

/// One value of a collection.
#[derive(Clone, Debug)]
pub(super) enum Value<'n> {
    /// What stands in the resource.
    Item(Item<'n>),
    /// What was computed, or written in the expression.
    Plain(Plain<'n>),
}

/// A value that has no parts.
#[derive(Clone, Debug)]
pub(super) enum Plain<'n> {
    Bool(bool),
    Number(Decimal),
    Text(Cow<'n, str>),
    /// A date, a time or both.
    Moment(Cow<'n, str>),
}

impl<'n> Value<'n> {
    /// The value without its place, if it has no parts.
    pub(super) fn plain(&self) -> Option<Plain<'n>> {
        let item = match self {
            Self::Plain(plain) => return Some(plain.clone()),
            Self::Item(item) => item,
        };
        match item.node? {
            Node::Bool(value) => Some(Plain::Bool(*value)),
            Node::Number(digits) => Decimal::parse(digits).map(Plain::Number),
            Node::String(text) => {
                let text = Cow::Borrowed(text.as_ref());
                let is_moment = matches!(item.data_type, "date" | "dateTime" | "instant" | "time");
                Some(if is_moment { Plain::Moment(text) } else { Plain::Text(text) })
            }
            Node::Null | Node::Array(_) | Node::Object(_) => None,
        }
    }

    /// How many values it takes to compare it with another.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Item(item) => item.node.map_or(1, equal::weight),
            Self::Plain(_) => 1,
        }
    }

    /// Its text, also that of a moment.
    pub(super) fn text(&self) -> Option<Cow<'n, str>> {
        match self.plain()? {
            Plain::Text(text) | Plain::Moment(text) => Some(text),
            Plain::Bool(_) | Plain::Number(_) => None,
        }
    }

    /// Whether it is of a type, by its name with or without its name space.
    pub(super) fn is_of(&self, name: &str) -> bool {
        let (space, name) = name.split_once('.').map_or((None, name), |(space, name)| (Some(space), name));
        match self {
            // `Boolean` for `boolean`: rules of R4 write both.
            Self::Item(item) => {
                let mut letters = name.chars();
                let lower: String =
                    letters.next().iter().flat_map(|first| first.to_lowercase()).chain(letters).collect();
                space != Some("System") && (item.is_of(name) || item.is_primitive() && item.is_of(&lower))
            }
            Self::Plain(plain) => match plain {
                Plain::Bool(_) => name == "Boolean",
                Plain::Number(number) => name == "Decimal" || name == "Integer" && number.as_count().is_some(),
                Plain::Text(_) => name == "String",
                Plain::Moment(_) => matches!(name, "Date" | "DateTime" | "Time"),
            },
        }
    }

    /// Whether two values are the same.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self.plain(), other.plain()) {
            (Some(Plain::Bool(one)), Some(Plain::Bool(other))) => one == other,
            (Some(Plain::Number(one)), Some(Plain::Number(other))) => one.compare(other) == Some(Ordering::Equal),
            (Some(Plain::Text(one) | Plain::Moment(one)), Some(Plain::Text(other) | Plain::Moment(other))) => {
                one == other
            }
            (None, None) => match (self, other) {
                (Self::Item(one), Self::Item(other)) => {
                    one.node.zip(other.node).is_some_and(|(one, other)| equal::same(one, other))
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// How two values lie; `None` when that cannot be told, as of dates of which one is more precise.
    ///
    /// # Errors
    /// When they are not of one kind that has an order.
    pub(super) fn order(&self, other: &Self) -> Result<Option<Ordering>, Failure> {
        match (self.plain(), other.plain()) {
            (Some(Plain::Number(one)), Some(Plain::Number(other))) => Ok(one.compare(other)),
            (Some(Plain::Text(one)), Some(Plain::Text(other))) => Ok(Some(one.cmp(&other))),
            (Some(Plain::Moment(one)), Some(Plain::Moment(other) | Plain::Text(other)))
            | (Some(Plain::Text(one)), Some(Plain::Moment(other))) => Ok(moments(&one, &other)),
            _ => Err(Failure::new("it compares what has no order here")),
        }
    }
}

/// Two moments by their time in UTC, or by their days when both have no more.
fn moments(one: &str, other: &str) -> Option<Ordering> {
    if let (Ok(one), Ok(other)) = (one.parse::<jiff::Timestamp>(), other.parse::<jiff::Timestamp>()) {
        return Some(one.cmp(&other));
    }
    // The parts that both have decide, if they differ in one; a zone is part of neither then.
    let common = one.len().min(other.len()).min("2024-07-31".len());
    let (one_day, other_day) = (one.get(..common)?, other.get(..common)?);
    let is_same_precision = one.len() == other.len() && !one.contains('T');
    (one_day != other_day || is_same_precision).then(|| one_day.cmp(other_day))
}
