use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;

use super::{SCHEMA, SqliteStore};
use crate::clock::Clock;
use crate::database::Database;
use crate::fhir::store::interface::{Head, Reader, Store, StoreError, Verdict, Writer};
use crate::fhir::store::watch::{Change, Watch};
use crate::fhir::store::{
    Basis, Code, CodeSet, Condition, Cursor, Draft, DraftBody, HistoryQuery, IndexEntry, IndexValue, Lineage, Method,
    Page, Query, Relation, ResourceKey, Selection, SortBy, SortKey, SortKind, Test, TextMode, UriMode, Version,
};
use crate::r4::resource_type::ResourceType;

struct Bench {
    store: Arc<dyn Store>,
    clock: Clock,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
        let clock = Clock::stopped("2026-01-02T03:04:05.678901Z".parse().unwrap());
        let store = SqliteStore::open(database, clock.clone()).await.unwrap().with_terminology(codes);
        Self { store: Arc::new(store), clock, _directory: directory }
    }

    /// A store of which changes of Devices are heard, and who hears of them: id and number of values.
    async fn watched() -> (Self, Arc<Mutex<Vec<(String, usize)>>>) {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
        let clock = Clock::stopped("2026-01-02T03:04:05.678901Z".parse().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = Arc::clone(&heard);
        let hear = move |change: &Change| hearing.lock().unwrap().push((change.key.id.clone(), change.index.len()));
        let watch = Watch { resource_types: vec![kind("Device")], hear: Box::new(hear) };
        let store = SqliteStore::open(database, clock.clone()).await.unwrap().watched_by(watch);
        (Self { store: Arc::new(store), clock, _directory: directory }, heard)
    }

    async fn put(&self, draft: Draft) -> Version {
        self.store.write(move |writer| writer.put(draft)).await.unwrap()
    }

    async fn delete(&self, key: ResourceKey) -> Option<Version> {
        self.store.write(move |writer| writer.delete(&key)).await.unwrap()
    }

    async fn find(&self, query: Query) -> Page {
        self.store.read(move |reader| reader.find(&query)).await.unwrap()
    }

    async fn ids(&self, condition: Condition) -> Vec<String> {
        let page = self.find(query(condition, Vec::new(), None, 1_000)).await;
        page.versions.into_iter().map(|version| version.key.id).collect()
    }
}

/// Every pair of the two letters of a value set's name; there are none of `unknown`.
fn codes(_reader: &dyn Reader, set: &CodeSet) -> Result<Vec<Code>, StoreError> {
    let CodeSet::ValueSet(name) = set else { return Ok(Vec::new()) };
    if name == "unknown" {
        return Err(StoreError::Codes("no such value set".to_owned()));
    }
    let letters = || name.chars().map(String::from).chain([String::new()]);
    Ok(letters().flat_map(|system| letters().map(move |code| Code { system: system.clone(), code })).collect())
}

fn kind(name: &str) -> ResourceType {
    ResourceType::parse(name).unwrap()
}

fn key(name: &str, id: &str) -> ResourceKey {
    ResourceKey { resource_type: kind(name), id: id.to_owned() }
}

