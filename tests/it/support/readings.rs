//! The recorded readings that the tests send.

use serde_json::Value;

/// 26,084 heart-rate readings of two wearables, one JSON message a line.
pub(crate) const HEART_RATE_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/data/fitbit-heartrate.ndjson");

/// Their messages, in order.
pub(crate) fn heart_rate() -> Vec<Value> {
    let text = std::fs::read_to_string(HEART_RATE_FILE).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
