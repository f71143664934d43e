//! Topics of Apache Kafka or Azure Event Hubs, and how to get at them.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::event_hubs::{self, ConnectionString};
use crate::config::fhir_target::oauth2;
use crate::config::section::{Problems, Section};
use crate::config::tls::tls;
use crate::config::words::words;
use crate::config::{OAuth2Config, TlsConfig};
use crate::secret::Secret;

/// User name by which Event Hubs knows that the password is a connection string.
const CONNECTION_STRING_USER: &str = "$ConnectionString";
/// Longest time a partition of a consumer that died may lie unread.
const SESSION_TIMEOUT_MAX: Duration = Duration::from_secs(30 * 60);
const SESSION_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// What librdkafka is told by other keys, or what must be as it is for nothing to be lost. With each, what to do instead.
const TAKEN: [(&str, &str); 19] = [
    ("bootstrap.servers", "give `bootstrap_servers`"),
    ("metadata.broker.list", "give `bootstrap_servers`"),
    ("group.id", "give `group_id`"),
    ("group.instance.id", "give `group_instance_id`"),
    ("session.timeout.ms", "give `session_timeout`"),
    ("auto.offset.reset", "give `start`"),
    ("security.protocol", "give `tls` to encrypt, and who connects by `username`, `oauth2` or `connection_string`"),
    ("sasl.mechanism", "give `sasl_mechanism`"),
    ("sasl.mechanisms", "give `sasl_mechanism`"),
    ("sasl.username", "give `username`"),
    ("sasl.password", "give `password`"),
    ("ssl.ca.pem", "give `tls.ca_file`"),
    ("ssl.certificate.pem", "give `tls.certificate_file`"),
    ("ssl.key.pem", "give `tls.key_file`"),
    ("enable.auto.commit", "leave it out: offsets are committed when messages are stored"),
    ("enable.auto.offset.store", "leave it out: offsets are committed when messages are stored"),
    ("enable.partition.eof", "leave it out"),
    ("statistics.interval.ms", "leave it out"),
    ("opaque", "leave it out"),
];

/// Topics to be read as a member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KafkaConfig {
    /// Hosts and ports of some brokers, with commas between them.
    pub(crate) bootstrap_servers: String,
    /// Names, or regular expressions that begin with `^`; at least one.
    pub(crate) topics: Vec<String>,
    /// The consumer group.
    pub(crate) group_id: String,
    /// Name of this member.
    pub(crate) group_instance_id: Option<String>,
    /// Where to begin in topics of which nothing was committed.
    pub(crate) start: KafkaStart,
    /// How to log in.
    pub(crate) login: KafkaLogin,
    /// Whether to encrypt, and with what.
    pub(crate) tls: Option<TlsConfig>,
    /// The brokers are those of Azure Event Hubs.
    pub(crate) is_event_hubs: bool,
    /// How the values of headers are written.
    pub(crate) header_values: KafkaHeaderValues,
    /// Messages taken and not yet ended.
    pub(crate) in_flight_max: usize,
    /// Silence after which the group gives partitions to others.
    pub(crate) session_timeout: Duration,
    /// Largest message that is taken apart, in bytes of its payload.
    pub(crate) message_bytes_max: usize,
    /// Whether a body that is an array is as many messages as it has elements.
    pub(crate) split_arrays: bool,
    /// Settings of librdkafka.
    pub(crate) properties: Vec<(String, String)>,
}

/// Where a group begins in a topic of which it has committed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KafkaStart {
    /// With the oldest message.
    Earliest,
    /// With the next message. Partitions that are added later are read whole.
    Latest,
}

/// How the values of headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KafkaHeaderValues {
    /// As text.
    Text,
    /// As AMQP primitives, as Event Hubs does.
    Amqp,
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KafkaLogin {
    /// Not at all.
    Anonymous,
    /// SASL with a password.
    Password {
        /// As brokers name it.
        mechanism: SaslMechanism,
        /// The user.
        username: String,
        /// Its password.
        password: Secret,
    },
    /// SASL with tokens of a token endpoint.
    OAuth2(OAuth2Config),
}

/// How a password is shown to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SaslMechanism {
    /// As it is.
    Plain,
    /// Without telling it (RFC 5802).
    ScramSha256,
    /// Without telling it, with SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// As brokers name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// The topics in a section, for the connector of this name.