fn draft(name: &str, id: &str, index: Vec<IndexEntry>) -> Draft {
    Draft {
        key: key(name, id),
        method: Method::Put,
        body: DraftBody {
            head: Bytes::from(format!(r#"{{"resourceType":"{name}","#)),
            meta_rest: Bytes::from_static(br#","source":"urn:x""#),
            tail: Bytes::from_static(br#","value":65.00}"#),
        },
        index,
        basis: Basis::default(),
    }
}

fn entry(parameter: &str, value: IndexValue) -> IndexEntry {
    IndexEntry { parameter: parameter.into(), value }
}

fn token(system: &str, code: &str) -> IndexValue {
    IndexValue::Token { system: system.to_owned(), code: code.to_owned() }
}

fn reference(target: &str) -> IndexValue {
    IndexValue::Reference { target: target.to_owned() }
}

fn has_code(code: &str) -> Condition {
    Condition::Has("code".into(), Test::Token { system: None, code: Some(code.to_owned()) })
}

fn query(condition: Condition, order: Vec<SortKey>, after: Option<Cursor>, limit: usize) -> Query {
    Query {
        selections: vec![Selection { resource_type: ResourceType::OBSERVATION, condition }],
        order,
        after,
        limit,
        series: None,
    }
}

#[tokio::test]
async fn id_and_meta_are_written_into_the_body_and_numbers_keep_their_digits() {
    let bench = Bench::new().await;
    bench.put(draft("Observation", "a", Vec::new())).await;
    let version = bench.put(draft("Observation", "a", Vec::new())).await;
    let expected = r#"{"resourceType":"Observation","id":"a","meta":{"versionId":"2","lastUpdated":"2026-01-02T03:04:05.678Z","source":"urn:x"},"value":65.00}"#;
    assert_eq!(version.body.unwrap(), expected);
    let current = bench.store.read(|reader| reader.current(&key("Observation", "a"))).await.unwrap().unwrap();
    assert_eq!(current.body.unwrap(), expected);
    assert_eq!(current.last_updated, "2026-01-02T03:04:05.678Z".parse::<Timestamp>().unwrap());
}

fn lineage(patient: &str, after: Option<Cursor>, limit: usize) -> HistoryQuery {
    let of = Lineage::Resource(key("Patient", patient));
    HistoryQuery { of, since: i64::MIN, until: i64::MAX, current_in: None, after, limit }
}

async fn history_of(bench: &Bench, query: &HistoryQuery) -> (Vec<(u64, Method)>, Option<Cursor>) {
    let query = query.clone();
    let page = bench.store.read(move |reader| reader.history(&query)).await.unwrap();
    (page.versions.into_iter().map(|version| (version.number, version.method)).collect(), page.next)
}

#[tokio::test]
async fn every_version_can_be_read_and_history_is_newest_first() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        bench.put(draft("Patient", "p", Vec::new())).await;
    }
    bench.delete(key("Patient", "p")).await.unwrap();
    assert!(bench.delete(key("Patient", "p")).await.is_none());
    assert_eq!(bench.put(draft("Patient", "p", Vec::new())).await.number, 5);
    let (first, next) = history_of(&bench, &lineage("p", None, 2)).await;
    assert_eq!(first, [(5, Method::Put), (4, Method::Delete)]);
    let (rest, end) = history_of(&bench, &lineage("p", next, 9)).await;
    assert_eq!((rest, end), (vec![(3, Method::Put), (2, Method::Put), (1, Method::Put)], None));
    let read = |number| bench.store.read(move |reader| reader.version(&key("Patient", "p"), number));
    assert!(read(2).await.unwrap().unwrap().body.is_some());
    assert!(read(4).await.unwrap().unwrap().body.is_none());
    assert!(read(6).await.unwrap().is_none());
    assert!(read(0).await.unwrap().is_none());
    assert!(read(u64::MAX).await.unwrap().is_none());
}

#[tokio::test]
async fn a_head_is_known_without_the_body_also_of_what_is_deleted() {
    let bench = Bench::new().await;
    bench.put(draft("Patient", "p", Vec::new())).await;
    bench.delete(key("Patient", "p")).await;
    let head = |id: &'static str| bench.store.read(move |reader| reader.head(&key("Patient", id)));
    let last_updated = "2026-01-02T03:04:05.678Z".parse().unwrap();
    assert_eq!(head("p").await.unwrap(), Some(Head { number: 2, last_updated, method: Method::Delete }));
    assert_eq!(head("q").await.unwrap(), None);
}

#[tokio::test]
async fn time_never_runs_backwards_within_a_resource() {
    let bench = Bench::new().await;
    let first = bench.put(draft("Patient", "p", Vec::new())).await;
    bench.clock.advance_to("2020-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(bench.put(draft("Patient", "p", Vec::new())).await.last_updated, first.last_updated);
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing_and_its_texts_are_not_remembered() {
    let bench = Bench::new().await;
    let coded = |id: &str, system: &str| draft("Observation", id, vec![entry("code", token(system, "c"))]);
    let failing = coded("a", "urn:one");
    let result = bench
        .store
        .write(move |writer| {
            writer.put(failing)?;
            Err::<(), _>(StoreError::Stopped)
        })
        .await;
    assert!(result.is_err());
    // The number of the first system is free again and goes to the second.
    bench.put(coded("b", "urn:two")).await;
    bench.put(coded("c", "urn:one")).await;
    for (system, id) in [("urn:one", "c"), ("urn:two", "b")] {
        let test = Test::Token { system: Some(system.to_owned()), code: None };
        assert_eq!(bench.ids(Condition::Has("code".into(), test)).await, [id]);
    }
}

#[tokio::test]
async fn changes_of_the_types_watched_are_heard_when_their_author_has_the_answer() {
    let (bench, heard) = Bench::watched().await;
    let code = || vec![entry("identifier", token("s", "c"))];
    bench.put(draft("Device", "a", code())).await;
    bench.put(draft("Observation", "a", code())).await;
    let both = |writer: &mut dyn Writer| {
        writer.put(draft("Device", "b", Vec::new()))?;
        writer.delete(&key("Device", "a"))
    };
    bench.store.write(both).await.unwrap();
    bench.delete(key("Device", "never")).await;
    let expected = [("a", 1), ("b", 0), ("a", 0)].map(|(id, values)| (id.to_owned(), values));
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_change_whose_author_no_longer_waits_is_heard_all_the_same() {
    let (bench, heard) = Bench::watched().await;
    let mut write = bench.store.run_write(Box::new(|writer| {
        writer.put(draft("Device", "a", Vec::new())).unwrap();
        Verdict::Keep
    }));
    assert!(futures_util::poll!(&mut write).is_pending());
    drop(write);
    // The writer has answered, or tried to, what came before.
    bench.put(draft("Observation", "b", Vec::new())).await;
    assert_eq!(*heard.lock().unwrap(), [("a".to_owned(), 0)]);
}

#[tokio::test]
async fn a_write_sees_what_it_has_written() {
    let bench = Bench::new().await;
    let found = bench
        .store
        .write(|writer| {
            writer.put(draft("Observation", "a", vec![entry("code", token("", "x"))]))?;
            writer.count(ResourceType::OBSERVATION, &has_code("x"))
        })
        .await;
    assert_eq!(found.unwrap(), 1);
}

#[tokio::test]
async fn an_update_is_found_by_its_new_values_only_and_a_deletion_by_none() {
    let bench = Bench::new().await;
    bench.put(draft("Observation", "a", vec![entry("code", token("s", "x")), entry("code", token("s", "y"))])).await;
    bench.put(draft("Observation", "a", vec![entry("code", token("s", "y")), entry("code", token("s", "z"))])).await;
    assert!(bench.ids(has_code("x")).await.is_empty());
    assert_eq!(bench.ids(has_code("y")).await, ["a"]);
    assert_eq!(bench.ids(has_code("z")).await, ["a"]);
    bench.delete(key("Observation", "a")).await;
    assert!(bench.ids(has_code("y")).await.is_empty());
    assert!(bench.ids(Condition::Not(Box::new(has_code("y")))).await.is_empty());
    assert!(bench.ids(Condition::Id(vec!["a".to_owned()])).await.is_empty());
    assert!(bench.ids(Condition::All(Vec::new())).await.is_empty());
    bench.put(draft("Observation", "a", vec![entry("code", token("s", "x"))])).await;
    assert_eq!(bench.ids(has_code("x")).await, ["a"]);
}

#[tokio::test]
async fn links_are_followed_both_ways_to_few_and_to_many() {
    let bench = Bench::new().await;
    let patients = 2_100;
    let writes = move |writer: &mut dyn crate::fhir::store::interface::Writer| {
        for number in 0..patients {
            let gender = if number == 0 { "rare" } else { "common" };
            let patient = format!("p{number}");
            writer.put(draft("Patient", &patient, vec![entry("gender", token("", gender))]))?;
            let subject = entry("patient", reference(&format!("Patient/{patient}")));
            let code = entry("code", token("s", if number == 1 { "rare" } else { "common" }));
            writer.put(draft("Observation", &format!("o{number}"), vec![subject, code]))?;
        }
        writer.delete(&key("Patient", "p2"))?;
        writer.delete(&key("Observation", "o3"))?;
        Ok::<_, StoreError>(())
    };
    bench.store.write(writes).await.unwrap();
    let linked = |gender: &str| Condition::Linked {
        parameter: "patient".into(),
        targets: vec![kind("Patient"), kind("Group")],
        condition: Box::new(Condition::Has(
            "gender".into(),
            Test::Token { system: None, code: Some(gender.to_owned()) },
        )),
    };
    let linked_from = |code: &str| Condition::LinkedFrom {
        source: ResourceType::OBSERVATION,
        parameter: "patient".into(),
        condition: Box::new(has_code(code)),
    };
    let counts = bench.store.read(move |reader| {
        let observations = |condition| reader.count(ResourceType::OBSERVATION, &condition);
        let patients = |condition| reader.count(kind("Patient"), &condition);
        Ok::<_, StoreError>([
            observations(linked("rare"))?,
            observations(linked("common"))?,
            observations(Condition::Not(Box::new(linked("common"))))?,
            patients(linked_from("rare"))?,
            patients(linked_from("common"))?,
            patients(Condition::Not(Box::new(linked_from("common"))))?,
        ])
    });
    // o2 points to a deleted patient, o3 is deleted.
    assert_eq!(counts.await.unwrap(), [1, 2_097, 2, 1, 2_097, 2]);
}

#[tokio::test]
async fn the_newest_of_many_come_page_by_page_while_data_arrives() {
    let bench = Bench::new().await;
    let total = 5_000;
    let reading = |number: i64| {
        let date = IndexValue::Date { start: number / 3, end: number / 3 + 1 };
        draft("Observation", &format!("o{number}"), vec![entry("code", token("s", "x")), entry("date", date)])
    };
    let writes = move |writer: &mut dyn crate::fhir::store::interface::Writer| {
        (0..total).try_for_each(|number| writer.put(reading(number)).map(drop))
    };
    bench.store.write::<_, StoreError>(writes).await.unwrap();
    let order = vec![SortKey { by: SortBy::Value("date".into(), SortKind::Date), descending: true }];
    let mut seen = Vec::new();
    let mut after = None;
    for arriving in total.. {
        let page = bench.find(query(has_code("x"), order.clone(), after, 700)).await;
        seen.extend(
            page.versions.into_iter().map(|version| version.key.id.trim_start_matches('o').parse::<i64>().unwrap()),
        );
        bench.put(reading(arriving)).await;
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    let mut expected: Vec<_> = (0..total).collect();
    expected.sort_by_key(|number| (-(number / 3), *number));
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_resource_with_several_dates_stands_once_at_its_latest() {
    let bench = Bench::new().await;
    let total = 30;
    for number in 0..total {
        let dates = [number, number - 4, number - 9];
        let dates = dates.map(|day| entry("date", IndexValue::Date { start: day, end: day }));
        let index = [entry("code", token("s", "x"))].into_iter().chain(dates).collect();
        bench.put(draft("Observation", &format!("o{number}"), index)).await;
    }
    let order = vec![SortKey { by: SortBy::Value("date".into(), SortKind::Date), descending: true }];
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = bench.find(query(has_code("x"), order.clone(), after, 4)).await;
        seen.extend(page.versions.into_iter().map(|version| version.key.id));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    let expected: Vec<String> = (0..total).rev().map(|number| format!("o{number}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_cursor_of_another_order_is_refused() {
    let bench = Bench::new().await;
    for cursor in ["", "7", "{}", r#"{"k":[{"i":1}],"n":1}"#] {
        let query = query(Condition::All(Vec::new()), Vec::new(), Some(Cursor(cursor.to_owned())), 5);
        assert!(matches!(bench.store.read(move |reader| reader.find(&query)).await, Err(StoreError::Cursor)));
    }
}

#[tokio::test]
async fn walks_go_along_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    let plans = database.read(|connection| {
        super::walks::WALKS.map(|sql| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = statement.query_map([1, 1], |row| row.get::<_, String>(3)).unwrap();
            steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
        })
    });
    for plan in plans.await.unwrap() {
        assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{plan}");
        assert!(!plan.contains("FOR ORDER BY"), "{plan}");
    }
}

#[tokio::test]
async fn codes_that_cannot_be_told_are_refused_and_find_nothing() {
    let bench = Bench::new().await;
    bench
        .put(draft("Basic", "1", vec![entry("code", IndexValue::Token { system: "s".into(), code: "c".into() })]))
        .await;
    let unknown = Condition::Coded("code".into(), CodeSet::ValueSet("unknown".to_owned()));
    for condition in [unknown.clone(), Condition::Not(Box::new(unknown.clone())), Condition::Any(vec![unknown])] {
        let refused = bench.store.read(move |reader| reader.find(&query(condition, Vec::new(), None, 10))).await;
        assert!(matches!(refused, Err(StoreError::Codes(why)) if why == "no such value set"));
    }
}

#[tokio::test]
async fn a_text_beside_codes_costs_no_row_of_any_index() {
    let bench = Bench::new().await;
    let display = |folded: &str| entry("code:text", IndexValue::Display { folded: folded.to_owned() });
    bench.put(draft("Observation", "1", vec![display("heart rate"), display("pulse")])).await;
    bench.put(draft("Observation", "2", vec![display("heart rate")])).await;
    let starts = |folded: &str| Condition::Has("code:text".into(), Test::Display { folded: folded.to_owned() });
    assert_eq!(bench.ids(starts("heart")).await, ["1", "2"]);
    assert_eq!(bench.ids(starts("pul")).await, ["1"]);
    assert_eq!(bench.ids(starts("rate")).await, [""; 0]);
    let rows = bench.store.read(|reader| reader.count(kind("Observation"), &Condition::Present("code:text".into())));
    assert_eq!(rows.await.map_err(|error: StoreError| error.to_string()), Ok(0));
}

// Random resources, conditions and orders against a plain evaluation over all resources.

#[derive(Clone, Debug)]
struct Stored {
    id: String,
    index: Vec<IndexEntry>,
    changed: i64,
}

fn values() -> impl Strategy<Value = IndexEntry> {
    let word = prop::sample::select(vec!["", "a", "ab", "abc", "b", "Ab", "\u{10ffff}", "a\u{10ffff}b"]);
    let word = move || word.clone().prop_map(str::to_owned);
    let amount = || prop::sample::select(vec![-1.5, 0.0, 1.0, 1.5, 2.0]);
    prop_oneof![
        (word(), word()).prop_map(|(system, code)| entry("token", IndexValue::Token { system, code })),
        word().prop_map(|target| entry("reference", IndexValue::Reference { target })),
        (-5_i64..5, 0_i64..4)
            .prop_map(|(start, length)| entry("date", IndexValue::Date { start, end: start + length })),
        Just(entry("date", IndexValue::Date { start: 0, end: i64::MAX })),
        amount().prop_map(|value| entry("number", IndexValue::Number { value })),
        (units(), amount()).prop_map(|([system, code, unit], value)| entry(
            "quantity",
            IndexValue::Quantity { system, code, unit, value }
        )),
        (
            units(),
            prop::sample::select(vec![f64::NEG_INFINITY, -1.5, 0.0]),
            prop::sample::select(vec![0.0, 1.5, f64::INFINITY])
        )
            .prop_map(|([system, code, unit], low, high)| {
                entry("quantity", IndexValue::Range { system, code, unit, low, high })
            }),
        word().prop_map(|exact| entry("string", IndexValue::String { folded: exact.to_lowercase(), exact })),
        word().prop_map(|uri| entry("uri", IndexValue::Uri { uri })),
        (prop::collection::vec((word(), word()), 1..3), prop::collection::vec(amount(), 1..3)).prop_map(
            |(codes, amounts)| {
                let codes = codes.into_iter().map(|(system, code)| IndexValue::Token { system, code });
                let amounts = amounts.into_iter().map(|value| IndexValue::Number { value });
                entry("pair", IndexValue::Composite { parts: vec![codes.collect(), amounts.collect()] })
            }
        ),
        word().prop_map(|folded| entry("display", IndexValue::Display { folded })),
        media_types().prop_map(|code| entry("media", IndexValue::Token { system: "m".to_owned(), code })),
    ]
}

fn media_types() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["text/xml", "text/xml; charset=UTF-8", "text/xmlish", "text/plain", "text", "TEXT/xml"])
        .prop_map(str::to_owned)
}

/// System, code and displayed unit; some convert to each other, some only look as if they did.
fn units() -> impl Strategy<Value = [String; 3]> {
    let ucum = "http://unitsofmeasure.org";
    prop::sample::select(vec![
        ["", "", ""],
        ["", "", "mg"],
        ["", "mg", ""],
        [ucum, "mg", "milligram"],
        [ucum, "g", "mg"],
        [ucum, "s", ""],
        [ucum, "nonsense", ""],
        ["urn:other", "mg", ""],
    ])
    .prop_map(|parts| parts.map(str::to_owned))
}

/// How many of the canonical unit one of this unit is.
fn factor(system: &str, code: &str) -> (String, f64) {
    match (system, code) {
        ("http://unitsofmeasure.org", "mg") => ("g".to_owned(), 1.0),
        ("http://unitsofmeasure.org", "g") => ("g".to_owned(), 1000.0),
        ("http://unitsofmeasure.org", "s") => ("s".to_owned(), 1.0),
        _ => (format!("{system}|{code}"), 1.0),
    }
}

fn relations() -> impl Strategy<Value = Relation> {
    prop::sample::select(vec![
        Relation::Within,
        Relation::NotWithin,
        Relation::Above,
        Relation::Below,
        Relation::AtLeast,
        Relation::AtMost,
        Relation::StartsAfter,
        Relation::EndsBefore,
        Relation::Overlaps,
    ])
}

fn tests() -> impl Strategy<Value = Condition> {
    let word = prop::sample::select(vec!["", "a", "ab", "abc", "b", "Ab", "a\u{10ffff}", "never"]);
    let word = move || word.clone().prop_map(str::to_owned);
    let maybe = || prop::option::of(word());
    let has = |parameter: &'static str| move |test| Condition::Has(parameter.into(), test);
    prop_oneof![
        (maybe(), maybe()).prop_map(|(system, code)| Test::Token { system, code }).prop_map(has("token")),
        word().prop_map(|target| Test::Reference { target }).prop_map(has("reference")),
        (relations(), -6_i64..6, 0_i64..5)
            .prop_map(|(relation, start, length)| Test::Date { relation, start, end: start + length })
            .prop_map(has("date")),
        (relations(), -2.0..2.5_f64)
            .prop_map(|(relation, value)| Test::Number { relation, low: value - 0.5, high: value + 0.5, value })
            .prop_map(has("number")),
        (relations(), prop::sample::select(vec![-1500.0, -1.5, 0.0, 1.0, 1.5, 1000.0, 2000.0]), units(), 0_usize..4)
            .prop_map(|(relation, value, [system, code, _], asked)| {
                let (system, code) = (Some(system).filter(|_| asked & 1 > 0), Some(code).filter(|_| asked & 2 > 0));
                Test::Quantity { relation, low: value - 0.5, high: value + 0.5, value, system, code }
            })
            .prop_map(has("quantity")),
        (prop::sample::select(vec![TextMode::StartsWith, TextMode::Contains, TextMode::Exact]), word())
            .prop_map(|(mode, text)| Test::String { mode, text })
            .prop_map(has("string")),
        (prop::sample::select(vec![UriMode::Exact, UriMode::Below, UriMode::Above]), word())
            .prop_map(|(mode, uri)| Test::Uri { uri, mode })
            .prop_map(has("uri")),
        (prop::collection::vec((maybe(), maybe()), 0..3), relations(), -2.0..2.5_f64)
            .prop_map(|(codes, relation, value)| {
                let codes = codes.into_iter().map(|(system, code)| Test::Token { system, code });
                let amount = Test::Number { relation, low: value - 0.5, high: value + 0.5, value };
                Test::Composite { parts: vec![codes.collect(), vec![amount]] }
            })
            .prop_map(has("pair")),
        word().prop_map(|folded| Test::Display { folded }).prop_map(has("display")),
        media_types().prop_map(|base| Test::MediaType { base }).prop_map(has("media")),
        prop::sample::select(vec!["", "a", "ab", "ba"])
            .prop_map(|name| Condition::Coded("token".into(), CodeSet::ValueSet(name.to_owned()))),
        parameters().prop_map(|parameter| Condition::Present(parameter.into())),
        prop::collection::vec(0_usize..40, 0..4)
            .prop_map(|ids| Condition::Id(ids.into_iter().map(|id| format!("o{id}")).collect())),
        (0_i64..40, 0_i64..20).prop_map(|(start, length)| {
            Condition::LastUpdated { start: start * 1_000_000, end: (start + length) * 1_000_000 }
        }),
    ]
}

fn parameters() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["token", "reference", "date", "number", "quantity", "string", "uri", "never"])
}

fn conditions() -> impl Strategy<Value = Condition> {
    tests().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::Any),
            inner.prop_map(|condition| Condition::Not(Box::new(condition))),
        ]
    })
}

