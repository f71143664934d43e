//! What is done about each failure, and the name it has for people. The only place where either is decided.
//!
//! Two promises meet here. One bad thing hurts only itself, so an entry that the server cannot take must not hold up those
//! behind it; and nothing is skipped that the server may take later, so no entry is given up while the server may be at
//! fault. What tells the two apart is proof: another request of the same kind that the server took in the meantime.
//!
//! | What happened | to a whole Bundle | to an entry of a processed Bundle |
//! |---|---|---|
//! | no connection | retry | |
//! | unknown host; not trusted; our certificate refused | halt | |
//! | no access token: endpoint away, 408, 425, 429, 5xx | retry | |
//! | no access token: any other answer | halt | |
//! | no answer in time; answer too large, with too few entries, or without statuses | suspect, halved at once | |
//! | connection lost, answer breaks off | suspect | |
//! | 200 without FHIR (a login page, compressed, empty); redirects | halt | stands |
//! | 400, 422 that say why | split | stands |
//! | 400, 422 without OperationOutcome: a gateway | halt | stands |
//! | 401, 403, 405, 501 | halt | halt; suspect with proof |
//! | 404, 406, 410, 415 and other 4xx | halt | stands |
//! | 408, 425, 429, 503: not now | retry, after the time asked for | retry |
//! | 409, 412 | suspect | stands: the stage reads and tries again |
//! | 413 | split | stands |
//! | 423, 424 | suspect | suspect |
//! | 505, 506, 510, 511 | halt | suspect |
//! | 500 and other 5xx | suspect | suspect |
//!
//! *Retry* goes on without end. *Split* halves the Bundle; an entry by itself is refused. *Suspect* is repeated, then
//! halved, so that the entry to blame ends up alone and its neighbours go on; alone it is given up after a number of
//! attempts, if there is proof. *Halt* waits for an operator. *Stands*: the answer counts. What is given up or refused
//! becomes a dead letter and can be replayed.

use super::bundle::{Answer, ResponseError};
use super::error::{SubmitError, TokenError};
use crate::model::fate::Fate;

/// Attempts of a Bundle before its halves are tried. Most failures of servers pass sooner.
const WHOLE_ATTEMPTS: u32 = 3;

impl SubmitError {
    /// What is done about a Bundle that was not processed; see the table.
    pub(super) fn fate(&self) -> Fate {
        match self {
            Self::Unreachable { .. } => Fate::Retry(None),
            Self::UnknownHost { .. } | Self::Untrusted { .. } | Self::CertificateRefused { .. } => Fate::Halt,
            Self::Token(error) => error.fate(),
            Self::TimedOut { .. } | Self::TooLarge { .. } => Fate::Suspect { attempts: 1 },
            Self::Unanswered { .. } => Fate::Suspect { attempts: WHOLE_ATTEMPTS },
            Self::Unreadable { cause, .. } => match cause {
                ResponseError::Shape(_) | ResponseError::Type => Fate::Halt,
                ResponseError::Truncated => Fate::Suspect { attempts: WHOLE_ATTEMPTS },
                ResponseError::Count { .. } | ResponseError::Status { .. } => Fate::Suspect { attempts: 1 },
            },
            Self::Refused { status, retry_after, diagnosis, .. } => match status {
                413 => Fate::Split,
                400 | 422 if diagnosis.is_some() => Fate::Split,
                408 | 425 | 429 | 503 => Fate::Retry(*retry_after),
                501 | 505 | 506 | 510 | 511 => Fate::Halt,
                409 | 412 | 423 | 424 | 500.. => Fate::Suspect { attempts: WHOLE_ATTEMPTS },
                _ => Fate::Halt,
            },
        }
    }

