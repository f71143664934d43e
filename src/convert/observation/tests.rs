use serde_json::{Value, json};

use super::super::fixture::{Group, SYSTEM, template};
use super::build;

fn built(members: &str, group: &Group) -> Value {
    let built = build(&template(members), &group.content()).unwrap();
    assert_eq!(built.rejected, []);
    serde_json::from_slice(&built.json).unwrap()
}

/// What the readings become at `pointer`; all at 07:00:00 to 07:00:03.
#[track_caller]
fn check(members: &str, readings: &[(&str, &str, &str)], pointer: &str, expected: Value) {
    let observation = built(members, &Group::new(("0", "3"), readings));
    assert_eq!(observation.pointer(pointer).unwrap_or(&Value::Null), &expected, "{observation:#}");
}

#[track_caller]
fn check_failure(members: &str, readings: &[(&str, &str, &str)], code: &str) {
    let failure = build(&template(members), &Group::new(("0", "3"), readings).content()).unwrap_err();
    assert_eq!(failure.code, code);
}

const QUANTITY: &str =
    r#""value": { "valueName": "v", "valueType": "Quantity", "unit": "beats", "system": "urn:units", "code": "/min" }"#;
const STRING: &str = r#""value": { "valueName": "v", "valueType": "String" }"#;
const STREAM: &str =
    r#""value": { "valueName": "v", "valueType": "SampledData", "defaultPeriod": 1000, "unit": "mV" }"#;
const PRESSURE: &str = r#""components": [
    { "codes": [ { "code": "sys" } ], "value": { "valueName": "high", "valueType": "Quantity" } },
    { "codes": [], "value": { "valueName": "low", "valueType": "Quantity" } } ]"#;

#[test]
fn fm_14_code_is_the_templates_codes_and_one_of_our_own() {
    check(
        QUANTITY,
        &[],
        "/code",
        json!({ "coding": [ { "system": "urn:codes", "code": "1", "display": "One" },
            { "system": SYSTEM, "code": "T", "display": "T" } ], "text": "T" }),
    );
}

#[test]
fn fm_15_category() {
    check(QUANTITY, &[], "/category", Value::Null);
    check(
        r#""category": [ { "text": "Vital", "codes": [ { "code": "c" } ] }, { "codes": [] , "text": "x" } ]"#,
        &[],
        "/category",
        json!([ { "coding": [ { "code": "c" } ], "text": "Vital" }, { "text": "x" } ]),
    );
}

#[test]
fn fm_16_the_effective_time_is_a_period_with_seven_digits() {
    check(
        QUANTITY,
        &[],
        "/effectivePeriod",
        json!({ "start": "2024-03-02T07:00:00.0000000Z", "end": "2024-03-02T07:00:03.0000000Z" }),
    );
    for (end, expected) in [("3599.9999999", "2024-03-02T07:59:59.9999999Z"), ("0", "2024-03-02T07:00:00.0000000Z")] {
        let observation = built(QUANTITY, &Group::new(("0", end), &[("0", "v", "61")]));
        let expected = json!({ "start": "2024-03-02T07:00:00.0000000Z", "end": expected });
        assert_eq!(observation["effectivePeriod"], expected);
        let names: Vec<&String> = observation.as_object().unwrap().keys().collect();
        assert_eq!(names.iter().filter(|name| name.starts_with("effective")).count(), 1);
    }
}

#[test]
fn fm_17_fm_18_status_references_identifier_and_nothing_else() {
    let group = Group::new(("0", "3"), &[("1", "v", "61")]).with_encounter("e");
    let observation = built(QUANTITY, &group);
    assert_eq!(observation["status"], "final");
    assert_eq!(observation["issued"], "2024-03-02T07:00:09.5000000Z");
    assert_eq!(observation["subject"], json!({ "reference": "Patient/p" }));
    assert_eq!(observation["device"], json!({ "reference": "Device/d" }));
    assert_eq!(observation["encounter"], json!({ "reference": "Encounter/e" }));
    let value = "p.d.t.20240302070000Z.20240302070003Z";
    assert_eq!(observation["identifier"], json!([ { "system": SYSTEM, "value": value } ]));
    assert_eq!(observation["id"], crate::model::logical_id::logical_id(SYSTEM, value));
    let members: Vec<&String> = observation.as_object().unwrap().keys().collect();
    let expected = [
        "resourceType",
        "id",
        "identifier",
        "status",
        "code",
        "subject",
        "encounter",
        "effectivePeriod",
        "issued",
        "device",
        "valueQuantity",
    ];
    assert_eq!(members, expected);
    let without = built(QUANTITY, &Group::new(("0", "3"), &[("1", "v", "61")]));
    assert_eq!(without["encounter"], Value::Null);
}

