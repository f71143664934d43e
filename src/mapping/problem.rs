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
    /// The text that is wrong, when it is a part of a member's value.
    pub(crate) mark: Option<Mark>,
    /// How to mend it, where that is not plain from the message.
    pub(crate) hint: Option<String>,
}

impl Problem {
    /// Whether the mapping cannot run with it.
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A text and the character in it that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The text, for example an expression.
    pub(crate) text: String,
    /// The character, counted from 1.
    pub(crate) at: usize,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A text of several lines would not stand above its mark.
        let text = self.text.replace(char::is_control, " ");
        write!(f, "  | {text}\n  | {:>width$}", '^', width = self.at)
    }
}

/// `InvalidTemplateException`: template type, shape, unknown or missing members.
pub(crate) const INVALID_TEMPLATE: &str = "InvalidTemplateException";
/// `TemplateExpressionException`: an expression that does not parse, or gives several tokens.
pub(crate) const TEMPLATE_EXPRESSION: &str = "TemplateExpressionException";
/// `ClinicalWarning`: codes, units or categories that say something else than is meant, or less than FHIR asks.
pub(crate) const CLINICAL: &str = "ClinicalWarning";

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {severity}: {} [{}]", self.file, self.at.line, self.at.column, self.message, self.code)?;
        if let Some(mark) = &self.mark {
            write!(f, "\n{mark}")?;
        }
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
    errors: usize,
}

impl<'s> Problems<'s> {
    pub(super) fn of(file: &'s str) -> Self {
        Self { file, found: Vec::new(), errors: 0 }
    }

    /// Records an error of template shape.
    pub(super) fn error(&mut self, at: Position, message: impl Into<String>) {
        self.add(Problem { message: message.into(), ..self.problem(Severity::Error, at) });
    }

    /// Records an error of template shape and how to mend it.
    pub(super) fn error_with_hint(&mut self, at: Position, message: impl Into<String>, hint: impl Into<String>) {
        let (message, hint) = (message.into(), Some(hint.into()));
        self.add(Problem { message, hint, ..self.problem(Severity::Error, at) });
    }

    /// Records an error of an expression, with the character of it that is wrong where that is known.
    pub(super) fn expression(
        &mut self,
        at: Position,
        message: impl Into<String>,
        mark: Option<Mark>,
        hint: Option<String>,
    ) {
        let message = message.into();
        self.add(Problem { code: TEMPLATE_EXPRESSION, message, mark, hint, ..self.problem(Severity::Error, at) });
    }

    /// Records an error in a file that the mapping file names.
    pub(super) fn error_in(&mut self, file: &str, at: Position, message: impl Into<String>, hint: Option<String>) {
        let (file, message) = (file.to_owned(), message.into());
        self.add(Problem { file, message, hint, ..self.problem(Severity::Error, at) });
    }

    /// Records a warning.
    pub(super) fn warning(&mut self, at: Position, message: impl Into<String>) {
        self.add(Problem { message: message.into(), ..self.problem(Severity::Warning, at) });
    }

    /// Records a warning and how to mend what it is about.
    pub(super) fn warning_with_hint(&mut self, at: Position, message: impl Into<String>, hint: impl Into<String>) {
        let (message, hint) = (message.into(), Some(hint.into()));
        self.add(Problem { message, hint, ..self.problem(Severity::Warning, at) });
    }

    /// Records a warning of what codes and units mean, and how to mend it.
    pub(super) fn clinical(&mut self, at: Position, message: impl Into<String>, hint: impl Into<String>) {
        let (message, hint) = (message.into(), Some(hint.into()));
        self.add(Problem { code: CLINICAL, message, hint, ..self.problem(Severity::Warning, at) });
    }

    fn problem(&self, severity: Severity, at: Position) -> Problem {
        let (file, message) = (self.file.to_owned(), String::new());
        Problem { code: INVALID_TEMPLATE, severity, file, at, message, mark: None, hint: None }
    }

    fn add(&mut self, problem: Problem) {
        self.errors += usize::from(problem.is_error());
        self.found.push(problem);
    }

    /// How many errors there are so far.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// All of them in the order of their file; those of files it names come after.
    pub(super) fn into_found(mut self) -> Vec<Problem> {
        let file = self.file;
        self.found.sort_by(|one, other| {
            let is_included = (one.file != file).cmp(&(other.file != file));
            is_included.then_with(|| one.file.cmp(&other.file)).then_with(|| one.at.cmp(&other.at))
        });
        self.found
    }
}
