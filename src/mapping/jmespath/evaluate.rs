//! The walk that evaluates.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use super::expression::{Comparison, Expression};
use super::functions::Arguments;
use super::value::{Found, Members, Value};
use super::{FunctionFailure, Yield, number};
use crate::json::Node;

/// Most work one evaluation may do, in values and bytes touched.
const WORK_MAX: usize = 4_000_000;

/// One evaluation and the work it has done.
#[derive(Default)]
pub(super) struct Evaluator {
    work: Cell<usize>,
}

impl Evaluator {
    /// The work done so far.
    pub(super) fn work(&self) -> usize {
        self.work.get()
    }

    /// Counts work done.
    pub(super) fn charge(&self, work: usize) -> Result<(), FunctionFailure> {
        self.work.set(self.work.get().saturating_add(work));
        if self.work.get() <= WORK_MAX {
            return Ok(());
        }
        Err(FunctionFailure { function: "expression", reason: format!("takes more than {WORK_MAX} steps") })
    }

    /// The result with its kind, which the last step decides: a pipe into `[0]` is no projection (JM-2, JM-6).
    pub(super) fn outcome<'n, 'a>(
        &self,
        expression: &'n Expression,
        current: &Found<'n, 'a>,
    ) -> Result<Yield<'n, 'a>, FunctionFailure> {
        match expression {
            Expression::Then(first, last) => self.outcome(last, &self.value(first, current)?),
            Expression::Or(left, right) | Expression::And(left, right) => {
                let wanted = matches!(expression, Expression::Or(..));
                let is_left = is_true(&self.value(left, current)?) == wanted;
                self.outcome(if is_left { left } else { right }, current)
            }
            Expression::Project(..) => {
                let Some(projected) = self.value(expression, current)? else {
                    return Ok(Yield::Nothing);
                };
                let count = projected.elements().unwrap_or(0);
                let elements = (0..count).filter_map(|index| projected.element(index));
                Ok(Yield::Projection(elements.map(|element| self.node(element)).collect::<Result<_, _>>()?))
            }
            Expression::Current
            | Expression::Member(_)
            | Expression::Element(_)
            | Expression::Slice { .. }
            | Expression::Literal(_)
            | Expression::Not(_)
            | Expression::Compare(..)
            | Expression::Where(..)
            | Expression::Flatten(_)
            | Expression::MemberValues(_)
            | Expression::List(_)
            | Expression::Hash(_)
            | Expression::Call(..) => Ok(match self.value(expression, current)? {
                Some(value) if !value.is_null() => Yield::Value(self.node(value)?),
                Some(_) | None => Yield::Nothing,
            }),
        }
    }

    /// What an expression finds in the current value.
    pub(super) fn value<'n, 'a>(
        &self,
        expression: &'n Expression,
        current: &Found<'n, 'a>,
    ) -> Result<Found<'n, 'a>, FunctionFailure> {
        self.charge(1)?;
        Ok(match expression {
            Expression::Current => current.clone(),
            Expression::Member(name) => current.as_ref().and_then(|value| value.member(name)),
            Expression::Element(index) => current.as_ref().and_then(|value| element(value, *index)),
            Expression::Slice { start, stop, step } => {
                current.as_ref().and_then(|value| slice(value, *start, *stop, *step))
            }
            Expression::Literal(literal) => Some(Value::node(literal)),
            Expression::Then(first, next) => self.value(next, &self.value(first, current)?)?,
            Expression::Or(left, right) => match self.value(left, current)? {
                left if is_true(&left) => left,
                _ => self.value(right, current)?,
            },
            Expression::And(left, right) => match self.value(left, current)? {
                left if !is_true(&left) => left,
                _ => self.value(right, current)?,
            },
            Expression::Not(inner) => Some(Value::bool(!is_true(&self.value(inner, current)?))),
            Expression::Compare(left, comparison, right) => {
                let (left, right) = (self.value(left, current)?, self.value(right, current)?);
                self.compare(&left, *comparison, &right)?.map(Value::bool)
            }
            Expression::Where(condition, then) => {
                if is_true(&self.value(condition, current)?) {
                    self.value(then, current)?
                } else {
                    None
                }
            }
            Expression::Project(source, then) => self.project(self.value(source, current)?, then)?,
            Expression::Flatten(source) => self.flatten(self.value(source, current)?)?,
            Expression::MemberValues(source) => self.member_values(self.value(source, current)?)?,
            Expression::List(_) | Expression::Hash(_) if current.as_ref().is_none_or(Value::is_null) => None,
            Expression::List(elements) => {
                let values = elements.iter().map(|element| self.value(element, current));
                Some(Value::list(values.collect::<Result<_, _>>()?))
            }
            Expression::Hash(members) => Some(self.hash(members, current)?),
            Expression::Call(function, arguments) => Arguments::of(function, arguments, self, current)?.apply()?,
        })
    }

