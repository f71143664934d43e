//! Test: `$lastn` finds what brute force over the Observations finds, and never a reading of anybody else.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::Bench;

#[derive(Clone, Debug)]
struct Reading {
    patient: u8,
    codes: BTreeSet<u8>,
    text: Option<&'static str>,
    /// Minutes of an hour; several readings share one.
    minute: Option<u8>,
    status: &'static str,
    is_deleted: bool,
}

const STATUSES: [&str; 2] = ["final", "amended"];

impl Reading {
    fn json(&self, id: &str) -> Value {
        let coding: Vec<Value> =
            self.codes.iter().map(|code| json!({ "system": "urn:s", "code": code.to_string() })).collect();
        let mut reading = json!({
            "resourceType": "Observation", "id": id, "status": self.status, "code": {},
            "subject": { "reference": format!("Patient/{}", self.patient) },
        });
        if !coding.is_empty() {
            reading["code"]["coding"] = coding.into();
        }
        if let Some(text) = self.text {
            reading["code"]["text"] = text.into();
        }
        if let Some(minute) = self.minute {
            reading["effectiveDateTime"] = format!("2026-01-02T03:{minute:02}:00Z").into();
        }
        reading
    }

    /// What it is about, if it has no coding.
    fn text(&self) -> Option<&'static str> {
        self.text.filter(|_text| self.codes.is_empty())
    }

    fn shares(&self, other: &Self) -> bool {
        !self.codes.is_disjoint(&other.codes) || (self.text().is_some() && self.text() == other.text())
    }
}

fn readings() -> impl Strategy<Value = Reading> {
    (
        0_u8..3,
        prop::collection::btree_set(0_u8..7, 0..3),
        select(vec!["a", "A"]),
        prop::option::weighted(0.9, 0_u8..8),
        select(STATUSES.to_vec()),
        prop::bool::weighted(0.1),
        any::<bool>(),
    )
        .prop_map(|(patient, codes, text, minute, status, is_deleted, has_text)| {
            let text = (has_text || codes.is_empty()).then_some(text);
            Reading { patient, codes, text, minute, status, is_deleted }
        })
}

/// The groups, by spreading through readings that share a coding until nothing is added.
fn groups(readings: &[(usize, &Reading)]) -> Vec<BTreeSet<usize>> {
    let mut left: BTreeMap<usize, &Reading> = readings.iter().copied().collect();
    let mut groups = Vec::new();
    while let Some((first, reading)) = left.pop_first() {
        let mut group = BTreeMap::from([(first, reading)]);
        loop {
            let joined: Vec<usize> = left
                .iter()
                .filter(|(_, other)| group.values().any(|member| member.shares(other)))
                .map(|(id, _)| *id)
                .collect();
            if joined.is_empty() {
                break;
            }
            group.extend(joined.into_iter().filter_map(|id| left.remove_entry(&id)));
        }
        groups.push(group.into_keys().collect());
    }
    groups
}

/// The ids that may and must be in the answer; of readings without a time any may stand for its like.
fn expected(readings: &[Reading], patient: u8, status: Option<&str>, max: usize) -> Vec<Option<String>> {
    let about: Vec<(usize, &Reading)> =
        readings.iter().enumerate().filter(|(_, reading)| reading.patient == patient && !reading.is_deleted).collect();
    let mut answer = Vec::new();
    for group in groups(&about) {
        let mut matches: Vec<usize> =
            group.into_iter().filter(|id| status.is_none_or(|status| readings[*id].status == status)).collect();
        matches.sort_by_key(|id| std::cmp::Reverse(readings[*id].minute));
        let last = matches.get(max - 1).map(|id| readings[*id].minute);
        for (rank, id) in matches.into_iter().enumerate() {
            let minute = readings[id].minute;
            if rank < max || (minute.is_some() && Some(minute) == last) {
                answer.push(minute.map(|_minute| id.to_string()));
            }
        }
    }
    answer.sort();
    answer
}

async fn check(readings: &[Reading], questions: &[(u8, Option<&'static str>, usize)]) {
    let bench = Bench::new().await;
    for (id, reading) in readings.iter().enumerate() {
        // What was said at first does not count.
        let before = Reading { codes: BTreeSet::from([6]), patient: 0, minute: Some(59), ..reading.clone() };
        for version in [&before, reading] {
            let path = format!("/Observation/{id}");
            let written = bench.put(&path, &version.json(&id.to_string()).to_string()).await;
            assert!(written.status.is_success(), "{written:?}");
        }
        if reading.is_deleted {
            bench.send("DELETE", &format!("/Observation/{id}"), "", "").await.check(204);
        }
    }
    for (patient, status, max) in questions {
        let status_filter = status.map_or_else(String::new, |status| format!("&status={status}"));
        let path = format!("/Observation/$lastn?patient={patient}&max={max}{status_filter}");
        let bundle = bench.get(&path).await.check(200).json();
        let found: Vec<Value> = bundle["entry"].as_array().cloned().unwrap_or_default();
        let found: Vec<&Value> = found.iter().map(|entry| &entry["resource"]).collect();
        for reading in &found {
            assert_eq!(reading["subject"]["reference"], format!("Patient/{patient}"), "{path}");
            assert!(status.is_none_or(|status| reading["status"] == status), "{path}");
        }
        let times: Vec<&str> = found.iter().map(|it| it["effectiveDateTime"].as_str().unwrap_or_default()).collect();
        assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
        let mut ids: Vec<Option<String>> = found
            .iter()
            .map(|it| it.get("effectiveDateTime").map(|_time| it["id"].as_str().unwrap().to_owned()))
            .collect();
        ids.sort();
        assert_eq!(ids, expected(readings, *patient, *status, *max), "{path} of {readings:?}");
        assert_eq!(bundle["total"], found.len(), "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_newest_of_each_kind_are_those_that_brute_force_finds(
        readings in prop::collection::vec(readings(), 1..24),
        questions in prop::collection::vec(
            (0_u8..3, prop::option::of(select(STATUSES.to_vec())), 1_usize..4), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&readings, &questions));
    }
}

#[tokio::test]
async fn the_subject_must_be_named_and_pages_are_not_for_it() {
    let bench = Bench::new().await;
    for query in ["", "?max=3", "?code=x", "?patient:missing=true", "?_id=1"] {
        let answer = bench.get(&format!("/Observation/$lastn{query}")).await.check_issue(400, "required");
        assert!(answer.text.contains("patient=Patient/1"), "{}", answer.text);
    }
    for query in ["max=0", "max=1001", "max=-1", "max=x"] {
        bench.get(&format!("/Observation/$lastn?patient=1&{query}")).await.check_issue(400, "value");
    }
    for query in ["_count=1", "_sort=date", "patinet=1", "_frobnicate=1"] {
        bench.get(&format!("/Observation/$lastn?patient=1&{query}")).await.check_issue(400, "not-supported");
    }
    bench.get("/Patient/$lastn?patient=1").await.check_issue(404, "not-found");
    let none = bench.get("/Observation/$lastn?patient=1").await.check(200).json();
    assert_eq!((&none["total"], none.get("entry")), (&json!(0), None));
}
