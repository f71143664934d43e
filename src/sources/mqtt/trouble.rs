//! Why a connection to a broker ends or never comes to be, in words fit for a log: no payload, no topic, no credentials.

use std::io;

use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError};

use crate::sources::ledger::Abandoned;

/// Why a connection ended. All of it is tried again; what only a person can mend says how.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The broker cannot be reached, or the connection broke.
    #[error("no connection: {0}")]
    Io(io::Error),
    /// No CONNACK in time.
    #[error("the broker did not answer in time")]
    NoAnswer,
    /// Whoever listens there is no MQTT broker.
    #[error("the broker answered with something other than CONNACK")]
    NotConnack,
    /// CONNACK that refuses.
    #[error("the broker refuses the connection: {0}")]
    Refused(String),
    /// SUBACK that refuses at least one filter, with its reason.
    #[error("the broker refuses the subscription ({0}): check `topics`, and what the user may read")]
    NotSubscribed(String),
    /// The one trouble that does not end by itself: the broker offers the same message on every connection.
    #[error(
        "a message is larger than the {max_bytes} bytes that are read, and nothing behind it arrives: raise \
         `message_bytes_max` of this source, or delete the message at the broker"
    )]
    TooLarge {
        /// Largest packet that is read.
        max_bytes: u32,
    },
    /// The broker breaks the rules.
    #[error("the broker breaks the rules of MQTT: {0}")]
    Protocol(MqttError),
    /// What is to be said cannot be said in MQTT, or not to this broker.
    #[error("the broker cannot be asked: {0}")]
    Unsayable(MqttError),
    /// DISCONNECT from the broker (MQTT 5).
    #[error("the broker ended the connection: {0}")]
    Dismissed(DisconnectReasonCode),
    /// The broker closed without a word.
    #[error("the broker closed the connection")]
    Closed,
    /// Nothing came from the broker, not even an answer to a ping.
    #[error("the broker was silent for longer than the keep-alive allows")]
    Silent,
    /// The broker takes no acknowledgements.
    #[error("the broker takes nothing that is sent to it")]
    Stuck,
    /// A message is to be offered again.
    #[error("{0}")]
    Abandoned(#[from] Abandoned),
}

impl Trouble {
    /// CONNACK of MQTT 3.1.1 that refuses.
    pub(super) fn refused_v3_1_1(code: ConnectReturnCode) -> Self {
        Self::refused_v5_0(match code {
            ConnectReturnCode::Accepted => ConnectReasonCode::Success,
            ConnectReturnCode::UnacceptableProtocolVersion => ConnectReasonCode::UnsupportedProtocolVersion,
            ConnectReturnCode::IdentifierRejected => ConnectReasonCode::ClientIdentifierNotValid,
            ConnectReturnCode::ServerUnavailable => ConnectReasonCode::ServerUnavailable,
            ConnectReturnCode::BadUserNameOrPassword => ConnectReasonCode::BadUserNameOrPassword,
            ConnectReturnCode::NotAuthorized => ConnectReasonCode::NotAuthorized,
        })
    }

    /// CONNACK of MQTT 5 that refuses.
    pub(super) fn refused_v5_0(code: ConnectReasonCode) -> Self {
        use ConnectReasonCode as Code;
        let mend = match code {
            Code::BadUserNameOrPassword | Code::NotAuthorized => ": check `username` and `password`",
            Code::UnsupportedProtocolVersion => ": choose the other `protocol` version",
            Code::ClientIdentifierNotValid => ": choose another `client_id`",
            Code::ServerUnavailable | Code::ServerBusy | Code::ConnectionRateExceeded => ": it may take it later",
            Code::Success
            | Code::UnspecifiedError
            | Code::MalformedPacket
            | Code::ProtocolError
            | Code::ImplementationSpecificError
            | Code::Banned
            | Code::BadAuthenticationMethod
            | Code::TopicNameInvalid
            | Code::PacketTooLarge
            | Code::QuotaExceeded
            | Code::PayloadFormatInvalid
            | Code::RetainNotSupported
            | Code::QosNotSupported
            | Code::UseAnotherServer
            | Code::ServerMoved => "",
        };
        Self::Refused(format!("{code}{mend}"))
    }
}
