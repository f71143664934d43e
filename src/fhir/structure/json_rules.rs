//! The rules of the JSON format, whatever the type (<https://hl7.org/fhir/R4/json.html>).

use super::place::Place;
use crate::json::Node;
use crate::r4::outcome::{Issue, Severity};
use crate::r4::resource_type::ResourceType;

/// The first break of a rule. The place names members, for nothing tells here which are choices.
pub(super) fn check(resource_type: ResourceType, resource: &Node<'_>) -> Vec<Issue> {
    members(resource, &Place::Root(resource_type.as_str())).err().into_iter().collect()
}

fn members(object: &Node<'_>, place: &Place<'_>) -> Result<(), Issue> {
    if object.members().is_empty() {
        return Err(issue("An empty object. Leave the member out.", place));
    }
    object.members().iter().try_for_each(|(name, member)| {
        let place = Place::Element(place, name);
        if *member == Node::Null {
            return Err(issue("`null` is no value. Leave the member out.", &place));
        }
        value(member, &place)
    })
}

fn value(value: &Node<'_>, place: &Place<'_>) -> Result<(), Issue> {
    match value {
        // Arrays pair values with extensions by position, and mark a missing one with null.
        Node::Null | Node::Bool(_) | Node::Number(_) => Ok(()),
        Node::String(text) if text.is_empty() => Err(issue("An empty string. Leave the member out.", place)),
        Node::String(_) => Ok(()),
        Node::Object(_) => members(value, place),
        Node::Array(list) => elements(list, place),
    }
}

fn elements(list: &[Node<'_>], place: &Place<'_>) -> Result<(), Issue> {
    if list.is_empty() {
        return Err(issue("An empty array. Leave the member out.", place));
    }
    list.iter().enumerate().try_for_each(|(index, element)| {
        let place = Place::Index(place, index);
        if let Node::Array(_) = element {
            return Err(issue("An array within an array, which FHIR does not have.", &place));
        }
        value(element, &place)
    })
}

fn issue(detail: &str, place: &Place<'_>) -> Issue {
    Issue::new(Severity::Error, "structure", detail).at(place)
}
