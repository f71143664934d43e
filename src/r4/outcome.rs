//! OperationOutcome, with which a FHIR server says what is wrong (<https://hl7.org/fhir/R4/operationoutcome.html>).

use serde::Serialize;

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// A code of <https://hl7.org/fhir/R4/valueset-issue-type.html>.
    pub(crate) code: &'static str,
    /// What is wrong and how to mend it, for people.
    pub(crate) diagnostics: String,
    /// Where, as FHIRPath of element names and indexes: `Observation.component[1].value.unit`.
    pub(crate) expression: Option<String>,
}

/// How bad an issue is, <https://hl7.org/fhir/R4/valueset-issue-severity.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The request fails because of it.
    Error,
    /// Worth mending, but not a failure.
    Warning,
    /// Good to know.
    Information,
}

impl Issue {
    /// An issue of the whole request.
    pub(crate) fn new(severity: Severity, code: &'static str, diagnostics: impl Into<String>) -> Self {
        Self { severity, code, diagnostics: diagnostics.into(), expression: None }
    }

    /// The same at a place.
    pub(crate) fn at(mut self, place: impl ToString) -> Self {
        self.expression = Some(place.to_string());
        self
    }
}

/// An OperationOutcome with these issues, as JSON.
pub(crate) fn outcome(issues: &[Issue]) -> Vec<u8> {
    let outcome = Outcome { resource_type: "OperationOutcome", issue: issues.iter().map(Written::of).collect() };
    serde_json::to_vec(&outcome).unwrap_or_default()
}

#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(rename = "resourceType")]
    resource_type: &'static str,
    issue: Vec<Written<'a>>,
}

#[derive(Serialize)]
struct Written<'a> {
    severity: Severity,
    code: &'a str,
    diagnostics: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression: Option<[&'a str; 1]>,
}

impl<'a> Written<'a> {
    fn of(issue: &'a Issue) -> Self {
        Self {
            severity: issue.severity,
            code: issue.code,
            diagnostics: &issue.diagnostics,
            expression: issue.expression.as_deref().map(|place| [place]),
        }
    }
}
