//! Functions for values of any type; they never fail but for the bound of work.

use super::super::super::expression;
use super::super::super::jsonpath::Item;
use super::super::super::text::{self, Text};
use super::super::FunctionFailure;
use super::super::number::{self, is_integer};
use super::super::value::{Found, Value};
use super::Arguments;
use crate::json::Node;

type Outcome<'n, 'a> = Result<Found<'n, 'a>, FunctionFailure>;

pub(super) fn not_null<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(arguments.values.iter().flatten().find(|value| !value.is_null()).cloned())
}

pub(super) fn to_array<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let value = arguments.value(0);
    let is_array = value.as_ref().and_then(Value::elements).is_some();
    Ok(if is_array { value.clone() } else { Some(Value::list(vec![value.clone()])) })
}

/// A number stays, a text may be one (JM-7), all else is none.
pub(super) fn to_number<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let Some(value) = arguments.value(0) else {
        return Ok(None);
    };
    if value.as_number().is_some() {
        return Ok(Some(value.clone()));
    }
    Ok(value.as_text().and_then(number::in_text).map(Value::number))
}

pub(super) fn type_name<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(Some(Value::text(arguments.value(0).as_ref().map_or("null", Value::type_name).to_owned())))
}

/// A text stays, all else becomes compact JSON (JM-7).
pub(super) fn to_string<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let value = arguments.value(0);
    if value.as_ref().and_then(Value::as_text).is_some() {
        return Ok(value.clone());
    }
    let node = arguments.evaluator.owned_or_null(value)?;
    let mut json = String::new();
    write_json(&mut json, &node);
    Ok(Some(Value::text(json)))
}

fn write_json(json: &mut String, node: &Node<'_>) {
    match node {
        Node::Number(digits) => json.push_str(&number_text(node, digits)),
        Node::Null | Node::Bool(_) | Node::String(_) => json.push_str(&node.to_string()),
        Node::Array(elements) => {
            json.push('[');
            for (index, element) in elements.iter().enumerate() {
                json.push_str(if index > 0 { "," } else { "" });
                write_json(json, element);
            }
            json.push(']');
        }
        Node::Object(members) => {
            json.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                json.push_str(if index > 0 { "," } else { "" });
                json.push_str(&Node::String(name.as_ref().into()).to_string());
                json.push(':');
                write_json(json, value);
            }
            json.push('}');
        }
    }
}

/// The text of DM-29, with `.0` where a float would look like an integer.
fn number_text(node: &Node<'_>, digits: &str) -> String {
    match text::of(&expression::Value::Item(Item::Node(node))) {
        Text::Scalar(text) if is_integer(digits) || text.contains(['.', 'E']) => text.into_owned(),
        Text::Scalar(text) => format!("{text}.0"),
        Text::Null | Text::Unconvertible => digits.to_owned(),
    }
}
