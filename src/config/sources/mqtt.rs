//! A subscription at an MQTT broker, and what it must be for a broker to take it: one says so only by hanging up, so it is
//! said here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::topics::{MqttTopic, topics};
use crate::config::TlsConfig;
use crate::config::raw::Content;
use crate::config::section::{FromRaw, Problems, Section, whole_number};
use crate::config::tls::tls;
use crate::config::words::words;
use crate::secret::Secret;

/// Largest message that fits, with its topic and properties, into the largest packet MQTT has (256 MiB).
const MESSAGE_BYTES_MAX: usize = 255 << 20;

/// Longest text MQTT has, in bytes.
const TEXT_BYTES_MAX: usize = 65_535;
/// Connections of one source.
const CONNECTIONS_MAX: u16 = 64;
const SESSION_EXPIRY_MIN: Duration = Duration::from_secs(60);
/// MQTT has 32 bits for the seconds; all of them set means for ever.
const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(0xFFFF_FFFF);
/// Ports of brokers, in the clear and encrypted.
const PORT: u16 = 1_883;
const PORT_TLS: u16 = 8_883;
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);
/// MQTT has 16 bits for the seconds.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(65_535);

/// A subscription at a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MqttConfig {
    /// Host name or address of the broker.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// How the connection is encrypted; `None` when it is not.
    pub(crate) tls: Option<MqttTls>,
    /// Version of the protocol.
    pub(crate) protocol: MqttProtocol,
    /// Topic filters; at least one.
    pub(crate) topics: Vec<MqttTopic>,
    /// Quality of service of the subscription: 0 or 1.
    pub(crate) qos: MqttQos,
    /// Name of the session.
    pub(crate) client_id: String,
    /// Connections, each with a session of its own; more than one only when all topics are shared.
    pub(crate) connections: u16,
    /// How long the broker is to keep a session that nobody uses (MQTT 5).
    pub(crate) session_expiry: Duration,
    /// What the broker is to publish when the source is gone.
    pub(crate) will: Option<MqttWill>,
    /// User and password.
    pub(crate) credentials: Option<(String, Secret)>,
    /// Messages taken and not yet acknowledged.
    pub(crate) in_flight_max: usize,
    /// Silence after which a ping is sent.
    pub(crate) keep_alive: Duration,
    /// Largest message that is taken apart, in bytes of its payload.
    pub(crate) message_bytes_max: usize,
    /// Whether a payload that is an array is mapped element by element.
    pub(crate) split_arrays: bool,
}

/// How the connection to a broker is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MqttTls {
    /// Whom to trust and what to show.
    pub(crate) certificates: TlsConfig,
    /// The name or address that the broker's certificate must be for.
    pub(crate) server_name: String,
}

/// Quality of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MqttQos {
    /// At most once.
    Zero,
    /// At least once.
    One,
    /// Exactly once.
    Two,
}

/// What a broker publishes when a source is gone without a goodbye.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MqttWill {
    /// Where to.
    pub(crate) topic: String,
    /// The message.
    pub(crate) payload: String,
    /// Its quality of service.
    pub(crate) qos: MqttQos,
    /// Whether the broker is to keep it for those who subscribe later.
    pub(crate) retain: bool,
}

/// A long span of time, written in milliseconds and sent as seconds in 32 bits.
struct SessionExpiry(Duration);

/// Version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MqttProtocol {
    /// 3.1.1
    V3,
    /// 5
    V5,
}

impl MqttConfig {
    /// The names of its sessions, one for each connection. The first is the one that is configured.
    pub(crate) fn client_ids(&self) -> impl Iterator<Item = String> {
        (1..=self.connections).map(|number| match number {
            1 => self.client_id.clone(),
            number => format!("{}.c{number}", self.client_id),
        })
    }
}

/// The sessions at brokers that are spoken for: two clients of one name throw each other out for ever.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    connector: String,
    /// MQTT sources of that connector so far.
    count: usize,
    /// Connectors by host, port and client id.
    holders: HashMap<(String, u16, String), String>,
}

impl Sessions {
    /// What follows belongs to this connector.
    pub(super) fn enter(&mut self, connector: &str) {
        connector.clone_into(&mut self.connector);
        self.count = 0;
    }

