//! `_filter`: comparisons joined by `and`, `or` and `not`, <https://hl7.org/fhir/R4/search_filter.html>.
//!
//! `and` and `or` have no precedence: they are taken from left to right, as the specification says, and parentheses tell
//! otherwise. A path is a parameter or a chain as in any search, types (`subject:Patient.name`) and `_has` included; a
//! filter within a path (`related[type eq x].target`) is refused. A value is a JSON string or a token without spaces, `)`
//! and `]`; in either `|` separates and `\` escapes as in any search value.

pub(super) mod operator;

use std::fmt;

use self::operator::Operator;
use super::error::SearchError;
use super::plan::{self, Budget};
use super::registry::Registry;
use crate::fhir::store::Condition;
use crate::r4::resource_type::ResourceType;

/// Deepest parentheses.
const DEPTH_MAX: usize = 20;
/// Most comparisons.
const COMPARISONS_MAX: usize = 100;
/// How much of the text is shown where it is not understood, in characters.
const SHOWN_MAX: usize = 40;

/// The condition that a filter means for resources of a type.
///
/// # Errors
/// When it is not understood, or has too many parts.
pub(super) fn condition(
    registry: &Registry,
    resource_type: ResourceType,
    text: &str,
    budget: &Budget,
) -> Result<Condition, SearchError> {
    parse(text)?.condition(registry, resource_type, budget)
}

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Comparison { path: String, operator: Operator, value: String },
}

impl Filter {
    fn condition(
        &self,
        registry: &Registry,
        resource_type: ResourceType,
        budget: &Budget,
    ) -> Result<Condition, SearchError> {
        let each = |parts: &[Self]| -> Result<Vec<Condition>, SearchError> {
            parts.iter().map(|part| part.condition(registry, resource_type, budget)).collect()
        };
        Ok(match self {
            Self::All(parts) => Condition::All(each(parts)?),
            Self::Any(parts) => Condition::Any(each(parts)?),
            Self::Not(filter) => Condition::Not(Box::new(filter.condition(registry, resource_type, budget)?)),
            Self::Comparison { path, operator, value } => {
                plan::comparison(registry, resource_type, path, *operator, value, budget)?
            }
        })
    }
}

/// As it may be written: every operand that is not a comparison in parentheses, values as JSON strings.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Self], joiner: &str| {
            parts.iter().enumerate().try_for_each(|(index, part)| {
                let joiner = if index == 0 { "" } else { joiner };
                match part {
                    Self::All(_) | Self::Any(_) => write!(f, "{joiner}({part})"),
                    Self::Not(_) | Self::Comparison { .. } => write!(f, "{joiner}{part}"),
                }
            })
        };
        match self {
            Self::All(parts) => joined(f, parts, " and "),
            Self::Any(parts) => joined(f, parts, " or "),
            Self::Not(filter) => write!(f, "not ({filter})"),
            Self::Comparison { path, operator, value } => {
                let value = serde_json::to_string(value).map_err(|_never| fmt::Error)?;
                write!(f, "{path} {} {value}", operator.as_str())
            }
        }
    }
}

fn parse(text: &str) -> Result<Filter, SearchError> {
    let mut parser = Parser { rest: text, comparisons: 0 };
    let filter = parser.filter(0)?;
    if parser.rest.is_empty() { Ok(filter) } else { Err(parser.expected("`and`, `or` or the end of the filter")) }
}

struct Parser<'a> {
    rest: &'a str,
    comparisons: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joiner {
    And,
    Or,
}

impl<'a> Parser<'a> {
    fn filter(&mut self, depth: usize) -> Result<Filter, SearchError> {
        let mut filter = self.operand(depth)?;
        let mut joined_by = None;
        while let Some(joiner) = self.joiner() {
            let next = self.operand(depth)?;
            filter = match (joiner, filter) {
                (Joiner::And, Filter::All(mut parts)) | (Joiner::Or, Filter::Any(mut parts))
                    if joined_by == Some(joiner) =>
                {
                    parts.push(next);
                    if joiner == Joiner::And { Filter::All(parts) } else { Filter::Any(parts) }
                }
                (Joiner::And, so_far) => Filter::All(vec![so_far, next]),
                (Joiner::Or, so_far) => Filter::Any(vec![so_far, next]),
            };
            joined_by = Some(joiner);
        }
        Ok(filter)
    }

