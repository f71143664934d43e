//! An object whose members are kept as the text they were sent as.
//!
//! Merging changes few members of an Observation. All others, known to this product or not, leave as they came, byte for
//! byte (rule OB-9).

use std::borrow::Cow;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json_text::ObjectWriter;
use crate::json::Name;

/// Members up to which an object is read. An Observation has less than a hundred; each is compared with all others.
const MEMBERS_MAX: usize = 1_000;

/// An object, its member values as JSON text.
#[derive(Clone, Debug, Default)]
pub(super) struct RawObject<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> RawObject<'a> {
    /// Reads an object; `None` for anything else.
    pub(super) fn parse(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// The JSON text of a member.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let member = self.members.iter().find(|(member, _)| member == name);
        member.map(|(_, value)| value.as_ref())
    }

    /// The text of a member that is a string.
    pub(super) fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        fn text(json: &str) -> Option<Cow<'_, str>> {
            serde_json::from_str(json).ok().map(|Name(text)| text)
        }
        let (_, json) = self.members.iter().find(|(member, _)| member == name)?;
        match json {
            Cow::Borrowed(json) => text(json),
            Cow::Owned(json) => text(json).map(|text| Cow::Owned(text.into_owned())),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_ref())
    }

    /// Replaces a member in its place, or appends it.
    pub(super) fn set(&mut self, name: &str, json: String) {
        match self.members.iter_mut().find(|(member, _)| member == name) {
            Some((_, value)) => *value = Cow::Owned(json),
            None => self.members.push((Cow::Owned(name.to_owned()), Cow::Owned(json))),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.members.retain(|(member, _)| member != name);
    }

    pub(super) fn to_json(&self) -> String {
        let bytes: usize = self.members.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut json = String::with_capacity(bytes + 2);
        let mut object = ObjectWriter::open(&mut json);
        for (name, value) in &self.members {
            object.json(name, value);
        }
        object.close();
        json
    }
}

/// The elements of an array as JSON text; `None` for anything else.
pub(super) fn elements(json: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawObjectVisitor)
    }
}

struct RawObjectVisitor;

impl<'de> Visitor<'de> for RawObjectVisitor {
    type Value = RawObject<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject<'de>, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Cow<'de, str>)> = Vec::new();
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            if members.len() == MEMBERS_MAX || members.iter().any(|(member, _)| *member == name) {
                return Err(de::Error::custom("a member is there twice, or there are too many"));
            }
            members.push((name, Cow::Borrowed(value.get())));
        }
        Ok(RawObject { members })
    }
}