    /// What people call it (rule ER-13).
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::UnknownHost { .. } | Self::Untrusted { .. } | Self::Unreadable { .. } => CONFIGURATION,
            Self::CertificateRefused { .. } => AUTHORIZATION,
            Self::Token(error) => error.code(),
            Self::TimedOut { .. } => "FHIRServiceErrorTimeout",
            Self::Unreachable { .. } | Self::Unanswered { .. } => "FHIRServiceErrorConnection",
            Self::TooLarge { .. } => "FHIRServiceErrorAnswerTooLarge",
            // An address that is redirected, or where no method or media type of ours is known, is none of a FHIR server.
            Self::Refused { status: 300..400 | 405 | 406 | 410 | 415 | 501, .. } => CONFIGURATION,
            Self::Refused { status, .. } => code(*status),
        }
    }

    /// The answer of an entry that is given up: the server's, or what a gateway would say in its place.
    pub(super) fn answer(&self) -> Answer {
        let (status, diagnosis) = match self {
            Self::Refused { status, diagnosis, .. } => (*status, diagnosis.clone()),
            Self::TimedOut { .. } => {
                (504, Some("it never answers to this entry in time; it may have stored it".to_owned()))
            }
            Self::UnknownHost { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::CertificateRefused { .. }
            | Self::Token(_)
            | Self::Unanswered { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. } => {
                (502, Some("its answer to this entry never arrives whole; it may have stored it".to_owned()))
            }
        };
        Answer { status, diagnosis, ..Answer::default() }
    }
}

impl TokenError {
    fn fate(&self) -> Fate {
        match self {
            Self::Unreached(error) => match error.fate() {
                Fate::Halt => Fate::Halt,
                // No entry is to blame when there is no token.
                Fate::Retry(_) | Fate::Split | Fate::Suspect { .. } => Fate::Retry(None),
            },
            Self::Refused { status: 408 | 425 | 429 | 500.., retry_after, .. } => Fate::Retry(*retry_after),
            Self::Refused { .. } | Self::Unreadable { .. } => Fate::Halt,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unreached(error) => error.code(),
            Self::Unreadable { .. } => CONFIGURATION,
            Self::Refused { error: Some("invalid_client" | "unauthorized_client" | "access_denied"), .. } => {
                AUTHORIZATION
            }
            Self::Refused { status: 400, .. } => CONFIGURATION,
            Self::Refused { status, .. } => code(*status),
        }
    }
}

impl Answer {
    /// What is done about an entry of a Bundle that was processed, see the table; `None` when the answer stands.
    pub(super) fn fate(&self) -> Option<Fate> {
        match self.status {
            401 | 403 | 405 | 501 => Some(Fate::Halt),
            408 | 425 | 429 | 503 => Some(Fate::Retry(None)),
            423 | 424 | 500.. => Some(Fate::Suspect { attempts: WHOLE_ATTEMPTS }),
            _ => None,
        }
    }

    /// What people call a refusal (rule ER-13).
    pub(crate) fn code(&self) -> &'static str {
        code(self.status)
    }
}

const AUTHORIZATION: &str = "FHIRServiceErrorAuthorizationError";
const CONFIGURATION: &str = "FHIRServiceErrorConfigurationError";

/// What people call a status of the FHIR server: who may not is told so, what is not there was named wrongly, and the
/// others keep their name.
fn code(status: u16) -> &'static str {
    match status {
        403 => AUTHORIZATION,
        404 => CONFIGURATION,
        400 => "FHIRServiceErrorBadRequest",
        401 => "FHIRServiceErrorUnauthorized",
        405 => "FHIRServiceErrorMethodNotAllowed",
        408 => "FHIRServiceErrorRequestTimeout",
        409 => "FHIRServiceErrorConflict",
        410 => "FHIRServiceErrorGone",
        412 => "FHIRServiceErrorPreconditionFailed",
        413 => "FHIRServiceErrorPayloadTooLarge",
        415 => "FHIRServiceErrorUnsupportedMediaType",
        422 => "FHIRServiceErrorUnprocessableEntity",
        423 => "FHIRServiceErrorLocked",
        424 => "FHIRServiceErrorFailedDependency",
        429 => "FHIRServiceErrorTooManyRequests",
        500 => "FHIRServiceErrorInternalServerError",
        501 => "FHIRServiceErrorNotImplemented",
        502 => "FHIRServiceErrorBadGateway",
        503 => "FHIRServiceErrorServiceUnavailable",
        504 => "FHIRServiceErrorGatewayTimeout",
        507 => "FHIRServiceErrorInsufficientStorage",
        _ => "FHIRServiceError",
    }
}

#[cfg(test)]
mod tests;
