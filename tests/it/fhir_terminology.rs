//! Operations on codes: `$expand`, `$lookup`, `$validate-code`, `$subsumes`
//! (<https://hl7.org/fhir/R4/terminology-service.html>).

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;

fn value_set(id: &str, compose: &Value) -> Value {
    json!({ "resourceType": "ValueSet", "id": id, "url": format!("http://sets/{id}"), "status": "active",
        "compose": compose })
}

async fn seed(fhir: &Fhir) {
    let many: Vec<Value> = (0..10_001).map(|number| json!({ "code": format!("c{number}") })).collect();
    for resource in [
        json!({ "resourceType": "CodeSystem", "id": "beasts", "url": "http://beasts", "version": "3", "title": "Beasts",
            "status": "active", "content": "complete", "concept": [
                { "code": "animal", "property": [{ "code": "notSelectable", "valueBoolean": true }], "concept": [
                    { "code": "dog", "display": "Dog", "definition": "Barks.",
                      "designation": [{ "language": "fr", "value": "Chien" }], "concept": [{ "code": "puppy" }] },
                    { "code": "dodo", "display": "Dodo", "property": [{ "code": "inactive", "valueBoolean": true }] }] },
                { "code": "stone", "property": [{ "code": "weight", "valueDecimal": 65.0 }] }] }),
        json!({ "resourceType": "CodeSystem", "id": "part", "url": "http://part", "status": "active",
            "content": "fragment", "concept": [{ "code": "known" }] }),
        json!({ "resourceType": "CodeSystem", "id": "many", "url": "http://many", "status": "active",
            "content": "complete", "concept": many }),
        json!({ "resourceType": "CodeSystem", "id": "loud", "url": "http://loud", "status": "active",
            "content": "complete", "caseSensitive": false, "concept": [
                { "code": "Sound", "display": "Any", "concept": [{ "code": "Bang" }, { "code": "hiss" }] }] }),
        value_set(
            "sounds",
            &json!({ "include": [{ "system": "http://loud",
            "filter": [{ "property": "concept", "op": "descendent-of", "value": "SOUND" }] }] }),
        ),
        value_set(
            "bangs",
            &json!({ "include": [{ "system": "http://loud", "concept": [{ "code": "BANG" }],
            "valueSet": ["http://sets/sounds"] }] }),
        ),
        value_set("all", &json!({ "include": [{ "system": "http://beasts" }] })),
        value_set("used", &json!({ "inactive": false, "include": [{ "system": "http://beasts" }] })),
        value_set("both", &json!({ "include": [{ "system": "http://beasts", "valueSet": ["http://sets/listed"] }] })),
        value_set(
            "listed",
            &json!({ "include": [{ "system": "http://loinc.org",
            "concept": [{ "code": "8867-4", "display": "Heart rate" }] },
            { "system": "http://beasts", "concept": [{ "code": "dog" }] }] }),
        ),
        value_set("ring", &json!({ "include": [{ "valueSet": ["http://sets/ring"] }] })),
        value_set("units", &json!({ "include": [{ "system": "http://unitsofmeasure.org" }] })),
        value_set("foreign", &json!({ "include": [{ "system": "http://loinc.org" }] })),
        value_set("huge", &json!({ "include": [{ "system": "http://many" }] })),
        json!({ "resourceType": "ValueSet", "id": "brought", "url": "http://sets/brought", "status": "active",
            "compose": { "include": [{ "system": "http://loinc.org" }] },
            "expansion": { "timestamp": "2024-01-01T00:00:00Z", "total": 1,
                "contains": [{ "system": "http://loinc.org", "code": "1-8" }] } }),
    ] {
        fhir.put(&resource).await.check(201);
    }
}

