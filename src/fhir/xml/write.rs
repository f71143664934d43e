//! From the tree of a resource to XML.

use std::slice;

use super::member::{Kind, Member, member};
use super::{FHIR, is_character, xhtml};
use crate::json::Node;
use crate::r4::resource_type::ResourceType;

/// Whether lines are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All on one line.
    Compact,
    /// A line for each element, indented.
    Pretty,
}

/// Why a resource has no XML: it holds what R4 does not define.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {reason}", path.iter().rev().map(String::as_str).collect::<Vec<_>>().join("."))]
pub(crate) struct Unwritable {
    /// Names from the innermost to the resource.
    path: Vec<String>,
    reason: &'static str,
}

impl Unwritable {
    fn new(reason: &'static str) -> Self {
        Self { path: Vec::new(), reason }
    }

    fn below(mut self, parent: &str) -> Self {
        self.path.push(parent.to_owned());
        self
    }
}

/// The XML of a resource, given as the tree of its JSON.
///
/// # Errors
/// When it has what R4 does not define, or text that XML cannot hold.
pub(crate) fn write(resource: &Node<'_>, layout: Layout) -> Result<String, Unwritable> {
    let text = String::from(r#"<?xml version="1.0" encoding="UTF-8"?>"#);
    let mut document = Document { text, layout, depth: 0 };
    document.resource(resource, &format!(r#" xmlns="{FHIR}""#))?;
    Ok(document.text)
}

struct Document {
    text: String,
    layout: Layout,
    depth: usize,
}

/// A member, and what JSON keeps of it under its name with `_` in front: the ids and extensions of its values.
struct Item<'a> {
    name: &'a str,
    member: Member,
    values: &'a [Node<'a>],
    extras: &'a [Node<'a>],
}

impl Document {
    fn resource(&mut self, resource: &Node<'_>, namespace: &str) -> Result<(), Unwritable> {
        let named = resource.member("resourceType").and_then(Node::as_str).and_then(ResourceType::parse);
        let name = named.ok_or_else(|| Unwritable::new("names no type of R4").below("resourceType"))?.as_str();
        self.open(name);
        self.text.push_str(namespace);
        self.rest(name, name, resource).map_err(|error| error.below(name))
    }

    /// All of an element behind its name.
    fn rest(&mut self, name: &str, context: &str, object: &Node<'_>) -> Result<(), Unwritable> {
        let items = items(context, object)?;
        let (attributes, elements): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| item.member.kind == Kind::Attribute);
        for item in attributes {
            self.attribute(item.name, item.values.first()).map_err(|error| error.below(item.name))?;
        }
        if elements.is_empty() {
            self.text.push_str("/>");
            return Ok(());
        }
        self.text.push('>');
        self.depth += 1;
        for item in elements {
            for index in 0..item.values.len().max(item.extras.len()) {
                self.element(&item, index).map_err(|error| error.below(item.name))?;
            }
        }
        self.close(name);
        Ok(())
    }

    fn element(&mut self, item: &Item<'_>, index: usize) -> Result<(), Unwritable> {
        let value = item.values.get(index).filter(|value| **value != Node::Null);
        let extra = item.extras.get(index).filter(|extra| **extra != Node::Null);
        match (item.member.kind, value, extra) {
            (Kind::Primitive(_), value, extra) => {
                self.open(item.name);
                if value.is_some() {
                    self.attribute("value", value)?;
                }
                self.rest(item.name, "Element", extra.unwrap_or(&Node::Null))
            }
            (Kind::Complex(context), Some(object @ Node::Object(_)), None) => {
                self.open(item.name);
                self.rest(item.name, context, object)
            }
            (Kind::Resource, Some(resource), None) => {
                self.open(item.name);
                self.text.push('>');
                self.depth += 1;
                self.resource(resource, "")?;
                self.close(item.name);
                Ok(())
            }
            (Kind::Xhtml, Some(Node::String(division)), None) => {
                if !xhtml::is_division(division) {
                    return Err(Unwritable::new("is not a `div` of XHTML"));
                }
                self.break_line();
                self.text.push_str(division);
                Ok(())
            }
            _ => Err(Unwritable::new("has a value of another kind than R4 defines")),
        }
    }

    fn attribute(&mut self, name: &str, value: Option<&Node<'_>>) -> Result<(), Unwritable> {
        let text = match value {
            Some(Node::String(text) | Node::Number(text)) => text,
            Some(Node::Bool(true)) => "true",
            Some(Node::Bool(false)) => "false",
            Some(Node::Null | Node::Array(_) | Node::Object(_)) | None => {
                return Err(Unwritable::new("has a value of another kind than R4 defines"));
            }
        };
        for part in [" ", name, "=\""] {
            self.text.push_str(part);
        }
        for character in text.chars() {
            match character {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                // Written as they are they would be read as spaces.
                '\t' => self.text.push_str("&#9;"),
                '\n' => self.text.push_str("&#10;"),
                '\r' => self.text.push_str("&#13;"),
                character if is_character(character) => self.text.push(character),
                _ => return Err(Unwritable::new("has a character that XML does not have")),
            }
        }
        self.text.push('"');
        Ok(())
    }

    fn open(&mut self, name: &str) {
        self.break_line();
        self.text.push('<');
        self.text.push_str(name);
    }

    fn close(&mut self, name: &str) {
        self.depth -= 1;
        self.break_line();
        for part in ["</", name, ">"] {
            self.text.push_str(part);
        }
    }

    fn break_line(&mut self) {
        if self.layout == Layout::Pretty {
            self.text.push('\n');
            (0..self.depth).for_each(|_| self.text.push_str("  "));
        }
    }
}

/// The members of an object in the order of the definition.
fn items<'a>(context: &str, object: &'a Node<'_>) -> Result<Vec<Item<'a>>, Unwritable> {
    let is_resource = ResourceType::parse(context).is_some();
    let mut items: Vec<Item<'a>> = Vec::new();
    for (written, value) in object.members().iter().filter(|(name, _)| !(is_resource && name == "resourceType")) {
        let name = written.strip_prefix('_').unwrap_or(written);
        let unknown = || Unwritable::new("is not defined by R4").below(written);
        let member = member(context, name).ok_or_else(unknown)?;
        let values = if let Node::Array(elements) = value { elements.as_slice() } else { slice::from_ref(value) };
        let place = items.iter().position(|item| item.name == name).unwrap_or(items.len());
        if place == items.len() {
            items.push(Item { name, member, values: &[], extras: &[] });
        }
        match items.get_mut(place) {
            Some(item) if name.len() == written.len() => item.values = values,
            Some(item) if matches!(member.kind, Kind::Primitive(_)) => item.extras = values,
            _ => return Err(unknown()),
        }
    }
    items.sort_by_key(|item| item.member.place);
    Ok(items)
}
