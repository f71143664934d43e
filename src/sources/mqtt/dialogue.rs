//! Our side of the conversation with a broker, without IO: bytes in, news and the bytes to answer with out.
//!
//! The state machine is that of `mqtt-protocol-core`; PUBACK is said only when told. Whatever breaks the rules of MQTT ends in
//! `Trouble`, and an MQTT 5 broker finds the reason among the bytes to send. QoS 2 is such a breach, since nothing is
//! subscribed to with it.
//!
//! The window is told to an MQTT 5 broker but not held against it: one that offers more finds its socket full, as every
//! MQTT 3.1.1 broker does. Cut off for it, it would offer the same again.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::BytesMut;
use mqtt_protocol_core::mqtt::connection::ConnectionOptions;
use mqtt_protocol_core::mqtt::packet::Packet;
use mqtt_protocol_core::mqtt::prelude::{Event, GenericPacketTrait, TimerKind};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, MqttError, SubackReasonCode, SubackReturnCode,
};
use mqtt_protocol_core::mqtt::{Connection, Version, role};

use super::requests::{self, Window};
use super::trouble::Trouble;
use super::{Protocol, SubscriberSettings};
use crate::sources::arrival::Arrival;
use crate::sources::packets::{Reader, arrival_v3_1_1, arrival_v5_0, is_topic_name};

/// The conversation with one broker.
pub(super) struct Dialogue {
    reader: Reader<role::Client>,
    packet_max_bytes: u32,
    /// CONNACK has come.
    is_connected: bool,
    /// Ours, or the one the broker wants instead; `None` when it wants none.
    keep_alive: Option<Duration>,
}

/// What the broker said, as far as it concerns more than the protocol.
#[derive(Debug)]
pub(super) enum News {
    /// CONNACK.
    Connected(Session),
    /// SUBACK, all filters granted.
    Subscribed {
        /// The lowest QoS granted.
        qos: u8,
    },
    /// UNSUBACK.
    Unsubscribed {
        /// Nothing that was named is subscribed to any more.
        all: bool,
    },
    /// PUBLISH.
    Published {
        /// What was published.
        arrival: Arrival,
        /// To be acknowledged when it is durable; `None` with QoS 0.
        packet_id: Option<u16>,
    },
}

/// What the broker made of our session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// It has kept it.
    Kept,
    /// It knew none.
    New,
}

impl Dialogue {
    /// A conversation that starts with our CONNECT, which is appended to `out`.
    ///
    /// # Errors
    /// When the settings do not fit into a CONNECT.
    pub(super) fn open(settings: &SubscriberSettings, out: &mut Vec<u8>) -> Result<Self, Trouble> {
        let version = match settings.protocol {
            Protocol::V3_1_1 => Version::V3_1_1,
            Protocol::V5_0 => Version::V5_0,
        };
        let packet_max_bytes = settings.packet_max_bytes.get();
        let options = ConnectionOptions::new().maximum_packet_size_recv(packet_max_bytes);
        let reader = Reader::new(Connection::with_options(version, options));
        let mut dialogue = Self { reader, packet_max_bytes, is_connected: false, keep_alive: None };
        // The state machine would hold the window against the broker, so it is not told.
        dialogue.say(requests::connect(version, settings, Window::Untold), &mut Vec::new())?;
        let connect = requests::connect(version, settings, Window::Told).map_err(Trouble::Unsayable)?;
        out.extend_from_slice(&connect.to_continuous_buffer());
        Ok(dialogue)
    }

    /// Longest silence the broker is promised.
    pub(super) fn keep_alive(&self) -> Option<Duration> {
        self.keep_alive
    }

