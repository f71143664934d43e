//! From the configuration of the MQTT listener to its settings.

use std::io::ErrorKind;
use std::num::NonZeroU16;
use std::time::Duration;

use super::mqtt::packet_bytes;
use super::sockets::Sockets;
use crate::app::AppError;
use crate::app::settings::CONNECT_TIMEOUT;
use crate::clock::Clock;
use crate::config::MqttListenerConfig;
use crate::sources::mqtt_listener::access::{Access, AccessError, AccessSettings};
use crate::sources::mqtt_listener::{Listener, ListenerSettings};

/// Sessions of devices that are away, remembered by a listener.
const SESSIONS_MAX: usize = 100_000;
/// Longest time such a session is remembered.
const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Takes the port from a connector that is to go, or binds it.
pub(super) async fn bind(
    connector: &str,
    config: &MqttListenerConfig,
    clock: &Clock,
    sockets: &mut Sockets,
) -> Result<Listener, AppError> {
    let access = access(config).map_err(|cause| AppError::MqttAccess { connector: connector.to_owned(), cause })?;
    let settings = listener(config);
    let bound = match sockets.take(connector, settings.address) {
        Some(socket) => Listener::on(socket, settings, access, clock.clone()),
        None => Listener::bind(settings, access, clock.clone()).await,
    };
    bound.map_err(|cause| match sockets.in_the_way(config.listen) {
        Some((holder, held)) if cause.source.kind() == ErrorKind::AddrInUse => {
            let (connector, holder) = (connector.to_owned(), holder.to_string());
            AppError::PortHeld { connector, address: config.listen, holder, held }
        }
        _ => AppError::MqttAddress { connector: connector.to_owned(), cause },
    })
}

/// What the listener is told.
fn listener(listener: &MqttListenerConfig) -> ListenerSettings {
    ListenerSettings {
        address: listener.listen,
        connections_max: listener.connections_max,
        connections_per_second_max: listener.connections_per_second_max,
        messages_per_second_max: listener.messages_per_second_max,
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

/// Whom the listener lets in.
///
/// # Errors
/// When a file cannot be read, and every line of it that is wrong.
pub(crate) fn access(listener: &MqttListenerConfig) -> Result<Access, AccessError> {
    Access::open(&AccessSettings {
        password_file: listener.password_file.clone(),
        anonymous: listener.anonymous,
        certificates: false,
        topics: listener.topics.clone(),
        acl_file: listener.acl_file.clone(),
    })
}
