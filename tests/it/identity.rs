//! Right patient: whose a device is counts from the moment at which whoever said so has the answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::config::{mqtt_listener, wearables};
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;
use crate::support::publish::{Device, publish};
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);

fn lookup() -> String {
    wearables(&mqtt_listener()).replace("\"create\"", "\"lookup\"")
}

/// Number `second` of the readings of a device.
fn reading(device: &str, second: usize) -> String {
    reading_for(device, "", second)
}

fn reading_for(device: &str, patient: &str, second: usize) -> String {
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        r#"{{"deviceid":"{device}","patientid":"{patient}","measurementdatetime":"2024-03-02T{hour:02}:{minute:02}:{:02}Z","heartrate":61}}"#,
        second % 60
    )
}

fn device(id: &str, identifier: &str, owner: &str) -> Value {
    json!({
        "resourceType": "Device",
        "id": id,
        "identifier": [{ "value": identifier }],
        "patient": { "reference": format!("Patient/{owner}") },
    })
}

fn patient(id: &str, identifier: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "identifier": [{ "value": identifier }] })
}

/// The number of each reading that is stored, and the logical id of whom it is about.
async fn owners(fhir: &Fhir) -> BTreeMap<usize, String> {
    let observations = fhir.all("Observation?_count=1000").await;
    let numbered = observations.iter().map(|observation| {
        let time = observation["effectivePeriod"]["start"].as_str().unwrap();
        let part = |from: usize| -> usize { time[from..from + 2].parse().unwrap() };
        let subject = observation["subject"]["reference"].as_str().unwrap();
        (part(11) * 3600 + part(14) * 60 + part(17), subject.trim_start_matches("Patient/").to_owned())
    });
    numbered.collect()
}

async fn codes(product: &Vitalwire) -> Vec<String> {
    let letters = product.fhir().get_json(&format!("{}/connectors/wearables/dead-letters", product.http)).await;
    let letters = letters["dead_letters"].as_array().unwrap().iter();
    letters.map(|letter| letter["code"].as_str().unwrap().to_owned()).collect()
}

