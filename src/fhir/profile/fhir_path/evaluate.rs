//! What an expression yields for a place in a resource (<http://hl7.org/fhirpath/N1/#expressions>).

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use super::Failure;
use super::functions::call;
use super::parse::{Expression, Operator, Start, Step};
use super::value::{Plain, Value};
use crate::fhir::profile::instance::Item;

/// A collection.
pub(super) type Values<'n> = Vec<Value<'n>>;

/// The steps that may still be taken; shared by all expressions of one check.
#[derive(Debug)]
pub(in crate::fhir::profile) struct Steps(Cell<usize>);

impl Steps {
    /// So many.
    pub(in crate::fhir::profile) fn new(most: usize) -> Self {
        Self(Cell::new(most))
    }

    /// Whether none are left.
    pub(in crate::fhir::profile) fn are_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// Takes some.
    ///
    /// # Errors
    /// When there are fewer.
    pub(in crate::fhir::profile) fn take(&self, steps: usize) -> Result<(), Failure> {
        let left = self.0.get().checked_sub(steps);
        self.0.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| Failure::new("that takes too long"))
    }
}

/// What an expression knows besides what it is about.
#[derive(Clone, Copy, Debug)]
pub(in crate::fhir::profile) struct Surroundings<'e, 'n> {
    /// `%context`, and where a path starts.
    pub(in crate::fhir::profile) context: Item<'n>,
    /// `%resource`, the innermost one around the context.
    pub(in crate::fhir::profile) resource: Item<'n>,
    /// `%rootResource`, which contains that.
    pub(in crate::fhir::profile) root: Item<'n>,
    /// What it may take.
    pub(in crate::fhir::profile) steps: &'e Steps,
}

/// Whether a rule holds. One that yields nothing does not.
///
/// # Errors
/// When that cannot be told.
pub(in crate::fhir::profile) fn holds<'n>(
    expression: &Expression,
    around: Surroundings<'_, 'n>,
) -> Result<bool, Failure> {
    let focus = [Value::Item(around.context)];
    Ok(truth(&evaluate(expression, &focus, around)?)? == Some(true))
}

/// What an expression yields for a focus.
pub(super) fn evaluate<'n>(
    expression: &Expression,
    focus: &[Value<'n>],
    around: Surroundings<'_, 'n>,
) -> Result<Values<'n>, Failure> {
    around.steps.take(1)?;
    match expression {
        Expression::Path(start, steps) => path(start, steps, focus, around),
        Expression::Binary(operator, left, right) => binary(*operator, left, right, focus, around),
        Expression::Negative(of) => negative(&evaluate(of, focus, around)?),
        Expression::Is(of, name) => {
            let of = evaluate(of, focus, around)?;
            Ok(single(&of)?.map(|value| bool_of(value.is_of(name))).into_iter().collect())
        }
        // Some rules of R4 say `as` of several, and mean those that are.
        Expression::As(of, name) => {
            Ok(evaluate(of, focus, around)?.into_iter().filter(|value| value.is_of(name)).collect())
        }
    }
}

fn path<'n>(
    start: &Start,
    steps: &[Step],
    focus: &[Value<'n>],
    around: Surroundings<'_, 'n>,
) -> Result<Values<'n>, Failure> {
    let mut values = started(start, focus, around)?;
    for (position, step) in steps.iter().enumerate() {
        let is_first = position == 0 && matches!(start, Start::Focus);
        values = match step {
            Step::Member(name) => member(&values, name, is_first),
            Step::Call(name, arguments) => call(name, &values, arguments, focus, around)?,
            Step::Index(index) => {
                let index = evaluate(index, focus, around)?;
                let index = single(&index)?.and_then(|value| match value.plain() {
                    Some(Plain::Number(number)) => number.as_count(),
                    _ => None,
                });
                index.and_then(|index| values.get(index).cloned()).into_iter().collect()
            }
        };
        around.steps.take(values.len() + 1)?;
    }
    Ok(values)
}

