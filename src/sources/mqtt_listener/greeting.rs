//! A client's CONNECT, read for what it asks, and why it may be turned away.

use std::time::Duration;

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{Property, Qos, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use serde_json::Map;
use uuid::Uuid;

use super::sessions::Start;
use crate::sources::arrival::Arrival;
use crate::sources::packets::{annotations, is_topic_name, user_properties};

/// Longest client identifier, in bytes. MQTT 3.1.1 lets a server refuse those above 23.
const CLIENT_ID_MAX_BYTES: usize = 1_024;

/// What a client asks when it connects.
#[derive(Debug)]
pub(super) struct Greeting {
    /// The client's identifier, or the one chosen for it.
    pub(super) client_id: String,
    /// The user it says it is.
    pub(super) username: Option<String>,
    /// What is to prove that; empty when there is none.
    pub(super) password: Password,
    /// The identifier was chosen for it, and MQTT 5 wants it told.
    pub(super) tell_client_id: bool,
    /// Whether its session goes on.
    pub(super) start: Start,
    /// How long its session is to outlive the connection.
    pub(super) session_expiry: SessionExpiry,
    /// What to publish if it goes without a word.
    pub(super) will: Option<Will>,
}

/// A password as it came. Prints as dots.
pub(super) struct Password(Vec<u8>);

/// How long a session is to outlive its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionExpiry {
    /// As long as the server likes (MQTT 3.1.1 without clean session).
    Unsaid,
    /// Seconds; `u32::MAX` is for ever (MQTT 5).
    Secs(u32),
}

/// A message the client leaves behind to be published when its connection breaks.
#[derive(Debug)]
pub(super) struct Will {
    /// The message.
    pub(super) arrival: Arrival,
    /// How long to wait for the client to come back before.
    pub(super) delay: Duration,
}

/// Why a client is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its identifier is too long, or empty with a session to keep.
    ClientId,
    /// It wants an extended authentication, of which there is none.
    AuthenticationMethod,
    /// Its will is of a QoS that MQTT 5 clients are told not to use.
    WillQos,
    /// Its will goes to no topic.
    WillTopic,
    /// There is no such user, or the password is wrong.
    Credentials,
    /// It does not say who it is, or its will goes to a topic that it may not publish to.
    NotAuthorized,
    /// There were too many wrong passwords of late.
    TooManyGuesses,
    /// Too many others are to be let in before.
    Busy,
}

impl Refusal {
    /// The same as the protocol's error.
    pub(super) fn error(self) -> MqttError {
        match self {
            Self::ClientId => MqttError::ClientIdentifierNotValid,
            Self::AuthenticationMethod => MqttError::BadAuthenticationMethod,
            Self::WillQos => MqttError::QosNotSupported,
            Self::WillTopic => MqttError::TopicNameInvalid,
            Self::Credentials => MqttError::BadUserNameOrPassword,
            Self::NotAuthorized => MqttError::NotAuthorized,
            Self::TooManyGuesses => MqttError::ConnectionRateExceeded,
            Self::Busy => MqttError::ServerBusy,
        }
    }

    /// The reason in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ClientId => "client_id",
            Self::AuthenticationMethod => "authentication_method",
            Self::WillQos | Self::WillTopic => "will",
            Self::Credentials => "credentials",
            Self::NotAuthorized => "not_authorized",
            Self::TooManyGuesses => "too_many_guesses",
            Self::Busy => "busy",
        }
    }
}

impl Password {
    /// It is not needed any more.
    pub(super) fn forget(&mut self) {
        self.0 = Vec::new();
    }

    /// What came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("••••••")
    }
}

impl SessionExpiry {
    /// The time granted, at most `max`.
    pub(super) fn granted(self, max: Duration) -> Duration {
        match self {
            Self::Unsaid => max,
            Self::Secs(secs) => max.min(Duration::from_secs(secs.into())),
        }
    }

