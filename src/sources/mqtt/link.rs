//! One connection to a broker through `rumqttc`, the same for MQTT 3.1.1 and 5.
//!
//! Each link is a fresh client on the same persistent session of the broker, so that nothing of an ended connection (packet
//! ids, acknowledgements not yet sent) can reach the next. The event loop lives in a stream that is never dropped halfway:
//! waiting for `next` may be given up at any time. Requests never wait: the request queue has room for an acknowledgement
//! of every packet id there is.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use rumqttc::{NetworkOptions, Outgoing, v5};
use serde_json::{Map, Value};

use super::{Protocol, SubscriberSettings};
use crate::sources::arrival::Arrival;

/// Packet ids of 16 bits, and a few requests that are not acknowledgements.
const REQUESTS_MAX: usize = 65_535 + 64;

/// A connection to the broker.
pub(super) struct Link {
    client: Client,
    news: Pin<Box<dyn Stream<Item = Result<News, Trouble>> + Send>>,
}

enum Client {
    V3_1_1(rumqttc::AsyncClient),
    V5_0(v5::AsyncClient),
}

/// What happened on the connection.
#[derive(Debug)]
pub(super) enum News {
    /// CONNACK.
    Connected {
        /// The broker kept the session.
        session_present: bool,
    },
    /// SUBACK, all filters granted.
    Subscribed {
        /// The lowest QoS granted.
        qos: u8,
    },
    /// SUBACK that refuses at least one filter.
    Refused,
    /// PUBLISH.
    Published {
        /// What was published.
        arrival: Arrival,
        /// To be acknowledged when it is durable; `None` with QoS 0.
        packet_id: Option<u16>,
    },
    /// An acknowledgement went out.
    Acknowledged,
    /// DISCONNECT went out.
    Disconnected,
    /// Anything else.
    Other,
}

/// Why the connection ended, in words fit for a log: no payload, no topic, no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Trouble(pub(super) String);

impl Link {
    /// A link that connects when `next` is first waited for.
    pub(super) fn new(settings: &SubscriberSettings) -> Self {
        match settings.protocol {
            Protocol::V3_1_1 => Self::v3_1_1(settings),
            Protocol::V5_0 => Self::v5_0(settings),
        }
    }

    fn v3_1_1(settings: &SubscriberSettings) -> Self {
        let mut options = rumqttc::MqttOptions::new(&settings.client_id, &settings.host, settings.port);
        let packet_max = usize::try_from(settings.packet_max_bytes.get()).unwrap_or(usize::MAX);
        options
            .set_clean_session(false)
            .set_manual_acks(true)
            .set_keep_alive(settings.keep_alive())
            .set_max_packet_size(packet_max, packet_max);
        if let Some(credentials) = &settings.credentials {
            options.set_credentials(&credentials.username, credentials.password.expose());
        }
        let (client, mut events) = rumqttc::AsyncClient::new(options, REQUESTS_MAX);
        events.set_network_options(network_options(settings.connect_timeout));
        let news = stream::unfold(events, |mut events| async {
            let news = events.poll().await.map(news_v3_1_1).map_err(|error| trouble_v3_1_1(&error));
            Some((news, events))
        });
        Self { client: Client::V3_1_1(client), news: Box::pin(news) }
    }

    fn v5_0(settings: &SubscriberSettings) -> Self {
        let mut options = v5::MqttOptions::new(&settings.client_id, &settings.host, settings.port);
        options
            .set_clean_start(false)
            .set_manual_acks(true)
            .set_keep_alive(settings.keep_alive())
            .set_connection_timeout(settings.connect_timeout.as_secs().max(1))
            .set_network_options(network_options(settings.connect_timeout))
            .set_session_expiry_interval(Some(settings.session_expiry.as_secs().try_into().unwrap_or(u32::MAX)))
            .set_receive_maximum(Some(settings.in_flight_max.get().try_into().unwrap_or(u16::MAX)))
            .set_max_packet_size(Some(settings.packet_max_bytes.get()));
        if let Some(credentials) = &settings.credentials {
            options.set_credentials(&credentials.username, credentials.password.expose());
        }
        let (client, events) = v5::AsyncClient::new(options, REQUESTS_MAX);
        let news = stream::unfold(events, |mut events| async {
            let news = events.poll().await.map(news_v5_0).map_err(|error| trouble_v5_0(&error));
            Some((news, events))
        });
        Self { client: Client::V5_0(client), news: Box::pin(news) }
    }

