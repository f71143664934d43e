//! `vitalwire send` to Kafka brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rdkafka::Message as _;
use serde_json::{Value, json};

use crate::support::kafka::client::Client;
use crate::support::kafka::{self, Kafka, unique};
use crate::support::mosquitto::free_port;
use crate::support::process::{run, vitalwire};
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `send` with these messages: exit code, and everything said.
fn send(directory: &Path, messages: &[Value], to: &str) -> (Option<i32>, String) {
    let file = file_of(directory, messages);
    let (code, output, errors) = run(vitalwire(&["send", &file, "--to", to]));
    (code, output + &errors)
}

fn file_of(directory: &Path, messages: &[Value]) -> String {
    let file = directory.join("messages.ndjson");
    let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    file.display().to_string()
}

/// So many messages of five devices each.
fn messages(count: usize) -> Vec<Value> {
    (0..count * 5).map(|number| json!({ "number": number, "device": { "id": format!("d-{}", number % 5) } })).collect()
}

#[tokio::test]
async fn messages_of_a_device_stay_in_order_in_one_partition() {
    let directory = tempfile::tempdir().unwrap();
    let (address, topic) = (kafka::address().await, unique("keyed"));
    let client = Client::new(&address);
    client.create_topic(&topic, 3).await;
    let sent = messages(200);
    let (code, said) = send(directory.path(), &sent, &format!("kafka://{address}/{topic}?key=/device/id"));
    assert!(code == Some(0) && said.starts_with("1000 messages acknowledged in "), "{said}");

    let mut partitions: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    let mut devices: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for message in client.messages(&topic) {
        let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
        partitions.entry(key.clone()).or_default().insert(message.partition());
        devices.entry(key).or_default().push(serde_json::from_slice(message.payload().unwrap()).unwrap());
    }
    assert!(partitions.values().all(|partitions| partitions.len() == 1), "{partitions:?}");
    assert!(partitions.values().flatten().collect::<BTreeSet<_>>().len() > 1, "{partitions:?}");
    for (device, found) in devices {
        let expected: Vec<Value> = sent.iter().filter(|message| message["device"]["id"] == device).cloned().collect();
        assert_eq!(found, expected, "{device}");
    }
}

#[tokio::test]
async fn messages_reach_a_broker_that_wants_encryption_and_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, topic) = (kafka::shared().await, unique("guarded"));
    let client = Client::new(&broker.plain());
    client.create_topic(&topic, 1).await;
    let password = utf8_percent_encode(&broker.connection_string(), NON_ALPHANUMERIC).to_string();
    let to = |password: &str| {
        let (address, authority) = (broker.with_password(), broker.authority());
        format!("kafka+ssl://$ConnectionString:{password}@{address}/{topic}?ca_file={}", authority.display())
    };
    let (code, said) = send(directory.path(), &messages(1), &to(&password));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(client.ends(&topic), [5]);

    let (code, said) = send(directory.path(), &messages(1), &to("guessed"));
    assert!(code == Some(1) && said.contains("uthentication") && !said.contains("guessed"), "{said}");
    let url = to(&password);
    let (untrusting, _) = url.split_once("?ca_file=").unwrap();
    let (code, said) = send(directory.path(), &messages(1), untrusting);
    assert!(code == Some(1) && said.contains("certificate"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_sent_to_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let address = kafka::address().await;
    let check = |to: &str, code: i32, says: &str| {
        let (found, said) = send(directory.path(), &messages(1), to);
        assert!(found == Some(code) && said.contains(says), "{to}: {found:?} {said}");
    };
    check(&format!("kafka://{address}/a/b"), 2, "a/b is no name of a topic");
    let missing = unique("missing");
    check(&format!("kafka://{address}/{missing}"), 1, &format!("it has no topic {missing}, or hides it"));
    let nobody = format!("127.0.0.1:{}", free_port());
    let reason = format!("cannot reach the broker at {nobody}: ");
    check(&format!("kafka://ann:secret@{nobody}/t"), 1, &reason);
}

#[tokio::test]
async fn a_message_the_broker_does_not_take_ends_the_sending() {
    let directory = tempfile::tempdir().unwrap();
    let (address, topic) = (kafka::address().await, unique("narrow"));
    Client::new(&address).create_narrow_topic(&topic, 1_000).await;
    let large = [json!({ "text": "x".repeat(2_000) })];
    let (code, said) = send(directory.path(), &large, &format!("kafka://{address}/{topic}"));
    assert!(code == Some(1) && said.contains("refuses a message") && said.contains("too large"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_while_messages_are_sent_has_each_once_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Kafka::start(directory.path()).await;
    let client = Client::new(&broker.plain());
    client.create_topic("readings", 1).await;
    let (file, to) = (file_of(directory.path(), &messages(100)), format!("kafka://{}/readings", broker.plain()));
    let mut command = vitalwire(&["send", &file, "--to", &to, "--rate", "1000", "--repeat"]);
    let sender = command.stdout(Stdio::piped()).spawn().unwrap();
    let some_more = async |count: i64| until(PATIENCE, async || client.ends("readings")[0], |end| *end > count).await;
    some_more(500).await;
    let broker = broker.restart().await;
    some_more(client.ends("readings")[0] + 500).await;

    let interrupt = ["-INT", &sender.id().to_string()].map(str::to_owned);
    assert!(std::process::Command::new("kill").args(interrupt).status().unwrap().success());
    let output = sender.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let count: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert!(output.status.success(), "{said}");
    let found = client.messages("readings").into_iter().map(|message| {
        let message: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        message["number"].as_u64().unwrap()
    });
    let expected = (0..500).cycle().take(count);
    assert!(found.eq(expected), "{said}");
    drop(broker);
}
