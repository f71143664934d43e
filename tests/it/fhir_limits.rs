//! Every bound of the FHIR service refuses by itself, in its own words; and what is refused costs others nothing.

use std::io::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Fhir, entry_ids, link};
use crate::support::process::Vitalwire;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

const TIGHT: &str = r#"
[fhir.limits]
url_bytes_max = 2000
header_bytes_max = 2000
bundle_entries_max = 10
count_max = 5
"#;

/// A server with small bounds and bodies of at most 100 kB.
fn tight(directory: &std::path::Path) -> Vitalwire {
    let config = format!("{SERVICE}body_bytes_max = 100000\n{TIGHT}");
    Vitalwire::serve(directory, &config)
}

#[tokio::test]
async fn bodies_urls_and_headers_have_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let product = tight(directory.path());
    let fhir = product.fhir();
    let patient = |bytes: usize| json!({ "resourceType": "Patient", "name": [{ "family": "x".repeat(bytes) }] });
    fhir.raw("POST", "Patient", &[], patient(90_000).to_string()).await.check(201);
    let large = fhir.raw("POST", "Patient", &[], patient(100_001).to_string()).await;
    large.check_outcome(413, "too-long", "100000 bytes");

    // What counts is the size behind the compression.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(patient(50_000_000).to_string().as_bytes()).unwrap();
    let headers = [("content-encoding", "gzip")];
    for path in ["Patient", ""] {
        fhir.raw("POST", path, &headers, bomb.get_ref().clone()).await.check_outcome(413, "too-long", "100000 bytes");
    }
    let form = [("content-encoding", "gzip"), ("content-type", "application/x-www-form-urlencoded")];
    let bomb = bomb.finish().unwrap();
    fhir.raw("POST", "Patient/_search", &form, bomb.clone()).await.check_outcome(413, "too-long", "100000 bytes");
    fhir.raw("POST", "Patient", &[("content-encoding", "br")], bomb.clone()).await.check_outcome(
        415,
        "not-supported",
        "gzip",
    );
    fhir.raw("POST", "Patient", &headers, bomb[..bomb.len() / 2].to_vec())
        .await
        .check_outcome(413, "too-long", "bytes");
    fhir.raw("POST", "Patient", &headers, "not compressed").await.check_outcome(400, "structure", "unpacked");

    let url = format!("Patient?name={}", "a".repeat(2_000));
    fhir.get(&url).await.check_outcome(414, "too-long", "_search");
    let by_post = [("content-type", "application/x-www-form-urlencoded")];
    fhir.raw("POST", "Patient/_search", &by_post, format!("name={}", "a".repeat(2_000))).await.check(200);
    let long = "a".repeat(2_000);
    fhir.raw("GET", "Patient", &[("x-long", &long)], "").await.check_outcome(431, "too-long", "headers");
    fhir.get("Patient?_summary=count").await.check(200);
}

#[tokio::test]
async fn bundles_have_a_bound_on_their_entries() {
    let directory = tempfile::tempdir().unwrap();
    let product = tight(directory.path());
    let fhir = product.fhir();
    let entry = json!({ "request": { "method": "POST", "url": "Patient" }, "resource": { "resourceType": "Patient" } });
    for kind in ["batch", "transaction"] {
        fhir.bundle(kind, &vec![entry.clone(); 10]).await.check(200);
        let refused = fhir.bundle(kind, &vec![entry.clone(); 11]).await.check_outcome(413, "too-long", "10 entries");
        assert_eq!(refused.json()["issue"][0]["expression"], json!(["Bundle.entry"]));
    }
    // Entries far beyond the bound are not even kept.
    let empty = format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{}{{}}]}}"#, "{},".repeat(30_000));
    fhir.raw("POST", "", &[], empty).await.check_outcome(413, "too-long", "10 entries");
    assert_eq!(fhir.count("Patient").await, 20);
}