    /// Reads on in `input` until there is news, or to its end.
    ///
    /// # Errors
    /// When the connection is to end.
    pub(super) fn hear(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> Result<Option<News>, Trouble> {
        if !self.is_connected && refuses_mqtt_5(input) {
            return Err(Trouble::refused_v5_0(ConnectReasonCode::UnsupportedProtocolVersion));
        }
        loop {
            let events = match self.reader.read(input) {
                Ok(Some(events)) => events,
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.breach(error, out)),
            };
            let received = self.obey(events, out).map_err(|error| self.unheard(error))?;
            if let Some(packet) = received
                && let Some(news) = self.interpret(&packet, out)?
            {
                return Ok(Some(news));
            }
        }
    }

    /// Subscribes to the topics of the settings; the answer is news.
    ///
    /// # Errors
    /// When a filter is not valid, or the broker cannot take so many.
    pub(super) fn subscribe(&mut self, settings: &SubscriberSettings, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let packet_id = self.reader.protocol.acquire_packet_id().map_err(Trouble::Unsayable)?;
        self.say(requests::subscribe(self.version(), packet_id, settings), out)
    }

    /// Takes subscriptions back; the answer is news.
    ///
    /// # Errors
    /// When a filter is not valid.
    pub(super) fn unsubscribe(&mut self, filters: &BTreeSet<String>, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let packet_id = self.reader.protocol.acquire_packet_id().map_err(Trouble::Unsayable)?;
        self.say(requests::unsubscribe(self.version(), packet_id, filters), out)
    }

    /// Acknowledges publications.
    ///
    /// # Errors
    /// When the protocol does not allow it, which is a bug of this program.
    pub(super) fn acknowledge(&mut self, packet_ids: Vec<u16>, out: &mut Vec<u8>) -> Result<(), Trouble> {
        packet_ids.into_iter().try_for_each(|packet_id| self.say(requests::puback(self.version(), packet_id), out))
    }

    /// Asks the broker whether it is there.
    ///
    /// # Errors
    /// When the protocol does not allow it, which is a bug of this program.
    pub(super) fn ping(&mut self, out: &mut Vec<u8>) -> Result<(), Trouble> {
        self.say(requests::ping(self.version()), out)
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// When the protocol does not allow it, which is a bug of this program.
    pub(super) fn disconnect(&mut self, out: &mut Vec<u8>) -> Result<(), Trouble> {
        self.say(requests::disconnect(self.version(), None), out)
    }

    fn version(&self) -> Version {
        self.reader.protocol.get_protocol_version()
    }

    fn say(&mut self, packet: Result<Packet, MqttError>, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let events = self.reader.protocol.send(packet.map_err(Trouble::Unsayable)?);
        self.obey(events, out).map(drop).map_err(Trouble::Unsayable)
    }

    /// Does what the state machine asks for; the packet it received, if any.
    fn obey(&mut self, events: Vec<Event>, out: &mut Vec<u8>) -> Result<Option<Packet>, MqttError> {
        let mut received = Ok(None);
        for event in events {
            match event {
                Event::NotifyPacketReceived(packet) => received = Ok(Some(packet)),
                Event::RequestSendPacket { packet, .. } => out.extend_from_slice(&packet.to_continuous_buffer()),
                Event::RequestTimerReset { kind: TimerKind::PingreqSend, duration_ms } => {
                    self.keep_alive = Some(Duration::from_millis(duration_ms));
                }
                Event::RequestTimerCancel(TimerKind::PingreqSend) => self.keep_alive = None,
                Event::NotifyError(error) => return Err(error),
                Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_)
                | Event::NotifyPacketIdReleased(_)
                | Event::RequestClose => {}
            }
        }
        received
    }

    /// The trouble of a packet that the state machine does not take, and has answered itself.
    fn unheard(&self, error: MqttError) -> Trouble {
        if error == MqttError::PacketTooLarge {
            return Trouble::TooLarge { max_bytes: self.packet_max_bytes };
        }
        if self.is_connected { Trouble::Protocol(error) } else { Trouble::NotConnack }
    }

