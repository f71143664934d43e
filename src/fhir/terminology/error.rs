//! Why nothing can be said about codes. All but a failing store is mended by whoever asked, or by storing what is missing.

use crate::fhir::store::interface::StoreError;

/// Why nothing can be said about codes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TerminologyError {
    /// No such value set.
    #[error("no value set `{0}` is stored here")]
    UnknownValueSet(String),
    /// No such code system, or not with its codes.
    #[error("the codes of the system `{0}` are not stored here")]
    UnknownSystem(String),
    /// The system has no such code.
    #[error("`{code}` is not a code of `{system}`")]
    UnknownCode {
        /// The system.
        system: String,
        /// The code.
        code: String,
    },
    /// More codes than are listed.
    #[error("`{of}` has more than {most} codes; name a narrower value set")]
    TooCostly {
        /// The value set or code system.
        of: String,
        /// The bound.
        most: usize,
    },
    /// A value set that is made of itself.
    #[error("the value set `{0}` includes itself")]
    Circular(String),
    /// Value sets within value sets without end.
    #[error("`{of}` is made of more than {most} value sets")]
    TooMany {
        /// The value set.
        of: String,
        /// The bound.
        most: usize,
    },
    /// A definition that uses what is not built, or that breaks the rules.
    #[error("the definition of `{of}` {what}")]
    Definition {
        /// The value set or code system.
        of: String,
        /// What is wrong with it.
        what: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TerminologyError {
    /// A definition that cannot be evaluated.
    pub(super) fn definition(of: &str, what: impl Into<String>) -> Self {
        Self::Definition { of: of.to_owned(), what: what.into() }
    }
}

impl From<TerminologyError> for StoreError {
    fn from(error: TerminologyError) -> Self {
        match error {
            TerminologyError::Store(error) => error,
            error @ (TerminologyError::UnknownValueSet(_)
            | TerminologyError::UnknownSystem(_)
            | TerminologyError::UnknownCode { .. }
            | TerminologyError::TooCostly { .. }
            | TerminologyError::Circular(_)
            | TerminologyError::TooMany { .. }
            | TerminologyError::Definition { .. }) => Self::Codes(error.to_string()),
        }
    }
}
