//! From the configuration of the MQTT listener to its settings.

use std::num::NonZeroU16;
use std::time::Duration;

use super::mqtt::packet_bytes;
use crate::app::settings::CONNECT_TIMEOUT;
use crate::config::MqttListenerConfig;
use crate::sources::mqtt_listener::ListenerSettings;

/// Sessions of devices that are away, remembered by a listener.
const SESSIONS_MAX: usize = 100_000;
/// Longest time such a session is remembered.
const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What the listener is told.
pub(super) fn listener(listener: &MqttListenerConfig) -> ListenerSettings {
    ListenerSettings {
        address: listener.listen,
        connections_max: listener.connections_max,
        sessions_max: SESSIONS_MAX,
        in_flight_max: NonZeroU16::new(u16::try_from(listener.in_flight_max).unwrap_or(u16::MAX))
            .unwrap_or(NonZeroU16::MIN),
        message_bytes_max: listener.message_bytes_max,
        split_arrays: listener.split_arrays,
        packet_max_bytes: packet_bytes(listener.message_bytes_max),
        connect_timeout: CONNECT_TIMEOUT,
        session_expiry_max: SESSION_EXPIRY_MAX,
    }
}