fn orders() -> impl Strategy<Value = Vec<SortKey>> {
    let value = |parameter: &str, kind| SortBy::Value(parameter.into(), kind);
    let by = prop::sample::select(vec![
        SortBy::LastUpdated,
        SortBy::Id,
        value("token", SortKind::Token),
        value("reference", SortKind::Reference),
        value("date", SortKind::Date),
        value("number", SortKind::Number),
        value("quantity", SortKind::Quantity),
        value("string", SortKind::String),
        value("uri", SortKind::Uri),
        value("never", SortKind::Date),
    ]);
    prop::collection::vec((by, any::<bool>()).prop_map(|(by, descending)| SortKey { by, descending }), 0..3)
}

fn holds(condition: &Condition, stored: &Stored) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| holds(part, stored)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, stored)),
        Condition::Not(part) => !holds(part, stored),
        Condition::Id(ids) => ids.contains(&stored.id),
        Condition::LastUpdated { start, end } => *start <= stored.changed && stored.changed <= *end,
        Condition::Present(parameter) => stored.index.iter().any(|entry| entry.parameter == *parameter),
        Condition::Has(parameter, test) => {
            stored.index.iter().any(|entry| entry.parameter == *parameter && test_holds(test, &entry.value))
        }
        Condition::Coded(parameter, CodeSet::ValueSet(name)) => stored.index.iter().any(|entry| {
            let belongs = |text: &str| text.is_empty() || (text.len() == 1 && name.contains(text));
            entry.parameter == *parameter
                && matches!(&entry.value, IndexValue::Token { system, code } if belongs(system) && belongs(code))
        }),
        Condition::Coded(..)
        | Condition::Within(..)
        | Condition::Linked { .. }
        | Condition::LinkedFrom { .. }
        | Condition::Words(_)
        | Condition::Near { .. } => unreachable!(),
    }
}

