mod hierarchies;
mod levels;
mod oracle;
mod special;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use http::{Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::{by_get, by_post};
use crate::clock::Clock;
use crate::database::Database;
use crate::fhir::api::definitions;
use crate::fhir::api::error::ApiError;
use crate::fhir::api::operations;
use crate::fhir::api::resource::{Rules, Sent};
use crate::fhir::api::state::{ApiSettings, ApiState};
use crate::fhir::search::registry::Registry;
use crate::fhir::store::interface::Store;
use crate::fhir::store::sqlite::{SCHEMA, SqliteStore};
use crate::fhir::store::{Draft, Method};
use crate::fhir::structure::Validation;
use crate::fhir::terminology;

const BASE_URL: &str = "http://here/fhir";

struct Bench {
    state: ApiState,
    clock: Clock,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::stopped("2024-06-01T00:00:00Z".parse().unwrap());
        let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
        let store: Arc<dyn Store> = Arc::new(
            SqliteStore::open(database, clock.clone()).await.unwrap().with_terminology(terminology::search::codes),
        );
        let settings = ApiSettings { base_url: Some(BASE_URL.to_owned()), ..ApiSettings::default() };
        let state = ApiState::new(store, &clock, settings);
        Self { state, clock, _directory: directory }
    }

    async fn with(resources: &[&str]) -> Self {
        let bench = Self::new().await;
        for resource in resources {
            bench.put(resource).await;
        }
        bench
    }

    async fn put(&self, resource: &str) {
        let registry = self.state.registry().await.unwrap();
        let draft = draft_by(&registry, resource);
        self.state.store.write(move |writer| definitions::put(writer, draft)).await.unwrap();
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let router = Router::new()
            .route("/fhir", get(by_get))
            .route("/fhir/{type}", get(by_get))
            .route("/fhir/{type}/{id}/{member}", get(by_get))
            .nest("/fhir", operations::routes())
            .route("/fhir/{type}/_search", post(by_post))
            .with_state(self.state.clone());
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn get(&self, search: &str) -> (StatusCode, Value) {
        let slash = if search.is_empty() || search.starts_with(['?', '/']) { "" } else { "/" };
        self.send(Request::get(format!("/fhir{slash}{search}")).body(Body::empty()).unwrap()).await
    }

    async fn bundle(&self, search: &str) -> Value {
        let (status, bundle) = self.get(search).await;
        assert_eq!(status, StatusCode::OK, "{search}: {bundle}");
        bundle
    }

    #[track_caller]
    fn ids(bundle: &Value, mode: &str) -> Vec<String> {
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["search"]["mode"] == mode)
            .map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn check(&self, search: &str, matches: &[&str]) {
        assert_eq!(Self::ids(&self.bundle(search).await, "match"), matches, "{search}");
    }

    async fn check_refused(&self, search: &str, expected: &str) {
        let (status, outcome) = self.get(search).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{search}: {outcome}");
        assert_eq!(outcome["resourceType"], "OperationOutcome");
        let text = outcome["issue"][0]["diagnostics"].as_str().unwrap();
        assert!(text.contains(expected), "{search}: {text}");
    }
}

fn draft(resource: &str) -> Draft {
    draft_by(Registry::r4(), resource)
}

fn draft_by(registry: &Arc<Registry>, resource: &str) -> Draft {
    let rules = Rules { base_url: BASE_URL, validation: Validation::Json, registry };
    let sent = Sent::read(resource.as_bytes(), rules).unwrap();
    let id = sent.id.clone().unwrap();
    sent.into_draft(id, Method::Put)
}

fn observation(id: &str, date: &str, rest: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final","effectiveDateTime":"{date}",
            "code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}}{rest}}}"#
    )
}

fn link<'b>(bundle: &'b Value, relation: &str) -> Option<&'b str> {
    let links = bundle["link"].as_array()?;
    links.iter().find(|link| link["relation"] == relation)?["url"].as_str()
}

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","identifier":[{"system":"mrn","value":"9"}],
    "name":[{"family":"Müller"}],"managingOrganization":{"reference":"Organization/o"}}"#;
const ORGANIZATION: &str = r#"{"resourceType":"Organization","id":"o","partOf":{"reference":"Organization/o"}}"#;
const DEVICE: &str = r#"{"resourceType":"Device","id":"d","patient":{"reference":"Patient/p"}}"#;

