//! Messages that come again, in any order and number, change nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::config::{connector, mqtt_listener, wearables};
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);

/// The same items in an order that looks random and is the same for the same seed.
fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut state = seed;
    for place in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(place, usize::try_from(state >> 33).unwrap() % (place + 1));
    }
    items
}

/// Sends messages through the listener; all are acknowledged when it returns.
fn send(product: &Vitalwire, directory: &Path, messages: &[Value]) {
    let file = directory.join("messages.ndjson");
    let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let to = format!("mqtt://{}/readings", product.mqtt.as_ref().unwrap());
    let (code, _, errors) = run(vitalwire(&["send", file.to_str().unwrap(), "--to", &to]));
    assert_eq!(code, Some(0), "{errors}");
}

async fn closed_ledger(product: &Vitalwire, connector: &str, received: u64) -> Value {
    let closed = |ledger: &Value| ledger["received"] == received && ledger["in_flight"] == 0;
    let ledger = until(PATIENCE, async || product.ledger(connector).await, closed).await;
    assert_eq!(
        (&ledger["unexplained"], &ledger["dead_lettered"], &ledger["unmatched"]),
        (&0.into(), &0.into(), &0.into())
    );
    ledger
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_in_one_burst_are_stored_once() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    let readings: Vec<Value> = heart_rate().into_iter().take(3_000).collect();
    let thrice = shuffled([readings.clone(), readings.clone(), readings].concat(), 7);
    send(&product, directory.path(), &thrice);
    let ledger = closed_ledger(&product, "wearables", 9_000).await;
    assert_eq!(product.fhir().count("Observation").await, 3_000);
    assert_eq!(ledger["merged"], 0, "{ledger}");
    send(&product, directory.path(), &shuffled(thrice, 11));
    let again = closed_ledger(&product, "wearables", 18_000).await;
    assert_eq!((&again["stored"], &again["merged"]), (&ledger["stored"], &ledger["merged"]));
    assert_eq!(product.fhir().count("Observation").await, 3_000);
}

/// Version of every Observation by its id.
async fn versions(product: &Vitalwire) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = product.fhir().all("Observation?_count=1000").await;
    all.iter().map(|resource| (text(&resource["id"]), text(&resource["meta"]["versionId"]))).collect()
}

/// What is measured, by value: periods and samples.
async fn streams(product: &Vitalwire) -> Vec<String> {
    let all = product.fhir().all("Observation?_count=1000").await;
    let mut streams: Vec<String> = all
        .iter()
        .map(|resource| format!("{} {}", resource["effectivePeriod"], resource["component"][0]["valueSampledData"]))
        .collect();
    streams.sort_unstable();
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn hourly_streams_are_the_same_in_whatever_order_their_readings_come() {
    let config = connector("wearables", "heart-rate-hourly", &mqtt_listener());
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clean = Vitalwire::serve(here.path(), &config);
    send(&clean, here.path(), &heart_rate());
    closed_ledger(&clean, "wearables", 26_084).await;

    let product = Vitalwire::serve(there.path(), &config);
    send(&product, there.path(), &shuffled(heart_rate(), 1));
    closed_ledger(&product, "wearables", 26_084).await;
    let (expected, found) = (streams(&clean).await, streams(&product).await);
    assert!(expected.len() > 50, "{}", expected.len());
    assert!(
        found == expected,
        "first difference: {:?}",
        found.iter().zip(&expected).find(|(left, right)| left != right)
    );

    let before = versions(&product).await;
    send(&product, there.path(), &shuffled(heart_rate(), 2));
    let ledger = closed_ledger(&product, "wearables", 2 * 26_084).await;
    assert!(ledger["unchanged"].as_u64() >= Some(26_084), "{ledger}");
    assert_eq!(versions(&product).await, before);
}