fn codes(expansion: &Value) -> String {
    let contains = expansion["expansion"]["contains"].as_array().map_or(&[][..], Vec::as_slice);
    contains.iter().map(|member| member["code"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// The value of a parameter of an answer.
fn parameter<'p>(answer: &'p Value, name: &str) -> Option<&'p Value> {
    let parameter = answer["parameter"].as_array()?.iter().find(|parameter| parameter["name"] == name)?;
    parameter.as_object()?.iter().find_map(|(member, value)| member.starts_with("value").then_some(value))
}

#[tokio::test]
async fn a_value_set_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (call, expected) in [
        ("ValueSet/all/$expand", "animal dog puppy dodo stone"),
        ("ValueSet/$expand?url=http://sets/all", "animal dog puppy dodo stone"),
        ("ValueSet/all/$expand?activeOnly=true&excludeNotForUI=true", "dog puppy stone"),
        ("ValueSet/used/$expand", "animal dog puppy stone"),
        ("ValueSet/all/$expand?filter=DO", "dog dodo"),
        ("ValueSet/all/$expand?offset=1&count=2", "dog puppy"),
        ("ValueSet/all/$expand?count=0", ""),
        ("ValueSet/listed/$expand", "8867-4 dog"),
        ("ValueSet/both/$expand", "dog"),
        ("ValueSet/brought/$expand", "1-8"),
        ("ValueSet/sounds/$expand", "Bang hiss"),
        ("ValueSet/bangs/$expand", "Bang"),
        ("ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender", "female male other unknown"),
    ] {
        assert_eq!(codes(&fhir.get(call).await.check(200).json()), expected, "{call}");
    }
    let all = fhir.get("ValueSet/all/$expand?count=1&includeDesignations=true&offset=1").await.check(200).json();
    let (expansion, dog) = (&all["expansion"], &all["expansion"]["contains"][0]);
    assert_eq!((&expansion["total"], &expansion["offset"]), (&json!(5), &json!(1)));
    assert!(expansion["identifier"].as_str().unwrap().starts_with("urn:uuid:"));
    assert_eq!(
        dog,
        &json!({ "system": "http://beasts", "version": "3", "code": "dog", "display": "Dog",
            "designation": [{ "language": "fr", "value": "Chien" }] })
    );
    assert_eq!((&all["url"], all.get("compose")), (&json!("http://sets/all"), None));
    let sent =
        value_set("sent", &json!({ "include": [{ "system": "http://beasts", "concept": [{ "code": "dog" }] }] }));
    let answer = fhir.raw("POST", "ValueSet/$expand", &[], sent.to_string()).await.check(200).json();
    assert_eq!((codes(&answer).as_str(), &answer["expansion"]["contains"][0]["display"]), ("dog", &json!("Dog")));
}

#[tokio::test]
async fn what_cannot_be_listed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (call, status, code, says) in [
        ("ValueSet/$expand?url=http://sets/none", 404, "not-found", "no value set"),
        ("ValueSet/none/$expand", 404, "not-found", "no value set"),
        ("ValueSet/foreign/$expand", 404, "not-found", "`http://loinc.org` are not stored"),
        ("ValueSet/ring/$expand", 422, "processing", "includes itself"),
        ("ValueSet/units/$expand", 422, "processing", "without number"),
        ("ValueSet/huge/$expand", 400, "too-costly", "more than 10000 codes"),
        ("ValueSet/$expand", 400, "required", "Name one value set"),
        ("ValueSet/all/$expand?url=http://sets/all", 400, "required", "Name one value set"),
        ("ValueSet/all/$expand?count=-1", 400, "value", "a number from 0"),
        ("ValueSet/all/$expand?date=2024", 400, "not-supported", "`date` is not a parameter"),
        ("CodeSystem/$lookup?code=dog", 400, "required", "`system`"),
        ("CodeSystem/$lookup?system=http://beasts&code=wolf", 404, "not-found", "`wolf` is not a code"),
        ("CodeSystem/$lookup?system=http://loinc.org&code=1-8", 404, "not-found", "`http://loinc.org` are not stored"),
        ("CodeSystem/$validate-code?url=http://part&code=other", 404, "not-found", "`http://part` are not stored"),
        ("ValueSet/foreign/$validate-code?system=http://loinc.org&code=1-8", 404, "not-found", "are not stored"),
        ("CodeSystem/$subsumes?system=http://beasts&codeA=dog&codeB=wolf", 404, "not-found", "`wolf` is not a code"),
    ] {
        fhir.get(call).await.check_outcome(status, code, says);
    }
}

