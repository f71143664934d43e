//! Histories against a plain list of everything that was written.

use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::select;

use super::{OF_RESOURCE, OF_TYPE};
use crate::clock::Clock;
use crate::database::Database;
use crate::fhir::store::interface::{Store, StoreError};
use crate::fhir::store::sqlite::{SCHEMA, SqliteStore};
use crate::fhir::store::{Basis, Cursor, Draft, DraftBody, HistoryQuery, Lineage, Method, ResourceKey};
use crate::r4::resource_type::ResourceType;

/// What a test does next.
#[derive(Clone, Debug)]
enum Step {
    Put(ResourceKey),
    Delete(ResourceKey),
    /// Milliseconds pass.
    Wait(i64),
}

/// A version as the plain list has it.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    key: ResourceKey,
    number: u64,
    changed: i64,
    until: i64,
    method: Method,
}

struct Bench {
    store: Arc<dyn Store>,
    clock: Clock,
    lines: Vec<Line>,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::stopped("2026-01-01T00:00:00Z".parse().unwrap());
        let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
        let store = Arc::new(SqliteStore::open(database, clock.clone()).await.unwrap());
        Self { store, clock, lines: Vec::new(), _directory: directory }
    }

    async fn take(&mut self, step: Step) {
        let version = match step {
            Step::Wait(millis) => {
                return self.clock.advance_to(self.clock.now() + SignedDuration::from_millis(millis));
            }
            Step::Put(key) => {
                let body = DraftBody {
                    head: Bytes::from_static(br#"{"resourceType":"X","#),
                    meta_rest: Bytes::new(),
                    tail: Bytes::from_static(b"}"),
                };
                let draft = Draft { key, method: Method::Put, body, index: Vec::new(), basis: Basis::default() };
                Some(self.store.write(move |writer| writer.put(draft)).await.map_err(described).unwrap())
            }
            Step::Delete(key) => self.store.write(move |writer| writer.delete(&key)).await.map_err(described).unwrap(),
        };
        let Some(version) = version else { return };
        let changed = version.last_updated.as_microsecond();
        for line in self.lines.iter_mut().filter(|line| line.key == version.key && line.until == i64::MAX) {
            line.until = changed;
        }
        let (key, number, method) = (version.key, version.number, version.method);
        self.lines.push(Line { key, number, changed, until: i64::MAX, method });
    }

    /// Key and number of the versions of all pages; `between` runs after each page.
    async fn pages(&mut self, mut query: HistoryQuery, mut between: Vec<Step>) -> Vec<(ResourceKey, u64)> {
        let mut shown = Vec::new();
        loop {
            let asked = query.clone();
            let page = self.store.read(move |reader| reader.history(&asked)).await.map_err(described).unwrap();
            assert!(page.versions.len() <= query.limit);
            for version in &page.versions {
                let line = self.lines.iter().find(|line| line.key == version.key && line.number == version.number);
                let line = line.unwrap();
                assert_eq!((line.method, line.changed), (version.method, version.last_updated.as_microsecond()));
                assert_eq!(version.body.is_none(), version.method == Method::Delete);
            }
            shown.extend(page.versions.into_iter().map(|version| (version.key, version.number)));
            query.after = page.next;
            if query.after.is_none() {
                return shown;
            }
            if let Some(step) = between.pop() {
                self.take(step).await;
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
fn described(error: StoreError) -> String {
    error.to_string()
}

fn fits(query: &HistoryQuery, line: &Line) -> bool {
    let is_of = match &query.of {
        Lineage::Resource(key) => *key == line.key,
        Lineage::Type(resource_type) => *resource_type == line.key.resource_type,
        Lineage::System => true,
    };
    let was_current = query.current_in.is_none_or(|(start, end)| line.changed <= end && line.until > start);
    is_of && was_current && (query.since..=query.until).contains(&line.changed)
}

fn keys() -> impl Strategy<Value = ResourceKey> {
    (select(vec!["Patient", "Observation", "VisionPrescription"]), select(vec!["a", "b", "c"]))
        .prop_map(|(name, id)| ResourceKey { resource_type: ResourceType::parse(name).unwrap(), id: id.to_owned() })
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => keys().prop_map(Step::Put),
        1 => keys().prop_map(Step::Delete),
        2 => (1_i64..20).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..most)
}

fn queries() -> impl Strategy<Value = HistoryQuery> {
    let first: i64 = 1_767_225_600_000_000;
    let time = move || (0_i64..200).prop_map(move |millis| first + millis * 1_000);
    let of = prop_oneof![
        keys().prop_map(Lineage::Resource),
        keys().prop_map(|key| Lineage::Type(key.resource_type)),
        Just(Lineage::System),
    ];
    let current_in = (time(), 0_i64..50_000).prop_map(|(start, length)| (start, start + length));
    (of, prop::option::of(time()), prop::option::of(time()), prop::option::of(current_in), 1_usize..6).prop_map(
        |(of, since, until, current_in, limit)| HistoryQuery {
            of,
            since: since.unwrap_or(i64::MIN),
            until: until.unwrap_or(i64::MAX),
            current_in,
            after: None,
            limit,
        },
    )
}

async fn check(before: Vec<Step>, queries: Vec<HistoryQuery>, between: Vec<Step>) {
    let mut bench = Bench::new().await;
    for step in before {
        bench.take(step).await;
    }
    for query in queries {
        let known = bench.lines.clone();
        let shown = bench.pages(query.clone(), between.clone()).await;
        for (place, version) in shown.iter().enumerate() {
            assert!(!shown[..place].contains(version), "{version:?} twice: {shown:?}");
            let line = bench.lines.iter().find(|line| (&line.key, line.number) == (&version.0, version.1)).unwrap();
            // A version that stops being current between two pages, in a time that is not over, may be there or not.
            assert!(fits(&query, line) || known.iter().any(|line| fits(&query, line)), "{line:?} for {query:?}");
        }
        let times: Vec<i64> = shown
            .iter()
            .map(|(key, number)| bench.lines.iter().find(|line| line.key == *key && line.number == *number).unwrap())
            .map(|line| line.changed)
            .collect();
        assert!(times.is_sorted_by(|newer, older| newer >= older), "{shown:?}");
        let still_fits = |line: &Line| {
            let now = bench.lines.iter().find(|now| (&now.key, now.number) == (&line.key, line.number));
            fits(&query, line) && fits(&query, now.unwrap())
        };
        for line in known.iter().filter(|line| still_fits(line)) {
            assert!(shown.contains(&(line.key.clone(), line.number)), "{line:?} is missing for {query:?}: {shown:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_version_comes_once_and_newest_first_while_others_are_written(
        before in steps(60),
        queries in prop::collection::vec(queries(), 8),
        between in steps(6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(before, queries, between));
    }
}

#[tokio::test]
async fn no_history_looks_at_more_than_its_range_of_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    let plans = database.read(|connection| {
        let plan = |sql: &&str| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = statement.query_map([1; 8], |row| row.get::<_, String>(3)).unwrap();
            steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
        };
        (OF_RESOURCE.iter().map(plan).collect::<Vec<_>>(), OF_TYPE.iter().map(plan).collect::<Vec<_>>())
    });
    let (of_resource, of_type) = plans.await.unwrap();
    for plan in of_resource.iter().chain(&of_type) {
        assert!(plan.contains("SEARCH") && !plan.contains("SCAN") && !plan.contains("FOR ORDER BY"), "{plan}");
    }
    for (plan, index) in of_type.iter().zip(["resources_by_change", "deletions_by_change", "history_by_change"]) {
        assert!(plan.contains(index) && plan.contains("changed>? AND changed<?"), "{plan}");
    }
}

#[tokio::test]
async fn a_cursor_of_something_else_is_refused() {
    let bench = Bench::new().await;
    for text in ["", "1.2", "1.2.x", "1.2.3.4", "{\"k\":[],\"n\":1}"] {
        let after = Some(Cursor(text.to_owned()));
        let query =
            HistoryQuery { of: Lineage::System, since: i64::MIN, until: i64::MAX, current_in: None, after, limit: 1 };
        let refused = bench.store.read(move |reader| reader.history(&query)).await;
        assert!(matches!(refused, Err(StoreError::Cursor)), "{text}");
    }
}
