//! Which elements of a resource a path means, and where they are in its JSON.
//!
//! A primitive is two members in JSON: its value, and beside it, with an underscore in front, its id and extensions. In
//! lists of primitives both are arrays, paired by position. A choice such as `value` carries its type in the member.

use super::path::{Comparison, Literal, Path, Step};
use crate::fhir::patch::values::{Numbers, same};
use crate::fhir::patch::{PatchError, Work};
use crate::json::Node;
use crate::r4::definitions::elements::{Element, Shape, element_of};
use crate::r4::resource_type::ResourceType;

/// What looking at one element counts for, in bytes.
const ELEMENT_WORK: usize = 64;

/// A way from the outermost object inwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Member(String),
    Index(usize),
}

/// Where an element is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The object that has it.
    pub(super) object: Vec<Key>,
    /// The member that holds it, `valueQuantity` for a choice.
    pub(super) member: String,
    /// Its place in the array, if its member is one.
    pub(super) index: Option<usize>,
    /// What R4 says of it.
    pub(super) element: &'static Element,
}

/// An element that was found; the resource itself has no place.
#[derive(Clone, Debug)]
pub(super) struct Found<'n> {
    pub(super) place: Option<Place>,
    /// Where its own elements are defined: a type or the path of an inner element.
    pub(super) context: &'static str,
    value: Option<&'n Node<'n>>,
    /// Id and extensions of a primitive.
    beside: Option<&'n Node<'n>>,
}

impl<'n> Found<'n> {
    /// The JSON of its elements.
    fn node(&self) -> Option<&'n Node<'n>> {
        if is_primitive(self.context) { self.beside } else { self.value }
    }

    /// The object that has its elements.
    pub(super) fn object(&self) -> Vec<Key> {
        let Some(place) = &self.place else {
            return Vec::new();
        };
        let member = if is_primitive(self.context) { beside(&place.member) } else { place.member.clone() };
        let mut object = place.object.clone();
        object.push(Key::Member(member));
        object.extend(place.index.map(Key::Index));
        object
    }
}

/// Whether a type is written as a single value in JSON.
pub(super) fn is_primitive(type_name: &str) -> bool {
    type_name.starts_with(|first: char| first.is_ascii_lowercase())
}

/// The member beside a primitive that holds its id and extensions.
pub(super) fn beside(member: &str) -> String {
    format!("_{member}")
}

/// The member of a choice that is of this type.
pub(super) fn choice_member(name: &str, type_name: &str) -> String {
    let mut letters = type_name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    name.chars().chain(first).chain(letters).collect()
}

/// The elements a path means in a resource.
pub(super) fn select<'n>(
    path: &Path,
    steps: &[Step],
    resource: &'n Node<'n>,
    work: &mut Work,
) -> Result<Vec<Found<'n>>, PatchError> {
    let root = resource_root(resource)?;
    let steps = match steps.split_first() {
        Some((Step::Member(name), rest)) if name.starts_with(|first: char| first.is_ascii_uppercase()) => {
            if !matches!(name.as_str(), "Resource" | "DomainResource") && name != root.context {
                let detail = format!("The path `{}` is about {name}, the resource is {}.", path.text, root.context);
                return Err(PatchError::inapplicable(detail));
            }
            rest
        }
        _ => steps,
    };
    let mut found = vec![root];
    for step in steps {
        found = follow(step, found, work)?;
        work.spend(found.len().saturating_mul(ELEMENT_WORK))?;
    }
    Ok(found)
}

fn resource_root<'n>(resource: &'n Node<'n>) -> Result<Found<'n>, PatchError> {
    let resource_type = resource.member("resourceType").and_then(Node::as_str).and_then(ResourceType::parse);
    let resource_type = resource_type.ok_or_else(|| PatchError::inapplicable("The resource has no type any more."))?;
    Ok(Found { place: None, context: resource_type.as_str(), value: Some(resource), beside: None })
}

