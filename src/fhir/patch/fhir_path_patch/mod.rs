//! FHIRPath Patch (<https://hl7.org/fhir/R4/fhirpatch.html>): operations on the elements of a resource.
//!
//! `read` makes operations of a Parameters resource, `path` reads the paths in it, `select` finds what they mean, `value`
//! writes values as JSON, and `list` changes an element together with what stands beside it.
//!
//! Each operation sees what those before it did. Except by `delete`, a path must lead to exactly one place.

mod list;
mod path;
mod read;
mod select;
mod value;

use bytes::Bytes;

use self::list::List;
use self::path::{Path, Step};
use self::select::{Found, Key, Place, children, defined, select};
use self::value::{Value, Written};
use super::{Fault, PatchError, Work};
use crate::json::tree::Tree;
use crate::json::{self, Node};

/// A FHIRPath Patch, read.
#[derive(Clone, Debug)]
pub(crate) struct FhirPathPatch(Vec<Operation>);

#[derive(Clone, Debug)]
struct Operation {
    path: Path,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Add { name: String, value: Value },
    Insert { index: usize, value: Value },
    Delete,
    Replace { value: Value },
    Move { source: usize, destination: usize },
}

impl FhirPathPatch {
    pub(super) fn read(text: &Bytes) -> Result<Self, PatchError> {
        read::operations(text).map(Self)
    }

    pub(super) fn apply(&self, tree: &mut Tree, work: &mut Work) -> Result<(), PatchError> {
        self.0.iter().enumerate().try_for_each(|(index, operation)| {
            operation.apply(tree, work).map_err(|error| match error.fault {
                Fault::TooLarge => error,
                Fault::Malformed | Fault::NotSupported | Fault::Inapplicable => {
                    PatchError { location: Some(format!("Parameters.parameter[{index}]")), ..error }
                }
            })
        })
    }
}

impl Operation {
    fn apply(&self, tree: &mut Tree, work: &mut Work) -> Result<(), PatchError> {
        let text = tree.to_bytes();
        work.spend(text.len())?;
        let resource =
            json::parse(&text).map_err(|_unreadable| PatchError::inapplicable("The resource is no JSON."))?;
        match &self.change {
            Change::Add { name, value } => self.add(&resource, tree, name, value, work),
            Change::Insert { index, value } => self.insert(&resource, tree, *index, value, work),
            Change::Delete => self.delete(&resource, tree, work),
            Change::Replace { value } => self.replace(&resource, tree, value, work),
            Change::Move { source, destination } => self.shift(&resource, tree, (*source, *destination), work),
        }
    }

    fn add(
        &self,
        resource: &Node<'_>,
        tree: &mut Tree,
        name: &str,
        value: &Value,
        work: &mut Work,
    ) -> Result<(), PatchError> {
        let outer = self.one(select(&self.path, &self.path.steps, resource, work)?)?;
        let element = defined(outer.context, name)?;
        let Written { member, json, beside } = value.write(element)?;
        let is_there = !children(&outer, name)?.is_empty();
        let object = reach(tree, &outer.object(), work)?;
        let mut list = List { object, member: &member };
        if element.repeats {
            let length = list.length()?;
            list.insert(length, json, beside);
        } else if is_there {
            let detail = format!("`{}` has its only `{name}` already. Use `replace`.", self.path.text);
            return Err(PatchError::inapplicable(detail));
        } else {
            list.set(json, beside);
        }
        Ok(())
    }

    fn insert(
        &self,
        resource: &Node<'_>,
        tree: &mut Tree,
        index: usize,
        value: &Value,
        work: &mut Work,
    ) -> Result<(), PatchError> {
        let (outer, name) = self.list(resource, work)?;
        let element = defined(outer.context, name)?;
        if !element.repeats {
            return Err(PatchError::malformed(format!("`{}` is no list. Use `add` or `replace`.", self.path.text)));
        }
        let Written { member, json, beside } = value.write(element)?;
        let mut list = List { object: reach(tree, &outer.object(), work)?, member: &member };
        let length = list.length()?;
        if index > length {
            return Err(self.too_short(length));
        }
        work.spend(length)?;
        list.insert(index, json, beside);
        Ok(())
    }

    fn delete(&self, resource: &Node<'_>, tree: &mut Tree, work: &mut Work) -> Result<(), PatchError> {
        let found = select(&self.path, &self.path.steps, resource, work)?;
        if found.is_empty() {
            return Ok(());
        }
        let place = self.place(found)?;
        let mut list = List { object: reach(tree, &place.object, work)?, member: &place.member };
        match place.index {
            Some(index) => list.remove(index),
            None => list.set(None, None),
        }
        Ok(())
    }