#[tokio::test]
async fn a_page_that_is_smaller_than_asked_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let product = tight(directory.path());
    let fhir = product.fhir();
    for number in 0..7 {
        fhir.put(&json!({ "resourceType": "Patient", "id": format!("p{number}") })).await.check(201);
    }
    let page = fhir.get("Patient?_count=1000000000").await.check(200).json();
    assert_eq!(entry_ids(&page, "match").len(), 5);
    let note = page["entry"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&note["search"]["mode"], &note["resource"]["issue"][0]["code"]),
        (&json!("outcome"), &json!("too-costly"))
    );
    let rest = fhir.get(&link(&page, "next").unwrap()).await.check(200).json();
    assert_eq!(entry_ids(&rest, "match"), ["p5", "p6"]);
    let whole = fhir.get("Patient?_count=5").await.json();
    assert_eq!(whole["entry"].as_array().unwrap().len(), 5);
    for count in ["-1", "1e3", "99999999999999999999999999", "five", ""] {
        fhir.get(&format!("Patient?_count={count}")).await.check_outcome(400, "value", "_count");
    }
}

#[tokio::test]
async fn a_page_leads_to_the_next_or_says_why_it_cannot() {
    let directory = tempfile::tempdir().unwrap();
    let product = tight(directory.path());
    let fhir = product.fhir();
    for number in 0..5 {
        fhir.put(&json!({ "resourceType": "Patient", "id": format!("p{number}") })).await.check(201);
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let search = |count: usize, others: usize| {
        let others: String = (0..others).map(|number| format!(",none-{number}")).collect();
        fhir.raw("POST", "Patient/_search", &form, format!("_id=p0,p1,p2,p3,p4{others}&_count={count}"))
    };
    // A search by POST may be longer than the link by which it goes on.
    search(2, 250).await.check_outcome(400, "too-costly", "`_count`");
    let whole = search(5, 250).await.check(200).json();
    assert_eq!((entry_ids(&whole, "match").len(), link(&whole, "next")), (5, None));
    // Up to the bound every link can be followed.
    for others in 80..150 {
        let page = search(2, others).await;
        match page.status {
            200 => {
                let next = fhir.get(&link(&page.json(), "next").unwrap()).await.check(200).json();
                assert_eq!(entry_ids(&next, "match"), ["p2", "p3"]);
            }
            _ => drop(page.check_outcome(400, "too-costly", "the link to the next one")),
        }
    }
}

/// What is asked, the code of the issue, and what it says.
async fn check_refused(fhir: &Fhir, path: &str, query: &str, code: &str, says: &str) {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    fhir.raw("POST", &format!("{path}/_search"), &form, query.to_owned()).await.check_outcome(400, code, says);
}

#[tokio::test]
async fn every_part_of_a_search_has_a_bound() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let times = |part: &str, count: usize| part.repeat(count);
    for (path, query, says) in [
        ("Patient", times("active=true&", 101), "100 parameters"),
        ("Patient", format!("gender={}x", times("a,", 1_000)), "1000 values"),
        ("Patient", times(&format!("gender={}x&", times("a,", 900)), 20), "10000 values to test"),
        ("Basic", format!("subject.subject.identifier={}x", times("a,", 200)), "10000 values to test"),
        ("Basic", times("subject=1&", 100), "10000 values to test"),
        ("Basic", "subject.subject.subject.subject._id=1".to_owned(), "name the types"),
        ("Patient", format!("{}_id=1", "link:Patient.".repeat(17)), "16 links"),
        ("Patient", format!("{}_id=1", times("_has:Observation:patient:subject:Patient.", 9)), "16 links"),
        ("Patient", format!("{}_id=1", times("_has:Patient:link:", 1_000)), "16 links"),
        ("Patient", format!("{}_id=1", times("link.", 100_000)), "16 links"),
        ("Observation", format!("_sort={}date", times("date,", 8)), "8 keys"),
        ("Observation", times("_include=Observation:subject&", 33), "32 includes"),
    ] {
        check_refused(&fhir, path, &query, "too-costly", says).await;
    }
    // The same bounds hold for the conditions of writes.
    let condition = format!("{}_id=1", times("link:Patient.", 17));
    let headers = [("if-none-exist", condition.as_str())];
    let patient = r#"{"resourceType":"Patient"}"#;
    fhir.raw("POST", "Patient", &headers, patient).await.check_outcome(400, "too-costly", "16 links");
    assert_eq!(fhir.count("Patient").await, 0);
}

