//! Reading a section key by key: every key is asked for once, what is left over is unknown, every problem is kept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::ConfigProblem;
use super::raw::{Content, Place, Raw};
use crate::secret::Secret;

/// A section being read.
#[derive(Debug)]
pub(super) struct Section {
    path: String,
    place: Place,
    keys: BTreeMap<String, Raw>,
    /// Every key asked for, to suggest one for a misspelt key.
    asked: Vec<&'static str>,
}

/// All that is wrong so far.
pub(super) type Problems = Vec<ConfigProblem>;

/// A value of a configuration key.
pub(super) trait FromRaw: Sized {
    /// What is expected, for messages: "a whole number from 1".
    const EXPECTED: &'static str;
    /// The value, unless it is of another kind or out of bounds.
    fn from_content(content: &Content) -> Option<Self>;
}

impl Section {
    pub(super) fn root(raw: Raw, problems: &mut Problems) -> Self {
        Self::of(String::new(), raw, problems)
    }

    fn of(path: String, raw: Raw, problems: &mut Problems) -> Self {
        let keys = match raw.content {
            Content::Section(keys) => keys,
            other @ (Content::Text(_)
            | Content::Integer(_)
            | Content::Float(_)
            | Content::Boolean(_)
            | Content::List(_)) => {
                let message = format!("expected a section, found {}", other.kind());
                problems.push(ConfigProblem { place: Some(raw.place.clone()), key: path.clone(), message });
                BTreeMap::new()
            }
        };
        Self { path, place: raw.place, keys, asked: Vec::new() }
    }

    /// The value of a key that the defaults always have; `fallback` stands in after a problem was noted.
    pub(super) fn required<T: FromRaw>(&mut self, key: &'static str, fallback: T, problems: &mut Problems) -> T {
        let absent = !self.keys.contains_key(key);
        match self.optional(key, problems) {
            Some(value) => value,
            None if absent => {
                let message = format!("is missing; expected {}", T::EXPECTED);
                problems.push(self.problem(key, Some(self.place.clone()), message));
                fallback
            }
            None => fallback,
        }
    }

    /// The value of a key that may be left out.
    pub(super) fn optional<T: FromRaw>(&mut self, key: &'static str, problems: &mut Problems) -> Option<T> {
        self.asked.push(key);
        let raw = self.keys.remove(key)?;
        let value = T::from_content(&raw.content);
        if value.is_none() {
            let message = format!("expected {}, found {}", T::EXPECTED, describe(&raw.content));
            problems.push(self.problem(key, Some(raw.place), message));
        }
        value
    }

    /// The section under a key; an empty one when it is left out.
    pub(super) fn section(&mut self, key: &'static str, problems: &mut Problems) -> Section {
        self.asked.push(key);
        let raw = self.keys.remove(key).unwrap_or_else(|| Raw::empty(self.place.clone()));
        Section::of(self.key_path(key), raw, problems)
    }

    /// The raw value under a key.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<Raw> {
        self.asked.push(key);
        self.keys.remove(key)
    }

    /// The sections of the list under a key, each laid over a copy of `defaults`; paths read `key.0`, `key.1`.
    pub(super) fn sections(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
        defaults: impl Fn(&Raw) -> Raw,
    ) -> Vec<Section> {
        let Some(raw) = self.raw(key) else { return Vec::new() };
        let items = match raw.content {
            Content::List(items) => items,
            other @ (Content::Text(_)
            | Content::Integer(_)
            | Content::Float(_)
            | Content::Boolean(_)
            | Content::Section(_)) => {
                let message =
                    format!("expected a list of sections (`[[{}]]`), found {}", self.key_path(key), other.kind());
                problems.push(self.problem(key, Some(raw.place), message));
                return Vec::new();
            }
        };
        let mut sections = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let mut merged = defaults(&item);
            merged.overlay(item);
            sections.push(Section::of(format!("{}.{index}", self.key_path(key)), merged, problems));
        }
        sections
    }

    /// What nobody has asked for yet, as it was written.
    pub(super) fn into_raw(self) -> Raw {
        Raw { place: self.place, content: Content::Section(self.keys) }
    }

    /// Describes a problem with the value of `key`.
    pub(super) fn problem(&self, key: &str, place: Option<Place>, message: String) -> ConfigProblem {
        ConfigProblem { place: place.or_else(|| Some(self.place.clone())), key: self.key_path(key), message }
    }

    /// Ends the reading: every key nobody asked for is a problem.
    pub(super) fn finish(self, problems: &mut Problems) {
        for (key, raw) in &self.keys {
            let distance = |known: &&&str| strsim::damerau_levenshtein(known, key);
            let nearest = self.asked.iter().filter(|known| distance(known) <= 2).min_by_key(distance);
            let message = match nearest {
                Some(known) => format!("unknown key; did you mean `{known}`?"),
                None => "unknown key; config/default.toml lists all keys".to_owned(),
            };
            problems.push(self.problem(key, Some(raw.place.clone()), message));
        }
    }

    fn key_path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// The value as it may be shown. Texts are not, since they may be secrets typed under the wrong key.
