//! What devices send, and what must come of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::dice::Dice;

/// Devices that send; two share a patient, and every other one is registered before it sends.
const DEVICES: u64 = 6;
const READINGS_PER_DEVICE: u64 = 25;
/// Minutes in which valid readings are; bad ones are later.
const MINUTES: u64 = 180;
const START: &str = "2024-03-02T06:00:00Z";

/// One reading: device and second since 1970.
pub(super) type Place = (String, i64);

/// What devices send, in the order of sending.
#[derive(Debug)]
pub(super) struct Input {
    /// Payloads; what is sent again is in it again.
    pub(super) payloads: Vec<String>,
    /// Patient and value of every valid reading.
    pub(super) readings: BTreeMap<Place, (String, String)>,
    /// Payloads that must be dead letters.
    pub(super) bad: BTreeSet<String>,
}

/// Identifiers of all devices with that of their patient, and whether a hospital has registered them.
pub(super) fn devices() -> impl Iterator<Item = (String, String, bool)> {
    (0..DEVICES).map(|device| (format!("dev-{device}"), format!("pat-{}", device / 2), device % 2 == 0))
}

impl Input {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let mut input = Self { payloads: Vec::new(), readings: BTreeMap::new(), bad: BTreeSet::new() };
        for (device, patient, is_registered) in devices() {
            input.readings(dice, &device, &patient);
            input.bad(dice, &device, &patient, is_registered);
        }
        (0..3).for_each(|other| input.payloads.push(format!(r#"{{"unknown":{other}}}"#)));
        let again: Vec<String> = input.payloads.iter().filter(|_| dice.chance(20)).cloned().collect();
        input.payloads.extend(again);
        dice.shuffle(&mut input.payloads);
        input
    }

    /// Messages of one to three readings; one now and then has a bad reading beside them.
    fn readings(&mut self, dice: &mut Dice, device: &str, patient: &str) {
        let mut minutes: Vec<u64> = (0..MINUTES).collect();
        dice.shuffle(&mut minutes);
        let mut left = minutes.into_iter().take(usize::try_from(READINGS_PER_DEVICE).unwrap()).peekable();
        while left.peek().is_some() {
            let mut members = Vec::new();
            for minute in left.by_ref().take(usize::try_from(1 + dice.below(3)).unwrap()) {
                let value = format!("{}{}", 50 + dice.below(60), dice.pick(&["", ".0", ".25", ".50"]));
                // As text it keeps its digits (DM-29).
                members.push(reading(minute, &format!(r#""{value}""#)));
                self.readings.insert((device.to_owned(), second(minute)), (patient.to_owned(), value));
            }
            let has_bad_one = dice.chance(10);
            if has_bad_one {
                members.push(reading(MINUTES + dice.below(30), r#""high""#));
            }
            let payload = message(device, patient, &members);
            if has_bad_one {
                self.bad.insert(payload.clone());
            }
            self.payloads.push(payload);
        }
    }

    fn bad(&mut self, dice: &mut Dice, device: &str, patient: &str, is_registered: bool) {
        let value = reading(MINUTES + dice.below(60), "61");
        let no_number = reading(MINUTES + dice.below(60), r#""low""#);
        let mut bad = vec![
            format!(r#"{{"d":"{device}","#),
            message(device, patient, &[r#"{"v":61}"#.to_owned()]),
            message(device, patient, &[no_number]),
        ];
        if is_registered {
            bad.push(message(device, "pat-of-another-bed", &[value]));
        }
        self.payloads.extend(bad.clone());
        self.bad.extend(bad);
    }
}

fn second(minute: u64) -> i64 {
    START.parse::<Timestamp>().unwrap().as_second() + i64::try_from(minute).unwrap() * 60
}

fn reading(minute: u64, value: &str) -> String {
    format!(r#"{{"t":"{}","v":{value}}}"#, Timestamp::from_second(second(minute)).unwrap())
}

fn message(device: &str, patient: &str, readings: &[String]) -> String {
    format!(r#"{{"d":"{device}","p":"{patient}","r":[{}]}}"#, readings.join(","))
}