pub(super) fn kafka(mut section: Section, connector: &str, problems: &mut Problems) -> KafkaConfig {
    let secret: Option<Secret> = section.optional("connection_string", problems);
    let event_hub = secret.as_ref().and_then(|secret| match event_hubs::parse(secret.expose()) {
        Ok(event_hub) => Some(event_hub),
        Err(message) => {
            problems.push(section.problem("connection_string", None, message));
            None
        }
    });
    let bootstrap_servers = bootstrap_servers(&mut section, event_hub.as_ref(), secret.is_some(), problems);
    let tls_section = section.optional_section("tls", problems);
    let tls = tls_section.map(|section| tls(section, problems));
    let login = match secret {
        Some(password) => connection_string_login(&mut section, password, problems),
        None => login(&mut section, problems),
    };
    let is_event_hubs = event_hub.is_some() || event_hubs::is_namespace(&bootstrap_servers);
    let encrypts_by_itself = is_event_hubs && !event_hub.as_ref().is_some_and(|hub| hub.is_emulator);
    let tls = tls.or_else(|| encrypts_by_itself.then(TlsConfig::default));
    let by_default = if is_event_hubs { KafkaHeaderValues::Amqp } else { KafkaHeaderValues::Text };
    let kafka = KafkaConfig {
        topics: topics(&mut section, event_hub.and_then(|hub| hub.event_hub), problems),
        group_id: section.optional("group_id", problems).unwrap_or_else(|| format!("vitalwire-{connector}")),
        group_instance_id: section.optional("group_instance_id", problems),
        start: section.required("start", KafkaStart::Earliest, problems),
        header_values: section.optional("header_values", problems).unwrap_or(by_default),
        in_flight_max: section.required("in_flight_max", 1, problems),
        session_timeout: session_timeout(&mut section, problems),
        message_bytes_max: section.required("message_bytes_max", 1, problems),
        split_arrays: section.required("split_arrays", false, problems),
        properties: properties(&mut section, problems),
        bootstrap_servers,
        login,
        tls,
        is_event_hubs,
    };
    if let Some(message) = in_the_clear(&kafka) {
        problems.push(section.problem("tls", Some(section.place()), message));
    }
    for (key, text) in [("group_id", Some(&kafka.group_id)), ("group_instance_id", kafka.group_instance_id.as_ref())] {
        if text.is_some_and(String::is_empty) {
            problems.push(section.problem(key, None, "is empty".to_owned()));
        }
    }
    section.finish(problems);
    kafka
}

fn bootstrap_servers(
    section: &mut Section,
    event_hub: Option<&ConnectionString>,
    has_connection_string: bool,
    problems: &mut Problems,
) -> String {
    let servers: Option<Vec<String>> = section.optional("bootstrap_servers", problems);
    match (servers, event_hub) {
        // Beside a connection string it says where the endpoint is reached, for example through a tunnel.
        (Some(servers), _) => {
            let servers = servers.join(",");
            let is_server = |server: &str| {
                server
                    .trim()
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
            };
            if !servers.split(',').all(is_server) {
                let message = "expected hosts with their ports, for example \"broker-1:9092,broker-2:9092\"".to_owned();
                problems.push(section.problem("bootstrap_servers", None, message));
            }
            servers
        }
        (None, Some(event_hub)) => event_hub.bootstrap_servers.clone(),
        (None, None) => {
            if !has_connection_string {
                let message = "is missing; expected hosts with their ports, for example \"broker-1:9092,broker-2:9092\", or a \
                               `connection_string` of Azure Event Hubs";
                problems.push(section.problem("bootstrap_servers", Some(section.place()), message.to_owned()));
            }
            String::new()
        }
    }
}

fn topics(section: &mut Section, event_hub: Option<String>, problems: &mut Problems) -> Vec<String> {
    let topics: Option<Vec<String>> = section.optional("topics", problems);
    let topics = match (topics, event_hub) {
        (Some(topics), _) => topics,
        (None, Some(event_hub)) => vec![event_hub],
        (None, None) => {
            let message = "is missing; expected names of topics, or regular expressions that begin with `^`".to_owned();
            problems.push(section.problem("topics", Some(section.place()), message));
            return Vec::new();
        }
    };
    if topics.is_empty() || topics.iter().any(|topic| topic.trim().is_empty()) {
        problems.push(section.problem("topics", None, "is empty, or names a topic that is".to_owned()));
    }
    for (number, topic) in (1..).zip(&topics) {
        if topic.starts_with('^')
            && let Err(error) = regex::Regex::new(topic)
        {
            problems.push(section.problem("topics", None, format!("pattern {number} cannot be read: {error}")));
        }
    }
    topics
}

fn connection_string_login(section: &mut Section, password: Secret, problems: &mut Problems) -> KafkaLogin {
    for key in ["username", "password", "sasl_mechanism"] {
        if section.optional::<Secret>(key, problems).is_some() {
            problems.push(section.problem(
                key,
                None,
                "is said by `connection_string` already; leave one out".to_owned(),
            ));
        }
    }
    if let Some(oauth2) = section.optional_section("oauth2", problems) {
        let message = "cannot be combined with `connection_string`; leave one out".to_owned();
        problems.push(section.problem("oauth2", Some(oauth2.place()), message));
    }
    KafkaLogin::Password { mechanism: SaslMechanism::Plain, username: CONNECTION_STRING_USER.to_owned(), password }
}

