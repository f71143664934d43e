//! Histories of a resource, of a type and of everything, as <https://hl7.org/fhir/R4/http.html#history> has them.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Fhir, link};
use crate::support::process::Vitalwire;

/// `Type/id/version method` of each entry.
fn lines(bundle: &Value) -> Vec<String> {
    assert_eq!(bundle["type"], "history");
    let entries = bundle["entry"].as_array().map_or(&[][..], Vec::as_slice);
    entries
        .iter()
        .map(|entry| {
            let url = entry["fullUrl"].as_str().unwrap();
            let key: Vec<&str> = url.rsplitn(3, '/').collect();
            let version = entry["response"]["etag"].as_str().unwrap().trim_start_matches("W/").trim_matches('"');
            let method = entry["request"]["method"].as_str().unwrap();
            assert_eq!(entry.get("resource").is_none(), method == "DELETE");
            format!("{}/{}/{version} {method}", key[1], key[0])
        })
        .collect()
}

/// All entries, page by page; `between` is put after each page.
async fn pages(fhir: &Fhir, path: &str, between: &Value) -> Vec<String> {
    let (mut found, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(page) = next {
        let bundle = fhir.get(&page).await.check(200).json();
        found.extend(lines(&bundle));
        assert!(found.len() < 100, "pages without end");
        next = link(&bundle, "next");
        fhir.put(between).await;
    }
    found
}

/// A patient who is written twice and deleted, another, and an Observation that is written twice.
async fn seed(fhir: &Fhir) {
    let patient = |id: &str| json!({ "resourceType": "Patient", "id": id });
    let observation = json!({ "resourceType": "Observation", "id": "o", "status": "final", "code": { "text": "x" } });
    fhir.put(&patient("p")).await.check(201);
    fhir.put(&observation).await.check(201);
    fhir.put(&patient("p")).await.check(200);
    fhir.put(&patient("q")).await.check(201);
    fhir.put(&observation).await.check(200);
    fhir.raw("DELETE", "Patient/p", &[], "").await.check(204);
}

#[tokio::test]
async fn a_type_and_the_system_have_histories_that_show_every_version_once() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    assert_eq!(fhir.get("Patient/_history").await.check(200).json()["total"], 0);
    seed(&fhir).await;

    let patients = fhir.get("Patient/_history").await.check(200).json();
    let mut found = lines(&patients);
    assert_eq!((found.len(), &patients["total"]), (4, &json!(4)));
    found.sort();
    assert_eq!(found, ["Patient/p/1 PUT", "Patient/p/2 PUT", "Patient/p/3 DELETE", "Patient/q/1 PUT"]);
    assert_eq!(lines(&fhir.get("Observation/_history").await.check(200).json()).len(), 2);

    let times = |bundle: &Value| -> Vec<String> {
        let entries = bundle["entry"].as_array().unwrap().iter();
        entries.map(|entry| entry["response"]["lastModified"].as_str().unwrap().to_owned()).collect()
    };
    let system = fhir.get("_history").await.check(200).json();
    assert!(times(&system).is_sorted_by(|newer, older| newer >= older), "{system}");
    let mut everything = lines(&system);
    everything.sort();
    assert_eq!(everything.len(), 6);

    let device = json!({ "resourceType": "Device", "id": "busy" });
    let mut paged = pages(&fhir, "_history?_count=2", &device).await;
    paged.retain(|line| !line.starts_with("Device"));
    paged.sort();
    assert_eq!(paged, everything);
    let again = json!({ "resourceType": "Patient", "id": "q" });
    let mut paged = pages(&fhir, "Patient/_history?_count=1", &again).await;
    paged.retain(|line| !line.starts_with("Patient/q/") || line == "Patient/q/1 PUT");
    paged.sort();
    assert_eq!(paged, found);
}

