//! What both sides of MQTT read alike: packets out of bytes, and publications out of packets.
//!
//! The state machine is that of `mqtt-protocol-core`. It trusts its peer in what is checked here: fixed header flags, and
//! topic names without wildcards.

use bytes::{Buf, Bytes, BytesMut};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::prelude::Event;
use mqtt_protocol_core::mqtt::result_code::MqttError;
use mqtt_protocol_core::mqtt::role::RoleType;
use mqtt_protocol_core::mqtt::{ArcPayload, Connection};
use serde_json::{Map, Value};

use super::arrival::Arrival;

/// The state machine of one side, fed with the bytes of the other.
pub(crate) struct Reader<Role: RoleType> {
    /// The state machine.
    pub(crate) protocol: Connection<Role>,
    /// The next byte is the first of a packet.
    between_packets: bool,
}

/// A payload shared with the packet it came in.
struct Payload(ArcPayload);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl<Role: RoleType> Reader<Role> {
    /// A state machine that has read nothing.
    pub(crate) fn new(protocol: Connection<Role>) -> Self {
        Self { protocol, between_packets: true }
    }

    /// Reads one packet, or what there is of it, and says what the state machine makes of it; `None` at the end of `input`.
    ///
    /// # Errors
    /// When the flags are not those of the packet. Other errors are among the events.
    pub(crate) fn read(&mut self, input: &mut BytesMut) -> Result<Option<Vec<Event>>, MqttError> {
        let Some(first) = input.first() else {
            return Ok(None);
        };
        if self.between_packets && !flags_fit(*first) {
            return Err(MqttError::MalformedPacket);
        }
        let mut cursor = Cursor::new(input.as_ref());
        let events = self.protocol.recv(&mut cursor);
        let consumed = usize::try_from(cursor.position()).unwrap_or(usize::MAX).clamp(1, input.len());
        input.advance(consumed);
        self.between_packets = !events.is_empty();
        Ok(Some(events))
    }
}

/// Whether the flags beside the packet type are those MQTT reserves for it; those of PUBLISH carry meaning.
fn flags_fit(first_byte: u8) -> bool {
    let flags = first_byte & 0x0F;
    match first_byte >> 4 {
        3 => true,
        6 | 8 | 10 => flags == 0b0010,
        _ => flags == 0,
    }
}

/// What was published in MQTT 3.1.1.
pub(crate) fn arrival_v3_1_1(publish: &v3_1_1::Publish) -> Arrival {
    Arrival {
        topic: publish.topic_name().to_owned(),
        qos: publish.qos() as u8,
        retain: publish.retain(),
        dup: publish.dup(),
        properties: Map::new(),
        annotations: Vec::new(),
        payload: Bytes::from_owner(Payload(publish.payload().clone())),
    }
}

/// What was published in MQTT 5.
pub(crate) fn arrival_v5_0(publish: &v5_0::Publish) -> Arrival {
    Arrival {
        topic: publish.topic_name().to_owned(),
        qos: publish.qos() as u8,
        retain: publish.retain(),
        dup: publish.dup(),
        properties: user_properties(publish.props()),
        annotations: annotations(publish.props()),
        payload: Bytes::from_owner(Payload(publish.payload().clone())),
    }
}

/// Whether messages can be published to it: not empty, no wildcards, no U+0000.
pub(crate) fn is_topic_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['#', '+', '\0'])
}

/// The user properties among `properties`.
pub(crate) fn user_properties(properties: &[Property]) -> Map<String, Value> {
    properties
        .iter()
        .filter_map(|property| {
            let Property::UserProperty(pair) = property else { return None };
            Some((pair.key().to_owned(), Value::from(pair.val())))
        })
        .collect()
}

/// What `properties` say of a message, under the names system properties have.
pub(crate) fn annotations(properties: &[Property]) -> Vec<(&'static str, Value)> {
    properties.iter().filter_map(annotation).collect()
}

fn annotation(property: &Property) -> Option<(&'static str, Value)> {
    if let Property::ContentType(content_type) = property {
        return Some(("content-type", Value::from(content_type.val())));
    }
    if let Property::ResponseTopic(topic) = property {
        return Some(("response-topic", Value::from(topic.val())));
    }
    if let Property::MessageExpiryInterval(seconds) = property {
        return Some(("message-expiry-interval", Value::from(seconds.val())));
    }
    None
}
