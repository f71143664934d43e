//! Test: `$lastn` finds what brute force over the Observations finds, and never a reading of anybody else.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Bench;

#[derive(Clone, Debug)]
struct Reading {
    patient: u8,
    /// Numbers of `CODINGS`.
    codes: BTreeSet<usize>,
    text: Option<&'static str>,
    /// Another reading that this one is made of, by its number.
    member: Option<usize>,
    /// Minutes of an hour; several readings share one.
    minute: Option<u8>,
    status: &'static str,
    is_deleted: bool,
}

const STATUSES: [&str; 2] = ["final", "amended"];

/// Systems share codes, and codes have texts that codes without a text do not tell.
const CODINGS: [(&str, &str); 7] =
    [("urn:s", "0"), ("urn:t", "0"), ("", "0"), ("urn:s", "1"), ("urn:t", "1"), ("urn:s", "2"), ("urn:u", "3")];

/// Codings in the value set.
const LISTED: [usize; 3] = [1, 3, 6];

impl Reading {
    fn json(&self, id: &str) -> Value {
        let coding: Vec<Value> = self
            .codings()
            .map(|(system, code)| match system {
                "" => json!({ "code": code }),
                system => json!({ "system": system, "code": code }),
            })
            .collect();
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
        if let Some(member) = self.member {
            reading["hasMember"] = json!([{ "reference": format!("Observation/{member}") }]);
        }
        if let Some(minute) = self.minute {
            reading["effectiveDateTime"] = format!("2026-01-02T03:{minute:02}:00Z").into();
        }
        reading
    }

    fn codings(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.codes.iter().map(|code| CODINGS[*code])
    }

    fn has(&self, asked: Token) -> bool {
        let is_asked = |one: Option<&str>, other: &str| one.is_none_or(|one| one == other);
        self.codings().any(|(system, code)| is_asked(asked.system, system) && is_asked(asked.code, code))
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
        prop::collection::btree_set(0..CODINGS.len(), 0..3),
        select(vec!["a", "A", "b"]),
        prop::option::weighted(0.9, 0_u8..8),
        select(STATUSES.to_vec()),
        prop::bool::weighted(0.1),
        any::<bool>(),
        prop::option::weighted(0.3, 0_usize..24),
    )
        .prop_map(|(patient, codes, text, minute, status, is_deleted, has_text, member)| {
            let text = (has_text || codes.is_empty()).then_some(text);
            Reading { patient, codes, text, member, minute, status, is_deleted }
        })
}

#[derive(Clone, Copy, Debug)]
struct Token {
    system: Option<&'static str>,
    code: Option<&'static str>,
}

impl Token {
    fn as_asked(self) -> String {
        match (self.system, self.code) {
            (Some(system), code) => format!("{system}|{}", code.unwrap_or_default()),
            (None, code) => code.unwrap_or_default().to_owned(),
        }
    }
}

/// All four forms, of codings that readings have and of one that none has.
fn tokens() -> impl Strategy<Value = Token> {
    let codings: Vec<_> = CODINGS.into_iter().chain([("urn:s", "9")]).collect();
    (select(codings), 0_u8..3).prop_map(|((system, code), form)| match form {
        0 => Token { system: None, code: Some(code) },
        1 if !system.is_empty() => Token { system: Some(system), code: None },
        _ => Token { system: Some(system), code: Some(code) },
    })
}

