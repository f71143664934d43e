//! `$stats` of Observations (<https://hl7.org/fhir/R4/observation-operation-stats.html>).

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;

const UCUM: &str = "http://unitsofmeasure.org";

fn quantity(value: &str, code: &str) -> Value {
    json!({ "value": serde_json::from_str::<Value>(value).unwrap(), "system": UCUM, "code": code })
}

fn observation(id: &str, patient: &str, code: &str, minute: u8, rest: Value) -> Value {
    let mut observation = json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": { "coding": [{ "system": "urn:s", "code": code }] },
        "subject": { "reference": format!("Patient/{patient}") },
        "effectiveDateTime": format!("2026-01-01T08:{minute:02}:00Z"),
    });
    for (name, value) in rest.as_object().unwrap() {
        observation[name] = value.clone();
    }
    observation
}

/// The values of the first result by statistic, with their digits, and its units.
fn values(answer: &Value, result: usize) -> Vec<(String, String)> {
    let components = answer["parameter"][result]["resource"]["component"].as_array().unwrap();
    let value = |component: &Value| match component.get("valueQuantity") {
        Some(value) => format!("{} {}", value["value"], value["unit"].as_str().unwrap()),
        None => component["dataAbsentReason"]["coding"][0]["code"].as_str().unwrap().to_owned(),
    };
    let code = |component: &Value| component["code"]["coding"][0]["code"].as_str().unwrap().to_owned();
    components.iter().map(|component| (code(component), value(component))).collect()
}

fn check(answer: &Value, result: usize, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(code, value)| ((*code).to_owned(), (*value).to_owned())).collect();
    assert_eq!(values(answer, result), expected);
}

async fn put_all(fhir: &Fhir, resources: &[Value]) {
    for resource in resources {
        fhir.put(resource).await.check(201);
    }
}

#[tokio::test]
async fn values_of_one_patient_in_any_unit_of_one_kind_become_one_result() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    put_all(
        &fhir,
        &[
            observation("a", "p", "w", 0, json!({ "valueQuantity": quantity("70.0", "kg") })),
            observation("b", "p", "w", 30, json!({ "valueQuantity": quantity("71000", "g") })),
            observation("c", "p", "w", 59, json!({ "valueQuantity": quantity("72.0", "kg") })),
            observation("no-unit", "p", "w", 1, json!({ "valueQuantity": { "value": 999, "unit": "stones" } })),
            observation(
                "wrong",
                "p",
                "w",
                1,
                json!({ "status": "entered-in-error", "valueQuantity": quantity("999", "kg") }),
            ),
            observation("other-code", "p", "x", 1, json!({ "valueQuantity": quantity("999", "kg") })),
            observation("other-patient", "q", "w", 1, json!({ "valueQuantity": quantity("999", "kg") })),
        ],
    )
    .await;
    let ask = "Observation/$stats?subject=Patient/p&code=w&system=urn:s";
    let answer = fhir.get_json(&format!("{ask}&statistic=average&statistic=max&statistic=min&statistic=count&statistic=total-count&statistic=std-dev&statistic=variance&statistic=regression")).await;
    assert_eq!(answer["parameter"].as_array().unwrap().len(), 1);
    check(
        &answer,
        0,
        &[
            ("average", "71.00000 kg"),
            ("maximum", "72.000 kg"),
            ("minimum", "70.000 kg"),
            ("count", "3 1"),
            ("total-count", "4 1"),
            ("std-dev", "1.00000 kg"),
            ("variance", "1.00000 (kg)2"),
            ("regression", "2.03370 (kg)/h"),
            ("regression", "69.99445 kg"),
        ],
    );
    let statistics = &answer["parameter"][0]["resource"];
    assert_eq!(statistics["subject"]["reference"], "Patient/p");
    assert_eq!(statistics["code"]["coding"][0], json!({ "system": "urn:s", "code": "w" }));
    assert_eq!(statistics["effectivePeriod"]["end"], "2026-01-01T08:59:00.000Z");

    let included = fhir.get_json(&format!("{ask}&statistic=count&include=true&limit=2")).await;
    let sources = included["parameter"].as_array().unwrap().iter().filter(|parameter| parameter["name"] == "source");
    assert_eq!(sources.count(), 2);
    let nobody =
        fhir.get_json("Observation/$stats?subject=Patient/r&code=w&system=urn:s&statistic=count,average").await;
    check(&nobody, 0, &[("count", "0 1"), ("average", "not-a-number")]);
    let past = fhir.get_json(&format!("{ask}&statistic=count&duration=1")).await;
    check(&past, 0, &[("count", "0 1")]);
    for query in [
        "subject=Patient/p&statistic=count",
        "subject=Patient/p&code=w&statistic=count",
        "subject=Patient/p&code=w&system=urn:s",
        "code=w&system=urn:s&statistic=count",
    ] {
        fhir.get(&format!("Observation/$stats?{query}")).await.check_outcome(400, "required", "");
    }
    fhir.get(&format!("{ask}&statistic=mode")).await.check_outcome(400, "value", "`mode`");
    fhir.get(&format!("{ask}&statistic=count&duration=-1")).await.check_outcome(400, "value", "hours");
}

