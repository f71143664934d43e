//! Topics at a real Kafka broker: what arrives, under which names, and what becomes of what cannot be used.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::support::account::{Account, assert_same, sent};
use crate::support::config::{heart_rate_mapping, kafka, template, wearables};
use crate::support::kafka::client::{Client, Record};
use crate::support::kafka::{address, unique};
use crate::support::process::Vitalwire;
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

fn message(second: u32) -> String {
    format!(
        r#"{{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:{second:02}Z","heartrate":61}}"#
    )
}

async fn observations(product: &Vitalwire, count: u64) {
    until(PATIENCE, async || product.fhir().count("Observation").await, |found| *found == count).await;
}

/// Waits until so many messages have ended, and gives the ledger.
async fn closed_ledger(product: &Vitalwire, received: usize) -> Value {
    let closed = |ledger: &Value| ledger["received"] == received && ledger["in_flight"] == 0;
    until(PATIENCE, async || product.ledger("wearables").await, closed).await
}

async fn dead_letters(product: &Vitalwire) -> Value {
    product.fhir().get_json(&format!("{}/connectors/wearables/dead-letters", product.http)).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[tokio::test]
async fn p_2_messages_of_all_partitions_and_of_topics_that_match_a_pattern_are_stored_once() {
    let directory = tempfile::tempdir().unwrap();
    let (address, group) = (address().await, unique("hospital"));
    let client = Client::new(&address);
    let topics = [group.clone(), format!("{group}-ward-1"), format!("{group}-ward-2")];
    for (topic, partitions) in topics.iter().zip([3, 1, 2]) {
        client.create_topic(topic, partitions).await;
    }
    let other = format!("{group}-office");
    client.create_topic(&other, 1).await;

    let readings = heart_rate();
    let mut parts = readings.chunks(20);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let client = Client::with(&address, &[("compression.type", codec)]);
        for topic in &topics {
            client.send_json(topic, parts.next().unwrap()).await;
        }
    }
    client.send_json(&other, parts.next().unwrap()).await;

    let source = kafka(&address, &group, &[&group, &format!("^{group}-ward-.*")]);
    let product = Vitalwire::serve(directory.path(), &wearables(&source));
    let ledger = closed_ledger(&product, 300).await;
    assert_eq!((&ledger["stored"], &ledger["unexplained"]), (&300.into(), &0.into()), "{ledger}");
    assert_same(&Account::of(&product.fhir()).await.single, &sent(&readings[..300]), "stored");
    for topic in &topics {
        let read = |committed: &Vec<Option<i64>>| committed.iter().flatten().sum::<i64>() == 100;
        until(PATIENCE, async || client.committed(&group, topic), read).await;
    }
    assert_eq!(client.committed(&group, &other), [None]);
}

/// A device mapping that takes all it can from what stands beside the body.
fn mapping_of_headers(directory: &Path) {
    let expressions = [
        "$..[?(@.kind == 'pulse')]",
        "$.SystemProperties['iothub-connection-device-id']",
        "$.SystemProperties['x-opt-partition-key']",
        "$.SystemProperties['x-opt-enqueued-time']",
        "$.Properties.rate",
    ];
    heart_rate_mapping(directory, expressions);
}

#[tokio::test]
async fn ev_9_ev_10_what_stands_beside_the_body_can_be_mapped_also_encoded_as_amqp() {
    let directory = tempfile::tempdir().unwrap();
    mapping_of_headers(directory.path());
    let (address, topic) = (address().await, unique("telemetry"));
    let client = Client::new(&address);
    client.create_topic(&topic, 1).await;
    // 2024-03-02T07:15:00.026Z and after.
    let record = |second: i64, rate: u8, body: Vec<u8>| {
        let timestamp = Some(1_709_363_700_026 + second * 1_000);
        Record { timestamp, ..Record::new(body).key("p-7").header("rate", [0x71, 0, 0, 0, rate]) }
    };
    let device = "iothub-connection-device-id";
    let records = [
        record(0, 71, b"{}".to_vec()).header("kind", "pulse").header(device, "d-1"),
        record(1, 72, Vec::new()).header("kind", *b"\xa1\x05pulse").header(device, *b"\xb1\0\0\0\x03d-1"),
        record(2, 73, gzip(b"{}")).header("kind", "pulse").header(device, "d-1").header("content-encoding", "gzip"),
    ];
    client.send(&topic, &records).await;

    let source = kafka(&address, &topic, &[&topic]) + "header_values = \"amqp\"\n";
    let shipped = template("heart-rate/device.json").display().to_string();
    let product = Vitalwire::serve(directory.path(), &wearables(&source).replace(&shipped, "device.json"));
    let ledger = closed_ledger(&product, 3).await;
    assert_eq!(ledger["stored"], 3, "{ledger} {}", dead_letters(&product).await);
    let stored = |rate: &str, second: u32| {
        let at = format!("2024-03-02T07:15:0{second}.026Z").parse().unwrap();
        ("p-7".to_owned(), "d-1".to_owned(), at, rate.to_owned())
    };
    let expected = [("71", 0), ("72", 1), ("73", 2)].map(|(rate, second)| stored(rate, second));
    assert_eq!(Account::of(&product.fhir()).await.single, expected);
}

