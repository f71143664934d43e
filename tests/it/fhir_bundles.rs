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

/// A Binary that holds a JSON Patch.
fn json_patch(operations: &Value) -> Value {
    let data = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, operations.to_string());
    json!({ "resourceType": "Binary", "contentType": "application/json-patch+json", "data": data })
}

/// A FHIRPath Patch that adds a reference under this name.
fn add_reference(path: &str, name: &str, reference: &str) -> Value {
    let parts = json!([
        { "name": "type", "valueCode": "add" },
        { "name": "path", "valueString": path },
        { "name": "name", "valueString": name },
        { "name": "value", "valueReference": { "reference": reference } },
    ]);
    json!({ "resourceType": "Parameters", "parameter": [{ "name": "operation", "part": parts }] })
}

#[tokio::test]
async fn every_method_has_its_place_in_a_bundle() {
    for kind in ["transaction", "batch"] {
        let directory = tempfile::tempdir().unwrap();
        let product = Vitalwire::serve(directory.path(), SERVICE);
        let fhir = product.fhir();
        for id in ["a", "b", "c"] {
            let patient =
                json!({ "resourceType": "Patient", "id": id, "identifier": [{ "system": "s", "value": id }] });
            fhir.put(&patient).await.check(201);
        }
        let activate = json_patch(&json!([{ "op": "add", "path": "/active", "value": true }]));
        let answer = fhir
            .bundle(
                kind,
                &[
                    entry("GET", "Patient/?active=true", Value::Null),
                    entry("HEAD", "Patient/a", Value::Null),
                    with(entry("GET", "Patient/a", Value::Null), "ifModifiedSince", "2999-01-01T00:00:00Z"),
                    with(entry("GET", "Patient/a", Value::Null), "ifModifiedSince", "1999-01-01T00:00:00Z"),
                    with(entry("PATCH", "Patient?identifier=s|a", activate.clone()), "ifMatch", "W/\"1\""),
                    entry("PATCH", "Patient/b", add_reference("Patient", "managingOrganization", "Organization/o")),
                    entry("DELETE", "Patient/?identifier=s|c", Value::Null),
                    entry("DELETE", "Patient?identifier=s|none", Value::Null),
                ],
            )
            .await
            .check(200);
        assert_eq!(answer.entry_statuses(), ["200", "200", "304", "200", "200", "200", "204", "204"], "{kind}");
        let entries = answer.json()["entry"].clone();
        assert_eq!(entries[0]["resource"]["entry"].as_array().unwrap().len(), 1, "reads see what was written");
        assert_eq!((&entries[1]["resource"], &entries[1]["response"]["etag"]), (&Value::Null, &json!("W/\"2\"")));
        assert_eq!(entries[3]["resource"]["active"], true);
        assert!(entries[4]["response"]["location"].as_str().unwrap().ends_with("/Patient/a/_history/2"));
        let organization = &fhir.get_json("Patient/b").await["managingOrganization"];
        assert_eq!(*organization, json!({ "reference": "Organization/o" }));
        fhir.get("Patient/c").await.check_outcome(410, "deleted", "version 2");
        let stale = with(entry("PATCH", "Patient/a", activate), "ifMatch", "W/\"1\"");
        let refused = fhir.bundle("transaction", &[stale]).await;
        refused.check_outcome(412, "conflict", "`If-Match`");
    }
}

#[tokio::test]
async fn no_resource_is_written_twice_by_whatever_words() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let stored = json!({ "resourceType": "Patient", "id": "a", "identifier": [{ "system": "s", "value": "1" }] });
    fhir.put(&stored).await.check(201);
    let activate = || json_patch(&json!([{ "op": "add", "path": "/active", "value": true }]));
    let put = || entry("PUT", "Patient/a", stored.clone());
    let by_condition = "Patient?identifier=s|1";
    for (first, second) in [
        (put(), entry("PATCH", "Patient/a", activate())),
        (put(), entry("PATCH", by_condition, activate())),
        (put(), entry("DELETE", by_condition, Value::Null)),
        (entry("DELETE", "Patient/a", Value::Null), entry("DELETE", by_condition, Value::Null)),
        (entry("PATCH", by_condition, activate()), entry("PATCH", "Patient?identifier=1", activate())),
        (entry("PUT", by_condition, patient("1")), put()),
    ] {
        for entries in [[first.clone(), second.clone()], [second, first]] {
            let refused = fhir.bundle("transaction", &entries).await;
            refused.check_outcome(400, "invariant", "same resource twice");
        }
    }
    assert_eq!(fhir.get("Patient/a").await.check(200).header("etag"), "W/\"1\"");
    // What one creates on a condition another must not write as well, in whatever order they stand.
    let unless = || with(entry("POST", "Patient", patient("2")), "ifNoneExist", "identifier=s|2");
    let with_id = json!({ "resourceType": "Patient", "id": "b", "identifier": [{ "system": "s", "value": "2" }] });
    for other in [
        entry("POST", "Patient", patient("2")),
        entry("PUT", "Patient?identifier=2", patient("2")),
        entry("PUT", "Patient/b", with_id),
        with(entry("POST", "Patient", patient("2")), "ifNoneExist", "identifier=2"),
    ] {
        for entries in [[unless(), other.clone()], [other, unless()]] {
            let refused = fhir.bundle("transaction", &entries).await;
            refused.check_outcome(400, "invariant", "same resource twice");
        }
    }
    assert_eq!(fhir.count("Patient").await, 1);
}

