//! The recordings, a list of messages for each device, and a message as that device would send it at a given time.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Heart rate of two wrist-worn wearables.
const HEART_RATE: &str = include_str!("data/fitbit-heartrate.ndjson");
/// Five minutes of Holter ECG.
const ECG: &str = include_str!("data/mitbih-208-ecg.ndjson");

/// What one device sent, in order.
pub(super) struct Recording {
    /// Name of the device among those of the demo, for its MQTT session.
    pub(super) name: String,
    /// Topic it publishes to.
    pub(super) topic: &'static str,
    /// Member that holds the time of a message.
    time_member: &'static str,
    messages: Vec<Map<String, Value>>,
}

impl Recording {
    /// The recordings of all devices.
    pub(super) fn all() -> Vec<Self> {
        let mut recordings =
            by_device(HEART_RATE, "heart-rate", "measurementdatetime", |message| message.get("deviceid"));
        recordings.extend(by_device(ECG, "ecg", "startedAt", |message| message.get("device")?.get("serial")));
        recordings
    }

    /// The message with this number, counted round and round, as it is sent at `time`.
    pub(super) fn message_at(&self, number: usize, time: Timestamp) -> String {
        let Some(recorded) = self.messages.get(number.checked_rem(self.messages.len()).unwrap_or(0)) else {
            return String::new();
        };
        let mut message = recorded.clone();
        message.insert(self.time_member.to_owned(), Value::String(time.to_string()));
        Value::Object(message).to_string()
    }
}

fn by_device(
    text: &str,
    topic: &'static str,
    time_member: &'static str,
    device: impl Fn(&Map<String, Value>) -> Option<&Value>,
) -> Vec<Recording> {
    let mut recordings: Vec<Recording> = Vec::new();
    for line in text.lines() {
        let Ok(Value::Object(message)) = serde_json::from_str(line) else { continue };
        let Some(name) = device(&message).and_then(Value::as_str).map(str::to_owned) else { continue };
        match recordings.iter_mut().find(|recording| recording.name == name) {
            Some(recording) => recording.messages.push(message),
            None => recordings.push(Recording { name, topic, time_member, messages: vec![message] }),
        }
    }
    recordings
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::Recording;

    #[test]
    fn every_recorded_message_belongs_to_a_device() {
        let recordings = Recording::all();
        let counts: Vec<_> = recordings.iter().map(|recording| (recording.topic, recording.messages.len())).collect();
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), 26_084 + 300);
        assert_eq!(counts.iter().map(|(topic, _)| *topic).collect::<Vec<_>>(), ["heart-rate", "heart-rate", "ecg"]);
    }

    #[test]
    fn a_message_has_its_recorded_values_and_the_time_it_is_sent() {
        let recordings = Recording::all();
        let time = "2026-01-02T03:04:05.000006Z".parse().unwrap();
        let message: Value = serde_json::from_str(&recordings[0].message_at(1, time)).unwrap();
        assert_eq!(message["measurementdatetime"], "2026-01-02T03:04:05.000006Z");
        assert_eq!(message["heartrate"], 91);
        let again: Value = serde_json::from_str(&recordings[2].message_at(300, time)).unwrap();
        assert_eq!(again["samples"], recordings[2].messages[0]["samples"]);
    }
}