#[test]
fn fm_19_fm_21_a_value_has_its_readings_and_no_others() {
    check(QUANTITY, &[("1", "other", "x"), ("1", "v", "61"), ("2", "V", "62")], "/valueQuantity/value", json!(61));
    check(QUANTITY, &[("1", "other", "1")], "/valueQuantity", Value::Null);
    check(PRESSURE, &[("1", "other", "1"), ("1", "low", "76")], "/component/1", Value::Null);
}

#[test]
fn fm_20_components_with_readings_in_template_order() {
    check(
        PRESSURE,
        &[("1", "low", "76"), ("1", "high", "118")],
        "/component",
        json!([
            { "code": { "coding": [ { "code": "sys" }, { "system": SYSTEM, "code": "high", "display": "high" } ], "text": "high" },
              "valueQuantity": { "value": 118 } },
            { "code": { "coding": [ { "system": SYSTEM, "code": "low", "display": "low" } ], "text": "low" },
              "valueQuantity": { "value": 76 } },
        ]),
    );
    check(PRESSURE, &[("1", "low", "76")], "/component/1", Value::Null);
    check(PRESSURE, &[], "/component", Value::Null);
}

#[test]
fn fm_22_sampled_data() {
    check(
        STREAM,
        &[("1.4", "v", "61"), ("3", "v", "63.50")],
        "/valueSampledData",
        json!({ "origin": { "value": 0, "unit": "mV" }, "period": 1000, "dimensions": 1, "data": "E 61 E 63.50" }),
    );
    check(
        STREAM,
        &[("2.9999999", "v", "62"), ("2", "v", "60"), ("3", "v", "E")],
        "/valueSampledData/data",
        json!("E E 62 E"),
    );
    let single = built(STREAM, &Group::new(("1", "1"), &[("1", "v", "61")]));
    assert_eq!(single["valueSampledData"]["data"], "61");
}

#[test]
fn fm_23_a_token_that_is_no_sample_is_left_out_and_reported() {
    let group = Group::new(("0", "3"), &[("0", "v", "U"), ("1", "v", "1 2"), ("2", "v", "L"), ("3", "v", "1E-05")]);
    let built = build(&template(STREAM), &group.content()).unwrap();
    let observation: Value = serde_json::from_slice(&built.json).unwrap();
    assert_eq!(observation["valueSampledData"]["data"], "U E L 1E-05");
    assert_eq!(built.rejected.len(), 1);
    assert_eq!(built.rejected[0].code, "InvalidSampledDataValueException");
    assert_eq!(built.rejected[0].reading.as_ref().unwrap().0, "v");
    check_failure(STREAM, &[("1", "v", "975 981")], "InvalidSampledDataValueException");
}

#[test]
fn fm_24_quantities_keep_their_digits() {
    let group = Group::new(("0", "3"), &[("1", "v", " 36.60 ")]);
    let built = build(&template(QUANTITY), &group.content()).unwrap();
    let text = String::from_utf8(built.json).unwrap();
    assert!(
        text.contains(r#""valueQuantity":{"value":36.60,"unit":"beats","system":"urn:units","code":"/min"}"#),
        "{text}"
    );
    for value in ["36,6", "abc", "True", ""] {
        check_failure(QUANTITY, &[("1", "v", value)], "InvalidQuantityFhirValueException");
    }
    check_failure(PRESSURE, &[("1", "high", "118"), ("1", "low", "x")], "InvalidQuantityFhirValueException");
}

const RANGE: &str = r#""value": { "valueName": "v", "valueType": "Range", "highValueName": "w", "unit": "mmol/L" }"#;
const RATIO: &str = r#""value": { "valueName": "v", "valueType": "Ratio", "denominatorValueName": "w", "code": "mg",
    "denominatorUnit": "millilitre", "denominatorSystem": "urn:units", "denominatorCode": "mL" }"#;