    fn replace(&self, resource: &Node<'_>, tree: &mut Tree, value: &Value, work: &mut Work) -> Result<(), PatchError> {
        let place = self.place(select(&self.path, &self.path.steps, resource, work)?)?;
        let Written { member, json, beside } = value.write(place.element)?;
        let object = reach(tree, &place.object, work)?;
        if member != place.member {
            // A choice of another type: the new member stands where the old one stood.
            List { object, member: &member }.set(None, None);
            drop(object.remove_member(&select::beside(&place.member)));
            let old =
                object.members_mut().and_then(|members| members.iter_mut().find(|(name, _)| *name == place.member));
            if let Some((name, _)) = old {
                name.clone_from(&member);
            }
        }
        let mut list = List { object, member: &member };
        match place.index {
            Some(index) => list.replace(index, json, beside),
            None => list.set(json, beside),
        }
        Ok(())
    }

    fn shift(
        &self,
        resource: &Node<'_>,
        tree: &mut Tree,
        (source, destination): (usize, usize),
        work: &mut Work,
    ) -> Result<(), PatchError> {
        let (outer, name) = self.list(resource, work)?;
        let element = defined(outer.context, name)?;
        if !element.repeats {
            return Err(PatchError::malformed(format!("`{}` is no list.", self.path.text)));
        }
        let object = reach(tree, &outer.object(), work)?;
        let mut list = List { object, member: name };
        let length = list.length()?;
        if source >= length || destination >= length {
            return Err(self.too_short(length));
        }
        work.spend(length)?;
        list.shift(source, destination);
        Ok(())
    }

    /// What has the list that the path ends with, and the name of the list.
    fn list<'n>(&self, resource: &'n Node<'n>, work: &mut Work) -> Result<(Found<'n>, &str), PatchError> {
        match self.path.steps.split_last() {
            Some((Step::Member(name), outer)) => {
                Ok((self.one(select(&self.path, outer, resource, work)?)?, name.as_str()))
            }
            _ => {
                let detail = format!("The path `{}` must end with the name of a list.", self.path.text);
                Err(PatchError::malformed(detail))
            }
        }
    }

    /// The only one found.
    fn one<'n>(&self, mut found: Vec<Found<'n>>) -> Result<Found<'n>, PatchError> {
        let number = found.len();
        match found.pop() {
            Some(only) if number == 1 => Ok(only),
            Some(_) => {
                let detail = format!("The path `{}` leads to {number} places. Make it lead to one.", self.path.text);
                Err(PatchError::inapplicable(detail))
            }
            None => Err(PatchError::inapplicable(format!("The resource has nothing at `{}`.", self.path.text))),
        }
    }

    fn place(&self, found: Vec<Found<'_>>) -> Result<Place, PatchError> {
        self.one(found)?.place.ok_or_else(|| {
            PatchError::malformed(
                "The path leads to the whole resource. Use PUT or DELETE for that, or name an element.",
            )
        })
    }

    fn too_short(&self, length: usize) -> PatchError {
        PatchError::inapplicable(format!("The list `{}` has {length} elements.", self.path.text))
    }
}

/// The object at a place, opened; made where it is not there, as beside a primitive without extensions.
fn reach<'t>(tree: &'t mut Tree, keys: &[Key], work: &mut Work) -> Result<&'t mut Tree, PatchError> {
    let mut place = tree;
    for (index, key) in keys.iter().enumerate() {
        work.open(place)?;
        let is_list = matches!(keys.get(index + 1), Some(Key::Index(_)));
        place = match key {
            Key::Member(name) => {
                if place.member_mut(name).is_none() {
                    place.set_member(name, if is_list { Tree::Array(Vec::new()) } else { Tree::Object(Vec::new()) });
                }
                place.member_mut(name)
            }
            Key::Index(index) => place.elements_mut().and_then(|elements| {
                if elements.len() <= *index {
                    elements.resize_with(index + 1, list::null);
                }
                let element = elements.get_mut(*index)?;
                if list::is_null(element) {
                    *element = Tree::Object(Vec::new());
                }
                Some(element)
            }),
        }
        .ok_or_else(|| PatchError::inapplicable("The resource is not built as R4 has it where the path leads."))?;
    }
    work.open(place)?;
    if matches!(place, Tree::Object(_)) {
        Ok(place)
    } else {
        Err(PatchError::inapplicable("The resource is not built as R4 has it where the path leads."))
    }
}
