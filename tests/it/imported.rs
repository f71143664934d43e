//! Observations that another connector made, imported under ids of its own: they are merged into, none is made twice.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::config::{SERVICE, connector, mqtt_listener};
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;
use crate::support::publish::publish;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
const MAPPING: &str = "heart-rate-hourly";

fn reading(device: &str, minute: u32, rate: u32) -> String {
    json!({
        "deviceid": device, "patientid": format!("p-{device}"), "heartrate": rate,
        "measurementdatetime": format!("2024-03-02T07:{minute:02}:00Z"),
    })
    .to_string()
}

/// Sends readings and gives the ledger of the connector once all of its `received` messages have ended.
async fn send(product: &Vitalwire, name: &str, readings: &[String], received: usize) -> Value {
    let payloads: Vec<&[u8]> = readings.iter().map(String::as_bytes).collect();
    publish(product.mqtt.as_ref().unwrap(), &payloads).await;
    let ended = |ledger: &Value| ledger["received"] == received && ledger["in_flight"] == 0;
    until(PATIENCE, async || product.ledger(name).await, ended).await
}

/// What a connector makes of these readings: Patients, Devices and Observations.
async fn made_of(readings: &[String]) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &connector("first", MAPPING, &mqtt_listener()));
    send(&product, "first", readings, readings.len()).await;
    let mut made = Vec::new();
    for resource_type in ["Patient", "Device", "Observation"] {
        made.extend(product.fhir().all(resource_type).await);
    }
    made
}

/// Stores resources, Observations under another id that ends in `suffix`.
async fn import(server: &Fhir, resources: &[Value], suffix: &str) {
    for resource in resources {
        let mut resource = resource.clone();
        if resource["resourceType"] == "Observation" {
            let id: String = resource["id"].as_str().unwrap().chars().take(20).collect();
            resource["id"] = format!("imported-{id}-{suffix}").into();
            resource["note"] = json!([{ "text": "imported" }]);
        }
        server.put(&resource).await.check(201);
    }
}

/// A connector that delivers to `server` merges into what is imported there.
async fn check(product: &Vitalwire, server: &Fhir) {
    let readings = [reading("a", 0, 60), reading("a", 1, 61), reading("b", 0, 70)];
    let made = made_of(&readings).await;
    import(server, &made, "1").await;
    let ledger = send(product, "second", &readings, 3).await;
    assert_eq!((&ledger["unchanged"], &ledger["stored"], &ledger["merged"]), (&3.into(), &0.into(), &0.into()));
    let ledger = send(product, "second", &[reading("a", 2, 62)], 4).await;
    assert_eq!((&ledger["merged"], &ledger["stored"]), (&1.into(), &0.into()));

    let observations = server.all("Observation").await;
    assert_eq!(observations.len(), 2, "{observations:?}");
    for observation in &observations {
        assert!(observation["id"].as_str().unwrap().starts_with("imported-"), "{observation}");
        assert_eq!(observation["note"][0]["text"], "imported");
    }
    let mut versions: Vec<&str> = observations.iter().map(|one| one["meta"]["versionId"].as_str().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, ["1", "2"], "only the one with a new reading");

    let observations: Vec<Value> = made.into_iter().filter(|one| one["resourceType"] == "Observation").collect();
    import(server, &observations[..1], "2").await;
}

/// A connector that knows nothing yet cannot tell which of two is meant; the other device goes on.
async fn check_twins(product: &Vitalwire) {
    let ledger = send(product, "third", &[reading("a", 3, 63), reading("b", 3, 73)], 2).await;
    assert_eq!((&ledger["merged"], &ledger["dead_lettered"], &ledger["stored"]), (&1.into(), &1.into(), &0.into()));
    let letters = format!("{}/connectors/third/dead-letters", product.http);
    let letters = product.fhir().get_json(&letters).await;
    assert_eq!(letters["dead_letters"][0]["code"], "MultipleObservationFoundException", "{letters}");
}

#[tokio::test]
async fn ob_1_ob_2_imported_observations_of_the_own_service_are_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &connector("second", MAPPING, &mqtt_listener()));
    check(&product, &product.fhir()).await;
    product.interrupt();
    check_twins(&Vitalwire::serve(directory.path(), &connector("third", MAPPING, &mqtt_listener()))).await;
}

#[tokio::test]
async fn ob_1_ob_2_imported_observations_of_another_server_are_found_again() {
    let directories: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let server = Vitalwire::serve(directories[0].path(), SERVICE);
    let target = format!("fhir = {{ url = \"{}/fhir\" }}\n{}", server.http, mqtt_listener());
    let product = Vitalwire::serve(directories[1].path(), &connector("second", MAPPING, &target));
    check(&product, &server.fhir()).await;
    check_twins(&Vitalwire::serve(directories[2].path(), &connector("third", MAPPING, &target))).await;
}