    /// The client id of the next source unless it has one of its own. Names of connectors have no dot.
    pub(super) fn next_default(&mut self) -> String {
        self.count = self.count.saturating_add(1);
        match self.count {
            1 => format!("vitalwire-{}", self.connector),
            count => format!("vitalwire-{}.{count}", self.connector),
        }
    }

    /// Takes a session; says who has it if it is taken.
    pub(super) fn clash(&mut self, host: &str, port: u16, client_id: &str) -> Option<String> {
        let session = (host.to_lowercase(), port, client_id.to_owned());
        let holder = self.holders.insert(session, self.connector.clone())?;
        Some(format!(
            "is taken by another source of connector `{holder}` at the same broker; two clients of one name throw each \
             other out, so each source needs its own"
        ))
    }
}

/// The subscription in a section.
pub(super) fn mqtt(mut section: Section, sessions: &mut Sessions, problems: &mut Problems) -> MqttConfig {
    let default_client_id = sessions.next_default();
    let host = section.required("host", String::new(), problems);
    let tls = section.optional_section("tls", problems).map(|section| encryption(section, &host, problems));
    let default_port = if tls.is_some() { PORT_TLS } else { PORT };
    let mqtt = MqttConfig {
        host,
        port: section.optional("port", problems).unwrap_or(default_port),
        tls,
        protocol: section.required("protocol", MqttProtocol::V3, problems),
        topics: topics(&mut section, problems),
        qos: section.required("qos", MqttQos::One, problems),
        client_id: section.optional("client_id", problems).unwrap_or(default_client_id),
        connections: section.required("connections", 1, problems),
        session_expiry: section.required("session_expiry", SessionExpiry(SESSION_EXPIRY_MIN), problems).0,
        will: section.optional_section("will", problems).map(|section| will(section, problems)),
        credentials: credentials(&mut section, problems),
        in_flight_max: section.required::<u16>("in_flight_max", 1, problems).into(),
        keep_alive: section.required("keep_alive", Duration::ZERO, problems),
        message_bytes_max: message_bytes_max(&mut section, problems),
        split_arrays: section.required("split_arrays", false, problems),
    };
    if mqtt.host.is_empty() {
        problems.push(section.problem("host", None, "is empty; expected a name or an address".to_owned()));
    }
    if let Some(message) = keep_alive_problem(mqtt.keep_alive) {
        problems.push(section.problem("keep_alive", None, message));
    }
    if mqtt.qos == MqttQos::Two {
        let message = "expected 1, or 0 for readings that may be lost, found 2: it costs twice the packets and gains \
                       nothing, because a reading that comes twice is stored once";
        problems.push(section.problem("qos", None, message.to_owned()));
    }
    if mqtt.credentials.is_some() && mqtt.tls.is_none() && !is_loopback(&mqtt.host) {
        let message = "is missing, so the password would be sent in the clear; give `tls = {}`".to_owned();
        problems.push(section.problem("tls", None, message));
    }
    if let Some(message) = connections_problem(&mqtt) {
        problems.push(section.problem("connections", None, message));
    }
    let clash = || mqtt.client_ids().find_map(|client_id| sessions.clash(&mqtt.host, mqtt.port, &client_id));
    if let Some(message) = client_id_problem(&mqtt.client_id).or_else(clash) {
        problems.push(section.problem("client_id", None, message));
    }
    section.finish(problems);
    mqtt
}

fn encryption(mut section: Section, host: &str, problems: &mut Problems) -> MqttTls {
    let given: Option<String> = section.optional("server_name", problems);
    if given.as_deref().is_some_and(|name| ServerName::try_from(name).is_err()) {
        let message = "expected the name or the address that the certificate of the broker is for".to_owned();
        problems.push(section.problem("server_name", None, message));
    }
    MqttTls { server_name: given.unwrap_or_else(|| host.to_owned()), certificates: tls(section, problems) }
}

