//! One client's side of the protocol, without IO: bytes in, what was heard and the bytes to answer with out.
//!
//! The state machine is that of `mqtt-protocol-core`; this module adds what it leaves to its user or to trust: PUBACK and
//! PUBREC only when told, topic names without wildcards, packet identifiers above 0, Maximum QoS, and refusals with their
//! proper codes. Whatever breaks the rules of MQTT ends in a `Fault`, with the last words for the client already among the
//! bytes to send.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use mqtt_protocol_core::mqtt::connection::ConnectionOptions;
use mqtt_protocol_core::mqtt::packet::{Packet, Property, v5_0};
use mqtt_protocol_core::mqtt::prelude::{Event, GenericPacketTrait, TimerKind};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError, PubcompReasonCode};
use mqtt_protocol_core::mqtt::{Connection, Version, role};

use super::greeting::{self, Greeting, Refusal};
use super::replies::{self, Admission};
use super::sessions::Seat;
use crate::sources::arrival::Arrival;
use crate::sources::packets::{Reader, arrival_v3_1_1, arrival_v5_0, is_topic_name};

/// The conversation with one client.
pub(super) struct Dialogue {
    reader: Reader<role::Server>,
    /// The session, once the client is admitted.
    seat: Option<Arc<Seat>>,
    /// QoS 2 publications whose PUBREC is owed.
    unanswered: HashSet<u16>,
    /// Longest silence allowed, one and a half times the keep-alive the client chose; `None` when it chose none.
    patience: Option<Duration>,
}

/// What the client said, as far as it concerns more than the protocol.
#[derive(Debug)]
pub(super) enum Heard {
    /// CONNECT: to be admitted or the connection closed.
    Greeting(Box<Greeting>),
    /// PUBLISH.
    Publication {
        /// What was published.
        arrival: Arrival,
        /// What to answer when it is durable.
        answer: Option<Answer>,
    },
    /// DISCONNECT.
    Goodbye {
        /// Publish the will nevertheless.
        with_will: bool,
        /// Seconds the session is to last, if the client changed its mind.
        session_expiry_secs: Option<u32>,
    },
}

/// The acknowledgement a publication waits for, with its packet identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Of QoS 1.
    Puback(u16),
    /// Of QoS 2, first half.
    Pubrec(u16),
    /// Of QoS 1 in MQTT 5, for what may not be published.
    Refusal(u16),
}

/// The client broke the rules; the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Fault(pub(super) MqttError);

impl Dialogue {
    /// A conversation that starts with the client's CONNECT, in packets of at most `packet_max_bytes`.
    pub(super) fn new(packet_max_bytes: u32) -> Self {
        let options = ConnectionOptions::new().maximum_packet_size_recv(packet_max_bytes);
        let mut protocol = Connection::with_options(Version::Undetermined, options);
        protocol.set_auto_ping_response(true);
        Self { reader: Reader::new(protocol), seat: None, unanswered: HashSet::new(), patience: None }
    }

    /// How many times its window a client's messages may fill. An MQTT 5 client knows its window and is disconnected when
    /// it goes beyond, so it is still listened to when the window is full: its pings are answered, and room is left for
    /// QoS 0, which has no window.
    pub(super) fn room_factor(&self) -> NonZeroUsize {
        match self.version() {
            Version::V5_0 => NonZeroUsize::MIN.saturating_add(1),
            Version::V3_1_1 | Version::Undetermined => NonZeroUsize::MIN,
        }
    }

    /// Longest silence allowed before `silent` is to be called.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// Reads on in `input` until something is heard, or to its end. Immediate replies are appended to `out`.
    ///
    /// # Errors
    /// When the client breaks the rules.
    pub(super) fn hear(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> Result<Option<Heard>, Fault> {
        loop {
            let events = match self.reader.read(input) {
                Ok(Some(events)) => events,
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.fault(error, out)),
            };
            if let Some(packet) = self.obey(events, out)?
                && let Some(heard) = self.interpret(packet, out)?
            {
                return Ok(Some(heard));
            }
        }
    }

