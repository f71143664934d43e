//! `_filter` as <https://hl7.org/fhir/R4/search_filter.html> has it.

use serde_json::json;
use url::form_urlencoded::byte_serialize;

use crate::support::config::SERVICE;
use crate::support::fhir::{Fhir, link};
use crate::support::process::Vitalwire;

async fn seed(fhir: &Fhir) {
    let observation = |id: &str, code: &str, date: &str, value: f64, patient: &str| {
        json!({ "resourceType": "Observation", "id": id, "status": "final", "effectiveDateTime": date,
            "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
            "subject": { "reference": format!("Patient/{patient}") },
            "valueQuantity": { "value": value, "system": "http://unitsofmeasure.org", "code": "/min" } })
    };
    for resource in [
        json!({ "resourceType": "Patient", "id": "p", "name": [{ "family": "Müller", "given": ["Peter"] }],
            "birthDate": "1970-05-01" }),
        json!({ "resourceType": "Patient", "id": "q", "name": [{ "family": "Petersen" }] }),
        observation("a", "8867-4", "2024-01-15", 60.0, "p"),
        observation("b", "8867-4", "2024-02", 80.0, "q"),
        observation("c", "9279-1", "2024-03-01T10:00:00Z", 12.0, "p"),
    ] {
        fhir.put(&resource).await.check(201);
    }
}

fn search(resource_type: &str, filter: &str) -> String {
    format!("{resource_type}?_filter={}", byte_serialize(filter.as_bytes()).collect::<String>())
}

/// Filters of Observations and what they find.
const FOUND: &[(&str, &str)] = &[
    ("code eq http://loinc.org|8867-4", "a b"),
    ("not (code eq 8867-4)", "c"),
    ("code eq 8867-4 and date ge 2024-02-01", "b"),
    ("date po 2024-02", "b"),
    ("date po 2024-03-01T10:00:00Z", "c"),
    ("date eq 2024-01 or date eq 2024-03", "a c"),
    ("date ne 2024-01", "b c"),
    ("value-quantity gt 50|http://unitsofmeasure.org|/min", "a b"),
    ("value-quantity ap 61", "a"),
    ("subject.name co \"pet\"", "a b c"),
    ("subject:Patient.family sw pet", "b"),
    ("subject.given ew er and code eq 9279-1", "c"),
    ("subject.birthdate pr false", "b"),
    ("subject re Patient/p", "a c"),
    // From left to right: `(... or ...) and ...`.
    ("code eq 9279-1 or code eq 8867-4 and date le 2024-01", "a"),
    ("code eq 9279-1 or (code eq 8867-4 and date le 2024-01)", "a c"),
    ("_id eq a or _id eq c", "a c"),
];

#[tokio::test]
async fn a_filter_finds_what_the_specification_says() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (filter, expected) in FOUND {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(fhir.ids(&search("Observation", filter), "match").await, expected, "{filter}");
    }
    assert_eq!(fhir.ids(&search("Patient", "given eq \"peter\" and birthdate ge 1970-05-01"), "match").await, ["p"]);
    assert_eq!(fhir.ids(&search("Patient", "name co PET"), "match").await, ["p", "q"]);
    // With other criteria, with itself, over pages, and in the condition of a write.
    let both = format!("{}&subject=Patient/p", search("Observation", "code eq 8867-4"));
    assert_eq!(fhir.ids(&both, "match").await, ["a"]);
    let twice = format!("{}&_filter=date%20lt%202024-02", search("Observation", "code eq 8867-4"));
    assert_eq!(fhir.ids(&twice, "match").await, ["a"]);
    let page = fhir.get_json(&format!("{}&_count=1", search("Observation", "subject re Patient/p"))).await;
    assert_eq!(fhir.ids(&link(&page, "next").unwrap(), "match").await, ["c"]);
}

#[tokio::test]
async fn a_filter_that_is_not_understood_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let deep = format!("{}code eq x{}", "(".repeat(21), ")".repeat(21));
    let long = format!("{}code eq x", "code eq x or ".repeat(100));
    for (filter, code, says) in [
        ("", "value", "a parameter"),
        ("cod eq x", "not-supported", "did you mean `code`?"),
        ("code equals x", "value", "an operator"),
        ("identifier ss http://x|1", "not-supported", "`identifier ss ...`"),
        ("related[type eq x].target pr true", "not-supported", "within a path"),
        ("date eq soon", "value", "a date"),
        ("code eq x or", "value", "a parameter"),
        (&deep, "too-costly", "20 parentheses"),
        (&long, "too-costly", "100 comparisons"),
    ] {
        fhir.get(&search("Observation", filter)).await.check_outcome(400, code, says);
    }
}