#[tokio::test]
async fn includes_that_go_too_far_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for number in 0..8 {
        let parent = json!({ "reference": format!("Organization/o{}", number + 1) });
        fhir.put(&json!({ "resourceType": "Organization", "id": format!("o{number}"), "partOf": parent }))
            .await
            .check(201);
    }
    let search = |first: usize| format!("Organization?_id=o{first}&_include:iterate=Organization:partof");
    let far = fhir.get(&search(0)).await.check(200).json();
    assert_eq!(entry_ids(&far, "include"), ["o1", "o2", "o3", "o4", "o5"]);
    let note = &far["entry"].as_array().unwrap().last().unwrap()["resource"]["issue"][0];
    assert_eq!((&note["severity"], &note["code"]), (&json!("warning"), &json!("too-costly")));
    assert!(note["diagnostics"].as_str().unwrap().contains("5 references far"), "{note}");
    let near = fhir.get(&search(2)).await.json();
    assert_eq!(entry_ids(&near, "include"), ["o3", "o4", "o5", "o6", "o7"]);
    assert_eq!(near["entry"].as_array().unwrap().len(), 6);
}

/// Many Observations of one patient, so that going from each to all costs their square.
async fn crowd(fhir: &Fhir) {
    fhir.put(&json!({ "resourceType": "Patient", "id": "p" })).await.check(201);
    let observation = json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" },
        "subject": { "reference": "Patient/p" } });
    let entry = json!({ "request": { "method": "POST", "url": "Observation" }, "resource": observation });
    for _ in 0..20 {
        fhir.bundle("batch", &vec![entry.clone(); 500]).await.check(200);
    }
}

const SLOW: &str = "Observation?patient._has:Observation:patient:status:not=final";

#[tokio::test]
async fn a_search_over_its_time_is_interrupted_and_others_are_answered_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}[fhir.limits]\nsearch_time_max = 1500\n"));
    let fhir = product.fhir();
    crowd(&fhir).await;
    let mut slow = std::pin::pin!(join_all((0..8).map(|_| fhir.get(SLOW))));
    let mut answered = 0;
    let ended = loop {
        tokio::select! {
            ended = &mut slow => break ended,
            read = fhir.get("Patient/p") => {
                read.check(200);
                answered += 1;
            }
        }
    };
    assert!(answered > 0, "nobody was answered while the searches ran");
    let mut interrupted = 0;
    for answer in ended {
        if answer.status == 503 {
            answer.check_outcome(503, "transient", "Other searches");
        } else {
            answer.check_outcome(400, "too-costly", "1.5 s");
            interrupted += 1;
        }
    }
    assert!(interrupted > 0);
    // Their readers are free again, as soon as the machine allows.
    let count = async || fhir.get("Observation?patient=p&_summary=count").await;
    for counted in join_all((0..8).map(|_| until(PATIENCE, count, |answer| answer.status == 200))).await {
        assert_eq!(counted.json()["total"], 10_000);
    }
    // In a batch each search is bounded by itself.
    let get = |url: &str| json!({ "request": { "method": "GET", "url": url } });
    let batch = fhir.bundle("batch", &[get(SLOW), get("Patient/p")]).await.check(200);
    assert_eq!(batch.entry_statuses(), ["400", "200"]);
}

#[tokio::test]
async fn a_write_whose_condition_takes_too_long_gives_way_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    crowd(&fhir).await;
    let headers = [("if-none-exist", SLOW.split_once('?').unwrap().1)];
    let observation = r#"{"resourceType":"Observation","status":"final","code":{"text":"x"}}"#;
    let search = json!({ "request": { "method": "GET", "url": SLOW } });
    let create =
        json!({ "request": { "method": "POST", "url": "Patient" }, "resource": { "resourceType": "Patient" } });
    let entries = [create, search];
    let (conditional, transaction, simple) = tokio::join!(
        fhir.raw("POST", "Observation", &headers, observation),
        fhir.bundle("transaction", &entries),
        fhir.raw("POST", "Observation", &[], observation),
    );
    conditional.check_outcome(400, "too-costly", "identifier");
    transaction.check_outcome(400, "too-costly", "Nothing was changed");
    simple.check(201);
    let counts: Vec<Value> = vec![fhir.count("Patient").await.into(), fhir.count("Observation").await.into()];
    assert_eq!(counts, [json!(1), json!(10_001)]);
}
