//! At least once in, exactly once stored: through a real broker with its default limits.

use std::time::Duration;

use serde_json::Value;

use crate::support::account::{Account, assert_same, sent};
use crate::support::config::{SERVICE, connector, mqtt, wearables};
use crate::support::dice::Dice;
use crate::support::mosquitto::Mosquitto;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::{HEART_RATE_FILE, heart_rate};
use crate::support::wait::until;

const DRAIN_MAX: Duration = Duration::from_secs(120);
/// Enough for a kill at any stage, and few enough for all kills to come before the end.
const MESSAGES_BETWEEN_KILLS_MAX: usize = 1_200;

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

/// Kills the product again and again while it works through the readings, each time after another number of messages,
/// so that it dies at another point of the pipeline. It takes `in_flight_max` messages at a time, so that no machine is
/// through with them before the last kill. `fhir` is the server it delivers to, when that is not its own.
async fn check_kills((template, in_flight_max): (&str, u32), kills: usize, fhir: Option<&Vitalwire>, seed: u64) {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "max_queued_messages 0").await;
    let elsewhere = fhir.map_or_else(String::new, |fhir| format!("fhir = {{ url = \"{}/fhir\" }}\n", fhir.http));
    let source = format!("{}in_flight_max = {in_flight_max}\n", mqtt(broker.port, "readings"));
    let config = connector("wearables", template, &(elsewhere + &source));
    let mut product = Vitalwire::serve(directory.path(), &config);
    product.subscribed("wearables").await;
    send_all(broker.port);
    let mut dice = Dice::new(seed);
    for kill in 0..kills {
        let received = async || product.ledger("wearables").await["received"].as_u64().unwrap();
        let enough = received().await + u64::try_from(dice.below(MESSAGES_BETWEEN_KILLS_MAX)).unwrap();
        until(DRAIN_MAX, received, |received| *received >= enough).await;
        product.kill();
        product = Vitalwire::serve(directory.path(), &config);
        let ledger = product.ledger("wearables").await;
        assert!(explained(&ledger) < 26_084, "kill {kill} of seed {seed} came too late: {ledger}");
    }
    let settled = |ledger: &Value| ledger["in_flight"] == 0 && explained(ledger) >= 26_084;
    let ledger = until(DRAIN_MAX, async || product.ledger("wearables").await, settled).await;
    assert_eq!((&ledger["unexplained"], &ledger["dead_lettered"]), (&0.into(), &0.into()), "seed {seed}: {ledger}");
    assert_eq!(ledger["received"].as_u64().unwrap(), explained(&ledger), "seed {seed}");

    let account = Account::of(&fhir.unwrap_or(&product).fhir()).await;
    let stored = [account.single, account.sampled].concat();
    assert_same(&stored, &sent(&heart_rate()), &format!("seed {seed}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_killed_25_times_with_its_server_it_stores_every_single_reading_once() {
    check_kills(("heart-rate", 100), 25, None, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_killed_25_times_it_stores_every_reading_of_hourly_streams_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = Vitalwire::serve(directory.path(), SERVICE);
    check_kills(("heart-rate-hourly", 20), 25, Some(&server), 2).await;
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
