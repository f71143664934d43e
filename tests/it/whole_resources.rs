//! HandlebarsFhir mappings, from a message at the listener to what the FHIR service has stored.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::config::mqtt_listener;
use crate::support::process::Vitalwire;
use crate::support::publish::publish;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(30);

const DEVICE: &str = r#"{ "templateType": "CollectionContent", "template": [ { "templateType": "CalculatedContent", "template": {
    "typeName": "reading", "typeMatchExpression": "$..[?(@device)]", "deviceIdExpression": "$.matchedToken.device",
    "patientIdExpression": "$.matchedToken.patient", "timestampExpression": "$.matchedToken.at", "values": [
        { "valueName": "v", "valueExpression": "$.matchedToken.v" },
        { "valueName": "site", "valueExpression": "$.matchedToken.site" },
        { "valueName": "about", "valueExpression": "$.matchedToken.about" } ] } } ] }"#;

/// A running product with this FHIR template; `x.hbs` stands beside it.
fn serve(directory: &Path, members: &str, file: &str) -> Vitalwire {
    let fhir = format!(
        r#"{{ "templateType": "CollectionFhir", "template": [
            {{ "templateType": "HandlebarsFhir", "template": {{ "typeName": "reading", {members} }} }} ] }}"#
    );
    for (name, text) in [("device.json", DEVICE), ("fhir.json", fhir.as_str()), ("x.hbs", file)] {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let path = |name: &str| directory.join(name).display().to_string();
    let config = format!(
        "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[connectors]]\nname = \"wearables\"\n\
         device_mapping = \"{}\"\nfhir_mapping = \"{}\"\nidentity = {{ mode = \"create\" }}\n{}",
        path("device.json"),
        path("fhir.json"),
        mqtt_listener()
    );
    Vitalwire::serve(directory, &config)
}

fn message(at: &str, v: &str, others: &Value) -> Vec<u8> {
    let mut message = json!({ "device": "d-1", "patient": "p-1", "at": at, "v": v });
    message.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    message.to_string().into_bytes()
}

/// Sends one message and gives the ledger once it is settled.
async fn send(product: &Vitalwire, message: &[u8]) -> Value {
    publish(product.mqtt.as_ref().unwrap(), &[message]).await;
    let settled = |ledger: &Value| ledger["in_flight"] == 0;
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    assert_eq!(ledger["unexplained"], 0);
    ledger
}

fn outcomes(ledger: &Value) -> [u64; 4] {
    ["stored", "merged", "unchanged", "dead_lettered"].map(|state| ledger[state].as_u64().unwrap())
}

const SINGLE: &str = r#""resource": {
    "resourceType": "Observation", "code": { "coding": [ { "system": "http://loinc.org", "code": "8310-5" } ] },
    "valueQuantity": "{{quantity values.v unit='degrees Celsius' code='Cel'}}",
    "bodySite": { "text": "{{#if values.site}}{{values.site}}{{/if}}" },
    "performer": [ { "reference": "{{#if values.about}}{{values.about}}{{/if}}" } ] }"#;

#[tokio::test]
async fn a_whole_resource_is_stored_once_and_hostile_values_stay_in_their_strings() {
    let directory = tempfile::tempdir().unwrap();
    let product = serve(directory.path(), SINGLE, "");
    let site = "ear\", \"subject\": { \"reference\": \"Patient/other\" }, \"x\": \"{{patient.id}}";
    let hostile = message("2024-03-02T07:15:00Z", "36.60", &json!({ "site": site }));
    assert_eq!(outcomes(&send(&product, &hostile).await), [1, 0, 0, 0]);
    assert_eq!(outcomes(&send(&product, &hostile).await), [1, 0, 1, 0]);

    let stored = product.fhir().all("Observation").await.remove(0);
    assert_eq!(stored["bodySite"], json!({ "text": site }));
    assert_eq!(stored["valueQuantity"]["value"].to_string(), "36.60");
    assert_eq!(stored["status"], "final");
    assert_eq!((&stored["meta"]["versionId"], stored.get("performer")), (&json!("1"), None));
    let patient = product.fhir().all("Patient").await.remove(0);
    assert_eq!(stored["subject"]["reference"], format!("Patient/{}", patient["id"].as_str().unwrap()));
}

