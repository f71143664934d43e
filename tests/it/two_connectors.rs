//! Two connectors that write the same Observations at the same time, in one process and in two: nothing is lost.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::account::{Account, assert_same, sent};
use crate::support::config::{connector, mqtt_listener, template};
use crate::support::process::{Vitalwire, vitalwire};
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);
const READINGS: usize = 6_000;

/// Readings of the recording; a session is an hour of a device.
fn readings() -> Vec<Value> {
    let first = heart_rate().into_iter().take(READINGS);
    first
        .map(|mut message| {
            let hour = message["measurementdatetime"].as_str().unwrap()[..13].to_owned();
            message["session"] = format!("{} {hour}", message["deviceid"].as_str().unwrap()).into();
            message
        })
        .collect()
}

/// The hourly mapping, changed to an Observation for each session.
fn sessions(directory: &Path) -> String {
    let files = [
        ("device.json", "\"typeName\"", "\"correlationIdExpression\": \"$.matchedToken.session\", \"typeName\""),
        ("fhir.json", "\"periodInterval\": 60", "\"periodInterval\": -1"),
    ];
    for (file, from, to) in files {
        let text = std::fs::read_to_string(template("heart-rate-hourly").join(file)).unwrap();
        assert_eq!(text.matches(from).count(), 1);
        std::fs::write(directory.join(file), text.replace(from, to)).unwrap();
    }
    directory.to_str().unwrap().to_owned()
}

/// Sends messages to a connector; all were acknowledged when it returns.
async fn send(product: &Vitalwire, name: &str, directory: &Path, messages: &[&Value]) {
    let file = directory.join(format!("{name}.ndjson"));
    let lines: Vec<String> = messages.iter().map(ToString::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let view = product.connector(name).await;
    let to = format!("mqtt://{}/readings", view["sources"][0]["address"].as_str().unwrap());
    let mut command = Command::from(vitalwire(&["send", file.to_str().unwrap(), "--to", &to]));
    let status = command.stdout(Stdio::null()).kill_on_drop(true).status();
    assert!(timeout(PATIENCE, status).await.expect("not all acknowledged").unwrap().success());

    let settled = |ledger: &Value| ledger["in_flight"] == 0 && ledger["received"] == messages.len();
    let ledger = until(PATIENCE, async || product.ledger(name).await, settled).await;
    for state in ["unexplained", "dead_lettered", "unmatched"] {
        assert_eq!(ledger[state], 0, "{ledger}");
    }
}

/// How often a connector found that another had been faster.
async fn contentions(product: &Vitalwire, name: &str) -> u64 {
    let metrics = product.fhir().get(&format!("{}/metrics", product.http)).await.text;
    let start = format!("observations_contended_total{{connector=\"{name}\"");
    let counts = metrics.lines().filter(|line| line.starts_with(&start)).map(|line| line.rsplit_once(' ').unwrap().1);
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

/// Gives each connector two thirds of the readings, a third of them the same; says how often one was in the other's way.
async fn check(first: &Vitalwire, second: &Vitalwire) -> u64 {
    let readings = readings();
    let all_but = |rest: usize| -> Vec<&Value> {
        let numbered = readings.iter().enumerate().filter(|(place, _)| place % 3 != rest);
        numbered.map(|(_, message)| message).collect()
    };
    let directory = tempfile::tempdir().unwrap();
    let (for_first, for_second) = (all_but(0), all_but(1));
    tokio::join!(
        send(first, "first", directory.path(), &for_first),
        send(second, "second", directory.path(), &for_second),
    );
    let account = Account::of(&first.fhir()).await;
    assert_same(&[account.single, account.sampled].concat(), &sent(&readings), "stored");
    contentions(first, "first").await + contentions(second, "second").await
}

async fn check_one_process(mapping: &str) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| connector(name, mapping, &mqtt_listener()));
    let (_, second) = second.split_once("[[connectors]]").unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{first}[[connectors]]{second}"));
    check(&product, &product).await
}

async fn check_two_processes(mapping: &str) -> u64 {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Vitalwire::serve(here.path(), &connector("first", mapping, &mqtt_listener()));
    let target = format!("fhir = {{ url = \"{}/fhir\" }}\n{}", first.http, mqtt_listener());
    let second = Vitalwire::serve(there.path(), &connector("second", mapping, &target));
    check(&first, &second).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ob_5_connectors_of_one_process_lose_nothing_of_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut contentions = 0;
    for mapping in ["heart-rate", "heart-rate-hourly", &sessions(directory.path())] {
        contentions += check_one_process(mapping).await;
    }
    assert!(contentions > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ob_5_connectors_of_two_processes_lose_nothing_of_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut contentions = 0;
    for mapping in ["heart-rate", "heart-rate-hourly", &sessions(directory.path())] {
        contentions += check_two_processes(mapping).await;
    }
    assert!(contentions > 0);
}
