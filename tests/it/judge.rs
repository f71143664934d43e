//! An outside judge: what the product writes passes the official HL7 validator.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::demo::demo;
use crate::support::config::{SERVICE, connector, mqtt, mqtt_listener, template};
use crate::support::fhir::Fhir;
use crate::support::hl7_validator::errors;
use crate::support::mosquitto::Mosquitto;
use crate::support::process::Vitalwire;
use crate::support::publish::{Device, publish};
use crate::support::readings::heart_rate;
use crate::support::wait::until;

/// The vital signs of R4 by their LOINC codes; <https://hl7.org/fhir/R4/observation-vitalsigns.html>.
const VITAL_SIGNS: [(&str, &str); 11] = [
    ("9279-1", "resprate"),
    ("8867-4", "heartrate"),
    ("2708-6", "oxygensat"),
    ("59408-5", "oxygensat"),
    ("8310-5", "bodytemp"),
    ("8302-2", "bodyheight"),
    ("9843-4", "headcircum"),
    ("29463-7", "bodyweight"),
    ("39156-5", "bmi"),
    ("85354-9", "bp"),
    ("85353-1", "vitalspanel"),
];

fn codings<'a>(concept: &'a Value, system: &str) -> impl Iterator<Item = &'a str> {
    let codings = concept["coding"].as_array().map(Vec::as_slice).unwrap_or_default();
    codings.iter().filter(move |coding| coding["system"] == system).filter_map(|coding| coding["code"].as_str())
}