fn started<'n>(start: &Start, focus: &[Value<'n>], around: Surroundings<'_, 'n>) -> Result<Values<'n>, Failure> {
    Ok(match start {
        Start::Focus => focus.to_vec(),
        Start::Nothing => Vec::new(),
        Start::Inner(inner) => evaluate(inner, focus, around)?,
        Start::Text(text) => vec![text_of(text.clone())],
        Start::Number(number) => vec![Value::Plain(Plain::Number(*number))],
        Start::Bool(value) => vec![bool_of(*value)],
        Start::Moment(text) => vec![Value::Plain(Plain::Moment(Cow::Owned(text.clone())))],
        Start::Variable(name) => vec![match name.as_str() {
            "context" => Value::Item(around.context),
            "resource" => Value::Item(around.resource),
            "rootResource" => Value::Item(around.root),
            "ucum" => text_of("http://unitsofmeasure.org".to_owned()),
            "loinc" => text_of("http://loinc.org".to_owned()),
            "sct" => text_of("http://snomed.info/sct".to_owned()),
            _ => return Err(Failure::new(format!("`%{name}` is not known here"))),
        }],
    })
}

/// The elements of a name.
pub(super) fn member_of<'n>(values: &[Value<'n>], name: &str) -> Values<'n> {
    member(values, name, false)
}

/// As `member_of`; at the start of a path also what is of a type of that name.
fn member<'n>(values: &[Value<'n>], name: &str, is_first: bool) -> Values<'n> {
    let is_type = is_first && name.starts_with(|first: char| first.is_ascii_uppercase());
    let below = values.iter().flat_map(|value| match value {
        Value::Item(item) if is_type && item.is_of(name) => vec![value.clone()],
        Value::Item(item) => item.named(name).into_iter().map(|child| Value::Item(child.item)).collect(),
        Value::Plain(_) => Vec::new(),
    });
    below.collect()
}

fn negative<'n>(values: &[Value<'n>]) -> Result<Values<'n>, Failure> {
    let number = single(values)?.map(|value| match value.plain() {
        Some(Plain::Number(number)) => Ok(Value::Plain(Plain::Number(number.negated()))),
        _ => Err(Failure::new("it negates what is no number")),
    });
    Ok(number.transpose()?.into_iter().collect())
}

fn binary<'n>(
    operator: Operator,
    left: &Expression,
    right: &Expression,
    focus: &[Value<'n>],
    around: Surroundings<'_, 'n>,
) -> Result<Values<'n>, Failure> {
    let left = evaluate(left, focus, around)?;
    if let Operator::And | Operator::Or | Operator::Xor | Operator::Implies = operator {
        return logic(operator, truth(&left)?, || truth(&evaluate(right, focus, around)?));
    }
    let right = evaluate(right, focus, around)?;
    comparing(&left, &right, around)?;
    let answer = match operator {
        Operator::Union => return union(left, right, around),
        Operator::Plus | Operator::Minus | Operator::Join => return joined(operator, &left, &right, around),
        Operator::Equal => equal(&left, &right),
        Operator::NotEqual => equal(&left, &right).map(|is_equal| !is_equal),
        Operator::In => single(&left)?.map(|value| is_among(value, &right)),
        Operator::Contains => single(&right)?.map(|value| is_among(value, &left)),
        Operator::Less => ordered(&left, &right, Ordering::is_lt)?,
        Operator::LessOrEqual => ordered(&left, &right, Ordering::is_le)?,
        Operator::Greater => ordered(&left, &right, Ordering::is_gt)?,
        Operator::GreaterOrEqual => ordered(&left, &right, Ordering::is_ge)?,
        Operator::And | Operator::Or | Operator::Xor | Operator::Implies => None,
    };
    Ok(answer.map(bool_of).into_iter().collect())
}

/// Logic of three values, <http://hl7.org/fhirpath/N1/#boolean-logic>. The right side is not asked where the left decides.
fn logic<'n>(
    operator: Operator,
    left: Option<bool>,
    right: impl FnOnce() -> Result<Option<bool>, Failure>,
) -> Result<Values<'n>, Failure> {
    let decided = match (operator, left) {
        (Operator::And, Some(false)) => Some(false),
        (Operator::Or, Some(true)) | (Operator::Implies, Some(false)) => Some(true),
        _ => None,
    };
    if let Some(answer) = decided {
        return Ok(vec![bool_of(answer)]);
    }
    let right = right()?;
    let answer = match (operator, left, right) {
        (Operator::And, _, Some(false)) => Some(false),
        (Operator::And, Some(true), Some(true)) | (Operator::Or | Operator::Implies, _, Some(true)) => Some(true),
        (Operator::Or, Some(false), Some(false)) | (Operator::Implies, Some(true), Some(false)) => Some(false),
        (Operator::Xor, Some(left), Some(right)) => Some(left != right),
        _ => None,
    };
    Ok(answer.map(bool_of).into_iter().collect())
}

