//! Token parameters as <https://hl7.org/fhir/R4/search.html#token> has them: their four forms, case, and modifiers.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;

fn condition(id: &str, code: Value) -> Value {
    json!({ "resourceType": "Condition", "id": id, "subject": { "reference": "Patient/p" }, "code": code })
}

fn coded(code: &str) -> Value {
    json!({ "coding": [{ "system": "http://beasts", "code": code }] })
}

async fn seed(fhir: &Fhir) {
    let identifier = |kind: &str, value: &str| {
        let kind = json!({ "text": "Record number", "coding": [{ "system": "http://types", "code": kind }] });
        json!([{ "system": "http://clinic", "value": value, "type": kind }])
    };
    let document = |id: &str, media: &str| {
        json!({ "resourceType": "DocumentReference", "id": id, "status": "current",
            "content": [{ "attachment": { "contentType": media } }] })
    };
    for resource in [
        json!({ "resourceType": "CodeSystem", "id": "beasts", "url": "http://beasts", "status": "active",
            "content": "complete", "concept": [
                { "code": "animal", "concept": [{ "code": "dog", "concept": [{ "code": "puppy" }] }, { "code": "cat" }] },
                { "code": "stone" }] }),
        json!({ "resourceType": "ValueSet", "id": "dogs", "url": "http://sets/dogs", "version": "1", "status": "active",
            "compose": { "include": [{ "system": "http://beasts",
                "filter": [{ "property": "concept", "op": "is-a", "value": "dog" }] }] } }),
        json!({ "resourceType": "ValueSet", "id": "others", "url": "http://sets/others", "status": "active",
            "compose": { "include": [{ "system": "http://beasts" }], "exclude": [{ "valueSet": ["http://sets/dogs"] }] } }),
        json!({ "resourceType": "ValueSet", "id": "foreign", "url": "http://sets/foreign", "status": "active",
            "compose": { "include": [{ "system": "http://snomed.info/sct" }] } }),
        json!({ "resourceType": "Patient", "id": "p", "gender": "male", "active": true,
            "identifier": identifier("MR", "4|7"), "telecom": [{ "system": "phone", "value": "555" }] }),
        json!({ "resourceType": "Patient", "id": "q", "identifier": identifier("SS", "4|7") }),
        json!({ "resourceType": "Patient", "id": "r", "gender": "female",
            "identifier": [{ "system": "http://a,b", "value": r"c$\d" }] }),
        condition("puppy", coded("puppy")),
        condition(
            "dog",
            json!({ "text": "Un Chïen", "coding": [
            { "system": "http://beasts", "code": "dog", "display": "Hound" }] }),
        ),
        condition("cat", coded("cat")),
        condition("bare", json!({ "coding": [{ "code": "dog" }] })),
        condition("text", json!({ "text": "hound of Baskerville" })),
        condition(
            "several",
            json!({ "coding": [
            { "system": "http://beasts", "code": "stone" }, { "system": "http://beasts", "code": "puppy" }] }),
        ),
        document("plain", "text/xml"),
        document("charset", "text/xml; charset=UTF-8"),
        document("other", "text/xmlish"),
    ] {
        fhir.put(&resource).await.check(201);
    }
}

