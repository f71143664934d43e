//! Functions of objects. Members keep document order.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::FunctionFailure;
use super::super::value::{Found, Members, Value};
use super::Arguments;

type Outcome<'n, 'a> = Result<Found<'n, 'a>, FunctionFailure>;

pub(super) fn keys<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let members = members(arguments, arguments.value(0))?;
    arguments.charge(members.iter().map(|(name, _)| name.len()).sum())?;
    Ok(Some(Value::list(members.into_iter().map(|(name, _)| Some(Value::text(name.into_owned()))).collect())))
}

pub(super) fn values<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let members = members(arguments, arguments.value(0))?;
    Ok(Some(Value::list(members.into_iter().map(|(_, value)| value).collect())))
}

/// The last member of a name wins, in the place of the first.
pub(super) fn merge<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let mut merged: Members<'n, 'a> = Vec::new();
    let mut places: HashMap<Cow<'n, str>, usize> = HashMap::new();
    for object in &arguments.values {
        for (name, value) in members(arguments, object)? {
            match places.get(&name).and_then(|place| merged.get_mut(*place)) {
                Some((_, known)) => *known = value,
                None => {
                    places.insert(name.clone(), merged.len());
                    merged.push((name, value));
                }
            }
        }
    }
    Ok(Some(Value::hash(merged)))
}

fn members<'n, 'a>(
    arguments: &Arguments<'_, 'n, 'a>,
    given: &Found<'n, 'a>,
) -> Result<Members<'n, 'a>, FunctionFailure> {
    match given.as_ref().and_then(Value::members) {
        Some(members) => {
            arguments.charge(members.len())?;
            Ok(members)
        }
        None => arguments.refuse(given, "an object"),
    }
}