    /// Admits the client to its session: CONNACK with what it must know.
    ///
    /// # Errors
    /// When the client cannot take the CONNACK.
    pub(super) fn admit(&mut self, seat: Arc<Seat>, admission: &Admission<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.reader.protocol.restore_qos2_publish_handled(seat.resumed.iter().flatten().copied().collect());
        self.seat = Some(seat);
        let connack = replies::admission(self.version(), admission).map_err(Fault)?;
        self.say(connack, out)
    }

    /// Refuses the client: CONNACK with the reason, after which the connection is to be closed.
    pub(super) fn refuse(&mut self, refusal: Refusal, out: &mut Vec<u8>) -> Fault {
        let fault = Fault(refusal.error());
        let Ok(connack) = replies::refusal(self.version(), refusal) else {
            return fault;
        };
        self.say(connack, out).err().unwrap_or(fault)
    }

    /// Acknowledges what is durable. Says nothing for a session that another connection has taken over.
    ///
    /// # Errors
    /// When the protocol does not allow it, which is a bug of this program.
    pub(super) fn answer(&mut self, answers: Vec<Answer>, out: &mut Vec<u8>) -> Result<(), Fault> {
        for answer in answers {
            let packet = match answer {
                Answer::Puback(packet_id) => replies::puback(self.version(), packet_id),
                Answer::Refusal(packet_id) => replies::not_authorized(packet_id),
                Answer::Pubrec(packet_id) => {
                    self.unanswered.remove(&packet_id);
                    if !self.seat.as_ref().is_some_and(|seat| seat.remember(packet_id)) {
                        continue;
                    }
                    replies::pubrec(self.version(), packet_id)
                }
            };
            self.say(packet.map_err(Fault)?, out)?;
        }
        Ok(())
    }

    /// How to tell the client that it may not publish what `answer` would have acknowledged; `None` when there are no words
    /// for it, as in MQTT 3.1.1 and for QoS 0, and the connection has to end lest the loss goes unnoticed.
    pub(super) fn refusal_of(&self, answer: Option<Answer>) -> Option<Answer> {
        match (self.version(), answer?) {
            (Version::V5_0, Answer::Puback(packet_id)) => Some(Answer::Refusal(packet_id)),
            (Version::V5_0 | Version::V3_1_1 | Version::Undetermined, _) => None,
        }
    }

    /// The client was silent for longer than `patience`.
    pub(super) fn silent(&mut self, out: &mut Vec<u8>) {
        self.part(DisconnectReasonCode::KeepAliveTimeout, out);
    }

    /// Tells the client why the connection ends. MQTT 3.1.1 has no words for it.
    pub(super) fn part(&mut self, reason: DisconnectReasonCode, out: &mut Vec<u8>) {
        let Ok(disconnect) = v5_0::Disconnect::builder().reason_code(reason).build() else {
            return;
        };
        if self.version() == Version::V5_0 {
            let said = self.say(disconnect.into(), out);
            tracing::trace!(said = said.is_ok(), "client told of the end");
        }
    }

    fn version(&self) -> Version {
        self.reader.protocol.get_protocol_version()
    }

    fn say(&mut self, packet: Packet, out: &mut Vec<u8>) -> Result<(), Fault> {
        let events = self.reader.protocol.send(packet);
        self.obey(events, out).map(drop)
    }