#[tokio::test]
async fn a_code_is_looked_up() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    let dog = fhir.get("CodeSystem/$lookup?system=http://beasts&code=dog").await.check(200).json();
    assert_eq!(parameter(&dog, "name"), Some(&json!("Beasts")));
    assert_eq!((parameter(&dog, "version"), parameter(&dog, "display")), (Some(&json!("3")), Some(&json!("Dog"))));
    let properties: Vec<String> = dog["parameter"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|parameter| parameter["name"] == "property")
        .map(|property| {
            let value = property["part"][1].as_object().unwrap().iter().find(|(name, _)| name.starts_with("value"));
            format!("{} {}", property["part"][0]["valueCode"].as_str().unwrap(), value.unwrap().1)
        })
        .collect();
    assert_eq!(properties, [r#"definition "Barks.""#, r#"parent "animal""#, r#"child "puppy""#]);
    let coding = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "coding", "valueCoding": { "system": "http://beasts", "code": "stone" } },
        { "name": "property", "valueCode": "weight" }] });
    let stone = fhir.raw("POST", "CodeSystem/$lookup", &[], coding.to_string()).await.check(200);
    assert!(stone.text.contains(r#""valueDecimal":65.0"#), "{}", stone.text);
    let sound = fhir.get("CodeSystem/$lookup?system=http://loud&code=SOUND").await.check(200).json();
    assert_eq!(parameter(&sound, "display"), Some(&json!("Any")), "the system does without case");
    let unit = "CodeSystem/$lookup?system=http://unitsofmeasure.org&code=mm[Hg]";
    assert_eq!(parameter(&fhir.get(unit).await.check(200).json(), "display"), Some(&json!("mm[Hg]")));
}

#[tokio::test]
async fn a_code_is_judged_and_two_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    let ucum = "system=http://unitsofmeasure.org";
    for (call, expected) in [
        ("CodeSystem/$validate-code?url=http://beasts&code=dog".to_owned(), true),
        ("CodeSystem/beasts/$validate-code?code=wolf".to_owned(), false),
        ("CodeSystem/beasts/$validate-code?code=DOG".to_owned(), false),
        ("CodeSystem/loud/$validate-code?code=BANG".to_owned(), true),
        ("ValueSet/sounds/$validate-code?system=http://loud&code=HISS".to_owned(), true),
        ("ValueSet/sounds/$validate-code?system=http://loud&code=sound".to_owned(), false),
        ("ValueSet/bangs/$validate-code?system=http://loud&code=bang".to_owned(), true),
        ("CodeSystem/beasts/$validate-code?code=dog&display=chien".to_owned(), true),
        ("CodeSystem/beasts/$validate-code?code=dog&display=Cat".to_owned(), false),
        ("CodeSystem/beasts/$validate-code?code=animal&abstract=false".to_owned(), false),
        ("CodeSystem/$validate-code?url=http://part&code=known".to_owned(), true),
        ("CodeSystem/$validate-code?url=http://unitsofmeasure.org&code=mg/dL".to_owned(), true),
        ("CodeSystem/$validate-code?url=http://unitsofmeasure.org&code=bananas".to_owned(), false),
        ("ValueSet/all/$validate-code?system=http://beasts&code=puppy".to_owned(), true),
        ("ValueSet/both/$validate-code?system=http://beasts&code=puppy".to_owned(), false),
        ("ValueSet/listed/$validate-code?system=http://loinc.org&code=8867-4".to_owned(), true),
        ("ValueSet/used/$validate-code?system=http://beasts&code=dodo".to_owned(), false),
        ("ValueSet/huge/$validate-code?system=http://many&code=c10000".to_owned(), true),
        (format!("ValueSet/units/$validate-code?{ucum}&code=mm[Hg]"), true),
        (format!("ValueSet/units/$validate-code?{ucum}&code=bananas"), false),
    ] {
        let answer = fhir.get(&call).await.check(200).json();
        assert_eq!(parameter(&answer, "result"), Some(&json!(expected)), "{call}");
        assert_eq!(parameter(&answer, "message").is_none(), expected, "{call}");
    }
    let concept = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "url", "valueUri": "http://sets/listed" },
        { "name": "codeableConcept", "valueCodeableConcept": { "coding": [
            { "system": "http://other", "code": "x" }, { "system": "http://beasts", "code": "dog" }] } }] });
    let judged = fhir.raw("POST", "ValueSet/$validate-code", &[], concept.to_string()).await.check(200).json();
    assert_eq!(parameter(&judged, "result"), Some(&json!(true)));
    for (one, other, expected) in [
        ("dog", "dog", "equivalent"),
        ("animal", "puppy", "subsumes"),
        ("puppy", "dog", "subsumed-by"),
        ("dog", "stone", "not-subsumed"),
    ] {
        for call in [
            format!("CodeSystem/$subsumes?system=http://beasts&codeA={one}&codeB={other}"),
            format!("CodeSystem/beasts/$subsumes?codeA={one}&codeB={other}"),
        ] {
            let answer = fhir.get(&call).await.check(200).json();
            assert_eq!(parameter(&answer, "outcome"), Some(&json!(expected)), "{call}");
        }
    }
    let loud = fhir.get("CodeSystem/loud/$subsumes?codeA=SOUND&codeB=bang").await.check(200).json();
    assert_eq!(parameter(&loud, "outcome"), Some(&json!("subsumes")));
}

#[tokio::test]
async fn a_code_system_of_many_concepts_is_stored_and_found_by_each() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let system = |concepts: usize| {
        let concepts: Vec<Value> = (0..concepts).map(|number| json!({ "code": format!("c{number}") })).collect();
        json!({ "resourceType": "CodeSystem", "id": "large", "url": "http://large", "status": "active",
            "content": "complete", "concept": concepts })
    };
    fhir.put(&system(30_000)).await.check(201);
    assert_eq!(fhir.ids("CodeSystem?code=c29999", "match").await, ["large"]);
    fhir.get("CodeSystem/large/$validate-code?code=c29999").await.check(200);
    fhir.put(&system(100_001)).await.check_outcome(413, "too-long", "more than 100000 values");
}
