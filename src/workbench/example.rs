//! A message and what it makes, kept beside a mapping as its example: `sample.json` (a payload) or `envelope.json` (with
//! what the broker says about it), and `expected.json` (an Observation, or an array of several).
//!
//! The Observations are for patient `patient-1` and device `device-1`, made at the beginning of 1970, so that they are
//! the same whenever and wherever they are made.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::convert::preview::build_alone;
use crate::mapping::Mappings;
use crate::model::envelope::{Envelope, Origin, WayIn};
use crate::model::group::GroupKey;
use crate::model::measurement::Measurement;
use crate::model::subject::Subject;

/// The message of an example.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    envelope: Envelope,
}

impl Example {
    /// A payload as a device sends it.
    pub(crate) fn of_payload(payload: Vec<u8>) -> Self {
        Self::new(payload, Map::new(), Map::new())
    }

    /// An envelope, as JSON with `Body`, `Properties` and `SystemProperties`; `None` when it is no object.
    pub(crate) fn of_envelope(text: &[u8]) -> Option<Self> {
        let mut envelope: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let mut members = |name: &str| match envelope.get_mut(name).map(Value::take) {
            Some(Value::Object(members)) => members,
            Some(_) | None => Map::new(),
        };
        let (properties, system_properties) = (members("Properties"), members("SystemProperties"));
        Some(Self::new(envelope.get("Body")?.to_string().into_bytes(), properties, system_properties))
    }

    fn new(body: Vec<u8>, properties: Map<String, Value>, system_properties: Map<String, Value>) -> Self {
        let origin = Origin { connector: Arc::from("workbench"), source: Arc::from("example"), position: 1 };
        let enqueued_at = Timestamp::UNIX_EPOCH;
        let body = body.into();
        Self {
            envelope: Envelope {
                body,
                body_bytes_max: usize::MAX,
                split_arrays: false,
                properties,
                system_properties,
                enqueued_at,
                origin,
                way_in: WayIn::default(),
            },
        }
    }

    /// The Observation it makes, or an array of several, in the order of the message.
    ///
    /// # Errors
    /// When anything of it fails; an example has no bad readings.
    pub(crate) fn made(&self, mappings: &Mappings) -> Result<Value, String> {
        let groups = self.groups(mappings)?;
        let observations = groups.iter().map(|(key, measurements)| observation(mappings, key, measurements));
        let mut observations = observations.collect::<Result<Vec<Value>, _>>()?;
        Ok(if observations.len() == 1 { observations.remove(0) } else { observations.into() })
    }

    /// What it measures, by the Observation it belongs to.
    fn groups(&self, mappings: &Mappings) -> Result<Vec<(GroupKey, Vec<Measurement>)>, String> {
        let extraction = mappings.extract(&self.envelope).map_err(|failure| failure.message())?;
        if let Some(doubt) = extraction.warnings.first() {
            return Err(doubt.message());
        }
        let (bound, failures) = extraction.into_bound();
        if let Some(failure) = failures.first() {
            return Err(failure.message());
        }
        let mut groups: Vec<(GroupKey, Vec<Measurement>)> = Vec::new();
        for (measurement, period) in bound {
            let key = GroupKey::of(&measurement, period);
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, measurements)) => measurements.push(measurement),
                None => groups.push((key, vec![measurement])),
            }
        }
        Ok(groups)
    }
}

fn observation(mappings: &Mappings, key: &GroupKey, measurements: &[Measurement]) -> Result<Value, String> {
    let encounter_id = key.encounter_id.as_ref().map(|_| "encounter-1".to_owned());
    let subject = Subject { patient_id: "patient-1".to_owned(), device_id: "device-1".to_owned(), encounter_id };
    let template = mappings.fhir_template(&key.measurement_type);
    let template =
        template.ok_or_else(|| format!("no FHIR template exists for measurement type {}", key.measurement_type))?;
    let built = build_alone(template, measurements, key.span, &subject).map_err(|failure| failure.reason)?;
    if let Some(rejected) = built.rejected.first() {
        return Err(rejected.reason.clone());
    }
    serde_json::from_slice(&built.json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    //! Every folder under `templates/`: its message, through its mappings, makes the Observations it says.
    //!
    //! `UPDATE_EXPECTED=1 cargo test --lib workbench::example` writes what is made now; the diff is the review.

    use std::path::{Path, PathBuf};
    use std::{env, fs};

    use serde_json::Value;

    use super::Example;
    use crate::mapping::{Mappings, Source, shipped};

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

    fn made(folder: &Path) -> Value {
        let example = match fs::read(folder.join("sample.json")) {
            Ok(payload) => Example::of_payload(payload),
            Err(_) => Example::of_envelope(&fs::read(folder.join("envelope.json")).unwrap()).unwrap(),
        };
        example.made(&mappings(folder)).unwrap_or_else(|reason| panic!("{folder:?}: {reason}"))
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
}
