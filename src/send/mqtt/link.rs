//! One connection that publishes, through `rumqttc`, the same for MQTT 3.1.1 and 5.
//!
//! Each link is a fresh client with a clean session: which messages must be published again is known to the caller, and
//! not left to a client that forgets them when the broker forgot the session.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use rumqttc::{NetworkOptions, Outgoing, TlsConfiguration, Transport, v5};
use uuid::Uuid;

use super::target::{Target, Version};
use crate::sources::tls::ClientTls;

/// Largest packet MQTT has, in bytes.
const PACKET_MAX_BYTES: u32 = 268_435_455;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT_SECS: u64 = 10;

/// A connection to the broker. The event loop lives in a stream that is never dropped halfway, because a publication it was
/// about to write would be lost with it.
pub(super) struct Link {
    client: Client,
    news: Pin<Box<dyn Stream<Item = Result<News, String>> + Send>>,
}

enum Client {
    V3_1_1(rumqttc::AsyncClient),
    V5_0(v5::AsyncClient),
}

/// What happened on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The broker took the connection.
    Connected,
    /// The oldest publication requested went out under this packet id.
    Published(u16),
    /// The publication with this packet id was acknowledged.
    Acknowledged(u16),
    /// The broker does not want the publication.
    Refused(String),
    /// DISCONNECT went out.
    Disconnected,
    /// Anything else.
    Other,
}

impl Link {
    /// A link that connects when `next` is first waited for, with at most `window` publications requested at a time.
    pub(super) fn new(target: &Target, tls: Option<&ClientTls>, window: u16) -> Self {
        let client_id = format!("vitalwire-send-{}", Uuid::new_v4().simple());
        let transport = match tls {
            Some(tls) => Transport::tls_with_config(TlsConfiguration::Rustls(tls.config())),
            None => Transport::tcp(),
        };
        match target.version {
            Version::V3_1_1 => Self::v3_1_1(target, transport, window, client_id),
            Version::V5_0 => Self::v5_0(target, transport, window, client_id),
        }
    }

    fn v3_1_1(target: &Target, transport: Transport, window: u16, client_id: String) -> Self {
        let mut options = rumqttc::MqttOptions::new(client_id, &target.address.host, target.address.port);
        let packet_max = usize::try_from(PACKET_MAX_BYTES).unwrap_or(usize::MAX);
        options.set_keep_alive(KEEP_ALIVE).set_inflight(window).set_max_packet_size(packet_max, packet_max);
        options.set_transport(transport);
        if let Some((username, password)) = &target.address.login {
            options.set_credentials(username, password.expose());
        }
        let (client, mut events) = rumqttc::AsyncClient::new(options, requests_max(window));
        events.set_network_options(network_options());
        let news = stream::unfold(events, |mut events| async {
            let news = events.poll().await.map(|event| news_v3_1_1(&event));
            Some((news.map_err(|error| trouble_v3_1_1(&error)), events))
        });
        Self { client: Client::V3_1_1(client), news: Box::pin(news) }
    }

    fn v5_0(target: &Target, transport: Transport, window: u16, client_id: String) -> Self {
        let mut options = v5::MqttOptions::new(client_id, &target.address.host, target.address.port);
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_connection_timeout(CONNECT_TIMEOUT_SECS)
            .set_network_options(network_options())
            .set_outgoing_inflight_upper_limit(window)
            .set_transport(transport);
        if let Some((username, password)) = &target.address.login {
            options.set_credentials(username, password.expose());
        }
        let (client, events) = v5::AsyncClient::new(options, requests_max(window));
        let news = stream::unfold(events, |mut events| async {
            let news = events.poll().await.map(|event| news_v5_0(&event));
            Some((news.map_err(|error| trouble_v5_0(&error)), events))
        });
        Self { client: Client::V5_0(client), news: Box::pin(news) }
    }

    /// Asks for a publication with QoS 1. False when it cannot be asked for: the topic is none, or the window is full.
    pub(super) fn publish(&self, topic: &str, payload: &Bytes) -> bool {
        match &self.client {
            Client::V3_1_1(client) => {
                client.try_publish(topic, rumqttc::QoS::AtLeastOnce, false, payload.as_ref()).is_ok()
            }
            Client::V5_0(client) => {
                client.try_publish(topic, v5::mqttbytes::QoS::AtLeastOnce, false, payload.clone()).is_ok()
            }
        }
    }