fn test_holds(test: &Test, value: &IndexValue) -> bool {
    let is = |asked: &Option<String>, stored: &String| asked.is_none() || asked.as_ref() == Some(stored);
    match (test, value) {
        (Test::Token { system, code }, IndexValue::Token { system: s, code: c }) => is(system, s) && is(code, c),
        (Test::Reference { target }, IndexValue::Reference { target: t }) => target == t,
        (Test::Date { relation, start, end }, IndexValue::Date { start: s, end: e }) => {
            let within = s >= start && e <= end;
            match relation {
                Relation::Within => within,
                Relation::NotWithin => !within,
                Relation::Above => e > end,
                Relation::Below => s < start,
                Relation::AtLeast => e > end || within,
                Relation::AtMost => s < start || within,
                Relation::StartsAfter => s > end,
                Relation::EndsBefore => e < start,
                Relation::Overlaps => s <= end && e >= start,
            }
        }
        (Test::Number { relation, low, high, value }, IndexValue::Number { value: v }) => {
            number_holds(*relation, [*low, *high, *value], [*v, *v])
        }
        (Test::Quantity { .. }, IndexValue::Quantity { system, code, unit, value }) => {
            quantity_holds(test, [system, code, unit], [*value, *value])
        }
        (Test::Quantity { .. }, IndexValue::Range { system, code, unit, low, high }) => {
            quantity_holds(test, [system, code, unit], [*low, *high])
        }
        (Test::String { mode, text }, IndexValue::String { folded, exact }) => match mode {
            TextMode::StartsWith => folded.starts_with(text),
            TextMode::Contains => folded.contains(text),
            TextMode::EndsWith => folded.ends_with(text),
            TextMode::Whole => folded == text && !exact.is_empty(),
            TextMode::Exact => exact == text,
        },
        (Test::Uri { uri, mode }, IndexValue::Uri { uri: stored }) => match mode {
            UriMode::Exact => stored == uri,
            UriMode::Below => stored.starts_with(uri),
            UriMode::Above => uri.starts_with(stored),
        },
        (Test::Composite { parts }, IndexValue::Composite { parts: stored }) => {
            let holds = |tests: &Vec<Test>, values: &Vec<IndexValue>| {
                tests.iter().any(|test| values.iter().any(|value| test_holds(test, value)))
            };
            parts.iter().zip(stored).all(|(tests, values)| holds(tests, values))
        }
        (Test::Display { folded }, IndexValue::Display { folded: stored }) => stored.starts_with(folded),
        (Test::MediaType { base }, IndexValue::Token { code, .. }) => {
            let behind = [";", " ", "/"].map(|separator| format!("{base}{separator}"));
            code == base || behind.iter().any(|start| code.starts_with(start))
        }
        _ => false,
    }
}

