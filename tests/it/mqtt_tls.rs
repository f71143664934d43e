//! Subscriptions at a Mosquitto that encrypts, and wants certificates.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::config::{mqtt, wearables};
use crate::support::guarded_server::Authority;
use crate::support::mosquitto::Mosquitto;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
const MESSAGE: &str =
    r#"{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:00Z","heartrate":61}"#;

/// Keys of a source that trusts the authority, and of one that shows a certificate besides.
const TRUSTS: &str = "tls = { ca_file = \"ca.pem\" }\n";
const TRUSTS_AND_SHOWS: &str =
    "tls = { ca_file = \"ca.pem\", certificate_file = \"client.pem\", key_file = \"client-key.pem\" }\n";

/// Writes the certificates of an authority, a broker and a client; what a broker that wants client certificates is told.
fn certificates(directory: &Path) -> String {
    let authority = Authority::new();
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    write("ca.pem", &authority.pem());
    for who in ["broker", "client"] {
        let (certificate, key) = authority.identity().pem();
        write(&format!("{who}.pem"), &certificate);
        write(&format!("{who}-key.pem"), &key);
    }
    let at = directory.display();
    // Started as root, the broker would become another user, who may not read here.
    format!("user root\ncafile {at}/ca.pem\ncertfile {at}/broker.pem\nkeyfile {at}/broker-key.pem\n")
}

fn publish(directory: &Path, port: u16) {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-p", &port.to_string(), "-q", "1", "-t", "readings", "-m", MESSAGE]).current_dir(directory);
    command.args(["--cafile", "ca.pem", "--cert", "client.pem", "--key", "client-key.pem"]);
    let (code, _, errors) = run(command);
    assert_eq!(code, Some(0), "{errors}");
}

/// Sends a reading of a second later as the product itself would.
fn send(directory: &Path, port: u16, protocol: &str) {
    std::fs::write(directory.join("message.ndjson"), MESSAGE.replace("15:00Z", "15:01Z")).unwrap();
    let certificates = "ca_file=ca.pem&certificate_file=client.pem&key_file=client-key.pem";
    let url = format!("mqtts://127.0.0.1:{port}/readings?version={protocol}&{certificates}");
    let mut command = vitalwire(&["send", "message.ndjson", "--to", &url]);
    command.current_dir(directory);
    let (code, output, errors) = run(command);
    assert_eq!(code, Some(0), "{output}{errors}");
    // Without a certificate it is not let in.
    let url = format!("mqtts://127.0.0.1:{port}/readings?version={protocol}&ca_file=ca.pem");
    let mut command = vitalwire(&["send", "message.ndjson", "--to", &url]);
    command.current_dir(directory);
    assert_eq!(run(command).0, Some(1));
}

#[tokio::test]
async fn readings_come_over_tls_with_certificates_on_both_sides() {
    for protocol in ["3.1.1", "5"] {
        let directory = tempfile::tempdir().unwrap();
        let settings = certificates(directory.path()) + "require_certificate true\n";
        let broker = Mosquitto::start(directory.path(), &settings).await;
        let source = mqtt(broker.port, "readings") + &format!("protocol = \"{protocol}\"\n") + TRUSTS_AND_SHOWS;
        let product = Vitalwire::serve(directory.path(), &wearables(&source));
        product.subscribed("wearables").await;
        publish(directory.path(), broker.port);
        send(directory.path(), broker.port, protocol);
        until(PATIENCE, async || product.fhir().count("Observation").await, |found| *found == 2).await;
        let mut check = vitalwire(&["check", "--config", "vitalwire.toml"]);
        check.current_dir(directory.path());
        let (code, output, errors) = run(check);
        assert!(output.contains(&format!("speaks MQTT {protocol} over TLS")), "{code:?} {output}{errors}");
        let (status, _) = product.interrupt();
        assert!(status.success());
    }
}

/// A source on this port is said to retry for this reason.
async fn check_trouble(directory: &Path, port: u16, keys: &str, expected: &str) {
    for protocol in ["3.1.1", "5"] {
        let config = wearables(&(mqtt(port, "readings") + &format!("protocol = \"{protocol}\"\n") + keys));
        let product = Vitalwire::serve(directory, &config);
        let retrying = |connector: &Value| connector["sources"][0]["state"] == "retrying";
        let connector = until(PATIENCE, async || product.connector("wearables").await, retrying).await;
        let reason = connector["sources"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(expected), "{keys}: {reason}");
        drop(product);
        let mut check = vitalwire(&["check", "--config", "vitalwire.toml"]);
        check.current_dir(directory);
        let (code, output, errors) = run(check);
        assert_eq!(code, Some(1), "{output}{errors}");
        let found = output.lines().find(|line| line.contains("MQTT broker")).unwrap();
        assert!(found.starts_with("FAIL") && found.contains(expected), "{keys}: {found}");
    }
}

#[tokio::test]
async fn what_keeps_a_connection_from_being_encrypted_is_told_with_its_mend() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let settings = certificates(directory) + "require_certificate true\n";
    let broker = Mosquitto::start(directory, &settings).await;
    let port = broker.port;
    check_trouble(directory, port, "tls = {}\n", "check `host`, `tls.server_name` and `tls.ca_file`").await;
    let other_name = TRUSTS.replace(" }", ", server_name = \"broker.example.org\" }");
    check_trouble(directory, port, &other_name, "not valid for name \"broker.example.org\"").await;
    check_trouble(directory, port, TRUSTS, "check `tls.certificate_file` and `tls.key_file`").await;
    check_trouble(directory, port, "", "check `port`, and whether the broker wants `tls`").await;
    let plain = Mosquitto::start(directory, "").await;
    check_trouble(directory, plain.port, TRUSTS, "does not speak TLS").await;
}
