//! Parts of resources: <https://hl7.org/fhir/R4/search.html#summary>.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Fhir, link};
use crate::support::process::Vitalwire;

const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

async fn with_readings(product: &Vitalwire) -> Fhir {
    let fhir = product.fhir();
    let text = json!({ "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>" });
    let patient = json!({ "resourceType": "Patient", "id": "p", "text": text, "name": [{ "family": "Doe" }], "birthDate": "1970" });
    fhir.put(&patient).await.check(201);
    for id in ["a", "b", "c"] {
        let reading = json!({
            "resourceType": "Observation", "id": id, "text": text, "status": "final", "code": { "text": "c" },
            "subject": { "reference": "Patient/p" }, "valueQuantity": { "value": 1 }, "note": [{ "text": "n" }],
        });
        fhir.put(&reading).await.check(201);
    }
    fhir
}

/// The members of a resource, after it was found to be tagged as a part.
#[track_caller]
fn members(resource: &Value) -> Vec<&str> {
    let tags = resource["meta"]["tag"].as_array().unwrap_or_else(|| panic!("{resource}"));
    assert!(tags.contains(&json!({ "system": SYSTEM, "code": "SUBSETTED" })), "{resource}");
    assert!(resource["meta"]["versionId"].is_string(), "{resource}");
    resource
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .filter(|name| !["resourceType", "id", "meta"].contains(name))
        .collect()
}

#[tokio::test]
async fn every_read_gives_the_part_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_readings(&product).await;
    let (summary, text) = (vec!["status", "code", "subject", "valueQuantity"], vec!["text", "status", "code"]);
    let data = vec!["status", "code", "subject", "valueQuantity", "note"];
    let named = vec!["status", "code", "valueQuantity"];
    for (asked, expected) in
        [("_summary=true", summary), ("_summary=text", text), ("_summary=data", data), ("_elements=value", named)]
    {
        for path in ["Observation/a", "Observation/%61", "Observation/a/_history/1"] {
            let read = fhir.get(&format!("{path}?{asked}")).await.check(200);
            assert_eq!(members(&read.json()), expected, "{path} {asked}");
            assert_eq!(read.header("etag"), "W/\"1\"");
        }
        for path in ["Observation", "Observation/a/_history", "Patient/p/Observation"] {
            let bundle = fhir.get(&format!("{path}?{asked}")).await.check(200).json();
            assert_eq!(bundle.get("meta"), None, "the Bundle itself is whole");
            for entry in bundle["entry"].as_array().unwrap() {
                assert_eq!(members(&entry["resource"]), expected, "{path} {asked}");
            }
        }
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let found = fhir.raw("POST", "Observation/_search", &form, asked).await.check(200).json();
        assert_eq!(members(&found["entry"][0]["resource"]), expected);
        let get = |url: &str| json!({ "request": { "method": "GET", "url": format!("{url}{asked}") } });
        let entries = [
            get("Observation/a?"),
            get("Observation/a/_history/1?"),
            get("Observation?_id=a&"),
            get("Observation/a/_history?"),
            get("Observation/$lastn?patient=p&max=3&"),
        ];
        for kind in ["batch", "transaction"] {
            let answer = fhir.bundle(kind, &entries).await.check(200).json();
            for entry in answer["entry"].as_array().unwrap() {
                let bundle = &entry["resource"];
                let resource = bundle.pointer("/entry/0/resource").unwrap_or(bundle);
                assert_eq!(members(resource), expected, "{kind} {asked}");
            }
        }
    }
    let whole = fhir.get("Observation/a?_summary=false").await.check(200).json();
    assert_eq!(whole["meta"].get("tag"), None);
    let xml = fhir.get("Observation/a?_summary=true&_format=xml").await.check(200);
    assert!(xml.text.contains("<code value=\"SUBSETTED\"/>") && !xml.text.contains("<note>"), "{xml:?}");
}

#[tokio::test]
async fn pages_and_what_comes_along_keep_to_what_was_asked() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_readings(&product).await;
    let first =
        fhir.get("Observation?_count=2&_elements=status,Patient.name&_include=Observation:subject").await.json();
    let rest = fhir.get(&link(&first, "next").unwrap()).await.check(200).json();
    for (entry, mode) in [(&first["entry"][0], "match"), (&first["entry"][2], "include"), (&rest["entry"][0], "match")]
    {
        assert_eq!(entry["search"]["mode"], mode, "{entry}");
        let expected: &[&str] = if mode == "match" { &["status", "code"] } else { &["name"] };
        assert_eq!(members(&entry["resource"]), expected);
    }
    let with_whole = fhir.get("Observation?_id=a&_elements=status&_include=Observation:subject").await.json();
    assert_eq!(with_whole["entry"][1]["resource"]["birthDate"], "1970", "included resources are whole");
    assert_eq!(fhir.get("Observation?_summary=count&_elements=status").await.check(200).json()["total"], 3);
}

