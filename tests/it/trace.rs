//! From an Observation back to the connector, the mapping and the message it was made from.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::config::{mqtt_listener, wearables};
use crate::support::process::Vitalwire;
use crate::support::publish::publish;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

fn reading(minute: u32) -> String {
    json!({
        "deviceid": "d-1", "patientid": "p-1", "heartrate": 60 + minute,
        "measurementdatetime": format!("2024-03-02T07:{minute:02}:00Z"),
    })
    .to_string()
}

fn config(trace: &str) -> String {
    wearables(&format!("observation = {{ trace = \"{trace}\" }}\n{}", mqtt_listener()))
}

/// Sends the readings of these minutes and waits until `received` messages in all have ended.
async fn send(product: &Vitalwire, minutes: &[u32], received: usize) {
    let readings: Vec<String> = minutes.iter().map(|minute| reading(*minute)).collect();
    let payloads: Vec<&[u8]> = readings.iter().map(String::as_bytes).collect();
    publish(product.mqtt.as_ref().unwrap(), &payloads).await;
    let ended = |ledger: &Value| ledger["received"] == received && ledger["in_flight"] == 0;
    until(PATIENCE, async || product.ledger("wearables").await, ended).await;
}

async fn mapping_version(product: &Vitalwire) -> String {
    product.connector("wearables").await["mapping_version"].as_str().unwrap().to_owned()
}

/// The one Observation of a minute.
async fn observation(product: &Vitalwire, minute: u32) -> Value {
    let found = product.fhir().all(&format!("Observation?date=2024-03-02T07:{minute:02}:00Z")).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

fn encoded(uri: &str) -> String {
    uri.replace('#', "%23").replace('|', "%7C")
}

#[tokio::test]
async fn the_source_of_an_observation_names_connector_mapping_and_message() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config("source"));
    send(&product, &[1, 2, 3], 3).await;
    let version = mapping_version(&product).await;
    assert_eq!(version.len(), 12, "{version}");
    let observation = observation(&product, 2).await;
    let source = observation["meta"]["source"].as_str().unwrap().to_owned();
    let (start, position) = source.rsplit_once('#').unwrap();
    assert_eq!((position, observation["meta"].get("tag")), ("2", None), "the second message is the second one");
    let prefix = format!("urn:vitalwire:wearables:mqtt-listener:{version}:");
    let started = start.strip_prefix(&prefix).unwrap();
    assert!(started.len() == 16 && started.starts_with("20") && started.ends_with('Z'), "{started}");

    let fhir = product.fhir();
    let search = format!("Observation?_source={}", encoded(&source));
    assert_eq!(fhir.ids(&search, "match").await, [observation["id"].as_str().unwrap()]);
    assert_eq!(fhir.count(&format!("Observation?_source:below={prefix}")).await, 3);

    send(&product, &[3, 2, 1], 6).await;
    assert_eq!(
        self::observation(&product, 2).await,
        observation,
        "what comes again under another number changes nothing"
    );
    product.interrupt();
    let product = Vitalwire::serve(directory.path(), &config("source"));
    assert_eq!(mapping_version(&product).await, version, "the same files after a restart");
    send(&product, &[2, 4], 8).await;
    assert_eq!(self::observation(&product, 2).await, observation);
    let later = self::observation(&product, 4).await["meta"]["source"].as_str().unwrap().to_owned();
    assert!(later.starts_with(&prefix) && later.ends_with("#2"), "numbers start again: {later}");
}

#[tokio::test]
async fn tags_find_all_observations_of_a_mapping() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config("tag"));
    send(&product, &[1, 2], 2).await;
    let version = mapping_version(&product).await;
    let search = |value: &str| format!("Observation?_tag=urn:vitalwire:{}", encoded(value));
    assert_eq!(product.fhir().count(&search(&format!("mapping|{version}"))).await, 2);
    assert_eq!(product.fhir().count(&search("connector|wearables")).await, 2);
    let observation = observation(&product, 2).await;
    let tags = observation["meta"]["tag"].as_array().unwrap();
    let message = tags.iter().find(|tag| tag["system"] == "urn:vitalwire:message").unwrap();
    let message = message["code"].as_str().unwrap();
    assert!(message.starts_with("mqtt-listener:20") && message.ends_with("#2"), "{message}");
    assert_eq!(product.fhir().count(&search(&format!("message|{message}"))).await, 1);
    assert_eq!(observation["meta"].get("source"), None);
}

#[tokio::test]
async fn a_provenance_leads_from_the_observation_to_the_message() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config("provenance"));
    send(&product, &[1, 2], 2).await;
    send(&product, &[2, 1, 2], 5).await;
    let observation = observation(&product, 2).await;
    let search = format!("Provenance?target=Observation/{}", observation["id"].as_str().unwrap());
    let provenances = product.fhir().all(&search).await;
    assert_eq!(provenances.len(), 1, "{provenances:?}");
    let message = provenances[0]["entity"][0]["what"]["identifier"]["value"].as_str().unwrap();
    let version = mapping_version(&product).await;
    assert!(message.starts_with(&format!("urn:vitalwire:wearables:mqtt-listener:{version}:20")), "{message}");
    assert!(message.ends_with("#2"), "{message}");
    assert_eq!(product.fhir().count("Provenance").await, 2);
    assert_eq!((observation["meta"].get("source"), observation["meta"].get("tag")), (None, None));
}

#[tokio::test]
async fn fm_18_none_writes_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config("none"));
    send(&product, &[1], 1).await;
    let observation = observation(&product, 1).await;
    let mut meta: Vec<&String> = observation["meta"].as_object().unwrap().keys().collect();
    meta.sort();
    assert_eq!(meta, ["lastUpdated", "versionId"]);
    assert_eq!(product.fhir().count("Provenance").await, 0);
}
