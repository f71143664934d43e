//! Why a Bundle was not processed, and what is done about it.

use std::error::Error;
use std::time::Duration;

use super::bundle::{Answer, ResponseError};
use crate::model::fate::Fate;

/// Why a Bundle was not processed. No text of the server is in the messages; it may quote what was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    /// The name of the host means nothing here.
    #[error("unknown host in {endpoint}; check the URL of the FHIR server")]
    UnknownHost {
        /// Base of the server.
        endpoint: String,
        /// What the network said.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// No answer in time, so the Bundle may or may not have been stored. It may have been too large.
    #[error("no answer in time from {endpoint}")]
    TimedOut {
        /// Base of the server.
        endpoint: String,
        /// What the network said.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// No answer, so the Bundle may or may not have been stored.
    #[error("no answer from {endpoint}")]
    Unanswered {
        /// Base of the server.
        endpoint: String,
        /// What the network said.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The server answered and said no.
    #[error("{endpoint} answered {status}")]
    Refused {
        /// Base of the server.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
        /// What its OperationOutcome says.
        diagnosis: Option<String>,
    },
    /// The server said yes, but not in FHIR.
    #[error("{endpoint} does not answer like a FHIR server; check its URL")]
    Unreadable {
        /// Base of the server.
        endpoint: String,
        /// What is wrong with the answer.
        #[source]
        cause: ResponseError,
    },
}

impl SubmitError {
    /// Sorts what the network said.
    pub(super) fn unanswered(endpoint: &str, cause: reqwest::Error) -> Self {
        // The address is in the message already, and may hold credentials.
        let (endpoint, cause) = (endpoint.to_owned(), cause.without_url());
        if cause.is_connect() && names_no_host(&cause) {
            Self::UnknownHost { endpoint, cause: cause.into() }
        } else if cause.is_timeout() && !cause.is_connect() {
            Self::TimedOut { endpoint, cause: cause.into() }
        } else {
            Self::Unanswered { endpoint, cause: cause.into() }
        }
    }

    /// Decides what happens next. The only place where that is decided for a Bundle as a whole.
    pub(crate) fn fate(&self) -> Fate {
        match self {
            Self::UnknownHost { .. } | Self::Unreadable { .. } => Fate::Halt,
            Self::TimedOut { .. } => Fate::Split,
            Self::Unanswered { .. } => Fate::Retry(None),
            Self::Refused { status, retry_after, diagnosis, .. } => match status {
                // One entry may be to blame; halves find out which. Without an OperationOutcome it may be a gateway that
                // refuses everything, and no reading is to blame.
                413 => Fate::Split,
                400 | 422 if diagnosis.is_some() => Fate::Split,
                408 | 409 | 412 | 425 | 429 | 500.. => Fate::Retry(*retry_after),
                // Credentials, permissions, or an address where no FHIR server is.
                _ => Fate::Halt,
            },
        }
    }
}

/// Whether the chain of causes ends at the resolver. The libraries below offer no type for that.
fn names_no_host(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.to_string().contains("dns error") {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Answer {
    /// Decides what happens next to an entry of a Bundle that was processed; `None` when the answer counts as it is.
    pub(super) fn fate(&self) -> Option<Fate> {
        match self.status {
            401 | 403 | 405 => Some(Fate::Halt),
            408 | 425 | 429 | 500.. => Some(Fate::Retry(None)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Answer, SubmitError};
    use crate::model::fate::Fate;

    #[track_caller]
    fn check(status: u16, of_bundle: Fate, of_entry: Option<Fate>) {
        let retry_after = Some(Duration::from_secs(7));
        let diagnosis = Some("no".to_owned());
        let refused = SubmitError::Refused { endpoint: String::new(), status, retry_after, diagnosis };
        assert_eq!(refused.fate(), of_bundle, "{status}");
        assert_eq!(Answer { status, ..Answer::default() }.fate(), of_entry, "{status}");
    }

    #[test]
    fn er_8_service_problems_are_repeated_when_the_server_allows() {
        for status in [408, 429, 500, 502, 503, 504] {
            check(status, Fate::Retry(Some(Duration::from_secs(7))), Some(Fate::Retry(None)));
        }
    }

    #[test]
    fn er_13_credentials_wait_for_an_operator() {
        for status in [401, 403] {
            check(status, Fate::Halt, Some(Fate::Halt));
        }
    }

    #[test]
    fn a_refused_bundle_is_halved_and_a_refused_entry_stays_refused() {
        for status in [400, 413, 422] {
            check(status, Fate::Split, None);
        }
    }

    #[test]
    fn a_gateway_that_refuses_everything_is_not_the_fault_of_readings() {
        let (endpoint, retry_after) = (String::new(), None);
        let refused = SubmitError::Refused { endpoint, status: 400, retry_after, diagnosis: None };
        assert_eq!(refused.fate(), Fate::Halt);
    }

    #[test]
    fn conflicts_of_entries_are_for_the_stage_to_solve() {
        for status in [409, 412] {
            check(status, Fate::Retry(Some(Duration::from_secs(7))), None);
        }
    }
}
