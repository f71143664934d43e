//! At least once in, exactly once stored: through a real broker with its default limits.

use std::time::Duration;

use serde_json::Value;

use crate::support::config::{mqtt, wearables};
use crate::support::mosquitto::Mosquitto;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::{HEART_RATE_FILE, heart_rate};
use crate::support::wait::until;

const DRAIN_MAX: Duration = Duration::from_secs(120);

/// Publishes all recorded heart-rate readings and waits until the broker has them.
fn send_all(port: u16) {
    let (code, output, errors) =
        run(vitalwire(&["send", HEART_RATE_FILE, "--to", &format!("mqtt://127.0.0.1:{port}/readings")]));
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(output.contains("26084"), "{output}");
}

fn explained(ledger: &Value) -> u64 {
    ["stored", "merged", "unchanged", "unmatched", "dead_lettered"]
        .iter()
        .map(|state| ledger[*state].as_u64().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reading_is_stored_once_and_sending_them_again_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "max_queued_messages 0").await;
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt(broker.port, "readings")));
    product.subscribed("wearables").await;
    send_all(broker.port);
    let ledger =
        until(DRAIN_MAX, async || product.ledger("wearables").await, |ledger| explained(ledger) == 26_084).await;
    assert_eq!(
        (&ledger["stored"], &ledger["received"], &ledger["unexplained"]),
        (&26_084.into(), &26_084.into(), &0.into())
    );
    assert_eq!(product.fhir().count("Observation").await, 26_084);
    assert_eq!(product.fhir().count("Patient").await, 2);

    send_all(broker.port);
    let ledger =
        until(DRAIN_MAX, async || product.ledger("wearables").await, |ledger| explained(ledger) == 2 * 26_084).await;
    assert_eq!(
        (&ledger["stored"], &ledger["unchanged"], &ledger["merged"]),
        (&26_084.into(), &26_084.into(), &0.into())
    );
    assert_eq!(product.fhir().count("Observation").await, 26_084);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_it_stores_every_reading_once_and_the_ledger_closes() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "max_queued_messages 0").await;
    let config = wearables(&mqtt(broker.port, "readings"));
    let mut product = Vitalwire::serve(directory.path(), &config);
    product.subscribed("wearables").await;
    let port = broker.port;
    let sender = std::thread::spawn(move || send_all(port));
    for kill in 0..6_u64 {
        // A pseudo-random share of the readings, so that the kill comes at another point of the pipeline each time.
        let share = 1_000 + (kill * 2_654_435_761) % 2_500;
        let before = product.fhir().count("Observation").await;
        let enough = move |count: &u64| *count >= (before + share).min(26_084);
        until(DRAIN_MAX, async || product.fhir().count("Observation").await, enough).await;
        product.kill();
        product = Vitalwire::serve(directory.path(), &config);
    }
    sender.join().unwrap();
    until(DRAIN_MAX, async || product.fhir().count("Observation").await, |count| *count == 26_084).await;
    let settled = |ledger: &Value| ledger["in_flight"] == 0 && explained(ledger) >= 26_084;
    let ledger = until(DRAIN_MAX, async || product.ledger("wearables").await, settled).await;
    assert_eq!(ledger["unexplained"], 0);
    assert_eq!(ledger["received"].as_u64().unwrap(), explained(&ledger));
    assert_eq!(ledger["dead_lettered"], 0);

    let mut expected: Vec<String> = heart_rate().iter().map(reading).collect();
    let mut stored: Vec<String> = product.fhir().all("Observation?_count=1000").await.iter().map(observation).collect();
    expected.sort_unstable();
    stored.sort_unstable();
    assert_eq!(stored.len(), expected.len());
    assert!(
        stored == expected,
        "first difference: {:?}",
        stored.iter().zip(&expected).find(|(left, right)| left != right)
    );
}

fn reading(message: &Value) -> String {
    let time = message["measurementdatetime"].as_str().unwrap().trim_end_matches('Z');
    format!("{time} {}", message["heartrate"])
}

fn observation(resource: &Value) -> String {
    let time = resource["effectivePeriod"]["start"].as_str().unwrap();
    let (time, fraction) = time.trim_end_matches('Z').split_once('.').unwrap();
    assert_eq!(fraction, "0000000");
    format!("{time} {}", resource["valueQuantity"]["value"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_loses_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    // Started as root, the broker would become another user, who may not write here.
    let settings = "max_queued_messages 0\nuser root";
    let broker = Mosquitto::start(directory.path(), settings).await;
    let port = broker.port;
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt(port, "readings")));
    product.subscribed("wearables").await;
    let sender = std::thread::spawn(move || send_all(port));
    until(DRAIN_MAX, async || product.fhir().count("Observation").await, |count| *count >= 1_000).await;
    broker.stop();
    let _broker = Mosquitto::start_on(port, directory.path(), settings).await;
    sender.join().unwrap();
    until(DRAIN_MAX, async || product.fhir().count("Observation").await, |count| *count == 26_084).await;
    let ledger = until(DRAIN_MAX, async || product.ledger("wearables").await, |ledger| ledger["in_flight"] == 0).await;
    assert_eq!(
        (&ledger["stored"], &ledger["unexplained"], &ledger["dead_lettered"]),
        (&26_084.into(), &0.into(), &0.into())
    );
}
