//! URI parameters as <https://hl7.org/fhir/R4/search.html#uri> has them.

use serde_json::json;

use crate::support::config::SERVICE;
use crate::support::process::Vitalwire;

/// Searches for ValueSets, and what they find.
const FOUND: &[(&str, &str)] = &[
    ("url=http://acme.org/fhir/ValueSet/123", "first second"),
    ("url=http://ACME.org/fhir/ValueSet/123", ""),
    ("url=http://acme.org/fhir/ValueSet", ""),
    ("url=urn:oid:1.2.3.4.5", "oid"),
    // What starts with it, and what it starts with.
    ("url:below=http://acme.org/fhir/", "first second"),
    ("url:above=http://acme.org/fhir/ValueSet/123/_history/5", "first second"),
    ("url:above=http://acme.org/fhir/", ""),
    // A version behind a bar.
    ("url=http://acme.org/fhir/ValueSet/123|1.0", "first"),
    ("url=http://acme.org/fhir/ValueSet/123|3.0", ""),
    ("url=http://acme.org/fhir/ValueSet/123|1.0,urn:oid:1.2.3.4.5", "first oid"),
    (r"url=http://other/a\,b", "comma"),
    ("url:missing=true", "none"),
];

#[tokio::test]
async fn uris_are_found_to_the_letter_by_their_hierarchy_and_with_a_version() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for (id, url, version) in [
        ("first", "http://acme.org/fhir/ValueSet/123", "1.0"),
        ("second", "http://acme.org/fhir/ValueSet/123", "2.0"),
        ("oid", "urn:oid:1.2.3.4.5", "1.0"),
        ("comma", "http://other/a,b", "1.0"),
    ] {
        let value_set =
            json!({ "resourceType": "ValueSet", "id": id, "url": url, "version": version, "status": "draft" });
        fhir.put(&value_set).await.check(201);
    }
    fhir.put(&json!({ "resourceType": "ValueSet", "id": "none", "status": "draft" })).await.check(201);
    for (search, expected) in FOUND {
        assert_eq!(fhir.ids(&format!("ValueSet?{search}"), "match").await.join(" "), *expected, "{search}");
    }
    for (search, code, says) in [
        ("url=", "value", "a URI"),
        ("url:below=urn:oid:1.2", "value", "a URN has nothing above or below it"),
        ("url:contains=acme", "not-supported", "`:contains`"),
        ("url:exact=http://acme.org", "not-supported", "`:exact`"),
    ] {
        fhir.get(&format!("ValueSet?{search}")).await.check_outcome(400, code, says);
    }
}
