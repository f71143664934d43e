//! Measurements for the tests of stages.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;

use super::envelope::{Envelope, Origin, WayIn};
use super::group::{Contribution, GroupKey, MeasurementGroup, Span};
use super::intake::Witness;
use super::measurement::{Measurement, Property};
use super::receipt::{Receipt, Settle, Settlement};

/// Counts nothing: ledgers hear of an end at once.
pub(crate) struct Unwitnessed;

impl Witness for Unwitnessed {
    fn receipt(self: Arc<Self>, position: u64, ledger: &Arc<dyn Settle>) -> Receipt {
        Receipt::new(position, Arc::clone(ledger))
    }
}

/// A ledger that remembers what it heard.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<(u64, Settlement)>>);

impl Settle for Heard {
    fn settle(&self, position: u64, settlement: Settlement) {
        self.0.lock().unwrap().push((position, settlement));
    }
}

impl Heard {
    pub(crate) fn receipt(self: &Arc<Self>, position: u64) -> Receipt {
        Receipt::new(position, Arc::clone(self) as Arc<dyn Settle>)
    }

    /// What was heard so far, by position.
    pub(crate) fn settlements(&self) -> Vec<(u64, Settlement)> {
        let mut settlements = self.0.lock().unwrap().clone();
        settlements.sort_unstable_by_key(|(position, _)| *position);
        settlements
    }
}

pub(crate) fn envelope(position: u64, body: &str) -> Envelope {
    Envelope {
        body_bytes_max: usize::MAX,
        split_arrays: false,
        body: Bytes::copy_from_slice(body.as_bytes()),
        properties: serde_json::Map::new(),
        system_properties: serde_json::Map::new(),
        enqueued_at: Timestamp::UNIX_EPOCH,
        origin: Origin { connector: Arc::from("wards"), source: Arc::from("mqtt"), position },
        way_in: WayIn::default(),
    }
}

/// A group of one measurement of type `pulse` with the value `hr`.
pub(crate) fn group(
    heard: &Arc<Heard>,
    position: u64,
    (device, patient): (&str, Option<&str>),
    (at, span): (Timestamp, Span),
    hr: &str,
) -> MeasurementGroup {
    let measurement_type: Arc<str> = Arc::from("pulse");
    let measurement = Measurement {
        measurement_type: Arc::clone(&measurement_type),
        occurred_at: at,
        ingested_at: at,
        device_id: device.to_owned(),
        patient_id: patient.map(str::to_owned),
        encounter_id: None,
        correlation_id: None,
        properties: vec![Property { name: Arc::from("hr"), value: hr.to_owned() }],
    };
    let key = GroupKey {
        measurement_type,
        device_id: device.to_owned(),
        patient_id: patient.map(str::to_owned),
        encounter_id: None,
        correlation_id: None,
        span,
    };
    let envelope = Arc::new(envelope(position, "{}"));
    MeasurementGroup {
        key,
        contributions: vec![Contribution {
            measurement,
            mapping_version: 1,
            mapping: Arc::from("f1"),
            envelope,
            receipt: heard.receipt(position),
        }],
    }
}
