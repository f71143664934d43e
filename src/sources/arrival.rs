//! An MQTT publication as an envelope: what both MQTT sources know of a message, under the names mappings use for it
//! (rules EV-9, EV-10, EV-12).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::model::envelope::{Envelope, Origin, WayIn};

/// Room for the properties that every message has, and for a few levels of topics with names.
const SYSTEM_PROPERTIES: usize = 10;

/// A publication as it came off the wire.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Topic as sent.
    pub(crate) topic: String,
    /// Quality of service of this delivery, 0 to 2.
    pub(crate) qos: u8,
    /// The broker kept it from before, or the device asks that it be kept.
    pub(crate) retain: bool,
    /// Sent before, perhaps.
    pub(crate) dup: bool,
    /// User properties of MQTT 5; of a name given twice the last counts.
    pub(crate) properties: Map<String, Value>,
    /// What else the sender says of the message (MQTT 5), under the names system properties have.
    pub(crate) annotations: Vec<(&'static str, Value)>,
    /// The payload.
    pub(crate) payload: Bytes,
}

/// Makes the envelopes of one source and numbers them.
#[derive(Debug)]
pub(crate) struct Arrivals {
    connector: Arc<str>,
    source: Arc<str>,
    clock: Clock,
    body_bytes_max: usize,
    split_arrays: bool,
    taken: AtomicU64,
}

impl Arrivals {
    /// Numbers from 1 for the source named `source` of the connector; payloads may have `body_bytes_max` bytes.
    pub(crate) fn new(connector: Arc<str>, source: &str, clock: Clock, body_bytes_max: usize) -> Self {
        let taken = AtomicU64::new(0);
        Self { connector, source: Arc::from(source), clock, body_bytes_max, split_arrays: false, taken }
    }

    /// The same, with payloads that are arrays taken apart if `split_arrays` says so.
    pub(crate) fn splitting(self, split_arrays: bool) -> Self {
        Self { split_arrays, ..self }
    }

    /// The arrival as an envelope that was enqueued now.
    pub(crate) fn envelope(&self, arrival: Arrival) -> Envelope {
        let position = self.taken.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let enqueued_at = self.clock.now();
        let levels = arrival.topic.split('/').map(Value::from).collect();
        let mut system_properties = Map::with_capacity(SYSTEM_PROPERTIES.saturating_add(arrival.annotations.len()));
        system_properties.extend(arrival.annotations.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let mut insert = |name: &str, value: Value| system_properties.insert(name.to_owned(), value);
        insert("topicLevels", Value::Array(levels));
        insert("topic", Value::String(arrival.topic));
        insert("qos", Value::from(arrival.qos));
        insert("retain", Value::Bool(arrival.retain));
        insert("dup", Value::Bool(arrival.dup));
        insert("x-opt-enqueued-time", Value::String(enqueued_at.to_string()));
        insert("x-opt-sequence-number", Value::from(position));
        let origin = Origin { connector: Arc::clone(&self.connector), source: Arc::clone(&self.source), position };
        Envelope {
            body: arrival.payload,
            body_bytes_max: self.body_bytes_max,
            split_arrays: self.split_arrays,
            properties: arrival.properties,
            system_properties,
            enqueued_at,
            origin,
            way_in: WayIn::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use serde_json::{Map, Value, json};

    use super::{Arrival, Arrivals};
    use crate::clock::Clock;

    #[test]
    fn ev_10_the_broker_side_of_a_publication_becomes_system_properties() {
        let clock = Clock::stopped("2024-03-02T07:15:00.25Z".parse().unwrap());
        let arrivals = Arrivals::new(Arc::from("ward"), "mqtt", clock, 100);
        let arrival = Arrival {
            topic: "ward/7/pulse".to_owned(),
            qos: 1,
            retain: true,
            dup: false,
            properties: Map::new(),
            annotations: vec![("content-type", json!("application/json"))],
            payload: Bytes::from_static(b"{}"),
        };
        let envelope = arrivals.envelope(arrival);
        assert_eq!(
            Value::Object(envelope.system_properties),
            json!({
                "content-type": "application/json", "topic": "ward/7/pulse", "topicLevels": ["ward", "7", "pulse"], "qos": 1, "retain": true, "dup": false,
                "x-opt-enqueued-time": "2024-03-02T07:15:00.25Z", "x-opt-sequence-number": 1,
            })
        );
        assert_eq!(envelope.origin.position, 1);
    }
}
