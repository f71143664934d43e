//! Devices that connect straight to vitalwire, with real clients.

use std::process::Command;
use std::time::Duration;

use crate::support::config::{mqtt_listener, wearables};
use crate::support::mosquitto::free_port;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::HEART_RATE_FILE;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);

fn client(program: &str, address: &str, version: &str) -> Command {
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut command = Command::new(program);
    command.args(["-h", host, "-p", port, "-V", version, "-t", "readings"]);
    command
}

#[tokio::test]
async fn both_protocol_versions_publish_at_every_quality_of_service() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    let address = product.mqtt.clone().unwrap();
    // MQTT 5 clients are told that QoS 2 is not offered, so they do not use it.
    for (second, (version, qos)) in
        [("311", "0"), ("311", "1"), ("311", "2"), ("5", "0"), ("5", "1")].iter().enumerate()
    {
        let message = format!(
            r#"{{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:{second:02}Z","heartrate":61}}"#
        );
        let mut publish = client("mosquitto_pub", &address, version);
        publish.args(["-q", qos, "-m", &message]);
        let (code, _, errors) = run(publish);
        assert_eq!(code, Some(0), "version {version}, QoS {qos}: {errors}");
    }
    let five = |count: &u64| *count == 5;
    until(PATIENCE, async || product.fhir().count("Observation").await, five).await;
}

#[tokio::test]
async fn subscriptions_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    for version in ["311", "5"] {
        let mut subscribe = client("mosquitto_sub", product.mqtt.as_ref().unwrap(), version);
        subscribe.args(["-C", "1", "-W", "20"]);
        let (code, output, errors) = run(subscribe);
        assert!(
            errors.contains("denied") || errors.to_lowercase().contains("not authorized"),
            "{code:?} {output}{errors}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_devices_send_it_has_every_reading_once_when_they_have_sent_all() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let listener = mqtt_listener().replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let config = wearables(&listener);
    let mut product = Vitalwire::serve(directory.path(), &config);
    let sender = std::thread::spawn(move || {
        run(vitalwire(&["send", HEART_RATE_FILE, "--to", &format!("mqtt://127.0.0.1:{port}/readings")]))
    });
    for share in [2_000, 6_500, 13_000] {
        until(PATIENCE, async || product.fhir().count("Observation").await, |count| *count >= share).await;
        product.kill();
        product = Vitalwire::serve(directory.path(), &config);
    }
    let (code, output, errors) = sender.join().unwrap();
    assert_eq!(code, Some(0), "{output}{errors}");
    // All are acknowledged, so all are stored: no waiting here.
    assert_eq!(product.fhir().count("Observation").await, 26_084);
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, |ledger| ledger["in_flight"] == 0).await;
    assert_eq!((&ledger["unexplained"], &ledger["dead_lettered"]), (&0.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_under_load_it_drains_and_keeps_every_acknowledged_reading() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = wearables(&mqtt_listener().replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    let product = Vitalwire::serve(directory.path(), &config);
    let mut sender =
        vitalwire(&["send", HEART_RATE_FILE, "--repeat", "--to", &format!("mqtt://127.0.0.1:{port}/readings")]);
    let mut sender = sender.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    until(PATIENCE, async || product.fhir().count("Observation").await, |count| *count >= 5_000).await;
    let (status, log) = product.interrupt();
    sender.kill().unwrap();
    sender.wait().unwrap();
    assert!(status.success(), "{status}: {}", log.join("\n"));

    let product = Vitalwire::serve(directory.path(), &config);
    let ledger = product.ledger("wearables").await;
    assert_eq!((&ledger["unexplained"], &ledger["in_flight"]), (&0.into(), &0.into()));
    assert_eq!(ledger["stored"], product.fhir().count("Observation").await);
}
