//! Helpers that compare and choose.

use std::cmp::Ordering;

use handlebars::JsonTruthy;
use serde_json::Value;

use super::{Answer, Call, Refusal, scalar};
use crate::mapping::decimal::compare;

pub(super) fn eq(call: &Call<'_, '_>) -> Answer {
    decide(call, Ordering::is_eq)
}

pub(super) fn ne(call: &Call<'_, '_>) -> Answer {
    Ok(Some((!is(call, Ordering::is_eq)?).into()))
}

pub(super) fn lt(call: &Call<'_, '_>) -> Answer {
    decide(call, Ordering::is_lt)
}

pub(super) fn lte(call: &Call<'_, '_>) -> Answer {
    decide(call, Ordering::is_le)
}

pub(super) fn gt(call: &Call<'_, '_>) -> Answer {
    decide(call, Ordering::is_gt)
}

pub(super) fn gte(call: &Call<'_, '_>) -> Answer {
    decide(call, Ordering::is_ge)
}

fn decide(call: &Call<'_, '_>, holds: fn(Ordering) -> bool) -> Answer {
    Ok(Some(is(call, holds)?.into()))
}

fn is(call: &Call<'_, '_>, holds: fn(Ordering) -> bool) -> Result<bool, Refusal> {
    let both = call.text(0)?.zip(call.text(1)?);
    Ok(both.is_some_and(|(left, right)| holds(compare(left.trim(), right.trim()).unwrap_or_else(|| left.cmp(&right)))))
}

pub(super) fn and(call: &Call<'_, '_>) -> Answer {
    let truths = call.params().filter(|param| param.is_truthy(false)).count();
    Ok(Some((truths == call.count()).into()))
}

pub(super) fn or(call: &Call<'_, '_>) -> Answer {
    Ok(Some(call.params().any(|param| param.is_truthy(false)).into()))
}

pub(super) fn not(call: &Call<'_, '_>) -> Answer {
    Ok(Some((!call.params().any(|param| param.is_truthy(false))).into()))
}

pub(super) fn len(call: &Call<'_, '_>) -> Answer {
    Ok(match call.param(0) {
        None => Some(0.into()),
        Some(Value::Array(list)) => Some(list.len().into()),
        Some(Value::Object(members)) => Some(members.len().into()),
        Some(value) => Some(scalar(value, || call.name(0))?.chars().count().into()),
    })
}

/// A blank one is as good as none, unless there is nothing else.
pub(super) fn default(call: &Call<'_, '_>) -> Answer {
    let is_blank = |value: &&Value| value.as_str().is_some_and(|text| text.trim().is_empty());
    Ok(call.params().find(|value| !is_blank(value)).or_else(|| call.params().last()).cloned())
}

pub(super) fn map(call: &Call<'_, '_>) -> Answer {
    let default = call.helper.hash_get("default").map(handlebars::PathAndJson::value).filter(|value| !value.is_null());
    let Some(value) = call.text(0)? else { return Ok(default.cloned()) };
    for index in (1..call.count()).step_by(2) {
        if call.text(index)?.as_deref() == Some(value.as_str()) {
            return Ok(call.param(index + 1).cloned());
        }
    }
    let refusal = || call.refuse("InvalidFhirValueException", 0, "in the table of `map`", &value);
    default.cloned().map(Some).ok_or_else(refusal)
}

pub(super) fn join(call: &Call<'_, '_>) -> Answer {
    let mut texts = Vec::new();
    for value in call.params() {
        let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for element in elements {
            // An element of a series is a time and a value.
            texts.push(scalar(element.get("value").unwrap_or(element), || call.name(0))?);
        }
    }
    let separator = call.helper.hash_get("separator").map(handlebars::PathAndJson::render).unwrap_or_default();
    Ok(Some(texts.join(&separator)).filter(|text| !text.is_empty()).map(Value::from))
}
