//! A broker and a topic as the user writes them:
//! `kafka[+ssl]://[user:password@]host[:port]/topic[?key=POINTER][&ca_file=PATH]`.

use rdkafka::ClientConfig;
use url::Url;

use crate::send::target::{Address, TargetError, path};

/// How the URL is written.
pub(in crate::send) const FORM: &str = "kafka://host:port/topic";
/// The scheme of brokers behind TLS.
pub(in crate::send) const SCHEME_TLS: &str = "kafka+ssl";
const DEFAULT_PORT: u16 = 9_092;
/// Longest name of a topic, in bytes.
const TOPIC_BYTES_MAX: usize = 249;
const KNOWN: &str =
    "only key (a JSON Pointer such as key=/deviceid) and, with kafka+ssl://, ca_file (a file of PEM) are known";

/// A broker and a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::send) struct Target {
    pub(super) address: Address,
    pub(super) topic: String,
    /// Where a message has its key, as a JSON Pointer (RFC 6901). Messages of a key stay in order, in one partition.
    pub(super) key: Option<String>,
    tls: Option<Tls>,
}

/// TLS towards the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tls {
    /// Who may certify the broker, instead of whom the system trusts.
    ca_file: Option<String>,
}

impl Target {
    /// Reads a URL whose scheme is known to be one of Kafka's.
    ///
    /// # Errors
    /// When it names no broker and topic.
    pub(in crate::send) fn read(url: &Url) -> Result<Self, TargetError> {
        let address = Address::read(url, DEFAULT_PORT, FORM)?;
        let topic = path(url)?;
        if topic.is_empty() {
            return Err(TargetError::NoTopic(FORM));
        }
        if !is_topic(&topic) {
            return Err(TargetError::Topic(topic));
        }
        let tls = (url.scheme() == SCHEME_TLS).then_some(Tls { ca_file: None });
        let mut target = Self { address, topic, key: None, tls };
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), &mut target.tls) {
                ("key", _) if value.starts_with('/') => target.key = Some(value.into_owned()),
                ("ca_file", Some(tls)) => tls.ca_file = Some(value.into_owned()),
                _ => {
                    return Err(TargetError::Parameter { parameter: format!("{name}={value}"), known: KNOWN });
                }
            }
        }
        Ok(target)
    }

    /// The broker, fit for a message: without user and password.
    pub(super) fn peer(&self) -> String {
        format!("the broker at {}", self.address)
    }

    /// How a client of librdkafka connects to it.
    pub(super) fn connection(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address.to_string());
        let protocol = match (&self.tls, &self.address.login) {
            (None, None) => "plaintext",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), None) => "ssl",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some((username, password)) = &self.address.login {
            config.set("sasl.mechanism", "PLAIN").set("sasl.username", username);
            config.set("sasl.password", password.expose());
        }
        if let Some(tls) = &self.tls {
            config.set("ssl.ca.location", tls.ca_file.as_deref().unwrap_or("probe"));
        }
        config
    }
}

/// Whether brokers take it for the name of a topic.
fn is_topic(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= TOPIC_BYTES_MAX && name.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{FORM, Target, TargetError};

    fn read(text: &str) -> Result<Target, TargetError> {
        Target::read(&Url::parse(text).unwrap())
    }

    /// What librdkafka is told, passwords as they are.
    #[track_caller]
    fn check(url: &str, expected: &[(&str, &str)]) {
        let connection = read(url).unwrap().connection();
        for (name, value) in expected {
            assert_eq!(connection.get(name), Some(*value), "{name}");
        }
        assert_eq!(connection.config_map().len(), expected.len());
    }

    #[test]
    fn a_url_names_broker_topic_and_key() {
        let target = read("kafka://[::1]:9093/ward-7?key=/device/id").unwrap();
        assert_eq!((target.topic.as_str(), target.key.as_deref()), ("ward-7", Some("/device/id")));
        assert_eq!(target.peer(), "the broker at [::1]:9093");
    }

    #[test]
    fn the_scheme_says_whether_the_connection_is_encrypted() {
        check("kafka://h/t", &[("bootstrap.servers", "h:9092"), ("security.protocol", "plaintext")]);
        let tls = [("bootstrap.servers", "h:9"), ("security.protocol", "ssl"), ("ssl.ca.location", "probe")];
        check("kafka+ssl://h:9/t", &tls);
        let own = [("bootstrap.servers", "h:9"), ("security.protocol", "ssl"), ("ssl.ca.location", "/ca.pem")];
        check("kafka+ssl://h:9/t?ca_file=/ca.pem", &own);
    }

    #[test]
    fn a_user_logs_in_with_the_password() {
        let login = [("sasl.mechanism", "PLAIN"), ("sasl.username", "$ConnectionString"), ("sasl.password", "a;b=@")];
        let plain = [("bootstrap.servers", "h:9092"), ("security.protocol", "sasl_plaintext")];
        check("kafka://$ConnectionString:a%3Bb%3D%40@h/t", &[&login[..], &plain].concat());
        let tls = [("bootstrap.servers", "h:9092"), ("security.protocol", "sasl_ssl"), ("ssl.ca.location", "probe")];
        check("kafka+ssl://$ConnectionString:a%3Bb%3D%40@h/t", &[&login[..], &tls].concat());
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        assert_eq!(read("kafka://h"), Err(TargetError::NoTopic(FORM)));
        assert_eq!(read("kafka:///t"), Err(TargetError::NoHost(FORM)));
        for topic in ["a/b", "a%20b", &"a".repeat(250)] {
            assert!(matches!(read(&format!("kafka://h/{topic}")), Err(TargetError::Topic(_))), "{topic}");
        }
        for query in ["key=deviceid", "ca_file=/ca.pem", "version=5"] {
            let error = read(&format!("kafka://h/t?{query}")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("unknown parameter {query}: only key (a JSON Pointer")), "{error}");
        }
    }
}
