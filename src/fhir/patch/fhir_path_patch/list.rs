//! An element of an object with what stands beside it, changed together.

use bytes::Bytes;

use super::select::beside;
use crate::fhir::patch::PatchError;
use crate::json::tree::Tree;

/// The member of an opened object that holds an element, and the one beside it.
pub(super) struct List<'t, 'm> {
    pub(super) object: &'t mut Tree,
    pub(super) member: &'m str,
}

/// What marks an absent value in paired arrays.
pub(super) fn null() -> Tree {
    Tree::Raw(Bytes::from_static(b"null"))
}

pub(super) fn is_null(tree: &Tree) -> bool {
    matches!(tree, Tree::Raw(text) if text.as_ref() == b"null")
}

impl List<'_, '_> {
    /// Whether the element is there at all.
    pub(super) fn is_there(&mut self) -> bool {
        self.object.member_mut(self.member).is_some() || self.object.member_mut(&beside(self.member)).is_some()
    }

    /// How many there are.
    pub(super) fn length(&mut self) -> Result<usize, PatchError> {
        let mut length = 0;
        for member in [self.member.to_owned(), beside(self.member)] {
            let Some(array) = self.object.member_mut(&member) else { continue };
            array.open();
            let Tree::Array(elements) = array else {
                return Err(PatchError::inapplicable(format!("`{member}` should be an array and is none.")));
            };
            length = length.max(elements.len());
        }
        Ok(length)
    }

    /// Sets the element, which is no list.
    pub(super) fn set(&mut self, json: Option<Tree>, extra: Option<Tree>) {
        for (member, value) in [(self.member.to_owned(), json), (beside(self.member), extra)] {
            match value {
                Some(value) => self.object.set_member(&member, value),
                None => drop(self.object.remove_member(&member)),
            }
        }
    }

    /// Puts an element in front of the one at `index`, or at the end.
    pub(super) fn insert(&mut self, index: usize, json: Option<Tree>, extra: Option<Tree>) {
        self.each_array(json, extra, |elements, length, value| {
            elements.resize_with(length, null);
            elements.insert(index.min(length), value.unwrap_or_else(null));
        });
    }

    /// Puts an element in the place of the one at `index`.
    pub(super) fn replace(&mut self, index: usize, json: Option<Tree>, extra: Option<Tree>) {
        self.each_array(json, extra, |elements, length, value| {
            elements.resize_with(length, null);
            if let Some(element) = elements.get_mut(index) {
                *element = value.unwrap_or_else(null);
            }
        });
    }

    /// Takes the element at `index` away.
    pub(super) fn remove(&mut self, index: usize) {
        self.each_array(None, None, |elements, _length, _none| {
            if index < elements.len() {
                elements.remove(index);
            }
        });
    }

    /// Moves the element at `source` to where it is then at `destination`.
    pub(super) fn shift(&mut self, source: usize, destination: usize) {
        self.each_array(None, None, |elements, length, _none| {
            elements.resize_with(length, null);
            if source < length && destination < length {
                let element = elements.remove(source);
                elements.insert(destination, element);
            }
        });
    }

    /// Changes both arrays, those that are there or get a value, as arrays of the same length.
    fn each_array(
        &mut self,
        json: Option<Tree>,
        extra: Option<Tree>,
        change: impl Fn(&mut Vec<Tree>, usize, Option<Tree>),
    ) {
        let length = self.length().unwrap_or_default();
        for (member, value) in [(self.member.to_owned(), json), (beside(self.member), extra)] {
            if self.object.member_mut(&member).is_none() {
                if value.is_none() {
                    continue;
                }
                self.object.set_member(&member, Tree::Array(Vec::new()));
            }
            let Some(elements) = self.object.member_mut(&member).and_then(Tree::elements_mut) else { continue };
            change(elements, length, value);
            if elements.iter().all(is_null) {
                drop(self.object.remove_member(&member));
            }
        }
    }
}
