//! `vitalwire check`: what a human reads before a start, and at night.

use std::net::TcpListener;

use crate::support::config::{HTTP_PUSH, mqtt, mqtt_listener, template, wearables};
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::process::{Vitalwire, check};
use crate::support::refusing_server::always;

#[track_caller]
fn has_line(text: &str, words: &[&str]) {
    let found = text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "no line with {words:?} in:\n{text}");
}

#[tokio::test]
async fn everything_in_order_is_said_line_by_line() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "").await;
    let config = wearables(&(mqtt(broker.port, "readings") + "\n" + &mqtt_listener() + HTTP_PUSH));
    let (code, text) = check(directory.path(), &config);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.lines().all(|line| line.starts_with("ok    ")), "{text}");
    has_line(&text, &["MQTT broker", &broker.port.to_string()]);
    has_line(&text, &["POST /connectors/wearables/messages is served at http.listen", "everybody"]);
    assert!(!directory.path().join("data").exists(), "a check makes nothing");
}

#[tokio::test]
async fn a_topic_that_may_not_be_subscribed_to_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let refusing = tempfile::tempdir().unwrap();
    // The listener of vitalwire lets everybody in and refuses every subscription.
    let broker = Vitalwire::serve(refusing.path(), &wearables(&mqtt_listener()));
    let port = broker.mqtt.as_ref().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    for protocol in ["3.1.1", "5"] {
        let source = mqtt(port, "readings") + &format!("protocol = \"{protocol}\"\n");
        let (code, text) = check(directory.path(), &wearables(&source));
        assert_eq!(code, Some(1), "{text}");
        has_line(&text, &["FAIL", "MQTT broker", "refuses filter 1 (", "what the user may subscribe to"]);
    }
}

#[test]
fn a_broken_mapping_is_named_with_file_line_and_column() {
    let directory = tempfile::tempdir().unwrap();
    let shipped = template("heart-rate/device.json");
    let text = std::fs::read_to_string(&shipped).unwrap().replace("$.matchedToken.deviceid", "$.[");
    std::fs::write(directory.path().join("device.json"), text).unwrap();
    let config = wearables(&mqtt_listener()).replace(&shipped.display().to_string(), "device.json");
    let (code, text) = check(directory.path(), &config);
    assert_eq!(code, Some(78), "{text}");
    has_line(&text, &["device.json:10:9"]);
}

#[test]
fn what_cannot_be_reached_is_said_with_how_to_mend_it() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let broker = free_port();
    let fhir = always("401 Unauthorized", "");
    let sources = format!("fhir = {{ url = \"{fhir}\" }}\n{}", mqtt(broker, "readings"));
    let config = wearables(&sources).replace("127.0.0.1:0", &taken.to_string());
    let (code, text) = check(directory.path(), &config);
    assert_eq!(code, Some(1), "{text}");
    has_line(&text, &["FAIL", "http.listen", &taken.to_string(), "choose another port"]);
    has_line(&text, &["FAIL", "MQTT broker", &broker.to_string(), "check that it runs"]);
    has_line(&text, &["FAIL", "FHIR server", "401", "`fhir.token`"]);
    has_line(&text, &["3 of 4"]);
}