    /// Only what is missing is dropped (JM-8).
    fn project<'n, 'a>(&self, source: Found<'n, 'a>, then: &'n Expression) -> Result<Found<'n, 'a>, FunctionFailure> {
        let Some((source, count)) = source.and_then(|source| source.elements().map(|count| (source, count))) else {
            return Ok(None);
        };
        let mut projected = Vec::new();
        for index in 0..count {
            let found = self.value(then, &source.element(index))?;
            if found.is_some() {
                projected.push(found);
            }
        }
        Ok(Some(Value::list(projected)))
    }

    fn flatten<'n, 'a>(&self, source: Found<'n, 'a>) -> Result<Found<'n, 'a>, FunctionFailure> {
        let Some((source, count)) = source.and_then(|source| source.elements().map(|count| (source, count))) else {
            return Ok(None);
        };
        let mut flat = Vec::new();
        for element in (0..count).map(|index| source.element(index)) {
            let inner = element.as_ref().and_then(Value::elements);
            self.charge(inner.unwrap_or(1))?;
            match (&element, inner) {
                (Some(array), Some(inner)) => flat.extend((0..inner).map(|index| array.element(index))),
                _ => flat.push(element),
            }
        }
        Ok(Some(Value::list(flat)))
    }

    fn member_values<'n, 'a>(&self, source: Found<'n, 'a>) -> Result<Found<'n, 'a>, FunctionFailure> {
        let Some(members) = source.and_then(|source| source.members()) else {
            return Ok(None);
        };
        self.charge(members.len())?;
        Ok(Some(Value::list(members.into_iter().map(|(_, value)| value).collect())))
    }