/// The profile of the vital sign that an Observation is, `None` when it is none.
fn vital_signs_profile(observation: &Value) -> Option<String> {
    let code = codings(&observation["code"], "http://loinc.org")
        .find_map(|code| VITAL_SIGNS.iter().find(|(known, _)| *known == code));
    let categories = observation["category"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_vital_sign = categories.iter().any(|category| {
        codings(category, "http://terminology.hl7.org/CodeSystem/observation-category")
            .any(|code| code == "vital-signs")
    });
    let name = code.map(|(_, profile)| *profile).or(is_vital_sign.then_some("vitalsigns"))?;
    Some(format!("http://hl7.org/fhir/StructureDefinition/{name}"))
}

/// The resource passes as it is, and an Observation of a vital sign also as such.
#[track_caller]
fn check(origin: &str, resource: &Value) {
    assert_eq!(errors(resource), Vec::<String>::new(), "{origin}: {resource:#}");
    if let Some(profile) = vital_signs_profile(resource) {
        let found = errors(&with_profile(resource, &profile));
        assert_eq!(found, Vec::<String>::new(), "{origin} as {profile}: {resource:#}");
    }
}

fn with_profile(resource: &Value, profile: &str) -> Value {
    let mut resource = resource.clone();
    resource["meta"]["profile"] = json!([profile]);
    resource
}

/// Every Observation of every `expected.json`, with the folder it is from.
fn shipped_observations() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for folder in fs::read_dir(template("")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let expected = fs::read_to_string(folder.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let observations = expected.as_array().cloned().unwrap_or_else(|| vec![expected]);
        all.extend(observations.into_iter().map(|observation| (folder.display().to_string(), observation)));
    }
    all
}

#[test]
fn every_observation_of_the_shipped_templates_passes_and_vital_signs_pass_as_such() {
    let observations = shipped_observations();
    assert!(observations.iter().any(|(_, observation)| vital_signs_profile(observation).is_some()));
    for (folder, observation) in observations {
        check(&folder, &observation);
    }
}

/// Up to 100 of every type that the pipeline writes, and at least one of each.
async fn check_stored(fhir: &Fhir) {
    for resource_type in ["Observation", "Device", "Patient"] {
        let stored = fhir.all(&format!("{resource_type}?_count=1000")).await;
        assert!(!stored.is_empty(), "no {resource_type}");
        for resource in stored.iter().take(100) {
            check("the store", resource);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_demo_stores_passes() {
    let directory = tempfile::tempdir().unwrap();
    let product = demo(directory.path());
    let stored = async || product.fhir().count("Observation").await;
    until(Duration::from_secs(30), stored, |count| *count >= 20).await;
    check_stored(&product.fhir()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_later_readings_joined_passes() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &connector("wearables", "heart-rate-hourly", &mqtt_listener()));
    let readings: Vec<String> = heart_rate().iter().take(40).map(Value::to_string).collect();
    for part in readings.chunks(20) {
        let payloads: Vec<&[u8]> = part.iter().map(String::as_bytes).collect();
        publish(product.mqtt.as_ref().unwrap(), &payloads).await;
    }
    let amended = async || product.fhir().count("Observation?status=amended").await;
    until(Duration::from_secs(30), amended, |count| *count >= 1).await;
    check_stored(&product.fhir()).await;
}

/// A connector for each shipped template whose message is a payload, all at one broker, each on the topic of its name.
fn all_templates(port: u16) -> String {
    let mut config = SERVICE.to_owned();
    for name in payload_templates() {
        let folder = template(&name);
        let sources = mqtt(port, &name);
        config.push_str(&format!(
            "[[connectors]]\nname = \"{name}\"\ndevice_mapping = \"{0}/device.json\"\nfhir_mapping = \"{0}/fhir.json\"\n\
             identity = {{ mode = \"create\" }}\n{sources}",
            folder.display()
        ));
    }
    config
}

fn payload_templates() -> Vec<String> {
    let folders = fs::read_dir(template("")).unwrap().map(|entry| entry.unwrap().path());
    let with_payload = folders.filter(|folder| folder.join("sample.json").exists());
    with_payload.map(|folder| folder.file_name().unwrap().display().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_shipped_templates_make_of_their_samples_is_stored_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "").await;
    let product = Vitalwire::serve(directory.path(), &all_templates(broker.port));
    // A visit is the hospital's to begin; nothing makes one up.
    let visit = json!({
        "resourceType": "Encounter",
        "id": "visit",
        "identifier": [{ "value": "visit-9001" }],
        "status": "in-progress",
        "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP" },
    });
    product.fhir().put(&visit).await.check(201);
    let templates = payload_templates();
    for name in &templates {
        product.subscribed(name).await;
        let sample = fs::read(template(name).join("sample.json")).unwrap();
        let device = Device { client_id: "device", topic: name };
        device.publish(&format!("127.0.0.1:{}", broker.port), &[&sample]).await;
    }
    for name in &templates {
        let settled = |ledger: &Value| ledger["stored"] == 1;
        let ledger = until(Duration::from_secs(60), async || product.ledger(name).await, settled).await;
        assert_eq!(ledger["dead_lettered"], 0, "{name}: {ledger}");
    }
    check_stored(&product.fhir()).await;
}

#[test]
fn the_judge_finds_what_is_wrong() {
    let heart_rate = fs::read_to_string(template("heart-rate").join("expected.json")).unwrap();
    let heart_rate: Value = serde_json::from_str(&heart_rate).unwrap();
    let as_heart_rate = with_profile(&heart_rate, "http://hl7.org/fhir/StructureDefinition/heartrate");
    let spoilt = |resource: &Value, path: &str, value: Value| {
        let mut resource = resource.clone();
        *resource.pointer_mut(path).unwrap() = value;
        errors(&resource)
    };
    for (path, value) in [
        ("/status", json!("done")),
        ("/issued", json!("yesterday")),
        ("/effectivePeriod/end", json!("2016-03-31T00:00:00Z")),
        ("/valueQuantity/code", json!("beats per minute")),
        ("/valueQuantity/value", json!("93")),
    ] {
        assert_ne!(spoilt(&heart_rate, path, value), Vec::<String>::new(), "{path}");
    }
    // Legal R4, but not what the profile of a heart rate asks for.
    for (path, value) in [
        ("/valueQuantity/code", json!("/s")),
        ("/category", json!([{ "text": "Vital Signs" }])),
        ("/effectivePeriod", Value::Null),
    ] {
        assert_ne!(spoilt(&as_heart_rate, path, value), Vec::<String>::new(), "{path}");
    }
    let unknown = with_profile(&heart_rate, "http://hl7.org/fhir/StructureDefinition/pulse");
    assert_ne!(errors(&unknown), Vec::<String>::new());
}
