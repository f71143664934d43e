//! Where `send` sends to, as the user writes it: `mqtt://[user:password@]host[:port]/topic[?version=5]`.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::secret::Secret;

/// Port of MQTT without TLS.
const DEFAULT_PORT: u16 = 1_883;

/// A broker and a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) topic: String,
    pub(super) login: Option<(String, Secret)>,
    pub(super) version: Version,
}

/// Version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V3_1_1,
    V5_0,
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    /// Not a URL.
    #[error("not a URL: write mqtt://host:port/topic")]
    NotUrl(#[source] url::ParseError),
    /// Something else than MQTT.
    #[error("cannot send to {0}: only mqtt:// is known")]
    Scheme(String),
    /// No host.
    #[error("no host: write mqtt://host:port/topic")]
    NoHost,
    /// No topic.
    #[error("no topic: write mqtt://host:port/topic")]
    NoTopic,
    /// A topic nothing can be published to.
    #[error("cannot publish to a topic with + or #")]
    Wildcard,
    /// Not UTF-8 once unescaped.
    #[error("the escapes (%XX) are not UTF-8")]
    Escapes(#[source] std::str::Utf8Error),
    /// A query parameter that is not known.
    #[error("unknown parameter {0}: only version=3.1.1 and version=5 are known")]
    Parameter(String),
}

impl Target {
    /// Reads the URL.
    ///
    /// # Errors
    /// When it names no broker and topic.
    pub(super) fn parse(text: &str) -> Result<Self, TargetError> {
        let url = Url::parse(text).map_err(TargetError::NotUrl)?;
        if url.scheme() != "mqtt" {
            return Err(TargetError::Scheme(url.scheme().to_owned()));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(TargetError::NoHost)?;
        let topic = unescaped(url.path().strip_prefix('/').unwrap_or_default())?;
        if topic.is_empty() {
            return Err(TargetError::NoTopic);
        }
        if topic.contains(['+', '#']) || url.fragment().is_some() {
            return Err(TargetError::Wildcard);
        }
        let password = Secret::new(unescaped(url.password().unwrap_or_default())?);
        let username = unescaped(url.username())?;
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            topic,
            login: (!username.is_empty()).then_some((username, password)),
            version: version(&url)?,
        })
    }

    /// Host and port, fit for a message: without user and password.
    pub(super) fn broker(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn unescaped(text: &str) -> Result<String, TargetError> {
    Ok(percent_decode_str(text).decode_utf8().map_err(TargetError::Escapes)?.into_owned())
}

fn version(url: &Url) -> Result<Version, TargetError> {
    let mut version = Version::V3_1_1;
    for (name, value) in url.query_pairs() {
        version = match (name.as_ref(), value.as_ref()) {
            ("version", "3.1.1") => Version::V3_1_1,
            ("version", "5") => Version::V5_0,
            _ => return Err(TargetError::Parameter(format!("{name}={value}"))),
        };
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::{Target, TargetError, Version};
    use crate::secret::Secret;

    #[test]
    fn a_url_names_broker_topic_and_login() {
        let target = Target::parse("mqtt://ann:p%40ss@[::1]:1884/ward/7%20a?version=5").unwrap();
        let expected = Target {
            host: "::1".to_owned(),
            port: 1884,
            topic: "ward/7 a".to_owned(),
            login: Some(("ann".to_owned(), Secret::new("p@ss".to_owned()))),
            version: Version::V5_0,
        };
        assert_eq!(target, expected);
    }

    #[test]
    fn port_and_version_have_defaults() {
        let target = Target::parse("mqtt://localhost/t").unwrap();
        assert_eq!((target.port, target.version, target.login.is_none()), (1883, Version::V3_1_1, true));
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(Target::parse("kafka://h/t"), Err(TargetError::Scheme("kafka".to_owned())));
        assert_eq!(Target::parse("mqtt://h"), Err(TargetError::NoTopic));
        assert_eq!(Target::parse("mqtt:///t"), Err(TargetError::NoHost));
        assert_eq!(Target::parse("mqtt://h/a/#"), Err(TargetError::Wildcard));
        assert_eq!(Target::parse("mqtt://h/t?qos=2"), Err(TargetError::Parameter("qos=2".to_owned())));
        assert!(matches!(Target::parse("h"), Err(TargetError::NotUrl(_))));
    }
}