async fn bundles_submitted(product: &Vitalwire) -> u64 {
    let url = format!("{}/metrics", product.http);
    let text = product.fhir().send(Method::GET, &url, &[], None).await.text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with("bundles_submitted_total{"));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn id_15_the_first_message_after_a_device_changed_hands_is_the_new_patients() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &lookup());
    let (fhir, mqtt) = (product.fhir(), product.mqtt.clone().unwrap());
    let put = |resource: Value| {
        let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({ "resource": resource, "request": { "method": "PUT", "url": url } })
    };
    let mut expected = BTreeMap::new();
    let mut send = async |owner: &str| {
        let number = expected.len();
        publish(&mqtt, &[reading("w", number).as_bytes()]).await;
        expected.insert(number, owner.to_owned());
    };
    fhir.put(&device("d", "w", "a")).await.check(201);
    send("a").await;
    send("a").await;
    fhir.put(&device("d", "w", "b")).await.check(200);
    send("b").await;
    // Other entries of the Bundle, before and behind.
    let entries = [put(patient("x", "x")), put(device("d", "w", "c")), put(device("other", "v", "a"))];
    fhir.bundle("transaction", &entries).await.check(200);
    send("c").await;
    fhir.bundle("batch", &[put(device("d", "w", "d"))]).await.check(200);
    send("d").await;
    let by_identifier = device("d", "w", "e");
    fhir.raw("PUT", "Device?identifier=w", &[], by_identifier.to_string()).await.check(200);
    send("e").await;
    fhir.raw("DELETE", "Device/d", &[], "").await;
    fhir.put(&device("d2", "w", "f")).await.check(201);
    send("f").await;
    fhir.raw("DELETE", "Device/d2", &[], "").await;
    fhir.put(&device("d2", "w", "g")).await.check(201);
    send("g").await;
    // The Device keeps its identifier, and another one comes to have it.
    fhir.raw("POST", "Device", &[], device("d3", "w", "h").to_string()).await.check(201);
    publish(&mqtt, &[reading("w", 1000).as_bytes()]).await;
    assert_eq!(owners(&fhir).await, expected);
    assert_eq!(codes(&product).await, ["MultipleDeviceFoundException"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn id_14_a_device_linked_to_somebody_else_is_served_no_more_until_the_message_says_so_too() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    let (fhir, mqtt) = (product.fhir(), product.mqtt.clone().unwrap());
    let send = async |patient: &str, number| publish(&mqtt, &[reading_for("w", patient, number).as_bytes()]).await;
    // The pipeline creates both, and then they are changed by others.
    send("p-1", 0).await;
    send("p-1", 1).await;
    let created = fhir.all("Device?identifier=w").await.remove(0);
    let first = created["patient"]["reference"].as_str().unwrap().trim_start_matches("Patient/").to_owned();
    fhir.put(&patient("second", "p-2")).await.check(201);
    fhir.put(&device(created["id"].as_str().unwrap(), "w", "second")).await.check(200);
    send("p-1", 2).await;
    send("p-2", 3).await;
    // A patient who has that identifier no more is not the one the message means.
    fhir.put(&patient("second", "p-3")).await.check(200);
    send("p-2", 4).await;
    send("p-3", 5).await;
    let second = "second".to_owned();
    let expected = [(0, first.clone()), (1, first), (3, second.clone()), (5, second)];
    assert_eq!(owners(&fhir).await, BTreeMap::from(expected));
    assert_eq!(codes(&product).await, ["PatientDeviceMismatchException"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn id_17_an_unknown_device_is_told_before_a_missing_template() {
    let directory = tempfile::tempdir().unwrap();
    // Heart rates of the device mapping, and a FHIR mapping that knows another type.
    let fhir = std::fs::read_to_string(crate::support::config::template("heart-rate").join("fhir.json")).unwrap();
    let fhir_file = directory.path().join("other.json");
    std::fs::write(&fhir_file, fhir.replace("\"typeName\": \"heart-rate\"", "\"typeName\": \"other\"")).unwrap();
    let shipped = crate::support::config::template("heart-rate").join("fhir.json").display().to_string();
    let config = lookup().replace(&shipped, &fhir_file.display().to_string());
    let product = Vitalwire::serve(directory.path(), &config);
    let mqtt = product.mqtt.clone().unwrap();
    publish(&mqtt, &[reading("w", 0).as_bytes()]).await;
    assert_eq!(codes(&product).await, ["DeviceNotFoundException"]);
    product.fhir().put(&device("d", "w", "a")).await.check(201);
    publish(&mqtt, &[reading("w", 0).as_bytes()]).await;
    let mut codes = codes(&product).await;
    codes.sort_unstable();
    assert_eq!(codes, ["DeviceNotFoundException", "TemplateNotFoundException"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_unknown_devices_and_as_many_strangers_are_looked_up_in_few_bundles() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &lookup());
    let (fhir, mqtt) = (product.fhir(), product.mqtt.clone().unwrap());
    fhir.put(&device("d", "w", "a")).await.check(201);
    let entries: Vec<Value> = (0..1_000)
        .map(|number| {
            let resource = device(&format!("d{number}"), &format!("w{number}"), "a");
            json!({ "resource": resource, "request": { "method": "PUT", "url": format!("Device/d{number}") } })
        })
        .collect();
    fhir.bundle("batch", &entries).await.check(200);
    let before = bundles_submitted(&product).await;
    // Registered ones, and as many strangers.
    let messages: Vec<String> = (0..2_000).map(|number| reading(&format!("w{number}"), number)).collect();
    let messages: Vec<&[u8]> = messages.iter().map(String::as_bytes).collect();
    publish(&mqtt, &messages).await;
    let bundles = bundles_submitted(&product).await - before;
    // One by one they would be 3,000; how many come together depends on how busy the machine is.
    assert!(bundles < 1_000, "{bundles} Bundles");
    assert_eq!(fhir.count("Observation").await, 1_000);
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, |ledger| ledger["in_flight"] == 0).await;
    assert_eq!((&ledger["stored"], &ledger["dead_lettered"]), (&1_000.into(), &1_000.into()));
}

/// Publishes readings of `w` one after the other until told to stop; gives, for each, how many changes of hands were
/// answered before it was sent, and how many had begun when it was acknowledged.
async fn read_on(mqtt: &str, begun: &AtomicUsize, answered: &AtomicUsize, stop: &AtomicBool) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let device = Device { client_id: "w", topic: "readings" };
    while !stop.load(Ordering::SeqCst) {
        let earliest = answered.load(Ordering::SeqCst);
        device.publish(mqtt, &[reading("w", spans.len()).as_bytes()]).await;
        spans.push((earliest, begun.load(Ordering::SeqCst)));
    }
    spans
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_no_reading_goes_to_a_patient_who_had_given_the_device_away() {
    const HANDS: usize = 600;
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &lookup());
    let (fhir, mqtt) = (product.fhir(), product.mqtt.clone().unwrap());
    fhir.put(&device("d", "w", "0")).await.check(201);
    fhir.put(&device("load", "load", "nobody")).await.check(201);
    let (begun, answered, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let pass_on = async {
        for hand in 1..=HANDS {
            begun.store(hand, Ordering::SeqCst);
            fhir.put(&device("d", "w", &hand.to_string())).await.check(200);
            answered.store(hand, Ordering::SeqCst);
        }
        stop.store(true, Ordering::SeqCst);
    };
    let load = async {
        let device = Device { client_id: "load", topic: "readings" };
        // At times at which `w` has no readings.
        let messages: Vec<String> = (0..200).map(|number| reading("load", 50_000 + number)).collect();
        let messages: Vec<&[u8]> = messages.iter().map(String::as_bytes).collect();
        while !stop.load(Ordering::SeqCst) {
            device.publish(&mqtt, &messages).await;
        }
    };
    let ((), (), spans) = tokio::join!(pass_on, load, read_on(&mqtt, &begun, &answered, &stop));
    let owners = owners(&fhir).await;
    assert!(spans.len() > 10, "{} readings in the time of {HANDS} changes", spans.len());
    for (number, (earliest, latest)) in spans.into_iter().enumerate() {
        let owner: usize = owners[&number].parse().unwrap();
        assert!((earliest..=latest).contains(&owner), "reading {number}: {owner}, not of {earliest} to {latest}");
    }
}
