//! Why a connection to a broker ends or never comes to be, in words fit for a log: no payload, no topic, no credentials.

use std::io;

use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError};

use crate::sources::ledger::Abandoned;

/// Why a connection ended. All of it is tried again; what only a person can mend says how.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The broker cannot be reached, or the connection broke.
    #[error("no connection: {0}")]
    Io(io::Error),
    /// The broker's certificate is not one we trust, or not for the name we know it by.
    #[error("the broker is not trusted ({0}): check `host`, `tls.server_name` and `tls.ca_file`")]
    Untrusted(rustls::CertificateError),
    /// The broker ends the TLS connection, mostly for want of a certificate that it trusts.
    #[error("the broker refuses the TLS connection ({0:?}): check `tls.certificate_file` and `tls.key_file`")]
    TlsRefused(rustls::AlertDescription),
    /// What the broker says is no TLS.
    #[error("the broker does not speak TLS at this port: check `port`, or leave out `tls`")]
    NotTls,
    /// The broker closed before it said a word, as it does when it wants TLS, or another certificate.
    #[error("the broker closed the connection without an answer: check {0}")]
    TurnedAway(&'static str),
    /// No CONNACK in time.
    #[error("the broker did not answer in time")]
    NoAnswer,
    /// Whoever listens there is no MQTT broker.
    #[error("the broker answered with something other than CONNACK")]
    NotConnack,
    /// CONNACK that refuses.
    #[error("the broker refuses the connection: {0}")]
    Refused(String),
    /// SUBACK that refuses some filters: their numbers, each with its reason.
    #[error("the broker refuses filter {0} of `topics`: check them, and what the user may subscribe to")]
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
    /// What kept a connection from being made, and encrypted.
    pub(super) fn of_connecting(error: io::Error) -> Self {
        // Brokers hang up on what is not MQTT.
        let hung_up = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof);
        if hung_up { Self::NotTls } else { Self::of_io(error) }
    }

    /// What broke a connection.
    pub(super) fn of_io(error: io::Error) -> Self {
        match error.get_ref().and_then(|cause| cause.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(cause)) => Self::Untrusted(cause.clone()),
            Some(rustls::Error::AlertReceived(alert)) => Self::TlsRefused(*alert),
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            Some(_) | None => Self::Io(error),
        }
    }

    /// The same, for a connection that the broker has not taken yet.
    pub(super) fn before_connack(self, is_encrypted: bool) -> Self {
        let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        let hung_up = matches!(self, Self::Closed) || matches!(&self, Self::Io(error) if is_reset(error));
        if !hung_up {
            return self;
        }
        Self::TurnedAway(if is_encrypted {
            "`tls.certificate_file` and `tls.key_file`, and whether the broker lets `client_id` in"
        } else {
            "`port`, and whether the broker wants `tls`"
        })
    }

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
