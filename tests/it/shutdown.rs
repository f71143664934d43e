//! SIGTERM under load while the FHIR server is slow: what is under way is stored or handed back, and nothing is lost.

use std::time::Duration;

use serde_json::Value;

use crate::support::account::{Account, assert_same, sent, versions};
use crate::support::config::{mqtt, wearables};
use crate::support::dice::Dice;
use crate::support::faulty_server::{Fault, FaultyServer, Plan};
use crate::support::mosquitto::Mosquitto;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);
const READINGS: usize = 5_000;
const SHUTDOWNS: usize = 6;
/// Brokers let a client have so many messages at a time; more of them are in the pipeline then.
const IN_FLIGHT_MAX: usize = 500;

/// Ends the product again and again while it works through the readings; gives how often not everything under way was
/// stored within `grace` milliseconds.
async fn check(grace: u64, seed: u64) -> usize {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let faults = vec![Fault::Slow(Duration::from_millis(500))];
    let server = FaultyServer::start(there.path(), Plan { faults, seed, faults_max: usize::MAX });
    let settings = format!("max_queued_messages 0\nmax_inflight_messages {IN_FLIGHT_MAX}");
    let broker = Mosquitto::start(here.path(), &settings).await;
    let source = format!("fhir = {{ url = \"{}\" }}\n{}", server.url, mqtt(broker.port, "readings"));
    let config = format!("{}[shutdown]\ngrace = {grace}\n", wearables(&source));
    let mut product = Vitalwire::serve(here.path(), &config);
    product.subscribed("wearables").await;

    let readings: Vec<Value> = heart_rate().into_iter().take(READINGS).collect();
    let file = here.path().join("messages.ndjson");
    let lines: Vec<String> = readings.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let to = format!("mqtt://127.0.0.1:{}/readings", broker.port);
    assert_eq!(run(vitalwire(&["send", file.to_str().unwrap(), "--to", &to])).0, Some(0));

    let (mut dice, mut unfinished) = (Dice::new(seed), 0);
    for _ in 0..SHUTDOWNS {
        let received = async || product.ledger("wearables").await["received"].as_u64().unwrap();
        let enough = received().await + u64::try_from(1 + dice.below(READINGS / SHUTDOWNS / 2)).unwrap();
        until(PATIENCE, received, |received| *received >= enough.min(5_000)).await;
        product.signal("TERM");
        let (status, log) = product.ended();
        if !status.success() {
            assert!(log.last().unwrap().contains("not everything under way was stored"), "{log:?}");
            unfinished += 1;
        }
        product = Vitalwire::serve(here.path(), &config);
    }
    server.heal();
    let settled = |ledger: &Value| ledger["in_flight"] == 0 && ledger["received"].as_u64() >= Some(5_000);
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    assert_eq!((&ledger["unexplained"], &ledger["dead_lettered"]), (&0.into(), &0.into()), "seed {seed}: {ledger}");
    let account = Account::of(&server.fhir()).await;
    assert_same(&account.single, &sent(&readings), &format!("seed {seed}"));
    assert!(versions(&server.fhir()).await.values().all(|version| version == "1"), "seed {seed}");
    unfinished
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_ended_within_its_grace_period_it_has_stored_what_it_took() {
    assert_eq!(check(60_000, 1).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_ended_after_its_grace_period_it_hands_back_what_is_not_stored() {
    assert!(check(0, 2).await > 0);
}
