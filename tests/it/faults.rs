//! A FHIR server that fails in every way there is: each reading is stored once, where it belongs, and nothing is buried.
//!
//! Each case is a process with two connectors for the same devices, one with an Observation for each reading and one
//! with an Observation an hour. `FAULTS_SEED` in the environment adds to the seeds.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::account::{Account, assert_same, sent, versions};
use crate::support::config::{connector, mqtt_listener};
use crate::support::faulty_server::{Fault, FaultyServer, Plan, RetryAfter};
use crate::support::process::{Vitalwire, vitalwire};
use crate::support::readings::heart_rate;
use crate::support::wait::until;

/// Longest time for all readings of a case.
const PATIENCE: Duration = Duration::from_secs(240);
/// Longest wait of the product for an answer.
const TIMEOUT: Duration = Duration::from_millis(1_000);
const READINGS: usize = 1_000;
const DEVICES: usize = 10;
const CONNECTORS: [&str; 2] = ["single", "hourly"];

/// Readings of the recording, spread over more devices.
fn readings() -> Vec<Value> {
    let every = heart_rate().into_iter().step_by(26).take(READINGS).enumerate();
    every
        .map(|(place, mut message)| {
            let device = place % DEVICES;
            message["deviceid"] = format!("device-{device}").into();
            message["patientid"] = format!("patient-{}", device / 2).into();
            message
        })
        .collect()
}

/// Two connectors that deliver to this URL, each with a listener.
fn config(url: &str) -> String {
    let (timeout, listener) = (TIMEOUT.as_millis(), mqtt_listener());
    let more = format!("fhir = {{ url = \"{url}\", timeout = {timeout}, bundle_entries_max = 40 }}\n{listener}");
    let single = connector("single", "heart-rate", &more);
    let hourly = connector("hourly", "heart-rate-hourly", &more);
    let (_, hourly) = hourly.split_once("[[connectors]]").unwrap();
    format!("{single}[[connectors]]{hourly}")
}

/// Sends a file to both connectors; every message was acknowledged when it returns.
async fn send(product: &Vitalwire, file: &Path, case: &str) {
    let mut senders = Vec::new();
    for connector in CONNECTORS {
        let connector = product.connector(connector).await;
        let to = format!("mqtt://{}/readings", connector["sources"][0]["address"].as_str().unwrap());
        let mut command = Command::from(vitalwire(&["send", file.to_str().unwrap(), "--to", &to]));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        senders.push(command.spawn().unwrap());
    }
    for sender in senders {
        let output = timeout(PATIENCE, sender.wait_with_output()).await.unwrap_or_else(|_| panic!("{case}")).unwrap();
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains(&READINGS.to_string()), "{case}: {said}{errors}");
    }
}

async fn settled(product: &Vitalwire, sendings: usize, case: &str) {
    for connector in CONNECTORS {
        let settled = |ledger: &Value| ledger["in_flight"] == 0 && ledger["received"] == sendings * READINGS;
        let ledger = until(PATIENCE, async || product.ledger(connector).await, settled).await;
        let letters = product.fhir().get(&format!("{}/connectors/{connector}/dead-letters", product.http)).await.text;
        for state in ["unexplained", "dead_lettered", "unmatched"] {
            assert_eq!(ledger[state], 0, "{case}: {connector}: {ledger}\n{letters}");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a switch of the test and no part of the configuration")]
fn more_seed() -> u64 {
    std::env::var("FAULTS_SEED").map_or(0, |seed| seed.parse().unwrap())
}

/// Sends readings while the server fails at most so often, and again when it is well: the first time everything is
/// stored once and nothing is buried, the second time nothing changes.
async fn check(faults: &[Fault], faults_max: usize, seed: u64) {
    let seed = seed + more_seed();
    let case = format!("{faults:?}, seed {seed}");
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = FaultyServer::start(there.path(), Plan { faults: faults.to_vec(), seed, faults_max });
    let product = Vitalwire::serve(here.path(), &config(&server.url));
    let messages = readings();
    let file = here.path().join("messages.ndjson");
    let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();

    send(&product, &file, &case).await;
    settled(&product, 1, &case).await;
    assert!(server.faults() > 0, "no fault: {case}");
    server.heal();
    let account = Account::of(&server.fhir()).await;
    assert_same(&account.single, &sent(&messages), &format!("{case}: single"));
    assert_same(&account.sampled, &sent(&messages), &format!("{case}: hourly"));

    let before = versions(&server.fhir()).await;
    send(&product, &file, &case).await;
    settled(&product, 2, &case).await;
    assert_eq!(versions(&server.fhir()).await, before, "{case}");
}

const SLOW: Fault = Fault::Slow(Duration::from_millis(1_500));

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_answers_that_are_late_lost_or_cut() {
    tokio::join!(
        check(&[SLOW], 8, 1),
        check(&[Fault::LoseAnswer], 40, 2),
        check(&[Fault::CutAnswer], 40, 3),
        check(&[Fault::HangUp], 40, 4),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_bundles_that_are_refused_before_or_after_they_are_carried_out() {
    let conflicts = [Fault::Refuse(409), Fault::Refuse(412)];
    let failures = [Fault::Refuse(500), Fault::Refuse(502), Fault::Refuse(503)];
    let failures_done = [Fault::RefuseDone(500), Fault::RefuseDone(502), Fault::RefuseDone(504)];
    tokio::join!(
        check(&conflicts, 40, 5),
        check(&failures, 40, 6),
        check(&failures_done, 40, 7),
        check(&[Fault::TooMany(RetryAfter::Seconds), Fault::TooMany(RetryAfter::Date)], 10, 8),
        check(&[Fault::TooLarge(10)], 40, 9),
        check(&[Fault::Refuse(401)], 1, 10),
        check(&[Fault::Refuse(403)], 1, 11),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p_4_entries_that_are_refused_before_or_after_they_are_carried_out() {
    let conflicts = [409, 412].map(Fault::RefuseEntries);
    let conflicts_done = [409, 412].map(Fault::RefuseDoneEntries);
    let failures = [429, 500, 503].map(Fault::RefuseEntries);
    let failures_done = [429, 500, 503].map(Fault::RefuseDoneEntries);
    tokio::join!(
        check(&conflicts, 40, 12),
        check(&conflicts_done, 40, 13),
        check(&failures, 40, 14),
        check(&failures_done, 40, 15),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_a_server_that_is_killed_before_during_and_after_a_bundle() {
    tokio::join!(
        check(&[Fault::Restart], 3, 16),
        check(&[Fault::RestartMeanwhile], 3, 17),
        check(&[Fault::RestartDone], 3, 18),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_all_faults_mixed() {
    let faults = [
        [SLOW, Fault::LoseAnswer, Fault::CutAnswer, Fault::HangUp, Fault::TooLarge(10)].as_slice(),
        &[409, 412, 500, 502, 503].map(Fault::Refuse),
        &[500, 502, 504].map(Fault::RefuseDone),
        &[RetryAfter::Seconds, RetryAfter::Date].map(Fault::TooMany),
        &[409, 412, 429, 500, 503].map(Fault::RefuseEntries),
        &[409, 412, 429, 500, 503].map(Fault::RefuseDoneEntries),
        &[Fault::Restart, Fault::RestartMeanwhile, Fault::RestartDone],
    ];
    let faults = faults.concat();
    tokio::join!(check(&faults, 60, 19), check(&faults, 60, 20));
}
