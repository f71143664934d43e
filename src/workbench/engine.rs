//! The mapping engine by itself, for measuring it.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Map;

use crate::mapping::{Mappings, Source};
use crate::model::envelope::{Envelope, Origin, WayIn};

/// A pair of mappings as the pipeline runs them.
#[derive(Debug)]
pub struct Engine {
    mappings: Mappings,
    origin: Origin,
}

impl Engine {
    /// Loads a device mapping and a FHIR mapping, given as the texts of their files.
    ///
    /// # Errors
    /// All problems of both, each on lines of its own, when any is an error: a mapping with an error does not run.
    pub fn load(device: &str, fhir: &str) -> Result<Self, String> {
        let (device, fhir) = (Source { name: "device", text: device }, Source { name: "fhir", text: fhir });
        let (mappings, _warnings) = Mappings::load(device, fhir).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })?;
        let origin = Origin { connector: "workbench".into(), source: "workbench".into(), position: 1 };
        Ok(Self { mappings, origin })
    }

    /// Parses a payload and extracts its measurements; how many there are, none when it is not JSON.
    #[must_use]
    pub fn measurements(&self, payload: &[u8]) -> usize {
        let envelope = Envelope {
            body: Bytes::copy_from_slice(payload),
            body_bytes_max: usize::MAX,
            split_arrays: false,
            properties: Map::new(),
            system_properties: Map::new(),
            enqueued_at: Timestamp::UNIX_EPOCH,
            origin: self.origin.clone(),
            way_in: WayIn::default(),
        };
        self.mappings.extract(&envelope).map_or(0, |extraction| extraction.measurements.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Engine;

    const DEVICE: &str = include_str!("../../templates/heart-rate/device.json");
    const FHIR: &str = include_str!("../../templates/heart-rate/fhir.json");
    const SAMPLE: &[u8] = include_bytes!("../../templates/heart-rate/sample.json");

    #[test]
    fn the_engine_counts_the_measurements_of_a_payload() {
        let engine = Engine::load(DEVICE, FHIR).unwrap();
        assert_eq!(engine.measurements(SAMPLE), 1);
        assert_eq!(engine.measurements(b"{}"), 0);
        assert_eq!(engine.measurements(b"{"), 0);
    }

    #[test]
    fn the_engine_refuses_a_mapping_with_an_error_and_names_its_place() {
        let report = Engine::load("{}", FHIR).unwrap_err();
        assert!(report.starts_with("device:1:1: error: "), "{report}");
    }
}
