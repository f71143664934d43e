//! Number parameters, <https://hl7.org/fhir/R4/search.html#number>, row by row of the specification's table.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::process::Vitalwire;

fn stored() -> Vec<Value> {
    let assessment = |id: &str, name: &str, value: &str| {
        let value: Value = serde_json::from_str(value).unwrap();
        json!({ "resourceType": "RiskAssessment", "id": id, "status": "final", "subject": { "reference": "Patient/p" },
            "prediction": [{ name: value }] })
    };
    let numbers = ["94.9", "95", "99.4", "99.5", "99.995", "100", "100.49", "100.5", "104.9", "105"];
    let mut stored: Vec<Value> =
        numbers.iter().map(|number| assessment(&format!("n{number}"), "probabilityDecimal", number)).collect();
    stored.push(assessment("range", "probabilityRange", r#"{"low":{"value":99.6},"high":{"value":100.4}}"#));
    stored.push(assessment("open", "probabilityRange", r#"{"low":{"value":104}}"#));
    stored
}

const FOUND: &[(&str, &str)] = &[
    ("100", "n99.5 n99.995 n100 n100.49 range"),
    ("eq100", "n99.5 n99.995 n100 n100.49 range"),
    ("100.00", "n99.995 n100"),
    ("1e2", "n95 n99.4 n99.5 n99.995 n100 n100.49 n100.5 n104.9 range"),
    ("1.00e2", "n99.5 n99.995 n100 n100.49 range"),
    ("lt100", "n94.9 n95 n99.4 n99.5 n99.995 range"),
    ("le100", "n94.9 n95 n99.4 n99.5 n99.995 n100 range"),
    ("gt100", "n100.49 n100.5 n104.9 n105 range open"),
    ("ge100", "n100 n100.49 n100.5 n104.9 n105 range open"),
    ("ne100", "n94.9 n95 n99.4 n100.5 n104.9 n105 open"),
    ("sa100", "n100.49 n100.5 n104.9 n105 open"),
    ("eb100", "n94.9 n95 n99.4 n99.5 n99.995"),
    ("ap105", "n94.9 n95 n99.4 n99.5 n99.995 n100 n100.49 n100.5 n104.9 n105 range open"),
    ("94.90,105", "n94.9 n104.9 n105"),
    ("ge100&probability=lt100.5", "n100 n100.49 range"),
];

#[tokio::test]
async fn a_number_means_what_the_table_of_the_specification_says() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for resource in stored() {
        fhir.put(&resource).await.check(201);
    }
    for (value, expected) in FOUND {
        let search = format!("RiskAssessment?probability={value}");
        assert_eq!(fhir.ids(&search, "match").await.join(" "), *expected, "{search}");
    }
    let sorted = |order: &str| format!("RiskAssessment?probability=gt100&_sort={order}");
    assert_eq!(fhir.ids(&sorted("probability"), "match").await.join(" "), "range n100.49 n100.5 open n104.9 n105");
    assert_eq!(fhir.ids(&sorted("-probability"), "match").await.join(" "), "open n105 n104.9 n100.5 n100.49 range");
    for value in ["", "x", "1.", "NaN", "1e999", "gt", "1,,2", "1|2"] {
        fhir.get(&format!("RiskAssessment?probability={value}")).await.check_outcome(400, "value", "a number");
    }
}
