//! The JSON form of a template: an object whose strings are Handlebars texts.

use std::collections::HashSet;

use handlebars::{Context, RenderContext, RenderError, RenderErrorReason, Renderable, Template};
use serde_json::{Map, Value};

use super::super::super::problem::Problems;
use super::super::super::source::{Kind, Located, Member, Position};
use super::check::{self, Stand, Walk};
use super::helpers::{PLAIN, Refusal};
use super::marked;

/// A value of the resource. Structure and names of members are the template's; data is only ever within a string, or a
/// value that a helper writes.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Constant(Value),
    Text(Text),
    /// Renders to JSON as a whole.
    Json(Text),
    Array(Vec<Part>),
    Object(Vec<(String, Part)>),
}

/// A string with Handlebars in it.
#[derive(Clone, Debug)]
pub(super) struct Text {
    template: Template,
    at: Position,
}

/// Whether strings with data in them are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Shown,
    /// They are blank, so that what remains is what the template itself says.
    Blank,
}

/// Why a template renders no resource, and the place in it.
#[derive(Debug)]
pub(super) struct NotRendered {
    pub(super) at: Position,
    pub(super) refusal: Refusal,
}

/// Compiles the members of an object.
pub(super) fn compile_members(members: &[Member], walk: &mut Walk, problems: &mut Problems<'_>) -> Vec<(String, Part)> {
    let mut names = HashSet::new();
    let mut parts = Vec::with_capacity(members.len());
    for member in members {
        if !names.insert(member.name.as_str()) {
            problems.error(member.at, format!("member `{}` is there twice", member.name));
        }
        if member.name.contains("{{") {
            problems.error(member.at, "names of members are not rendered");
        }
        parts.push((member.name.clone(), compile(&member.value, walk, problems)));
    }
    parts
}

fn compile(located: &Located, walk: &mut Walk, problems: &mut Problems<'_>) -> Part {
    match &located.kind {
        Kind::Null => Part::Constant(Value::Null),
        Kind::Bool(truth) => Part::Constant((*truth).into()),
        Kind::Number(text) => Part::Constant(serde_json::from_str(text).unwrap_or_default()),
        Kind::String(text) if !text.contains("{{") => Part::Constant(text.as_str().into()),
        Kind::String(text) => compile_text(text, located.at, walk, problems),
        Kind::Array(elements) => Part::Array(elements.iter().map(|element| compile(element, walk, problems)).collect()),
        Kind::Object(members) => Part::Object(compile_members(members, walk, problems)),
    }
}

fn compile_text(text: &str, at: Position, walk: &mut Walk, problems: &mut Problems<'_>) -> Part {
    let mut template = match check::parse(text) {
        Ok(template) => template,
        Err(found) => {
            problems.error(at, format!("no Handlebars: {}", found.message));
            return Part::Constant(Value::Null);
        }
    };
    let is_json = check::is_json(&template);
    walk.text(&mut template, if is_json { Stand::Json } else { Stand::Text });
    for found in walk.found.drain(..) {
        match found.hint {
            Some(hint) => problems.error_with_hint(at, found.message, hint),
            None => problems.error(at, found.message),
        }
    }
    let text = Text { template, at };
    if is_json { Part::Json(text) } else { Part::Text(text) }
}

impl Part {
    pub(super) fn render(&self, context: &Context, data: Data) -> Result<Value, NotRendered> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Text(_) if data == Data::Blank => Ok("".into()),
            Self::Text(text) => Ok(text.render(context)?.into()),
            Self::Json(text) => {
                let json = text.render(context)?;
                if json.trim().is_empty() {
                    return Ok(Value::Null);
                }
                let refusal = |_error| Refusal::new("a helper wrote no JSON");
                let value = serde_json::from_str(&json).map_err(refusal);
                let value = value.map_err(|refusal| NotRendered { at: text.at, refusal })?;
                Ok(if data == Data::Blank { without_data(value) } else { value })
            }
            Self::Array(parts) => parts.iter().map(|part| part.render(context, data)).collect(),
            Self::Object(members) => render_members(members, context, data).map(Value::Object),
        }
    }
}

/// Renders the members of an object.
pub(super) fn render_members(
    members: &[(String, Part)],
    context: &Context,
    data: Data,
) -> Result<Map<String, Value>, NotRendered> {
    members.iter().map(|(name, part)| Ok((name.clone(), part.render(context, data)?))).collect()
}

impl Text {
    fn render(&self, data: &Context) -> Result<String, NotRendered> {
        let rendered = self.template.renders(&PLAIN, data, &mut RenderContext::new(None));
        rendered.map_err(|error| NotRendered { at: self.at, refusal: refusal(&error) })
    }
}

/// What is behind an error of rendering.
pub(super) fn refusal(error: &RenderError) -> Refusal {
    let reason = error.reason();
    if let RenderErrorReason::NestedError(cause) = reason
        && let Some(refusal) = cause.downcast_ref::<Refusal>()
    {
        return refusal.clone();
    }
    let RenderErrorReason::MissingVariable(path) = reason else { return Refusal::new(reason.to_string()) };
    Refusal::new(format!("`{}` has no value", path.as_deref().unwrap_or("what is looked up")))
}

/// Blanks the strings that have data in them.
pub(super) fn without_data(value: Value) -> Value {
    match value {
        Value::String(text) if marked::has_data(&text) => "".into(),
        Value::Array(elements) => elements.into_iter().map(without_data).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, without_data(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// Removes what FHIR does not know: blank strings, nulls, empty objects and arrays.
pub(super) fn without_empty(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.trim().is_empty() => None,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value),
        Value::Array(elements) => {
            let elements: Vec<Value> = elements.into_iter().filter_map(without_empty).collect();
            (!elements.is_empty()).then_some(Value::Array(elements))
        }
        Value::Object(members) => {
            Some(members_without_empty(members)).filter(|members| !members.is_empty()).map(Value::Object)
        }
    }
}

/// As `without_empty`, for the members of an object.
pub(super) fn members_without_empty(members: Map<String, Value>) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name, without_empty(value)?))).collect()
}
