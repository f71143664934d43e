//! A Kafka message as an envelope, under the names that the reference gives to what it knows of one (rules EV-9, EV-10,
//! EV-12).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use rdkafka::message::{Headers as _, Message};
use serde_json::{Map, Value};

use super::{KafkaSettings, SOURCE, amqp};
use crate::clock::Clock;
use crate::model::envelope::{Envelope, Origin, WayIn};

/// What the names of headers begin with that the broker set, not the sender.
const SYSTEM_PREFIXES: [&str; 2] = ["iothub-", "x-opt-"];

/// How the values of headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderValues {
    /// As text.
    Text,
    /// As AMQP primitives where they can be nothing else, as Azure Event Hubs does, else as text.
    Amqp,
}

/// Makes the envelopes of one source and numbers them.
#[derive(Debug)]
pub(super) struct Envelopes {
    connector: Arc<str>,
    source: Arc<str>,
    clock: Clock,
    body_bytes_max: usize,
    split_arrays: bool,
    header_values: HeaderValues,
    taken: u64,
}

impl Envelopes {
    /// Numbers from 1 for the source of the connector with these settings.
    pub(super) fn new(connector: Arc<str>, clock: Clock, settings: &KafkaSettings) -> Self {
        let KafkaSettings { message_bytes_max, split_arrays, header_values, .. } = *settings;
        let source = Arc::from(SOURCE);
        Self { connector, source, clock, body_bytes_max: message_bytes_max, split_arrays, header_values, taken: 0 }
    }

    /// The message as an envelope that was enqueued when its broker, or else its producer, says so.
    ///
    /// A message without a payload (a tombstone) has an empty body. A key that is not text is given in Base64.
    pub(super) fn envelope(&mut self, message: &impl Message) -> Envelope {
        self.taken = self.taken.saturating_add(1);
        let enqueued_at = message.timestamp().to_millis().and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let enqueued_at = enqueued_at.unwrap_or_else(|| self.clock.now());
        let (properties, mut system_properties) = self.headers(message);
        let mut insert = |name: &str, value: Value| system_properties.insert(name.to_owned(), value);
        insert("topic", Value::from(message.topic()));
        insert("partition", Value::from(message.partition()));
        insert("offset", Value::from(message.offset()));
        insert("x-opt-sequence-number", Value::from(message.offset()));
        insert("x-opt-offset", Value::from(message.offset().to_string()));
        insert("x-opt-enqueued-time", Value::from(enqueued_at.to_string()));
        if let Some(key) = message.key() {
            let key = text(key);
            insert("x-opt-partition-key", key.clone());
            insert("key", key);
        }
        Envelope {
            body: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
            body_bytes_max: self.body_bytes_max,
            split_arrays: self.split_arrays,
            properties,
            system_properties,
            enqueued_at,
            origin: Origin {
                connector: Arc::clone(&self.connector),
                source: Arc::clone(&self.source),
                position: self.taken,
            },
            way_in: WayIn::default(),
        }
    }

    /// What the sender set, and what the broker did. Of a name given twice the last counts.
    fn headers(&self, message: &impl Message) -> (Map<String, Value>, Map<String, Value>) {
        let (mut properties, mut system_properties) = (Map::new(), Map::with_capacity(8));
        for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
            let value = header.value.map_or(Value::Null, |value| self.value(value));
            let is_system = SYSTEM_PREFIXES.iter().any(|prefix| header.key.starts_with(prefix));
            let set = if is_system { &mut system_properties } else { &mut properties };
            set.insert(header.key.to_owned(), value);
        }
        (properties, system_properties)
    }

    fn value(&self, bytes: &[u8]) -> Value {
        match self.header_values {
            HeaderValues::Amqp if !is_plainly_text(bytes) => amqp::decode(bytes).unwrap_or_else(|| text(bytes)),
            HeaderValues::Amqp | HeaderValues::Text => text(bytes),
        }
    }
}

/// Whether these bytes are to be taken as text though they might be an AMQP primitive: "P4" is one too, a 52. Single octets
/// are not: a lone `A` is the way AMQP says true.
fn is_plainly_text(bytes: &[u8]) -> bool {
    bytes.len() > 1 && std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(char::is_control))
}

