//! Expressions in the languages of a mapping, compiled when it loads, evaluated on the same view of a message.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::effort::Effort;
use super::index::Feature;
use super::jmespath::{self, FunctionFailure, Yield};
use super::jsonpath::{Item, Path, Unselected};
use super::rfc9535;
use super::source::Position;
use crate::json::Node;

/// The languages of expressions (DM-20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// The dialect of the reference (section 3), the default.
    JsonPath,
    /// [JMESPath](https://jmespath.org/specification.html) with functions of its own (section 4).
    JmesPath,
    /// [RFC 9535](https://www.rfc-editor.org/rfc/rfc9535).
    Rfc9535,
}

impl Language {
    /// Names, as they are written in mappings.
    pub(super) const NAMES: [&str; 3] = ["JsonPath", "JmesPath", "Rfc9535"];

    /// Without regard to case, or by the numbers the reference knows (DM-20).
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "jsonpath" | "0" => Some(Self::JsonPath),
            "jmespath" | "1" => Some(Self::JmesPath),
            "rfc9535" => Some(Self::Rfc9535),
            _ => None,
        }
    }
}

/// A compiled expression and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    at: Position,
    /// As it is written, for those who ask why it gave what it gave.
    text: String,
    language: Language,
    engine: Engine,
}

#[derive(Clone, Debug)]
enum Engine {
    JsonPath(Path),
    JmesPath(jmespath::Query),
    Rfc9535(rfc9535::Query),
}

/// Why a text is not an expression. `at` counts its characters from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) at: Option<usize>,
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

/// Why an expression that must give one value does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// It selects more than one (DM-28).
    Several,
    /// The message is too large for what it does with it.
    TooMuchWork,
    /// A function in it failed (JM-21).
    Function {
        /// Its name.
        function: &'static str,
        /// What was wrong with its arguments.
        reason: String,
    },
}

impl Expression {
    /// Compiles a text; `at` is where evaluation errors point to (DM-47).
    ///
    /// # Errors
    /// When the text breaks the grammar of its language (DM-21).
    pub(super) fn compile(text: &str, language: Language, at: Position) -> Result<Self, SyntaxError> {
        let engine = match language {
            Language::JsonPath => Path::parse(text).map(Engine::JsonPath).map_err(|error| SyntaxError {
                at: Some(error.at),
                reason: error.reason,
                hint: error.hint.map(str::to_owned),
            }),
            Language::Rfc9535 => rfc9535::Query::parse(text).map(Engine::Rfc9535).map_err(|error| SyntaxError {
                at: error.at,
                reason: error.reason,
                hint: None,
            }),
            Language::JmesPath => jmespath::Query::parse(text).map(Engine::JmesPath).map_err(|error| SyntaxError {
                at: error.column,
                reason: error.message,
                hint: error.hint,
            }),
        }?;
        Ok(Self { at, text: text.to_owned(), language, engine })
    }

    /// Where it stands in its file.
    pub(super) fn at(&self) -> Position {
        self.at
    }

    /// As it is written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The language it is written in.
    pub(super) fn language(&self) -> Language {
        self.language
    }

    /// How many values each beginning of it selects, with the text of the beginning; nothing for a language that is not
    /// evaluated step by step.
    pub(super) fn progress(&self, document: Item<'_, '_>) -> Vec<(&str, usize)> {
        match &self.engine {
            Engine::JsonPath(path) => path.progress(&self.text, document),
            Engine::JmesPath(_) | Engine::Rfc9535(_) => Vec::new(),
        }
    }

