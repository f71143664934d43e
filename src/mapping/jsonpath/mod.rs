//! JSONPath as the reference evaluates it (section 3 of the mapping specification), older than RFC 9535 and unlike it.
//!
//! A path is parsed once, when its mapping loads, and evaluated by one depth-first walk that hands each selected value to
//! the caller as it is met: nothing is collected, copied or sorted, and the order of selection is document order, parents
//! first (JP-14), by construction. Values are borrowed from the payload.
//!
//! Text translation to an RFC 9535 engine is deliberately not attempted: section 3.6 says why.

mod compare;
mod evaluate;
mod features;
mod item;
mod parse;
mod progress;

pub(crate) use evaluate::Unselected;
pub(crate) use item::{Item, MATCHED_TOKEN};
pub(crate) use parse::PathError;

use crate::json::Node;

/// A parsed path.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    steps: Vec<Step>,
    /// Where each step ends in the text that was parsed, in bytes.
    ends: Vec<usize>,
    /// Whether a `..` stands before a step that cannot scan, and so has no effect (JP-16).
    has_idle_scan: bool,
}

/// One selection, applied to every value the step before it selected.
#[derive(Clone, Debug)]
enum Step {
    /// `.name`, `['name']`
    Member(String),
    /// `['a','b']`
    Members(Vec<String>),
    /// `.*`: member values of an object (JP-15)
    AllMembers,
    /// `[*]`: elements of an array (JP-15)
    AllElements,
    /// `[3]`, `[-1]`
    Index(i64),
    /// `[0,2]`
    Indexes(Vec<i64>),
    /// `[1:5:2]`
    Slice(Slice),
    /// `[?(...)]`: elements of an array (JP-12)
    Filter(Filter),
    /// `..name`, `..['a','b']` (JP-13)
    DescendMembers(Vec<String>),
    /// `..*`: the value itself and everything below (JP-15)
    DescendAll,
    /// `..[?(...)]`: the value itself and everything below (JP-11)
    DescendFilter(Filter),
}

#[derive(Clone, Copy, Debug)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
}

/// A condition on a candidate; `&&` and `||` nest to the right when they alternate (JP-25).
#[derive(Clone, Debug)]
enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    /// True when the path selects something; a literal is always there (JP-24).
    Exists(Side),
    Compare(Side, Comparison, Side),
    /// `=~`, with the expression compiled (JP-32).
    Matches(Side, regex::Regex),
}

#[derive(Clone, Debug)]
enum Side {
    /// From the candidate.
    Candidate(Path),
    /// From the root of the document that the whole path runs on.
    Root(Path),
    Literal(Node<'static>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    StrictEqual,
    StrictNotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// When the text breaks the grammar of section 3.1, or a regular expression does not compile (JP-32).
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        parse::path(text)
    }

    /// Whether a `..` stands where it has no effect (JP-16); those who write one expect it to have.
    pub(crate) fn has_idle_scan(&self) -> bool {
        self.has_idle_scan
    }

    /// Whether a `..` occurs outside filters; in CalculatedContent it finds the token twice (DM-26).
    pub(crate) fn descends(&self) -> bool {
        self.steps.iter().any(Step::scans)
    }
}

impl Step {
    /// Whether the step looks at everything below.
    fn scans(&self) -> bool {
        match self {
            Self::DescendMembers(_) | Self::DescendAll | Self::DescendFilter(_) => true,
            Self::Member(_)
            | Self::Members(_)
            | Self::AllMembers
            | Self::AllElements
            | Self::Index(_)
            | Self::Indexes(_)
            | Self::Slice(_)
            | Self::Filter(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