fn login(section: &mut Section, problems: &mut Problems) -> KafkaLogin {
    let username: Option<String> = section.optional("username", problems);
    let password: Option<Secret> = section.optional("password", problems);
    let mechanism: Option<SaslMechanism> = section.optional("sasl_mechanism", problems);
    let oauth2_section = section.optional_section("oauth2", problems);
    match (username, password, oauth2_section) {
        (Some(username), Some(password), None) => {
            let mechanism = mechanism.unwrap_or(SaslMechanism::Plain);
            KafkaLogin::Password { mechanism, username, password }
        }
        (None, None, Some(oauth2_section)) => KafkaLogin::OAuth2(oauth2(oauth2_section, problems)),
        (None, None, None) => {
            if mechanism.is_some() {
                problems.push(section.problem("sasl_mechanism", None, "needs `username` and `password`".to_owned()));
            }
            KafkaLogin::Anonymous
        }
        (_, _, Some(oauth2_section)) => {
            let message = "cannot be combined with `username` and `password`; leave one out".to_owned();
            problems.push(section.problem("oauth2", Some(oauth2_section.place()), message));
            KafkaLogin::Anonymous
        }
        (Some(_), None, None) => {
            problems.push(section.problem("username", None, "needs a `password`".to_owned()));
            KafkaLogin::Anonymous
        }
        (None, Some(_), None) => {
            problems.push(section.problem("password", None, "needs a `username`".to_owned()));
            KafkaLogin::Anonymous
        }
    }
}

/// What is wrong with showing a secret as it is on a connection that is not encrypted. One within this machine may.
fn in_the_clear(kafka: &KafkaConfig) -> Option<String> {
    let shown = match &kafka.login {
        KafkaLogin::Password { mechanism, .. } => *mechanism == SaslMechanism::Plain,
        KafkaLogin::OAuth2(_) => true,
        KafkaLogin::Anonymous => false,
    };
    let is_local = |server: &str| {
        let host = server.trim().rsplit_once(':').map_or(server, |(host, _)| host);
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    let is_exposed = shown && kafka.tls.is_none() && !kafka.bootstrap_servers.split(',').all(is_local);
    is_exposed
        .then(|| "is missing, so credentials would be sent in the clear; give `tls = {}`, or use SCRAM".to_owned())
}

fn session_timeout(section: &mut Section, problems: &mut Problems) -> Duration {
    let timeout = section.required("session_timeout", SESSION_TIMEOUT_MIN, problems);
    if !(SESSION_TIMEOUT_MIN..=SESSION_TIMEOUT_MAX).contains(&timeout) {
        let (min, max) = (SESSION_TIMEOUT_MIN.as_millis(), SESSION_TIMEOUT_MAX.as_millis());
        let message = format!("expected {min} to {max}, found {}", timeout.as_millis());
        problems.push(section.problem("session_timeout", None, message));
    }
    timeout
}

/// Settings of librdkafka, each tried on it.
fn properties(section: &mut Section, problems: &mut Problems) -> Vec<(String, String)> {
    let Some(given) = section.optional_section("properties", problems) else { return Vec::new() };
    let mut properties = Vec::new();
    for (name, place, value) in given.into_texts(problems) {
        let problem = match TAKEN.iter().find(|(taken, _)| *taken == name) {
            Some((_, instead)) => Some(format!("`{name}` cannot be set here; {instead}")),
            None => refusal(&name, &value).map(|reason| format!("`{name}`: {reason}")),
        };
        match problem {
            Some(message) => problems.push(section.problem("properties", Some(place), message)),
            None => properties.push((name, value)),
        }
    }
    properties
}

/// Why librdkafka does not take a setting. The value is not repeated: it may be a secret.
fn refusal(name: &str, value: &str) -> Option<&'static str> {
    let tried = ClientConfig::new().set(name, value).create_native_config();
    let is_unknown = matches!(tried.err()?, KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..));
    Some(if is_unknown { "librdkafka has no such property" } else { "librdkafka does not take this value" })
}

words!(KafkaStart, "\"earliest\" or \"latest\"", "earliest" => Self::Earliest, "latest" => Self::Latest);
words!(KafkaHeaderValues, "\"text\" or \"amqp\"", "text" => Self::Text, "amqp" => Self::Amqp);
words!(
    SaslMechanism,
    "\"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\"",
    "PLAIN" => Self::Plain,
    "SCRAM-SHA-256" => Self::ScramSha256,
    "SCRAM-SHA-512" => Self::ScramSha512
);