#[test]
fn fm_7_a_range_and_a_ratio_take_both_parts_of_one_time() {
    let readings = [("1", "v", "3.90"), ("1", "w", "5.5"), ("2", "v", "x"), ("2", "w", "6"), ("3", "w", "7")];
    let group = Group::new(("0", "3"), &readings);
    let built = build(&template(RANGE), &group.content()).unwrap();
    let text = String::from_utf8(built.json).unwrap();
    let range = r#""valueRange":{"low":{"value":3.90,"unit":"mmol/L"},"high":{"value":5.5,"unit":"mmol/L"}}"#;
    assert!(text.contains(range), "{text}");
    let codes: Vec<&str> = built.rejected.iter().map(|failure| failure.code).collect();
    assert_eq!(codes, ["InvalidFhirValueException", "InvalidQuantityFhirValueException"]);
    check(
        RATIO,
        &[("1", "v", "500"), ("1", "w", "250")],
        "/valueRatio",
        json!({ "numerator": { "value": 500, "code": "mg" },
            "denominator": { "value": 250, "unit": "millilitre", "system": "urn:units", "code": "mL" } }),
    );
}

#[test]
fn fm_7_a_part_without_its_partner_and_a_range_upside_down_are_refused() {
    for readings in [&[("1", "v", "1")][..], &[("1", "w", "1")], &[("1", "v", "1"), ("2", "w", "2")]] {
        check_failure(RATIO, readings, "InvalidFhirValueException");
        check_failure(RANGE, readings, "InvalidFhirValueException");
    }
    check_failure(RANGE, &[("1", "v", "10"), ("1", "w", "9.9")], "InvalidFhirValueException");
    check(RANGE, &[("1", "other", "1")], "/valueRange", Value::Null);
}

#[test]
fn fm_7_date_times_booleans_and_integers() {
    let value = |kind: &str| format!(r#""value": {{ "valueName": "v", "valueType": "{kind}" }}"#);
    for (kind, text, expected) in [
        ("DateTime", "2024-03-02T09:00:00.2500+02:00", json!("2024-03-02T07:00:00.25Z")),
        ("DateTime", " 2024-03-02 ", json!("2024-03-02")),
        ("DateTime", "03/02/2024", json!("2024-03-02T00:00:00Z")),
        ("Boolean", "True", json!(true)),
        ("Boolean", "0", json!(false)),
        ("Integer", "-0061", json!(-61)),
        ("Integer", "2147483647", json!(2_147_483_647)),
    ] {
        check(&value(kind), &[("1", "v", text)], &format!("/value{kind}"), expected);
    }
    for (kind, text) in [
        ("DateTime", "1709362800"),
        ("DateTime", "soon"),
        ("Boolean", "yes"),
        ("Boolean", ""),
        ("Integer", "61.5"),
        ("Integer", "2147483648"),
        ("Integer", "1e3"),
    ] {
        check_failure(&value(kind), &[("1", "v", text)], "InvalidFhirValueException");
    }
}

#[test]
fn fm_25_of_several_readings_the_latest_counts() {
    let readings = [("2", "v", "62"), ("1", "v", "61")];
    check(QUANTITY, &readings, "/valueQuantity/value", json!(62));
    check(STRING, &readings, "/valueString", json!("62"));
}

#[test]
fn fm_25_a_later_reading_that_is_no_decimal_does_not_hide_an_earlier_one() {
    let group = Group::new(("0", "3"), &[("1", "v", "61"), ("2", "v", "x")]);
    let built = build(&template(QUANTITY), &group.content()).unwrap();
    assert!(String::from_utf8(built.json).unwrap().contains(r#""value":61"#));
    assert_eq!(built.rejected[0].code, "InvalidQuantityFhirValueException");
}

#[test]
fn fm_26_strings_are_escaped() {
    check(STRING, &[("1", "v", "a \"b\"\n\u{1}é")], "/valueString", json!("a \"b\"\n\u{1}é"));
}

#[test]
fn fm_27_a_codeable_concept_comes_from_the_template() {
    let concept = r#""value": { "valueName": "v", "valueType": "CodeableConcept", "text": "Fall", "codes": [ { "code": "f" } ] }"#;
    check(
        concept,
        &[("1", "v", "anything")],
        "/valueCodeableConcept",
        json!({ "coding": [ { "code": "f" } ], "text": "Fall" }),
    );
    check(concept, &[], "/valueCodeableConcept", Value::Null);
}