    /// Whether the client asked for more than `max_secs`, and so must be told.
    pub(super) fn exceeds(self, max_secs: u32) -> bool {
        match self {
            Self::Unsaid => false,
            Self::Secs(secs) => secs > max_secs,
        }
    }
}

/// Reads an MQTT 3.1.1 CONNECT.
///
/// # Errors
/// When the client is to be turned away.
pub(super) fn from_v3_1_1(connect: &v3_1_1::Connect) -> Result<Greeting, Refusal> {
    let (start, session_expiry) = match connect.clean_session() {
        true => (Start::Clean, SessionExpiry::Secs(0)),
        false => (Start::Resume, SessionExpiry::Unsaid),
    };
    if connect.client_id().is_empty() && start == Start::Resume {
        return Err(Refusal::ClientId);
    }
    let will = connect.will_topic().map(|topic| Will {
        arrival: Arrival {
            topic: topic.to_owned(),
            qos: connect.will_qos() as u8,
            retain: connect.will_retain(),
            dup: false,
            properties: Map::new(),
            annotations: Vec::new(),
            payload: Bytes::copy_from_slice(connect.will_payload().unwrap_or_default()),
        },
        delay: Duration::ZERO,
    });
    Ok(Greeting {
        client_id: client_id(connect.client_id())?,
        username: connect.user_name().map(str::to_owned),
        password: Password(connect.password().unwrap_or_default().to_vec()),
        tell_client_id: false,
        start,
        session_expiry,
        will: checked(will)?,
    })
}

/// Reads an MQTT 5 CONNECT.
///
/// # Errors
/// When the client is to be turned away.
pub(super) fn from_v5_0(connect: &v5_0::Connect) -> Result<Greeting, Refusal> {
    if connect.props().iter().any(|property| matches!(property, Property::AuthenticationMethod(_))) {
        return Err(Refusal::AuthenticationMethod);
    }
    let expiry_secs = connect.props().iter().find_map(|property| {
        let Property::SessionExpiryInterval(expiry) = property else { return None };
        Some(expiry.val())
    });
    if connect.will_flag() && connect.will_qos() == Qos::ExactlyOnce {
        return Err(Refusal::WillQos);
    }
    let will_delay = connect.will_props().iter().find_map(|property| {
        let Property::WillDelayInterval(delay) = property else { return None };
        Some(Duration::from_secs(delay.val().into()))
    });
    let will = connect.will_topic().map(|topic| Will {
        arrival: Arrival {
            topic: topic.to_owned(),
            qos: connect.will_qos() as u8,
            retain: connect.will_retain(),
            dup: false,
            properties: user_properties(connect.will_props()),
            annotations: annotations(connect.will_props()),
            payload: Bytes::copy_from_slice(connect.will_payload().unwrap_or_default()),
        },
        delay: will_delay.unwrap_or_default(),
    });
    Ok(Greeting {
        client_id: client_id(connect.client_id())?,
        username: connect.user_name().map(str::to_owned),
        password: Password(connect.password().unwrap_or_default().to_vec()),
        tell_client_id: connect.client_id().is_empty(),
        start: if connect.clean_start() { Start::Clean } else { Start::Resume },
        session_expiry: SessionExpiry::Secs(expiry_secs.unwrap_or_default()),
        will: checked(will)?,
    })
}

fn client_id(asked: &str) -> Result<String, Refusal> {
    match asked.len() {
        0 => Ok(format!("vitalwire-{}", Uuid::new_v4().simple())),
        1..=CLIENT_ID_MAX_BYTES => Ok(asked.to_owned()),
        _ => Err(Refusal::ClientId),
    }
}

fn checked(will: Option<Will>) -> Result<Option<Will>, Refusal> {
    match will {
        Some(will) if !is_topic_name(&will.arrival.topic) => Err(Refusal::WillTopic),
        will => Ok(will),
    }
}