fn follow<'n>(step: &Step, found: Vec<Found<'n>>, work: &mut Work) -> Result<Vec<Found<'n>>, PatchError> {
    Ok(match step {
        Step::Member(name) => {
            let mut inner = Vec::new();
            for outer in &found {
                inner.extend(children(outer, name)?);
            }
            inner
        }
        Step::Index(index) => found.into_iter().nth(*index).into_iter().collect(),
        Step::First => found.into_iter().next().into_iter().collect(),
        Step::Last => found.into_iter().next_back().into_iter().collect(),
        Step::OfType(name) => found.into_iter().filter(|element| element.context == name).collect(),
        Step::Where(comparisons) => {
            work.spend(found.len().saturating_mul(comparisons.len()).saturating_mul(ELEMENT_WORK))?;
            let mut kept = Vec::new();
            for element in found {
                if holds(comparisons, &element)? {
                    kept.push(element);
                }
            }
            kept
        }
        Step::Extension(url) => {
            let is_url = Comparison { members: vec!["url".to_owned()], value: Literal::Text(url.clone()) };
            let extensions = follow(&Step::Member("extension".to_owned()), found, work)?;
            follow(&Step::Where(vec![is_url]), extensions, work)?
        }
    })
}

fn holds(comparisons: &[Comparison], element: &Found<'_>) -> Result<bool, PatchError> {
    for comparison in comparisons {
        let mut values = vec![element.clone()];
        for member in &comparison.members {
            let mut inner = Vec::new();
            for value in &values {
                inner.extend(children(value, member)?);
            }
            values = inner;
        }
        // As FHIRPath compares collections: several values are not equal to one.
        let [value] = values.as_slice() else {
            return Ok(false);
        };
        let equal = match (&comparison.value, value.value) {
            (Literal::Text(text), Some(Node::String(value))) => text == value,
            (Literal::Bool(expected), Some(Node::Bool(value))) => expected == value,
            (Literal::Number(number), Some(value)) => {
                same(&Node::Number(number.as_str().into()), value, Numbers::ByAmount)
            }
            _ => false,
        };
        if !equal {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What R4 says of an element.
pub(super) fn defined(context: &str, name: &str) -> Result<&'static Element, PatchError> {
    element_of(context, name).ok_or_else(|| {
        let detail = format!(
            "R4 has no element `{name}` in {context}. A choice is written without its type: `value`, `value.ofType(Quantity)`."
        );
        PatchError::malformed(detail)
    })
}

/// The elements of this name inside an element.
pub(super) fn children<'n>(outer: &Found<'n>, name: &str) -> Result<Vec<Found<'n>>, PatchError> {
    let element = defined(outer.context, name)?;
    let Some(node) = outer.node() else {
        return Ok(Vec::new());
    };
    let members = element.types.iter().map(|type_name| match element.shape {
        Shape::Plain => (name.to_owned(), *type_name),
        Shape::Choice => (choice_member(name, type_name), *type_name),
    });
    let mut found = Vec::new();
    for (member, type_name) in members {
        let (value, extra) = (node.member(&member), node.member(&beside(&member)));
        let list = value.map_or(0, |value| value.elements().len()).max(extra.map_or(0, |extra| extra.elements().len()));
        let place = |index| Place { object: outer.object(), member: member.clone(), index, element };
        if list > 0 {
            for index in 0..list {
                let at = |node: Option<&'n Node<'n>>| node.and_then(|node| node.elements().get(index));
                found.push(found_at(place(Some(index)), type_name, at(value), at(extra)));
            }
        } else if value.is_some() || extra.is_some() {
            found.push(found_at(place(None), type_name, value, extra));
        }
    }
    Ok(found)
}

fn found_at<'n>(
    place: Place,
    type_name: &'static str,
    value: Option<&'n Node<'n>>,
    beside: Option<&'n Node<'n>>,
) -> Found<'n> {
    let context = match type_name {
        "BackboneElement" | "Element" => place.element.path,
        "Resource" => value
            .and_then(|value| value.member("resourceType"))
            .and_then(Node::as_str)
            .and_then(ResourceType::parse)
            .map_or("Resource", ResourceType::as_str),
        other => other,
    };
    Found { place: Some(place), context, value, beside }
}
