//! Messages that come again, in any order and number, change nothing.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::account::{Account, assert_same, by_value, sent, versions};
use crate::support::config::{connector, mqtt_listener, wearables};
use crate::support::dice::Dice;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);

/// Sends messages through the listener; all are acknowledged when it returns.
fn send(product: &Vitalwire, directory: &Path, messages: &[Value]) {
    let file = directory.join("messages.ndjson");
    let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let to = format!("mqtt://{}/readings", product.mqtt.as_ref().unwrap());
    let (code, _, errors) = run(vitalwire(&["send", file.to_str().unwrap(), "--to", &to]));
    assert_eq!(code, Some(0), "{errors}");
}

async fn closed_ledger(product: &Vitalwire, connector: &str, received: usize) -> Value {
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
    let mut dice = Dice::new(7);
    let thrice = dice.shuffled([readings.clone(), readings.clone(), readings].concat());
    send(&product, directory.path(), &thrice);
    let ledger = closed_ledger(&product, "wearables", 9_000).await;
    assert_eq!(product.fhir().count("Observation").await, 3_000);
    assert_eq!(ledger["merged"], 0, "{ledger}");
    send(&product, directory.path(), &dice.shuffled(thrice));
    let again = closed_ledger(&product, "wearables", 18_000).await;
    assert_eq!((&again["stored"], &again["merged"]), (&ledger["stored"], &ledger["merged"]));
    assert_eq!(product.fhir().count("Observation").await, 3_000);
}

/// The messages in a random order, and every tenth or so once more at a random place.
fn garbled(messages: &[Value], seed: u64) -> Vec<Value> {
    let mut dice = Dice::new(seed);
    let again = messages.iter().filter(|_| dice.below(10) == 0).cloned().collect();
    let all = [messages.to_vec(), again].concat();
    dice.shuffled(all)
}

/// Three garbled sendings end in the resources of one clean run, and the third writes nothing.
async fn check_three_sendings(template: &str) {
    let config = connector("wearables", template, &mqtt_listener());
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let readings = heart_rate();
    let clean = Vitalwire::serve(here.path(), &config);
    send(&clean, here.path(), &readings);
    closed_ledger(&clean, "wearables", readings.len()).await;

    let product = Vitalwire::serve(there.path(), &config);
    let (mut received, mut before) = (0, None);
    for seed in 1..=3 {
        before = Some(versions(&product.fhir()).await);
        let messages = garbled(&readings, seed);
        received += messages.len();
        send(&product, there.path(), &messages);
        closed_ledger(&product, "wearables", received).await;
    }
    assert_eq!(before, Some(versions(&product.fhir()).await));
    for resource_type in ["Observation", "Patient", "Device"] {
        let (found, expected) = (product.fhir(), clean.fhir());
        let (found, expected) = (by_value(&found, resource_type).await, by_value(&expected, resource_type).await);
        assert_same(&Vec::from_iter(found), &Vec::from_iter(expected), resource_type);
    }
    for (account, of) in [(Account::of(&clean.fhir()).await, "clean"), (Account::of(&product.fhir()).await, "garbled")]
    {
        let stored = [account.single, account.sampled].concat();
        assert_same(&stored, &sent(&readings), of);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p_2_single_readings_sent_three_times_in_disorder_end_as_one_clean_run() {
    check_three_sendings("heart-rate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_2_hourly_streams_sent_three_times_in_disorder_end_as_one_clean_run() {
    check_three_sendings("heart-rate-hourly").await;
}
