//! The packets a subscriber says, in the version its broker speaks.

use std::collections::BTreeSet;
use std::time::Duration;

use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, Packet, Property, Qos, ReceiveMaximum, RetainHandling, SessionExpiryInterval, SubEntry, SubOpts,
    v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError};

use super::{Quality, SessionUse, SubscriberSettings, Subscription, Will};

type Request = Result<Packet, MqttError>;

/// What CONNECT tells an MQTT 5 broker of our window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// Receive Maximum.
    Told,
    /// Nothing.
    Untold,
}

/// CONNECT that resumes the session of the settings' client.
pub(super) fn connect(version: Version, settings: &SubscriberSettings, window: Window) -> Request {
    let keep_alive = u16::try_from(settings.keep_alive.max(Duration::from_secs(1)).as_secs()).unwrap_or(u16::MAX);
    match version {
        Version::V5_0 => {
            let mut connect = v5_0::Connect::builder()
                .client_id(settings.client_id.as_str())?
                .clean_start(settings.session == SessionUse::Once)
                .keep_alive(keep_alive)
                .props(properties(settings, window)?);
            if let Some(will) = &settings.will {
                connect =
                    connect.will_message(will.topic.as_str(), will.payload.as_str(), will_qos(will)?, will.retain)?;
            }
            if let Some(credentials) = &settings.credentials {
                connect = connect.user_name(credentials.username.as_str())?.password(credentials.password.expose())?;
            }
            Ok(connect.build()?.into())
        }
        Version::V3_1_1 | Version::Undetermined => {
            let mut connect = v3_1_1::Connect::builder()
                .client_id(settings.client_id.as_str())?
                .clean_session(settings.session == SessionUse::Once)
                .keep_alive(keep_alive);
            if let Some(will) = &settings.will {
                connect =
                    connect.will_message(will.topic.as_str(), will.payload.as_str(), will_qos(will)?, will.retain)?;
            }
            if let Some(credentials) = &settings.credentials {
                connect = connect.user_name(credentials.username.as_str())?.password(credentials.password.expose())?;
            }
            Ok(connect.build()?.into())
        }
    }
}

fn will_qos(will: &Will) -> Result<Qos, MqttError> {
    Qos::try_from(will.qos).map_err(|_not_one| MqttError::QosNotSupported)
}

fn properties(settings: &SubscriberSettings, window: Window) -> Result<Vec<Property>, MqttError> {
    let expiry_secs = match settings.session {
        SessionUse::Resumed => u32::try_from(settings.session_expiry.as_secs()).unwrap_or(u32::MAX),
        SessionUse::Once => 0,
    };
    let mut properties: Vec<Property> = vec![
        SessionExpiryInterval::new(expiry_secs)?.into(),
        MaximumPacketSize::new(settings.packet_max_bytes.get())?.into(),
    ];
    if window == Window::Told {
        let receive_max = u16::try_from(settings.in_flight_max.get()).unwrap_or(u16::MAX);
        properties.push(ReceiveMaximum::new(receive_max)?.into());
    }
    Ok(properties)
}

/// SUBSCRIBE. Retained messages come with a new subscription only, and say that they are retained.
pub(super) fn subscribe(version: Version, packet_id: u16, settings: &SubscriberSettings) -> Request {
    let filters = &settings.topics;
    let plain = SubOpts::new().set_qos(match settings.quality {
        Quality::AtMostOnce => Qos::AtMostOnce,
        Quality::AtLeastOnce => Qos::AtLeastOnce,
    });
    match version {
        Version::V5_0 => {
            let options = plain.set_rap(true).set_rh(match settings.session {
                SessionUse::Resumed => RetainHandling::SendRetainedIfNotExists,
                SessionUse::Once => RetainHandling::DoNotSendRetained,
            });
            Ok(v5_0::Subscribe::builder().packet_id(packet_id).entries(entries(filters, options)?).build()?.into())
        }
        Version::V3_1_1 | Version::Undetermined => {
            Ok(v3_1_1::Subscribe::builder().packet_id(packet_id).entries(entries(filters, plain)?).build()?.into())
        }
    }
}

fn entries(subscriptions: &[Subscription], options: SubOpts) -> Result<Vec<SubEntry>, MqttError> {
    subscriptions.iter().map(|subscription| SubEntry::new(subscription.filter.as_str(), options)).collect()
}

/// UNSUBSCRIBE.
pub(super) fn unsubscribe(version: Version, packet_id: u16, filters: &BTreeSet<String>) -> Request {
    let filters = filters.iter().map(String::as_str);
    match version {
        Version::V5_0 => Ok(v5_0::Unsubscribe::builder().packet_id(packet_id).entries(filters)?.build()?.into()),
        Version::V3_1_1 | Version::Undetermined => {
            Ok(v3_1_1::Unsubscribe::builder().packet_id(packet_id).entries(filters)?.build()?.into())
        }
    }
}

/// PUBACK.
pub(super) fn puback(version: Version, packet_id: u16) -> Request {
    match version {
        Version::V5_0 => Ok(v5_0::Puback::builder().packet_id(packet_id).build()?.into()),
        Version::V3_1_1 | Version::Undetermined => Ok(v3_1_1::Puback::builder().packet_id(packet_id).build()?.into()),
    }
}

/// PINGREQ.
pub(super) fn ping(version: Version) -> Request {
    match version {
        Version::V5_0 => Ok(v5_0::Pingreq::builder().build()?.into()),
        Version::V3_1_1 | Version::Undetermined => Ok(v3_1_1::Pingreq::builder().build()?.into()),
    }
}

/// DISCONNECT; MQTT 3.1.1 has no words for `reason`.
pub(super) fn disconnect(version: Version, reason: Option<DisconnectReasonCode>) -> Request {
    match (version, reason) {
        (Version::V5_0, Some(reason)) => Ok(v5_0::Disconnect::builder().reason_code(reason).build()?.into()),
        (Version::V5_0, None) => Ok(v5_0::Disconnect::builder().build()?.into()),
        (Version::V3_1_1 | Version::Undetermined, _) => Ok(v3_1_1::Disconnect::builder().build()?.into()),
    }
}