#[tokio::test]
async fn times_narrow_a_history() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    let time = |path: &'static str| {
        let fhir = &fhir;
        async move { fhir.get(path).await.check(200).json()["meta"]["lastUpdated"].as_str().unwrap().to_owned() }
    };
    let (first, last) = (time("Patient/p/_history/1").await, time("Observation/o").await);
    let shown = async |query: String| lines(&fhir.get(&query).await.check(200).json());
    assert_eq!(shown(format!("_history?_since={first}")).await.len(), 6, "the instant itself counts");
    assert_eq!(shown(format!("_history?_before={first}")).await, [""; 0], "the instant itself does not count");
    assert_eq!(shown("_history?_since=2999-01-01T00:00:00Z".to_owned()).await, [""; 0]);
    let late = shown(format!("Observation/_history?_since={last}")).await;
    assert!(late.contains(&"Observation/o/2 PUT".to_owned()), "{late:?}");
    let p = shown(format!("Patient/p/_history?_at=ge{last}")).await;
    assert_eq!(p.first().map(String::as_str), Some("Patient/p/3 DELETE"));
    let now = &last[..4];
    assert_eq!(shown(format!("_history?_at={now}")).await.len(), 6, "each was current at some time in the year");
    assert_eq!(shown("_history?_at=1999".to_owned()).await, [""; 0]);
    let mut end = shown("_history?_at=2999-01-01".to_owned()).await;
    end.sort();
    assert_eq!(end, ["Observation/o/2 PUT", "Patient/p/3 DELETE", "Patient/q/1 PUT"], "what is current still is then");
}

#[tokio::test]
async fn what_is_not_understood_never_widens_a_history() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (path, code, says) in [
        ("_history?_since=2026", "value", "an instant"),
        ("_history?_before=2026-01-01", "value", "an instant"),
        ("_history?_at=lately", "value", "a date"),
        ("_history?_at=ne2026", "value", "a date"),
        ("_history?_count=x", "value", "a number"),
        ("_history?_count=1&_count=2", "value", "only once"),
        ("Patient/_history?name=x", "not-supported", "_since"),
        ("Patient/p/_history?_list=1", "not-supported", "_since"),
        ("_history?_cursor=0011223344556677", "value", "`_cursor`"),
    ] {
        fhir.get(path).await.check_outcome(400, code, says);
    }
    fhir.get("Patient/never/_history").await.check_outcome(404, "not-found", "never was");
    fhir.get("Nobody/_history").await.check_outcome(404, "not-found", "no resource type");
    let first = fhir.get("_history?_count=1&_since=2020-01-01T00:00:00Z").await.check(200).json();
    let next = link(&first, "next").unwrap();
    fhir.get(&next.replace("_count=1", "_count=3")).await.check(200);
    fhir.get(&next.replace("2020", "2021")).await.check_outcome(400, "value", "`_cursor`");
    fhir.get(&next.replace("/_history", "/Patient/_history")).await.check_outcome(400, "value", "`_cursor`");
    for path in ["_history", "Patient/_history", "Patient/p/_history"] {
        assert_eq!(fhir.raw("HEAD", path, &[], "").await.check(200).text, "");
        assert_eq!(fhir.raw("OPTIONS", path, &[], "").await.check(204).header("allow"), "GET, HEAD, OPTIONS");
        fhir.raw("DELETE", path, &[], "").await.check_outcome(405, "not-supported", "GET");
    }
}

#[tokio::test]
async fn bundles_read_histories_too() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for kind in ["batch", "transaction"] {
        let urls = ["_history?_count=2", "Patient/_history", "Patient/p/_history"];
        let entries = urls.map(|url| json!({ "request": { "method": "GET", "url": url } }));
        let answer = fhir.bundle(kind, &entries).await.check(200).json();
        let found = |at: usize| lines(&answer["entry"][at]["resource"]);
        assert_eq!((found(0).len(), found(1).len(), found(2).len()), (2, 4, 3), "{answer}");
    }
    let entries = [json!({ "request": { "method": "GET", "url": "Patient/_history?x=y" } })];
    fhir.bundle("transaction", &entries).await.check_outcome(400, "not-supported", "_since");
    assert_eq!(fhir.bundle("batch", &entries).await.check(200).entry_statuses(), ["400"]);
}
