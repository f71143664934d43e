//! From the configuration of the MQTT subscriber to its settings.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::app::settings::CONNECT_TIMEOUT;
use crate::config::{MqttConfig, MqttProtocol, MqttQos, MqttTls};
use crate::sources::mqtt::{
    Credentials, Protocol, Quality, SOURCE, SessionUse, SubscriberSettings, Subscription, Will,
};
use crate::sources::tls::{ClientTls, TlsError, TlsSettings};

/// Messages up to this size are read whatever their bound.
const MESSAGE_BYTES_READ_MIN: usize = 16 << 20;
/// Topic and properties of a message, and what frames them.
const PACKET_OVERHEAD_BYTES_MAX: usize = 256 << 10;
/// Largest packet MQTT has.
const PACKET_BYTES_MAX: u32 = 268_435_455;

/// What the subscriber is told.
///
/// # Errors
/// When its connection is to be encrypted and cannot be.
pub(crate) fn subscriber(mqtt: &MqttConfig) -> Result<SubscriberSettings, TlsError> {
    Ok(SubscriberSettings {
        name: SOURCE.to_owned(),
        host: mqtt.host.clone(),
        port: mqtt.port,
        tls: mqtt.tls.as_ref().map(tls).transpose()?,
        protocol: match mqtt.protocol {
            MqttProtocol::V3 => Protocol::V3_1_1,
            MqttProtocol::V5 => Protocol::V5_0,
        },
        client_id: mqtt.client_id.clone(),
        credentials: mqtt.credentials.clone().map(|(username, password)| Credentials { username, password }),
        session: SessionUse::Resumed,
        topics: topics(mqtt),
        quality: match mqtt.qos {
            MqttQos::Zero => Quality::AtMostOnce,
            MqttQos::One | MqttQos::Two => Quality::AtLeastOnce,
        },
        keep_alive: mqtt.keep_alive.max(Duration::from_secs(1)),
        connect_timeout: CONNECT_TIMEOUT,
        session_expiry: mqtt.session_expiry,
        will: will(mqtt),
        in_flight_max: NonZeroUsize::new(mqtt.in_flight_max).unwrap_or(NonZeroUsize::MIN),
        message_bytes_max: mqtt.message_bytes_max,
        split_arrays: mqtt.split_arrays,
        packet_max_bytes: packet_bytes(mqtt.message_bytes_max),
        backoff_min: Duration::from_millis(250),
        backoff_max: Duration::from_secs(30),
    })
}

/// The same for each of its connections. The broker publishes one will, when the first of them is gone: a process that is
/// gone has lost all.
///
/// # Errors
/// As `subscriber`.
pub(super) fn subscribers(mqtt: &MqttConfig) -> Result<Vec<SubscriberSettings>, TlsError> {
    let first = subscriber(mqtt)?;
    let connections = mqtt.client_ids().zip(1..).map(|(client_id, number)| match number {
        1 => first.clone(),
        number => SubscriberSettings { name: format!("{SOURCE}.c{number}"), client_id, will: None, ..first.clone() },
    });
    Ok(connections.collect())
}

fn topics(mqtt: &MqttConfig) -> Vec<Subscription> {
    let topics = mqtt.topics.iter().cloned();
    topics.map(|topic| Subscription { filter: topic.filter, captures: topic.captures }).collect()
}

fn will(mqtt: &MqttConfig) -> Option<Will> {
    let will = mqtt.will.clone()?;
    let qos = match will.qos {
        MqttQos::Zero => 0,
        MqttQos::One => 1,
        MqttQos::Two => 2,
    };
    Some(Will { topic: will.topic, payload: will.payload, qos, retain: will.retain })
}

fn tls(tls: &MqttTls) -> Result<ClientTls, TlsError> {
    ClientTls::new(&TlsSettings {
        server_name: tls.server_name.clone(),
        authorities: tls.certificates.ca.clone(),
        identity: tls.certificates.identity.clone(),
    })
}

/// The packet around a message of the largest size, and more: what is larger than a message may be should still be
/// taken, if only to be put among the dead letters, because a broker offers it again until it is.
pub(super) fn packet_bytes(message_bytes_max: usize) -> NonZeroU32 {
    let bytes = message_bytes_max.max(MESSAGE_BYTES_READ_MIN).saturating_add(PACKET_OVERHEAD_BYTES_MAX);
    NonZeroU32::new(u32::try_from(bytes).unwrap_or(u32::MAX).min(PACKET_BYTES_MAX)).unwrap_or(NonZeroU32::MIN)
}