    /// Asks for DISCONNECT. False when it cannot be asked for.
    pub(super) fn disconnect(&self) -> bool {
        match &self.client {
            Client::V3_1_1(client) => client.try_disconnect().is_ok(),
            Client::V5_0(client) => client.try_disconnect().is_ok(),
        }
    }

    /// What happens next. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// When the connection is lost, in words fit to be shown.
    pub(super) async fn next(&mut self) -> Result<News, String> {
        self.news.next().await.unwrap_or_else(|| Err("the connection has ended".to_owned()))
    }
}

fn trouble_v3_1_1(error: &rumqttc::ConnectionError) -> String {
    use rumqttc::ConnectionError;
    match error {
        ConnectionError::Io(error) => error.to_string(),
        ConnectionError::Tls(error) => error.to_string(),
        ConnectionError::ConnectionRefused(code) => format!("it refuses the connection: {code:?}"),
        ConnectionError::MqttState(error) => error.to_string(),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => NO_ANSWER.to_owned(),
        ConnectionError::NotConnAck(_) | ConnectionError::RequestsDone => NOT_MQTT.to_owned(),
    }
}

fn trouble_v5_0(error: &v5::ConnectionError) -> String {
    use v5::ConnectionError;
    match error {
        ConnectionError::Io(error) => error.to_string(),
        ConnectionError::Tls(error) => error.to_string(),
        ConnectionError::ConnectionRefused(code) => format!("it refuses the connection: {code:?}"),
        ConnectionError::MqttState(error) => error.to_string(),
        ConnectionError::Timeout(_) => NO_ANSWER.to_owned(),
        ConnectionError::NotConnAck(_) | ConnectionError::RequestsDone => NOT_MQTT.to_owned(),
    }
}

const NO_ANSWER: &str = "it did not answer in time";
const NOT_MQTT: &str = "it answered with something other than CONNACK";

/// The window, and room for DISCONNECT.
fn requests_max(window: u16) -> usize {
    usize::from(window).saturating_add(1)
}

fn network_options() -> NetworkOptions {
    let mut options = NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options.set_connection_timeout(CONNECT_TIMEOUT_SECS);
    options
}

fn news_v3_1_1(event: &rumqttc::Event) -> News {
    use rumqttc::{Event, Packet};
    match event {
        Event::Incoming(Packet::ConnAck(_)) => News::Connected,
        Event::Incoming(Packet::PubAck(puback)) => News::Acknowledged(puback.pkid),
        Event::Outgoing(outgoing) => outgoing_news(outgoing),
        Event::Incoming(_) => News::Other,
    }
}

fn news_v5_0(event: &v5::Event) -> News {
    use v5::Event;
    use v5::mqttbytes::v5::{Packet, PubAckReason};
    match event {
        Event::Incoming(Packet::ConnAck(_)) => News::Connected,
        Event::Incoming(Packet::PubAck(puback)) => match puback.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => News::Acknowledged(puback.pkid),
            PubAckReason::UnspecifiedError
            | PubAckReason::ImplementationSpecificError
            | PubAckReason::NotAuthorized
            | PubAckReason::TopicNameInvalid
            | PubAckReason::PacketIdentifierInUse
            | PubAckReason::QuotaExceeded
            | PubAckReason::PayloadFormatInvalid => News::Refused(format!("{:?}", puback.reason)),
        },
        Event::Outgoing(outgoing) => outgoing_news(outgoing),
        Event::Incoming(_) => News::Other,
    }
}

fn outgoing_news(outgoing: &Outgoing) -> News {
    match outgoing {
        Outgoing::Publish(packet_id) => News::Published(*packet_id),
        Outgoing::Disconnect => News::Disconnected,
        Outgoing::PubAck(_)
        | Outgoing::Subscribe(_)
        | Outgoing::Unsubscribe(_)
        | Outgoing::PubRec(_)
        | Outgoing::PubRel(_)
        | Outgoing::PubComp(_)
        | Outgoing::PingReq
        | Outgoing::PingResp
        | Outgoing::AwaitAck(_) => News::Other,
    }
}
