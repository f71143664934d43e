//! Parts of resources, for clients that do not need the whole (<https://hl7.org/fhir/R4/search.html#summary>).
//!
//! A part is cut from the text of the resource: what stays in it stays as it is written. It always has what says which
//! resource it is (`id`, `meta`), what R4 demands of its type, and what may change the meaning of the rest
//! (`implicitRules`, `modifierExtension`). It is tagged as a part, so that it is not taken for the whole.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::fhir::search::element::Named;
use crate::json::Node;
use crate::json::tree::members;
use crate::r4::definitions::elements::{Element, elements_of};
use crate::r4::resource_type::ResourceType;

/// The tag of a part; <https://terminology.hl7.org/CodeSystem-v3-ObservationValue.html>.
const TAG: &str = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#;

/// The code system of the tag.
const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

/// Which part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subset {
    /// The elements that R4 marks as such, at every depth.
    Summary,
    /// The narrative.
    Text,
    /// All but the narrative.
    Data,
    /// Those that are named.
    Elements(Vec<Named>),
}

/// How a resource came into an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It was asked for.
    Match,
    /// It came along with others.
    Include,
}

impl Subset {
    /// The part of a resource; `None` if it stays whole.
    pub(crate) fn of(&self, text: &[u8], role: Role) -> Option<Vec<u8>> {
        let members = members(text)?;
        let resource_type = type_of(&members)?;
        let wanted = self.named(resource_type, role)?;
        let mut part = Object::default();
        let mut tagged = false;
        for (name, value) in &members {
            match name.as_ref() {
                "resourceType" | "id" => part.push(name, value.get()),
                "meta" => {
                    part.push(name, &with_tag(value.get()));
                    tagged = true;
                }
                _ => {
                    let element = element_under(resource_type.as_str(), name);
                    if self.keeps(name, element.map(|(element, _)| element), &wanted) {
                        part.push(name, &self.inner(element, value.get()));
                    }
                }
            }
        }
        if !tagged {
            part.push("meta", &with_tag("{}"));
        }
        Some(part.close().into_bytes())
    }

    /// The names that concern a resource; `None` if it is none of those that are cut.
    fn named(&self, resource_type: ResourceType, role: Role) -> Option<Vec<&str>> {
        let Self::Elements(elements) = self else { return Some(Vec::new()) };
        let concerns = |named: &&Named| match named.resource_type {
            Some(only) => only == resource_type,
            None => role == Role::Match,
        };
        let names: Vec<&str> = elements.iter().filter(concerns).map(|named| named.element.as_str()).collect();
        (!names.is_empty()).then_some(names)
    }

    fn keeps(&self, name: &str, element: Option<&Element>, wanted: &[&str]) -> bool {
        let Some(element) = element else { return *self == Self::Data };
        let modifies = matches!(element.name, "implicitRules" | "modifierExtension");
        match self {
            Self::Summary => element.summary || element.required || modifies,
            Self::Text => element.name == "text" || element.required || modifies,
            Self::Data => name != "text",
            Self::Elements(_) => wanted.contains(&element.name) || element.required || modifies,
        }
    }

    fn inner<'a>(&self, element: Option<(&Element, &'static str)>, value: &'a str) -> Cow<'a, str> {
        match (self, element) {
            (Self::Summary, Some((element, data_type))) => summarized(context(element, data_type), value),
            _ => Cow::Borrowed(value),
        }
    }
}

