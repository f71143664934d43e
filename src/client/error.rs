//! What can go wrong between here and a FHIR server. What is done about it, `policy` says.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use super::bundle::ResponseError;

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The URL is for something else.
    #[error("the URL of a FHIR server starts with http:// or https://")]
    Scheme,
    /// The token holds characters that no header can carry.
    #[error("the bearer token holds characters that cannot be sent")]
    Token,
    /// The system's certificates cannot be read, or the like.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
}

/// Why a Bundle was not processed. No text of the server is in the messages; it may quote what was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    /// The name of the host means nothing here.
    #[error("unknown host in {endpoint}; check this address")]
    UnknownHost {
        /// Base of the server.
        endpoint: String,
        /// What the network said.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// No connection, so nothing was sent.
    #[error("cannot connect to {endpoint}")]
    Unreachable {
        /// Base of the server.
        endpoint: String,
        /// What the network said.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// It does not prove to be the server it should be, or does not speak TLS.
    #[error("{endpoint} is not trusted; check its URL, its certificate, and `tls.ca_file`")]
    Untrusted {
        /// Base of the server.
        endpoint: String,
        /// What TLS has against it.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The server ended the greeting of TLS: mostly because it wants a certificate, or another one.
    #[error("{endpoint} refuses the TLS connection; check `tls.certificate_file` and `tls.key_file`")]
    CertificateRefused {
        /// Base of the server.
        endpoint: String,
        /// What the server said.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// There is no access token, so nothing was sent.
    #[error("no access token")]
    Token(#[source] Arc<TokenError>),
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
    /// The answer is larger than what is read of one. The Bundle was probably processed.
    #[error("{endpoint} answers with more than is read of one answer")]
    TooLarge {
        /// Base of the server.
        endpoint: String,
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
        match tls_error(&cause) {
            Some(rustls::Error::AlertReceived(_)) => return Self::CertificateRefused { endpoint, cause: cause.into() },
            Some(_) => return Self::Untrusted { endpoint, cause: cause.into() },
            None => {}
        }
        if cause.is_dns() {
            Self::UnknownHost { endpoint, cause: cause.into() }
        } else if cause.is_connect() {
            Self::Unreachable { endpoint, cause: cause.into() }
        } else if cause.is_timeout() {
            Self::TimedOut { endpoint, cause: cause.into() }
        } else {
            Self::Unanswered { endpoint, cause: cause.into() }
        }
    }
}

/// What TLS has against the connection, if that is the cause.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        let tls = wrapped_in(error);
        if tls.is_some() {
            return tls;
        }
        cause = error.source();
    }
    None
}

/// Errors of IO are not the source, but the same as, what they wrap.
fn wrapped_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = || error.downcast_ref::<std::io::Error>()?.get_ref();
    error.downcast_ref().or_else(|| wrapped_in(inner()?))
}

/// Why a token endpoint gave no token. Nothing it wrote is in the messages, but for the words of RFC 6749.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// It was not reached, or did not answer.
    #[error(transparent)]
    Unreached(SubmitError),
    /// It answered and said no.
    #[error("the token endpoint {endpoint} answered {status}{}", .error.map(|error| format!(" ({error})")).unwrap_or_default())]
    Refused {
        /// Its address.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// What it says is wrong, for example `invalid_client`.
        error: Option<&'static str>,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// It said yes, but gave no bearer token.
    #[error("{endpoint} does not answer like a token endpoint; check `oauth2.token_url`")]
    Unreadable {
        /// Its address.
        endpoint: String,
    },
}
