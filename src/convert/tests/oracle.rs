//! The rules of merging on maps of values: what an Observation must say after some batches, as simply as it can be said.
//!
//! Times are milliseconds after 07:00.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::content::Boundary;
use super::super::fixture::after_seven;

/// A value measured: its time, its name and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) at: i64,
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// Streams and their periods; all other names are values of which the latest counts.
pub(super) const STREAMS: [(&str, i64); 2] = [("s", 1_000), ("w", 1_500)];

/// What an Observation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) start: i64,
    pub(super) end: i64,
    /// By name, then by the time their slot begins.
    pub(super) samples: BTreeMap<&'static str, BTreeMap<i64, String>>,
    pub(super) values: BTreeMap<&'static str, String>,
}

impl Said {
    pub(super) fn nothing((start, end): (i64, i64)) -> Self {
        Self { start, end, samples: BTreeMap::new(), values: BTreeMap::new() }
    }

    /// Hears a batch that covers `(start, end)`.
    pub(super) fn hear(&mut self, (start, end): (i64, i64), batch: &[Reading]) {
        self.end = self.end.max(end);
        let step = match (self.samples.contains_key("s"), self.samples.contains_key("w")) {
            (true, true) => 3_000,
            (true, false) => 1_000,
            (false, true) => 1_500,
            (false, false) => 1,
        };
        while self.start > start {
            self.start -= step;
        }
        // Of two at one time the first of the batch is the one that counts (GR-8).
        let mut in_time: BTreeMap<(i64, &str), &Reading> = BTreeMap::new();
        for reading in batch {
            in_time.entry((reading.at, reading.name)).or_insert(reading);
        }
        for reading in in_time.into_values().cloned() {
            match STREAMS.iter().find(|(name, _)| *name == reading.name) {
                Some((name, period)) => {
                    let slot = self.start + (reading.at - self.start).div_euclid(*period) * period;
                    let samples = self.samples.entry(*name).or_default();
                    if reading.value != "E" {
                        samples.insert(slot, reading.value);
                    }
                }
                None => {
                    self.values.insert(reading.name, reading.value);
                }
            }
        }
    }

    /// What the stored JSON says. No stream may reach beyond the end of the effective time.
    pub(super) fn read(json: &str) -> Self {
        let observation: Value = serde_json::from_str(json).unwrap();
        let time = |name: &str| -> i64 {
            let text = observation["effectivePeriod"][name].as_str().unwrap();
            let at: jiff::Timestamp = text.parse().unwrap();
            at.as_millisecond() - after_seven("0").as_millisecond()
        };
        let mut said = Self::nothing((time("start"), time("end")));
        let components = observation["component"].as_array().into_iter().flatten();
        for holder in components.chain([&observation]) {
            let name = if std::ptr::eq(holder, &raw const observation) {
                "s"
            } else {
                holder["code"]["text"].as_str().unwrap()
            };
            said.read_value(name, holder);
        }
        said
    }

    fn read_value(&mut self, name: &str, holder: &Value) {
        let known = ["s", "w", "q", "t"].into_iter().find(|known| *known == name).unwrap();
        if let Some(stream) = holder.get("valueSampledData") {
            let (_, period) = STREAMS.into_iter().find(|(stream, _)| *stream == name).unwrap();
            assert_eq!(stream["period"].to_string(), period.to_string());
            let tokens: Vec<&str> = stream["data"].as_str().unwrap().split(' ').collect();
            let count = (self.end - self.start).div_euclid(period) + 1;
            assert!(i64::try_from(tokens.len()).unwrap() <= count, "{stream}");
            let slots = (0..).map(|slot| self.start + slot * period).zip(tokens);
            let occupied = slots.filter(|(_, token)| *token != "E").map(|(at, token)| (at, token.to_owned()));
            self.samples.insert(known, occupied.collect());
        }
        if let Some(quantity) = holder.get("valueQuantity") {
            self.values.insert(known, quantity["value"].to_string());
        }
        if let Some(text) = holder.get("valueString") {
            self.values.insert(known, text.as_str().unwrap().to_owned());
        }
    }
}

/// The boundary as the fixture takes it.
pub(super) fn seconds(milliseconds: i64) -> String {
    format!("{}.{:03}", milliseconds / 1_000, milliseconds % 1_000)
}

/// Milliseconds after 07:00 that a boundary covers; the last tick of a bucket counts as its last millisecond.
pub(super) fn covers(boundary: Boundary) -> (i64, i64) {
    let seven = after_seven("0").as_millisecond();
    (boundary.start.as_millisecond() - seven, boundary.end.as_millisecond() - seven)
}
