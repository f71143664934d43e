//! Templates in JMESPath and RFC 9535, and templates that mix languages (rules DM-20 to DM-23, JM-2 to JM-22).

use super::extracting::{AT, check, check_failure, extract, measurements};
use super::{collection, element};

/// A CalculatedContent whose type match, time and value are these JMESPath expressions.
fn jmes(type_match: &str, time: &str, value: &str) -> String {
    collection(&[element(
        "CalculatedContent",
        &format!(
            r#""typeName": "pulse", "defaultExpressionLanguage": "JmesPath", "typeMatchExpression": "{type_match}",
            "deviceIdExpression": {{ "value": "$.Body.id", "language": "JsonPath" }},
            "timestampExpression": "{time}",
            "values": [ {{ "valueName": "bpm", "valueExpression": "{value}" }} ]"#
        ),
    )])
}

/// The values of the measurements that a type match gives, with `matchedToken` as the value.
fn tokens(type_match: &str, body: &str) -> Vec<String> {
    let extraction = extract(&jmes(type_match, "Body.at", "to_string(matchedToken)"), body);
    assert_eq!(extraction.failures, [], "{body}");
    let value = |one: &super::super::extract::Extracted| one.measurement.properties[0].value.clone();
    extraction.measurements.iter().map(value).collect()
}

fn body(members: &str) -> String {
    format!("{{{AT},{members}}}")
}

#[test]
fn jm_2_a_projection_gives_a_token_for_each_element_and_all_else_one() {
    let rows = body(r#""rows":[{"v":1},{"v":2.5},5]"#);
    assert_eq!(tokens("Body.rows[?v]", &rows), [r#"{"v":1}"#, r#"{"v":2.5}"#]);
    assert_eq!(tokens("Body.rows", &rows), [r#"[{"v":1},{"v":2.5},5]"#]);
    assert_eq!(tokens("Body.nothing", &rows), Vec::<String>::new());
}

#[test]
fn jm_3_the_envelope_is_tested_by_wrapping_it() {
    let pulse = body(r#""pulse":61"#);
    let device = jmes("to_array(@)[?Body.pulse]", "matchedToken.Body.at", "matchedToken.Body.pulse");
    check(&device, &pulse, &["pulse c 2024-03-02T07:15:00Z - - - bpm=61"]);
    check(&device, &body(r#""other":61"#), &[]);
}

#[test]
fn jm_5_a_boolean_type_match_matches_for_true_and_for_false() {
    for (pulse, token) in [(61, "true"), (40, "false")] {
        assert_eq!(tokens("Body.pulse > `50`", &body(&format!(r#""pulse":{pulse}"#))), [token]);
    }
}

#[test]
fn jm_6_a_single_value_is_no_projection() {
    let rows = body(r#""rows":[{"v":1},{"v":2}],"one":[{"v":7}]"#);
    let value = |value: &str| jmes("Body", "Body.at", value);
    check_failure(&value("Body.rows[*].v"), &rows, "TemplateExpressionException", "selects several values");
    check(&value("Body.one[*].v"), &rows, &["pulse c 2024-03-02T07:15:00Z - - -"]);
    check(&value("Body.rows[*].v | [0]"), &rows, &["pulse c 2024-03-02T07:15:00Z - - - bpm=1"]);
}

#[test]
fn jm_17_jm_18_dates_are_times_and_texts() {
    let device = jmes("Body", "fromUnixTimestampMs(Body.ms)", "fromUnixTimestamp(Body.s)");
    check(
        &device,
        &body(r#""ms":1709363700250,"s":-1"#),
        &["pulse c 2024-03-02T07:15:00.25Z - - - bpm=1969-12-31T23:59:59Z"],
    );
    check_failure(&device, &body(r#""ms":1709363700250.0"#), "ExpressionFunctionException", "fromUnixTimestampMs");
}

#[test]
fn jm_21_a_function_that_fails_ends_the_token_or_leaves_an_optional_value_out() {
    let device = jmes("Body", "Body.at", "multiply(to_number(x), `2`)");
    let extraction = extract(&device, &body(r#""y":1"#));
    assert_eq!(measurements(&extraction), ["pulse c 2024-03-02T07:15:00Z - - -"]);
    assert_eq!(extraction.warnings.len(), 1);
    assert_eq!(extraction.warnings[0].code, "ExpressionFunctionException");
    let required = device.replace("\"valueName\"", "\"required\": true, \"valueName\"");
    check_failure(&required, &body(r#""y":1"#), "ExpressionFunctionException", "multiply");
    let type_match =
        device.replace("\"typeMatchExpression\": \"Body\"", "\"typeMatchExpression\": \"add(Body.y, Body.z)\"");
    check_failure(&type_match, &body(r#""y":1"#), "ExpressionFunctionException", "the type match");
}

#[test]
fn jm_22_dm_24_jmespath_and_jsonpath_see_the_same_document() {
    let device = jmes("Body.rows[?v]", "Body.at", "matchedToken.v").replace("\"$.Body.id\"", "\"$.matchedToken.id\"");
    check(
        &device,
        &body(r#""rows":[{"id":"a","v":1},{"id":"b","v":2}]"#),
        &["pulse a 2024-03-02T07:15:00Z - - - bpm=1", "pulse b 2024-03-02T07:15:00Z - - - bpm=2"],
    );
}

#[test]
fn dm_20_rfc_9535_is_a_language_of_expressions() {
    let device = collection(&[element(
        "CalculatedContent",
        r#""typeName": "pulse", "defaultExpressionLanguage": "Rfc9535",
        "typeMatchExpression": "$.Body.rows[?@.k == 'hr' && !@.void]", "deviceIdExpression": "$.Body.id",
        "timestampExpression": "$.Body.at",
        "values": [ { "required": true, "valueName": "bpm", "valueExpression": "$.matchedToken.v" } ]"#,
    )]);
    let rows = body(r#""rows":[{"k":"hr","v":61.0},{"k":"hr","v":62,"void":1},{"k":"spo2","v":97},{"k":"hr"}]"#);
    let extraction = extract(&device, &rows);
    assert_eq!(measurements(&extraction), ["pulse c 2024-03-02T07:15:00Z - - - bpm=61"]);
    assert_eq!(extraction.failures.len(), 1, "the last row has no value");
}