    fn hash<'n, 'a>(
        &self,
        members: &'n [(String, Expression)],
        current: &Found<'n, 'a>,
    ) -> Result<Value<'n, 'a>, FunctionFailure> {
        let mut made: Members<'n, 'a> = Vec::with_capacity(members.len());
        for (name, expression) in members {
            let value = self.value(expression, current)?;
            match made.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => made.push((Cow::Borrowed(name), value)),
            }
        }
        Ok(Value::hash(made))
    }

    /// Order is for two numbers or two texts, else there is no answer (JM-4).
    fn compare(
        &self,
        left: &Found<'_, '_>,
        comparison: Comparison,
        right: &Found<'_, '_>,
    ) -> Result<Option<bool>, FunctionFailure> {
        let order = || order(left.as_ref()?, right.as_ref()?);
        Ok(match comparison {
            Comparison::Equal => Some(self.equal(left, right)?),
            Comparison::NotEqual => Some(!self.equal(left, right)?),
            Comparison::Less => order().map(Ordering::is_lt),
            Comparison::LessOrEqual => order().map(Ordering::is_le),
            Comparison::Greater => order().map(Ordering::is_gt),
            Comparison::GreaterOrEqual => order().map(Ordering::is_ge),
        })
    }

    /// Equality by value (JM-4); what is missing equals null, members have no order.
    pub(super) fn equal(&self, left: &Found<'_, '_>, right: &Found<'_, '_>) -> Result<bool, FunctionFailure> {
        let (left, right) = match (left, right) {
            (Some(left), Some(right)) => (left, right),
            (None, None) => return Ok(true),
            (Some(some), None) | (None, Some(some)) => return Ok(some.is_null()),
        };
        self.charge(1)?;
        if let (Some(count), Some(other)) = (left.elements(), right.elements()) {
            if count != other {
                return Ok(false);
            }
            for index in 0..count {
                if !self.equal(&left.element(index), &right.element(index))? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        if let (Some(members), Some(others)) = (left.members(), right.members()) {
            return self.equal_members(&members, &others, right);
        }
        Ok(match (left.as_node(), right.as_node()) {
            (Some(Node::Number(left)), Some(Node::Number(right))) => number::order(left, right).is_eq(),
            (Some(Node::Null), Some(Node::Null)) => true,
            (Some(Node::Bool(left)), Some(Node::Bool(right))) => left == right,
            (Some(Node::String(left)), Some(Node::String(right))) => left == right,
            _ => false,
        })
    }

    fn equal_members<'n, 'a>(
        &self,
        members: &[(Cow<'n, str>, Found<'n, 'a>)],
        others: &[(Cow<'_, str>, Found<'_, '_>)],
        other: &Value<'_, '_>,
    ) -> Result<bool, FunctionFailure> {
        if members.len() != others.len() {
            return Ok(false);
        }
        for ((name, value), (same_place, in_same_place)) in members.iter().zip(others) {
            let is_equal = if name == same_place {
                self.equal(value, in_same_place)?
            } else {
                self.charge(others.len())?;
                others.iter().any(|(other, _)| other == name) && self.equal(value, &other.member(name))?
            };
            if !is_equal {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The value as a node, borrowed where it is one.
    fn node<'n, 'a>(&self, value: Value<'n, 'a>) -> Result<Cow<'n, Node<'a>>, FunctionFailure> {
        if let Value::Item(item) = &value
            && let Some(node) = item.node()
        {
            return Ok(Cow::Borrowed(node));
        }
        self.owned(&value).map(Cow::Owned)
    }

    /// A copy of the value as a node of its own.
    fn owned<'a>(&self, value: &Value<'_, 'a>) -> Result<Node<'a>, FunctionFailure> {
        if let Some(node) = value.as_node() {
            self.charge(weight(node))?;
            return Ok(node.clone());
        }
        self.charge(1)?;
        if let Some(count) = value.elements() {
            let elements = (0..count).map(|index| self.owned_or_null(&value.element(index)));
            return Ok(Node::Array(elements.collect::<Result<_, _>>()?));
        }
        let members = value.members().unwrap_or_default();
        let owned = members.iter().map(|(name, value)| Ok((Cow::Owned(name.to_string()), self.owned_or_null(value)?)));
        Ok(Node::Object(owned.collect::<Result<_, FunctionFailure>>()?))
    }

    /// As `owned`; null for what is missing.
    pub(super) fn owned_or_null<'a>(&self, found: &Found<'_, 'a>) -> Result<Node<'a>, FunctionFailure> {
        found.as_ref().map_or(Ok(Node::Null), |value| self.owned(value))
    }
}

/// The order of two numbers or two texts.
pub(super) fn order(left: &Value<'_, '_>, right: &Value<'_, '_>) -> Option<Ordering> {
    match (left.as_node()?, right.as_node()?) {
        (Node::Number(left), Node::Number(right)) => Some(number::order(left, right)),
        (Node::String(left), Node::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn is_true(found: &Found<'_, '_>) -> bool {
    found.as_ref().is_some_and(Value::is_true)
}

/// A negative index counts from the end.
fn element<'n, 'a>(value: &Value<'n, 'a>, index: i32) -> Found<'n, 'a> {
    let count = value.elements()?;
    let from_start = if index < 0 {
        count.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(index).ok()?
    };
    value.element(from_start)
}

/// Slices as in Python; the step is not 0.
fn slice<'n, 'a>(value: &Value<'n, 'a>, start: Option<i32>, stop: Option<i32>, step: i32) -> Found<'n, 'a> {
    let count = i64::try_from(value.elements()?).unwrap_or(i64::MAX);
    let step = i64::from(step);
    let forward = step > 0;
    let (lowest, highest) = if forward { (0, count) } else { (-1, count - 1) };
    let place = |position: i32| {
        let position = i64::from(position);
        (if position < 0 { position + count } else { position }).clamp(lowest, highest)
    };
    let start = start.map_or(if forward { 0 } else { count - 1 }, place);
    let stop = stop.map_or(if forward { count } else { -1 }, place);
    let positions = std::iter::successors(Some(start), move |position| position.checked_add(step))
        .take_while(|position| if forward { *position < stop } else { *position > stop });
    let indexes = positions.filter_map(|position| usize::try_from(position).ok());
    Some(Value::list(indexes.map(|index| value.element(index)).collect()))
}

/// How much it takes to copy a node: its values, and the bytes of its texts.
fn weight(node: &Node<'_>) -> usize {
    1 + match node {
        Node::Null | Node::Bool(_) => 0,
        Node::Number(text) | Node::String(text) => text.len(),
        Node::Array(elements) => elements.iter().map(weight).sum(),
        Node::Object(members) => members.iter().map(|(name, value)| name.len() + weight(value)).sum(),
    }
}
