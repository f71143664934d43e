//! Everything a device may send: each message ends in the ledger, in the right state and with the right code.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::config::{mqtt_listener, template, wearables};
use crate::support::process::Vitalwire;
use crate::support::publish::publish;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(30);

fn reading(second: u32, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut reading = json!({
        "deviceid": "d-1", "patientid": "p-1", "heartrate": 61,
        "measurementdatetime": format!("2024-03-02T07:15:{second:02}Z"),
    });
    change(&mut reading);
    reading.to_string().into_bytes()
}

/// Sends one message between two good ones; gives back the codes of its dead letters, and how many Observations it made.
async fn fate(product: &Vitalwire, payload: &[u8]) -> (Vec<String>, u64) {
    let letters = format!("{}/connectors/wearables/dead-letters", product.http);
    let codes = async || {
        let page = product.fhir().get_json(&letters).await;
        let page = page["dead_letters"].as_array().unwrap().clone();
        page.iter().map(|letter| letter["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (codes_before, count_before) = (codes().await, product.fhir().count("Observation").await);
    publish(product.mqtt.as_ref().unwrap(), &[payload]).await;
    let settled = |ledger: &Value| ledger["in_flight"] == 0;
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    assert_eq!(ledger["unexplained"], 0);
    let mut codes = codes().await;
    codes.truncate(codes.len() - codes_before.len());
    (codes, product.fhir().count("Observation").await - count_before)
}

#[tokio::test]
async fn every_payload_has_its_fate() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    let padded = |bytes: usize| reading(40, |reading| reading["padding"] = "x".repeat(bytes).into());
    let stranger = |patient: Value| {
        reading(5, |reading| {
            reading["deviceid"] = "d-9".into();
            reading["patientid"] = patient;
        })
    };
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    let array = format!(
        "[{},{}]",
        String::from_utf8(reading(1, |_| ())).unwrap(),
        String::from_utf8(reading(2, |_| ())).unwrap()
    );
    let invalid_format: &[&str] = &["InvalidDataFormatException"];
    let incompatible: &[&str] = &["IncompatibleDataException"];
    let cases: Vec<(&str, Vec<u8>, &[&str], u64)> = vec![
        ("good", reading(0, |_| ()), &[], 1),
        ("empty", Vec::new(), &[], 0),
        ("blank", b"  \n".to_vec(), invalid_format, 0),
        ("not UTF-8", b"{\"deviceid\":\"\xff\xfe\"}".to_vec(), invalid_format, 0),
        ("truncated", reading(3, |_| ())[..50].to_vec(), invalid_format, 0),
        ("trailing text", [reading(3, |_| ()), b" and more".to_vec()].concat(), invalid_format, 0),
        ("array of readings", array.into_bytes(), &[], 2),
        ("deep", nested(100), &[], 0),
        ("abysmal", nested(400_000), invalid_format, 0),
        ("a number", b"1".to_vec(), &[], 0),
        ("null", b"null".to_vec(), &[], 0),
        ("1 MB", padded(1_000_000), &[], 1),
        ("too large", padded(1_100_000), invalid_format, 0),
        ("no device", reading(4, |reading| drop(reading.as_object_mut().unwrap().remove("deviceid"))), incompatible, 0),
        ("blank device", reading(4, |reading| reading["deviceid"] = "  ".into()), incompatible, 0),
        ("device is an object", reading(4, |reading| reading["deviceid"] = json!({"a": 1})), incompatible, 0),
        ("blank patient", stranger(" ".into()), &["PatientIdentityNotDefinedException"], 0),
        ("no patient", stranger(Value::Null), &["PatientIdentityNotDefinedException"], 0),
        // Rule ID-10: the patient of a known device is the one it is linked to.
        ("no patient, known device", reading(5, |reading| reading["patientid"] = Value::Null), &[], 1),
        (
            "other patient",
            reading(6, |reading| reading["patientid"] = "p-2".into()),
            &["PatientDeviceMismatchException"],
            0,
        ),
        ("value null", reading(7, |reading| reading["heartrate"] = Value::Null), incompatible, 0),
        (
            "value text",
            reading(7, |reading| reading["heartrate"] = "fast".into()),
            &["InvalidQuantityFhirValueException"],
            0,
        ),
        ("value object", reading(7, |reading| reading["heartrate"] = json!({"a": 1})), incompatible, 0),
        ("time in words", reading(7, |reading| reading["measurementdatetime"] = "noon".into()), incompatible, 0),
    ];
    for (name, payload, codes, observations) in cases {
        let found = fate(&product, &payload).await;
        assert_eq!(found, (codes.iter().map(|code| (*code).to_owned()).collect(), observations), "{name}");
    }
    assert_eq!(product.fhir().count("Patient").await, 1);
}

#[tokio::test]
async fn numbers_keep_their_digits() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    let text = String::from_utf8(reading(0, |_| ())).unwrap();
    let precise = text.replace(":61", ":61.50");
    assert_eq!(fate(&product, precise.as_bytes()).await, (Vec::new(), 1));
    let stored = product.fhir().send(reqwest::Method::GET, "Observation", &[], None).await.text().await.unwrap();
    assert!(stored.contains(r#""value":61.5,"#), "{stored}");
    // The last of two members of one name counts, and so does every digit.
    let beyond = text.replace("07:15:00", "07:15:01").replace(":61", ":1,\"heartrate\":123456789012345678901234");
    assert_eq!(fate(&product, beyond.as_bytes()).await, (Vec::new(), 1));
    let stored = product.fhir().send(reqwest::Method::GET, "Observation", &[], None).await.text().await.unwrap();
    assert!(stored.contains("123456789012345678901234"), "{stored}");
}

#[tokio::test]
async fn an_encounter_that_does_not_exist_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let shipped = template("heart-rate/device.json");
    let mapping = std::fs::read_to_string(&shipped).unwrap();
    let mapping =
        mapping.replace("\"values\":", "\"encounterIdExpression\": \"$.matchedToken.encounter\",\n\"values\":");
    std::fs::write(directory.path().join("device.json"), mapping).unwrap();
    let config = wearables(&mqtt_listener())
        .replace(&shipped.display().to_string(), "device.json")
        .replace("\"create\"", "\"lookup-with-encounter\"");
    let product = Vitalwire::serve(directory.path(), &config);
    let visit = |encounter: Value| reading(0, |reading| reading["encounter"] = encounter);
    assert_eq!(fate(&product, &visit("e-1".into())).await.0, ["DeviceNotFoundException"]);

    let put = async |path: &str, body: Value| {
        let response = product.fhir().send(reqwest::Method::PUT, path, &[], Some(&body)).await;
        assert!(response.status().is_success());
    };
    put("Patient/p", json!({ "resourceType": "Patient", "id": "p" })).await;
    let identifier = json!([{ "value": "d-1" }]);
    let device = json!({ "resourceType": "Device", "id": "d", "identifier": identifier, "patient": { "reference": "Patient/p" } });
    put("Device/d", device).await;
    assert_eq!(fate(&product, &visit("e-1".into())).await.0, ["EncounterNotFoundException"]);
    assert_eq!(fate(&product, &visit(Value::Null)).await.0, ["EncounterIdentityNotDefinedException"]);
    let encounter = json!({
        "resourceType": "Encounter", "id": "e", "status": "in-progress", "identifier": [{ "value": "e-1" }],
        "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP" },
        "subject": { "reference": "Patient/p" },
    });
    put("Encounter/e", encounter).await;
    assert_eq!(fate(&product, &visit("e-1".into())).await, (Vec::new(), 1));
}

#[tokio::test]
async fn a_renamed_field_shows_up() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    for second in 0..3 {
        let text = String::from_utf8(reading(second, |_| ())).unwrap().replace("heartrate", "pulse");
        fate(&product, text.as_bytes()).await;
    }
    let connector = product.connector("wearables").await;
    assert_eq!(connector["ledger"]["unmatched"], 3);
    let shape = json!({ "members": "deviceid,measurementdatetime,patientid,pulse", "count": 3 });
    assert_eq!(connector["unmatched_shapes"], json!([shape]));
}
