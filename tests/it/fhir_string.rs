//! String parameters as <https://hl7.org/fhir/R4/search.html#string> has them.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::process::Vitalwire;

/// Searches for Patients, and whom they find.
const FOUND: &[(&str, &str)] = &[
    // From the start, without case, accents, punctuation and more than one space.
    ("given=eve", "eve evelyn"),
    ("given=ÉVE", "eve evelyn"),
    ("given=vel", ""),
    ("family=obrien", "irish"),
    ("family=O%27Brien", "irish"),
    ("address=12%20main", "irish"),
    ("address=12%20%20Main%09St.", "irish"),
    // The parts of a family name each by itself.
    ("family=Carreno%20Qui", "eve"),
    ("family=quiñones", "eve"),
    ("family=jones", "evelyn"),
    ("name=jones", "evelyn"),
    ("family=smith-jo", "evelyn"),
    // Anywhere.
    ("given:contains=eve", "eve evelyn irish"),
    ("family:contains=NES", "eve evelyn"),
    // To the letter, the whole.
    ("given:exact=Eve", "eve"),
    ("given:exact=eve", ""),
    ("given:exact=Eve%CC%81", ""),
    ("family:exact=Quinones", ""),
    ("family:exact=Carreno%20Quinones", "eve"),
    (r"family:exact=O%27Brien\,%20Jr.", "irish"),
    // Or, and.
    ("given=eve,severine", "eve evelyn irish"),
    ("name=eve&name=carreno", "eve"),
    ("given:missing=true", "none"),
    // Parts of a name do not decide where it stands.
    ("family:missing=false&_sort=family", "eve irish evelyn"),
];

fn patient(id: &str, family: &str, given: &str, line: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "name": [{ "family": family, "given": [given] }],
        "address": [{ "line": [line] }] })
}

#[tokio::test]
async fn texts_are_found_by_their_start_their_parts_or_to_the_letter() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for resource in [
        patient("eve", "Carreno Quinones", "Eve", "1 High Rd"),
        patient("evelyn", "Smith-Jones", "Évelyn", "2 High Rd"),
        patient("irish", "O'Brien, Jr.", "Severine", "12 Main  St."),
        json!({ "resourceType": "Patient", "id": "none" }),
    ] {
        fhir.put(&resource).await.check(201);
    }
    for (search, expected) in FOUND {
        assert_eq!(fhir.ids(&format!("Patient?{search}"), "match").await.join(" "), *expected, "{search}");
    }
    for (search, code, says) in [
        ("given=", "value", "a text"),
        (r"given=a\b", "value", "a text"),
        ("given:text=eve", "not-supported", "`:text` is not a modifier of `given`"),
        ("given:Exact=eve", "not-supported", "did you mean `exact`?"),
        ("given:not=eve", "not-supported", "`:not`"),
    ] {
        fhir.get(&format!("Patient?{search}")).await.check_outcome(400, code, says);
    }
}
