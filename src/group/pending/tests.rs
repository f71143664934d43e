use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::proptest;

use super::{Pending, PendingLimits};
use crate::model::envelope::{Envelope, Origin};
use crate::model::group::{Contribution, GroupKey, Keyed, MeasurementGroup, Span};
use crate::model::measurement::{Measurement, Property};
use crate::model::receipt::{Outcome, Receipt, Settle, Settlement};

#[derive(Default)]
pub(in crate::group) struct Heard(Mutex<Vec<(u64, Settlement)>>);

impl Settle for Heard {
    fn settle(&self, position: u64, settlement: Settlement) {
        self.0.lock().unwrap().push((position, settlement));
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A measurement of `device` at `at`, ingested at `ingested`, with one value under `name`.
pub(in crate::group) fn keyed(
    ledger: &Arc<Heard>,
    position: u64,
    (device, at, ingested, name): (u8, i64, i64, &str),
) -> Keyed {
    let ledger = Arc::clone(ledger) as Arc<dyn Settle>;
    let measurement_type: Arc<str> = Arc::from("pulse");
    let property = Property { name: Arc::from(name), value: position.to_string() };
    let measurement = Measurement {
        measurement_type: Arc::clone(&measurement_type),
        occurred_at: second(at),
        ingested_at: second(ingested),
        device_id: device.to_string(),
        patient_id: None,
        encounter_id: None,
        correlation_id: None,
        properties: vec![property],
    };
    let envelope = Envelope {
        body: Bytes::new(),
        properties: serde_json::Map::new(),
        system_properties: serde_json::Map::new(),
        enqueued_at: second(ingested),
        origin: Origin { connector: Arc::from("wards"), source: Arc::from("mqtt"), position },
    };
    let key = GroupKey {
        measurement_type,
        device_id: device.to_string(),
        patient_id: None,
        encounter_id: None,
        correlation_id: None,
        span: Span::Bucket { start: second(0), end: second(3599) },
    };
    let receipt = Receipt::new(position, ledger);
    Keyed { key, contribution: Contribution { measurement, envelope: Arc::new(envelope), receipt } }
}

const LIMITS: PendingLimits = PendingLimits { groups_max: 3, measurements_max: 5 };

fn describe(groups: &[MeasurementGroup]) -> Vec<String> {
    let values = |contribution: &Contribution| {
        let properties = contribution.measurement.properties.iter();
        properties.map(|property| format!("{}={}", property.name, property.value)).collect::<Vec<_>>().join(",")
    };
    let group = |group: &MeasurementGroup| {
        let contributions: Vec<String> = group.contributions.iter().map(values).collect();
        format!("{}: {}", group.key.device_id, contributions.join(" | "))
    };
    groups.iter().map(group).collect()
}

#[track_caller]
fn check(measurements: &[(u8, i64, i64, &str)], expected: &[&str]) {
    let ledger = Arc::new(Heard::default());
    let mut pending = Pending::new(LIMITS);
    for (measurement, position) in measurements.iter().zip(1..) {
        pending.add(keyed(&ledger, position, *measurement));
    }
    let groups = pending.take();
    assert_eq!(describe(&groups), expected);
    groups.into_iter().flat_map(|group| group.contributions).for_each(|one| one.receipt.complete(Outcome::Stored));
}

#[test]
fn gr_3_groups_leave_in_the_order_in_which_they_first_appeared() {
    check(&[(2, 0, 0, "hr"), (1, 0, 0, "hr"), (2, 1, 0, "hr")], &["2: hr=1 | hr=3", "1: hr=2"]);
}

#[test]
fn gr_2_of_one_name_and_instant_the_value_ingested_last_survives() {
    check(&[(1, 0, 5, "hr"), (1, 0, 7, "hr"), (1, 0, 6, "hr")], &["1:  | hr=2 | "]);
}

#[test]
fn gr_2_of_equals_the_first_survives() {
    check(&[(1, 0, 5, "hr"), (1, 0, 5, "hr")], &["1: hr=1 | "]);
}

#[test]
fn gr_2_other_names_of_the_same_instant_all_stay() {
    check(&[(1, 0, 5, "hr"), (1, 0, 7, "spo2")], &["1: hr=1 | spo2=2"]);
}

proptest! {
    #[test]
    fn no_receipt_is_lost_and_no_bound_exceeded(devices in vec((0_u8..4, 0_i64..3, 0_i64..3), 0..60)) {
        let ledger = Arc::new(Heard::default());
        let mut pending = Pending::new(LIMITS);
        let mut taken = Vec::new();
        for ((device, at, ingested), position) in devices.iter().zip(1..) {
            if pending.room() == 0 {
                taken.push(pending.take());
            }
            pending.add(keyed(&ledger, position, (*device, *at, *ingested, "hr")));
        }
        taken.push(pending.take());
        for groups in taken {
            assert!(groups.len() <= LIMITS.groups_max);
            assert!(groups.iter().map(|group| group.contributions.len()).sum::<usize>() <= LIMITS.measurements_max);
            groups.into_iter().flat_map(|group| group.contributions).for_each(|one| one.receipt.complete(Outcome::Stored));
        }
        let mut heard = ledger.0.lock().unwrap().clone();
        heard.sort_unstable_by_key(|(position, _)| *position);
        let all = (1..).map(|position| (position, Settlement::Settled(Outcome::Stored)));
        assert_eq!(heard, all.take(devices.len()).collect::<Vec<_>>());
    }
}
