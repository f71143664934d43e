//! JSON that is opened only where it is looked into or changed: everything else keeps its bytes.
//!
//! A level that was opened is written anew without white space; its values, opened no further, are written as they
//! stood, with their digits, escapes and spaces. The text must be JSON in which no object names a member twice
//! (`parse_unique` tells).

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Name, Node};

/// One value.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    /// As it was written.
    Raw(Bytes),
    /// An object that was opened, members in document order.
    Object(Vec<(String, Tree)>),
    /// An array that was opened.
    Array(Vec<Tree>),
}

impl Tree {
    /// Opens this level, if it is one. Gives back how many bytes had to be read for it.
    pub(crate) fn open(&mut self) -> usize {
        let Self::Raw(text) = self else {
            return 0;
        };
        let length = text.len();
        let opened = match text.trim_ascii_start().first() {
            Some(b'{') => members(text).map(|members| {
                let kept = |(name, value): (Cow<'_, str>, &RawValue)| (name.into_owned(), Self::part(text, value));
                Self::Object(members.into_iter().map(kept).collect())
            }),
            Some(b'[') => serde_json::from_slice::<Vec<&RawValue>>(text)
                .ok()
                .map(|elements| Self::Array(elements.into_iter().map(|element| Self::part(text, element)).collect())),
            _ => return 0,
        };
        if let Some(opened) = opened {
            *self = opened;
        }
        length
    }

    /// A part of a text, which it shares.
    fn part(text: &Bytes, part: &RawValue) -> Self {
        Self::Raw(text.slice_ref(part.get().as_bytes()))
    }

    /// The members of an object that was opened; `None` for any other value.
    pub(crate) fn members_mut(&mut self) -> Option<&mut Vec<(String, Self)>> {
        match self {
            Self::Object(members) => Some(members),
            Self::Raw(_) | Self::Array(_) => None,
        }
    }

    /// The elements of an array that was opened; `None` for any other value.
    pub(crate) fn elements_mut(&mut self) -> Option<&mut Vec<Self>> {
        match self {
            Self::Array(elements) => Some(elements),
            Self::Raw(_) | Self::Object(_) => None,
        }
    }

    /// The member of an object that was opened; `None` for any other value.
    pub(crate) fn member_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.members_mut()?.iter_mut().find_map(|(member, value)| (member == name).then_some(value))
    }

    /// Sets the member of an object that was opened, in its place or as the last one.
    pub(crate) fn set_member(&mut self, name: &str, value: Self) {
        let Some(members) = self.members_mut() else {
            return;
        };
        match members.iter_mut().find(|(member, _)| member == name) {
            Some((_, known)) => *known = value,
            None => members.push((name.to_owned(), value)),
        }
    }

    /// Takes the member of an object that was opened.
    pub(crate) fn remove_member(&mut self, name: &str) -> Option<Self> {
        let members = self.members_mut()?;
        let place = members.iter().position(|(member, _)| member == name)?;
        Some(members.remove(place).1)
    }

    /// The text of the value.
    pub(crate) fn to_bytes(&self) -> Bytes {
        if let Self::Raw(text) = self {
            return text.clone();
        }
        let mut text = Vec::new();
        self.write(&mut text);
        text.into()
    }

    fn write(&self, text: &mut Vec<u8>) {
        match self {
            Self::Raw(raw) => text.extend_from_slice(raw),
            Self::Object(members) => {
                text.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        text.push(b',');
                    }
                    text.extend_from_slice(Node::String(Cow::Borrowed(name)).to_string().as_bytes());
                    text.push(b':');
                    value.write(text);
                }
                text.push(b'}');
            }
            Self::Array(elements) => {
                text.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        text.push(b',');
                    }
                    element.write(text);
                }
                text.push(b']');
            }
        }
    }

    /// Takes out what was emptied: objects and arrays that were opened and hold nothing, from the innermost on.
    pub(crate) fn prune(&mut self) {
        match self {
            Self::Raw(_) => {}
            Self::Object(members) => {
                members.iter_mut().for_each(|(_, value)| value.prune());
                members.retain(|(_, value)| !value.is_emptied());
            }
            Self::Array(elements) => {
                elements.iter_mut().for_each(Self::prune);
                elements.retain(|element| !element.is_emptied());
            }
        }
    }

    fn is_emptied(&self) -> bool {
        match self {
            Self::Raw(_) => false,
            Self::Object(members) => members.is_empty(),
            Self::Array(elements) => elements.is_empty(),
        }
    }
}

/// The members of an object with their values as written; `None` for what is no object.
pub(crate) fn members(text: &[u8]) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    serde_json::from_slice::<Members<'_>>(text).ok().map(|members| members.0)
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    fn raw(text: &str) -> Tree {
        Tree::Raw(text.to_owned().into())
    }

    #[track_caller]
    fn check(tree: &Tree, expected: &str) {
        assert_eq!(std::str::from_utf8(&tree.to_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_is_not_opened_keeps_its_bytes() {
        let mut tree = raw(r#" { "a" : { "b" : 65.00, "c":"\u0031" } , "d": [ 1 , {"e" :2} ] }"#);
        tree.open();
        tree.member_mut("d").unwrap().open();
        check(&tree, r#"{"a":{ "b" : 65.00, "c":"\u0031" },"d":[1,{"e" :2}]}"#);
        tree.member_mut("d").unwrap().elements_mut().unwrap().remove(0);
        tree.set_member("a", raw("true"));
        tree.set_member("f\"", raw("0"));
        check(&tree, r#"{"a":true,"d":[{"e" :2}],"f\"":0}"#);
    }

    #[test]
    fn what_is_opened_and_emptied_is_pruned_and_what_was_sent_empty_is_not() {
        let mut tree = raw(r#"{"a":{"b":[1]},"c":[],"d":[{"e":1},{"f":2}]}"#);
        tree.open();
        let a = tree.member_mut("a").unwrap();
        a.open();
        a.member_mut("b").unwrap().open();
        a.member_mut("b").unwrap().elements_mut().unwrap().clear();
        let d = tree.member_mut("d").unwrap();
        d.open();
        let first = &mut d.elements_mut().unwrap()[0];
        first.open();
        first.remove_member("e");
        tree.prune();
        check(&tree, r#"{"c":[],"d":[{"f":2}]}"#);
    }

    #[test]
    fn a_scalar_has_no_levels() {
        let mut tree = raw("65.00");
        assert_eq!((tree.open(), tree.members_mut().is_none(), tree.elements_mut().is_none()), (0, true, true));
        check(&tree, "65.00");
    }
}