fn quantity_holds(test: &Test, [s, c, u]: [&String; 3], stored: [f64; 2]) -> bool {
    let Test::Quantity { relation, low, high, value, system, code } = test else { unreachable!() };
    let searched = [*low, *high, *value];
    let is = |asked: &Option<String>, stored: &String| asked.is_none() || asked.as_ref() == Some(stored);
    let ((Some(system), Some(code)), (measure, scale)) = ((system, code), factor(s, c)) else {
        let unit = is(system, s) && (is(code, c) || (system.is_none() && is(code, u)));
        return unit && number_holds(*relation, searched, stored);
    };
    let (asked, asked_scale) = factor(system, code);
    asked == measure
        && number_holds(*relation, searched.map(|number| number * asked_scale), stored.map(|number| number * scale))
}

fn number_holds(relation: Relation, [low, high, value]: [f64; 3], [from, to]: [f64; 2]) -> bool {
    let within = low <= from && to < high;
    match relation {
        Relation::Within => within,
        Relation::NotWithin => !within,
        Relation::Above => to > value,
        Relation::Below => from < value,
        Relation::AtLeast => to >= value,
        Relation::AtMost => from <= value,
        Relation::StartsAfter => from > value,
        Relation::EndsBefore => to < value,
        Relation::Overlaps => from < high && to >= low,
    }
}

