//! What is wrong with a mapping or with an event, in the form the document has it (VA-2).

use serde::Serialize;

use crate::convert::reading::ConversionFailure;
use crate::mapping::{Failure, Position, Problem};

/// A finding. Quotes samples, which are the user's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Exception {
    /// What is wrong; begins with the line where that is known (DM-47).
    pub(crate) message: String,
    /// How bad it is.
    pub(crate) level: Level,
    /// Which mapping it concerns.
    pub(crate) category: Category,
    /// The place in that mapping's file; for what lies between two mappings, in the device mapping.
    pub(crate) line_info: Option<LineInfo>,
    /// Error code of section 11.
    pub(crate) code: &'static str,
}

/// How bad a finding is (VA-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Level {
    /// The mapping, or the event, will fail.
    Error,
    /// It may surprise.
    Warn,
}

/// Which step a finding belongs to (VA-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Category {
    /// The device mapping.
    Normalization,
    /// The FHIR mapping.
    FhirTransformation,
}

/// A place in a mapping file, both numbers from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LineInfo {
    line_number: usize,
    line_position: usize,
}

impl LineInfo {
    /// `None` for a place that is not known.
    fn of(at: Position) -> Option<Self> {
        (at.line > 0).then_some(Self { line_number: at.line, line_position: at.column })
    }
}

const NORMALIZATION_FAILED: &str = "NormalizationDataMappingException";
const TEMPLATE_NOT_FOUND: &str = "TemplateNotFoundException";
const INVALID_FORMAT: &str = "InvalidDataFormatException";

impl Exception {
    fn new(level: Level, category: Category, code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), level, category, line_info: None, code }
    }

    fn at(self, at: Position) -> Self {
        match LineInfo::of(at) {
            Some(line_info) => {
                Self { message: format!("{}{}", at.prefix(), self.message), line_info: Some(line_info), ..self }
            }
            None => self,
        }
    }

    /// A problem of a mapping file (VA-3).
    pub(super) fn of_problem(problem: &Problem, category: Category) -> Self {
        let level = if problem.is_error() { Level::Error } else { Level::Warn };
        let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!(" (hint: {hint})"));
        Self::new(level, category, problem.code, format!("{}{hint}", problem.message)).at(problem.at)
    }

    /// All that failed in one event, as one finding (VA-7); several causes are numbered. `None` when nothing failed.
    pub(super) fn of_failures(failures: &[Failure]) -> Option<Self> {
        let (first, others) = failures.split_first()?;
        if others.is_empty() {
            return Some(Self::of_failure(first));
        }
        let place = |failure: &Failure| failure.template.as_ref().map(|(_, at)| *at).unwrap_or_default();
        let code = if others.iter().all(|other| other.code == first.code) { first.code } else { NORMALIZATION_FAILED };
        let causes = failures.iter().zip(1..).map(|(failure, number)| format!("{number}: {}", failure.message()));
        let line_info = LineInfo::of(place(first)).filter(|_| others.iter().all(|other| place(other) == place(first)));
        let message = causes.collect::<Vec<_>>().join("\n");
        Some(Self { line_info, ..Self::new(Level::Error, Category::Normalization, code, message) })
    }

    /// One failure of the device mapping.
    pub(super) fn of_failure(failure: &Failure) -> Self {
        let at = failure.template.as_ref().map(|(_, at)| *at).unwrap_or_default();
        Self::new(Level::Error, Category::Normalization, failure.code, failure.reason.clone()).at(at)
    }

    /// An optional value that is left out because a function failed (JM-21).
    pub(super) fn of_doubt(doubt: &Failure) -> Self {
        let at = doubt.template.as_ref().map(|(_, at)| *at).unwrap_or_default();
        let message = format!("{}; the value is left out", doubt.reason);
        Self::new(Level::Warn, Category::Normalization, doubt.code, message).at(at)
    }

    /// An event that nothing was found in (VA-7).
    pub(super) fn no_measurements() -> Self {
        let message = "No measurements were produced for the given device data.";
        Self::new(Level::Warn, Category::Normalization, NORMALIZATION_FAILED, message)
    }

    /// A sample that is no event (VA-8).
    pub(super) fn of_sample(reason: impl Into<String>) -> Self {
        Self::new(Level::Error, Category::Normalization, INVALID_FORMAT, reason)
    }

    /// A measurement that no FHIR template is for (VA-9).
    pub(super) fn template_not_found(measurement_type: &str) -> Self {
        let message = format!("No Fhir Template exists with the type name [{measurement_type}]");
        Self::new(Level::Error, Category::FhirTransformation, TEMPLATE_NOT_FOUND, message)
    }

    /// A measurement, or a value of it, that the FHIR template at `at` cannot convert (VA-9).
    pub(super) fn of_conversion(failure: &ConversionFailure, at: Position) -> Self {
        Self::new(Level::Error, Category::FhirTransformation, failure.code, failure.reason.clone()).at(at)
    }
}