#[tokio::test]
async fn p_5_a_resource_about_another_patient_is_a_dead_letter_and_its_neighbours_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let product = serve(directory.path(), SINGLE, "");
    let other = message("2024-03-02T07:15:00Z", "36.6", &json!({ "about": "Patient/other" }));
    let not_a_number = message("2024-03-02T07:16:00Z", "warm", &json!({}));
    let good = message("2024-03-02T07:17:00Z", "36.7", &json!({ "about": "Practitioner/7" }));
    publish(product.mqtt.as_ref().unwrap(), &[&other, &not_a_number, &good]).await;
    let settled = |ledger: &Value| ledger["received"] == 3 && ledger["in_flight"] == 0;
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    assert_eq!(outcomes(&ledger), [1, 0, 0, 2]);
    let letters = product.fhir().get_json(&format!("{}/connectors/wearables/dead-letters", product.http)).await;
    let mut codes: Vec<&str> =
        letters["dead_letters"].as_array().unwrap().iter().map(|letter| letter["code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["InvalidQuantityFhirValueException", "PatientDeviceMismatchException"]);
}

const HOURLY: &str = r#""periodInterval": 60, "file": "x.hbs""#;
const HOURLY_FILE: &str = r#"{
  "resourceType": "Observation",
  "code": { "text": "{{type}}" },
  "valueSampledData": {{sampledData series.v period=600000 origin=-5 factor=0.5 unit="mV" code="mV"}}
}"#;

#[tokio::test]
async fn ob_16_two_batches_of_an_hour_both_survive_also_a_restart_and_coming_again() {
    let directory = tempfile::tempdir().unwrap();
    let product = serve(directory.path(), HOURLY, HOURLY_FILE);
    let [first, second] = [("07:05", "60"), ("07:25", "61.50")]
        .map(|(time, v)| message(&format!("2024-03-02T{time}:00Z"), v, &json!({})));
    assert_eq!(outcomes(&send(&product, &first).await), [1, 0, 0, 0]);
    assert_eq!(outcomes(&send(&product, &second).await), [1, 1, 0, 0]);
    drop(product);

    let product = serve(directory.path(), HOURLY, HOURLY_FILE);
    assert_eq!(outcomes(&send(&product, &first).await), [1, 1, 1, 0]);
    let third = message("2024-03-02T07:59:59Z", "62", &json!({}));
    assert_eq!(outcomes(&send(&product, &third).await), [1, 2, 1, 0]);
    let stored = product.fhir().all("Observation").await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["valueSampledData"]["data"], "60 E 61.50 E E 62");
    assert_eq!(stored[0]["valueSampledData"]["origin"]["value"].to_string(), "-5");
    assert_eq!((&stored[0]["status"], &stored[0]["meta"]["versionId"]), (&json!("amended"), &json!("3")));
    assert_eq!(stored[0]["effectivePeriod"]["end"], "2024-03-02T07:59:59.9999999Z");
}

#[tokio::test]
async fn a_resource_of_another_type_is_stored_under_it() {
    let directory = tempfile::tempdir().unwrap();
    let report = r#""resource": { "resourceType": "DiagnosticReport", "status": "final", "code": { "text": "strip" },
        "subject": { "reference": "{{patient.reference}}" }, "conclusion": "{{values.v}}" }"#;
    let product = serve(directory.path(), report, "");
    let strip = message("2024-03-02T07:15:00Z", "sinus rhythm", &json!({}));
    assert_eq!(outcomes(&send(&product, &strip).await), [1, 0, 0, 0]);
    assert_eq!(outcomes(&send(&product, &strip).await), [1, 0, 1, 0]);
    let corrected = message("2024-03-02T07:15:00Z", "artefacts", &json!({}));
    assert_eq!(outcomes(&send(&product, &corrected).await), [1, 1, 1, 0]);
    let stored = product.fhir().all("DiagnosticReport").await.remove(0);
    assert_eq!((&stored["conclusion"], &stored["status"]), (&json!("artefacts"), &json!("final")));
    assert_eq!(stored["identifier"].as_array().unwrap().len(), 1);
    assert_eq!(product.fhir().count("Observation").await, 0);
}
