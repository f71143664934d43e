//! A broker and a topic as the user writes them: `mqtt://[user:password@]host[:port]/topic[?version=5]`.

use url::Url;

use crate::send::target::{Address, TargetError, path};

/// How the URL is written.
pub(in crate::send) const FORM: &str = "mqtt://host:port/topic";
/// Port of MQTT without TLS.
const DEFAULT_PORT: u16 = 1_883;

/// A broker and a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::send) struct Target {
    pub(super) address: Address,
    pub(super) topic: String,
    pub(super) version: Version,
}

/// Version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V3_1_1,
    V5_0,
}

impl Target {
    /// Reads a URL whose scheme is known to be MQTT's.
    ///
    /// # Errors
    /// When it names no broker and topic.
    pub(in crate::send) fn read(url: &Url) -> Result<Self, TargetError> {
        let address = Address::read(url, DEFAULT_PORT, FORM)?;
        let topic = path(url)?;
        if topic.is_empty() {
            return Err(TargetError::NoTopic(FORM));
        }
        if topic.contains(['+', '#']) || url.fragment().is_some() {
            return Err(TargetError::Wildcard);
        }
        Ok(Self { address, topic, version: version(url)? })
    }

    /// The broker, fit for a message: without user and password.
    pub(super) fn peer(&self) -> String {
        format!("the broker at {}", self.address)
    }
}

fn version(url: &Url) -> Result<Version, TargetError> {
    let mut version = Version::V3_1_1;
    for (name, value) in url.query_pairs() {
        version = match (name.as_ref(), value.as_ref()) {
            ("version", "3.1.1") => Version::V3_1_1,
            ("version", "5") => Version::V5_0,
            _ => {
                let known = "only version=3.1.1 and version=5 are known";
                return Err(TargetError::Parameter { parameter: format!("{name}={value}"), known });
            }
        };
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{Address, FORM, Target, TargetError, Version};
    use crate::secret::Secret;

    fn read(text: &str) -> Result<Target, TargetError> {
        Target::read(&Url::parse(text).unwrap())
    }

    #[test]
    fn a_url_names_broker_topic_and_login() {
        let address = Address {
            host: "::1".to_owned(),
            port: 1884,
            login: Some(("ann".to_owned(), Secret::new("p@ss".to_owned()))),
        };
        let expected = Target { address, topic: "ward/7 a".to_owned(), version: Version::V5_0 };
        assert_eq!(read("mqtt://ann:p%40ss@[::1]:1884/ward/7%20a?version=5"), Ok(expected));
    }

    #[test]
    fn port_and_version_have_defaults() {
        let target = read("mqtt://localhost/t").unwrap();
        assert_eq!((target.address.port, target.address.login, target.version), (1883, None, Version::V3_1_1));
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(read("mqtt://h"), Err(TargetError::NoTopic(FORM)));
        assert_eq!(read("mqtt:///t"), Err(TargetError::NoHost(FORM)));
        assert_eq!(read("mqtt://h/a/#"), Err(TargetError::Wildcard));
        let qos = read("mqtt://h/t?qos=2").unwrap_err();
        assert_eq!(qos.to_string(), "unknown parameter qos=2: only version=3.1.1 and version=5 are known");
    }
}