#[tokio::test]
async fn a_month_as_lower_bound_finds_what_its_first_day_finds() {
    let bench = Bench::with(&[
        &observation("a", "2023-12-31T23:59:59Z", ""),
        &observation("b", "2024-01-01T00:00:00Z", ""),
        &observation("c", "2024-01-20", ""),
        &observation("d", "2024-02", ""),
        &observation("e", "2024", ""),
    ])
    .await;
    bench.check("Observation?date=ge2024-01", &["b", "c", "d", "e"]).await;
    bench.check("Observation?date=ge2024-01-01", &["b", "c", "d", "e"]).await;
    bench.check("Observation?date=2024-01", &["b", "c"]).await;
    bench.check("Observation?date=lt2024", &["a"]).await;
}

#[tokio::test]
async fn dates_are_sorted_as_instants_whatever_their_offset() {
    let bench = Bench::with(&[
        &observation("late", "2024-01-01T10:00:00-05:00", ""),
        &observation("early", "2024-01-01T12:00:00+05:00", ""),
        &observation("middle", "2024-01-01T11:00:00Z", ""),
    ])
    .await;
    bench.check("Observation?_sort=date", &["early", "middle", "late"]).await;
    bench.check("Observation?_sort=-date", &["late", "middle", "early"]).await;
}

