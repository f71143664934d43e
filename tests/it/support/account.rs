//! What was sent against what is stored: every reading once, under its patient and device, with its value and instant.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::fhir::Fhir;

/// A reading: identifiers of patient and device, instant, digits of the value.
pub(crate) type Reading = (String, String, Timestamp, String);

/// The readings of heart-rate messages, in order of patient, device and instant.
pub(crate) fn sent(messages: &[Value]) -> Vec<Reading> {
    let reading = |message: &Value| {
        let at = text(&message["measurementdatetime"]).parse().unwrap();
        (text(&message["patientid"]), text(&message["deviceid"]), at, message["heartrate"].to_string())
    };
    let mut readings: Vec<Reading> = messages.iter().map(reading).collect();
    readings.sort();
    readings
}

/// What a server has of heart rates, by how it is stored.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The readings with an Observation each, in the order of `sent`.
    pub(crate) single: Vec<Reading>,
    /// The samples of streams, in the order of `sent`.
    pub(crate) sampled: Vec<Reading>,
}

impl Account {
    /// Reads every Observation. Panics when one is of another patient than its device.
    pub(crate) async fn of(fhir: &Fhir) -> Self {
        let people = People::of(fhir).await;
        let mut account = Self::default();
        for observation in fhir.all("Observation?_count=1000").await {
            let (patient, device) = people.of_observation(&observation);
            let start: Timestamp = text(&observation["effectivePeriod"]["start"]).parse().unwrap();
            let add = |readings: &mut Vec<Reading>, after: SignedDuration, value: String| {
                readings.push((patient.clone(), device.clone(), start + after, value));
            };
            if let Some(value) = observation["valueQuantity"].get("value") {
                add(&mut account.single, SignedDuration::ZERO, value.to_string());
                continue;
            }
            let samples = &observation["component"][0]["valueSampledData"];
            let period: f64 = samples["period"].to_string().parse().unwrap();
            let period = SignedDuration::try_from(Duration::from_secs_f64(period / 1000.0)).unwrap();
            for (place, sample) in (0..).zip(text(&samples["data"]).split(' ')).filter(|(_, sample)| *sample != "E") {
                add(&mut account.sampled, period * place, sample.to_owned());
            }
        }
        account.single.sort();
        account.sampled.sort();
        account
    }
}

/// Identifiers by id, and the patient of each device.
struct People {
    patients: BTreeMap<String, String>,
    devices: BTreeMap<String, (String, String)>,
}

impl People {
    async fn of(fhir: &Fhir) -> Self {
        let id = |resource: &Value| text(&resource["id"]);
        let identifier = |resource: &Value| text(&resource["identifier"][0]["value"]);
        let patients = fhir.all("Patient?_count=1000").await;
        let devices = fhir.all("Device?_count=1000").await;
        Self {
            patients: patients.iter().map(|patient| (id(patient), identifier(patient))).collect(),
            devices: devices
                .iter()
                .map(|device| (id(device), (identifier(device), text(&device["patient"]["reference"]))))
                .collect(),
        }
    }

    fn of_observation(&self, observation: &Value) -> (String, String) {
        let patient = text(&observation["subject"]["reference"]);
        let (device, owner) = &self.devices[text(&observation["device"]["reference"]).trim_start_matches("Device/")];
        assert_eq!(*owner, patient, "{observation}");
        (self.patients[patient.trim_start_matches("Patient/")].clone(), device.clone())
    }
}

/// The resources of a type by id, without what depends on when and how often they were written. The status of an
/// Observation is of that kind: panics when it is not `final` in the first version and `amended` in any other (OB-20).
pub(crate) async fn by_value(fhir: &Fhir, resource_type: &str) -> BTreeMap<String, Value> {
    let all = fhir.all(&format!("{resource_type}?_count=1000")).await.into_iter();
    all.map(|mut resource| {
        let members = resource.as_object_mut().unwrap();
        let (meta, _issued, status) = (members.remove("meta"), members.remove("issued"), members.remove("status"));
        if let Some(status) = status {
            let expected = if meta.unwrap()["versionId"] == "1" { "final" } else { "amended" };
            assert_eq!(status, expected, "{resource}");
        }
        (text(&resource["id"]), resource)
    })
    .collect()
}

/// Version of every Observation by its id.
pub(crate) async fn versions(fhir: &Fhir) -> BTreeMap<String, String> {
    let all = fhir.all("Observation?_count=1000").await;
    all.iter().map(|resource| (text(&resource["id"]), text(&resource["meta"]["versionId"]))).collect()
}

/// As `assert_eq!` for what is too long to be shown.
#[track_caller]
pub(crate) fn assert_same<T: Debug + PartialEq>(found: &[T], expected: &[T], what: &str) {
    if let Some((found, expected)) = found.iter().zip(expected).find(|(found, expected)| found != expected) {
        panic!("{what}: first difference: {found:?}\nexpected: {expected:?}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
