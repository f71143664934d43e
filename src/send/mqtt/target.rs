//! A broker and a topic as the user writes them: `mqtt[s]://[user:password@]host[:port]/topic[?version=5]`, and with TLS
//! `[&ca_file=PATH][&certificate_file=PATH&key_file=PATH]`.

use std::error::Error as _;

use url::Url;

use crate::secret::Secret;
use crate::send::target::{Address, TargetError, path};
use crate::sources::tls::{ClientTls, TlsSettings};

/// How the URL is written.
pub(in crate::send) const FORM: &str = "mqtt://host:port/topic";
/// The scheme of brokers behind TLS.
pub(in crate::send) const SCHEME_TLS: &str = "mqtts";
/// Port of MQTT without TLS.
const DEFAULT_PORT: u16 = 1_883;
const DEFAULT_PORT_TLS: u16 = 8_883;
const KNOWN: &str =
    "only version (3.1.1 or 5) and, with mqtts://, ca_file, certificate_file and key_file (files of PEM) are known";

/// A broker and a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::send) struct Target {
    pub(super) address: Address,
    pub(super) topic: String,
    pub(super) version: Version,
    tls: Option<Files>,
}

/// Where the certificates are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Files {
    /// Who may certify the broker besides whom the system trusts.
    ca: Option<String>,
    /// What is shown to a broker that asks for it.
    certificate: Option<String>,
    key: Option<String>,
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
        let tls = (url.scheme() == SCHEME_TLS).then(Files::default);
        let default_port = if tls.is_some() { DEFAULT_PORT_TLS } else { DEFAULT_PORT };
        let address = Address::read(url, default_port, FORM)?;
        let topic = path(url)?;
        if topic.is_empty() {
            return Err(TargetError::NoTopic(FORM));
        }
        if topic.contains(['+', '#']) || url.fragment().is_some() {
            return Err(TargetError::Wildcard);
        }
        let mut target = Self { address, topic, version: Version::V3_1_1, tls };
        for (name, value) in url.query_pairs() {
            target.take(&name, &value)?;
        }
        Ok(target)
    }

    /// A parameter of the URL.
    fn take(&mut self, name: &str, value: &str) -> Result<(), TargetError> {
        match (name, value, &mut self.tls) {
            ("version", "3.1.1", _) => self.version = Version::V3_1_1,
            ("version", "5", _) => self.version = Version::V5_0,
            ("ca_file", path, Some(files)) => files.ca = Some(path.to_owned()),
            ("certificate_file", path, Some(files)) => files.certificate = Some(path.to_owned()),
            ("key_file", path, Some(files)) => files.key = Some(path.to_owned()),
            (name, value, _) => {
                return Err(TargetError::Parameter { parameter: format!("{name}={value}"), known: KNOWN });
            }
        }
        Ok(())
    }

    /// How the connection is encrypted, if it is.
    ///
    /// # Errors
    /// When a file cannot be used, in words fit to be shown.
    pub(super) fn encryption(&self) -> Result<Option<ClientTls>, String> {
        let Some(files) = &self.tls else { return Ok(None) };
        let identity = match (&files.certificate, &files.key) {
            (Some(certificate), Some(key)) => Some(Secret::new(format!("{}\n{}", pem(certificate)?, pem(key)?))),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err("certificate_file and key_file go together".to_owned()),
        };
        let authorities = files.ca.as_deref().map(pem).transpose()?;
        let settings = TlsSettings { server_name: self.address.host.clone(), authorities, identity };
        ClientTls::new(&settings).map(Some).map_err(|error| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })
    }

    /// The broker, fit for a message: without user and password.
    pub(super) fn peer(&self) -> String {
        format!("the broker at {}", self.address)
    }
}

fn pem(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{Address, FORM, Files, Target, TargetError, Version};
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
        let expected = Target { address, topic: "ward/7 a".to_owned(), version: Version::V5_0, tls: None };
        assert_eq!(read("mqtt://ann:p%40ss@[::1]:1884/ward/7%20a?version=5"), Ok(expected));
    }

    #[test]
    fn port_and_version_have_defaults() {
        let target = read("mqtt://localhost/t").unwrap();
        assert_eq!((target.address.port, target.address.login, target.version), (1883, None, Version::V3_1_1));
    }

    #[test]
    fn a_url_of_tls_names_files_of_certificates() {
        let target = read("mqtts://h/t?ca_file=a/ca.pem&certificate_file=c&key_file=k&version=5").unwrap();
        let some = |path: &str| Some(path.to_owned());
        assert_eq!(target.tls, Some(Files { ca: some("a/ca.pem"), certificate: some("c"), key: some("k") }));
        assert_eq!((target.address.port, target.version), (8883, Version::V5_0));
        let half = read("mqtts://h/t?key_file=k").unwrap().encryption().unwrap_err();
        assert_eq!(half, "certificate_file and key_file go together");
        let nowhere = read("mqtts://h/t?ca_file=/nowhere/ca.pem").unwrap().encryption().unwrap_err();
        assert!(nowhere.starts_with("/nowhere/ca.pem: "), "{nowhere}");
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(read("mqtt://h"), Err(TargetError::NoTopic(FORM)));
        assert_eq!(read("mqtt:///t"), Err(TargetError::NoHost(FORM)));
        assert_eq!(read("mqtt://h/a/#"), Err(TargetError::Wildcard));
        let qos = read("mqtt://h/t?qos=2").unwrap_err();
        assert!(qos.to_string().starts_with("unknown parameter qos=2: only version (3.1.1 or 5) and"), "{qos}");
        assert!(read("mqtt://h/t?ca_file=ca.pem").is_err());
    }
}
