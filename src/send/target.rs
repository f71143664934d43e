//! Where `send` sends to, as the user writes it: `scheme://[user:password@]host[:port]/...`.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use super::{http, kafka, mqtt};
use crate::secret::Secret;

/// What a URL names. Each kind reads its own part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Mqtt(mqtt::Target),
    Kafka(kafka::Target),
    Http(http::Target),
}

/// A host that is connected to, and who connects. Displays as host and port, fit for a message: without user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) login: Option<(String, Secret)>,
}

/// What is wrong with a URL. A form is how it should have been written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    /// Not a URL.
    #[error("not a URL: write {}, {} or {}", mqtt::FORM, kafka::FORM, http::FORM)]
    NotUrl(#[source] url::ParseError),
    /// Something nothing can be sent to.
    #[error("cannot send to {0}: only mqtt://, mqtts://, kafka://, kafka+ssl://, http:// and https:// are known")]
    Scheme(String),
    /// No host.
    #[error("no host: write {0}")]
    NoHost(&'static str),
    /// No topic.
    #[error("no topic: write {0}")]
    NoTopic(&'static str),
    /// No path.
    #[error("no path: write {0}")]
    NoPath(&'static str),
    /// A topic nothing can be published to.
    #[error("cannot publish to a topic with + or #")]
    Wildcard,
    /// A name no topic of Kafka can have.
    #[error("{0} is no name of a topic: letters, digits, dots, underscores and hyphens are, up to 249")]
    Topic(String),
    /// Not UTF-8 once unescaped.
    #[error("the escapes (%XX) are not UTF-8")]
    Escapes(#[source] std::str::Utf8Error),
    /// A query parameter that is not known.
    #[error("unknown parameter {parameter}: {known}")]
    Parameter {
        /// Name and value as written.
        parameter: String,
        /// Which are known.
        known: &'static str,
    },
}

impl Target {
    /// Reads the URL.
    ///
    /// # Errors
    /// When it does not say all that is needed, or more than is known.
    pub(super) fn parse(text: &str) -> Result<Self, TargetError> {
        let url = Url::parse(text).map_err(TargetError::NotUrl)?;
        match url.scheme() {
            "mqtt" | mqtt::SCHEME_TLS => mqtt::Target::read(&url).map(Self::Mqtt),
            "kafka" | kafka::SCHEME_TLS => kafka::Target::read(&url).map(Self::Kafka),
            "http" | "https" => http::Target::read(&url).map(Self::Http),
            scheme => Err(TargetError::Scheme(scheme.to_owned())),
        }
    }
}

impl Address {
    /// Host, port and login of a URL.
    ///
    /// # Errors
    /// When it has no host, or is wrongly escaped.
    pub(super) fn read(url: &Url, default_port: u16, form: &'static str) -> Result<Self, TargetError> {
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(TargetError::NoHost(form))?;
        let password = Secret::new(unescaped(url.password().unwrap_or_default())?);
        let username = unescaped(url.username())?;
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(default_port),
            login: (!username.is_empty()).then_some((username, password)),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The secret of a URL, if it has one.
///
/// # Errors
/// When it is wrongly escaped.
pub(super) fn password(url: &Url) -> Result<Option<Secret>, TargetError> {
    url.password().map(|password| unescaped(password).map(Secret::new)).transpose()
}

/// The path without its first slash, which is where a topic stands.
///
/// # Errors
/// When it is wrongly escaped.
pub(super) fn path(url: &Url) -> Result<String, TargetError> {
    unescaped(url.path().strip_prefix('/').unwrap_or_default())
}

fn unescaped(text: &str) -> Result<String, TargetError> {
    Ok(percent_decode_str(text).decode_utf8().map_err(TargetError::Escapes)?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Target, TargetError};

    #[test]
    fn what_is_no_target_is_told() {
        assert_eq!(Target::parse("ftp://h/t"), Err(TargetError::Scheme("ftp".to_owned())));
        assert!(matches!(Target::parse("h"), Err(TargetError::NotUrl(_))));
        let escapes = Target::parse("mqtt://h/%ff");
        assert!(matches!(escapes, Err(TargetError::Escapes(_))), "{escapes:?}");
    }
}
