//! An object whose members are kept as the text they were sent as.
//!
//! Merging changes few members of an Observation. All others, known to this product or not, leave as they came, byte for
//! byte (rule OB-9).

use std::borrow::Cow;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json_text::ObjectWriter;

/// An object, its member values as JSON text.
#[derive(Clone, Debug, Default)]
pub(super) struct RawObject<'a> {
    members: Vec<(String, Cow<'a, str>)>,
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

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    /// Replaces a member in its place, or appends it.
    pub(super) fn set(&mut self, name: &str, json: String) {
        match self.members.iter_mut().find(|(member, _)| member == name) {
            Some((_, value)) => *value = Cow::Owned(json),
            None => self.members.push((name.to_owned(), Cow::Owned(json))),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.members.retain(|(member, _)| member != name);
    }

    pub(super) fn to_json(&self) -> String {
        let mut json = String::new();
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
        let mut members: Vec<(String, Cow<'de, str>)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            if members.iter().any(|(member, _)| *member == name) {
                return Err(de::Error::custom("a member is there twice"));
            }
            members.push((name, Cow::Borrowed(value.get())));
        }
        Ok(RawObject { members })
    }
}