    /// The trouble of a packet that the state machine takes, and this side does not; the broker is told.
    fn breach(&mut self, error: MqttError, out: &mut Vec<u8>) -> Trouble {
        if !self.is_connected {
            return Trouble::NotConnack;
        }
        let reason = DisconnectReasonCode::from(error);
        let said = self.say(requests::disconnect(self.version(), Some(reason)), out);
        tracing::trace!(said = said.is_ok(), "broker told of the end");
        Trouble::Protocol(error)
    }

    fn interpret(&mut self, packet: &Packet, out: &mut Vec<u8>) -> Result<Option<News>, Trouble> {
        match packet {
            Packet::V3_1_1Connack(connack) if !self.is_connected => {
                let code = connack.return_code();
                if code.is_failure() {
                    return Err(Trouble::refused_v3_1_1(code));
                }
                Ok(Some(self.connected(connack.session_present())))
            }
            Packet::V5_0Connack(connack) if !self.is_connected => {
                let code = connack.reason_code();
                if code != ConnectReasonCode::Success {
                    return Err(Trouble::refused_v5_0(code));
                }
                Ok(Some(self.connected(connack.session_present())))
            }
            _ if !self.is_connected => Err(Trouble::NotConnack),
            Packet::V3_1_1Publish(publish) => self.publication(arrival_v3_1_1(publish), publish.packet_id(), out),
            Packet::V5_0Publish(publish) => self.publication(arrival_v5_0(publish), publish.packet_id(), out),
            Packet::V3_1_1Suback(suback) => granted(suback.return_codes().into_iter().map(granted_v3_1_1)),
            Packet::V5_0Suback(suback) => granted(suback.reason_codes().into_iter().map(granted_v5_0)),
            Packet::V3_1_1Unsuback(_) => Ok(Some(News::Unsubscribed { all: true })),
            Packet::V5_0Unsuback(unsuback) => {
                let all = unsuback.reason_codes().into_iter().all(|code| code.is_success());
                Ok(Some(News::Unsubscribed { all }))
            }
            Packet::V3_1_1Pingresp(_) | Packet::V5_0Pingresp(_) => Ok(None),
            Packet::V5_0Disconnect(disconnect) => {
                Err(Trouble::Dismissed(disconnect.reason_code().unwrap_or(DisconnectReasonCode::NormalDisconnection)))
            }
            Packet::V3_1_1Connect(_)
            | Packet::V3_1_1Connack(_)
            | Packet::V3_1_1Subscribe(_)
            | Packet::V3_1_1Unsubscribe(_)
            | Packet::V3_1_1Puback(_)
            | Packet::V3_1_1Pubrec(_)
            | Packet::V3_1_1Pubrel(_)
            | Packet::V3_1_1Pubcomp(_)
            | Packet::V3_1_1Pingreq(_)
            | Packet::V3_1_1Disconnect(_)
            | Packet::V5_0Connect(_)
            | Packet::V5_0Connack(_)
            | Packet::V5_0Subscribe(_)
            | Packet::V5_0Unsubscribe(_)
            | Packet::V5_0Puback(_)
            | Packet::V5_0Pubrec(_)
            | Packet::V5_0Pubrel(_)
            | Packet::V5_0Pubcomp(_)
            | Packet::V5_0Pingreq(_)
            | Packet::V5_0Auth(_) => Err(self.breach(MqttError::ProtocolError, out)),
        }
    }

    fn connected(&mut self, session_present: bool) -> News {
        self.is_connected = true;
        News::Connected(if session_present { Session::Kept } else { Session::New })
    }

    fn publication(
        &mut self,
        arrival: Arrival,
        packet_id: Option<u16>,
        out: &mut Vec<u8>,
    ) -> Result<Option<News>, Trouble> {
        if !is_topic_name(&arrival.topic) {
            return Err(self.breach(MqttError::TopicNameInvalid, out));
        }
        if packet_id == Some(0) {
            return Err(self.breach(MqttError::ProtocolError, out));
        }
        if arrival.qos == 2 {
            return Err(self.breach(MqttError::QosNotSupported, out));
        }
        Ok(Some(News::Published { arrival, packet_id }))
    }
}