/// The type of a resource, given its members.
fn type_of(members: &[(Cow<'_, str>, &RawValue)]) -> Option<ResourceType> {
    let (_, name) = members.iter().find(|(name, _)| name == "resourceType")?;
    ResourceType::parse(name.get().trim_matches('"'))
}

/// The element that a member belongs to, and the type it has there.
fn element_under(context: &str, member: &str) -> Option<(&'static Element, &'static str)> {
    let name = member.strip_prefix('_').unwrap_or(member);
    elements_of(context).iter().find_map(|element| Some((element, element.type_under(name)?)))
}

fn context(element: &Element, data_type: &'static str) -> &'static str {
    if matches!(data_type, "BackboneElement" | "Element") { element.path } else { data_type }
}

/// The summary of a value, or of each in an array. An extension stays whole, and so does what has nothing in its summary:
/// half of it would say something else.
fn summarized<'a>(context: &str, value: &'a str) -> Cow<'a, str> {
    if context == "Extension" {
        return Cow::Borrowed(value);
    }
    if value.starts_with('[') {
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(value) else { return Cow::Borrowed(value) };
        let summaries: Vec<Cow<'_, str>> = elements.iter().map(|it| summarized(context, it.get())).collect();
        return Cow::Owned(format!("[{}]", summaries.join(",")));
    }
    let Some(members) = members(value.as_bytes()) else { return Cow::Borrowed(value) };
    let mut part = Object::default();
    for (name, value) in &members {
        match element_under(context, name) {
            Some((element, data_type)) if element.summary || element.required => {
                part.push(name, &summarized(self::context(element, data_type), value.get()));
            }
            _ => {}
        }
    }
    if part.0.is_empty() { Cow::Borrowed(value) } else { Cow::Owned(part.close()) }
}

/// `meta` with the tag of a part.
fn with_tag(meta: &str) -> String {
    let mut tagged = Object::default();
    let mut tags = format!("[{TAG}]");
    for (name, value) in members(meta.as_bytes()).unwrap_or_default() {
        match value.get().strip_suffix(']') {
            Some(others) if name == "tag" => tags = format!("{others},{TAG}]"),
            _ => tagged.push(&name, value.get()),
        }
    }
    tagged.push("tag", &tags);
    tagged.close()
}

/// Whether a resource is tagged as a part of one.
pub(crate) fn is_part(resource: &Node<'_>) -> bool {
    let tags = resource.member("meta").and_then(|meta| meta.member("tag")).map_or(&[][..], Node::elements);
    let has = |tag: &Node<'_>, name: &str, value: &str| tag.member(name).and_then(Node::as_str) == Some(value);
    tags.iter().any(|tag| has(tag, "code", "SUBSETTED") && has(tag, "system", SYSTEM))
}

/// The text of an object under construction, without its braces.
#[derive(Default)]
struct Object(String);

impl Object {
    /// Names of FHIR need no escape.
    fn push(&mut self, name: &str, value: &str) {
        let separator = if self.0.is_empty() { "" } else { "," };
        for part in [separator, "\"", name, "\":", value] {
            self.0.push_str(part);
        }
    }

    fn close(self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// The part of an answer: of each resource in a Bundle, `None` where nothing is cut.
pub(crate) fn of_bundle(subset: &Subset, text: &[u8]) -> Option<Vec<u8>> {
    let mut bundle = Object::default();
    for (name, value) in members(text)? {
        if name != "entry" {
            bundle.push(&name, value.get());
            continue;
        }
        let entries: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
        let entries: Vec<String> = entries.iter().map(|it| of_entry(subset, it.get())).collect::<Option<_>>()?;
        bundle.push("entry", &format!("[{}]", entries.join(",")));
    }
    Some(bundle.close().into_bytes())
}

fn of_entry(subset: &Subset, text: &str) -> Option<String> {
    let members = members(text.as_bytes())?;
    let mode = members.iter().find(|(name, _)| name == "search").map_or("", |(_, search)| search.get());
    let role = if mode.contains("\"include\"") { Role::Include } else { Role::Match };
    let mut entry = Object::default();
    for (name, value) in &members {
        let part = if name == "resource" && !mode.contains("\"outcome\"") {
            subset.of(value.get().as_bytes(), role).and_then(|part| String::from_utf8(part).ok())
        } else {
            None
        };
        entry.push(name, part.as_deref().unwrap_or(value.get()));
    }
    Some(entry.close())
}

#[cfg(test)]
mod tests;