#[derive(Debug, PartialEq, PartialOrd)]
enum Sorted {
    Integer(i64),
    Float(f64),
    Text(String),
    Amount(String, f64),
}

fn amount(system: &str, code: &str, unit: &str, number: f64) -> Sorted {
    let (measure, scale) = match (system, code) {
        ("", "") => (unit.to_owned(), 1.0),
        (system, "") => factor(system, unit),
        (system, code) => factor(system, code),
    };
    Sorted::Amount(measure, number * scale)
}

fn sorted(by: &SortBy, descending: bool, stored: &Stored) -> Option<Sorted> {
    let parameter = match by {
        SortBy::LastUpdated => return Some(Sorted::Integer(stored.changed)),
        SortBy::Id => return Some(Sorted::Text(stored.id.clone())),
        SortBy::Value(parameter, _) => parameter,
    };
    let is_part = |entry: &&IndexEntry| matches!(&entry.value, IndexValue::String { exact, .. } if exact.is_empty());
    let shown = stored.index.iter().filter(|entry| entry.parameter == *parameter && !is_part(entry));
    let values = shown.map(|entry| match &entry.value {
        IndexValue::Token { code, .. } => Sorted::Text(code.clone()),
        IndexValue::Reference { target } => Sorted::Text(target.clone()),
        IndexValue::Date { start, end } => Sorted::Integer(if descending { *end } else { *start }),
        IndexValue::Number { value } => Sorted::Float(*value),
        IndexValue::Quantity { system, code, unit, value } => amount(system, code, unit, *value),
        IndexValue::Range { system, code, unit, low, high } => {
            amount(system, code, unit, if descending { *high } else { *low })
        }
        IndexValue::String { folded, .. } => Sorted::Text(folded.clone()),
        IndexValue::Uri { uri } | IndexValue::Series { concept: uri, .. } => Sorted::Text(uri.clone()),
        IndexValue::Composite { .. } | IndexValue::Display { .. } => unreachable!(),
    });
    let compare = |one: &Sorted, other: &Sorted| one.partial_cmp(other).unwrap();
    if descending { values.max_by(compare) } else { values.min_by(compare) }
}