/// Bytes as text, in Base64 where they are none.
fn text(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_binary| Value::from(STANDARD.encode(bytes)), Value::from)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
    use serde_json::{Value, json};

    use super::{Envelopes, HeaderValues};
    use crate::clock::Clock;
    use crate::model::envelope::Envelope;

    const MILLIS: i64 = 1_709_363_700_026;

    fn message(key: Option<&[u8]>, payload: Option<&[u8]>, headers: &[(&str, &[u8])]) -> OwnedMessage {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
        let (payload, key) = (payload.map(<[u8]>::to_vec), key.map(<[u8]>::to_vec));
        OwnedMessage::new(payload, key, "readings".to_owned(), Timestamp::CreateTime(MILLIS), 3, 41, Some(headers))
    }

    fn envelope(values: HeaderValues, message: &OwnedMessage) -> Envelope {
        let clock = Clock::stopped("2026-01-01T00:00:00Z".parse().unwrap());
        let mut envelopes = Envelopes {
            connector: Arc::from("ward"),
            source: Arc::from("kafka"),
            clock,
            body_bytes_max: 100,
            split_arrays: false,
            header_values: values,
            taken: 0,
        };
        envelopes.envelope(message)
    }

    #[test]
    fn ev_10_ev_12_where_a_message_lay_and_since_when_become_system_properties() {
        let envelope = envelope(HeaderValues::Text, &message(Some(b"pump-7"), Some(b"{}"), &[]));
        assert_eq!(
            Value::Object(envelope.system_properties),
            json!({
                "topic": "readings", "partition": 3, "offset": 41, "key": "pump-7",
                "x-opt-sequence-number": 41, "x-opt-offset": "41", "x-opt-partition-key": "pump-7",
                "x-opt-enqueued-time": "2024-03-02T07:15:00.026Z",
            })
        );
        assert_eq!(envelope.enqueued_at.to_string(), "2024-03-02T07:15:00.026Z");
        assert_eq!((envelope.body.as_ref(), envelope.origin.position), (&b"{}"[..], 1));
    }

    #[test]
    fn a_message_without_payload_key_and_time_is_an_empty_one_enqueued_now() {
        let bare = OwnedMessage::new(None, None, "readings".to_owned(), Timestamp::NotAvailable, 0, 0, None);
        let envelope = envelope(HeaderValues::Text, &bare);
        assert!(envelope.body.is_empty() && envelope.properties.is_empty());
        assert_eq!(envelope.system_properties.get("key"), None);
        assert_eq!(envelope.enqueued_at.to_string(), "2026-01-01T00:00:00Z");
    }

    #[track_caller]
    fn check(values: HeaderValues, bytes: &[u8], expected: Value) {
        let envelope = envelope(values, &message(None, None, &[("h", b"once"), ("h", bytes)]));
        assert_eq!(envelope.properties.get("h"), Some(&expected), "{bytes:x?}");
    }

    #[test]
    fn ev_9_headers_become_properties() {
        check(HeaderValues::Text, b"ward 4", json!("ward 4"));
        check(HeaderValues::Text, b"A", json!("A"));
        check(HeaderValues::Text, b"\xff\x00", json!("/wA="));
    }

    #[test]
    fn ev_9_values_of_event_hubs_are_read_as_amqp_unless_they_are_plainly_text() {
        check(HeaderValues::Amqp, b"\xa1\x06ward 4", json!("ward 4"));
        check(HeaderValues::Amqp, b"ward 4", json!("ward 4"));
        check(HeaderValues::Amqp, b"\x71\x00\x00\x00\x05", json!(5));
        check(HeaderValues::Amqp, b"\x41", json!(true));
        check(HeaderValues::Amqp, b"P4", json!("P4"));
        check(HeaderValues::Amqp, b"\xff\x00", json!("/wA="));
    }

    #[test]
    fn ev_10_headers_that_the_broker_set_become_system_properties() {
        let headers: [(&str, &[u8]); 3] =
            [("iothub-connection-device-id", b"\xa1\x02d1"), ("x-opt-sequence-number", b"\x55\x07"), ("site", b"a")];
        let envelope = envelope(HeaderValues::Amqp, &message(None, None, &headers));
        assert_eq!(envelope.system_properties["iothub-connection-device-id"], "d1");
        // What the partition itself says stands above what a header says of it.
        assert_eq!(envelope.system_properties["x-opt-sequence-number"], 41);
        assert_eq!(Value::Object(envelope.properties), json!({"site": "a"}));
    }
}