#[tokio::test]
async fn er_10_a_message_that_cannot_be_used_is_kept_with_its_reason_and_its_neighbours_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let (address, topic) = (address().await, unique("poisoned"));
    let client = Client::new(&address);
    client.create_topic(&topic, 1).await;
    let large = message(1).replace('}', &format!(r#","padding":"{}"}}"#, "x".repeat(2_000)));
    let payloads = [&message(0), "not json", &large, &message(2)].map(Record::new);
    client.send(&topic, &payloads).await;
    // A tombstone: a message without a payload.
    client.send(&topic, &[Record::default().key("d-1"), Record::new(message(3))]).await;

    let source = kafka(&address, &topic, &[&topic]) + "message_bytes_max = 1000\n";
    let product = Vitalwire::serve(directory.path(), &wearables(&source));
    let ledger = closed_ledger(&product, 6).await;
    let found = ["stored", "dead_lettered", "unmatched", "unexplained"].map(|state| ledger[state].as_u64().unwrap());
    assert_eq!(found, [3, 2, 1, 0], "{ledger}");
    observations(&product, 3).await;
    let letters = dead_letters(&product).await;
    let mut payloads = letters["dead_letters"].as_array().unwrap().iter().map(|letter| letter["payload"].to_string());
    assert!(payloads.any(|payload| payload.contains("not json")), "{letters}");
    until(PATIENCE, async || client.committed(&topic, &topic), |committed| *committed == [Some(6)]).await;
}

#[tokio::test]
async fn a_topic_and_partitions_that_are_made_later_are_read_from_their_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let (address, topic) = (address().await, unique("later"));
    let soon = "properties = { \"topic.metadata.refresh.interval.ms\" = \"500\" }\n";
    let product = Vitalwire::serve(directory.path(), &wearables(&(kafka(&address, &topic, &[&topic]) + soon)));
    let told = |connector: &Value| {
        connector["sources"][0]["reason"].as_str().is_some_and(|reason| reason.contains("check `topics`"))
    };
    until(PATIENCE, async || product.connector("wearables").await, told).await;

    let client = Client::new(&address);
    client.create_topic(&topic, 1).await;
    client.send(&topic, &[Record::new(message(0))]).await;
    observations(&product, 1).await;
    client.add_partitions(&topic, 3).await;
    // A client made before does not know of them.
    let client = Client::new(&address);
    client.send(&topic, &[Record::new(message(1)).in_partition(1), Record::new(message(2)).in_partition(2)]).await;
    observations(&product, 3).await;
    product.subscribed("wearables").await;
}

/// A source that begins at the ends, and looks often for what is new.
fn from_the_ends(address: &str, group: &str, topics: &[&str]) -> String {
    let soon = "properties = { \"topic.metadata.refresh.interval.ms\" = \"500\" }\n";
    wearables(&(kafka(address, group, topics) + "start = \"latest\"\nsession_timeout = 4000\n" + soon))
}

#[tokio::test]
async fn p_1_a_group_that_begins_at_the_ends_passes_over_nothing_that_comes_later() {
    let directory = tempfile::tempdir().unwrap();
    let (address, topic) = (address().await, unique("latest"));
    let client = Client::new(&address);
    client.create_topic(&topic, 1).await;
    client.send(&topic, &[message(0), message(1)].map(Record::new)).await;
    let config = from_the_ends(&address, &topic, &[&topic]);

    // Ends before it has taken anything, as in a crash.
    let product = Vitalwire::serve(directory.path(), &config);
    until(PATIENCE, async || client.committed(&topic, &topic), |committed| *committed == [Some(2)]).await;
    product.kill();
    client.send(&topic, &[message(2), message(3)].map(Record::new)).await;
    // Of two messages that it has not read the first is deleted.
    client.delete_before(&topic, 0, 3).await;
    let product = Vitalwire::serve(directory.path(), &config);
    observations(&product, 1).await;

    client.add_partitions(&topic, 2).await;
    let client = Client::new(&address);
    client.send(&topic, &[Record::new(message(4)).in_partition(1)]).await;
    observations(&product, 2).await;
    assert_eq!(closed_ledger(&product, 2).await["stored"], 2);
}

#[tokio::test]
async fn a_topic_that_is_added_to_a_living_group_is_read_whole() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (address, old, new) = (address().await, unique("living"), unique("added"));
    let client = Client::new(&address);
    for topic in [&old, &new] {
        client.create_topic(topic, 1).await;
        client.send(topic, &[Record::new(message(0))]).await;
    }
    let first = Vitalwire::serve(here.path(), &from_the_ends(&address, &old, &[&old]));
    first.subscribed("wearables").await;
    until(PATIENCE, async || client.members_at_work(&old), |count| *count == 1).await;
    let second = Vitalwire::serve(there.path(), &from_the_ends(&address, &old, &[&old, &new]));
    observations(&second, 1).await;
}