/// Searches, and what they find.
const FOUND: &[(&str, &str)] = &[
    ("Condition?code=dog", "dog bare"),
    ("Condition?code=http://beasts|dog", "dog"),
    ("Condition?code=|dog", "bare"),
    ("Condition?code=http://beasts|", "puppy dog cat several"),
    ("Condition?code=DOG", ""),
    // None of the values may be one of these; without any is as good.
    ("Patient?gender:not=male", "q r"),
    ("Patient?gender:not=male,female", "q"),
    ("Condition?code:not=puppy", "dog cat bare text"),
    // The text of the concept and the displays of its codes, from their start, without case and accents.
    ("Condition?code:text=hound", "dog text"),
    ("Condition?code:text=UN%20CHIEN", "dog"),
    ("Condition?code:text=baskerville", ""),
    ("Condition?code:text=un,hound%20of", "dog text"),
    ("Patient?identifier:text=record", "p q"),
    ("Condition?code:text=hound&code=dog", "dog"),
    // Bars, commas and dollars that are part of a code.
    (r"Patient?identifier=http://clinic|4\|7", "p q"),
    ("Patient?identifier=4%5C%7C7", "p q"),
    (r"Patient?identifier=http://a\,b|c\$\\d", "r"),
    (r"Patient?identifier=http://a\,b|c$\\d,http://clinic|none", "r"),
    (r"Patient?identifier=c\$d", ""),
    (r"Patient?identifier:of-type=http://types|MR|4\|7", "p"),
    (r"Patient?identifier:of-type=http://types|MR|4", ""),
    // A value set by id, by this server's URL of it, by its canonical URL with and without a version.
    ("Condition?code:in=ValueSet/dogs", "puppy dog several"),
    ("Condition?code:in=http://sets/dogs", "puppy dog several"),
    ("Condition?code:in=http://sets/dogs|1", "puppy dog several"),
    ("Condition?code:in=http://sets/others", "cat several"),
    ("Condition?code:in=http://sets/dogs,http://sets/others", "puppy dog cat several"),
    ("Condition?code:not-in=http://sets/dogs", "cat bare text"),
    ("Patient?gender:in=http://hl7.org/fhir/ValueSet/administrative-gender", "p r"),
    ("Condition?code:below=http://beasts|dog", "puppy dog several"),
    ("Condition?code:above=http://beasts|dog", "dog"),
    ("Condition?code:above=http://beasts|puppy", "puppy dog several"),
    // Behind links too.
    ("Patient?_has:Condition:patient:code:in=http://sets/dogs", "p"),
    ("Condition?patient.identifier:of-type=http://types|SS|1", ""),
    ("Condition?patient.gender:in=http://hl7.org/fhir/ValueSet/administrative-gender&code=cat", "cat"),
    ("DocumentReference?contenttype=text/xml", "plain"),
    ("DocumentReference?contenttype:below=text/xml", "plain charset"),
    // A mere text has no case, an identifier has.
    ("ValueSet?version=1", "dogs"),
    ("Patient?phone=555", "p"),
    ("Patient?active=true", "p"),
];

#[tokio::test]
async fn tokens_are_found_by_form_text_type_set_and_hierarchy() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (search, expected) in FOUND {
        assert_eq!(fhir.ids(search, "match").await.join(" "), *expected, "{search}");
    }
    let own = format!("Condition?code:in={}/fhir/ValueSet/dogs", product.http);
    assert_eq!(fhir.ids(&own, "match").await.join(" "), "puppy dog several");
}

/// What is not understood or cannot be told, with what the refusal says.
const REFUSED: &[(&str, &str, &str)] = &[
    ("Condition?code:in=http://sets/none", "value", "no value set `http://sets/none` is stored here"),
    ("Condition?code:not-in=ValueSet/none", "value", "no value set `ValueSet/none`"),
    ("Condition?code:in=http://sets/dogs|2", "value", "no value set `http://sets/dogs|2`"),
    ("Condition?code:in=http://sets/foreign", "value", "the system `http://snomed.info/sct` are not stored here"),
    ("Condition?code:in=dogs", "value", "the URL of a value set"),
    ("Condition?code:below=dog", "value", "`system|code`"),
    ("Condition?code:below=http://beasts|wolf", "value", "`wolf` is not a code of `http://beasts`"),
    ("Condition?code:below=http://loinc.org|1-8", "value", "`http://loinc.org` are not stored here"),
    ("Patient?_has:Condition:patient:code:in=http://sets/none", "value", "no value set"),
    ("Patient?identifier:of-type=http://types|MR", "value", "`system|code|value`"),
    ("Condition?code:of-type=a|b|c", "not-supported", "`:of-type` is not a modifier of `code`"),
    ("Patient?gender:text=male", "not-supported", "`:text` is not a modifier of `gender`"),
    ("Patient?active:in=http://sets/dogs", "not-supported", "`:in` is not a modifier of `active`"),
    ("Patient?phone=phone|555", "value", "without a system"),
    ("Patient?active=|true", "value", "without a system"),
    ("Condition?code=a|b|c", "value", "`system|code`"),
    ("Patient?identifier=http://clinic|4|7", "value", "`system|code`"),
    (r"Patient?identifier=a\b", "value", "`system|code`"),
];

#[tokio::test]
async fn what_cannot_be_told_is_refused_and_never_empty_or_everything() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (search, code, says) in REFUSED {
        fhir.get(search).await.check_outcome(400, code, says);
    }
    let sets = "code:in=http://sets/dogs&".repeat(21);
    fhir.get(&format!("Condition?{sets}")).await.check_outcome(400, "value", "more than 20 sets of codes");
    let create = |condition: &'static str| {
        let body = json!({ "resourceType": "Patient" }).to_string();
        let fhir = &fhir;
        async move { fhir.raw("POST", "Patient", &[("if-none-exist", condition)], body).await }
    };
    create("gender:in=http://sets/none").await.check_outcome(400, "value", "no value set");
    create("identifier:of-type=http://types|MR|4\\|7").await.check(200);
}
