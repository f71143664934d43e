//! Mapping files edited while the program runs (rules DM-51, ER-2, ER-3), and payloads read leniently (EV-5).

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio_util::task::TaskTracker;

use crate::support::config::{mqtt_listener, template};
use crate::support::process::Vitalwire;
use crate::support::publish::publish;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(30);

fn reading(second: u32) -> String {
    format!(
        r#"{{"deviceid":"d-1","patientid":"p-1","heartrate":61,"measurementdatetime":"2024-03-02T07:15:{second:02}Z"}}"#
    )
}

/// A connector on mapping files in its own directory, with these further keys.
fn config(keys: &str) -> String {
    format!(
        "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[connectors]]\nname = \"wearables\"\n\
         device_mapping = \"device.json\"\nfhir_mapping = \"fhir.json\"\nidentity = {{ mode = \"create\" }}\n{keys}\n{}",
        mqtt_listener()
    )
}

async fn send(product: &Vitalwire, payload: &str) {
    publish(product.mqtt.as_ref().unwrap(), &[payload.as_bytes()]).await;
}

/// The codes of all Observations, sorted.
async fn units(product: &Vitalwire) -> Vec<String> {
    let observations = product.fhir().all("Observation").await;
    let unit = |observation: &Value| observation["valueQuantity"]["unit"].as_str().unwrap().to_owned();
    let mut units: Vec<String> = observations.iter().map(unit).collect();
    units.sort();
    units
}

#[tokio::test]
async fn dm_51_er_2_an_edited_mapping_takes_effect_and_a_broken_one_holds_messages_until_it_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    let (device_file, fhir_file) = (directory.path().join("device.json"), directory.path().join("fhir.json"));
    let device = fs::read_to_string(template("heart-rate/device.json")).unwrap();
    let fhir = fs::read_to_string(template("heart-rate/fhir.json")).unwrap();
    let unit = |unit: &str| fhir.replace("\"unit\": \"beats/minute\"", &format!("\"unit\": \"{unit}\""));
    assert_ne!(unit("first"), fhir, "the template has the unit that is edited");
    fs::write(&device_file, &device).unwrap();
    fs::write(&fhir_file, unit("first")).unwrap();
    let product = Vitalwire::serve(directory.path(), &config(""));

    send(&product, &reading(1)).await;
    fs::write(&fhir_file, unit("second")).unwrap();
    send(&product, &reading(2)).await;
    assert_eq!(units(&product).await, ["first", "second"]);

    fs::write(&device_file, device.replace("typeMatchExpression", "typeMatch")).unwrap();
    let address = product.mqtt.clone().unwrap();
    let waiting = TaskTracker::new().spawn(async move { publish(&address, &[reading(3).as_bytes()]).await });
    let halted = |connector: &Value| connector["state"] == "halted";
    let connector = until(PATIENCE, async || product.connector("wearables").await, halted).await;
    assert!(connector["reason"].as_str().unwrap().contains("device.json:"), "{connector}");
    assert!(!waiting.is_finished(), "what was not processed is not acknowledged");
    assert_eq!(units(&product).await, ["first", "second"]);

    fs::write(&device_file, &device).unwrap();
    waiting.await.unwrap();
    assert_eq!(units(&product).await, ["first", "second", "second"]);
    assert_eq!(product.connector("wearables").await["state"], "running");
    let ledger = product.ledger("wearables").await;
    assert_eq!((&ledger["stored"], &ledger["dead_lettered"]), (&3.into(), &0.into()), "{ledger}");
}

#[tokio::test]
async fn ev_5_lenient_reading_is_a_switch_and_off_by_default() {
    let lenient = "{deviceid:'d-1','patientid':\"p-1\", heartrate:0x3D, // beats\n measurementdatetime:'2024-03-02T07:15:00Z',} ok";
    for (keys, stored, dead_lettered) in [("", 0, 1), ("payload_json = \"lax\"", 1, 0)] {
        let directory = tempfile::tempdir().unwrap();
        for file in ["device.json", "fhir.json"] {
            fs::copy(template("heart-rate").join(file), directory.path().join(file)).unwrap();
        }
        let product = Vitalwire::serve(directory.path(), &config(keys));
        send(&product, lenient).await;
        let ledger = product.ledger("wearables").await;
        assert_eq!((&ledger["stored"], &ledger["dead_lettered"]), (&stored.into(), &dead_lettered.into()), "{ledger}");
        if stored == 1 {
            let observations = product.fhir().all("Observation").await;
            assert_eq!(observations[0]["valueQuantity"]["value"], 61);
        }
    }
}
