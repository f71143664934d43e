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
    /// Where the values that were read stand.
    places: BTreeMap<&'static str, Place>,
}

/// All that is wrong so far.
pub(super) type Problems = Vec<ConfigProblem>;

/// A value of a configuration key.
pub(super) trait FromRaw: Sized {
    /// What is expected, for messages: "a whole number from 1".
    const EXPECTED: &'static str;
    /// Whether a number found here may be shown.
    const IS_NUMBER: bool = false;
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
            | Content::List(_)
            | Content::Unparsed(_)) => {
                let message = format!("expected a section, found {}", other.kind());
                problems.push(ConfigProblem { place: Some(raw.place.clone()), key: path.clone(), message });
                BTreeMap::new()
            }
        };
        Self { path, place: raw.place, keys, asked: Vec::new(), places: BTreeMap::new() }
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
        self.places.insert(key, raw.place.clone());
        let value = T::from_content(&raw.content);
        if value.is_none() {
            let message = format!("expected {}, found {}", T::EXPECTED, describe::<T>(&raw.content));
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

    /// The section under a key, unless it is left out.
    pub(super) fn optional_section(&mut self, key: &'static str, problems: &mut Problems) -> Option<Section> {
        self.asked.push(key);
        let raw = self.keys.remove(key)?;
        Some(Section::of(self.key_path(key), raw, problems))
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Whether a key that was asked for is there, usable or not.
    pub(super) fn was_given(&self, key: &str) -> bool {
        self.places.contains_key(key)
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
            | Content::Section(_)
            | Content::Unparsed(_)) => {
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

    /// All keys with their places and values as text, where any key may stand. Numbers and words may be without quotes.
    pub(super) fn into_texts(self, problems: &mut Problems) -> Vec<(String, Place, String)> {
        let mut texts = Vec::with_capacity(self.keys.len());
        for (key, raw) in &self.keys {
            let text = match &raw.content {
                Content::Text(text) | Content::Unparsed(text) => text.clone(),
                Content::Integer(number) => number.to_string(),
                Content::Float(number) => number.to_string(),
                Content::Boolean(value) => value.to_string(),
                Content::List(_) | Content::Section(_) => {
                    let message = format!("expected text in quotes, found {}", raw.content.kind());
                    problems.push(self.problem(key, Some(raw.place.clone()), message));
                    continue;
                }
            };
            texts.push((key.clone(), raw.place.clone(), text));
        }
        texts
    }

    /// What nobody has asked for yet, as it was written.
    pub(super) fn into_raw(self) -> Raw {
        Raw { place: self.place, content: Content::Section(self.keys) }
    }

    /// Describes a problem with the value of `key`, which stands at `place`, or where it was read.
    pub(super) fn problem(&self, key: &str, place: Option<Place>, message: String) -> ConfigProblem {
        let place = place.or_else(|| self.places.get(key).cloned()).unwrap_or_else(|| self.place.clone());
        ConfigProblem { place: Some(place), key: self.key_path(key), message }
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

/// The value as it may be shown: only where a number is expected, and found. Anything else may be a secret, typed under
/// the wrong key or without its quotes.
fn describe<T: FromRaw>(content: &Content) -> String {
    match content {
        Content::Integer(number) if T::IS_NUMBER => number.to_string(),
        Content::Float(number) if T::IS_NUMBER => number.to_string(),
        Content::Text(text) | Content::Unparsed(text) if text.is_empty() => "empty text".to_owned(),
        Content::Integer(_)
        | Content::Float(_)
        | Content::Boolean(_)
        | Content::Text(_)
        | Content::List(_)
        | Content::Section(_)
        | Content::Unparsed(_) => content.kind().to_owned(),
    }
}

impl FromRaw for String {
    const EXPECTED: &'static str = "text in quotes";
    fn from_content(content: &Content) -> Option<Self> {
        match content {
            Content::Text(text) | Content::Unparsed(text) => Some(text.clone()),
            Content::Integer(_) | Content::Float(_) | Content::Boolean(_) | Content::List(_) | Content::Section(_) => {
                None
            }
        }
    }
}

impl FromRaw for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";
    fn from_content(content: &Content) -> Option<Self> {
        String::from_content(content).filter(|path| !path.is_empty()).map(Self::from)
    }
}

impl FromRaw for Secret {
    const EXPECTED: &'static str = "text in quotes";
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
    const IS_NUMBER: bool = true;
    fn from_content(content: &Content) -> Option<Self> {
        whole_number(content)?.try_into().ok().filter(|number| *number > 0)
    }
}

impl FromRaw for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_content(content: &Content) -> Option<Self> {
        match content {
            Content::Boolean(value) => Some(*value),
            Content::Unparsed(text) => text.trim().parse().ok(),
            Content::Text(_) | Content::Integer(_) | Content::Float(_) | Content::List(_) | Content::Section(_) => None,
        }
    }
}

/// A count or a size. More than that many of anything is a typing error, and some would not fit into memory.
impl FromRaw for usize {
    const EXPECTED: &'static str = "a whole number from 1 to 1000000000";
    const IS_NUMBER: bool = true;
    fn from_content(content: &Content) -> Option<Self> {
        whole_number(content)?.try_into().ok().filter(|number| (1..=1_000_000_000).contains(number))
    }
}

/// A span of time, written in milliseconds.
impl FromRaw for Duration {
    const EXPECTED: &'static str = "a whole number of milliseconds, at most one day";
    const IS_NUMBER: bool = true;
    fn from_content(content: &Content) -> Option<Self> {
        let millis = u64::try_from(whole_number(content)?).ok()?;
        (millis <= 86_400_000).then_some(Self::from_millis(millis))
    }
}

/// The whole number that stands there.
pub(super) fn whole_number(content: &Content) -> Option<i64> {
    match content {
        Content::Integer(number) => Some(*number),
        Content::Unparsed(text) => text.trim().parse().ok(),
        Content::Text(_) | Content::Float(_) | Content::Boolean(_) | Content::List(_) | Content::Section(_) => None,
    }
}

/// A list of texts, or one text.
impl FromRaw for Vec<String> {
    const EXPECTED: &'static str = "a list of texts in quotes";
    fn from_content(content: &Content) -> Option<Self> {
        match content {
            Content::List(items) => items.iter().map(|item| String::from_content(&item.content)).collect(),
            Content::Unparsed(text) if text.trim_start().starts_with('[') => {
                let document = Raw::parse("", &format!("list = {text}")).ok()?;
                let Content::Section(keys) = document.content else { return None };
                Self::from_content(&keys.get("list")?.content)
            }
            Content::Text(text) | Content::Unparsed(text) => Some(vec![text.clone()]),
            Content::Integer(_) | Content::Float(_) | Content::Boolean(_) | Content::Section(_) => None,
        }
    }
}
