//! The value of an operation, and how it is written at the element it is for.

use bytes::Bytes;

use super::list::List;
use super::select::{choice_member, defined, is_primitive};
use crate::fhir::patch::PatchError;
use crate::json::tree::Tree;
use crate::r4::definitions::elements::{Element, Shape};

/// A value as sent.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `value[x]`: its type, its JSON, and what stands beside a primitive.
    Typed { type_name: String, json: Option<Bytes>, beside: Option<Bytes> },
    /// A resource, to be contained.
    Resource(Bytes),
    /// An inner element, which has no `value[x]`: its own elements by their names.
    Parts(Vec<(String, Value)>),
}

/// A value as JSON has it at its element.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The member that holds it.
    pub(super) member: String,
    /// Absent for a primitive with nothing but extensions.
    pub(super) json: Option<Tree>,
    /// Id and extensions of a primitive.
    pub(super) beside: Option<Tree>,
}

impl Value {
    /// How it is written at an element.
    ///
    /// # Errors
    /// When the element cannot have it.
    pub(super) fn write(&self, element: &'static Element) -> Result<Written, PatchError> {
        let refused = |type_name: &str| {
            let detail = format!("`{}` cannot have a value of type {type_name}.", element.name);
            PatchError::malformed(detail)
        };
        let (type_name, json, extra) = match self {
            Self::Typed { type_name, json, beside } => {
                let fits = |known: &&'static str| {
                    *known == type_name
                        || (element.shape == Shape::Plain && is_primitive(known) && is_primitive(type_name))
                };
                if !element.types.iter().any(fits) {
                    return Err(refused(type_name));
                }
                (type_name.as_str(), json.clone(), beside.clone())
            }
            Self::Resource(text) if element.types == ["Resource"] => ("Resource", Some(text.clone()), None),
            Self::Resource(_) => return Err(refused("Resource")),
            Self::Parts(parts) => match element.types.as_slice() {
                [only] if !is_primitive(only) && *only != "Resource" => {
                    let context = if element.path.is_empty() || !matches!(*only, "BackboneElement" | "Element") {
                        only
                    } else {
                        element.path
                    };
                    (*only, Some(object_of(context, parts)?), None)
                }
                _ => return Err(refused("BackboneElement")),
            },
        };
        let member = match element.shape {
            Shape::Plain => element.name.to_owned(),
            Shape::Choice => choice_member(element.name, type_name),
        };
        Ok(Written { member, json: json.map(Tree::Raw), beside: extra.map(Tree::Raw) })
    }
}

/// An inner element from its elements.
fn object_of(context: &str, parts: &[(String, Value)]) -> Result<Bytes, PatchError> {
    let mut object = Tree::Object(Vec::new());
    for (name, value) in parts {
        let element = defined(context, name)?;
        let written = value.write(element)?;
        let mut list = List { object: &mut object, member: &written.member };
        if element.repeats {
            let length = list.length()?;
            list.insert(length, written.json, written.beside);
        } else if list.is_there() {
            return Err(PatchError::malformed(format!("`{name}` is there once in {context}; the value has it twice.")));
        } else {
            list.set(written.json, written.beside);
        }
    }
    Ok(object.to_bytes())
}
