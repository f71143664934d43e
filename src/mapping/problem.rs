//! What is wrong with a mapping file, said the way compilers say it.
//!
//! A problem is a value, not an error type: loading goes on and collects all of them (rule DM-9).

use std::fmt;

use super::source::Position;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The mapping cannot run.
    Error,
    /// The mapping runs, and may surprise.
    Warning,
}

/// Something wrong in a mapping file. Holds text of the mapping, never of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Error code of section 11 of the mapping specification.
    pub(crate) code: &'static str,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The file, as the caller named it.
    pub(crate) file: String,
    /// Where in the file (DM-47).
    pub(crate) at: Position,
    /// What is wrong.
    pub(crate) message: String,
    /// How to mend it, where that is not plain from the message.
    pub(crate) hint: Option<String>,
}

/// `InvalidTemplateException`: template type, shape, unknown or missing members.
pub(crate) const INVALID_TEMPLATE: &str = "InvalidTemplateException";
/// `TemplateExpressionException`: an expression that does not parse, or gives several tokens.
pub(crate) const TEMPLATE_EXPRESSION: &str = "TemplateExpressionException";

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {severity}: {} [{}]", self.file, self.at.line, self.at.column, self.message, self.code)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Problems of one file as they are found.
pub(super) struct Problems<'s> {
    file: &'s str,
    found: Vec<Problem>,
}

impl<'s> Problems<'s> {
    pub(super) fn of(file: &'s str) -> Self {
        Self { file, found: Vec::new() }
    }

    /// Records an error of template shape.
    pub(super) fn error(&mut self, at: Position, message: impl Into<String>) {
        self.add(INVALID_TEMPLATE, Severity::Error, at, message.into(), None);
    }

    /// Records an error of template shape and how to mend it.
    pub(super) fn error_with_hint(&mut self, at: Position, message: impl Into<String>, hint: impl Into<String>) {
        self.add(INVALID_TEMPLATE, Severity::Error, at, message.into(), Some(hint.into()));
    }

    /// Records an error of an expression.
    pub(super) fn expression(&mut self, at: Position, message: impl Into<String>, hint: Option<String>) {
        self.add(TEMPLATE_EXPRESSION, Severity::Error, at, message.into(), hint);
    }

    /// Records a warning.
    pub(super) fn warning(&mut self, at: Position, message: impl Into<String>) {
        self.add(INVALID_TEMPLATE, Severity::Warning, at, message.into(), None);
    }

    fn add(&mut self, code: &'static str, severity: Severity, at: Position, message: String, hint: Option<String>) {
        self.found.push(Problem { code, severity, file: self.file.to_owned(), at, message, hint });
    }

    /// How many errors there are so far.
    pub(super) fn errors(&self) -> usize {
        let is_error = |problem: &&Problem| problem.severity == Severity::Error;
        self.found.iter().filter(is_error).count()
    }

    pub(super) fn into_found(self) -> Vec<Problem> {
        self.found
    }
}
