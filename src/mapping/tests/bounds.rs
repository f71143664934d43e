//! Documents that are deep or wide, and many failures: an evaluation that is exponential or quadratic in them does not
//! come to its end here.

use super::super::extract::FAILURES_TOLD_MAX;
use super::super::{Mappings, Payloads, Source};
use super::extracting::{AT, extract};
use super::{FHIR, collection, element, envelope};

/// A CalculatedContent with the value `matchedToken.a`, if there is one.
fn device(language: &str, type_match: &str) -> String {
    collection(&[element(
        "CalculatedContent",
        &format!(
            r#""typeName": "pulse", "typeMatchExpression": {{ "value": "{type_match}", "language": "{language}" }},
            "deviceIdExpression": "$.Body.id", "timestampExpression": "$.Body.at",
            "values": [ {{ "valueName": "bpm", "valueExpression": "$.matchedToken.a" }} ]"#
        ),
    )])
}

/// How many measurements a type match gives, and how many failures.
fn counts(language: &str, type_match: &str, body: &str) -> (usize, usize) {
    let extraction = extract(&device(language, type_match), body);
    (extraction.measurements.len(), extraction.failures.len())
}

/// `{"a":{"a":...}}`, as deep as a payload may be: it stands in the envelope.
fn deep() -> String {
    const OBJECTS: usize = 125;
    format!(r#"{{{AT},"a":{}1{}}}"#, r#"{"a":"#.repeat(OBJECTS), "}".repeat(OBJECTS))
}

const WIDE: usize = 200_000;

fn wide_array() -> String {
    format!(r#"{{{AT},"rows":[{}]}}"#, vec![r#"{"a":1}"#; WIDE].join(","))
}

fn wide_object() -> String {
    let members: Vec<String> = (0..WIDE).map(|number| format!(r#""m{number}":{{"a":1}}"#)).collect();
    format!(r#"{{{AT},"rows":{{{}}}}}"#, members.join(","))
}

#[test]
fn a_document_of_any_depth_and_width_is_walked_once_by_a_path() {
    // Every value: the envelope, its members with six properties, and what the body holds.
    let around = 1 + 3 + 6 + 2;
    assert_eq!(counts("JsonPath", "$..*", &deep()), (around + 126, 0));
    assert_eq!(counts("JsonPath", "$..a", &deep()), (126, 0));
    assert_eq!(counts("JsonPath", "$..[?(@.a)]", &deep()), (126, 0));
    for body in [wide_array(), wide_object()] {
        assert_eq!(counts("JsonPath", "$..*", &body), (around + 1 + 2 * WIDE, 0));
        assert_eq!(counts("JsonPath", "$..[?(@.a)]", &body), (WIDE, 0));
        assert_eq!(counts("JsonPath", "$..[?(@.a == 1 && @.a != $.Body.id)]", &body), (WIDE, 0));
        assert_eq!(counts("JsonPath", "$..['a','id']", &body), (WIDE + 1, 0));
    }
    assert_eq!(counts("JsonPath", "$.Body.rows[?(@.a)]", &wide_array()), (WIDE, 0));
    assert_eq!(counts("JsonPath", "$.Body.rows[::-1]", &wide_array()), (WIDE, 0));
}

#[test]
fn filters_within_filters_end_on_deep_documents() {
    assert_eq!(counts("JsonPath", "$..[?(@..[?(@..[?(@.a == 1)])])]", &deep()), (127, 0));
    assert_eq!(counts("JsonPath", "$.Body.rows[?(@..[?(@.a)])]", &wide_array()), (WIDE, 0));
    assert_eq!(counts("JsonPath", "$..[?(@..a == 2)]", &deep()), (0, 0));
}

#[test]
fn the_other_languages_walk_the_same_documents() {
    assert_eq!(counts("JmesPath", "Body.rows[?a == `1`]", &wide_array()), (WIDE, 0));
    assert_eq!(counts("JmesPath", "Body.rows.* | [?a]", &wide_object()), (WIDE, 0));
    assert_eq!(counts("JmesPath", &format!("Body{}", ".a".repeat(90)), &deep()), (1, 0));
    assert_eq!(counts("Rfc9535", "$.Body.rows[?@.a == 1]", &wide_array()), (WIDE, 0));
    assert_eq!(counts("Rfc9535", "$..[?@.a]", &wide_object()), (WIDE, 0));
    assert_eq!(counts("Rfc9535", "$..a", &deep()), (126, 0));
}

#[test]
fn an_expression_that_looks_through_the_message_for_every_row_is_given_up() {
    for (language, search) in [("JsonPath", "$..none"), ("JmesPath", "Body.rows[?none] | [0]"), ("Rfc9535", "$..none")]
    {
        let device = device("JsonPath", "$.Body.rows[*]").replace(
            r#""valueExpression": "$.matchedToken.a""#,
            &format!(r#""valueExpression": {{ "value": "{search}", "language": "{language}" }}"#),
        );
        let extraction = extract(&device, &wide_array());
        let about = |failure: &super::super::Failure| failure.reason.contains("takes too much work on a message");
        let told = extraction.failures.iter().chain(&extraction.warnings);
        assert!(told.into_iter().any(about), "{language}: {:?}", extraction.failures.first());
        assert!(extraction.measurements.len() < 100, "{language}");
    }
}

#[test]
fn dm_37_of_very_many_bad_rows_some_are_told_and_the_others_counted() {
    let body = wide_array().replace(r#""id":"c","#, "");
    for language_and_match in
        [("JsonPath", "$.Body.rows[*]"), ("JmesPath", "Body.rows[*]"), ("Rfc9535", "$.Body.rows[*]")]
    {
        let extraction = extract(&device(language_and_match.0, language_and_match.1), &body);
        let (last, told) = extraction.failures.split_last().unwrap();
        assert_eq!((extraction.measurements.len(), told.len()), (0, FAILURES_TOLD_MAX));
        assert!(told[99].reason.ends_with("(token $.Body.rows[99])"), "{}", told[99].reason);
        assert_eq!(last.code, "NormalizationDataMappingException");
        assert!(last.reason.starts_with("199900 more failures"), "{}", last.reason);
    }
}

#[test]
fn jm_21_of_very_many_omitted_values_some_are_told_and_all_counted() {
    let device = device("JsonPath", "$.Body.rows[*]").replace(
        r#""valueExpression": "$.matchedToken.a""#,
        r#""valueExpression": { "value": "add(matchedToken.b, matchedToken.a)", "language": "JmesPath" }"#,
    );
    let extraction = extract(&device, &wide_array());
    assert_eq!((extraction.measurements.len(), extraction.warnings.len()), (WIDE, FAILURES_TOLD_MAX + 1));
    assert_eq!(extraction.omitted, u64::try_from(WIDE).unwrap());
}

#[test]
fn a_payload_that_nests_too_deep_says_so() {
    let device = device("JsonPath", "$");
    let fhir = Source { name: "fhir.json", text: FHIR };
    let (mappings, _) = Mappings::load(Source { name: "device.json", text: &device }, fhir).unwrap();
    for payloads in [Payloads::Strict, Payloads::Lax] {
        let mappings = mappings.clone().reading(payloads);
        let failure = mappings.extract(&envelope(&"[".repeat(5_000))).unwrap_err();
        assert_eq!(failure.code, "InvalidDataFormatException");
        assert!(failure.reason.starts_with("the payload nests deeper than 128"), "{}", failure.reason);
        let failure = mappings.extract(&envelope("[")).unwrap_err();
        assert!(failure.reason.starts_with("the payload is not JSON"), "{}", failure.reason);
    }
}

#[test]
fn an_expression_that_is_too_long_says_how_long_it_may_be() {
    let long = "a".repeat(9_000);
    for (language, expression, limit) in [
        ("JsonPath", format!("$.{long}"), "at most 4096 bytes"),
        ("Rfc9535", format!("$.{long}"), "at most 4096 bytes"),
        ("JmesPath", long.clone(), "at most 8192 bytes"),
    ] {
        let device = device(language, &expression);
        let fhir = Source { name: "fhir.json", text: FHIR };
        let problems = Mappings::load(Source { name: "device.json", text: &device }, fhir).unwrap_err();
        assert!(problems.iter().any(|problem| problem.message.contains(limit)), "{language}: {problems:#?}");
    }
}

#[test]
fn a_mapping_file_of_one_long_line_and_many_templates_is_read() {
    let one = |number: usize| {
        element(
            "CalculatedContent",
            &format!(
                r#""typeName": "t{number}", "typeMatchExpression": "$..[?(@m{number})]", "deviceIdExpression": "$.Body.id",
                "timestampExpression": "$.Body.at", "values": []"#
            ),
        )
        .replace('\n', " ")
    };
    let device = collection(&(0..20_000).map(one).collect::<Vec<_>>());
    let last = device.rfind(r#""template": {"#).unwrap() + r#""template": "#.len() + 1;
    let fhir = Source { name: "fhir.json", text: FHIR };
    let (mappings, warnings) = Mappings::load(Source { name: "device.json", text: &device }, fhir).unwrap();
    assert_eq!(mappings.counts(), (20_000, 2));
    assert_eq!(warnings.iter().map(|warning| warning.at.column).max(), Some(last));
}