fn compare(order: &[SortKey], one: &Stored, other: &Stored) -> Ordering {
    for key in order {
        let values = (sorted(&key.by, key.descending, one), sorted(&key.by, key.descending, other));
        let ordering = match values {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(other)) if key.descending => other.partial_cmp(&one).unwrap(),
            (Some(one), Some(other)) => one.partial_cmp(&other).unwrap(),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

async fn check_against_plain_evaluation(
    writes: Vec<(usize, Vec<IndexEntry>)>,
    searches: Vec<(Condition, Vec<SortKey>, usize)>,
) {
    let bench = Bench::new().await;
    let mut stored: BTreeMap<usize, Stored> = BTreeMap::new();
    let mut first_written = Vec::new();
    for (second, (number, mut index)) in writes.into_iter().enumerate() {
        let changed = i64::try_from(second).unwrap() * 1_000_000;
        bench.clock.advance_to(Timestamp::from_microsecond(changed).unwrap());
        let id = format!("o{number}");
        if index.is_empty() && second % 2 == 0 {
            stored.remove(&number);
            bench.delete(key("Observation", &id)).await;
            continue;
        }
        index = index
            .iter()
            .enumerate()
            .filter(|(at, entry)| !index[..*at].contains(entry))
            .map(|(_, entry)| entry.clone())
            .collect();
        bench.put(draft("Observation", &id, index.clone())).await;
        if !first_written.contains(&number) {
            first_written.push(number);
        }
        stored.insert(number, Stored { id, index, changed });
    }
    bench.put(draft("Patient", "o1", vec![entry("token", token("a", "a"))])).await;
    for (condition, order, limit) in searches {
        let in_order_of_writing = first_written.iter().filter_map(|number| stored.get(number));
        let mut expected: Vec<_> = in_order_of_writing.filter(|stored| holds(&condition, stored)).collect();
        expected.sort_by(|one, other| compare(&order, one, other));
        let expected: Vec<_> = expected.into_iter().map(|stored| stored.id.clone()).collect();
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = bench.find(query(condition.clone(), order.clone(), after, limit)).await;
            assert!(page.versions.len() <= limit);
            found.extend(page.versions.into_iter().map(|version| version.key.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{condition:?} by {order:?}");
        let count = bench.store.read(move |reader| reader.count(ResourceType::OBSERVATION, &condition)).await;
        assert_eq!(usize::try_from(count.unwrap()).unwrap(), expected.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_search_finds_what_a_plain_evaluation_finds_in_the_same_order(
        writes in prop::collection::vec((0_usize..40, prop::collection::vec(values(), 0..6)), 1..60),
        searches in prop::collection::vec((conditions(), orders(), 1_usize..20), 24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check_against_plain_evaluation(writes, searches));
    }
}