#[tokio::test]
async fn links_between_entries_lead_where_the_entries_went() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let (first, second) = ("urn:uuid:6e2f3ab0-3c86-4c1f-9a5e-7d1b1b1f0001", "urn:oid:1.2.3");
    let linked = |other: &str| {
        let link = json!([{ "other": { "reference": other }, "type": "seealso" }]);
        json!({ "resourceType": "Patient", "link": link })
    };
    let source = "http://source/fhir/Patient/7";
    let observed = json!({
        "resourceType": "Observation",
        "status": "final",
        "code": { "text": "c" },
        "text": { "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"{first}\">p</a></div>") },
        "subject": { "reference": "Patient/7" },
        "focus": [{ "reference": "Patient/7/_history/3" }, { "reference": first }],
        "derivedFrom": [{ "reference": "Observation/elsewhere" }],
        "extension": [{ "url": "u", "valueUri": first }, { "url": "u", "valueCanonical": first }],
    });
    let answer = fhir
        .bundle(
            "transaction",
            &[
                // In a circle.
                at(entry("POST", "Patient", linked(second)), first),
                at(entry("POST", "Patient", linked(first)), second),
                at(entry("POST", "Patient", json!({ "resourceType": "Patient", "id": "7" })), source),
                at(entry("POST", "Observation", observed), "http://source/fhir/Observation/1"),
                entry("PUT", "Basic/x", json!({ "resourceType": "Basic", "id": "x", "code": { "text": "c" }, "subject": { "reference": source } })),
            ],
        )
        .await
        .check(200);
    let bundle = answer.json();
    let local = |index: usize| {
        let location = bundle["entry"][index]["response"]["location"].as_str().unwrap();
        let path = location.strip_prefix(&format!("{}/fhir/", product.http)).unwrap();
        path.strip_suffix("/_history/1").unwrap().to_owned()
    };
    let reference = |text: String| json!({ "reference": text });
    for (one, other) in [(0, 1), (1, 0)] {
        assert_eq!(fhir.get_json(&local(one)).await["link"][0]["other"], reference(local(other)));
    }
    let observation = fhir.get_json(&local(3)).await;
    assert_eq!(observation["subject"], reference(local(2)));
    assert_eq!(observation["focus"], json!([reference(format!("{}/_history/1", local(2))), reference(local(0))]));
    assert_eq!(observation["derivedFrom"][0]["reference"], "Observation/elsewhere");
    assert!(observation["text"]["div"].as_str().unwrap().contains(&format!("<a href=\"{}\">", local(0))));
    assert_eq!(
        (&observation["extension"][0]["valueUri"], &observation["extension"][1]["valueCanonical"]),
        (&json!(local(0)), &json!(first))
    );
    assert_eq!(fhir.get_json("Basic/x").await["subject"], reference(local(2)));

    // What a patch adds is a link as well, and a condition finds what the same transaction makes.
    let urn = "urn:uuid:6e2f3ab0-3c86-4c1f-9a5e-7d1b1b1f0002";
    let by_condition = json!({ "resourceType": "Basic", "code": { "text": "c" }, "subject": { "reference": "Patient?identifier=s|new" } });
    let answer = fhir
        .bundle(
            "transaction",
            &[
                entry("PATCH", "Basic/x", add_reference("Basic", "author", urn)),
                entry("POST", "Basic", by_condition),
                at(entry("POST", "Patient", patient("new")), urn),
            ],
        )
        .await
        .check(200);
    let created = answer.json()["entry"][2]["response"]["location"].as_str().unwrap().to_owned();
    let author = fhir.get_json("Basic/x").await["author"]["reference"].as_str().unwrap().to_owned();
    assert!(created.contains(&format!("/fhir/{author}/_history/1")), "{created} {author}");
    assert_eq!(fhir.count(&format!("Basic?subject={author}")).await, 1);
}