/// What is asked of the readings beside their subject.
#[derive(Clone, Debug)]
enum Criterion {
    Status(&'static str),
    Code(Vec<Token>),
    NotCode(Vec<Token>),
    Text(&'static str),
    Listed(bool),
    HasCode(bool),
    MemberCode(Token),
    CodeOfItsMember(Token),
    CodeOrStatus(Token, &'static str),
    NotBoth(Token, &'static str),
}

fn criteria() -> impl Strategy<Value = Criterion> {
    let some = || prop::collection::vec(tokens(), 1..3);
    let status = || select(STATUSES.to_vec());
    prop_oneof![
        status().prop_map(Criterion::Status),
        some().prop_map(Criterion::Code),
        some().prop_map(Criterion::NotCode),
        select(vec!["a", "b"]).prop_map(Criterion::Text),
        any::<bool>().prop_map(Criterion::Listed),
        any::<bool>().prop_map(Criterion::HasCode),
        tokens().prop_map(Criterion::MemberCode),
        tokens().prop_map(Criterion::CodeOfItsMember),
        (tokens(), status()).prop_map(|(token, status)| Criterion::CodeOrStatus(token, status)),
        (tokens(), status()).prop_map(|(token, status)| Criterion::NotBoth(token, status)),
    ]
}

impl Criterion {
    fn as_asked(&self) -> (&'static str, String) {
        let any = |tokens: &[Token]| tokens.iter().map(|token| token.as_asked()).collect::<Vec<_>>().join(",");
        match self {
            Self::Status(status) => ("status", (*status).to_owned()),
            Self::Code(tokens) => ("code", any(tokens)),
            Self::NotCode(tokens) => ("code:not", any(tokens)),
            Self::Text(text) => ("code:text", (*text).to_owned()),
            Self::Listed(true) => ("code:in", "ValueSet/v".to_owned()),
            Self::Listed(false) => ("code:not-in", "ValueSet/v".to_owned()),
            Self::HasCode(is_there) => ("code:missing", (!is_there).to_string()),
            Self::MemberCode(token) => ("has-member:Observation.code", token.as_asked()),
            Self::CodeOfItsMember(token) => ("_has:Observation:has-member:code", token.as_asked()),
            Self::CodeOrStatus(token, status) => {
                ("_filter", format!("code eq {} or status eq {status}", token.as_asked()))
            }
            Self::NotBoth(token, status) => {
                ("_filter", format!("not (code eq {} and status eq {status})", token.as_asked()))
            }
        }
    }

    /// Whether the reading of this number fulfils it.
    fn holds(&self, id: usize, readings: &[Reading]) -> bool {
        let reading = &readings[id];
        let has_any = |tokens: &[Token]| tokens.iter().any(|token| reading.has(*token));
        match self {
            Self::Status(status) => reading.status == *status,
            Self::Code(tokens) => has_any(tokens),
            Self::NotCode(tokens) => !has_any(tokens),
            Self::Text(text) => reading.text.is_some_and(|known| known.to_lowercase() == *text),
            Self::Listed(is_listed) => reading.codes.iter().any(|code| LISTED.contains(code)) == *is_listed,
            Self::HasCode(is_there) => reading.codes.is_empty() != *is_there,
            Self::MemberCode(token) => reading
                .member
                .and_then(|member| readings.get(member))
                .is_some_and(|member| !member.is_deleted && member.has(*token)),
            Self::CodeOfItsMember(token) => {
                readings.iter().any(|whole| !whole.is_deleted && whole.member == Some(id) && whole.has(*token))
            }
            Self::CodeOrStatus(token, status) => reading.has(*token) || reading.status == *status,
            Self::NotBoth(token, status) => !(reading.has(*token) && reading.status == *status),
        }
    }
}

#[derive(Clone, Debug)]
struct Question {
    patient: u8,
    criteria: Vec<Criterion>,
    max: usize,
}

impl Question {
    fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("patient", &self.patient.to_string()).append_pair("max", &self.max.to_string());
        query.extend_pairs(self.criteria.iter().map(Criterion::as_asked));
        format!("/Observation/$lastn?{}", query.finish())
    }
}

fn questions() -> impl Strategy<Value = Question> {
    (0_u8..3, prop::collection::vec(criteria(), 0..3), 1_usize..4).prop_map(|(patient, criteria, max)| Question {
        patient,
        criteria,
        max,
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
fn expected(readings: &[Reading], question: &Question) -> Vec<Option<String>> {
    let Question { patient, criteria, max } = question;
    let about: Vec<(usize, &Reading)> =
        readings.iter().enumerate().filter(|(_, reading)| reading.patient == *patient && !reading.is_deleted).collect();
    let mut answer = Vec::new();
    for group in groups(&about) {
        let mut matches: Vec<usize> =
            group.into_iter().filter(|id| criteria.iter().all(|it| it.holds(*id, readings))).collect();
        matches.sort_by_key(|id| std::cmp::Reverse(readings[*id].minute));
        let last = matches.get(max - 1).map(|id| readings[*id].minute);
        for (rank, id) in matches.into_iter().enumerate() {
            let minute = readings[id].minute;
            if rank < *max || (minute.is_some() && Some(minute) == last) {
                answer.push(minute.map(|_minute| id.to_string()));
            }
        }
    }
    answer.sort();
    answer
}

async fn check(readings: &[Reading], questions: &[Question]) {
    let bench = Bench::new().await;
    let listed = LISTED.map(|code| {
        let (system, code) = CODINGS[code];
        json!({ "system": system, "concept": [{ "code": code }] })
    });
    let value_set =
        json!({ "resourceType": "ValueSet", "id": "v", "status": "active", "compose": { "include": listed } });
    bench.put("/ValueSet/v", &value_set.to_string()).await.check(201);
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
    for question in questions {
        let path = question.path();
        let bundle = bench.get(&path).await.check(200).json();
        let found: Vec<Value> = bundle["entry"].as_array().cloned().unwrap_or_default();
        let found: Vec<&Value> = found.iter().map(|entry| &entry["resource"]).collect();
        for reading in &found {
            assert_eq!(reading["subject"]["reference"], format!("Patient/{}", question.patient), "{path}");
        }
        let times: Vec<&str> = found.iter().map(|it| it["effectiveDateTime"].as_str().unwrap_or_default()).collect();
        assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
        let mut ids: Vec<Option<String>> = found
            .iter()
            .map(|it| it.get("effectiveDateTime").map(|_time| it["id"].as_str().unwrap().to_owned()))
            .collect();
        ids.sort();
        assert_eq!(ids, expected(readings, question), "{path} of {readings:?}");
        assert_eq!(bundle["total"], found.len(), "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_newest_of_each_kind_are_those_that_brute_force_finds(
        readings in prop::collection::vec(readings(), 1..24),
        questions in prop::collection::vec(questions(), 24),
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