    /// Hands the tokens of a type match to `found`, in order (DM-23), until it breaks off.
    ///
    /// # Errors
    /// When a function fails, or it takes too much work; tokens handed over before that stand.
    pub(super) fn tokens(
        &self,
        envelope: &Node<'_>,
        effort: &Effort,
        found: &mut dyn FnMut(&Node<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Unresolved> {
        Ok(match &self.engine {
            Engine::JsonPath(path) => path.select(Item::Node(envelope), effort, &mut |item| match item.node() {
                Some(token) => found(token),
                None => ControlFlow::Continue(()),
            })?,
            Engine::JmesPath(query) => match query.evaluate(Item::Node(envelope), effort)? {
                Yield::Nothing => ControlFlow::Continue(()),
                Yield::Value(token) => found(&token),
                Yield::Projection(tokens) => tokens.iter().try_for_each(|token| found(token)),
            },
            Engine::Rfc9535(query) => {
                query.select(Item::Node(envelope), effort)?.iter().try_for_each(|token| found(token))
            }
        })
    }

    /// The only value it gives, if any.
    ///
    /// # Errors
    /// When it gives several, a function fails, or it takes too much work.
    pub(super) fn single<'n, 'a>(
        &'n self,
        document: Item<'n, 'a>,
        effort: &Effort,
    ) -> Result<Option<Value<'n, 'a>>, Unresolved> {
        match &self.engine {
            Engine::JsonPath(path) => Ok(path.single(document, effort)?.map(Value::Item)),
            Engine::JmesPath(query) => match query.evaluate(document, effort)? {
                Yield::Nothing => Ok(None),
                Yield::Value(value) => Ok(Some(value.into())),
                Yield::Projection(values) if values.len() > 1 => Err(Unresolved::Several),
                // A projection is an array also when it has one element (JM-6).
                Yield::Projection(values) => {
                    Ok(Some(Value::Computed(Node::Array(values.into_iter().map(Cow::into_owned).collect()))))
                }
            },
            Engine::Rfc9535(query) => {
                let mut selected = query.select(document, effort)?;
                let only = selected.pop();
                if selected.is_empty() { Ok(only.map(Value::from)) } else { Err(Unresolved::Several) }
            }
        }
    }

    /// Whether it finds a matched token twice, in `Body` and in `matchedToken` (DM-26).
    pub(super) fn descends(&self) -> bool {
        match &self.engine {
            Engine::JsonPath(path) => path.descends(),
            Engine::JmesPath(_) => false,
            Engine::Rfc9535(query) => query.descends(),
        }
    }

    /// Whether it has a `..` without effect (JP-16).
    pub(super) fn has_idle_scan(&self) -> bool {
        match &self.engine {
            Engine::JsonPath(path) => path.has_idle_scan(),
            Engine::JmesPath(_) | Engine::Rfc9535(_) => false,
        }
    }

    /// Whether it can give a boolean where the true and the false one both match (JM-5).
    pub(super) fn is_boolean(&self) -> bool {
        match &self.engine {
            Engine::JmesPath(query) => query.is_boolean(),
            Engine::JsonPath(_) | Engine::Rfc9535(_) => false,
        }
    }

    /// What every message has in which it selects something.
    pub(super) fn features(&self) -> Vec<Feature> {
        match &self.engine {
            Engine::JsonPath(path) => path.features(),
            Engine::JmesPath(query) => query.needs().iter().map(|name| Feature::name(name)).collect(),
            Engine::Rfc9535(query) => query.features(),
        }
    }
}

impl From<Unselected> for Unresolved {
    fn from(unselected: Unselected) -> Self {
        match unselected {
            Unselected::Several => Self::Several,
            Unselected::TooMuchWork => Self::TooMuchWork,
        }
    }
}

impl From<rfc9535::TooMuchWork> for Unresolved {
    fn from(_too_much: rfc9535::TooMuchWork) -> Self {
        Self::TooMuchWork
    }
}

impl From<FunctionFailure> for Unresolved {
    fn from(failure: FunctionFailure) -> Self {
        Self::Function { function: failure.function, reason: failure.reason }
    }
}

/// What an expression gave.
#[derive(Clone, Debug)]
pub(super) enum Value<'n, 'a> {
    /// A part of the message.
    Item(Item<'n, 'a>),
    /// Something made from it.
    Computed(Node<'a>),
}

impl<'n, 'a> From<Cow<'n, Node<'a>>> for Value<'n, 'a> {
    fn from(node: Cow<'n, Node<'a>>) -> Self {
        match node {
            Cow::Borrowed(node) => Self::Item(Item::Node(node)),
            Cow::Owned(node) => Self::Computed(node),
        }
    }
}

impl Value<'_, '_> {
    /// It as a tree; the extended envelope is none.
    pub(super) fn node(&self) -> Option<&Node<'_>> {
        match self {
            Self::Item(item) => item.node(),
            Self::Computed(node) => Some(node),
        }
    }
}
