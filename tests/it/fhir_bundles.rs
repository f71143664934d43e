//! Batches and transactions, <https://hl7.org/fhir/R4/http.html#transaction>.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::process::Vitalwire;

fn entry(method: &str, url: &str, resource: Value) -> Value {
    let mut entry = json!({ "request": { "method": method, "url": url } });
    if !resource.is_null() {
        entry["resource"] = resource;
    }
    entry
}

fn with(mut entry: Value, member: &str, value: &str) -> Value {
    entry["request"][member] = value.into();
    entry
}

fn at(mut entry: Value, full_url: &str) -> Value {
    entry["fullUrl"] = full_url.into();
    entry
}

fn patient(value: &str) -> Value {
    json!({ "resourceType": "Patient", "identifier": [{ "system": "s", "value": value }] })
}

fn observation(subject: &str) -> Value {
    let code = json!({ "text": "x" });
    json!({ "resourceType": "Observation", "status": "final", "code": code, "subject": { "reference": subject } })
}

#[tokio::test]
async fn a_transaction_is_one_step() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let urn = "urn:uuid:6e2f3ab0-3c86-4c1f-9a5e-7d1b1b1f0001";
    // Read first in the Bundle, carried out last; created first though it stands behind what refers to it.
    let answer = fhir
        .bundle(
            "transaction",
            &[
                entry("GET", "Observation?subject.identifier=s|1", Value::Null),
                entry("PUT", "Patient?identifier=s|2", patient("2")),
                entry("POST", "Observation", observation(urn)),
                at(with(entry("POST", "Patient", patient("1")), "ifNoneExist", "identifier=s|1"), urn),
                entry("DELETE", "Patient/none", Value::Null),
            ],
        )
        .await
        .check(200);
    assert_eq!(answer.entry_statuses(), ["200", "201", "201", "201", "204"]);
    assert_eq!(answer.json()["entry"][0]["resource"]["entry"].as_array().unwrap().len(), 1);
    let location = answer.json()["entry"][3]["response"]["location"].as_str().unwrap().to_owned();
    assert!(location.starts_with(&format!("{}/fhir/Patient/", product.http)) && location.ends_with("/_history/1"));

    let again = with(entry("POST", "Patient", patient("1")), "ifNoneExist", "identifier=s|1");
    let answer =
        fhir.bundle("transaction", &[entry("POST", "Observation", observation("Patient?identifier=s|2")), again]).await;
    assert_eq!(answer.check(200).entry_statuses(), ["201", "200"]);
    assert_eq!(fhir.ids("Observation?patient.identifier=s|2", "match").await.len(), 1);

    let before = (fhir.count("Patient").await, fhir.count("Observation").await);
    let new = || entry("POST", "Patient", patient("3"));
    let put = |id: &str| entry("PUT", &format!("Patient/{id}"), json!({ "resourceType": "Patient", "id": id }));
    for (status, code, says, entries) in [
        (412, "conflict", "`If-Match`", [new(), with(put("x"), "ifMatch", "W/\"9\"")]),
        (
            412,
            "conflict",
            "finds no resource",
            [new(), entry("POST", "Observation", observation("Patient?identifier=s|9"))],
        ),
        (400, "value", "stands for no entry", [new(), entry("POST", "Observation", observation("urn:uuid:9"))]),
        (400, "invariant", "same resource twice", [put("x"), put("x")]),
        (400, "invariant", "same resource twice", [put("x"), entry("DELETE", "Patient/x", Value::Null)]),
        (
            400,
            "invariant",
            "same resource twice",
            [
                with(entry("POST", "Patient", patient("4")), "ifNoneExist", "identifier=s|4"),
                with(entry("POST", "Patient", patient("4")), "ifNoneExist", "identifier=s|4"),
            ],
        ),
        // The same patient by two spellings of one condition.
        (
            400,
            "invariant",
            "same resource twice",
            [entry("PUT", "Patient?identifier=s|4", patient("4")), entry("PUT", "Patient?identifier=4", patient("4"))],
        ),
        (400, "invariant", "`id`", [new(), entry("PUT", "Patient/x", json!({ "resourceType": "Patient", "id": "y" }))]),
        (
            400,
            "structure",
            "empty array",
            [new(), entry("POST", "Patient", json!({ "resourceType": "Patient", "name": [] }))],
        ),
        (404, "not-found", "no resource", [new(), entry("GET", "Patient/none", Value::Null)]),
        (400, "not-supported", "shoe-size", [new(), entry("GET", "Patient?shoe-size=43", Value::Null)]),
    ] {
        fhir.bundle("transaction", &entries).await.check_outcome(status, code, says);
        assert_eq!((fhir.count("Patient").await, fhir.count("Observation").await), before, "{says}");
    }
}

#[tokio::test]
async fn each_entry_of_a_batch_is_for_itself_also_of_thousands() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let mut entries: Vec<Value> =
        (0..2_000).map(|number| entry("POST", "Patient", patient(&number.to_string()))).collect();
    entries[1_234]["resource"]["name"] = json!([]);
    let answer = fhir.bundle("batch", &entries).await.check(200);
    let statuses = answer.entry_statuses();
    assert_eq!(statuses.iter().filter(|status| *status == "201").count(), 1_999);
    assert_eq!(statuses[1_234], "400");
    let issue = &answer.json()["entry"][1_234]["response"]["outcome"]["issue"][0];
    assert_eq!(issue["expression"][0], "Bundle.entry[1234].resource.name");
    assert_eq!(fhir.count("Patient").await, 1_999);

    let reads: Vec<Value> =
        (0..2_000).map(|number| entry("GET", &format!("Patient?identifier=s|{number}"), Value::Null)).collect();
    let answer = fhir.bundle("batch", &reads).await.check(200).json();
    let totals: Vec<u64> =
        answer["entry"].as_array().unwrap().iter().map(|it| it["resource"]["total"].as_u64().unwrap()).collect();
    assert_eq!(totals.iter().sum::<u64>(), 1_999);
    assert_eq!(totals[1_234], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_a_transaction_as_a_whole() {
    const WRITTEN: u64 = 30;
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let (writer, reader) = (product.fhir(), product.fhir());
    let writing = async {
        for _ in 0..WRITTEN {
            let entries: Vec<Value> = (0..10).map(|_| entry("POST", "Patient", patient("1"))).collect();
            writer.bundle("transaction", &entries).await.check(200);
        }
    };
    let reading = async {
        let mut seen = 0;
        while seen < 10 * WRITTEN {
            let bundle = reader.get("Patient?identifier=s|1&_total=accurate&_count=1000").await.check(200).json();
            seen = bundle["total"].as_u64().unwrap();
            assert_eq!(seen % 10, 0);
            assert_eq!(bundle["entry"].as_array().map_or(0, Vec::len), usize::try_from(seen).unwrap());
        }
    };
    futures_util::future::join(writing, reading).await;
}
