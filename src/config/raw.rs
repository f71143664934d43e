//! What the defaults, a file and the environment say, layered into one tree in which every value knows where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::ConfigProblem;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file.
    Line {
        /// Name of the file.
        file: Arc<str>,
        /// Line, from 1.
        line: usize,
    },
    /// In an environment variable.
    Variable(Arc<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// A value, a list or a section, as written.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(super) place: Place,
    pub(super) content: Content,
}

/// What was written.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Raw>),
    Section(BTreeMap<String, Raw>),
    /// The value of an environment variable; what it is depends on the key, for a password may look like a number.
    Unparsed(String),
}

impl Content {
    /// What kind of value this is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Section(_) => "a section",
            Self::Unparsed(_) => "something else",
        }
    }
}

impl Raw {
    /// Reads a TOML text.
    ///
    /// # Errors
    /// When the text is not TOML; the problem names file and line.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, ConfigProblem> {
        let file: Arc<str> = Arc::from(file);
        let lines = Lines { file: Arc::clone(&file), text };
        match DeTable::parse(text) {
            Ok(table) => Ok(lines.section(table.get_ref(), 0)),
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                Err(ConfigProblem {
                    place: Some(lines.place(start)),
                    key: String::new(),
                    message: error.message().to_owned(),
                })
            }
        }
    }

    /// An empty section.
    pub(crate) fn empty(place: Place) -> Self {
        Self { place, content: Content::Section(BTreeMap::new()) }
    }

    /// Lays `over` on top: its sections are merged key by key, its other values replace.
    pub(crate) fn overlay(&mut self, over: Self) {
        match (&mut self.content, over.content) {
            (Content::Section(under), Content::Section(over_keys)) => {
                for (key, value) in over_keys {
                    match under.get_mut(&key) {
                        Some(existing) => existing.overlay(value),
                        None => {
                            under.insert(key, value);
                        }
                    }
                }
                self.place = over.place;
            }
            (content, over_content) => {
                *content = over_content;
                self.place = over.place;
            }
        }
    }

    /// Sets the value an environment variable names: `keys` from the outermost inwards, in lower case. In a list of
    /// sections a key selects the one with that `name`, or else the one at that index, from 0.
    pub(crate) fn set_from_variable(&mut self, variable: &str, keys: &[String], value: &str) {
        let place = Place::Variable(Arc::from(variable));
        self.set(keys, Self { content: Content::Unparsed(value.to_owned()), place });
    }

    fn set(&mut self, keys: &[String], value: Self) {
        let Some((key, inner)) = keys.split_first() else {
            *self = value;
            return;
        };
        match &mut self.content {
            Content::List(items) => {
                let index = key.parse().ok().filter(|index| *index < items.len());
                let named = items.iter().position(|item| item.has_name(key));
                match named.or(index).and_then(|place| items.get_mut(place)) {
                    Some(item) => item.set(inner, value),
                    // Such an item says nothing but its name; checking then tells what is missing.
                    None => {
                        let mut item = Self::empty(value.place.clone());
                        if key.parse::<usize>().is_err() {
                            let name = Self { place: value.place.clone(), content: Content::Text(key.clone()) };
                            item.set(&["name".to_owned()], name);
                        }
                        item.set(inner, value);
                        items.push(item);
                    }
                }
            }
            Content::Section(section) => {
                section.entry(key.clone()).or_insert_with(|| Self::empty(value.place.clone())).set(inner, value);
            }
            Content::Text(_) | Content::Integer(_) | Content::Float(_) | Content::Boolean(_) | Content::Unparsed(_) => {
                *self = Self::empty(value.place.clone());
                self.set(keys, value);
            }
        }
    }

    /// The text under a key of a section.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        let Content::Section(keys) = &self.content else { return None };
        match &keys.get(key)?.content {
            Content::Text(text) | Content::Unparsed(text) => Some(text),
            Content::Integer(_) | Content::Float(_) | Content::Boolean(_) | Content::List(_) | Content::Section(_) => {
                None
            }
        }
    }

    fn has_name(&self, variable_key: &str) -> bool {
        self.text("name").is_some_and(|name| name.to_lowercase().replace('-', "_") == variable_key)
    }
}

/// Turns offsets into lines.
struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let line = 1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        Place::Line { file: Arc::clone(&self.file), line }
    }

    fn section(&self, table: &DeTable<'_>, offset: usize) -> Raw {
        let keys = table.iter().map(|(key, value)| (key.get_ref().to_string(), self.value(value, key.span().start)));
        Raw { place: self.place(offset), content: Content::Section(keys.collect()) }
    }

    fn list(&self, array: &DeArray<'_>, offset: usize) -> Raw {
        let items = array.iter().map(|item| self.value(item, item.span().start));
        Raw { place: self.place(offset), content: Content::List(items.collect()) }
    }

    fn value(&self, value: &Spanned<DeValue<'_>>, offset: usize) -> Raw {
        let content = match value.get_ref() {
            DeValue::String(text) => Content::Text(text.to_string()),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(number) => Content::Integer(number),
                // Beyond 64 bits: kept as text, which no number key takes.
                Err(_) => Content::Text(integer.as_str().to_owned()),
            },
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(number) => Content::Float(number),
                Err(_) => Content::Text(float.as_str().to_owned()),
            },
            DeValue::Boolean(value) => Content::Boolean(*value),
            DeValue::Datetime(datetime) => Content::Text(datetime.to_string()),
            DeValue::Array(array) => return self.list(array, offset),
            DeValue::Table(table) => return self.section(table, offset),
        };
        Raw { place: self.place(offset), content }
    }
}
