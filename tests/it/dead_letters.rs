//! One bad message hurts only itself: it is kept with its reason, its neighbours are stored.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::config::{mqtt, mqtt_listener, wearables};
use crate::support::mosquitto::Mosquitto;
use crate::support::process::{Vitalwire, run};
use crate::support::publish::{Device, publish};
use crate::support::wait::until;

const GOOD: &str =
    r#"{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:00Z","heartrate":61}"#;

#[tokio::test]
async fn er_10_bad_payloads_among_good_ones_are_kept_with_their_reason() {
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

/// What becomes of one message while the connector finds devices in this way and the server has these resources.
async fn dropped(mode: &str, resources: &[Value], message: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let config = wearables(&mqtt_listener()).replace("\"create\"", &format!("\"{mode}\""));
    let product = Vitalwire::serve(directory.path(), &config);
    for resource in resources {
        product.fhir().put(resource).await.check(201);
    }
    publish(product.mqtt.as_ref().unwrap(), &[message.as_bytes()]).await;
    let connector = product.connector("wearables").await;
    let (state, ledger) = (&connector["state"], &connector["ledger"]);
    assert_eq!((state, &ledger["dead_lettered"], &ledger["unexplained"]), (&json!("running"), &json!(1), &json!(0)));
    let letters = product.fhir().get_json(&format!("{}/connectors/wearables/dead-letters", product.http)).await;
    letters["dead_letters"][0]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn er_6_what_the_fhir_stage_can_never_use_is_dropped_with_its_code_and_not_tried_again() {
    let device = |id: &str, patient: &str| {
        json!({
            "resourceType": "Device", "id": id, "identifier": [{ "value": "d-1" }],
            "patient": { "reference": format!("Patient/{patient}") },
        })
    };
    let patient =
        |id: &str| json!({ "resourceType": "Patient", "id": id, "identifier": [{ "value": format!("{id}-9") }] });
    let of_another = [patient("p"), device("a", "p")];
    let two = [patient("p"), device("a", "p"), device("b", "p")];
    let anonymous = GOOD.replace("\"patientid\":\"p-1\",", "");
    let fast = GOOD.replace("61", "\"fast\"");
    let cases: [(&str, &[Value], &str, &str); 6] = [
        ("create", &[], &anonymous, "PatientIdentityNotDefinedException"),
        ("create", &of_another, GOOD, "PatientDeviceMismatchException"),
        ("create", &[], &fast, "InvalidQuantityFhirValueException"),
        ("lookup", &[], GOOD, "DeviceNotFoundException"),
        ("lookup", &two, GOOD, "MultipleDeviceFoundException"),
        ("lookup-with-encounter", &of_another, GOOD, "EncounterIdentityNotDefinedException"),
    ];
    for (mode, resources, message, code) in cases {
        assert_eq!(dropped(mode, resources, message).await, code);
    }
}

#[tokio::test]
async fn nothing_that_identifies_a_person_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "").await;
    let subscription = mqtt(broker.port, "secret-ward/+").replace("[[", "\n[[") + "client_id = \"secret-client\"\n";
    let config =
        format!("{}\n[log]\nfilter = \"debug,rumqttc=trace\"\n", wearables(&(subscription + &mqtt_listener())));
    let product = Vitalwire::serve(directory.path(), &config);
    product.subscribed("wearables").await;
    let good = GOOD.replace("d-1", "secret-device").replace("p-1", "secret-patient");
    let bad = good.replace("61", "\"secret-value\"");
    let messages = [good.as_bytes(), bad.as_bytes(), b"secret-text", br#"{"secret-member":1}"#];
    let listener = product.mqtt.clone().unwrap();
    let device = Device { client_id: "secret-device", topic: "secret-ward/7" };
    device.publish(&listener, &messages).await;
    device.publish(&format!("127.0.0.1:{}", broker.port), &messages).await;
    let (_, port) = listener.rsplit_once(':').unwrap();
    let mut subscriber = std::process::Command::new("mosquitto_sub");
    subscriber.args([
        "-p",
        port,
        "-t",
        "secret-topic",
        "-i",
        "secret-client",
        "-u",
        "secret-user",
        "-P",
        "secret-word",
    ]);
    run(subscriber);
    let seen = |ledger: &Value| ledger["received"] == 8 && ledger["in_flight"] == 0;
    until(Duration::from_secs(20), async || product.ledger("wearables").await, seen).await;
    drop(broker);
    let retrying = |connector: &Value| connector["sources"][0]["state"] == "retrying";
    until(Duration::from_secs(20), async || product.connector("wearables").await, retrying).await;
    let (_, log) = product.interrupt();
    let told: Vec<&String> = log.iter().filter(|line| line.contains("secret-")).collect();
    assert!(told.is_empty(), "{told:?}");
}