    /// What happens next. Nothing is lost when the wait is given up; nothing happens while nobody waits.
    pub(super) async fn next(&mut self) -> Result<News, Trouble> {
        self.news.next().await.unwrap_or_else(|| Err(Trouble("the connection has ended".to_owned())))
    }

    /// Subscribes to `filters`; the answer is news.
    pub(super) fn subscribe(&self, filters: &[String], qos: Quality) -> Result<(), Trouble> {
        let requested = match &self.client {
            Client::V3_1_1(client) => {
                let filters = filters.iter().map(|filter| rumqttc::SubscribeFilter::new(filter.clone(), qos.v3_1_1()));
                client.try_subscribe_many(filters).is_ok()
            }
            Client::V5_0(client) => {
                let filters = filters.iter().map(|filter| v5::mqttbytes::v5::Filter {
                    retain_forward_rule: v5::mqttbytes::v5::RetainForwardRule::OnNewSubscribe,
                    preserve_retain: true,
                    ..v5::mqttbytes::v5::Filter::new(filter.clone(), qos.v5_0())
                });
                client.try_subscribe_many(filters).is_ok()
            }
        };
        requested.then_some(()).ok_or_else(|| Trouble("a topic filter of the settings is not valid".to_owned()))
    }

    /// Acknowledges a publication; `News::Acknowledged` says that it went out.
    pub(super) fn acknowledge(&self, packet_id: u16) -> Result<(), Trouble> {
        let requested = match &self.client {
            Client::V3_1_1(client) => client
                .try_ack(&rumqttc::Publish {
                    dup: false,
                    qos: rumqttc::QoS::AtLeastOnce,
                    retain: false,
                    topic: String::new(),
                    pkid: packet_id,
                    payload: Bytes::new(),
                })
                .is_ok(),
            Client::V5_0(client) => client
                .try_ack(&v5::mqttbytes::v5::Publish {
                    dup: false,
                    qos: v5::mqttbytes::QoS::AtLeastOnce,
                    retain: false,
                    topic: Bytes::new(),
                    pkid: packet_id,
                    payload: Bytes::new(),
                    properties: None,
                })
                .is_ok(),
        };
        requested
            .then_some(())
            .ok_or_else(|| Trouble("more messages wait for an acknowledgement than there are packet ids".to_owned()))
    }

    /// Says goodbye; `News::Disconnected` says that it went out.
    pub(super) fn disconnect(&self) -> Result<(), Trouble> {
        let requested = match &self.client {
            Client::V3_1_1(client) => client.try_disconnect().is_ok(),
            Client::V5_0(client) => client.try_disconnect().is_ok(),
        };
        requested.then_some(()).ok_or_else(|| Trouble("the request queue is full".to_owned()))
    }
}

/// Quality of service to subscribe with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quality {
    /// QoS 0: what is under way when either side stops is lost.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
}

impl Quality {
    fn v3_1_1(self) -> rumqttc::QoS {
        match self {
            Self::AtMostOnce => rumqttc::QoS::AtMostOnce,
            Self::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
        }
    }

    fn v5_0(self) -> v5::mqttbytes::QoS {
        match self {
            Self::AtMostOnce => v5::mqttbytes::QoS::AtMostOnce,
            Self::AtLeastOnce => v5::mqttbytes::QoS::AtLeastOnce,
        }
    }
}

