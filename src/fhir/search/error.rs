//! Why a search is refused. Everything here is the client's to mend; nothing is ever left out in silence instead.

use crate::r4::resource_type::ResourceType;

/// Why a search is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SearchError {
    /// No such parameter on this type.
    #[error("`{name}` is not a search parameter of {}{}", resource_type.as_str(), did_you_mean(nearest.as_deref()))]
    UnknownParameter {
        /// As asked.
        name: String,
        /// On which type.
        resource_type: ResourceType,
        /// The known name that comes closest.
        nearest: Option<String>,
    },
    /// R4 has the parameter, this server does not search by it.
    #[error("search by `{name}` is not supported: {reason}")]
    Unsupported {
        /// As asked.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A parameter of this server's own that does not find yet all that it should.
    #[error(
        "`{name}` was defined after resources of {} had been stored, and those are not found by it yet; call \
         `POST [base]/$reindex` and search when it has ended",
        resource_type.as_str()
    )]
    NotReady {
        /// As asked.
        name: String,
        /// On which type.
        resource_type: ResourceType,
    },
    /// No such modifier, or not on this type of parameter.
    #[error("`:{modifier}` is not a modifier of `{name}`{}", did_you_mean(nearest.as_deref()))]
    UnknownModifier {
        /// The parameter.
        name: String,
        /// The modifier as asked.
        modifier: String,
        /// The known one that comes closest.
        nearest: Option<String>,
    },
    /// A value that the parameter does not take.
    #[error("`{value}` is not a value of `{name}`: expected {expected}")]
    BadValue {
        /// The parameter.
        name: String,
        /// As asked.
        value: String,
        /// What is taken.
        expected: &'static str,
    },
    /// More parts than a search may have.
    #[error("a search may have at most {most} {parts}")]
    TooMany {
        /// Of what.
        parts: &'static str,
        /// The bound.
        most: usize,
    },
    /// `_elements` names what no resource that is searched has.
    #[error(
        "`_elements` names `{name}`, which is no element at the root of the resource{}. Separate names with commas; \
         `Patient.name` is of that type alone",
        did_you_mean(nearest.as_deref())
    )]
    UnknownElement {
        /// As asked.
        name: String,
        /// The known name that comes closest.
        nearest: Option<String>,
    },
    /// A condition that says nothing.
    #[error("a condition needs at least one search parameter")]
    NoCriteria,
    /// A cursor that this server did not hand out for this search.
    #[error("`_cursor` does not belong to this search")]
    BadCursor,
}

impl SearchError {
    /// Whether `Prefer: handling=lenient` lets the search go on without the parameter.
    pub(crate) fn is_about_an_unknown_parameter(&self) -> bool {
        match self {
            Self::UnknownParameter { .. } | Self::Unsupported { .. } | Self::UnknownElement { .. } => true,
            Self::NotReady { .. }
            | Self::UnknownModifier { .. }
            | Self::BadValue { .. }
            | Self::TooMany { .. }
            | Self::NoCriteria
            | Self::BadCursor => false,
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// The known name closest to an unknown one, if any is close.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let farthest = (name.chars().count() / 3).max(1);
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= farthest)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// A value that a parameter type does not take; the parameter's name is added where it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadValue {
    /// What is taken.
    pub(super) expected: &'static str,
}

impl BadValue {
    /// Names the parameter and the value.
    pub(super) fn of(self, name: &str, value: &str) -> SearchError {
        SearchError::BadValue { name: name.to_owned(), value: value.to_owned(), expected: self.expected }
    }
}
