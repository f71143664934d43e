//! A fleet of devices at a Mosquitto: its messages split between workers, its topics read, its operators told.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::account::{Account, assert_same, sent, versions};
use crate::support::config::{SERVICE, heart_rate_mapping, mqtt, template, wearables};
use crate::support::mosquitto::Mosquitto;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// Enough for a kill in between, and few enough for a broker that queues 1000 for each session.
const MESSAGES: usize = 1_500;

fn send(directory: &Path, messages: &[Value], url: &str) {
    let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
    std::fs::write(directory.join("messages.ndjson"), lines.join("\n")).unwrap();
    let mut command = vitalwire(&["send", "messages.ndjson", "--to", url]);
    command.current_dir(directory);
    let (code, output, errors) = run(command);
    assert_eq!(code, Some(0), "{output}{errors}");
}

async fn all_connected(product: &Vitalwire) {
    let connected = |connector: &Value| {
        connector["sources"].as_array().unwrap().iter().all(|source| source["state"] == "connected")
    };
    until(PATIENCE, async || product.connector("wearables").await, connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_a_worker_killed_in_the_middle_of_a_shared_load_loses_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Vitalwire::serve(directory.path(), SERVICE);
    let broker = Mosquitto::start(directory.path(), "max_queued_messages 0").await;
    let workers = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let config = |number: usize| {
        let source = mqtt(broker.port, "$share/workers/readings");
        let keys = format!("client_id = \"worker-{number}\"\nin_flight_max = 50\nprotocol = \"5\"\n");
        wearables(&format!("fhir = {{ url = \"{}/fhir\" }}\n{source}{keys}", server.http))
    };
    let stays = Vitalwire::serve(workers[0].path(), &config(0));
    let dies = Vitalwire::serve(workers[1].path(), &config(1));
    stays.subscribed("wearables").await;
    dies.subscribed("wearables").await;

    let messages = &heart_rate()[..MESSAGES];
    let url = format!("mqtt://127.0.0.1:{}/readings", broker.port);
    send(directory.path(), messages, &url);
    let received = |ledger: &Value| ledger["received"].as_u64().unwrap() >= 100;
    until(DRAIN_MAX, async || dies.ledger("wearables").await, received).await;
    dies.kill();
    let again = Vitalwire::serve(workers[1].path(), &config(1));
    // A check asks beside the group, and so takes none of its messages.
    let mut check = vitalwire(&["check", "--config", "vitalwire.toml"]);
    check.current_dir(workers[0].path());
    let (_, output, errors) = run(check);
    assert!(output.contains("speaks MQTT 5 and grants all of `topics` (1)"), "{output}{errors}");

    until(DRAIN_MAX, async || server.fhir().count("Observation").await, |count| *count == 1_500).await;
    for worker in [&stays, &again] {
        let settled = |ledger: &Value| ledger["in_flight"] == 0;
        let ledger = until(DRAIN_MAX, async || worker.ledger("wearables").await, settled).await;
        assert_eq!((&ledger["unexplained"], &ledger["dead_lettered"]), (&0.into(), &0.into()), "{ledger}");
        assert!(ledger["stored"].as_u64().unwrap() > 100, "{ledger}");
    }
    assert_same(&Account::of(&server.fhir()).await.single, &sent(messages), "stored");
    assert!(versions(&server.fhir()).await.values().all(|version| version == "1"));
}

/// A device mapping that takes the device from a named level of the topic and the kind from what is said of the content.
fn mapping_of_captures(directory: &Path) {
    let expressions =
        ["$..[?(@.rate)]", "$.SystemProperties.deviceId", "$.SystemProperties.ward", "$.Body.at", "$.Body.rate"];
    heart_rate_mapping(directory, expressions);
}

#[tokio::test]
async fn named_levels_of_topics_are_there_for_mappings_whichever_connection_a_message_comes_over() {
    for protocol in ["3.1.1", "5"] {
        let directory = tempfile::tempdir().unwrap();
        mapping_of_captures(directory.path());
        let broker = Mosquitto::start(directory.path(), "").await;
        let source = mqtt(broker.port, "$share/workers/{ward}/devices/{deviceId}/+");
        let source = format!("{source}protocol = \"{protocol}\"\nconnections = 3\n");
        let shipped = template("heart-rate/device.json").display().to_string();
        let product = Vitalwire::serve(directory.path(), &wearables(&source).replace(&shipped, "device.json"));
        all_connected(&product).await;
        for device in 0..3 {
            let messages: Vec<Value> =
                (10..30).map(|second| json!({ "at": format!("2024-03-02T07:15:{second}Z"), "rate": 60 })).collect();
            let url = format!("mqtt://127.0.0.1:{}/ward-{device}/devices/d-{device}/pulse", broker.port);
            send(directory.path(), &messages, &url);
        }
        until(PATIENCE, async || product.fhir().count("Observation").await, |count| *count == 60).await;
        for device in 0..3 {
            let search = format!("Observation?device.identifier=d-{device}&subject.identifier=ward-{device}");
            assert_eq!(product.fhir().count(&search).await, 20);
        }
        let observations = product.fhir().all("Observation?_count=1000").await;
        let source =
            |observation: &Value| observation["meta"]["source"].as_str().unwrap().split(':').nth(3).map(str::to_owned);
        let sources: BTreeSet<String> = observations.iter().filter_map(source).collect();
        assert_eq!(sources, BTreeSet::from(["mqtt", "mqtt.c2", "mqtt.c3"].map(str::to_owned)));
    }
}

#[tokio::test]
async fn operators_are_told_when_it_is_gone_and_not_when_it_says_goodbye() {
    for protocol in ["3.1.1", "5"] {
        let directory = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start(directory.path(), "").await;
        let port = broker.port.to_string();
        let mut operator = Command::new("mosquitto_sub")
            .args(["-p", &port, "-q", "1", "-t", "vitalwire/#", "-F", "%t %p", "-C", "3"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut heard = BufReader::new(operator.stdout.take().unwrap()).lines();
        let mark = |topic: &str| {
            let mut command = Command::new("mosquitto_pub");
            command.args(["-p", &port, "-q", "1", "-r", "-t", topic, "-m", "-"]);
            assert_eq!(run(command).0, Some(0));
        };
        mark("vitalwire/1-started");
        assert_eq!(heard.next().unwrap().unwrap(), "vitalwire/1-started -");

        let keys =
            format!("protocol = \"{protocol}\"\nwill = {{ topic = \"vitalwire/gone\", payload = \"wearables\" }}\n");
        let config = wearables(&(mqtt(broker.port, "readings") + &keys));
        let product = Vitalwire::serve(directory.path(), &config);
        product.subscribed("wearables").await;
        assert!(product.interrupt().0.success());
        mark("vitalwire/2-stopped");
        assert_eq!(heard.next().unwrap().unwrap(), "vitalwire/2-stopped -");
        let product = Vitalwire::serve(directory.path(), &config);
        product.subscribed("wearables").await;
        product.kill();
        assert_eq!(heard.next().unwrap().unwrap(), "vitalwire/gone wearables");
        assert!(operator.wait().unwrap().success());
    }
}