#[tokio::test]
async fn a_quantity_needs_system_and_code_to_agree() {
    let quantity = |unit: &str| format!(r#","valueQuantity":{{"value":5{unit}}}"#);
    let bench = Bench::with(&[
        &observation("ucum", "2024", &quantity(r#","system":"http://unitsofmeasure.org","code":"mg""#)),
        &observation("other", "2024", &quantity(r#","system":"http://other","code":"mg""#)),
        &observation("none", "2024", &quantity("")),
        &observation("unit", "2024", &quantity(r#","unit":"mg""#)),
    ])
    .await;
    bench.check("Observation?value-quantity=5%7Chttp://unitsofmeasure.org%7Cmg", &["ucum"]).await;
    bench.check("Observation?value-quantity=5%7C%7Cmg", &["ucum", "other", "unit"]).await;
    bench.check("Observation?value-quantity=5", &["ucum", "other", "none", "unit"]).await;
}

#[tokio::test]
async fn a_number_means_its_written_precision() {
    let probability = |id: &str, value: &str| {
        format!(r#"{{"resourceType":"RiskAssessment","id":"{id}","prediction":[{{"probabilityDecimal":{value}}}]}}"#)
    };
    let bench = Bench::with(&[
        &probability("below", "99.4"),
        &probability("low", "99.5"),
        &probability("exact", "100"),
        &probability("high", "100.5"),
    ])
    .await;
    bench.check("RiskAssessment?probability=100", &["low", "exact"]).await;
    bench.check("RiskAssessment?probability=100.0", &["exact"]).await;
    bench.check("RiskAssessment?probability=ne100", &["below", "high"]).await;
}

#[tokio::test]
async fn escaped_separators_belong_to_the_value() {
    let coded = |id: &str, code: &str| {
        format!(r#"{{"resourceType":"Basic","id":"{id}","code":{{"coding":[{{"system":"s","code":"{code}"}}]}}}}"#)
    };
    let bench =
        Bench::with(&[&coded("bar", "a|b"), &coded("dollar", "a$b"), &coded("comma", "a,b"), &coded("a", "a")]).await;
    bench.check(r"Basic?code=s%7Ca%5C%7Cb", &["bar"]).await;
    bench.check(r"Basic?code=a%5C$b", &["dollar"]).await;
    bench.check(r"Basic?code=a%5C,b", &["comma"]).await;
    bench.check(r"Basic?code=a%5C,b,a", &["comma", "a"]).await;
}

#[tokio::test]
async fn what_is_not_understood_is_refused_with_400() {
    let bench = Bench::with(&[PATIENT]).await;
    bench.check_refused("Patient?name:nonsense=x", "`:nonsense` is not a modifier").await;
    bench.check_refused("Patient?nam=x", "did you mean `name`?").await;
    bench.check_refused("Patient?_has:Observation:patient:code-value-quantity=x", "a value for each part").await;
    bench.check_refused("Patient?birthdate=soon", "expected a date").await;
    bench.check_refused("Patient?_cursor=00112233445566778899", "does not belong").await;
    let (status, _) = bench.get("Nothing?x=y").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn lenient_handling_reports_what_it_leaves_out() {
    let bench = Bench::with(&[PATIENT]).await;
    let request = Request::get("/fhir/Patient?nam=x&identifier=9").header("Prefer", "return=minimal; handling=lenient");
    let (status, bundle) = bench.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(link(&bundle, "self"), Some("http://here/fhir/Patient?identifier=9"));
    let entries = bundle["entry"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["search"]["mode"], "outcome");
    assert!(entries[1]["resource"]["issue"][0]["diagnostics"].as_str().unwrap().contains("`nam`"));
}

#[tokio::test]
async fn pages_show_every_resource_once_whatever_the_order_and_while_others_arrive() {
    for sort in [
        "",
        "_sort=date",
        "_sort=-date",
        "_sort=_lastUpdated",
        "_sort=-_lastUpdated",
        "_sort=_id,-date",
        "_sort=value-quantity",
        "_sort=code",
    ] {
        let bench = Bench::new().await;
        let mut expected = Vec::new();
        for number in 0..11 {
            let id = format!("o{number}");
            let value = format!(r#","valueQuantity":{{"value":{}}}"#, number % 3);
            bench
                .put(&observation(
                    &id,
                    &format!("2024-01-0{}", 1 + number % 4),
                    if number % 2 == 0 { &value } else { "" },
                ))
                .await;
            expected.push(id);
        }
        let mut found = Vec::new();
        let mut next = Some(format!("Observation?status=final&_count=3&{sort}"));
        while let Some(search) = next {
            let bundle = bench.bundle(&search).await;
            found.extend(Bench::ids(&bundle, "match"));
            next = link(&bundle, "next").map(|url| url.strip_prefix("http://here/fhir/").unwrap().to_owned());
            let now = bench.clock.now() + jiff::SignedDuration::from_secs(1);
            bench.clock.advance_to(now);
            bench
                .put(&observation(
                    &format!("new{}", found.len()),
                    "2024-01-02",
                    r#","status":"final""#.get(..0).unwrap(),
                ))
                .await;
            assert!(found.len() < 40, "{sort}: pages without end");
        }
        let mut old: Vec<_> = found.iter().filter(|id| id.starts_with('o')).cloned().collect();
        old.sort_by_key(|id| id.trim_start_matches('o').parse::<u8>().unwrap());
        assert_eq!(old, expected, "{sort}");
    }
}

#[tokio::test]
async fn links_say_self_first_and_next() {
    let observations: Vec<_> = ["a", "b", "c"].map(|id| observation(id, "2024", "")).to_vec();
    let bench = Bench::with(&observations.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let first = bench.bundle("Observation?status=final&_count=2").await;
    assert_eq!(link(&first, "self"), Some("http://here/fhir/Observation?status=final&_count=2"));
    assert_eq!(link(&first, "first"), link(&first, "self"));
    assert_eq!(first["total"], Value::Null);
    let next = link(&first, "next").unwrap();
    let second = bench.bundle(next.strip_prefix("http://here/fhir/").unwrap()).await;
    assert_eq!(link(&second, "self"), Some(next));
    assert_eq!(link(&second, "next"), None);
    assert_eq!(Bench::ids(&second, "match"), ["c"]);
    let tampered = next.replace("status=final", "status=amended");
    bench.check_refused(tampered.strip_prefix("http://here/fhir/").unwrap(), "does not belong").await;
}

#[tokio::test]
async fn a_total_is_told_when_cheap_or_asked() {
    let observations: Vec<_> = ["a", "b", "c"].map(|id| observation(id, "2024", "")).to_vec();
    let bench = Bench::with(&observations.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (search, total, entries) in [
        ("Observation", Some(3), 3),
        ("Observation?_count=2", None, 2),
        ("Observation?_count=2&_total=accurate", Some(3), 2),
        ("Observation?_total=none", None, 3),
        ("Observation?_count=0", Some(3), 0),
        ("Observation?_summary=count", Some(3), 0),
        ("Observation?status=amended", Some(0), 0),
    ] {
        let bundle = bench.bundle(search).await;
        assert_eq!(bundle["total"].as_u64(), total, "{search}");
        assert_eq!(bundle["entry"].as_array().map_or(0, Vec::len), entries, "{search}");
    }
}

#[tokio::test]
async fn what_matches_point_to_comes_along_once() {
    let subject = r#","subject":{"reference":"Patient/p"},"device":{"reference":"http://here/fhir/Device/d"}"#;
    let missing = r#","subject":{"reference":"Patient/gone"}"#;
    let bench = Bench::with(&[
        PATIENT,
        ORGANIZATION,
        DEVICE,
        &observation("a", "2024", subject),
        &observation("b", "2024", subject),
        &observation("c", "2024", missing),
    ])
    .await;
    for (include, expected) in [
        ("_include=Observation:subject", vec!["p"]),
        ("_include=Observation:subject:Group", vec![]),
        ("_include=Observation:subject&_include=Observation:device", vec!["p", "d"]),
        ("_include=*", vec!["d", "p"]),
        ("_include=Observation:subject&_include=Patient:organization", vec!["p"]),
        ("_include=Observation:subject&_include:iterate=Patient:organization", vec!["p", "o"]),
        (
            "_include=Observation:subject&_include:iterate=Organization:partof&_include:iterate=Patient:organization",
            vec!["p", "o"],
        ),
    ] {
        let bundle = bench.bundle(&format!("Observation?{include}")).await;
        assert_eq!(Bench::ids(&bundle, "match"), ["a", "b", "c"]);
        assert_eq!(Bench::ids(&bundle, "include"), expected, "{include}");
    }
}

#[tokio::test]
async fn a_reference_to_a_version_brings_that_version_and_a_canonical_url_what_has_it() {
    let questionnaire = |id: &str, version: &str| {
        format!(r#"{{"resourceType":"Questionnaire","id":"{id}","url":"http://q","version":"{version}"}}"#)
    };
    let answers = |id: &str, canonical: &str| {
        format!(r#"{{"resourceType":"QuestionnaireResponse","id":"{id}","questionnaire":"{canonical}"}}"#)
    };
    let bench = Bench::with(&[
        PATIENT,
        PATIENT,
        &observation("old", "2024", r#","subject":{"reference":"http://here/fhir/Patient/p/_history/1"}"#),
        &observation("new", "2024", r#","subject":{"reference":"Patient/p"}"#),
        &observation("same", "2024", r#","subject":{"reference":"Patient/p/_history/2"}"#),
        &observation("never", "2024", r#","subject":{"reference":"Patient/p/_history/3"}"#),
        &questionnaire("one", "1"),
        &answers("first", "http://q|1"),
        &answers("any", "http://q"),
        &answers("none", "http://q|3"),
    ])
    .await;
    bench.clock.advance_to("2024-06-02T00:00:00Z".parse().unwrap());
    bench.put(&questionnaire("two", "2")).await;
    let along = async |search: &str| -> Vec<String> {
        let bundle = bench.bundle(search).await;
        let entries = bundle["entry"].as_array().unwrap().iter().filter(|entry| entry["search"]["mode"] == "include");
        let named = entries.map(|entry| {
            let resource = &entry["resource"];
            format!("{}/{}", resource["id"], resource["meta"]["versionId"]).replace('"', "")
        });
        named.collect()
    };
    for (id, expected) in [
        ("old", vec!["p/1"]),
        ("new", vec!["p/2"]),
        ("new,same", vec!["p/2"]),
        ("new,old", vec!["p/1", "p/2"]),
        ("never", vec![]),
    ] {
        assert_eq!(along(&format!("Observation?_id={id}&_include=Observation:subject")).await, expected, "{id}");
    }
    for (id, expected) in [("first", vec!["one/1"]), ("any", vec!["two/1"]), ("none", vec![])] {
        let search = format!("QuestionnaireResponse?_id={id}&_include=QuestionnaireResponse:questionnaire");
        assert_eq!(along(&search).await, expected, "{id}");
    }
}

#[tokio::test]
async fn what_points_to_matches_comes_along() {
    let subject = r#","subject":{"reference":"Patient/p"}"#;
    let bench =
        Bench::with(&[PATIENT, DEVICE, &observation("a", "2024", subject), &observation("b", "2024", "")]).await;
    let bundle = bench.bundle("Patient?_revinclude=Observation:subject&_revinclude=Device:patient").await;
    assert_eq!(Bench::ids(&bundle, "match"), ["p"]);
    assert_eq!(Bench::ids(&bundle, "include"), ["a", "d"]);
    let bundle = bench.bundle("Patient?_revinclude=Observation:*").await;
    assert_eq!(Bench::ids(&bundle, "include"), ["a"]);
}

#[tokio::test]
async fn more_than_may_come_along_is_cut_and_said() {
    let bench = Bench::with(&[PATIENT]).await;
    let drafts: Vec<_> = (0..1_001)
        .map(|number| {
            let id = format!("o{number}");
            let text = observation(&id, "2024", r#","subject":{"reference":"Patient/p"}"#);
            draft(&text)
        })
        .collect();
    let written = bench.state.store.write(move |writer| {
        drafts.into_iter().try_for_each(|draft| writer.put(draft).map(drop)).map_err(ApiError::from)
    });
    written.await.unwrap();
    let bundle = bench.bundle("Patient?_revinclude=Observation:subject").await;
    assert_eq!(Bench::ids(&bundle, "include").len(), 1_000);
    let outcome = bundle["entry"].as_array().unwrap().last().unwrap();
    assert_eq!(outcome["search"]["mode"], "outcome");
    assert!(outcome["resource"]["issue"][0]["diagnostics"].as_str().unwrap().contains("left out"));
}

#[tokio::test]
async fn chains_go_both_ways() {
    let subject = r#","subject":{"reference":"Patient/p"}"#;
    let bench = Bench::with(&[
        PATIENT,
        ORGANIZATION,
        DEVICE,
        &observation("a", "2024", subject),
        &observation("b", "2024", ""),
    ])
    .await;
    bench.check("Observation?subject:Patient.identifier=mrn%7C9", &["a"]).await;
    bench.check("Observation?subject.name=muller", &["a"]).await;
    bench.check("Observation?subject:Patient.name=nobody", &[]).await;
    bench.check("Observation?patient.organization._id=o", &["a"]).await;
    bench.check("Patient?_has:Observation:patient:code=8867-4", &["p"]).await;
    bench.check("Patient?_has:Observation:patient:code=1", &[]).await;
    bench.check("Patient?_has:Device:patient:_id=d&name=M%C3%9Cl", &["p"]).await;
}

#[tokio::test]
async fn references_are_found_by_id_by_type_and_by_the_address_of_this_server() {
    let subject = r#","subject":{"reference":"Patient/p","identifier":{"system":"mrn","value":"9"}}"#;
    let bench = Bench::with(&[&observation("a", "2024", subject), &observation("b", "2024", "")]).await;
    for search in [
        "subject=p",
        "subject=Patient/p",
        "subject:Patient=p",
        "patient=p",
        "subject=http://here/fhir/Patient/p",
        "subject:identifier=mrn%7C9",
        "subject:missing=false",
    ] {
        bench.check(&format!("Observation?{search}"), &["a"]).await;
    }
    bench.check("Observation?subject:missing=true", &["b"]).await;
    bench.check("Observation?subject=Group/p", &[]).await;
}

#[tokio::test]
async fn a_form_asks_like_a_url() {
    let bench = Bench::with(&[PATIENT]).await;
    let form = |content_type: &str, url: &str, body: &str| {
        let request = Request::post(url).header("content-type", content_type);
        request.body(Body::from(body.to_owned())).unwrap()
    };
    let media_type = "application/x-www-form-urlencoded; charset=utf-8";
    let (status, bundle) = bench.send(form(media_type, "/fhir/Patient/_search?_count=1", "name=m%C3%BCller")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(Bench::ids(&bundle, "match"), ["p"]);
    assert_eq!(link(&bundle, "self"), Some("http://here/fhir/Patient?_count=1&name=m%C3%BCller"));
    let (status, _) = bench.send(form("application/json", "/fhir/Patient/_search", "{}")).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn stored_bodies_come_back_to_the_byte() {
    let bench = Bench::with(&[&observation("a", "2024", r#","valueQuantity":{"value":65.00}"#)]).await;
    let request = Request::get("/fhir/Observation").body(Body::empty()).unwrap();
    let router = Router::new().route("/fhir/{type}", get(by_get)).with_state(bench.state.clone());
    let body = to_bytes(router.oneshot(request).await.unwrap().into_body(), 1 << 20).await.unwrap();
    assert!(String::from_utf8(body.to_vec()).unwrap().contains(r#""valueQuantity":{"value":65.00}"#));
}
