//! What an envelope yields (rules EV-1 to EV-12, DM-22 to DM-50).

use super::super::extract::Extraction;
use super::super::{Failure, Mappings, Source};
use super::{FHIR, collection, element, envelope};
use crate::model::group::Period;

fn mappings(device: &str) -> Mappings {
    let device = Source { name: "device.json", text: device };
    let fhir = Source { name: "fhir.json", text: FHIR };
    Mappings::load(device, fhir).unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

pub(super) fn extract(device: &str, body: &str) -> Extraction {
    mappings(device).extract(&envelope(body)).unwrap()
}

/// `type device time patient encounter correlation name=value...` of each measurement, `-` for none.
pub(super) fn measurements(extraction: &Extraction) -> Vec<String> {
    let line = |extracted: &super::super::extract::Extracted| {
        let measurement = &extracted.measurement;
        let id = |id: &Option<String>| id.clone().unwrap_or_else(|| "-".to_owned());
        let properties = measurement.properties.iter().map(|property| format!(" {}={}", property.name, property.value));
        format!(
            "{} {} {} {} {} {}{}",
            measurement.measurement_type,
            measurement.device_id,
            measurement.occurred_at,
            id(&measurement.patient_id),
            id(&measurement.encounter_id),
            id(&measurement.correlation_id),
            properties.collect::<String>()
        )
    };
    extraction.measurements.iter().map(line).collect()
}

#[track_caller]
pub(super) fn check(device: &str, body: &str, expected: &[&str]) {
    let extraction = extract(device, body);
    assert_eq!(extraction.failures, [], "{body}");
    assert_eq!(measurements(&extraction), expected, "{body}");
}

#[track_caller]
pub(super) fn check_failure(device: &str, body: &str, code: &str, reason: &str) -> Failure {
    let extraction = extract(device, body);
    assert!(extraction.measurements.iter().all(|one| one.period.is_none()), "{extraction:?}");
    let (_, failures) = extraction.into_bound();
    assert_eq!(failures.len(), 1, "{failures:?}");
    let failure = failures[0].clone();
    assert_eq!(failure.code, code);
    assert!(failure.reason.contains(reason), "{} is not about {reason}", failure.reason);
    failure
}

/// A CalculatedContent for `{"id","at",...}` objects that have a `pulse`.
fn calculated(more: &str) -> String {
    collection(&[element(
        "CalculatedContent",
        &format!(
            r#""typeName": "pulse", "typeMatchExpression": "$..[?(@pulse)]", "deviceIdExpression": "$.matchedToken.id",
            "timestampExpression": "$.matchedToken.at", {more}"#
        ),
    )])
}

fn with_value(expression: &str, required: bool) -> String {
    calculated(&format!(
        r#""values": [ {{ "valueName": "bpm", "valueExpression": "{expression}", "required": {required} }} ]"#
    ))
}

fn pulse() -> String {
    with_value("$.matchedToken.pulse", true)
}

pub(super) const AT: &str = r#""id":"c","at":"2024-03-02T07:15:00Z""#;

#[test]
fn ev_1_dm_24_the_envelope_and_the_token_are_both_reachable() {
    let device = calculated(
        r#""patientIdExpression": "$.Properties.site", "encounterIdExpression": "$.SystemProperties.partition",
        "correlationIdExpression": "Body.corr", "values": [ { "valueName": "bpm", "valueExpression": "$.matchedToken.pulse" } ]"#,
    );
    check(&device, &format!(r#"{{{AT},"pulse":61,"corr":"k"}}"#), &["pulse c 2024-03-02T07:15:00Z ward-4 7 k bpm=61"]);
}

#[test]
fn ev_2_bodies_of_any_type_and_a_byte_order_mark() {
    for body in ["1", "true", "null", "\"x\"", "[]", "{}"] {
        check(&pulse(), body, &[]);
    }
    check(&pulse(), &format!("\u{feff}{{{AT},\"pulse\":61}}"), &["pulse c 2024-03-02T07:15:00Z - - - bpm=61"]);
}

#[test]
fn ev_3_an_empty_payload_is_null() {
    check(&pulse(), "", &[]);
}

#[test]
fn ev_4_ev_5_a_payload_that_is_not_strict_json_fails() {
    for body in [" ", "pulse 61", "{\"a\":1", "{'a':1}", "{\"a\":1,}", "{} x", "NaN", "0x1F", "// c\n{}"] {
        let failure = mappings(&pulse()).extract(&envelope(body)).unwrap_err();
        assert_eq!(failure.code, "InvalidDataFormatException", "{body}");
    }
    let mut latin = envelope("");
    latin.body = bytes::Bytes::from_static(b"{\"a\":\"\xe9\"}");
    assert_eq!(mappings(&pulse()).extract(&latin).unwrap_err().code, "InvalidDataFormatException");
}

#[test]
fn ev_8_strings_that_look_like_dates_stay_as_they_are() {
    let body = format!(r#"{{{AT},"pulse":"2024-03-02T07:15:00.2500000Z"}}"#);
    check(&pulse(), &body, &["pulse c 2024-03-02T07:15:00Z - - - bpm=2024-03-02T07:15:00.2500000Z"]);
}

#[test]
fn ev_9_properties_keep_their_types() {
    let device = pulse().replace("@pulse)", "@Body.pulse && @Properties.bed == 4)").replace("matchedToken.", "Body.");
    check(&device, &format!(r#"{{{AT},"pulse":61}}"#), &["pulse c 2024-03-02T07:15:00Z - - - bpm=61"]);
}

#[test]
fn ev_1_the_envelope_has_three_members_in_their_order() {
    let device = collection(&[element(
        "CalculatedContent",
        r#""typeName": "pulse", "typeMatchExpression": "$.*", "deviceIdExpression": "$.Body.id",
        "timestampExpression": "$.Body.at",
        "values": [ { "valueName": "bpm", "valueExpression": { "value": "type(matchedToken)", "language": "JmesPath" } },
            { "valueName": "bpm", "valueExpression": "$.matchedToken.pulse" },
            { "valueName": "bpm", "valueExpression": "$.matchedToken.site" },
            { "valueName": "bpm", "valueExpression": "$.matchedToken.partition" } ]"#,
    )]);
    check(
        &device,
        &format!(r#"{{{AT},"pulse":61}}"#),
        &["61", "ward-4", "7"]
            .map(|value| format!("pulse c 2024-03-02T07:15:00Z - - - bpm=object bpm={value}"))
            .each_ref()
            .map(String::as_str),
    );
}

#[test]
fn ev_6_ev_7_members_and_numbers_are_read_as_written() {
    let device = with_value("$.matchedToken.pulse", true);
    let twice = format!(r#"{{{AT},"pulse":1,"pulse":2}}"#);
    check(&device, &twice, &["pulse c 2024-03-02T07:15:00Z - - - bpm=2"]);
    // An integer divides as one, a float does not; an integer beyond 64 bits keeps its digits.
    let halved = device.replace(
        "\"$.matchedToken.pulse\"",
        r#"{ "value": "divide(matchedToken.pulse, `2`)", "language": "JmesPath" }"#,
    );
    for (number, half) in [("61", "30"), ("61.0", "30.5"), ("6.1e1", "30.5"), ("61E0", "30.5")] {
        check(
            &halved,
            &format!(r#"{{{AT},"pulse":{number}}}"#),
            &[&format!("pulse c 2024-03-02T07:15:00Z - - - bpm={half}")],
        );
    }
    let long = "123456789012345678901234567890";
    check(
        &device,
        &format!(r#"{{{AT},"pulse":{long}}}"#),
        &[&format!("pulse c 2024-03-02T07:15:00Z - - - bpm={long}")],
    );
}

#[test]
fn ev_12_the_enqueued_time_is_the_ingestion_time() {
    let extraction = extract(&pulse(), &format!(r#"{{{AT},"pulse":61}}"#));
    let ingested_at = extraction.measurements[0].measurement.ingested_at;
    assert_eq!(ingested_at.to_string(), "2024-03-02T07:15:01Z");
}

#[test]
fn dm_12_templates_of_one_type_feed_it_from_payloads_of_different_shapes() {
    let shape = |name: &str| {
        element(
            "JsonPathContent",
            &format!(
                r#""typeName": "pulse", "typeMatchExpression": "$..[?(@{name})]", "deviceIdExpression": "$.id",
                "timestampExpression": "$.at",
                "values": [ {{ "required": true, "valueName": "bpm", "valueExpression": "$.{name}" }} ]"#
            ),
        )
    };
    let device = collection(&[shape("hr"), shape("heartrate")]);
    for name in ["hr", "heartrate"] {
        let body = format!(r#"{{{AT},"{name}":61}}"#);
        check(&device, &body, &["pulse c 2024-03-02T07:15:00Z - - - bpm=61"]);
    }
}

#[test]
fn dm_18_a_value_is_required_when_it_says_so_in_any_way() {
    for (required, is_required) in [
        ("true", true),
        ("\"TRUE\"", true),
        ("1", true),
        ("-0.5", true),
        ("false", false),
        ("\"False\"", false),
        ("0", false),
        ("0.0", false),
    ] {
        let device =
            with_value("$.matchedToken.x", true).replace("\"required\": true", &format!("\"required\": {required}"));
        let extraction = extract(&device, &format!(r#"{{{AT},"pulse":1}}"#));
        assert_eq!(
            (extraction.failures.len() == 1, extraction.measurements.is_empty()),
            (is_required, is_required),
            "{required}"
        );
    }
}

#[test]
fn dm_22_dm_23_templates_in_file_order_tokens_in_document_order() {
    let template = |name: &str| {
        let members = format!(
            r#""typeName": "pulse", "typeMatchExpression": "$..[?(@pulse)]", "deviceIdExpression": "$.matchedToken.id",
            "timestampExpression": "$.matchedToken.at",
            "values": [ {{ "valueName": "{name}", "valueExpression": "$.matchedToken.pulse" }} ]"#
        );
        element("CalculatedContent", &members)
    };
    let device = collection(&[template("again"), template("bpm")]);
    check(
        &device,
        &format!(r#"[{{{AT},"pulse":1}},{{{AT},"pulse":2}}]"#),
        &[
            "pulse c 2024-03-02T07:15:00Z - - - again=1",
            "pulse c 2024-03-02T07:15:00Z - - - again=2",
            "pulse c 2024-03-02T07:15:00Z - - - bpm=1",
            "pulse c 2024-03-02T07:15:00Z - - - bpm=2",
        ],
    );
}

#[test]
fn dm_25_the_type_match_does_not_see_the_token() {
    let device = pulse().replace("$..[?(@pulse)]", "$.matchedToken");
    check(&device, &format!(r#"{{{AT},"pulse":61}}"#), &[]);
}

#[test]
fn dm_26_dm_28_a_descent_finds_the_token_twice_and_fails_also_for_an_optional_value() {
    check_failure(
        &with_value("$..pulse", false),
        &format!(r#"{{{AT},"pulse":61}}"#),
        "TemplateExpressionException",
        "selects several values",
    );
}

#[test]
fn dm_27_tokens_of_any_type() {
    let device = pulse()
        .replace("$..[?(@pulse)]", "$.Body.samples[*]")
        .replace("$.matchedToken.pulse", "$.matchedToken")
        .replace("$.matchedToken.", "$.Body.");
    let body = format!(r#"{{{AT},"samples":[1,2.50]}}"#);
    check(&device, &body, &["pulse c 2024-03-02T07:15:00Z - - - bpm=1", "pulse c 2024-03-02T07:15:00Z - - - bpm=2.5"]);
}

#[test]
fn dm_29_values_are_text() {
    for (json, text) in [("61", "61"), ("1.0", "1"), ("true", "True"), ("0.00001", "1E-05"), ("\"a b\"", "a b")] {
        let body = format!(r#"{{{AT},"pulse":{json}}}"#);
        check(&pulse(), &body, &[&format!("pulse c 2024-03-02T07:15:00Z - - - bpm={text}")]);
    }
}

#[test]
fn dm_30_dm_31_required_and_optional_items() {
    for (json, reason) in
        [("null", "is null"), ("\"\"", "is blank"), ("\" \"", "is blank"), ("{}", "is no text"), ("[1]", "is no text")]
    {
        let body = format!(r#"{{{AT},"pulse":{json}}}"#);
        check_failure(&pulse(), &body, "IncompatibleDataException", reason);
        check(&with_value("$.matchedToken.pulse", false), &body, &["pulse c 2024-03-02T07:15:00Z - - -"]);
    }
    check_failure(
        &with_value("$.matchedToken.x", true),
        &format!(r#"{{{AT},"pulse":1}}"#),
        "IncompatibleDataException",
        "was not found",
    );
}

#[test]
fn dm_32_dm_36_the_device_id_comes_first() {
    check_failure(&pulse(), r#"{"pulse":61}"#, "IncompatibleDataException", "required device id was not found");
}

#[test]
fn dm_33_dm_44_dm_46_the_timestamp_is_a_text_that_is_a_time() {
    for at in ["null", "\"\"", "\"soon\"", "1709363700", "\"1709363700\"", "{}", "true"] {
        let body = format!(r#"{{"id":"c","pulse":61,"at":{at}}}"#);
        check_failure(&pulse(), &body, "IncompatibleDataException", "timestamp expression");
    }
}

#[test]
fn dm_34_patient_and_encounter_are_optional() {
    let device = calculated(
        r#""patientIdExpression": "$.matchedToken.p", "encounterIdExpression": "$.matchedToken.e", "values": []"#,
    );
    for patient in ["null", "{}", "\" \""] {
        check(&device, &format!(r#"{{{AT},"pulse":1,"p":{patient}}}"#), &["pulse c 2024-03-02T07:15:00Z - - -"]);
    }
}

#[test]
fn dm_35_a_correlation_id_is_required_when_the_mapping_asks_for_it() {
    let device = calculated(r#""correlationIdExpression": "$.matchedToken.k", "values": []"#);
    check(&device, &format!(r#"{{{AT},"pulse":1,"k":5}}"#), &["pulse c 2024-03-02T07:15:00Z - - 5"]);
    check_failure(
        &device,
        &format!(r#"{{{AT},"pulse":1}}"#),
        "IncompatibleDataException",
        "correlation id was not found",
    );
}

#[test]
fn dm_37_a_failing_token_hides_no_neighbour_and_is_named() {
    let extraction = extract(&pulse(), &format!(r#"{{"rows":[{{{AT},"pulse":1}},{{"pulse":2}},{{{AT},"pulse":3}}]}}"#));
    assert_eq!(
        measurements(&extraction),
        ["pulse c 2024-03-02T07:15:00Z - - - bpm=1", "pulse c 2024-03-02T07:15:00Z - - - bpm=3"]
    );
    assert_eq!(extraction.failures.len(), 1);
    assert!(extraction.failures[0].reason.contains("$.Body.rows[1]"), "{}", extraction.failures[0].reason);
    let (template, at) = extraction.failures[0].template.clone().unwrap();
    assert_eq!((template.as_str(), at.line), ("pulse", 1));
}

#[test]
fn dm_37_a_failing_template_hides_no_other_and_each_failure_names_its_own() {
    let one = |name: &str, value: &str| {
        element(
            "CalculatedContent",
            &format!(
                r#""typeName": "pulse", "typeMatchExpression": "$..[?(@pulse)]", "deviceIdExpression": "$.matchedToken.id",
                "timestampExpression": "$.matchedToken.at",
                "values": [ {{ "required": true, "valueName": "{name}", "valueExpression": "{value}" }} ]"#
            ),
        )
    };
    let good = "$.matchedToken.pulse";
    let device = collection(&[one("a", "$.x"), one("b", good), one("c", "$.Body.*"), one("d", good)]);
    let extraction = extract(&device, &format!(r#"{{{AT},"pulse":1}}"#));
    assert_eq!(
        measurements(&extraction),
        ["pulse c 2024-03-02T07:15:00Z - - - b=1", "pulse c 2024-03-02T07:15:00Z - - - d=1"]
    );
    let codes: Vec<&str> = extraction.failures.iter().map(|failure| failure.code).collect();
    assert_eq!(codes, ["IncompatibleDataException", "TemplateExpressionException"]);
    assert!(extraction.failures.iter().all(|failure| failure.reason.ends_with("(token $.Body)")), "{extraction:?}");
}

#[test]
fn dm_47_an_evaluation_error_names_the_line_of_its_expression() {
    let line = |template_type: &str, values: &str| {
        let members = format!(
            "\"typeName\": \"pulse\", \"typeMatchExpression\": \"$..[?(@pulse)]\",\n\"deviceIdExpression\": \"$..id\", \"timestampExpression\": \"$..at\",\n{values}"
        );
        let extraction =
            extract(&collection(&[element(template_type, &members)]), r#"{"pulse":{"id":"c","at":"2024-03-02"}}"#);
        let failure = extraction.failures[0].clone();
        assert!(failure.message().starts_with("Line Number: "), "{}", failure.message());
        failure.template.unwrap().1.line
    };
    let text = "\"values\": [ { \"valueName\": \"bpm\",\n\"required\": true,\n\"valueExpression\": \"$.x\" } ]";
    let object = text.replace("\"$.x\"", "{ \"language\": \"JsonPath\",\n\"value\": \"$.x\" }");
    let unique = text.replace("$.x", "$.matchedToken.x");
    // The device id is found twice: in the body and in the token.
    assert_eq!(line("CalculatedContent", &unique), 2);
    assert_eq!(line("JsonPathContent", text), 3);
    let calculated = |values: &str| {
        let device = collection(&[element(
            "CalculatedContent",
            &format!(
                "\"typeName\": \"pulse\", \"typeMatchExpression\": \"$..[?(@pulse)]\",\n\"deviceIdExpression\": \"$.Body.id\", \"timestampExpression\": \"$.Body.at\",\n{values}"
            ),
        )]);
        extract(&device, &format!(r#"{{{AT},"pulse":1}}"#)).failures[0].template.clone().unwrap().1.line
    };
    assert_eq!((calculated(text), calculated(&object)), (5, 6));
}

#[test]
fn dm_36_of_several_failures_the_first_in_the_order_of_evaluation_is_reported() {
    // Each expression selects two values where it fails; what fails is told by the members of the message.
    let device = calculated(
        r#""encounterIdExpression": "$.matchedToken.encounter[*]", "patientIdExpression": "$.matchedToken.patient[*]",
        "correlationIdExpression": "$.matchedToken.correlation[*]",
        "values": [ { "valueName": "first", "valueExpression": "$.matchedToken.first[*]" },
            { "required": true, "valueName": "second", "valueExpression": "$.matchedToken.second[*]" } ]"#,
    )
    .replace("matchedToken.id", "matchedToken.device[*]")
    .replace("matchedToken.at", "matchedToken.timestamp[*]");
    let order = ["device", "timestamp", "correlation", "patient", "encounter", "first", "second"];
    for (failing, name) in order.iter().enumerate() {
        let members = order.iter().enumerate().map(|(place, name)| match place < failing {
            true => format!(r#""{name}":["2024-03-02"]"#),
            false => format!(r#""{name}":[1,2]"#),
        });
        let body = format!(r#"{{"pulse":1,{}}}"#, members.collect::<Vec<_>>().join(","));
        check_failure(&device, &body, "TemplateExpressionException", name);
    }
}

#[test]
fn jp_36_nothing_that_one_template_does_is_seen_by_another() {
    let device = collection(&[
        element(
            "CalculatedContent",
            r#""typeName": "pulse", "typeMatchExpression": "$..[?(@pulse)]", "deviceIdExpression": "$.Body.id",
            "timestampExpression": "$.Body.at", "values": [ { "valueName": "bpm", "valueExpression": {
                "value": "sort(Body.pulse)[0]", "language": "JmesPath" } } ]"#,
        ),
        element(
            "CalculatedContent",
            r#""typeName": "pulse", "typeMatchExpression": "$.Body.pulse", "deviceIdExpression": "$.Body.id",
            "timestampExpression": "$.Body.at", "values": [ { "valueName": "bpm", "valueExpression": {
                "value": "to_string(Body)", "language": "JmesPath" } } ]"#,
        ),
    ]);
    let body = r#"{"id":"c","at":"2024-03-02T07:15:00Z","pulse":[3,1,2]}"#;
    let at = "pulse c 2024-03-02T07:15:00Z - - -";
    check(&device, body, &[&format!("{at} bpm=1"), &format!("{at} bpm={body}")]);
}

#[test]
fn dm_38_jsonpath_content_sees_the_token_only() {
    let device = pulse().replace("CalculatedContent", "JsonPathContent").replace("$.matchedToken.", "$.");
    check(&device, &format!(r#"{{{AT},"pulse":61}}"#), &["pulse c 2024-03-02T07:15:00Z - - - bpm=61"]);
    let outside = device.replace("\"$.pulse\"", "\"$.Body.pulse\"");
    check_failure(&outside, &format!(r#"{{{AT},"pulse":61}}"#), "IncompatibleDataException", "bpm was not found");
}

fn iot(template_type: &str, type_match: &str, value: &str) -> String {
    let members = format!(
        r#""typeName": "pulse", "typeMatchExpression": "{type_match}", "values": [ {{ "valueName": "bpm", "valueExpression": "{value}" }} ]"#
    );
    collection(&[element(template_type, &members)])
}

#[test]
fn dm_39_dm_40_iot_templates_select_the_envelope() {
    let device = iot("IotJsonPathContent", "$..[?(@Body.pulse)]", "$.Body.pulse");
    check(&device, r#"{"pulse":61}"#, &["pulse dev-1 2024-03-02T07:00:00Z - - - bpm=61"]);
    let body_object = iot("IotJsonPathContent", "$..[?(@pulse)]", "$.pulse");
    check_failure(&body_object, r#"{"pulse":61}"#, "IncompatibleDataException", "device id");
}

#[test]
fn dm_39_the_enqueued_time_stands_in_for_a_creation_time_that_is_no_date() {
    let device = mappings(&iot("IotJsonPathContent", "$..[?(@Body.pulse)]", "$.Body.pulse"));
    for creation_time in [None, Some("null"), Some("\"soon\"")] {
        let mut envelope = envelope(r#"{"pulse":61}"#);
        envelope.properties.remove("iothub-creation-time-utc");
        if let Some(time) = creation_time {
            envelope.properties.insert("iothub-creation-time-utc".to_owned(), serde_json::from_str(time).unwrap());
        }
        let extraction = device.extract(&envelope).unwrap();
        assert_eq!(measurements(&extraction), ["pulse dev-1 2024-03-02T07:30:00Z - - - bpm=61"], "{creation_time:?}");
    }
}

#[test]
fn dm_41_iot_central_templates_select_the_exported_message() {
    let device = iot("IotCentralJsonPathContent", "$..[?(@telemetry.pulse)]", "$.telemetry.pulse");
    check(
        &device,
        r#"[{"deviceId":"cuff-09","enqueuedTime":"2024-03-02T07:15:00.250Z","telemetry":{"pulse":66}}]"#,
        &["pulse cuff-09 2024-03-02T07:15:00.25Z - - - bpm=66"],
    );
}

#[test]
fn dm_48_no_match_is_no_failure() {
    check(&pulse(), r#"{"weight":70}"#, &[]);
}

#[test]
fn dm_49_members_of_data_are_case_sensitive() {
    check(&pulse(), &format!(r#"{{{AT},"Pulse":61}}"#), &[]);
}

#[test]
fn dm_50_two_values_of_one_name_are_two_properties() {
    let value = r#"{ "valueName": "bpm", "valueExpression": "$.matchedToken.pulse" }"#;
    check(
        &calculated(&format!(r#""values": [ {value}, {value} ]"#)),
        &format!(r#"{{{AT},"pulse":61}}"#),
        &["pulse c 2024-03-02T07:15:00Z - - - bpm=61 bpm=61"],
    );
}

#[test]
fn er_7_a_type_without_fhir_template_fails_once_and_only_when_it_matches() {
    let device = pulse().replace("\"pulse\"", "\"weight\"");
    check(&device, r#"{"other":1}"#, &[]);
    check_failure(
        &device,
        &format!(r#"[{{{AT},"pulse":1}},{{{AT},"pulse":2}}]"#),
        "TemplateNotFoundException",
        "weight",
    );
}

#[test]
fn fm_3_gr_14_templates_are_found_without_regard_to_case_and_the_spelling_stays() {
    let extraction = extract(&pulse().replace("\"pulse\"", "\"TEMP\""), &format!(r#"{{{AT},"pulse":61}}"#));
    assert_eq!(extraction.measurements[0].period, Some(Period::HOUR));
    assert_eq!(&*extraction.measurements[0].measurement.measurement_type, "TEMP");
}

proptest::proptest! {
    #[test]
    fn no_payload_makes_extraction_panic(body in "[{}\\[\\]\",:a-z0-9.]{0,60}") {
        let extracted = mappings(&pulse()).extract(&envelope(&body));
        proptest::prop_assert_eq!(extracted.is_err(), !body.is_empty() && serde_json::from_str::<serde_json::Value>(&body).is_err());
    }
}
