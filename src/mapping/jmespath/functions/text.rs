//! Functions of texts. Lengths and places count Unicode scalar values.

use super::super::FunctionFailure;
use super::super::value::{Found, Value};
use super::Arguments;

type Outcome<'n, 'a> = Result<Found<'n, 'a>, FunctionFailure>;

pub(super) fn starts_with<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(Some(Value::bool(arguments.text(0)?.starts_with(arguments.text(1)?))))
}

pub(super) fn ends_with<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(Some(Value::bool(arguments.text(0)?.ends_with(arguments.text(1)?))))
}

pub(super) fn join<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let glue = arguments.text(0)?;
    let elements = arguments.array(1)?;
    let mut joined = String::new();
    for (index, element) in elements.iter().enumerate() {
        let Some(text) = element.as_ref().and_then(Value::as_text) else {
            return arguments.fail("an array of strings is needed");
        };
        arguments.charge(glue.len() + text.len())?;
        joined.push_str(if index > 0 { glue } else { "" });
        joined.push_str(text);
    }
    Ok(Some(Value::text(joined)))
}

/// Inserts the second text into the first (JM-16).
pub(super) fn insert<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let (text, inserted) = (arguments.text(0)?, arguments.text(1)?);
    let place = arguments.integer(2)?;
    arguments.charge(text.len() + inserted.len())?;
    let ends = text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len()));
    let at = usize::try_from(place).ok().and_then(|place| ends.into_iter().nth(place));
    let Some((before, after)) = at.and_then(|at| text.split_at_checked(at)) else {
        return arguments.fail("the position is outside the text");
    };
    Ok(Some(Value::text(format!("{before}{inserted}{after}"))))
}
