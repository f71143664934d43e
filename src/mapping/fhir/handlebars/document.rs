//! The file form of a template: a text that renders to the JSON of a resource.

use handlebars::{Context, RenderContext, Renderable, Template};
use serde_json::{Map, Value};

use super::super::super::source::Position;
use super::check::{self, Found, Stand, Walk};
use super::helpers::{MARKED, Refusal};
use super::marked;
use super::resource::{Data, NotRendered, refusal, without_data};
use crate::json;

/// A text that renders to a resource.
#[derive(Clone, Debug)]
pub(super) struct Document {
    template: Template,
    /// To find the line that an unparsable one came from.
    text: String,
}

impl Document {
    /// Compiles a text; what is wrong with it is in `walk` or the error.
    ///
    /// # Errors
    /// When it is no Handlebars.
    pub(super) fn compile(text: &str, walk: &mut Walk) -> Result<Self, Found> {
        if marked::is_marked(text) {
            let message = "characters of a private use plane are not available here".to_owned();
            return Err(Found { line: 1, column: 1, message, hint: None });
        }
        let mut template = check::parse(text)?;
        walk.text(&mut template, Stand::Document { in_string: false });
        Ok(Self { template, text: text.to_owned() })
    }

    pub(super) fn render(&self, context: &Context, data: Data) -> Result<Map<String, Value>, NotRendered> {
        let rendered = self.template.renders(&MARKED, context, &mut RenderContext::new(None)).map_err(|error| {
            let at = Position { line: error.line_no.unwrap_or(1), column: error.column_no.unwrap_or(1) };
            NotRendered { at, refusal: refusal(&error) }
        })?;
        let at_start =
            |reason: &str| NotRendered { at: Position { line: 1, column: 1 }, refusal: Refusal::new(reason) };
        // A member that is there twice could say two things of whom the resource is about.
        if let Err(error) = json::parse_unique(rendered.as_bytes()) {
            return Err(self.no_json(&rendered, &error));
        }
        let Ok(Value::Object(members)) = serde_json::from_str(&rendered) else {
            return Err(at_start("what it renders to is no object"));
        };
        if data == Data::Blank {
            return Ok(members.into_iter().map(|(name, value)| (name, without_data(value))).collect());
        }
        let reason = "names of members and what `resourceType` says are no data";
        unmarked_members(members).ok_or_else(|| at_start(reason))
    }

    /// Names the line of the text that most likely made the line that does not parse.
    fn no_json(&self, rendered: &str, error: &json::JsonError) -> NotRendered {
        let (line, column) = error.position();
        let found = rendered.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
        let written = self.text.lines().position(|written| !found.is_empty() && written.trim() == found);
        let line = written.map_or(line, |index| index + 1).clamp(1, self.text.lines().count().max(1));
        let what = if error.is_duplicate_member() { "names a member twice" } else { "is no JSON" };
        let line_text = marked::unmark(found).unwrap_or_else(|| found.to_owned());
        let refusal = Refusal::new(format!("what it renders to {what}: `{line_text}`"));
        NotRendered { at: Position { line, column: column.max(1) }, refusal }
    }
}

/// Puts data in its place; `None` when it is where only the template may decide.
fn unmarked_members(members: Map<String, Value>) -> Option<Map<String, Value>> {
    let unmarked = members.into_iter().map(|(name, value)| {
        let is_type = name == "resourceType" && value.as_str().is_some_and(marked::is_marked);
        (!is_type && !marked::is_marked(&name)).then_some((name, unmarked(value)?))
    });
    unmarked.collect()
}

fn unmarked(value: Value) -> Option<Value> {
    match value {
        Value::String(text) => marked::unmark(&text).map(Value::String),
        Value::Array(elements) => elements.into_iter().map(unmarked).collect::<Option<Vec<_>>>().map(Value::Array),
        Value::Object(members) => unmarked_members(members).map(Value::Object),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value),
    }
}
