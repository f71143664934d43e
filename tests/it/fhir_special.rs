//! Parameters with rules of their own: words, sounds, distances, and the first resource of a Bundle.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::process::Vitalwire;

#[tokio::test]
async fn words_are_found_in_narratives_and_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let patient = |id: &str, div: Option<&str>, family: &str| {
        let text = div.map(|div| json!({ "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{div}</div>") }));
        let mut patient = json!({ "resourceType": "Patient", "id": id, "name": [{ "family": family }] });
        if let Some(text) = text {
            patient["text"] = text;
        }
        patient
    };
    for resource in [
        patient("a", Some("<p>Heart <b>Rate</b> &amp; rhythm</p><!-- private -->"), "Roy"),
        patient("b", Some("<p title=\"hidden\">Herzfrequenz f&#252;r Zoë</p>"), "Heart"),
        patient("c", None, "Heartman"),
    ] {
        fhir.put(&resource).await.check(201);
    }
    let check = async |search: &str, expected: &[&str]| {
        assert_eq!(fhir.ids(&format!("Patient?{search}"), "match").await, expected, "{search}");
    };
    check("_text=heart", &["a"]).await;
    check("_text=RATE%20hea", &["a"]).await;
    check("_text=heart%20fur", &[]).await;
    check("_text=heart,fur", &["a", "b"]).await;
    check("_text=heart&_text=rhythm", &["a"]).await;
    check("_text=private", &[]).await;
    check("_text=hidden", &[]).await;
    check("_text=zoe", &["b"]).await;
    check("_text:missing=true", &["c"]).await;
    check("_content=heart", &["a", "b", "c"]).await;
    check("_content=heart%20zoe", &["b"]).await;
    check("_content=heart&family=roy", &["a"]).await;
    check("_content=w3", &[]).await;
    check("_content=family", &[]).await;
    check("_content=generated&_id=a,c", &["a"]).await;
    // What is no longer in the narrative is no longer found.
    fhir.put(&patient("a", Some("<p>Breath</p>"), "Roy")).await.check(200);
    check("_text=heart", &[]).await;
    check("_text=breath", &["a"]).await;
    for (search, says) in [
        ("Patient?_text=-", "one or more words"),
        ("Patient?_content=", "one or more words"),
        ("Patient?_text:exact=x", "not a modifier"),
        ("Patient?_content:missing=true", "not a modifier"),
        ("Patient?_sort=_text", "have an order"),
        ("Patient?_sort=phonetic", "have an order"),
        ("Location?_sort=near", "have an order"),
        ("Patient?_query=x", "stored queries"),
    ] {
        let answer = fhir.get(search).await.check(400);
        assert!(answer.text.contains(says), "{search}: {answer:?}");
    }
}

#[tokio::test]
async fn names_are_found_by_their_sound() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for (id, family, given) in
        [("a", "Meyer", "Jon"), ("b", "Maier", "John"), ("c", "Smith", "Jean"), ("d", "李", "Wei")]
    {
        fhir.put(&json!({ "resourceType": "Patient", "id": id, "name": [{ "family": family, "given": [given] }] }))
            .await
            .check(201);
    }
    fhir.put(&json!({ "resourceType": "Organization", "id": "o", "name": "Maier Clinics" })).await.check(201);
    for (search, expected) in [
        ("Patient?phonetic=meier", vec!["a", "b"]),
        ("Patient?phonetic=smyth", vec!["c"]),
        ("Patient?phonetic=jean%20mayer", vec!["a", "b"]),
        ("Patient?phonetic=%E6%9D%8E", vec!["d"]),
        ("Organization?phonetic=klinix", vec![]),
        ("Organization?phonetic=clynyks", vec!["o"]),
        ("Patient?phonetic=meier,smyth&gender:missing=true", vec!["a", "b", "c"]),
    ] {
        assert_eq!(fhir.ids(search, "match").await, expected, "{search}");
    }
}

