//! One bad message hurts only itself: it is kept with its reason, its neighbours are stored.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

use crate::support::config::{mqtt_listener, wearables};
use crate::support::process::Vitalwire;
use crate::support::wait::until;

const GOOD: &str =
    r#"{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:00Z","heartrate":61}"#;

/// Publishes at QoS 1 and waits for every acknowledgement.
async fn publish(address: &str, payloads: &[&[u8]]) {
    let (host, port) = address.rsplit_once(':').unwrap();
    let (client, mut connection) = AsyncClient::new(MqttOptions::new("device", host, port.parse().unwrap()), 100);
    for payload in payloads {
        client.publish("readings", QoS::AtLeastOnce, false, *payload).await.unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < payloads.len() {
        let event = tokio::time::timeout(Duration::from_secs(30), connection.poll()).await.expect("no answer");
        if let Event::Incoming(Packet::PubAck(_)) = event.unwrap() {
            acknowledged += 1;
        }
    }
}

#[tokio::test]
async fn bad_payloads_among_good_ones_are_kept_with_their_reason() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    let other_device = GOOD.replace("d-1", "d-2").replace("p-1", "p-2");
    let payloads: [&[u8]; 9] = [
        GOOD.as_bytes(),
        b"not json",
        &GOOD.as_bytes()[..40],
        br#"{"patientid":"p-1","measurementdatetime":"2024-03-02T07:16:00Z","heartrate":62}"#,
        br#"{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"yesterday","heartrate":62}"#,
        br#"{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:17:00Z","heartrate":"fast"}"#,
        br#"{"deviceid":"d-1","patientid":"p-9","measurementdatetime":"2024-03-02T07:18:00Z","heartrate":63}"#,
        br#"{"unrelated":true}"#,
        other_device.as_bytes(),
    ];
    publish(product.mqtt.as_ref().unwrap(), &payloads).await;

    let ledger =
        until(Duration::from_secs(20), async || product.ledger("wearables").await, |ledger| ledger["received"] == 9)
            .await;
    assert_eq!((&ledger["stored"], &ledger["dead_lettered"], &ledger["unmatched"]), (&2.into(), &6.into(), &1.into()));
    assert_eq!(ledger["unexplained"], 0);
    assert_eq!(product.fhir().count("Observation").await, 2);

    let letters = product.fhir().get_json(&format!("{}/connectors/wearables/dead-letters", product.http)).await;
    let letters = letters["dead_letters"].as_array().unwrap();
    let mut codes: Vec<&str> = letters.iter().map(|letter| letter["code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [
            "IncompatibleDataException",
            "IncompatibleDataException",
            "InvalidDataFormatException",
            "InvalidDataFormatException",
            "InvalidQuantityFhirValueException",
            "PatientDeviceMismatchException",
        ]
    );
    assert!(
        letters.iter().all(|letter| letter["reason"].as_str().is_some_and(|reason| !reason.is_empty())),
        "{letters:?}"
    );
    assert!(letters.iter().any(|letter| letter["payload"] == "not json"), "{letters:?}");
}

#[tokio::test]
async fn nothing_that_identifies_a_person_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("{}\n[log]\nfilter = \"debug\"\n", wearables(&mqtt_listener()));
    let product = Vitalwire::serve(directory.path(), &config);
    let good = GOOD.replace("d-1", "secret-device").replace("p-1", "secret-patient");
    let bad = good.replace("61", "\"secret-value\"");
    publish(product.mqtt.as_ref().unwrap(), &[good.as_bytes(), bad.as_bytes()]).await;
    let seen = |ledger: &Value| ledger["received"] == 2;
    until(Duration::from_secs(20), async || product.ledger("wearables").await, seen).await;
    let (_, log) = product.interrupt();
    let told: Vec<&String> = log.iter().filter(|line| line.contains("secret-")).collect();
    assert!(told.is_empty(), "{told:?}");
}
