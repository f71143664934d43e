//! The packets a listener says, in the version its client speaks.

use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumQos, Packet, Property, ReceiveMaximum, SessionExpiryInterval, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, MqttError, PubackReasonCode, PubcompReasonCode, SubackReasonCode,
    SubackReturnCode, UnsubackReasonCode,
};

use super::greeting::{Greeting, Refusal};

/// CONNACK of MQTT 3.1.1 with return code 1, for a client that speaks neither version.
pub(super) const UNACCEPTABLE_PROTOCOL_VERSION: [u8; 4] = [0x20, 0x02, 0x00, 0x01];

type Reply = Result<Packet, MqttError>;

/// What a client is told when it is let in.
pub(super) struct Admission<'a> {
    /// What it asked.
    pub(super) greeting: &'a Greeting,
    /// Whether its former session goes on.
    pub(super) session_present: bool,
    /// Most publications it may have unanswered.
    pub(super) receive_max: u16,
    /// Longest time a session is kept, in seconds.
    pub(super) session_expiry_max_secs: u32,
}

/// CONNACK for a client that is let in.
pub(super) fn admission(version: Version, admission: &Admission<'_>) -> Reply {
    match version {
        Version::V5_0 => Ok(v5_0::Connack::builder()
            .session_present(admission.session_present)
            .reason_code(ConnectReasonCode::Success)
            .props(admission.properties()?)
            .build()?
            .into()),
        Version::V3_1_1 | Version::Undetermined => Ok(v3_1_1::Connack::builder()
            .session_present(admission.session_present)
            .return_code(ConnectReturnCode::Accepted)
            .build()?
            .into()),
    }
}

impl Admission<'_> {
    /// Maximum Packet Size is added by the state machine; Topic Alias Maximum is 0 when absent.
    fn properties(&self) -> Result<Vec<Property>, MqttError> {
        let mut properties: Vec<Property> =
            vec![MaximumQos::new(1)?.into(), ReceiveMaximum::new(self.receive_max)?.into()];
        if self.greeting.session_expiry.exceeds(self.session_expiry_max_secs) {
            properties.push(SessionExpiryInterval::new(self.session_expiry_max_secs)?.into());
        }
        if self.greeting.tell_client_id {
            properties.push(AssignedClientIdentifier::new(self.greeting.client_id.as_str())?.into());
        }
        Ok(properties)
    }
}

/// CONNACK for a client that is turned away.
pub(super) fn refusal(version: Version, refusal: Refusal) -> Reply {
    match version {
        Version::V5_0 => {
            let reason = match refusal {
                Refusal::ClientId => ConnectReasonCode::ClientIdentifierNotValid,
                Refusal::AuthenticationMethod => ConnectReasonCode::BadAuthenticationMethod,
                Refusal::WillQos => ConnectReasonCode::QosNotSupported,
                Refusal::WillTopic => ConnectReasonCode::TopicNameInvalid,
                Refusal::Credentials => ConnectReasonCode::BadUserNameOrPassword,
                Refusal::NotAuthorized => ConnectReasonCode::NotAuthorized,
                Refusal::TooManyGuesses => ConnectReasonCode::ConnectionRateExceeded,
                Refusal::Busy => ConnectReasonCode::ServerBusy,
            };
            Ok(v5_0::Connack::builder().session_present(false).reason_code(reason).build()?.into())
        }
        Version::V3_1_1 | Version::Undetermined => {
            let code = match refusal {
                Refusal::ClientId => ConnectReturnCode::IdentifierRejected,
                Refusal::Credentials => ConnectReturnCode::BadUserNameOrPassword,
                Refusal::TooManyGuesses | Refusal::Busy => ConnectReturnCode::ServerUnavailable,
                Refusal::AuthenticationMethod | Refusal::WillQos | Refusal::WillTopic | Refusal::NotAuthorized => {
                    ConnectReturnCode::NotAuthorized
                }
            };
            Ok(v3_1_1::Connack::builder().session_present(false).return_code(code).build()?.into())
        }
    }
}

/// PUBACK.
pub(super) fn puback(version: Version, packet_id: u16) -> Reply {
    match version {
        Version::V5_0 => Ok(v5_0::Puback::builder().packet_id(packet_id).build()?.into()),
        Version::V3_1_1 | Version::Undetermined => Ok(v3_1_1::Puback::builder().packet_id(packet_id).build()?.into()),
    }
}

/// PUBACK that refuses, in MQTT 5, which alone can.
pub(super) fn not_authorized(packet_id: u16) -> Reply {
    Ok(v5_0::Puback::builder().packet_id(packet_id).reason_code(PubackReasonCode::NotAuthorized).build()?.into())
}

/// PUBREC.
pub(super) fn pubrec(version: Version, packet_id: u16) -> Reply {
    match version {
        Version::V5_0 => Ok(v5_0::Pubrec::builder().packet_id(packet_id).build()?.into()),
        Version::V3_1_1 | Version::Undetermined => Ok(v3_1_1::Pubrec::builder().packet_id(packet_id).build()?.into()),
    }
}

/// The packet identifier, if the packet is a PUBREC.
pub(super) fn pubrec_id(packet: &Packet) -> Option<u16> {
    if let Packet::V3_1_1Pubrec(pubrec) = packet {
        return Some(pubrec.packet_id());
    }
    if let Packet::V5_0Pubrec(pubrec) = packet {
        return Some(pubrec.packet_id());
    }
    None
}

/// PUBCOMP; MQTT 3.1.1 has no words for `reason`.
pub(super) fn pubcomp(version: Version, packet_id: u16, reason: PubcompReasonCode) -> Reply {
    match version {
        Version::V5_0 => Ok(v5_0::Pubcomp::builder().packet_id(packet_id).reason_code(reason).build()?.into()),
        Version::V3_1_1 | Version::Undetermined => Ok(v3_1_1::Pubcomp::builder().packet_id(packet_id).build()?.into()),
    }
}

/// SUBACK that refuses each of `filters` filters: nobody is authorized to subscribe, for there is nothing to receive.
pub(super) fn refused_filters_v5_0(packet_id: u16, filters: usize) -> Reply {
    let codes = vec![SubackReasonCode::NotAuthorized; filters];
    Ok(v5_0::Suback::builder().packet_id(packet_id).reason_codes(codes).build()?.into())
}

/// As `refused_filters_v5_0`, with the one failure code MQTT 3.1.1 has.
pub(super) fn refused_filters_v3_1_1(packet_id: u16, filters: usize) -> Reply {
    let codes = vec![SubackReturnCode::Failure; filters];
    Ok(v3_1_1::Suback::builder().packet_id(packet_id).return_codes(codes).build()?.into())
}

/// UNSUBACK that says for each of `filters` filters that no subscription existed.
pub(super) fn unsubscribed_v5_0(packet_id: u16, filters: usize) -> Reply {
    let codes = vec![UnsubackReasonCode::NoSubscriptionExisted; filters];
    Ok(v5_0::Unsuback::builder().packet_id(packet_id).reason_codes(codes).build()?.into())
}

/// UNSUBACK of MQTT 3.1.1.
pub(super) fn unsubscribed_v3_1_1(packet_id: u16) -> Reply {
    Ok(v3_1_1::Unsuback::builder().packet_id(packet_id).build()?.into())
}
