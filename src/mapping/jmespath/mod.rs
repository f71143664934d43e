//! JMESPath with the functions of the reference (section 4 of the mapping specification).
//!
//! The crate `jmespath` parses; the rest is ours. Its values are a copy of the document, forget the order of members and,
//! with numbers kept to the digit as in this build, take every number for an object; its functions turn integers into
//! floats. So its syntax tree is compiled once, at load, into an [`Expression`] with functions resolved (DM-21), and
//! evaluated directly on the nodes of the envelope: values are borrowed, members keep document order, integers and
//! floats stay apart (JM-4), and the extended envelope is the same view that JSONPath has (JM-22).
//!
//! Projections drop what is *missing* and keep an explicit JSON null, which JM-8 says and the standard does not: a null
//! reading becomes a token whose failure is reported, not a reading silently skipped.
//!
//! Evaluation is bounded by work and not by time: an expression may double its input at every pipe.

mod compile;
mod evaluate;
mod expression;
mod functions;
mod needs;
mod number;
mod scan;
mod value;

use std::borrow::Cow;

use super::effort::Effort;
use super::jsonpath::Item;
use crate::json::Node;
use evaluate::Evaluator;
use expression::Expression;

/// A parsed expression.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    expression: Expression,
}

/// Why a text is not an expression (DM-21).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct QueryError {
    /// What is wrong.
    pub(crate) message: String,
    /// The character it is about, from 1.
    pub(crate) column: Option<usize>,
    /// What may have been meant.
    pub(crate) hint: Option<String>,
}

/// A function was given what it cannot work with (JM-15 to JM-19), or the evaluation took more work than allowed. Tells
/// types and never values, for those are health data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{function}: {reason}")]
pub(crate) struct FunctionFailure {
    /// The name of the function; `expression` when the work of the whole is meant.
    pub(crate) function: &'static str,
    /// What did not fit.
    pub(crate) reason: String,
}

/// What an expression yields. Values are borrowed from the document or the query where they were not computed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Yield<'n, 'a> {
    /// Null or missing.
    Nothing,
    /// One value, never null; also an array that no projection made (JM-2).
    Value(Cow<'n, Node<'a>>),
    /// The elements of a projection, in order; null where the document says null.
    Projection(Vec<Cow<'n, Node<'a>>>),
}

impl Query {
    /// Parses an expression, with functions and the number of their arguments checked (DM-21, JM-20).
    ///
    /// # Errors
    /// On the first mistake, with its place and a suggestion where one is sensible.
    pub(crate) fn parse(text: &str) -> Result<Self, QueryError> {
        Ok(Self { expression: compile::expression(text)? })
    }

    /// Evaluates on the envelope, extended or not, which is `@` (JM-22).
    ///
    /// # Errors
    /// When a function cannot work with its arguments, or the bound of work is reached.
    pub(crate) fn evaluate<'n, 'a>(
        &'n self,
        document: Item<'n, 'a>,
        effort: &Effort,
    ) -> Result<Yield<'n, 'a>, FunctionFailure> {
        let evaluator = Evaluator::default();
        let outcome = evaluator.outcome(&self.expression, &Some(document.into()));
        effort.spend(evaluator.work()).map_err(|_exhausted| FunctionFailure {
            function: "expression",
            reason: "takes too much work on a message of this size".to_owned(),
        })?;
        outcome
    }

    /// Whether a boolean may come out, which as a type match also matches when it is `false` (JM-5).
    pub(crate) fn is_boolean(&self) -> bool {
        self.expression.is_boolean()
    }

    /// Member names without any one of which, anywhere in the envelope, a type match selects nothing and does not fail.
    /// Not complete: a name left out costs time, a name too many would lose readings.
    pub(crate) fn needs(&self) -> Vec<String> {
        needs::of(&self.expression).into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests;