#[tokio::test]
async fn operations_answer_in_part_where_they_answer_with_resources() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_readings(&product).await;
    for path in ["Observation/$lastn?patient=p&max=3&", "Patient/p/$everything?_type=Observation&_count=2&"] {
        for method in ["GET", "POST"] {
            let bundle = fhir.raw(method, &format!("{path}_elements=value"), &[], "").await.check(200).json();
            let own = link(&bundle, "self").unwrap();
            assert!(own.ends_with("_elements=value"), "{own}");
            let page = if let Some(next) = link(&bundle, "next") { fhir.get(&next).await.json() } else { bundle };
            for entry in page["entry"].as_array().unwrap() {
                assert_eq!(members(&entry["resource"]), ["status", "code", "valueQuantity"], "{method} {path}");
            }
        }
    }
    let value_set = json!({ "resourceType": "ValueSet", "id": "v", "status": "active", "title": "t",
        "compose": { "include": [{ "system": "urn:s", "concept": [{ "code": "c" }] }] } });
    fhir.put(&value_set).await.check(201);
    let expanded = fhir.get("ValueSet/v/$expand?_elements=expansion").await.check(200).json();
    assert!(expanded["expansion"].is_object() && expanded.get("title").is_none(), "{expanded}");
    assert_eq!(expanded["meta"]["tag"][0]["code"], "SUBSETTED");
    for (path, code, says) in [
        ("Observation/a/$meta?_summary=true", "not-supported", "`$meta` always answers as a whole"),
        ("Observation/a/$meta?_elements=code", "not-supported", "Leave out"),
        ("Observation/$lastn?patient=p&_summary=count", "not-supported", "counts"),
        ("Observation/$lastn?patient=p&_elements=birthDate", "value", "`birthDate`"),
        ("ValueSet/v/$expand?_elements=shoeSize", "value", "`shoeSize`"),
        ("Patient/p/$everything?_elements=shoeSize", "value", "`shoeSize`"),
    ] {
        fhir.get(path).await.check_outcome(400, code, says);
    }
    fhir.get("Observation/a/$meta?_summary=false").await.check(200);
    let encoded = fhir.get("Observation/%24lastn?patient=p&_elements=value").await.check(200).json();
    assert_eq!(members(&encoded["entry"][0]["resource"]), ["status", "code", "valueQuantity"]);
    let labels = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "meta", "valueMeta": { "tag": [{ "code": "x" }] } }] });
    let refused = fhir.raw("POST", "Observation/a/$meta-add?_summary=true", &[], labels.to_string()).await;
    refused.check_outcome(400, "not-supported", "whole");
    let meta = fhir.get("Observation/a/$meta").await.check(200).json();
    assert!(!meta.to_string().contains("\"x\""), "nothing was added: {meta}");
    let in_body = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "patient", "valueString": "p" }, { "name": "_summary", "valueString": "true" }] });
    let refused = fhir.raw("POST", "Observation/$lastn", &[], in_body.to_string()).await;
    refused.check_outcome(400, "not-supported", "in the URL");
}

#[tokio::test]
async fn who_searches_leniently_is_told_which_elements_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_readings(&product).await;
    let lenient = [("prefer", "handling=lenient")];
    for path in ["Observation?_count=2&", "Observation/$lastn?patient=p&max=3&"] {
        let answer = fhir.raw("GET", &format!("{path}_elements=shoeSize,value"), &lenient, "").await;
        let bundle = answer.check(200).json();
        let own = link(&bundle, "self").unwrap();
        assert!(own.ends_with("_elements=value"), "{own}");
        assert_eq!(members(&bundle["entry"][0]["resource"]), ["status", "code", "valueQuantity"]);
        let note = bundle["entry"].as_array().unwrap().last().unwrap();
        assert_eq!(note["search"]["mode"], "outcome");
        assert!(note.to_string().contains("`shoeSize`"), "{note}");
    }
    let form = [lenient[0], ("content-type", "application/x-www-form-urlencoded")];
    let found = fhir.raw("POST", "Observation/_search", &form, "_elements=shoeSize,value").await.check(200).json();
    assert_eq!(members(&found["entry"][0]["resource"]), ["status", "code", "valueQuantity"]);
    let whole = fhir.raw("GET", "Observation?_id=a&_elements=shoeSize", &lenient, "").await.check(200).json();
    assert_eq!(whole["entry"][0]["resource"]["note"][0]["text"], "n", "no element is left to cut to");
    let read = fhir.raw("GET", "Observation/a?_elements=shoeSize", &lenient, "").await;
    read.check_outcome(400, "value", "`shoeSize`");
}

#[tokio::test]
async fn what_is_no_part_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_readings(&product).await;
    for (path, code, says) in [
        ("Observation?_elements=notes", "value", "did you mean `note`?"),
        ("Observation/a?_elements=code.text", "value", "at the root"),
        ("Observation?_elements=Patient.shoeSize", "value", "`shoeSize`"),
        ("Observation/a?_summary=most", "value", "`_summary` is"),
        ("Observation/a?_summary=count", "not-supported", "counts"),
        ("Observation?_summary=true&_elements=code", "value", "one of them"),
        ("Observation?_summary=text&_include=Observation:subject", "not-supported", "narratives"),
    ] {
        fhir.get(path).await.check_outcome(400, code, says);
        let entry = json!({ "request": { "method": "GET", "url": path } });
        fhir.bundle("transaction", &[entry]).await.check_outcome(400, code, says);
    }
    let entry = json!({ "request": { "method": "GET", "url": "Patient/p?active=true" } });
    fhir.bundle("transaction", &[entry]).await.check_outcome(400, "not-supported", "`active`");
}

#[tokio::test]
async fn a_part_is_never_stored_in_place_of_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_readings(&product).await;
    let part = fhir.get("Observation/a?_summary=true").await.check(200).json();
    fhir.put(&part).await.check_outcome(400, "invariant", "SUBSETTED");
    fhir.raw("POST", "Observation", &[], part.to_string()).await.check_outcome(400, "invariant", "SUBSETTED");
    let entry = json!({ "resource": part, "request": { "method": "PUT", "url": "Observation/a" } });
    fhir.bundle("transaction", &[entry]).await.check_outcome(400, "invariant", "SUBSETTED");
    assert_eq!(fhir.get("Observation/a").await.json()["note"][0]["text"], "n");
}
