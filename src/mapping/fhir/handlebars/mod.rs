//! HandlebarsFhir: a whole resource, written by the template, of any type of R4.
//!
//! ```json
//! { "templateType": "HandlebarsFhir",
//!   "template": {
//!     "typeName": "spo2", "periodInterval": 0,
//!     "resource": {
//!       "resourceType": "Observation",
//!       "code": { "coding": [ { "system": "http://loinc.org", "code": "59408-5" } ] },
//!       "valueQuantity": "{{quantity values.spo2 unit='%' code='%'}}",
//!       "note": [ { "text": "{{#if values.site}}measured at {{values.site}}{{/if}}" } ] } } }
//! ```
//!
//! # Forms
//!
//! - `resource`: every string is a Handlebars text. One that is exactly one call of a helper that writes JSON, alone or
//!   in the branches of a decision, becomes that JSON; every other stays a string. Names of members are static.
//! - `file`: the name of a text beside the mapping file that renders to JSON. Data stands within quotes, helpers that
//!   write JSON stand outside of them.
//!
//! Blank strings, nulls, empty objects and arrays are left out of what was rendered. `id` is not the template's: it
//! follows from the identifier (GR-13), which is added when the template does not write it.
//!
//! # What a template sees
//!
//! | variable | |
//! |---|---|
//! | `type` | the measurement type, as the device mapping spells it |
//! | `values.NAME` | the latest reading of that value, as text; missing when there is none. `values.[heart rate]` for names that are no identifiers |
//! | `series.NAME` | its readings in order of time: a list of `time` and `value`, empty when there is none |
//! | `start`, `end` | first and last instant the resource covers |
//! | `issued` | when it is made; in Observations only, for in others a message that comes again would change it |
//! | `device`, `patient`, `encounter` | each `id`, `reference`, and `identifier` as the message gave it; `encounter` may be missing |
//! | `correlationId` | when the message gave one |
//! | `identifier.system`, `identifier.value` | the identifier of the resource |
//!
//! The helpers are those of `helpers`. A missing variable is an error where its text is written (the readings are
//! dead-lettered), false in `{{#if}}`, and leaves out what a helper would write.
//!
//! # No reading changes the structure
//!
//! In `resource`, data is put into strings that exist already. In `file`, data is marked (see `marked`) until the text
//! has been parsed, so it cannot close a quote or stand outside of one; `{{{x}}}` is the same as `{{x}}`.

mod check;
mod document;
mod helpers;
mod marked;
mod members;
mod resource;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use std::path::{Component, Path};

use handlebars::Context;
use serde_json::{Map, Value};

use self::check::{Uses, Walk};
use self::document::Document;
use self::resource::{Data, NotRendered, Part, compile_members, members_without_empty, render_members};
use self::view::{Party, View};
use super::super::load::{Fields, nearest};
use super::super::problem::Problems;
use super::super::source::{Include, Kind, Member, Position};
use crate::r4::definitions::elements::element_of;
use crate::r4::resource_type::ResourceType;

pub(crate) use self::helpers::Refusal;

/// A resource by Handlebars.
#[derive(Clone, Debug)]
pub(crate) struct HandlebarsFhir {
    /// The type of resource, the same for every group.
    pub(crate) resource_type: ResourceType,
    body: Body,
    uses: Uses,
}

#[derive(Clone, Debug)]
enum Body {
    Resource(Vec<(String, Part)>),
    File { name: String, document: Document },
}

impl HandlebarsFhir {
    /// Names of the values it mentions.
    pub(crate) fn value_names(&self) -> impl Iterator<Item = &str> {
        self.uses.values.keys().map(String::as_str)
    }

    /// Whether it may look at a value of this name.
    pub(crate) fn uses(&self, name: &str) -> bool {
        self.uses.has(name)
    }

