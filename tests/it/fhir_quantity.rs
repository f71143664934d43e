//! Quantity parameters, <https://hl7.org/fhir/R4/search.html#quantity>, and the order of what they find.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::process::Vitalwire;

const UCUM: &str = "http://unitsofmeasure.org";

fn quantity(value: &str, system: &str, code: &str) -> Value {
    let value: Value = serde_json::from_str(value).unwrap();
    let mut quantity = json!({ "value": value });
    for (name, text) in [("system", system), ("code", code)].into_iter().filter(|(_, text)| !text.is_empty()) {
        quantity[name] = text.into();
    }
    quantity
}

fn stored() -> Vec<Value> {
    let observation = |id: &str, name: &str, value: Value| json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "text": id }, name: value });
    let of = |id: &str, value: &str, system: &str, code: &str| {
        observation(id, "valueQuantity", quantity(value, system, code))
    };
    let mut below = quantity("5", UCUM, "mg");
    below["comparator"] = "<".into();
    vec![
        of("gram", "0.005", UCUM, "g"),
        of("milli", "5.0", UCUM, "mg"),
        of("edge", "4.5", UCUM, "mg"),
        of("over", "5.5", UCUM, "mg"),
        of("litre", "5", UCUM, "mg/L"),
        of("other", "5", "http://other", "mg"),
        of("bare", "5", "", ""),
        of("warm", "98.6", UCUM, "[degF]"),
        of("acid", "7.4", UCUM, "[pH]"),
        of("junk", "5", UCUM, "((mg"),
        observation("below", "valueQuantity", below),
        observation(
            "wave",
            "valueSampledData",
            json!({
                "origin": quantity("1000", UCUM, "mg"), "period": 10, "dimensions": 1, "data": "0 20 E -10",
            }),
        ),
    ]
}

const FOUND: &[(&str, &str)] = &[
    // UCUM is compared by what it amounts to, and with the precision of what is asked.
    ("5|http://unitsofmeasure.org|mg", "gram milli edge"),
    ("5.0|http://unitsofmeasure.org|mg", "gram milli"),
    ("0.005|http://unitsofmeasure.org|g", "gram milli edge"),
    ("5e-3|http://unitsofmeasure.org|g", "gram milli"),
    ("5000|http://unitsofmeasure.org|ug", "gram milli"),
    ("ne5|http://unitsofmeasure.org|mg", "over below wave"),
    ("37.0|http://unitsofmeasure.org|Cel", "warm"),
    ("ge310.15|http://unitsofmeasure.org|K", "warm"),
    // Prefixes of order mean the number itself.
    ("ge5|http://unitsofmeasure.org|mg", "gram milli over wave"),
    ("gt5|http://unitsofmeasure.org|mg", "over wave"),
    ("le5|http://unitsofmeasure.org|mg", "gram milli edge below"),
    ("lt0.005|http://unitsofmeasure.org|g", "edge below"),
    ("sa4.5|http://unitsofmeasure.org|mg", "gram milli over wave"),
    ("eb5|http://unitsofmeasure.org|mg", "edge below"),
    ("ap5|http://unitsofmeasure.org|mg", "gram milli edge below"),
    // Bounds of samples.
    ("gt1.01|http://unitsofmeasure.org|g", "wave"),
    ("gt1020|http://unitsofmeasure.org|mg", ""),
    ("lt990|http://unitsofmeasure.org|mg", "gram milli edge over below"),
    // What does not convert is compared to the letter.
    ("7.4|http://unitsofmeasure.org|[pH]", "acid"),
    ("5|http://unitsofmeasure.org|((mg", "junk"),
    ("5|http://other|mg", "other"),
    ("5|http://other|g", ""),
    ("5|http://unitsofmeasure.org|s", ""),
    ("5||mg", "milli edge other"),
    ("5||g", ""),
    ("5", "milli edge litre other bare junk"),
    ("5|http://unitsofmeasure.org|", "milli edge litre junk"),
];

#[tokio::test]
async fn a_quantity_is_found_by_what_it_amounts_to() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for resource in stored() {
        fhir.put(&resource).await.check(201);
    }
    for (value, expected) in FOUND {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        let search = format!("Observation?value-quantity={value}");
        assert_eq!(fhir.ids(&search, "match").await, expected, "{search}");
        assert_eq!(fhir.count(&search).await, expected.len() as u64, "{search}");
    }
    let masses = "_id=gram,milli,edge,over,below,wave,warm,acid";
    for (order, expected) in [
        ("value-quantity,-_id", "warm below edge milli gram over wave acid"),
        ("-value-quantity,_id", "acid wave over gram milli below edge warm"),
    ] {
        assert_eq!(fhir.ids(&format!("Observation?{masses}&_sort={order}"), "match").await.join(" "), expected);
        let paged = fhir.all(&format!("Observation?{masses}&_sort={order}&_count=3")).await;
        let paged: Vec<&str> = paged.iter().map(|resource| resource["id"].as_str().unwrap()).collect();
        assert_eq!(paged.join(" "), expected, "over pages");
    }
    for (value, says) in [("5|mg", "number|system|code"), ("|u|mg", "a number"), ("5|a|b|c", "number|system|code")] {
        let refused = fhir.get(&format!("Observation?value-quantity={value}")).await.check(400);
        assert!(refused.text.contains(says), "{refused:?}");
    }
}

#[tokio::test]
async fn a_range_is_an_interval() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for (id, name, onset) in [
        ("teens", "onsetRange", json!({ "low": quantity("13", UCUM, "a"), "high": quantity("19", UCUM, "a") })),
        ("adult", "onsetRange", json!({ "low": quantity("18", UCUM, "a") })),
        ("infant", "onsetRange", json!({ "high": quantity("12", UCUM, "mo") })),
        ("exact", "onsetAge", quantity("15", UCUM, "a")),
    ] {
        let subject = json!({ "reference": "Patient/p" });
        let condition = json!({ "resourceType": "Condition", "id": id, "subject": subject, name: onset });
        fhir.put(&condition).await.check(201);
    }
    for (value, expected) in [
        ("gt18|http://unitsofmeasure.org|a", "teens adult"),
        ("lt14|http://unitsofmeasure.org|a", "teens infant"),
        ("sa12|http://unitsofmeasure.org|a", "teens adult exact"),
        ("eb2|http://unitsofmeasure.org|a", "infant"),
        ("15|http://unitsofmeasure.org|a", "exact"),
        ("ap15|http://unitsofmeasure.org|a", "teens exact"),
        ("lt1|http://unitsofmeasure.org|a", "infant"),
    ] {
        let search = format!("Condition?onset-age={value}&_sort=_id");
        let mut expected: Vec<&str> = expected.split_whitespace().collect();
        expected.sort_unstable();
        assert_eq!(fhir.ids(&search, "match").await, expected, "{search}");
    }
}