fn describe(content: &Content) -> String {
    match content {
        Content::Integer(number) => number.to_string(),
        Content::Float(number) => number.to_string(),
        Content::Boolean(value) => value.to_string(),
        Content::Text(text) if text.is_empty() => "empty text".to_owned(),
        Content::Text(_) | Content::List(_) | Content::Section(_) => content.kind().to_owned(),
    }
}

impl FromRaw for String {
    const EXPECTED: &'static str = "text";
    fn from_content(content: &Content) -> Option<Self> {
        match content {
            Content::Text(text) => Some(text.clone()),
            Content::Integer(_) | Content::Float(_) | Content::Boolean(_) | Content::List(_) | Content::Section(_) => {
                None
            }
        }
    }
}

impl FromRaw for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_content(content: &Content) -> Option<Self> {
        match content {
            Content::Boolean(value) => Some(*value),
            Content::Text(_) | Content::Integer(_) | Content::Float(_) | Content::List(_) | Content::Section(_) => None,
        }
    }
}

impl FromRaw for PathBuf {
    const EXPECTED: &'static str = "a path";
    fn from_content(content: &Content) -> Option<Self> {
        String::from_content(content).filter(|path| !path.is_empty()).map(Self::from)
    }
}

impl FromRaw for Secret {
    const EXPECTED: &'static str = "text";
    fn from_content(content: &Content) -> Option<Self> {
        String::from_content(content).map(Self::new)
    }
}

impl FromRaw for SocketAddr {
    const EXPECTED: &'static str = "an address and port such as \"127.0.0.1:8080\" or \"[::1]:8080\"";
    fn from_content(content: &Content) -> Option<Self> {
        String::from_content(content)?.parse().ok()
    }
}

impl FromRaw for u16 {
    const EXPECTED: &'static str = "a whole number from 1 to 65535";
    fn from_content(content: &Content) -> Option<Self> {
        match content {
            Content::Integer(number) => Self::try_from(*number).ok().filter(|number| *number > 0),
            Content::Text(_) | Content::Float(_) | Content::Boolean(_) | Content::List(_) | Content::Section(_) => None,
        }
    }
}

/// A count or a size: a whole number from 1.
impl FromRaw for usize {
    const EXPECTED: &'static str = "a whole number from 1";
    fn from_content(content: &Content) -> Option<Self> {
        match content {
            Content::Integer(number) => Self::try_from(*number).ok().filter(|number| *number > 0),
            Content::Text(_) | Content::Float(_) | Content::Boolean(_) | Content::List(_) | Content::Section(_) => None,
        }
    }
}

/// A span of time, written in milliseconds.
impl FromRaw for Duration {
    const EXPECTED: &'static str = "a whole number of milliseconds, at most one day";
    fn from_content(content: &Content) -> Option<Self> {
        match content {
            Content::Integer(number @ 0..=86_400_000) => u64::try_from(*number).ok().map(Self::from_millis),
            Content::Integer(_)
            | Content::Text(_)
            | Content::Float(_)
            | Content::Boolean(_)
            | Content::List(_)
            | Content::Section(_) => None,
        }
    }
}

/// A list of texts, or one text.
impl FromRaw for Vec<String> {
    const EXPECTED: &'static str = "a list of texts";
    fn from_content(content: &Content) -> Option<Self> {
        match content {
            Content::List(items) => items.iter().map(|item| String::from_content(&item.content)).collect(),
            Content::Text(text) => Some(vec![text.clone()]),
            Content::Integer(_) | Content::Float(_) | Content::Boolean(_) | Content::Section(_) => None,
        }
    }
}