#[tokio::test]
async fn places_are_found_by_their_distance() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for (id, position) in [
        ("munich", json!({ "latitude": 48.1374, "longitude": 11.5755 })),
        ("schwabing", json!({ "latitude": 48.1663, "longitude": 11.5857, "altitude": 510 })),
        ("berlin", json!({ "latitude": 52.52, "longitude": 13.405 })),
        ("fiji", json!({ "latitude": -16.8, "longitude": 179.99 })),
    ] {
        fhir.put(&json!({ "resourceType": "Location", "id": id, "position": position })).await.check(201);
    }
    fhir.put(&json!({ "resourceType": "Location", "id": "nowhere" })).await.check(201);
    for (near, expected) in [
        // Five kilometres when nobody says how far.
        ("48.1374|11.5755", vec!["munich", "schwabing"]),
        ("48.1374|11.5755|3", vec!["munich"]),
        ("48.1374|11.5755|3500|m", vec!["munich", "schwabing"]),
        ("48.1374|11.5755|2|[mi_i]", vec!["munich"]),
        ("48.1374|11.5755|503|km", vec!["munich", "schwabing"]),
        ("48.1374|11.5755|505|km", vec!["munich", "schwabing", "berlin"]),
        ("-16.8|-179.99|5|km", vec!["fiji"]),
        ("0|0|30000|km", vec!["munich", "schwabing", "berlin", "fiji"]),
        ("52.52|13.405|1,48.1374|11.5755|1", vec!["munich", "berlin"]),
    ] {
        let search = format!("Location?near={near}");
        assert_eq!(fhir.ids(&search, "match").await, expected, "{near}");
    }
    for near in ["48", "48|200", "48|11|-1", "48|11|1|furlong", "x|y", "48|11|1|km|1"] {
        fhir.get(&format!("Location?near={near}")).await.check_outcome(
            400,
            "value",
            "`latitude|longitude|distance|units`",
        );
    }
    fhir.get("Location?near:missing=true").await.check_outcome(400, "not-supported", "not a modifier");
}

#[tokio::test]
async fn a_document_is_found_by_its_composition() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let bundle = |id: &str, kind: &str, entries: Value| json!({ "resourceType": "Bundle", "id": id, "type": kind, "entry": entries });
    let composition = |id: &str| {
        json!({ "resourceType": "Composition", "id": id, "status": "final", "type": { "text": "x" }, "date": "2024",
            "author": [{ "display": "x" }], "title": "x" })
    };
    let header =
        json!({ "resourceType": "MessageHeader", "id": "m", "eventUri": "urn:x", "source": { "endpoint": "urn:y" } });
    let url = |id: &str| format!("{}/fhir/Composition/{id}", product.http);
    for resource in [
        bundle("one", "document", json!([{ "fullUrl": url("c1"), "resource": composition("c1") }])),
        bundle(
            "two",
            "document",
            json!([{ "fullUrl": "urn:uuid:0b1c", "resource": composition("c2") },
            { "fullUrl": url("c1"), "resource": composition("c1") }]),
        ),
        bundle("three", "message", json!([{ "fullUrl": "urn:uuid:0b1d", "resource": header }])),
    ] {
        fhir.put(&resource).await.check(201);
    }
    for (search, expected) in [
        ("composition=c1", vec!["one"]),
        ("composition=Composition/c2", vec!["two"]),
        ("composition=urn:uuid:0b1c", vec!["two"]),
        (&*format!("composition={}", url("c1")), vec!["one"]),
        ("composition:missing=true", vec!["three"]),
        ("message=m", vec!["three"]),
    ] {
        assert_eq!(fhir.ids(&format!("Bundle?{search}"), "match").await, expected, "{search}");
    }
    fhir.get("Bundle?composition.type=x").await.check_outcome(400, "not-supported", "inside a Bundle");
    fhir.get("Bundle?composition:identifier=x").await.check_outcome(400, "not-supported", "not a modifier");
}