#[tokio::test]
async fn conditional_references_find_what_has_conditional_references_itself() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let linked = |number: usize, to: &str| {
        let identifier = json!([{ "system": "s", "value": number.to_string() }]);
        let link = json!([{ "other": { "reference": to }, "type": "seealso" }]);
        entry("POST", "Patient", json!({ "resourceType": "Patient", "identifier": identifier, "link": link }))
    };
    let to = |number: usize| format!("Patient?identifier=s|{number}");
    // The first refers to the second, the second to the third and so on; the last one to somebody it knows.
    let row = |numbers: std::ops::Range<usize>| {
        let last = numbers.end;
        let row = numbers.map(move |number| linked(number, &to(number + 1)));
        row.chain([linked(last, "Patient/known")]).collect::<Vec<Value>>()
    };
    fhir.bundle("transaction", &row(0..8)).await.check(200);
    assert_eq!(
        fhir.ids("Patient?link.link.identifier=s|8", "match").await,
        fhir.ids("Patient?identifier=s|6", "match").await
    );
    assert_eq!(fhir.count("Patient?link=Patient/known").await, 1);
    let further = fhir.bundle("transaction", &row(10..19)).await;
    further.check_outcome(400, "too-costly", "`fullUrl`");
    let circle = [linked(30, &to(31)), linked(31, &to(30))];
    fhir.bundle("transaction", &circle).await.check_outcome(412, "conflict", "finds no resource");
    assert_eq!(fhir.count("Patient").await, 9);
}

#[tokio::test]
async fn entries_that_contradict_themselves_or_each_other_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let with_id = || json!({ "resourceType": "Patient", "id": "a" });
    for (code, says, wrong) in [
        ("invariant", "`fullUrl`", at(entry("PUT", "Patient/a", with_id()), "http://x/fhir/Patient/b")),
        ("value", "absolute", at(entry("POST", "Patient", with_id()), "Patient/a")),
        ("value", "absolute", at(entry("POST", "Patient", patient("1")), "http://x/Patient/a/_history/1")),
        ("value", "`urn:oid:`", entry("POST", "Observation", observation("urn:oid:1.2.9"))),
        ("not-supported", "`request.ifNoneExist`", entry("POST", "Patient?identifier=s|1", patient("1"))),
        ("not-supported", "HEAD", entry("OPTIONS", "Patient", Value::Null)),
        ("structure", "Parameters", entry("PATCH", "Patient/a", with_id())),
        ("required", "`resource`", entry("PATCH", "Patient/a", Value::Null)),
        (
            "value",
            "base64",
            entry(
                "PATCH",
                "Patient/a",
                json!({ "resourceType": "Binary", "contentType": "application/json-patch+json", "data": "?" }),
            ),
        ),
        ("value", "instant", with(entry("GET", "Patient/a", Value::Null), "ifModifiedSince", "lately")),
        // A condition that is passed over would be taken for one that holds.
        ("structure", "`ifNoneExists`", with(entry("POST", "Patient", patient("1")), "ifNoneExists", "identifier=s|1")),
        ("not-supported", "`ifNoneExist`", with(entry("PUT", "Patient/a", with_id()), "ifNoneExist", "identifier=s|1")),
        ("not-supported", "`ifMatch`", with(entry("POST", "Patient", patient("1")), "ifMatch", "W/\"1\"")),
        ("not-supported", "`ifMatch`", with(entry("GET", "Patient/a", Value::Null), "ifMatch", "W/\"1\"")),
        ("not-supported", "`ifNoneMatch`", with(entry("POST", "Patient", patient("1")), "ifNoneMatch", "*")),
        (
            "not-supported",
            "`ifModifiedSince`",
            with(entry("DELETE", "Patient/a", Value::Null), "ifModifiedSince", "2026-01-01T00:00:00Z"),
        ),
        ("structure", "`modifierExtension`", {
            let mut modified = entry("POST", "Patient", patient("1"));
            modified["modifierExtension"] = json!([{ "url": "http://x/not", "valueBoolean": true }]);
            modified
        }),
    ] {
        fhir.bundle("transaction", &[wrong]).await.check_outcome(400, code, says);
    }
    assert_eq!(fhir.count("Patient?identifier=s|1").await, 0);
    let passed_over = json!({ "resourceType": "Bundle", "id": "b", "meta": { "tag": [{ "code": "t" }] }, "type": "batch",
        "total": 1, "entry": [{ "id": "e", "search": { "mode": "match" }, "resource": patient("2"),
            "request": { "id": "r", "method": "POST", "url": "Patient" } }] });
    let answer = fhir.raw("POST", "", &[], passed_over.to_string()).await.check(200);
    assert_eq!(answer.entry_statuses(), ["201"]);
    let urn = "urn:uuid:6e2f3ab0-3c86-4c1f-9a5e-7d1b1b1f0003";
    let entries = [at(entry("POST", "Patient", patient("1")), urn), entry("POST", "Observation", observation(urn))];
    let answer = fhir.bundle("batch", &entries).await.check(200);
    assert_eq!(answer.entry_statuses(), ["201", "400"]);
    assert!(answer.text.contains("in a transaction"), "{answer:?}");
}