    fn operand(&mut self, depth: usize) -> Result<Filter, SearchError> {
        self.skip_spaces();
        if let Some(rest) = self.rest.strip_prefix("not").filter(|rest| rest.trim_start().starts_with('(')) {
            self.rest = rest.trim_start();
            return Ok(Filter::Not(Box::new(self.parentheses(depth)?)));
        }
        if self.rest.starts_with('(') { self.parentheses(depth) } else { self.comparison() }
    }

    fn parentheses(&mut self, depth: usize) -> Result<Filter, SearchError> {
        if depth >= DEPTH_MAX {
            return Err(SearchError::TooMany { parts: "parentheses within each other in `_filter`", most: DEPTH_MAX });
        }
        self.rest = self.rest.strip_prefix('(').unwrap_or(self.rest);
        let filter = self.filter(depth + 1)?;
        self.rest = self.rest.strip_prefix(')').ok_or_else(|| self.expected("`and`, `or` or `)`"))?;
        self.skip_spaces();
        Ok(filter)
    }

    fn comparison(&mut self) -> Result<Filter, SearchError> {
        self.comparisons += 1;
        if self.comparisons > COMPARISONS_MAX {
            return Err(SearchError::TooMany { parts: "comparisons in `_filter`", most: COMPARISONS_MAX });
        }
        let path = self.take_while(|character| character.is_ascii_alphanumeric() || "_-.:".contains(character));
        if self.rest.starts_with('[') {
            let name = format!("{path}[...]");
            return Err(SearchError::Unsupported { name, reason: "a filter within a path is not built" });
        }
        if path.is_empty() {
            return Err(self.expected("a parameter, `(` or `not (`"));
        }
        self.spaces("a space and an operator such as `eq`")?;
        let before = self.rest;
        let name = self.take_while(char::is_alphanumeric);
        let Some(operator) = Operator::parse(name) else {
            self.rest = before;
            return Err(self.expected(operator::EXPECTED));
        };
        self.spaces("a space and a value")?;
        let value = self.value()?;
        self.skip_spaces();
        Ok(Filter::Comparison { path: path.to_owned(), operator, value })
    }

    fn value(&mut self) -> Result<String, SearchError> {
        if !self.rest.starts_with('"') {
            let token = self.take_while(|character| !character.is_whitespace() && !")]".contains(character));
            return if token.is_empty() { Err(self.expected("a value")) } else { Ok(token.to_owned()) };
        }
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, character)| {
            let is_end = *character == '"' && !escaped;
            escaped = *character == '\\' && !escaped;
            is_end
        });
        let string = end.and_then(|(end, _)| self.rest.split_at_checked(end + 1));
        let read = string.and_then(|(string, rest)| Some((serde_json::from_str(string).ok()?, rest)));
        let (value, rest) = read.ok_or_else(|| self.expected("a JSON string"))?;
        self.rest = rest;
        Ok(value)
    }

    /// `and` or `or`, if the filter goes on with one.
    fn joiner(&mut self) -> Option<Joiner> {
        for (word, joiner) in [("and", Joiner::And), ("or", Joiner::Or)] {
            let Some(rest) = self.rest.strip_prefix(word) else { continue };
            if rest.chars().next().is_none_or(|next| next.is_whitespace() || next == '(') {
                self.rest = rest;
                return Some(joiner);
            }
        }
        None
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !belongs(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn spaces(&mut self, expected: &'static str) -> Result<(), SearchError> {
        if !self.rest.starts_with(char::is_whitespace) {
            return Err(self.expected(expected));
        }
        self.skip_spaces();
        Ok(())
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// What is wrong, with the text from where it is.
    fn expected(&self, expected: &'static str) -> SearchError {
        let value = self.rest.chars().take(SHOWN_MAX).collect();
        SearchError::BadValue { name: "_filter".to_owned(), value, expected }
    }
}

#[cfg(test)]
mod tests;
