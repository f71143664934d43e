//! Envelopes as IoT Hub and IoT Central make them (rules EV-8 to EV-11, DM-39 to DM-41), to measurements.

use super::super::{Mappings, Source, shipped};
use super::extracting::measurements;
use super::{FHIR, collection, element, envelope};
use crate::model::envelope::Envelope;

/// An envelope written as in the mapping specification.
fn event(json: &str) -> Envelope {
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
    let object =
        |name: &str| members.get(name).map_or_else(Default::default, |value| value.as_object().unwrap().clone());
    Envelope {
        properties: object("Properties"),
        system_properties: object("SystemProperties"),
        ..envelope(&members["Body"].to_string())
    }
}

fn mappings(device: &str, fhir: &str) -> Mappings {
    let (device, fhir) = (Source { name: "device.json", text: device }, Source { name: "fhir.json", text: fhir });
    Mappings::load(device, fhir).unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

#[track_caller]
fn check(mappings: &Mappings, envelope: &Envelope, expected: &[&str]) {
    let extraction = mappings.extract(envelope).unwrap();
    assert_eq!(extraction.failures, []);
    assert_eq!(measurements(&extraction), expected);
}

fn shipped_mappings(name: &str) -> Mappings {
    let text = |file: &str| shipped::text(&format!("shipped:{name}/{file}.json")).unwrap();
    mappings(text("device"), text("fhir"))
}

const HUB: &str = include_str!("../../../templates/iot-hub-scale/envelope.json");
const CENTRAL: &str = include_str!("../../../templates/iot-central-vitals/sample.json");

#[test]
fn ev_10_dm_39_what_iot_hub_says_of_a_message_names_device_and_time() {
    let expected = "body-weight scale-0417 2024-03-02T07:15:00.25Z patient-2045 - - weight=72.4";
    check(&shipped_mappings("iot-hub-scale"), &event(HUB), &[expected]);
    let untimed = HUB.replace("iothub-creation-time-utc", "other");
    let enqueued = expected.replace("07:15:00.25Z", "07:15:01.12Z");
    check(&shipped_mappings("iot-hub-scale"), &event(&untimed), &[&enqueued]);
}

#[test]
fn ev_9_ev_10_every_annotation_of_the_broker_is_reachable_and_keeps_its_type() {
    let device = collection(&[element(
        "CalculatedContent",
        r#""typeName": "pulse", "typeMatchExpression": "$..[?(@Body.weight && @SystemProperties.x-opt-sequence-number == 217)]",
        "deviceIdExpression": "$.SystemProperties.iothub-connection-device-id",
        "timestampExpression": "$.SystemProperties.iothub-enqueuedtime",
        "correlationIdExpression": "$.SystemProperties['x-opt-sequence-number']",
        "encounterIdExpression": { "value": "SystemProperties.\"x-opt-offset\"", "language": "JmesPath" },
        "values": [
          { "valueName": "bpm", "valueExpression": "$.SystemProperties.iothub-connection-auth-generation-id" } ]"#,
    )]);
    check(
        &mappings(&device, FHIR),
        &event(HUB),
        &["pulse scale-0417 2024-03-02T07:15:01.12Z - 94489281216 217 bpm=638449000000000000"],
    );
}

#[test]
fn ev_9_properties_that_are_absent_are_empty_objects() {
    let device = collection(&[element(
        "CalculatedContent",
        r#""typeName": "pulse", "typeMatchExpression": "$", "deviceIdExpression": "$.Body.id",
        "timestampExpression": "$.Body.at",
        "values": [ { "valueName": "bpm", "valueExpression": { "value": "to_string(@)", "language": "JmesPath" } } ]"#,
    )]);
    let body = r#"{"at":"2024-03-02T07:15:00Z","id":"c"}"#;
    let members = format!(r#""Body":{body},"Properties":{{}},"SystemProperties":{{}}"#);
    check(
        &mappings(&device, FHIR),
        &event(&format!(r#"{{"Body":{body}}}"#)),
        &[&format!(r#"pulse c 2024-03-02T07:15:00Z - - - bpm={{{members},"matchedToken":{{{members}}}}}"#)],
    );
}

#[test]
fn ev_11_dm_41_an_iot_central_export_is_one_message_or_an_array_of_them() {
    let expected = [
        "body-weight scale-0417 2024-03-02T07:15:00.25Z patient-2045 - - weight=72.4",
        "blood-pressure cuff-09 2024-03-02T07:16:12.031Z patient-2045 - - systolic=118 diastolic=76",
    ];
    let mappings = shipped_mappings("iot-central-vitals");
    check(&mappings, &envelope(CENTRAL), &expected);
    let messages: Vec<serde_json::Value> = serde_json::from_str(CENTRAL).unwrap();
    for (message, expected) in messages.iter().zip(expected) {
        check(&mappings, &envelope(&message.to_string()), &[expected]);
    }
}

#[test]
fn ev_11_every_field_of_an_export_is_reachable() {
    let device = collection(&[element(
        "IotCentralJsonPathContent",
        r#""typeName": "pulse", "typeMatchExpression": "$..[?(@telemetry.pressure && @messageSource == 'telemetry')]",
        "values": [
          { "required": true, "valueName": "bpm", "valueExpression": "$.telemetry.pressure.high" },
          { "required": true, "valueName": "bpm", "valueExpression": "$.properties.site" },
          { "required": true, "valueName": "bpm", "valueExpression": "$.applicationId" } ]"#,
    )]);
    let message = r#"{"applicationId":"a-1","deviceId":"cuff-09","enqueuedTime":"2024-03-02T07:15:00.250Z",
        "messageSource":"telemetry","telemetry":{"pulse":66,"pressure":{"high":118,"low":76}},"properties":{"site":"w"}}"#;
    check(
        &mappings(&device, FHIR),
        &envelope(message),
        &["pulse cuff-09 2024-03-02T07:15:00.25Z - - - bpm=118 bpm=w bpm=a-1"],
    );
}

#[test]
fn ev_8_a_text_that_looks_like_a_date_keeps_its_spelling_wherever_it_goes() {
    for text in
        ["2024-03-02T07:15:00.2500000Z", "2024-03-02T07:15:00+0200", "2024-03-02T07:15:00", "/Date(1709363700250)/"]
    {
        let device = collection(&[element(
            "CalculatedContent",
            &format!(
                r#""typeName": "pulse", "typeMatchExpression": "$..[?(@s == '{text}' && @s =~ /\\d/)]",
            "deviceIdExpression": "$.matchedToken.s", "patientIdExpression": "$.matchedToken.s",
            "encounterIdExpression": "$.matchedToken.s", "correlationIdExpression": "$.matchedToken.s",
            "timestampExpression": "$.matchedToken.s",
            "values": [ {{ "required": true, "valueName": "bpm", "valueExpression": {{
                "language": "JmesPath", "value": "insertString(matchedToken.s, '<', `0`)" }} }} ]"#
            ),
        )]);
        let extraction = mappings(&device, FHIR).extract(&envelope(&format!(r#"{{"s":"{text}"}}"#))).unwrap();
        assert_eq!(extraction.failures, [], "{text}");
        let [one] = extraction.measurements.as_slice() else { panic!("{text}: {extraction:?}") };
        let measurement = &one.measurement;
        let ids = [&measurement.patient_id, &measurement.encounter_id, &measurement.correlation_id];
        assert_eq!((measurement.device_id.as_str(), ids.map(|id| id.as_deref())), (text, [Some(text); 3]));
        assert_eq!(measurement.properties[0].value, format!("<{text}"));
    }
}
