//! JSON Pointer (RFC 6901): where in a document.

use std::fmt;

use bytes::Bytes;

use super::{PatchError, Work};
use crate::json::DEPTH_MAX;
use crate::json::tree::Tree;

/// A place in a document: the names and indexes that lead there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    /// Reads a pointer, which is empty or begins with a slash.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let tokens: Option<Vec<String>> =
            text.strip_prefix('/')?.split('/').take(DEPTH_MAX + 1).map(unescape).collect();
        // Nothing is nested deeper; a longer pointer leads nowhere.
        tokens.filter(|tokens| tokens.len() <= DEPTH_MAX).map(Self)
    }

    /// Whether it leads to a place that encloses the other.
    pub(super) fn encloses(&self, other: &Self) -> bool {
        self.0.len() < other.0.len() && other.0.starts_with(&self.0)
    }

    /// The place itself; `None` if there is nothing.
    pub(super) fn find<'t>(&self, tree: &'t mut Tree, work: &mut Work) -> Result<Option<&'t mut Tree>, PatchError> {
        walk(&self.0, tree, work)
    }

    /// The text at the place; `None` if there is nothing. What is only read is not opened.
    pub(super) fn read(&self, tree: &Tree, work: &mut Work) -> Result<Option<Bytes>, PatchError> {
        read(&self.0, tree, work)
    }

    /// What encloses the place, opened, and the last name or index; `None` for the whole document.
    pub(super) fn find_parent<'t>(
        &self,
        tree: &'t mut Tree,
        work: &mut Work,
    ) -> Result<Option<(&'t mut Tree, &str)>, PatchError> {
        let Some((last, parents)) = self.0.split_last() else {
            return Ok(None);
        };
        let Some(parent) = walk(parents, tree, work)? else {
            return Err(PatchError::inapplicable("there is nothing that could hold it"));
        };
        work.open(parent)?;
        Ok(Some((parent, last)))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

fn walk<'t>(tokens: &[String], tree: &'t mut Tree, work: &mut Work) -> Result<Option<&'t mut Tree>, PatchError> {
    let mut place = tree;
    for token in tokens {
        work.open(place)?;
        let next = match place {
            Tree::Object(members) => members.iter_mut().find_map(|(name, value)| (name == token).then_some(value)),
            Tree::Array(elements) => index(token).and_then(|index| elements.get_mut(index)),
            Tree::Raw(_) => None,
        };
        let Some(next) = next else {
            return Ok(None);
        };
        place = next;
    }
    Ok(Some(place))
}

fn read(tokens: &[String], tree: &Tree, work: &mut Work) -> Result<Option<Bytes>, PatchError> {
    let Some((token, inner)) = tokens.split_first() else {
        return Ok(Some(tree.to_bytes()));
    };
    let next = match tree {
        Tree::Object(members) => members.iter().find_map(|(name, value)| (name == token).then_some(value)),
        Tree::Array(elements) => index(token).and_then(|index| elements.get(index)),
        Tree::Raw(_) => {
            let mut opened = tree.clone();
            work.open(&mut opened)?;
            return if matches!(opened, Tree::Raw(_)) { Ok(None) } else { read(tokens, &opened, work) };
        }
    };
    next.map_or(Ok(None), |next| read(inner, next, work))
}

/// The index of an element: digits without a leading zero.
pub(super) fn index(token: &str) -> Option<usize> {
    let is_plain = token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    token.parse().ok().filter(|_index| is_plain)
}

fn unescape(token: &str) -> Option<String> {
    let mut text = String::with_capacity(token.len());
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '~' => match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{Pointer, index};

    #[test]
    fn a_pointer_begins_with_a_slash_and_escapes_two_characters() {
        let tokens = |text: &str| Pointer::parse(text).map(|pointer| pointer.0);
        assert_eq!(tokens(""), Some(Vec::new()));
        assert_eq!(tokens("/"), Some(vec![String::new()]));
        assert_eq!(tokens("/a~1b/~01/0").unwrap(), ["a/b", "~1", "0"]);
        assert_eq!(Pointer::parse("/a~1b/~01/0").unwrap().to_string(), "/a~1b/~01/0");
        for bad in ["a", "/~", "/~2", &"/a".repeat(129)] {
            assert_eq!(tokens(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_index_has_no_sign_and_no_leading_zero() {
        assert_eq!((index("0"), index("12")), (Some(0), Some(12)));
        for bad in ["", "-", "01", "-1", "+1", "1e0", "99999999999999999999"] {
            assert_eq!(index(bad), None, "{bad}");
        }
    }
}