    /// The members of the resource, those that are empty left out.
    ///
    /// # Errors
    /// When a variable that is written is missing, a value is not of its type, or the text renders to no JSON.
    pub(crate) fn render(&self, view: &View<'_>) -> Result<Map<String, Value>, Refusal> {
        self.render_data(view.to_json(&self.uses)).map_err(|failed| {
            let line = failed.at.line;
            let place = match &self.body {
                Body::Resource(_) => format!("line {line}"),
                Body::File { name, .. } => format!("{name} line {line}"),
            };
            Refusal { reason: format!("{place}: {}", failed.refusal.reason), ..failed.refusal }
        })
    }

    fn render_data(&self, data: Value) -> Result<Map<String, Value>, NotRendered> {
        let members = members_without_empty(self.body.render(data, Data::Shown)?);
        if stated_type(&members) != Some(self.resource_type.as_str()) {
            let refusal = Refusal::new(format!("the resource is no {}", self.resource_type.as_str()));
            return Err(NotRendered { at: Position { line: 1, column: 1 }, refusal });
        }
        Ok(members)
    }

    /// How many identifiers its resource has.
    pub(crate) fn identifiers(&self) -> Identifiers {
        match element_of(self.resource_type.as_str(), "identifier") {
            None => Identifiers::None,
            Some(identifier) if identifier.repeats => Identifiers::Many,
            Some(_) => Identifiers::One,
        }
    }

    /// The resource as the template alone says it, of one trial: strings that come from data are blank.
    pub(in crate::mapping) fn trial(&self) -> Option<Value> {
        self.body.render(sample(&self.uses), Data::Blank).ok().map(Value::Object)
    }

    /// Whether its resource is an Observation.
    pub(crate) fn is_observation(&self) -> bool {
        self.resource_type.as_str() == OBSERVATION
    }
}

const OBSERVATION: &str = "Observation";

/// How many identifiers a type of resource has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identifiers {
    /// None: it is found by its id alone.
    None,
    /// One, which is no list.
    One,
    /// A list.
    Many,
}

impl Body {
    fn render(&self, view: Value, data: Data) -> Result<Map<String, Value>, NotRendered> {
        let context = Context::from(view);
        match self {
            Self::Resource(members) => render_members(members, &context, data),
            Self::File { document, .. } => document.render(&context, data),
        }
    }
}

fn stated_type(members: &Map<String, Value>) -> Option<&str> {
    members.get("resourceType").and_then(Value::as_str)
}

/// Data with a reading for every value that a template mentions.
fn sample(uses: &Uses) -> Value {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let readings: Vec<_> = uses.values.iter().map(|(name, value)| (name.as_str(), [(at, value.as_str())])).collect();
    let party = Party { id: "1", identifier: Some("1") };
    let view = View {
        measurement_type: "type",
        series: readings.iter().map(|(name, points)| (*name, points.as_slice())).collect(),
        start: at,
        end: at,
        issued: at,
        device: party,
        patient: party,
        encounter: Some(party),
        correlation_id: Some("1"),
        identifier_system: "urn:system",
        identifier_value: "1",
    };
    view.to_json(uses)
}

/// Reads the body of a template, its common members excepted.
pub(super) fn read(body: &Fields, include: Include<'_>, problems: &mut Problems<'_>) -> Option<HandlebarsFhir> {
    body.refuse_unknown(&["typeName", "periodInterval", "resource", "file"], problems);
    match (body.given("resource"), body.given("file")) {
        (Some(resource), None) => read_resource(resource, problems),
        (None, Some(file)) => read_file(file, include, problems),
        (Some(_), Some(file)) => {
            problems.error(file.at, "a template has `resource` or `file`, not both");
            None
        }
        (None, None) => {
            problems.error(body.at, "a template needs `resource` or `file`");
            None
        }
    }
}

