//! Subscriptions at a Mosquitto with its default settings.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::config::{heart_rate_mapping, mqtt, template, wearables};
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

fn message(second: u32) -> String {
    format!(
        r#"{{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:{second:02}Z","heartrate":61}}"#
    )
}

fn publish(port: u16, topic: &str, more: &[&str]) {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-p", &port.to_string(), "-q", "1", "-t", topic]).args(more);
    let (code, _, errors) = run(command);
    assert_eq!(code, Some(0), "{errors}");
}

async fn observations(product: &Vitalwire, count: u64) {
    until(PATIENCE, async || product.fhir().count("Observation").await, |found| *found == count).await;
}

/// A device mapping that takes the device from the topic and patient and kind from properties of the message.
fn mapping_of_properties(directory: &Path) {
    let expressions = [
        "$..[?(@.kind == 'pulse')]",
        "$.SystemProperties.topicLevels[1]",
        "$.Properties.patient",
        "$.Body.at",
        "$.Body.rate",
    ];
    heart_rate_mapping(directory, expressions);
}

#[tokio::test]
async fn topic_levels_and_user_properties_can_be_mapped() {
    let directory = tempfile::tempdir().unwrap();
    mapping_of_properties(directory.path());
    let broker = Mosquitto::start(directory.path(), "").await;
    let source = mqtt(broker.port, "ward-4/+/pulse") + "protocol = \"5\"\n";
    let shipped = template("heart-rate/device.json").display().to_string();
    let product = Vitalwire::serve(directory.path(), &wearables(&source).replace(&shipped, "device.json"));
    product.subscribed("wearables").await;
    let payload = r#"{"at":"2024-03-02T07:15:00Z","rate":72}"#;
    let properties = ["-D", "publish", "user-property"];
    let pulse = [&["-V", "5", "-m", payload][..], &properties, &["kind", "pulse"], &properties, &["patient", "p-7"]];
    publish(broker.port, "ward-4/monitor-12/pulse", &pulse.concat());
    observations(&product, 1).await;
    let found = product.fhir().all("Observation?_include=Observation:device&_include=Observation:subject").await;
    let identifiers: Vec<&Value> = found.iter().filter_map(|resource| resource["identifier"][0].get("value")).collect();
    assert!(identifiers.contains(&&json!("monitor-12")) && identifiers.contains(&&json!("p-7")), "{found:?}");
}

#[tokio::test]
async fn what_is_published_while_it_is_down_arrives_after_a_restart() {
    for protocol in ["3.1.1", "5"] {
        let directory = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start(directory.path(), "").await;
        let config = wearables(&(mqtt(broker.port, "readings") + &format!("protocol = \"{protocol}\"\n")));
        let product = Vitalwire::serve(directory.path(), &config);
        product.subscribed("wearables").await;
        let (status, _) = product.interrupt();
        assert!(status.success());
        for second in 0..50 {
            publish(broker.port, "readings", &["-m", &message(second)]);
        }
        let product = Vitalwire::serve(directory.path(), &config);
        observations(&product, 50).await;
        assert_eq!(product.ledger("wearables").await["unexplained"], 0);
    }
}

#[tokio::test]
async fn a_topic_that_is_not_configured_any_more_is_not_read_any_more() {
    for protocol in ["3.1.1", "5"] {
        let directory = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start(directory.path(), "").await;
        let reads = |topic| wearables(&(mqtt(broker.port, topic) + &format!("protocol = \"{protocol}\"\n")));
        let product = Vitalwire::serve(directory.path(), &reads("old"));
        product.subscribed("wearables").await;
        assert!(product.interrupt().0.success());
        // What came while it was configured is read.
        publish(broker.port, "old", &["-m", &message(0)]);

        let product = Vitalwire::serve(directory.path(), &reads("new"));
        product.subscribed("wearables").await;
        publish(broker.port, "old", &["-m", &message(1)]);
        publish(broker.port, "new", &["-m", &message(2)]);
        observations(&product, 2).await;
        assert_eq!(product.ledger("wearables").await["received"], 2);
        assert_eq!(product.fhir().count("Observation?date=2024-03-02T07:15:01Z").await, 0);
    }
}

