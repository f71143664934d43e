//! What a hundred megabytes waiting at a Kafka broker cost in memory.
#![cfg(target_os = "linux")]

use std::time::Duration;

use serde_json::Value;

use crate::support::config::{connector, kafka};
use crate::support::kafka::client::Client;
use crate::support::kafka::{address, unique};
use crate::support::process::Vitalwire;
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(180);
const MESSAGES: usize = 2_000;
const MESSAGE_BYTES: usize = 50_000;
/// Bytes of messages in flight, a tenth of the backlog.
const IN_FLIGHT_BYTES_MAX: usize = 10_000_000;
/// Less than a process needs that takes the whole backlog.
const MEMORY_KIB_MAX: u64 = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn p_7_a_backlog_of_a_hundred_megabytes_is_worked_off_in_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (address, topic) = (address().await, unique("backlog"));
    let client = Client::with(&address, &[("compression.type", "zstd")]);
    client.create_topic(&topic, 4).await;
    let padding = "x".repeat(MESSAGE_BYTES);
    let padded = |mut message: Value| {
        message["padding"] = padding.as_str().into();
        message
    };
    let messages: Vec<Value> = heart_rate().into_iter().take(MESSAGES).map(padded).collect();
    for some in messages.chunks(200) {
        client.send_json(&topic, some).await;
    }

    let source = kafka(&address, &topic, &[&topic]);
    let bounded = format!("in_flight_bytes_max = {IN_FLIGHT_BYTES_MAX}\n{source}");
    let config = connector("wearables", "heart-rate-hourly", &bounded);
    let product = Vitalwire::serve(directory.path(), &config);
    let settled = |ledger: &Value| ledger["in_flight"] == 0 && ledger["received"] == MESSAGES;
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    assert_eq!((&ledger["unexplained"], &ledger["dead_lettered"]), (&0.into(), &0.into()), "{ledger}");
    let peak = product.memory_peak();
    assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
}