fn read_resource(member: &Member, problems: &mut Problems<'_>) -> Option<HandlebarsFhir> {
    let Kind::Object(members) = &member.value.kind else {
        problems.error(member.at, "`resource` must be an object");
        return None;
    };
    let errors_before = problems.errors();
    let resource_type = members.iter().find(|member| member.name == "resourceType");
    if resource_type.is_some_and(|member| !matches!(&member.value.kind, Kind::String(text) if !text.contains("{{"))) {
        problems.error(member.at, "`resourceType` must be a text without data");
    }
    if let Some(id) = members.iter().find(|member| member.name == "id") {
        problems.error(id.at, ID_IS_OURS);
    }
    let mut walk = Walk::default();
    let compiled = compile_members(members, &mut walk, problems);
    if problems.errors() > errors_before {
        return None;
    }
    let at = resource_type.map_or(member.at, |member| member.value.at);
    let template =
        tried_out(Body::Resource(compiled), walk.uses, at).map_err(|unfit| unfit.report(None, problems)).ok()?;
    if template.is_observation() {
        members::check_observation(members, problems);
    }
    Some(template)
}

const ID_IS_OURS: &str = "`id` is not the template's: it follows from the identifier";

/// Why a template that compiles cannot be used.
struct Unfit {
    at: Position,
    message: String,
    hint: Option<String>,
}

impl Unfit {
    fn report(self, file: Option<&str>, problems: &mut Problems<'_>) {
        match (file, self.hint) {
            (Some(file), hint) => problems.error_in(file, self.at, self.message, hint),
            (None, Some(hint)) => problems.error_with_hint(self.at, self.message, hint),
            (None, None) => problems.error(self.at, self.message),
        }
    }
}

/// Renders a template once, with a reading for every value; what comes of it says which type the resource is of.
fn tried_out(body: Body, uses: Uses, at: Position) -> Result<HandlebarsFhir, Unfit> {
    let unfit = |message: &str| Unfit { at, message: message.to_owned(), hint: None };
    let members = body.render(sample(&uses), Data::Shown).map(members_without_empty).map_err(|failed| Unfit {
        at: failed.at,
        message: failed.refusal.reason,
        hint: None,
    })?;
    let stated = stated_type(&members).ok_or_else(|| unfit("the resource has no `resourceType`"))?;
    let Some(resource_type) = ResourceType::parse(stated) else {
        let known: Vec<&str> = ResourceType::all().map(ResourceType::as_str).collect();
        let message = format!("`{stated}` is no resource type of R4");
        return Err(Unfit { at, message, hint: nearest(stated, &known) });
    };
    let template = HandlebarsFhir { resource_type, body, uses };
    if members.contains_key("id") {
        return Err(unfit(ID_IS_OURS));
    }
    if template.uses.issued && !template.is_observation() {
        return Err(unfit("`issued` is another time with every delivery; only Observations keep the first one"));
    }
    if template.is_observation() && !members.contains_key("code") {
        return Err(unfit("an Observation has a `code`"));
    }
    Ok(template)
}

fn read_file(member: &Member, include: Include<'_>, problems: &mut Problems<'_>) -> Option<HandlebarsFhir> {
    let Kind::String(name) = &member.value.kind else {
        problems.error(member.at, "`file` must be a text");
        return None;
    };
    if !is_beside(name) {
        problems.error(member.value.at, format!("`{name}` is not a file in the directory of the mapping file"));
        return None;
    }
    let text = match include(name) {
        Ok(text) => text,
        Err(reason) => {
            problems.error(member.value.at, format!("cannot read `{name}`: {reason}"));
            return None;
        }
    };
    let mut walk = Walk::default();
    let document = match Document::compile(&text, &mut walk) {
        Ok(document) => Some(document),
        Err(found) => {
            walk.found.push(found);
            None
        }
    };
    let is_sound = walk.found.is_empty();
    for found in walk.found {
        problems.error_in(name, Position { line: found.line, column: found.column }, found.message, found.hint);
    }
    let body = Body::File { name: name.clone(), document: document.filter(|_| is_sound)? };
    let at = Position { line: 1, column: 1 };
    tried_out(body, walk.uses, at).map_err(|unfit| unfit.report(Some(name), problems)).ok()
}

/// Whether a name leads to a file in the directory of the mapping file or below.
fn is_beside(name: &str) -> bool {
    let plain = |component| matches!(component, Component::Normal(_));
    !name.is_empty() && !name.contains(['\\', ':']) && Path::new(name).components().all(plain)
}
