//! From the configuration of the MQTT listener to its settings.

use std::io::ErrorKind;
use std::num::NonZeroU16;
use std::time::Duration;

use super::mqtt::packet_bytes;
use super::sockets::Sockets;
use crate::app::AppError;
use crate::app::settings::CONNECT_TIMEOUT;
use crate::clock::Clock;
use crate::config::{MqttListenerConfig, ServerTlsConfig};
use crate::sources::mqtt_listener::access::{Access, AccessError, AccessSettings};
use crate::sources::mqtt_listener::tls::{ServerTls, ServerTlsError, ServerTlsSettings};
use crate::sources::mqtt_listener::{Listener, ListenerSettings};
use crate::sources::websocket::WebSocketSettings;

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
    let settings =
        listener(config).map_err(|cause| AppError::MqttListenerTls { connector: connector.to_owned(), cause })?;
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
///
/// # Errors
/// When its connections are to be encrypted and cannot be.
fn listener(listener: &MqttListenerConfig) -> Result<ListenerSettings, ServerTlsError> {
    let packet_max_bytes = packet_bytes(listener.message_bytes_max);
    Ok(ListenerSettings {
        address: listener.listen,
        tls: listener.tls.as_ref().map(tls).transpose()?,
        websocket: listener.websocket.then(|| WebSocketSettings {
            message_bytes_max: usize::try_from(packet_max_bytes.get()).unwrap_or(usize::MAX),
            origins: trusted_origins(listener),
        }),
        connections_max: listener.connections_max,
        connections_per_second_max: listener.connections_per_second_max,
        messages_per_second_max: listener.messages_per_second_max,
        sessions_max: SESSIONS_MAX,
        in_flight_max: NonZeroU16::new(u16::try_from(listener.in_flight_max).unwrap_or(u16::MAX))
            .unwrap_or(NonZeroU16::MIN),
        message_bytes_max: listener.message_bytes_max,
        split_arrays: listener.split_arrays,
        packet_max_bytes,
        connect_timeout: CONNECT_TIMEOUT,
        session_expiry_max: SESSION_EXPIRY_MAX,
    })
}

fn tls(tls: &ServerTlsConfig) -> Result<ServerTls, ServerTlsError> {
    ServerTls::new(&ServerTlsSettings { identity: tls.identity.clone(), client_authorities: tls.client_ca.clone() })
}

/// Where every device must give a password, a page can do no more than whoever opens it. Certificates a browser shows by
/// itself, whichever page asks.
fn trusted_origins(listener: &MqttListenerConfig) -> Vec<String> {
    let wants_passwords = listener.password_file.is_some() && !listener.anonymous;
    if wants_passwords { vec!["*".to_owned()] } else { listener.origins.clone() }
}

/// Whom the listener lets in.
///
/// # Errors
/// When a file cannot be read, and every line of it that is wrong.
pub(crate) fn access(listener: &MqttListenerConfig) -> Result<Access, AccessError> {
    Access::open(&AccessSettings {
        password_file: listener.password_file.clone(),
        anonymous: listener.anonymous,
        certificates: listener.wants_certificates(),
        topics: listener.topics.clone(),
        acl_file: listener.acl_file.clone(),
    })
}