/// `None` when one side is empty, or their order cannot be told.
fn ordered(left: &[Value<'_>], right: &[Value<'_>], holds: fn(Ordering) -> bool) -> Result<Option<bool>, Failure> {
    match (single(left)?, single(right)?) {
        (Some(left), Some(right)) => Ok(left.order(right)?.map(holds)),
        _ => Ok(None),
    }
}

/// `None` when one side is empty.
fn equal(left: &[Value<'_>], right: &[Value<'_>]) -> Option<bool> {
    (!left.is_empty() && !right.is_empty())
        .then(|| left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.equals(right)))
}

/// The sum of numbers or the text of both; `&` takes what is missing as no text.
fn joined<'n>(
    operator: Operator,
    left: &[Value<'n>],
    right: &[Value<'n>],
    around: Surroundings<'_, 'n>,
) -> Result<Values<'n>, Failure> {
    let (left, right) = (single(left)?, single(right)?);
    // A text that is joined with itself again and again has no other bound.
    let length = |value: &Value<'_>| value.text().map_or(0, |text| text.len());
    around.steps.take(left.map_or(0, length).saturating_add(right.map_or(0, length)))?;
    if operator == Operator::Join {
        let text = |value: Option<&Value<'n>>| value.and_then(Value::text).unwrap_or_default();
        return Ok(vec![text_of(format!("{}{}", text(left), text(right)))]);
    }
    let (Some(left), Some(right)) = (left, right) else { return Ok(Vec::new()) };
    let sum = match (left.plain(), right.plain()) {
        (Some(Plain::Number(left)), Some(Plain::Number(right))) => {
            let right = if operator == Operator::Minus { right.negated() } else { right };
            left.plus(right).map(|sum| Value::Plain(Plain::Number(sum)))
        }
        (Some(Plain::Text(left)), Some(Plain::Text(right))) if operator == Operator::Plus => {
            Some(text_of(format!("{left}{right}")))
        }
        _ => None,
    };
    sum.map(|sum| vec![sum]).ok_or_else(|| Failure::new("it adds what cannot be added here"))
}

/// Takes the steps of comparing each value with each of the others.
pub(super) fn comparing(
    values: &[Value<'_>],
    others: &[Value<'_>],
    around: Surroundings<'_, '_>,
) -> Result<(), Failure> {
    let weight = values.iter().map(Value::weight).fold(0, usize::saturating_add);
    around.steps.take(weight.saturating_mul(others.len()))
}

/// The values of both, each once.
pub(super) fn union<'n>(
    mut values: Values<'n>,
    mut others: Values<'n>,
    around: Surroundings<'_, 'n>,
) -> Result<Values<'n>, Failure> {
    values.append(&mut others);
    comparing(&values, &values, around)?;
    Ok(distinct(values.into_iter()))
}

/// Each value once, in the order in which they come.
pub(super) fn distinct<'n>(values: impl Iterator<Item = Value<'n>>) -> Values<'n> {
    let mut kept: Values<'n> = Vec::new();
    for value in values {
        if !is_among(&value, &kept) {
            kept.push(value);
        }
    }
    kept
}

/// Whether a value is equal to one of these.
pub(super) fn is_among(value: &Value<'_>, values: &[Value<'_>]) -> bool {
    values.iter().any(|other| other.equals(value))
}

/// A collection as a condition: `None` for nothing; anything that is no boolean is true because it is there.
///
/// # Errors
/// When there are several.
pub(super) fn truth(values: &[Value<'_>]) -> Result<Option<bool>, Failure> {
    Ok(single(values)?.map(|value| match value.plain() {
        Some(Plain::Bool(value)) => value,
        _ => true,
    }))
}

/// The only value; `None` when there is none.
///
/// # Errors
/// When there are several.
pub(super) fn single<'v, 'n>(values: &'v [Value<'n>]) -> Result<Option<&'v Value<'n>>, Failure> {
    match values {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        _ => Err(Failure::new("it meets several values where there can be one")),
    }
}

pub(super) fn bool_of<'n>(value: bool) -> Value<'n> {
    Value::Plain(Plain::Bool(value))
}

pub(super) fn text_of<'n>(text: String) -> Value<'n> {
    Value::Plain(Plain::Text(Cow::Owned(text)))
}