#[cfg(test)]
mod tests {
    use super::{KafkaConfig, KafkaHeaderValues, KafkaLogin};
    use crate::config::{Config, SourceConfig};

    const EVENT_HUB: &str = "connection_string = \"Endpoint=sb://ward.servicebus.windows.net/;SharedAccessKeyName=a;\
                             SharedAccessKey=hunter2;EntityPath=devicedata\"";

    fn parse(source: &str) -> Result<KafkaConfig, Vec<String>> {
        let text = format!(
            "[[connectors]]\nname = \"ward-4\"\ndevice_mapping = \"d\"\nfhir_mapping = \"f\"\n\
             [[connectors.sources]]\ntype = \"kafka\"\n{source}\n"
        );
        let config = Config::parse(Some(("a.toml", &text)), &[]);
        let config = config.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let SourceConfig::Kafka(kafka) = config.connectors[0].sources[0].clone() else { panic!("{config:?}") };
        Ok(*kafka)
    }

    #[test]
    fn a_connection_string_says_all_about_an_event_hub() {
        let kafka = parse(EVENT_HUB).unwrap();
        assert_eq!(kafka.bootstrap_servers, "ward.servicebus.windows.net:9093");
        assert_eq!(
            (kafka.topics.as_slice(), kafka.group_id.as_str()),
            (&["devicedata".to_owned()][..], "vitalwire-ward-4")
        );
        assert!(kafka.tls.is_some() && kafka.is_event_hubs);
        assert_eq!(kafka.header_values, KafkaHeaderValues::Amqp);
        let KafkaLogin::Password { mechanism, username, password } = &kafka.login else { panic!("{kafka:?}") };
        assert_eq!((mechanism.as_str(), username.as_str()), ("PLAIN", "$ConnectionString"));
        assert!(password.expose().starts_with("Endpoint=") && password.expose().ends_with("EntityPath=devicedata"));
        assert!(!format!("{kafka:?}").contains("hunter2"), "{kafka:?}");
    }

    #[test]
    fn a_cluster_of_ones_own_is_neither_encrypted_nor_amqp_unless_told() {
        let kafka =
            parse("bootstrap_servers = [\"a:9092\", \"b:9092\"]\ntopics = [\"readings\", \"^ward-.*\"]").unwrap();
        assert_eq!((kafka.bootstrap_servers.as_str(), kafka.tls.is_none()), ("a:9092,b:9092", true));
        assert_eq!(kafka.header_values, KafkaHeaderValues::Text);
        assert!(matches!(kafka.login, KafkaLogin::Anonymous));
    }

    #[test]
    fn properties_of_librdkafka_are_tried_on_it() {
        let kafka =
            parse("bootstrap_servers = \"a:1\"\ntopics = \"t\"\nproperties = { \"fetch.wait.max.ms\" = 100 }").unwrap();
        assert_eq!(kafka.properties, [("fetch.wait.max.ms".to_owned(), "100".to_owned())]);
    }

    #[track_caller]
    fn check_problem(source: &str, expected: &str) {
        let problems = parse(source).unwrap_err();
        assert!(
            problems.iter().any(|problem| problem.starts_with("a.toml:") && problem.contains(expected)),
            "{problems:#?}"
        );
        assert!(!problems.join("").contains("hunter2"), "{problems:#?}");
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_line_and_how_to_mend_it() {
        const SERVER: &str = "bootstrap_servers = \"a:1\"\ntopics = [\"t\"]\n";
        let with = |more: &str| format!("{SERVER}{more}");
        check_problem("topics = [\"t\"]", "`connectors.0.sources.0.bootstrap_servers` is missing");
        check_problem("bootstrap_servers = \"a\"\ntopics = [\"t\"]", "hosts with their ports");
        check_problem("bootstrap_servers = \"a:1\"", "`connectors.0.sources.0.topics` is missing");
        check_problem("bootstrap_servers = \"a:1\"\ntopics = [\"^(\"]", "pattern 1 cannot be read");
        check_problem("connection_string = \"hunter2\"", "has no `Endpoint=`");
        check_problem(&format!("{EVENT_HUB}\npassword = \"hunter2\""), "is said by `connection_string` already");
        check_problem(&with("username = \"u\""), "needs a `password`");
        check_problem(&with("username = \"u\"\npassword = \"hunter2\""), "sent in the clear");
        check_problem(&with("sasl_mechanism = \"PLAIN\""), "needs `username`");
        check_problem(&with("session_timeout = 10"), "expected 1000 to 1800000");
        check_problem(&with("properties = { \"enable.auto.commit\" = false }"), "cannot be set here");
        check_problem(&with("properties = { \"no.such\" = \"hunter2\" }"), "librdkafka has no such property");
        check_problem(&with("properties = { \"fetch.wait.max.ms\" = \"hunter2\" }"), "does not take this value");
    }
}
