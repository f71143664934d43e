//! Helpers that write the data types of FHIR.

use serde_json::{Map, Value};

use super::{Answer, Call, Refusal};
use crate::mapping::decimal::json_number;
use crate::mapping::timestamp;
use crate::r4::id::is_id;

/// The system of UCUM, which a `code` of a unit is of unless another is named.
const UCUM: &str = "http://unitsofmeasure.org";
const NOT_A_DECIMAL: &str = "InvalidQuantityFhirValueException";
const NOT_OF_TYPE: &str = "InvalidFhirValueException";

/// The number of a decimal's text, digit for digit.
pub(super) fn number(text: &str) -> Option<Value> {
    serde_json::from_str(&json_number(text)?).ok()
}

pub(super) fn decimal(call: &Call<'_, '_>) -> Answer {
    let Some(text) = call.text(0)? else { return Ok(None) };
    number(&text).map(Some).ok_or_else(|| call.refuse(NOT_A_DECIMAL, 0, "a decimal", &text))
}

pub(super) fn integer(call: &Call<'_, '_>) -> Answer {
    let Some(text) = call.text(0)? else { return Ok(None) };
    let whole = json_number(&text).and_then(|number| number.parse::<i32>().ok());
    whole.map(|whole| Some(whole.into())).ok_or_else(|| call.refuse(NOT_OF_TYPE, 0, "a whole number of 32 bits", &text))
}

pub(super) fn boolean(call: &Call<'_, '_>) -> Answer {
    let Some(text) = call.text(0)? else { return Ok(None) };
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(Some(true.into())),
        "false" | "0" => Ok(Some(false.into())),
        _ => Err(call.refuse(NOT_OF_TYPE, 0, "true or false", &text)),
    }
}

pub(super) fn date_time(call: &Call<'_, '_>) -> Answer {
    let Some(text) = call.text(0)? else { return Ok(None) };
    let date_time = timestamp::fhir_date_time(&text).map(|date_time| Some(Value::from(date_time.into_owned())));
    date_time.ok_or_else(|| call.refuse(NOT_OF_TYPE, 0, "a date or time", &text))
}

pub(super) fn instant(call: &Call<'_, '_>) -> Answer {
    let Some(text) = call.text(0)? else { return Ok(None) };
    let at = timestamp::parse(&text).filter(|_| text.contains(':'));
    at.map(|at| Some(at.to_string().into())).ok_or_else(|| call.refuse(NOT_OF_TYPE, 0, "a time", &text))
}

pub(super) fn quantity(call: &Call<'_, '_>) -> Answer {
    let Some(value) = decimal(call)? else { return Ok(None) };
    let mut members = vec![("value", value)];
    if let Some(comparator) = call.option("comparator")? {
        if !["<", "<=", ">=", ">"].contains(&comparator.as_str()) {
            return Err(Refusal::new(format!("`comparator` is none of <, <=, >=, >: `{comparator}`")));
        }
        members.push(("comparator", comparator.into()));
    }
    members.extend(unit(call)?);
    Ok(Some(object(members)))
}

/// `unit`, `system` and `code` of a Quantity, by the options of these names.
pub(super) fn unit(call: &Call<'_, '_>) -> Result<Vec<(&'static str, Value)>, Refusal> {
    let code = call.option("code")?;
    let system = call.option("system")?.or_else(|| code.as_ref().map(|_| UCUM.to_owned()));
    let members = [("unit", call.option("unit")?), ("system", system), ("code", code)];
    Ok(members.into_iter().filter_map(|(name, text)| Some((name, text?.into()))).collect())
}

/// Without a code there is no coding.
pub(super) fn coding(call: &Call<'_, '_>) -> Answer {
    let Some(code) = call.option("code")? else { return Ok(None) };
    let members = [("system", call.option("system")?), ("code", Some(code)), ("display", call.option("display")?)];
    Ok(Some(object(members.into_iter().filter_map(|(name, text)| Some((name, text?.into()))))))
}

pub(super) fn codeable_concept(call: &Call<'_, '_>) -> Answer {
    if let Some(other) = call.params().find(|param| !param.is_object()) {
        return Err(Refusal::new(format!("a parameter of `codeableConcept` is no coding: `{other}`")));
    }
    let codings: Vec<Value> = coding(call)?.into_iter().chain(call.params().cloned()).collect();
    let text = call.option("text")?.map(Value::from);
    let codings = Some(codings).filter(|codings| !codings.is_empty()).map(Value::from);
    let members: Vec<_> =
        [("coding", codings), ("text", text)].into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    Ok(Some(members).filter(|members| !members.is_empty()).map(object))
}

/// Parts of a reference come from data, so they may be nothing but a type and an id.
pub(super) fn reference(call: &Call<'_, '_>) -> Answer {
    let Some(first) = call.text(0)? else { return Ok(None) };
    let whole = match (call.count(), call.text(1)?) {
        (1, _) => first,
        (_, Some(id)) => format!("{first}/{id}"),
        (_, None) => return Ok(None),
    };
    let is_type = |name: &str| name.starts_with(|first: char| first.is_ascii_uppercase()) && is_id(name);
    if !whole.split_once('/').is_some_and(|(name, id)| is_type(name) && is_id(id)) {
        let last = call.count() - 1;
        return Err(call.refuse(NOT_OF_TYPE, last, "part of a reference `Type/id`", &whole));
    }
    let display = call.option("display")?.map(|display| ("display", display.into()));
    Ok(Some(object([("reference", whole.into())].into_iter().chain(display))))
}

/// An object of these members, in order.
pub(super) fn object<'m>(members: impl IntoIterator<Item = (&'m str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}
