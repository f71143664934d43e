//! Every folder under `templates/`: its message, through its mappings, makes the Observations it says.
//!
//! `UPDATE_EXPECTED=1 cargo test --lib shipped_templates` writes what is made now; the diff is the review.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::build;
use super::content::{Boundary, Content, Names, series_of};
use super::identifier::{DEFAULT_SYSTEM, Naming, Precision};
use crate::mapping::{Mappings, Source, shipped};
use crate::model::envelope::{Envelope, Origin};
use crate::model::group::GroupKey;
use crate::model::measurement::Measurement;
use crate::model::subject::Subject;

fn folders() -> Vec<PathBuf> {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let entries = fs::read_dir(templates).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

fn mappings(folder: &Path) -> Mappings {
    let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let (device, fhir) = (text("device.json"), text("fhir.json"));
    let device = Source { name: "device.json", text: &device };
    let fhir = Source { name: "fhir.json", text: &fhir };
    let (mappings, warnings) =
        Mappings::load(device, fhir).unwrap_or_else(|problems| panic!("{folder:?}: {problems:?}"));
    assert_eq!(warnings, [], "{folder:?}");
    mappings
}

/// The message of a folder: a payload in `sample.json`, or with what its broker says about it in `envelope.json`.
fn envelope(folder: &Path) -> Envelope {
    let (body, properties, system_properties) = match fs::read(folder.join("sample.json")) {
        Ok(body) => (body, Map::new(), Map::new()),
        Err(_) => {
            let text = fs::read(folder.join("envelope.json")).unwrap();
            let mut envelope: Map<String, Value> = serde_json::from_slice(&text).unwrap();
            let mut map = |member: &str| serde_json::from_value(envelope[member].take()).unwrap();
            let (properties, system_properties) = (map("Properties"), map("SystemProperties"));
            (envelope["Body"].to_string().into_bytes(), properties, system_properties)
        }
    };
    Envelope {
        body_bytes_max: usize::MAX,
        body: body.into(),
        properties,
        system_properties,
        enqueued_at: Timestamp::UNIX_EPOCH,
        origin: Origin { connector: Arc::from("test"), source: Arc::from("test"), position: 1 },
    }
}

/// What the message of a folder measures, by the Observation it belongs to, in the order of the message.
fn groups(folder: &Path, mappings: &Mappings) -> Vec<(GroupKey, Vec<Measurement>)> {
    let extraction = mappings.extract(&envelope(folder)).unwrap();
    assert_eq!(extraction.warnings, [], "{folder:?}");
    let (bound, failures) = extraction.into_bound();
    assert_eq!(failures, [], "{folder:?}");
    let mut groups: Vec<(GroupKey, Vec<Measurement>)> = Vec::new();
    for (measurement, period) in bound {
        let key = GroupKey {
            measurement_type: Arc::clone(&measurement.measurement_type),
            device_id: measurement.device_id.clone(),
            patient_id: measurement.patient_id.clone(),
            encounter_id: measurement.encounter_id.clone(),
            correlation_id: measurement.correlation_id.clone(),
            span: period.span(measurement.occurred_at),
        };
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, measurements)) => measurements.push(measurement),
            None => groups.push((key, vec![measurement])),
        }
    }
    groups
}

fn observation(mappings: &Mappings, key: &GroupKey, measurements: &[Measurement]) -> Value {
    let encounter_id = key.encounter_id.as_ref().map(|_| "encounter-1".to_owned());
    let subject = Subject { patient_id: "patient-1".to_owned(), device_id: "device-1".to_owned(), encounter_id };
    let naming = Naming { system: DEFAULT_SYSTEM.into(), precision: Precision::Fraction };
    let measurement_type = &*key.measurement_type;
    let identifier = naming.identifier(&subject, measurement_type, key.span, key.correlation_id.as_deref()).unwrap();
    let content = Content {
        measurement_type,
        boundary: Boundary::of(key.span, measurements).unwrap(),
        series: series_of(measurements),
        subject: &subject,
        issued: Timestamp::UNIX_EPOCH,
        identifier: &identifier,
        names: Names::of(&measurements[0]),
    };
    let built = build(mappings.fhir_template(measurement_type).unwrap(), &content).unwrap();
    assert_eq!(built.rejected, []);
    serde_json::from_slice(&built.json).unwrap()
}

/// The Observation the message of a folder makes, or an array of several.
fn made(folder: &Path) -> Value {
    let mappings = mappings(folder);
    let groups = groups(folder, &mappings);
    let mut observations: Vec<Value> =
        groups.iter().map(|(key, measurements)| observation(&mappings, key, measurements)).collect();
    if observations.len() == 1 { observations.remove(0) } else { observations.into() }
}

#[test]
fn every_message_makes_its_expected_observations() {
    let folders = folders();
    assert!(folders.len() >= 20, "{folders:?}");
    let mut wrong = Vec::new();
    for folder in folders {
        let made = made(&folder);
        let file = folder.join("expected.json");
        if env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&file, format!("{made:#}\n")).unwrap();
        }
        let expected: Value = serde_json::from_slice(&fs::read(file).unwrap_or_default()).unwrap_or_default();
        if made != expected {
            wrong.push(format!("{folder:?} makes\n{made:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_shipped_mapping_can_be_named_in_a_configuration() {
    for folder in folders() {
        for file in ["device.json", "fhir.json"] {
            let name = format!("shipped:{}/{file}", folder.file_name().unwrap().display());
            let text = fs::read_to_string(folder.join(file)).unwrap();
            assert_eq!(shipped::text(&name), Some(text.as_str()), "{name}");
        }
    }
}
