//! Whether a resource is one of R4: its elements, how often they are there, their types and formats, and the codes they
//! must be from (<https://hl7.org/fhir/R4/validation.html>).
//!
//! The check knows the official definitions and nothing of profiles. It goes once through the resource, collects what is
//! wrong with its place, and stops at `ISSUES_MAX`.

mod json_rules;
pub(crate) mod place;
mod primitive;
mod rules;
mod types;
mod xhtml;

use std::collections::HashSet;

use self::place::Place;
use self::primitive::Fault;
use self::types::{Elements, Kind, Member, Rule, Type, TypeIndex};
use crate::json::Node;
use crate::r4::outcome::{Issue, Severity};
use crate::r4::resource_type::ResourceType;

/// Most issues listed of one resource.
const ISSUES_MAX: usize = 50;

/// Longest part of what a client sent that an issue repeats, in characters.
const QUOTED_MAX: usize = 64;

/// How much of a resource is checked before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    /// All that R4 defines of its type.
    Structure,
    /// As `Structure`, but a reference may be a search, which a transaction resolves before it writes.
    StructureOfEntry,
    /// The rules of the JSON format alone.
    Json,
}

impl Validation {
    /// The same for an entry of a transaction before its references are resolved.
    pub(crate) fn of_entry(self) -> Self {
        match self {
            Self::Structure | Self::StructureOfEntry => Self::StructureOfEntry,
            Self::Json => Self::Json,
        }
    }

    /// What is wrong with a resource; nothing when the list is empty.
    pub(crate) fn check(self, resource_type: ResourceType, resource: &Node<'_>) -> Vec<Issue> {
        match self {
            Self::Structure => check(resource_type, resource, Searches::Refused),
            Self::StructureOfEntry => check(resource_type, resource, Searches::Taken),
            Self::Json => json_rules::check(resource_type, resource),
        }
    }
}

fn check(resource_type: ResourceType, resource: &Node<'_>, searches: Searches) -> Vec<Issue> {
    let mut checker = Checker { issues: Vec::new(), contained: HashSet::new(), searches };
    checker.resource(resource_type, resource, Within::Nothing, &Place::Root(resource_type.as_str()));
    checker.issues
}

/// What is known while a resource is gone through.
struct Checker<'n> {
    issues: Vec<Issue>,
    /// The ids of the resources contained in the one being checked.
    contained: HashSet<&'n str>,
    searches: Searches,
}

/// What becomes of a reference such as `Patient?identifier=1`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Searches {
    /// It is resolved later.
    Taken,
    /// Stored as it is it would lead nowhere.
    Refused,
}

/// What a resource stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    /// It is what was sent, or an entry of a Bundle, or a parameter.
    Nothing,
    /// Another resource.
    Resource,
}

impl<'n> Checker<'n> {
    fn resource(&mut self, resource_type: ResourceType, node: &'n Node<'n>, within: Within, place: &Place<'_>) {
        let Some(own) = types::resource(resource_type) else { return };
        if within == Within::Resource {
            self.contained_rules(node, place);
            return self.object(own, node, place);
        }
        let inside = self.contained_ids(node, place);
        let outside = std::mem::replace(&mut self.contained, inside);
        self.object(own, node, place);
        self.contained = outside;
    }

    /// A resource within another, whose type only its body tells.
    fn inner_resource(&mut self, node: &'n Node<'n>, within: Within, place: &Place<'_>) {
        let Some(name) = node.member("resourceType") else {
            let detail = "A resource is needed here: an object that names its type as `resourceType`.";
            return self.report("structure", detail, place);
        };
        match name.as_str().and_then(ResourceType::parse) {
            Some(resource_type) => self.resource(resource_type, node, within, place),
            None => self.report("value", "`resourceType` does not name a resource type of FHIR R4.", place),
        }
    }

    fn object(&mut self, own: &'static Type, node: &'n Node<'n>, place: &Place<'_>) {
        let Node::Object(members) = node else {
            let detail = format!("{} is an object. Send its elements between braces.", own.name);
            return self.report("structure", detail, place);
        };
        let mut present: Elements = 0;
        let mut position = 0;
        for (name, value) in members {
            if self.is_full() {
                return;
            }
            let sibling = name.strip_prefix('_');
            match own.member_from(&mut position, sibling.unwrap_or(name)) {
                Some(member) if sibling.is_none() || matches!(member.kind, Kind::Primitive(..)) => {
                    let place = Place::Element(place, member.element.name);
                    if present & member.bit != 0 {
                        self.check_chosen_once(own, member, node, name, &place);
                    }
                    present |= member.bit;
                    match sibling {
                        None => self.value(member, name, value, node, &place),
                        Some(name) => self.sibling(member, name, value, node, &place),
                    }
                }
                _ if name == "resourceType" && own.rule == Some(Rule::Resource) => {}
                Some(_) | None => self.unknown(own, name, place),
            }
        }
        if own.required & !present != 0 {
            self.missing(own, present, place);
        }
        self.rule(own, present, place);
    }

