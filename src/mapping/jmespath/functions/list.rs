//! Functions of arrays, and those of texts that see them as arrays of characters.

use std::cmp::Ordering;

use super::super::FunctionFailure;
use super::super::evaluate::order;
use super::super::value::{Found, Value};
use super::Arguments;

type Outcome<'n, 'a> = Result<Found<'n, 'a>, FunctionFailure>;

/// A part of a text, or an element of an array by value.
pub(super) fn contains<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let (whole, part) = (arguments.value(0), arguments.value(1));
    if let Some(text) = whole.as_ref().and_then(Value::as_text) {
        let part = part.as_ref().and_then(Value::as_text);
        return Ok(Some(Value::bool(part.is_some_and(|part| text.contains(part)))));
    }
    if whole.as_ref().and_then(Value::elements).is_none() {
        return arguments.refuse(whole, "a string or an array");
    }
    for element in arguments.array(0)? {
        if arguments.evaluator.equal(&element, part)? {
            return Ok(Some(Value::bool(true)));
        }
    }
    Ok(Some(Value::bool(false)))
}

/// Characters, elements or members.
pub(super) fn length<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let given = arguments.value(0);
    let length = given.as_ref().and_then(|value| {
        let characters = value.as_text().map(|text| text.chars().count());
        characters.or_else(|| value.elements()).or_else(|| value.members().map(|members| members.len()))
    });
    match length {
        Some(length) => {
            arguments.charge(length)?;
            Ok(Some(Value::number(length.to_string())))
        }
        None => arguments.refuse(given, "a string, an array or an object"),
    }
}

pub(super) fn reverse<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let given = arguments.value(0);
    if let Some(text) = given.as_ref().and_then(Value::as_text) {
        arguments.charge(text.len())?;
        return Ok(Some(Value::text(text.chars().rev().collect())));
    }
    if given.as_ref().and_then(Value::elements).is_none() {
        return arguments.refuse(given, "a string or an array");
    }
    let mut elements = arguments.array(0)?;
    elements.reverse();
    Ok(Some(Value::list(elements)))
}

/// As long as the array, also where the expression finds nothing.
pub(super) fn map<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let elements = arguments.array(0)?;
    let mapped = elements.iter().map(|element| arguments.each(element));
    Ok(Some(Value::list(mapped.collect::<Result<_, _>>()?)))
}

pub(super) fn sort<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(Some(sorted(by_itself(arguments)?)))
}

pub(super) fn sort_by<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(Some(sorted(by_expression(arguments)?)))
}

pub(super) fn max<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(first(by_itself(arguments)?, Ordering::is_gt))
}

pub(super) fn max_by<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(first(by_expression(arguments)?, Ordering::is_gt))
}

pub(super) fn min<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(first(by_itself(arguments)?, Ordering::is_lt))
}

pub(super) fn min_by<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(first(by_expression(arguments)?, Ordering::is_lt))
}

/// An element and what it is ordered by; the keys of one list are all numbers or all texts.
struct Keyed<'n, 'a> {
    key: Found<'n, 'a>,
    element: Found<'n, 'a>,
}

impl Keyed<'_, '_> {
    fn order(&self, other: &Self) -> Ordering {
        let order = || order(self.key.as_ref()?, other.key.as_ref()?);
        order().unwrap_or(Ordering::Equal)
    }
}

fn by_itself<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Result<Vec<Keyed<'n, 'a>>, FunctionFailure> {
    let elements = arguments.array(0)?.into_iter();
    comparable(arguments, elements.map(|element| Keyed { key: element.clone(), element }).collect())
}

fn by_expression<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Result<Vec<Keyed<'n, 'a>>, FunctionFailure> {
    let elements = arguments.array(0)?.into_iter();
    let keyed = elements.map(|element| Ok(Keyed { key: arguments.each(&element)?, element }));
    comparable(arguments, keyed.collect::<Result<_, FunctionFailure>>()?)
}

fn comparable<'n, 'a>(
    arguments: &Arguments<'_, 'n, 'a>,
    keyed: Vec<Keyed<'n, 'a>>,
) -> Result<Vec<Keyed<'n, 'a>>, FunctionFailure> {
    // Each comparison may look at every digit or letter, and a sort compares each with some others.
    let numbers = keyed.iter().filter_map(|keyed| keyed.key.as_ref()?.as_number().map(str::len));
    let texts = keyed.iter().filter_map(|keyed| keyed.key.as_ref()?.as_text().map(str::len));
    let all_numbers = numbers.clone().count() == keyed.len();
    let all_texts = texts.clone().count() == keyed.len();
    arguments.charge(numbers.chain(texts).sum())?;
    if all_numbers || all_texts {
        return Ok(keyed);
    }
    arguments.fail("only numbers or only strings can be put in order")
}

/// Equal ones keep their order.
fn sorted<'n, 'a>(mut keyed: Vec<Keyed<'n, 'a>>) -> Value<'n, 'a> {
    keyed.sort_by(Keyed::order);
    Value::list(keyed.into_iter().map(|keyed| keyed.element).collect())
}

/// The element that precedes all others, the earliest of equal ones; none of an empty list.
fn first<'n, 'a>(keyed: Vec<Keyed<'n, 'a>>, precedes: fn(Ordering) -> bool) -> Found<'n, 'a> {
    let best = keyed.into_iter().reduce(|best, next| if precedes(next.order(&best)) { next } else { best });
    best.and_then(|keyed| keyed.element)
}