    /// Does what the state machine asks for; the packet it received, if any.
    fn obey(&mut self, events: Vec<Event>, out: &mut Vec<u8>) -> Result<Option<Packet>, Fault> {
        let mut received = None;
        let mut error = None;
        let mut close = false;
        for event in events {
            match event {
                Event::NotifyPacketReceived(packet) => received = Some(packet),
                Event::RequestSendPacket { packet, .. } if self.may_say(&packet) => {
                    out.extend_from_slice(&packet.to_continuous_buffer());
                }
                Event::RequestTimerReset { kind: TimerKind::PingreqRecv, duration_ms } => {
                    self.patience = Some(Duration::from_millis(duration_ms));
                }
                Event::NotifyError(reason) => error = Some(reason),
                Event::RequestClose => close = true,
                Event::RequestSendPacket { .. }
                | Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_)
                | Event::NotifyPacketIdReleased(_) => {}
            }
        }
        match error {
            None => Ok(received),
            Some(error) if close => Err(Fault(error)),
            Some(error) => Err(self.fault(error, out)),
        }
    }

    /// The state machine answers a repeated QoS 2 publication by itself; the first answer must have been ours.
    fn may_say(&self, packet: &Packet) -> bool {
        match replies::pubrec_id(packet) {
            Some(packet_id) => self.seat.as_ref().is_some_and(|seat| seat.knows(packet_id)),
            None => true,
        }
    }

    fn fault(&mut self, error: MqttError, out: &mut Vec<u8>) -> Fault {
        if error == MqttError::UnsupportedProtocolVersion && self.version() == Version::Undetermined {
            out.extend_from_slice(&replies::UNACCEPTABLE_PROTOCOL_VERSION);
        } else if self.seat.is_some() {
            self.part(error.into(), out);
        }
        Fault(error)
    }

    fn interpret(&mut self, packet: Packet, out: &mut Vec<u8>) -> Result<Option<Heard>, Fault> {
        match packet {
            Packet::V3_1_1Connect(connect) => self.greeting(greeting::from_v3_1_1(&connect), out),
            Packet::V5_0Connect(connect) => self.greeting(greeting::from_v5_0(&connect), out),
            Packet::V3_1_1Publish(publish) => self.publication(arrival_v3_1_1(&publish), publish.packet_id(), out),
            Packet::V5_0Publish(publish) => self.publication(arrival_v5_0(&publish), publish.packet_id(), out),
            Packet::V3_1_1Pubrel(pubrel) => self.released(pubrel.packet_id(), out),
            Packet::V5_0Pubrel(pubrel) => self.released(pubrel.packet_id(), out),
            Packet::V3_1_1Subscribe(subscribe) => {
                self.reply(replies::refused_filters_v3_1_1(subscribe.packet_id(), subscribe.entries().len()), out)
            }
            Packet::V5_0Subscribe(subscribe) => {
                self.reply(replies::refused_filters_v5_0(subscribe.packet_id(), subscribe.entries().len()), out)
            }
            Packet::V3_1_1Unsubscribe(unsubscribe) => {
                self.reply(replies::unsubscribed_v3_1_1(unsubscribe.packet_id()), out)
            }
            Packet::V5_0Unsubscribe(unsubscribe) => {
                self.reply(replies::unsubscribed_v5_0(unsubscribe.packet_id(), unsubscribe.entries().len()), out)
            }
            Packet::V3_1_1Disconnect(_) => Ok(Some(Heard::Goodbye { with_will: false, session_expiry_secs: None })),
            Packet::V5_0Disconnect(disconnect) => Ok(Some(goodbye(&disconnect))),
            Packet::V3_1_1Pingreq(_) | Packet::V5_0Pingreq(_) => Ok(None),
            Packet::V3_1_1Connack(_)
            | Packet::V3_1_1Suback(_)
            | Packet::V3_1_1Unsuback(_)
            | Packet::V3_1_1Puback(_)
            | Packet::V3_1_1Pubrec(_)
            | Packet::V3_1_1Pubcomp(_)
            | Packet::V3_1_1Pingresp(_)
            | Packet::V5_0Connack(_)
            | Packet::V5_0Suback(_)
            | Packet::V5_0Unsuback(_)
            | Packet::V5_0Puback(_)
            | Packet::V5_0Pubrec(_)
            | Packet::V5_0Pubcomp(_)
            | Packet::V5_0Pingresp(_)
            | Packet::V5_0Auth(_) => Err(self.fault(MqttError::ProtocolError, out)),
        }
    }

    fn greeting(&mut self, greeting: Result<Greeting, Refusal>, out: &mut Vec<u8>) -> Result<Option<Heard>, Fault> {
        match greeting {
            Ok(greeting) => Ok(Some(Heard::Greeting(Box::new(greeting)))),
            Err(refusal) => Err(self.refuse(refusal, out)),
        }
    }

    fn publication(
        &mut self,
        arrival: Arrival,
        packet_id: Option<u16>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Heard>, Fault> {
        if !is_topic_name(&arrival.topic) {
            return Err(self.fault(MqttError::TopicNameInvalid, out));
        }
        let answer = match (arrival.qos, packet_id) {
            (_, Some(0)) => return Err(self.fault(MqttError::ProtocolError, out)),
            (2, Some(_)) if self.version() == Version::V5_0 => {
                return Err(self.fault(MqttError::QosNotSupported, out));
            }
            (2, Some(packet_id)) => {
                self.unanswered.insert(packet_id);
                Some(Answer::Pubrec(packet_id))
            }
            (_, packet_id) => packet_id.map(Answer::Puback),
        };
        Ok(Some(Heard::Publication { arrival, answer }))
    }

    /// PUBREL. One that comes before its PUBREC is out of order; one that nobody waits for is answered, as after a
    /// restart the client may be the only one that remembers.
    fn released(&mut self, packet_id: u16, out: &mut Vec<u8>) -> Result<Option<Heard>, Fault> {
        if self.unanswered.contains(&packet_id) {
            return Err(self.fault(MqttError::ProtocolError, out));
        }
        let known = self.seat.as_ref().is_some_and(|seat| seat.forget(packet_id));
        let reason = if known { PubcompReasonCode::Success } else { PubcompReasonCode::PacketIdentifierNotFound };
        self.reply(replies::pubcomp(self.version(), packet_id, reason), out)
    }

    fn reply(&mut self, packet: Result<Packet, MqttError>, out: &mut Vec<u8>) -> Result<Option<Heard>, Fault> {
        self.say(packet.map_err(Fault)?, out)?;
        Ok(None)
    }
}