fn network_options(connect_timeout: Duration) -> NetworkOptions {
    let mut options = NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options.set_connection_timeout(connect_timeout.as_secs().max(1));
    options
}

fn news_v3_1_1(event: rumqttc::Event) -> News {
    use rumqttc::{Event, Packet, SubscribeReasonCode};
    match event {
        Event::Incoming(Packet::ConnAck(connack)) => News::Connected { session_present: connack.session_present },
        Event::Incoming(Packet::Publish(publish)) => News::Published {
            packet_id: (publish.pkid != 0).then_some(publish.pkid),
            arrival: Arrival {
                topic: publish.topic,
                qos: publish.qos as u8,
                retain: publish.retain,
                dup: publish.dup,
                properties: Map::new(),
                payload: publish.payload,
            },
        },
        Event::Incoming(Packet::SubAck(suback)) => granted(suback.return_codes.iter().map(|code| match code {
            SubscribeReasonCode::Success(qos) => Some(*qos as u8),
            SubscribeReasonCode::Failure => None,
        })),
        Event::Outgoing(outgoing) => outgoing_news(&outgoing),
        Event::Incoming(_) => News::Other,
    }
}

fn news_v5_0(event: v5::Event) -> News {
    use v5::Event;
    use v5::mqttbytes::v5::{Packet, SubscribeReasonCode};
    match event {
        Event::Incoming(Packet::ConnAck(connack)) => News::Connected { session_present: connack.session_present },
        Event::Incoming(Packet::Publish(publish)) => News::Published {
            packet_id: (publish.pkid != 0).then_some(publish.pkid),
            arrival: Arrival {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                qos: publish.qos as u8,
                retain: publish.retain,
                dup: publish.dup,
                properties: publish
                    .properties
                    .into_iter()
                    .flat_map(|properties| properties.user_properties)
                    .map(|(name, value)| (name, Value::String(value)))
                    .collect(),
                payload: publish.payload,
            },
        },
        Event::Incoming(Packet::SubAck(suback)) => granted(suback.return_codes.iter().map(|code| {
            let SubscribeReasonCode::Success(qos) = code else { return None };
            Some(*qos as u8)
        })),
        Event::Outgoing(outgoing) => outgoing_news(&outgoing),
        Event::Incoming(_) => News::Other,
    }
}

fn granted(codes: impl Iterator<Item = Option<u8>>) -> News {
    let qos = codes.collect::<Option<Vec<u8>>>().and_then(|granted| granted.into_iter().min());
    qos.map_or(News::Refused, |qos| News::Subscribed { qos })
}

fn outgoing_news(outgoing: &Outgoing) -> News {
    match outgoing {
        Outgoing::PubAck(_) => News::Acknowledged,
        Outgoing::Disconnect => News::Disconnected,
        Outgoing::Publish(_)
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

fn trouble_v3_1_1(error: &rumqttc::ConnectionError) -> Trouble {
    use rumqttc::ConnectionError;
    Trouble(match error {
        ConnectionError::Io(error) => format!("no connection: {error}"),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => NO_ANSWER.to_owned(),
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses the connection: {code:?}"),
        ConnectionError::MqttState(error) => error.to_string(),
        ConnectionError::NotConnAck(_) | ConnectionError::RequestsDone => NOT_MQTT.to_owned(),
    })
}

fn trouble_v5_0(error: &v5::ConnectionError) -> Trouble {
    use v5::ConnectionError;
    Trouble(match error {
        ConnectionError::Io(error) => format!("no connection: {error}"),
        ConnectionError::Timeout(_) => NO_ANSWER.to_owned(),
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses the connection: {code:?}"),
        ConnectionError::MqttState(error) => error.to_string(),
        ConnectionError::NotConnAck(_) | ConnectionError::RequestsDone => NOT_MQTT.to_owned(),
    })
}

const NO_ANSWER: &str = "the broker did not answer in time";
const NOT_MQTT: &str = "the broker answered with something other than CONNACK";
