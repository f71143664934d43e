//! JSON Patch (RFC 6902): operations on the JSON of a resource as it is stored.

use bytes::Bytes;

use super::pointer::{Pointer, index};
use super::values::{Numbers, same};
use super::{Fault, OPERATIONS_MAX, PatchError, Work};
use crate::json;
use crate::json::tree::{Tree, members};

/// A JSON Patch, read.
#[derive(Clone, Debug)]
pub(crate) struct JsonPatch(Vec<Operation>);

#[derive(Clone, Debug)]
enum Operation {
    Add { path: Pointer, value: Bytes },
    Remove { path: Pointer },
    Replace { path: Pointer, value: Bytes },
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test { path: Pointer, value: Bytes },
}

impl JsonPatch {
    pub(super) fn read(text: &Bytes) -> Result<Self, PatchError> {
        json::parse_unique(text).map_err(|error| {
            let (line, column) = error.position();
            PatchError::malformed(format!("The patch is not JSON: line {line}, column {column} does not fit."))
        })?;
        let mut patch = Tree::Raw(text.clone());
        patch.open();
        let Tree::Array(operations) = patch else {
            return Err(PatchError::malformed("A JSON Patch is an array of operations (RFC 6902)."));
        };
        if operations.len() > OPERATIONS_MAX {
            let detail = format!("The patch has more than {OPERATIONS_MAX} operations. Send it in parts.");
            return Err(PatchError::new(Fault::TooLarge, detail));
        }
        let read = |(index, operation): (usize, &Tree)| {
            Operation::read(&operation.to_bytes())
                .map_err(|error| PatchError { detail: format!("Operation {index}: {}", error.detail), ..error })
        };
        operations.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn apply(&self, tree: &mut Tree, work: &mut Work) -> Result<(), PatchError> {
        self.0.iter().enumerate().try_for_each(|(index, operation)| {
            operation.apply(tree, work).map_err(|error| match error.fault {
                Fault::TooLarge => error,
                Fault::Malformed | Fault::NotSupported | Fault::Inapplicable => {
                    let (name, path) = operation.name();
                    let detail = format!("Operation {index}, `{name}` at `{path}`: {}.", error.detail);
                    PatchError { detail, ..error }
                }
            })
        })
    }
}

impl Operation {
    fn read(text: &Bytes) -> Result<Self, PatchError> {
        let Some(members) = members(text) else {
            return Err(PatchError::malformed("it is not an object."));
        };
        let member = |name: &str| members.iter().find_map(|(known, value)| (known == name).then_some(*value));
        let string = |name: &str| {
            let text = member(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
            text.ok_or_else(|| PatchError::malformed(format!("it has no `{name}` that is a text.")))
        };
        let pointer = |name: &str| {
            Pointer::parse(&string(name)?).ok_or_else(|| {
                PatchError::malformed(format!("`{name}` is not a JSON Pointer, as `/name/0/family` is."))
            })
        };
        let value = || {
            let value = member("value").map(|value| text.slice_ref(value.get().as_bytes()));
            value.ok_or_else(|| PatchError::malformed("it has no `value`."))
        };
        Ok(match string("op")?.as_str() {
            "add" => Self::Add { path: pointer("path")?, value: value()? },
            "remove" => Self::Remove { path: pointer("path")? },
            "replace" => Self::Replace { path: pointer("path")?, value: value()? },
            "move" => Self::Move { from: pointer("from")?, path: pointer("path")? },
            "copy" => Self::Copy { from: pointer("from")?, path: pointer("path")? },
            "test" => Self::Test { path: pointer("path")?, value: value()? },
            _ => {
                let detail = "its `op` is none of `add`, `remove`, `replace`, `move`, `copy` and `test`.";
                return Err(PatchError::malformed(detail));
            }
        })
    }

    fn name(&self) -> (&'static str, &Pointer) {
        match self {
            Self::Add { path, .. } => ("add", path),
            Self::Remove { path } => ("remove", path),
            Self::Replace { path, .. } => ("replace", path),
            Self::Move { path, .. } => ("move", path),
            Self::Copy { path, .. } => ("copy", path),
            Self::Test { path, .. } => ("test", path),
        }
    }

    fn apply(&self, tree: &mut Tree, work: &mut Work) -> Result<(), PatchError> {
        match self {
            Self::Add { path, value } => {
                work.spend(value.len())?;
                add(tree, path, Tree::Raw(value.clone()), work)
            }
            Self::Remove { path } => remove(tree, path, work).map(drop),
            Self::Replace { path, value } => {
                work.spend(value.len())?;
                *there(tree, path, work)? = Tree::Raw(value.clone());
                Ok(())
            }
            Self::Move { from, path } if from == path => text(tree, path, work).map(drop),
            Self::Move { from, path } if from.encloses(path) => {
                Err(PatchError::malformed(format!("`from`, which is `{from}`, holds that place itself")))
            }
            Self::Move { from, path } => {
                let value = remove(tree, from, work)?;
                add(tree, path, value, work)
            }
            Self::Copy { from, path } => {
                // As text: what was opened takes many times its room.
                let value = text(tree, from, work)?;
                work.spend(value.len())?;
                add(tree, path, Tree::Raw(value), work)
            }
            Self::Test { path, value } => test(tree, path, value, work),
        }
    }
}

fn there<'t>(tree: &'t mut Tree, path: &Pointer, work: &mut Work) -> Result<&'t mut Tree, PatchError> {
    path.find(tree, work)?.ok_or_else(|| nothing_at(path))
}