/// CONNACK of MQTT 3.1.1 with return code 1, which a broker that knows no MQTT 5 answers also to a client that does.
fn refuses_mqtt_5(input: &[u8]) -> bool {
    matches!(input, [0x20, 2, _, 1, ..])
}

fn granted_v3_1_1(code: SubackReturnCode) -> Result<u8, String> {
    if code.is_success() { Ok(code as u8) } else { Err(code.to_string()) }
}

fn granted_v5_0(code: SubackReasonCode) -> Result<u8, String> {
    if code.is_success() { Ok(code as u8) } else { Err(code.to_string()) }
}

fn granted(codes: impl Iterator<Item = Result<u8, String>>) -> Result<Option<News>, Trouble> {
    let (mut lowest, mut refused) = (None, Vec::new());
    for (number, code) in (1..).zip(codes) {
        match code {
            Ok(qos) => lowest = lowest.map_or(Some(qos), |lowest: u8| Some(lowest.min(qos))),
            Err(reason) => refused.push(format!("{number} ({reason})")),
        }
    }
    match (refused.is_empty(), lowest) {
        (false, _) => Err(Trouble::NotSubscribed(refused.join(", "))),
        (true, Some(qos)) => Ok(Some(News::Subscribed { qos })),
        (true, None) => Err(Trouble::Protocol(MqttError::MalformedPacket)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    use super::{Dialogue, News};
    use crate::sources::mqtt::Protocol;
    use crate::sources::mqtt::tests::settings;

    /// A conversation after CONNECT and CONNACK.
    fn connected(protocol: Protocol) -> Dialogue {
        let mut out = Vec::new();
        let mut dialogue = Dialogue::open(&settings(protocol, 0), &mut out).unwrap();
        let connack: &[u8] = if protocol == Protocol::V5_0 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
        let news = dialogue.hear(&mut BytesMut::from(connack), &mut out).unwrap();
        assert!(matches!(news, Some(News::Connected(_))), "{news:?}");
        dialogue
    }

    fn protocols() -> impl Strategy<Value = Protocol> {
        prop_oneof![proptest::strategy::Just(Protocol::V3_1_1), proptest::strategy::Just(Protocol::V5_0)]
    }

    /// A packet of any type, with a length that fits mostly.
    fn packet() -> impl Strategy<Value = Vec<u8>> {
        let body = proptest::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..24);
        (any::<u8>(), body, prop_oneof![9 => 0u8..1, 1 => any::<u8>()]).prop_map(|(first, body, off)| {
            [&[first, u8::try_from(body.len()).unwrap() ^ off], body.as_slice()].concat()
        })
    }

    proptest! {
        #[test]
        fn whatever_a_broker_says_is_news_or_trouble(
            protocol in protocols(),
            packets in proptest::collection::vec(packet(), 1..8),
            piece in 1usize..40,
        ) {
            let mut dialogue = connected(protocol);
            let said = packets.concat();
            let mut out = Vec::new();
            'said: for piece in said.chunks(piece) {
                let mut input = BytesMut::from(piece);
                while !input.is_empty() {
                    if dialogue.hear(&mut input, &mut out).is_err() {
                        break 'said;
                    }
                }
            }
        }

        #[test]
        fn nothing_but_connack_is_taken_first(
            protocol in protocols(),
            said in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut dialogue = Dialogue::open(&settings(protocol, 0), &mut Vec::new()).unwrap();
            let heard = dialogue.hear(&mut BytesMut::from(said.as_slice()), &mut Vec::new());
            assert!(matches!(heard, Err(_) | Ok(None | Some(News::Connected(_)))));
        }
    }
}