fn will(mut section: Section, problems: &mut Problems) -> MqttWill {
    let will = MqttWill {
        topic: section.required("topic", String::new(), problems),
        payload: section.optional("payload", problems).unwrap_or_default(),
        qos: section.optional("qos", problems).unwrap_or(MqttQos::One),
        retain: section.optional("retain", problems).unwrap_or(false),
    };
    if section.was_given("topic") && (will.topic.is_empty() || will.topic.contains(['+', '#'])) {
        problems.push(section.problem("topic", None, "expected a topic, without `+` and `#`".to_owned()));
    }
    for (key, text) in [("topic", &will.topic), ("payload", &will.payload)] {
        if let Some(message) = text_problem(text) {
            problems.push(section.problem(key, None, message));
        }
    }
    section.finish(problems);
    will
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// What is wrong with the number of connections.
fn connections_problem(mqtt: &MqttConfig) -> Option<String> {
    if mqtt.connections > CONNECTIONS_MAX {
        return Some(format!("expected at most {CONNECTIONS_MAX}, found {}", mqtt.connections));
    }
    let would_double = mqtt.connections > 1 && !mqtt.topics.iter().all(MqttTopic::is_shared);
    would_double.then(|| {
        "needs shared subscriptions alone in `topics`, as in `$share/workers/devices/#`: of any other every connection \
         would be given every message"
            .to_owned()
    })
}

fn credentials(section: &mut Section, problems: &mut Problems) -> Option<(String, Secret)> {
    let username: Option<String> = section.optional("username", problems);
    let password: Option<Secret> = section.optional("password", problems);
    if username.is_none() && password.is_some() {
        problems.push(section.problem("password", None, "needs a `username`".to_owned()));
    }
    username.map(|username| (username, password.unwrap_or_else(|| Secret::new(String::new()))))
}

/// The largest message that a source of MQTT takes.
pub(super) fn message_bytes_max(section: &mut Section, problems: &mut Problems) -> usize {
    let bytes = section.required("message_bytes_max", 1, problems);
    if bytes > MESSAGE_BYTES_MAX {
        let message = format!("expected at most {MESSAGE_BYTES_MAX}, found {bytes}: MQTT has no larger packets");
        problems.push(section.problem("message_bytes_max", None, message));
    }
    bytes
}

/// What is wrong with a client id. An empty one names no session, and nothing would be kept for it.
fn client_id_problem(client_id: &str) -> Option<String> {
    if client_id.is_empty() {
        return Some("is empty; the broker keeps the session of a source under this name".to_owned());
    }
    text_problem(client_id)
}

/// What is wrong with the time between signs of life.
fn keep_alive_problem(keep_alive: Duration) -> Option<String> {
    let fits = (KEEP_ALIVE_MIN..=KEEP_ALIVE_MAX).contains(&keep_alive);
    let expected = || format!("expected {} to {}", KEEP_ALIVE_MIN.as_millis(), KEEP_ALIVE_MAX.as_millis());
    (!fits).then(|| format!("{}, found {}: it is sent as seconds in 16 bits", expected(), keep_alive.as_millis()))
}

/// What is wrong with a text that MQTT is to carry.
pub(super) fn text_problem(text: &str) -> Option<String> {
    if text.len() > TEXT_BYTES_MAX {
        return Some(format!("is longer than {TEXT_BYTES_MAX} bytes"));
    }
    text.contains('\0').then(|| "holds a NUL character, which MQTT does not have".to_owned())
}

impl FromRaw for MqttQos {
    const EXPECTED: &'static str = "0, 1 or 2";
    const IS_NUMBER: bool = true;
    fn from_content(content: &Content) -> Option<Self> {
        match whole_number(content)? {
            0 => Some(Self::Zero),
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        }
    }
}

impl FromRaw for SessionExpiry {
    const EXPECTED: &'static str = "a whole number of milliseconds from 60000 to 4294967295000";
    const IS_NUMBER: bool = true;
    fn from_content(content: &Content) -> Option<Self> {
        let span = Duration::from_millis(u64::try_from(whole_number(content)?).ok()?);
        (SESSION_EXPIRY_MIN..=SESSION_EXPIRY_MAX).contains(&span).then_some(Self(span))
    }
}

words!(MqttProtocol, "\"3.1.1\" or \"5\"", "3.1.1" => Self::V3, "5" => Self::V5);