fn text(tree: &Tree, path: &Pointer, work: &mut Work) -> Result<Bytes, PatchError> {
    path.read(tree, work)?.ok_or_else(|| nothing_at(path))
}

fn nothing_at(path: &Pointer) -> PatchError {
    PatchError::inapplicable(format!("the resource has nothing at `{path}`"))
}

fn add(tree: &mut Tree, path: &Pointer, value: Tree, work: &mut Work) -> Result<(), PatchError> {
    let Some((parent, last)) = path.find_parent(tree, work)? else {
        *tree = value;
        return Ok(());
    };
    match parent {
        Tree::Object(_) => parent.set_member(last, value),
        Tree::Array(elements) => {
            let place = if last == "-" { Some(elements.len()) } else { index(last) };
            let place = place.filter(|place| *place <= elements.len());
            let place = place
                .ok_or_else(|| PatchError::inapplicable(format!("the array there has {} elements", elements.len())))?;
            work.spend(elements.len() - place)?;
            elements.insert(place, value);
        }
        Tree::Raw(_) => return Err(PatchError::inapplicable("what should hold it is neither an object nor an array")),
    }
    Ok(())
}

fn remove(tree: &mut Tree, path: &Pointer, work: &mut Work) -> Result<Tree, PatchError> {
    let Some((parent, last)) = path.find_parent(tree, work)? else {
        return Err(PatchError::inapplicable("the whole resource cannot be taken away; delete it with DELETE"));
    };
    let removed = match parent {
        Tree::Object(_) => parent.remove_member(last),
        Tree::Array(elements) => match index(last).filter(|place| *place < elements.len()) {
            Some(place) => {
                work.spend(elements.len() - place)?;
                Some(elements.remove(place))
            }
            None => None,
        },
        Tree::Raw(_) => None,
    };
    removed.ok_or_else(|| nothing_at(path))
}

fn test(tree: &Tree, path: &Pointer, expected: &Bytes, work: &mut Work) -> Result<(), PatchError> {
    let actual = text(tree, path, work)?;
    work.spend(actual.len() + expected.len())?;
    let nodes = (json::parse(&actual), json::parse(expected));
    let holds = matches!(nodes, (Ok(actual), Ok(expected)) if same(&actual, &expected, Numbers::ByAmount));
    if holds { Ok(()) } else { Err(PatchError::inapplicable("the resource has another value there")) }
}
