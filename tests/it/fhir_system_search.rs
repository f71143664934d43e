//! Searches of several types at once, and of the members of a List (<https://hl7.org/fhir/R4/search.html#searchroot>,
//! <https://hl7.org/fhir/R4/search.html#list>).

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Fhir, entry_ids, link};
use crate::support::process::Vitalwire;

/// Two patients and two devices, some with a tag; a doctor; a list of one of each.
async fn seed(fhir: &Fhir) {
    let tag = json!({ "tag": [{ "system": "urn:t", "code": "ward" }] });
    for resource in [
        json!({ "resourceType": "Patient", "id": "p1", "meta": tag, "identifier": [{ "system": "urn:i", "value": "1" }],
            "generalPractitioner": [{ "reference": "Practitioner/dr" }] }),
        json!({ "resourceType": "Patient", "id": "p2", "identifier": [{ "system": "urn:i", "value": "2" }] }),
        json!({ "resourceType": "Device", "id": "d1", "identifier": [{ "system": "urn:i", "value": "1" }] }),
        json!({ "resourceType": "Device", "id": "d2", "meta": tag, "patient": { "reference": "Patient/p2" } }),
        json!({ "resourceType": "Practitioner", "id": "dr" }),
        json!({ "resourceType": "List", "id": "mine", "status": "current", "mode": "working", "entry": [
            { "item": { "reference": "Patient/p2" } }, { "item": { "reference": "Device/d1" } } ] }),
        json!({ "resourceType": "List", "id": "empty", "status": "current", "mode": "working" }),
    ] {
        fhir.put(&resource).await.check(201);
    }
}

#[tokio::test]
async fn types_are_searched_together_by_what_all_of_them_know() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (search, expected) in [
        ("_type=Patient,Device&_sort=_id", "d1 d2 p1 p2"),
        ("_type=Patient,Device&_sort=-_id&_count=1", "p2 p1 d2 d1"),
        ("_type=Patient,Device&identifier=urn:i|1&_sort=_id", "d1 p1"),
        ("_type=Patient&_id=p1,d1", "p1"),
        ("_tag=urn:t|ward&_sort=_id", "d2 p1"),
        ("_id=p1,d1,dr&_sort=_id", "d1 dr p1"),
        ("_lastUpdated=lt2020", ""),
        ("_list=mine&_sort=_id", "d1 p2"),
        ("_type=Device&_list=mine", "d1"),
        ("_type=Device&_list=empty", ""),
        ("_type=Device&_list=nowhere", ""),
    ] {
        let (mut found, mut next) = (Vec::new(), Some(format!("?{search}")));
        while let Some(page) = next {
            let bundle = fhir.get(&page).await.check(200).json();
            found.extend(entry_ids(&bundle, "match"));
            next = link(&bundle, "next");
        }
        assert_eq!(found.join(" "), expected, "{search}");
        let expected = expected.split_whitespace().count();
        assert_eq!(fhir.count(&format!("?{search}")).await, expected as u64, "{search}");
        let posted = fhir.raw("POST", "_search", &form, search).await.check(200).json();
        assert!(posted["entry"].as_array().map_or(0, Vec::len) <= expected, "{search}");
    }
    assert_eq!(fhir.ids("Patient?_list=mine", "match").await, ["p2"]);
    assert_eq!(fhir.ids("Device?patient._list=mine", "match").await, ["d2"]);
    let everything = fhir.get("").await.check(200).json();
    assert_eq!(everything["total"], 7);
}

#[tokio::test]
async fn what_matches_of_any_type_point_to_comes_along() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (search, expected) in [
        ("?_type=Patient,Device&_id=p1,d2&_include=Patient:general-practitioner&_include=Device:patient", "dr p2"),
        ("?_type=Patient,Device&_id=d2&_include=*", "p2"),
        ("?_type=Patient,Device&_id=p2&_revinclude=Device:patient", "d2"),
        ("?_type=Patient,Device&_id=p2,d1&_revinclude=List:item", "mine"),
    ] {
        assert_eq!(fhir.ids(search, "include").await.join(" "), expected, "{search}");
    }
}

#[tokio::test]
async fn what_is_not_understood_never_widens_a_search_of_several_types() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (search, code, says) in [
        ("?_type=Patient,Device&name=x", "not-supported", "not a search parameter of Device"),
        ("?_type=Patient,Device&_sort=name", "not-supported", "not a search parameter of Device"),
        ("?identifier=1", "not-supported", "not a search parameter of AdverseEvent"),
        ("?_type=Nobody", "value", "resource types"),
        ("?_type=", "value", "resource types"),
        ("Patient?_type=Patient", "not-supported", "`_type`"),
        ("Patient?_list=$current-problems", "not-supported", "are not kept"),
        ("?_list=a_b", "value", "logical id of a List"),
        ("?_cursor=00", "value", "`_cursor`"),
    ] {
        fhir.get(search).await.check_outcome(400, code, says);
    }
    let first = fhir.get("?_type=Patient,Device&_count=1").await.check(200).json();
    let next = link(&first, "next").unwrap();
    fhir.get(&next.replace("Patient", "Practitioner")).await.check_outcome(400, "value", "`_cursor`");
    let lenient = [("prefer", "handling=lenient")];
    let found = fhir.raw("GET", "?_type=Patient,Device&name=x", &lenient, "").await.check(200).json();
    assert_eq!(entry_ids(&found, "match").len(), 4, "what one type does not know is left out for all, and said");
    assert_eq!(found["entry"][4]["search"]["mode"], "outcome");
    for path in ["", "_search"] {
        let allow = fhir.raw("OPTIONS", path, &[], "").await.check(204).header("allow").to_owned();
        assert_eq!(allow, if path.is_empty() { "GET, HEAD, POST, OPTIONS" } else { "POST, OPTIONS" });
    }
    assert_eq!(fhir.raw("HEAD", "?_type=Patient", &[], "").await.check(200).text, "");
}

#[tokio::test]
async fn bundles_search_several_types_too() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for kind in ["batch", "transaction"] {
        let asked = ["?_type=Patient,Device&_sort=_id", "Practitioner/dr/Patient"];
        let entries = asked.map(|url| json!({ "request": { "method": "GET", "url": url } }));
        let answer = fhir.bundle(kind, &entries).await.check(200).json();
        let found = |at: usize| -> Vec<String> { entry_ids(&answer["entry"][at]["resource"], "match") };
        assert_eq!((found(0).join(" ").as_str(), found(1).join(" ").as_str()), ("d1 d2 p1 p2", "p1"), "{answer}");
    }
    let refused: Value = json!({ "request": { "method": "GET", "url": "?_type=Patient,Device&name=x" } });
    fhir.bundle("transaction", &[refused]).await.check_outcome(400, "not-supported", "not a search parameter");
}
