//! A message as received, and where it came from (rules EV-1 to EV-12 of the mapping specification).

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::inquiry::Inquiry;

/// A message as received: the bytes, and what the sender and the broker said about them.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// The payload, not yet parsed.
    pub(crate) body: Bytes,
    /// Largest body, in bytes, that its source is to take; a larger one is not looked into.
    pub(crate) body_bytes_max: usize,
    /// Whether a body that is an array is taken apart, each element mapped as a body of its own.
    pub(crate) split_arrays: bool,
    /// Set by the sender; MQTT 5 user properties, Kafka headers (EV-9).
    pub(crate) properties: Map<String, Value>,
    /// Set by the broker and the source: topic, QoS, partition, arrival time (EV-9, EV-10).
    pub(crate) system_properties: Map<String, Value>,
    /// When the message arrived, or when its broker took it (EV-12).
    pub(crate) enqueued_at: Timestamp,
    /// Enough to find the message again; safe to log.
    pub(crate) origin: Origin,
    /// Straight from its source, or once more from the dead letters.
    pub(crate) way_in: WayIn,
}

/// Which way a message came into the pipeline.
#[derive(Clone, Debug)]
pub(crate) enum WayIn {
    /// From its source. The dead letters set the number under which they keep it, when they do.
    Source(OnceLock<i64>),
    /// As `Source`, and its sender waits to hear what becomes of it.
    Asked(OnceLock<i64>, Inquiry),
    /// From the dead letters, which keep it under this number until the replay has ended.
    Replay(i64),
}

impl Default for WayIn {
    /// From its source, and not among the dead letters.
    fn default() -> Self {
        Self::Source(OnceLock::new())
    }
}

impl WayIn {
    /// That of a part of the message, which the dead letters keep by itself. In a replay they keep the whole.
    pub(crate) fn of_a_part(&self) -> Self {
        match self {
            Self::Source(_) => Self::default(),
            Self::Asked(_, inquiry) => Self::Asked(OnceLock::new(), inquiry.clone()),
            Self::Replay(number) => Self::Replay(*number),
        }
    }
}

impl Envelope {
    /// Bytes of the body, and of names and values of all properties (TM-3).
    pub(crate) fn bytes(&self) -> usize {
        let properties = self.properties.iter().chain(&self.system_properties);
        self.body.len() + properties.map(|(name, value)| name.len() + text_bytes(value)).sum::<usize>()
    }
}

/// Bytes of the texts and numbers in a value, without what JSON puts around them.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(true) => "true".len(),
        Value::Bool(false) => "false".len(),
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + text_bytes(value)).sum(),
    }
}

/// Where a message came from. Holds nothing that identifies a person: device topics often do, so the topic is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Name of the connector.
    pub(crate) connector: Arc<str>,
    /// Name of the source within the connector, for example `mqtt` or `mqtt-listener`.
    pub(crate) source: Arc<str>,
    /// Number of the message since the source started, from 1.
    pub(crate) position: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::model::samples::envelope;

    #[test]
    fn tm_3_the_size_of_a_message_is_that_of_its_body_and_of_names_and_values_of_its_properties() {
        let mut envelope = envelope(1, "{\"hr\": 61}");
        assert_eq!(envelope.bytes(), 10);
        envelope.properties.insert("site".to_owned(), json!("ward-4"));
        let system = json!({"qos": 1, "retain": true, "topicLevels": ["a", "bc"], "none": null, "dup": {"x": 1.50}});
        let Value::Object(system) = system else { panic!() };
        envelope.system_properties = system;
        assert_eq!(envelope.bytes(), 10 + (4 + 6) + (3 + 1) + (6 + 4) + (11 + 3) + 4 + (3 + 1 + 3));
    }
}