fn goodbye(disconnect: &v5_0::Disconnect) -> Heard {
    let session_expiry_secs = disconnect.props().iter().flatten().find_map(|property| {
        let Property::SessionExpiryInterval(expiry) = property else { return None };
        Some(expiry.val())
    });
    let with_will = !matches!(disconnect.reason_code(), None | Some(DisconnectReasonCode::NormalDisconnection));
    Heard::Goodbye { with_will, session_expiry_secs }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::BytesMut;
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};
    use tokio_util::sync::CancellationToken;

    use super::{Dialogue, Heard};
    use crate::sources::mqtt_listener::replies::Admission;
    use crate::sources::mqtt_listener::sessions::{SessionKey, Sessions, Start};

    /// A conversation after CONNECT and CONNACK, and what was said in it.
    fn admitted(connect: &[u8]) -> Dialogue {
        let mut dialogue = Dialogue::new(1_000);
        let mut out = Vec::new();
        let heard = dialogue.hear(&mut BytesMut::from(connect), &mut out).unwrap();
        let Some(Heard::Greeting(greeting)) = heard else { panic!("{heard:?}") };
        let seat = Arc::new(Sessions::new(1)).open(
            SessionKey::nameless(&greeting.client_id),
            Start::Clean,
            &CancellationToken::new(),
        );
        let seat = Arc::new(seat);
        let admission =
            Admission { greeting: &greeting, session_present: false, receive_max: 10, session_expiry_max_secs: 60 };
        dialogue.admit(seat, &admission, &mut out).unwrap();
        dialogue
    }

    fn connect(version: u8) -> Vec<u8> {
        let head = [0x10, if version == 5 { 14 } else { 13 }, 0, 4, b'M', b'Q', b'T', b'T', version, 2, 0, 0];
        let properties: &[u8] = if version == 5 { &[0] } else { &[] };
        [&head, properties, &[0, 1, b'm']].concat()
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
        fn whatever_a_client_says_is_heard_or_a_fault(
            version in 4u8..6,
            packets in proptest::collection::vec(packet(), 1..8),
            piece in 1usize..40,
        ) {
            let mut dialogue = admitted(&connect(version));
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
        fn whatever_comes_instead_of_connect_is_a_fault_or_not_yet_a_packet(said in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut dialogue = Dialogue::new(1_000);
            let heard = dialogue.hear(&mut BytesMut::from(said.as_slice()), &mut Vec::new());
            assert!(matches!(heard, Err(_) | Ok(None | Some(Heard::Greeting(_)))));
        }
    }

    #[test]
    fn a_keep_alive_allows_half_as_long_again() {
        let mut connect = connect(4);
        connect[11] = 10;
        assert_eq!(admitted(&connect).patience(), Some(Duration::from_secs(15)));
    }
}