#[tokio::test]
async fn a_broker_that_is_not_there_at_the_start_is_found_later() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt(port, "readings")));
    let retrying = |connector: &Value| connector["sources"][0]["state"] == "retrying";
    let connector = until(PATIENCE, async || product.connector("wearables").await, retrying).await;
    assert!(connector["sources"][0]["reason"].as_str().unwrap().contains("refused"), "{connector}");
    let broker = Mosquitto::start_on(port, directory.path(), "").await;
    product.subscribed("wearables").await;
    publish(broker.port, "readings", &["-m", &message(0)]);
    observations(&product, 1).await;
    let (status, log) = product.interrupt();
    assert!(status.success());
    let troubles: Vec<Value> = log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let troubles: Vec<&Value> = troubles.iter().filter(|entry| entry["level"] == "WARN").collect();
    assert!(!troubles.is_empty());
    for trouble in troubles {
        assert_eq!(trouble["message"], "not subscribed, will connect again");
        assert_eq!(trouble["broker"], format!("127.0.0.1:{port}"));
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let passwords = directory.path().join("passwords");
    let mut command = Command::new("mosquitto_passwd");
    command.args(["-c", "-b"]).arg(&passwords).args(["ann", "right"]);
    assert_eq!(run(command).0, Some(0));
    // Started as root, the broker would become another user, who may not read here.
    let settings = format!("user root\nallow_anonymous false\npassword_file {}", passwords.display());
    let broker = Mosquitto::start(directory.path(), &settings).await;
    for protocol in ["3.1.1", "5"] {
        let source = format!("{}protocol = \"{protocol}\"\nusername = \"ann\"\n", mqtt(broker.port, "readings"));
        let variable = "VITALWIRE_CONNECTORS__WEARABLES__SOURCES__0__PASSWORD";
        let product = Vitalwire::serve_with(directory.path(), &wearables(&source), &[(variable, "wrong")]);
        let retrying = |connector: &Value| connector["sources"][0]["state"] == "retrying";
        let connector = until(PATIENCE, async || product.connector("wearables").await, retrying).await;
        let reason = &connector["sources"][0]["reason"];
        assert!(reason.as_str().unwrap().contains("check `username` and `password`"), "{reason}");
        let mut check = vitalwire(&["check", "--config", "vitalwire.toml"]);
        check.current_dir(directory.path()).env(variable, "wrong");
        let (code, output, _) = run(check);
        assert_eq!(code, Some(1));
        assert!(output.contains("check `username` and `password`"), "{output}");
        drop(product);
        let product = Vitalwire::serve_with(directory.path(), &wearables(&source), &[(variable, "right")]);
        product.subscribed("wearables").await;
    }
}

/// A reading in a message of about this size.
fn large_message(directory: &Path, bytes: usize) -> String {
    let file = directory.join("large.json");
    let text = message(0).replace('}', &format!(r#","padding":"{}"}}"#, "x".repeat(bytes)));
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[tokio::test]
async fn a_message_larger_than_its_bound_is_dead_lettered_and_its_neighbours_are_stored() {
    for protocol in ["3.1.1", "5"] {
        let directory = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start(directory.path(), "").await;
        let source = mqtt(broker.port, "readings") + &format!("protocol = \"{protocol}\"\n");
        let product = Vitalwire::serve(directory.path(), &wearables(&source));
        product.subscribed("wearables").await;
        publish(broker.port, "readings", &["-f", &large_message(directory.path(), 1_048_576)]);
        publish(broker.port, "readings", &["-m", &message(1)]);
        observations(&product, 1).await;
        let settled = |ledger: &Value| ledger["dead_lettered"] == 1;
        until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    }
}

#[tokio::test]
async fn a_message_too_large_to_be_read_is_told_with_the_mend_which_helps() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "").await;
    let source = mqtt(broker.port, "readings");
    let product = Vitalwire::serve(directory.path(), &wearables(&source));
    product.subscribed("wearables").await;
    publish(broker.port, "readings", &["-f", &large_message(directory.path(), 17 << 20)]);
    publish(broker.port, "readings", &["-m", &message(1)]);
    let told = |connector: &Value| {
        connector["sources"][0]["reason"].as_str().is_some_and(|reason| reason.contains("raise `message_bytes_max`"))
    };
    until(PATIENCE, async || product.connector("wearables").await, told).await;
    drop(product);
    let raised = source + "message_bytes_max = 20000000\n";
    let product = Vitalwire::serve(directory.path(), &wearables(&raised));
    observations(&product, 2).await;
}