#[tokio::test]
async fn panels_are_taken_apart_and_units_that_do_not_convert_are_kept_apart() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let pressure = |systolic: &str, diastolic: &str| {
        let part = |code: &str, value: &str| {
            json!({
                "code": { "coding": [{ "system": "urn:s", "code": code }] }, "valueQuantity": quantity(value, "mm[Hg]"),
            })
        };
        json!({ "component": [part("sys", systolic), part("dia", diastolic)] })
    };
    put_all(
        &fhir,
        &[
            observation("a", "p", "bp", 0, pressure("120", "80")),
            observation("b", "p", "bp", 1, pressure("130", "85")),
            observation("c", "p", "glucose", 1, json!({ "valueQuantity": quantity("5.5", "mmol/L") })),
            observation("d", "p", "glucose", 1, json!({ "valueQuantity": quantity("99", "mg/dL") })),
        ],
    )
    .await;
    let ask = "Observation/$stats?subject=Patient/p&system=urn:s&statistic=median,count";
    let panel = fhir.get_json(&format!("{ask}&code=bp")).await;
    let codes: Vec<&Value> =
        panel["parameter"].as_array().unwrap().iter().map(|it| &it["resource"]["code"]["coding"][0]["code"]).collect();
    assert_eq!(codes, ["bp", "sys", "dia"]);
    check(&panel, 1, &[("median", "125.000 mm[Hg]"), ("count", "2 1")]);
    let one = fhir.get_json(&format!("{ask}&code=dia")).await;
    check(&one, 0, &[("median", "82.5000 mm[Hg]"), ("count", "2 1")]);
    let glucose = fhir.get_json(&format!("{ask}&code=glucose")).await;
    check(&glucose, 0, &[("median", "5.50000 mmol/L"), ("count", "1 1")]);
    check(&glucose, 1, &[("median", "99.0000 mg/dL"), ("count", "1 1")]);
}

#[tokio::test]
async fn every_sample_counts_within_the_period() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let mut hour = observation(
        "a",
        "p",
        "hr",
        0,
        json!({
            "effectivePeriod": { "start": "2026-01-01T08:00:00Z", "end": "2026-01-01T08:59:59.999Z" },
            "valueSampledData": {
                "origin": { "value": 0, "system": UCUM, "code": "/min" }, "period": 60_000, "dimensions": 1,
                "data": "60 62 E 64 90",
            },
        }),
    );
    hour.as_object_mut().unwrap().remove("effectiveDateTime");
    put_all(&fhir, &[hour]).await;
    let ask = |period: Value| {
        json!({ "resourceType": "Parameters", "parameter": [
        { "name": "subject", "valueUri": "Patient/p" },
        { "name": "coding", "valueCoding": { "system": "urn:s", "code": "hr" } },
        { "name": "period", "valuePeriod": period },
        { "name": "statistic", "valueCode": "sum" },
        { "name": "statistic", "valueCode": "count" },
        { "name": "statistic", "valueCode": "total-count" },
    ] })
        .to_string()
    };
    let whole =
        fhir.raw("POST", "Observation/$stats", &[], ask(json!({ "start": "2026-01-01" }))).await.check(200).json();
    check(&whole, 0, &[("sum", "276 /min"), ("count", "4 1"), ("total-count", "5 1")]);
    let some = json!({ "start": "2026-01-01T08:00:30Z", "end": "2026-01-01T08:03:00Z" });
    let some = fhir.raw("POST", "Observation/$stats", &[], ask(some)).await.check(200).json();
    check(&some, 0, &[("sum", "126 /min"), ("count", "2 1"), ("total-count", "3 1")]);
}
