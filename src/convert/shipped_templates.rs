//! Every folder under `templates/`: its sample, through its mappings, is its expected Observation.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::build;
use super::content::{Boundary, Content, series_of};
use super::identifier::{DEFAULT_SYSTEM, Naming, Precision};
use crate::mapping::{Mappings, Source};
use crate::model::envelope::{Envelope, Origin};
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

fn envelope(body: Vec<u8>) -> Envelope {
    Envelope {
        body_bytes_max: usize::MAX,
        body: body.into(),
        properties: serde_json::Map::new(),
        system_properties: serde_json::Map::new(),
        enqueued_at: Timestamp::UNIX_EPOCH,
        origin: Origin { connector: Arc::from("test"), source: Arc::from("test"), position: 1 },
    }
}

/// The only Observation the sample of a folder makes.
fn observation(folder: &Path) -> Value {
    let mappings = mappings(folder);
    let extraction = mappings.extract(&envelope(fs::read(folder.join("sample.json")).unwrap())).unwrap();
    assert_eq!(extraction.failures, [], "{folder:?}");
    let (bound, _) = extraction.into_bound();
    let spans: Vec<_> = bound.iter().map(|(measurement, period)| period.span(measurement.occurred_at)).collect();
    let measurements: Vec<Measurement> = bound.into_iter().map(|(measurement, _)| measurement).collect();
    let (span, measurement_type) = (spans[0], &measurements[0].measurement_type);
    assert!(spans.iter().all(|other| *other == span), "{folder:?} makes one Observation");
    let subject = Subject { patient_id: "patient-1".to_owned(), device_id: "device-1".to_owned(), encounter_id: None };
    let naming = Naming { system: DEFAULT_SYSTEM.into(), precision: Precision::Fraction };
    let content = Content {
        measurement_type,
        boundary: Boundary::of(span, &measurements).unwrap(),
        series: series_of(&measurements),
        subject: &subject,
        issued: Timestamp::UNIX_EPOCH,
        identifier: &naming.identifier(&subject, measurement_type, span, None).unwrap(),
    };
    let built = build(mappings.fhir_template(measurement_type).unwrap(), &content).unwrap();
    assert_eq!(built.rejected, [], "{folder:?}");
    serde_json::from_slice(&built.json).unwrap()
}

#[test]
fn every_sample_makes_its_expected_observation() {
    let folders = folders();
    assert!(folders.len() >= 3, "{folders:?}");
    for folder in folders {
        let made = observation(&folder);
        let expected = fs::read(folder.join("expected.json")).unwrap_or_default();
        let expected: Value = serde_json::from_slice(&expected).unwrap_or_default();
        assert_eq!(made, expected, "{folder:?} makes\n{made:#}");
    }
}
