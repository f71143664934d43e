//! `$expand`: the codes of a value set (<https://hl7.org/fhir/R4/valueset-operation-expand.html>).
//!
//! An expansion is flat and in the order of the definition. Displays are those of the definitions, whatever language is
//! asked for.

use jiff::Timestamp;
use uuid::Uuid;

use super::parameters::{Input, Kind, Parameters};
use super::terminology::{Wanted, one};
use super::{Call, Reply, Work};
use crate::fhir::api::error::ApiError;
use crate::fhir::terminology::code_system::Designation;
use crate::fhir::terminology::expansion::{Member, expand as list};
use crate::fhir::terminology::value_set::{Definition, ValueSet};
use crate::json::{self, Node};

/// What it takes. `excludeNested` and `excludePostCoordinated` ask for what is so in any case; displays are not translated,
/// whatever `displayLanguage` says.
pub(super) const INPUTS: &[Input] = &[
    one("url", Kind::Text),
    one("valueSet", Kind::Resource),
    one("valueSetVersion", Kind::Text),
    one("filter", Kind::Text),
    one("offset", Kind::Integer),
    one("count", Kind::Integer),
    one("includeDesignations", Kind::Boolean),
    one("includeDefinition", Kind::Boolean),
    one("activeOnly", Kind::Boolean),
    one("excludeNested", Kind::Boolean),
    one("excludeNotForUI", Kind::Boolean),
    one("excludePostCoordinated", Kind::Boolean),
    one("displayLanguage", Kind::Text),
];

/// What is wanted of the expansion.
struct Choice {
    words: Vec<String>,
    offset: usize,
    count: Option<usize>,
    designations: bool,
    definition: bool,
    active_only: bool,
    selectable_only: bool,
    /// As they stand in the answer.
    parameters: Vec<Node<'static>>,
    at: Timestamp,
}

/// `GET` and `POST [base]/ValueSet/$expand`, `[base]/ValueSet/[id]/$expand`
pub(super) fn expand(call: &Call<'_>) -> Result<Work, ApiError> {
    let wanted = Wanted::read(call)?;
    let choice = Choice::read(&call.parameters, call.state.clock.now())?;
    Ok(Work::read(move |reader| {
        let value_set = wanted.find(reader)?;
        let members = list(reader, &value_set)?;
        choice.write(&value_set, members)
    }))
}

impl Choice {
    fn read(parameters: &Parameters<'_>, at: Timestamp) -> Result<Self, ApiError> {
        let number = |name: &str| {
            let number = parameters.integer(name).map(usize::try_from).transpose();
            number.map_err(|_negative| parameters.refuse(name, format!("`{name}` is a number from 0.")))
        };
        let is = |name: &str| parameters.boolean(name).unwrap_or_default();
        Ok(Self {
            words: parameters.text("filter").unwrap_or_default().split_whitespace().map(str::to_lowercase).collect(),
            offset: number("offset")?.unwrap_or_default(),
            count: number("count")?,
            designations: is("includeDesignations"),
            definition: is("includeDefinition"),
            active_only: is("activeOnly"),
            selectable_only: is("excludeNotForUI"),
            parameters: stated(parameters),
            at,
        })
    }

    fn takes(&self, member: &Member) -> bool {
        let display = member.display.as_deref().unwrap_or_default().to_lowercase();
        let code = member.code.to_lowercase();
        let is_hidden = (self.active_only && member.is_inactive) || (self.selectable_only && member.is_abstract);
        !is_hidden && self.words.iter().all(|word| display.contains(word) || code.contains(word))
    }

    fn write(self, value_set: &ValueSet, members: Vec<Member>) -> Result<Reply, ApiError> {
        let chosen: Vec<Member> = members.into_iter().filter(|member| self.takes(member)).collect();
        let number = |number: usize| Node::Number(number.to_string().into());
        let mut expansion = object([
            ("identifier", Node::from(Uuid::new_v4().urn().to_string())),
            ("timestamp", Node::from(format!("{:.3}", self.at))),
            ("total", number(chosen.len())),
        ]);
        if self.offset > 0 || self.count.is_some() {
            push(&mut expansion, "offset", number(self.offset));
        }
        push_list(&mut expansion, "parameter", self.parameters.clone());
        let page = chosen.iter().skip(self.offset).take(self.count.unwrap_or(usize::MAX));
        push_list(&mut expansion, "contains", page.map(|member| self.contained(member)).collect());
        let body = match &value_set.definition {
            Definition::Resource(body) => body.clone(),
            Definition::OfR4(value_set) => {
                let url = Node::from(value_set.url);
                format!(r#"{{"resourceType":"ValueSet","url":{url},"version":"4.0.1","status":"active"}}"#).into()
            }
        };
        let resource = json::parse(&body).map_err(ApiError::internal)?;
        let is_left_out = |name: &str| {
            matches!(name, "id" | "meta" | "text" | "contained" | "expansion")
                || (name == "compose" && !self.definition)
        };
        let kept = resource.members().iter().filter(|(name, _)| !is_left_out(name)).cloned();
        let members = kept.chain([("expansion".into(), expansion)]).collect();
        Ok(Reply::ok(Node::Object(members).to_string()))
    }

    fn contained(&self, member: &Member) -> Node<'static> {
        let mut node = object([("system", Node::from(member.system.clone()))]);
        if member.is_abstract {
            push(&mut node, "abstract", Node::Bool(true));
        }
        if member.is_inactive {
            push(&mut node, "inactive", Node::Bool(true));
        }
        if let Some(version) = &member.version {
            push(&mut node, "version", Node::from(version.clone()));
        }
        push(&mut node, "code", Node::from(member.code.clone()));
        if let Some(display) = &member.display {
            push(&mut node, "display", Node::from(display.clone()));
        }
        if self.designations {
            push_list(&mut node, "designation", member.designations.iter().map(designation).collect());
        }
        node
    }
}

/// A designation as a value set has it.
fn designation(designation: &Designation) -> Node<'static> {
    let mut node = Node::Object(Vec::new());
    if let Some(language) = &designation.language {
        push(&mut node, "language", Node::from(language.clone()));
    }
    if let Some(usage) = &designation.usage {
        push(&mut node, "use", usage.clone());
    }
    push(&mut node, "value", Node::from(designation.value.clone()));
    node
}

/// The parameters that decided what is in the expansion.
fn stated(parameters: &Parameters<'_>) -> Vec<Node<'static>> {
    let member = |name: &str| match name {
        "filter" => Some("valueString"),
        "activeOnly" | "includeDesignations" | "excludeNotForUI" => Some("valueBoolean"),
        _ => None,
    };
    let stated = INPUTS.iter().filter_map(|input| {
        let (member, text) = (member(input.name)?, parameters.text(input.name)?);
        let value = if member == "valueBoolean" { Node::Bool(text == "true") } else { Node::from(text) };
        Some(object([("name", Node::from(input.name)), (member, value)]))
    });
    stated.collect()
}

fn object<const N: usize>(members: [(&'static str, Node<'static>); N]) -> Node<'static> {
    Node::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn push(object: &mut Node<'static>, name: &'static str, value: Node<'static>) {
    if let Node::Object(members) = object {
        members.push((name.into(), value));
    }
}

/// An empty array is not FHIR.
fn push_list(object: &mut Node<'static>, name: &'static str, elements: Vec<Node<'static>>) {
    if !elements.is_empty() {
        push(object, name, Node::Array(elements));
    }
}