    /// The value of a member: of an array each element.
    fn value(
        &mut self,
        member: &'static Member,
        name: &str,
        value: &'n Node<'n>,
        object: &'n Node<'n>,
        place: &Place<'_>,
    ) {
        let elements = match (member.element.repeats, value) {
            (false, _) | (true, Node::Null) => return self.single(member, value, place),
            (true, Node::Array(elements)) if elements.is_empty() => {
                return self.report("structure", "An empty array. Leave the member out.", place);
            }
            (true, Node::Array(elements)) => elements,
            (true, _) => {
                let detail = format!("`{name}` may be there several times. Put its value into an array: `[...]`.");
                return self.report("structure", detail, place);
            }
        };
        // Only a null needs to know what stands beside it.
        let beside = if elements.iter().any(|element| matches!(element, Node::Null)) {
            siblings(member, name, object)
        } else {
            &[]
        };
        for (index, element) in elements.iter().enumerate() {
            if self.is_full() {
                return;
            }
            let stands_in = *element == Node::Null && beside.get(index).is_some_and(|beside| *beside != Node::Null);
            if !stands_in {
                self.single(member, element, &Place::Index(place, index));
            }
        }
    }

    fn single(&mut self, member: &'static Member, value: &'n Node<'n>, place: &Place<'_>) {
        match (member.kind, value) {
            (_, Node::Null) => self.report("structure", "`null` is no value. Leave the member out.", place),
            (_, Node::Array(_)) => {
                self.report(
                    "structure",
                    "An array where a single value belongs. Send the value without brackets.",
                    place,
                );
            }
            (Kind::Primitive(primitive, _), _) => match primitive.check(value) {
                Ok(()) => self.code(member, value, place),
                Err(fault) => self.fault(fault, place),
            },
            (Kind::Resource, _) => {
                let within = if member.element.name == "contained" { Within::Resource } else { Within::Nothing };
                self.inner_resource(value, within, place);
            }
            (Kind::Complex(_), Node::Object(_)) if is_empty(value) => {
                self.report("structure", "An empty object. Leave the member out.", place);
            }
            (Kind::Complex(index), _) => {
                let Some(own) = index.get() else { return };
                self.object(own, value, place);
                match own.rule {
                    Some(Rule::Reference) => self.reference(member.element, value, place),
                    _ => self.concept(member, value, place),
                }
            }
        }
    }

    /// `_name`: the id and extensions of a primitive, position by position if there are several.
    fn sibling(
        &mut self,
        member: &'static Member,
        name: &str,
        value: &'n Node<'n>,
        object: &'n Node<'n>,
        place: &Place<'_>,
    ) {
        let Kind::Primitive(_, index) = member.kind else { return };
        if !member.is_extensible {
            let detail = format!("`{name}` takes no extensions here. Leave `_{name}` out.");
            return self.report("structure", detail, place);
        }
        let values = object.member(name);
        match (member.element.repeats, value) {
            (false, _) => self.extensions(index, values, value, place),
            (true, Node::Array(elements)) if elements.is_empty() => {
                self.report("structure", "An empty array. Leave the member out.", place);
            }
            (true, Node::Array(elements)) => {
                let values = values.map_or(&[][..], Node::elements);
                if !values.is_empty() && values.len() != elements.len() {
                    let detail = format!("`{name}` and `_{name}` pair by position. Fill the shorter one with `null`.");
                    return self.report("structure", detail, place);
                }
                for (position, element) in elements.iter().enumerate() {
                    if self.is_full() {
                        return;
                    }
                    // A null opposite to a null is reported with the values.
                    if *element != Node::Null || values.is_empty() {
                        self.extensions(index, values.get(position), element, &Place::Index(place, position));
                    }
                }
            }
            (true, _) => {
                let detail = format!("`_{name}` is an array as `{name}` is.");
                self.report("structure", detail, place);
            }
        }
    }

    /// The id and extensions of one value, which may be missing then.
    fn extensions(&mut self, index: TypeIndex, value: Option<&Node<'_>>, beside: &'n Node<'n>, place: &Place<'_>) {
        let Some(own) = index.get() else { return };
        let is_alone = value.is_none_or(|value| *value == Node::Null);
        match beside {
            Node::Object(members) if members.is_empty() || is_alone && is_empty(beside) => {
                self.report("structure", "An empty object. Leave the member out.", place);
            }
            Node::Object(_) => self.object(own, beside, place),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) | Node::Array(_) => {
                let detail = "Beside a primitive stands an object with its `id` and `extension`.";
                self.report("structure", detail, place);
            }
        }
    }

    fn fault(&mut self, fault: Fault, place: &Place<'_>) {
        let name = place.name();
        match fault {
            Fault::Kind(expected) => self.report("structure", format!("`{name}` is {expected}."), place),
            Fault::Value(expected) => self.report("value", format!("`{name}` is {expected}."), place),
        }
    }

    fn is_full(&self) -> bool {
        self.issues.len() >= ISSUES_MAX
    }

    fn report(&mut self, code: &'static str, detail: impl Into<String>, place: &Place<'_>) {
        if !self.is_full() {
            self.issues.push(Issue::new(Severity::Error, code, detail).at(place));
        }
    }
}

/// Whether an object says nothing (rule ele-1): an id alone is nothing.
fn is_empty(object: &Node<'_>) -> bool {
    object.members().iter().all(|(name, _)| name == "id")
}

/// The ids and extensions that stand beside the values of a primitive.
fn siblings<'n>(member: &Member, name: &str, object: &'n Node<'n>) -> &'n [Node<'n>] {
    let Kind::Primitive(..) = member.kind else { return &[] };
    let found = object.members().iter().find(|(other, _)| other.strip_prefix('_') == Some(name));
    found.map_or(&[], |(_, list)| list.elements())
}

#[cfg(test)]
mod tests;
