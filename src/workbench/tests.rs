//! The rules of the validator, each on a small pair of mappings.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::aggregate::Aggregate;
use super::document::{DeviceResult, Document};
use super::sample::Wrapping;
use super::{NoMapping, Workbench};
use crate::mapping::Source;

fn device(templates: &[&str]) -> String {
    format!("{{ \"templateType\": \"CollectionContent\", \"template\": [\n{}\n] }}", templates.join(",\n"))
}

fn fhir(templates: &[&str]) -> String {
    format!("{{ \"templateType\": \"CollectionFhir\", \"template\": [\n{}\n] }}", templates.join(",\n"))
}

/// On one line, so that the first is on line 2 of its file.
const PULSE: &str = r#"{ "templateType": "CalculatedContent", "template": { "typeName": "pulse",
    "typeMatchExpression": "$..[?(@pulse)]", "deviceIdExpression": "$.matchedToken.id",
    "timestampExpression": "$.matchedToken.at", "patientIdExpression": "$.matchedToken.patient",
    "values": [ { "required": true, "valueName": "bpm", "valueExpression": "$.matchedToken.pulse" } ] } }"#;

const PULSE_FHIR: &str = r#"{ "templateType": "CodeValueFhir", "template": { "typeName": "Pulse",
    "codes": [ { "code": "8867-4", "system": "http://loinc.org", "display": "Heart rate" } ],
    "category": [ { "codes": [ { "code": "vital-signs",
        "system": "http://terminology.hl7.org/CodeSystem/observation-category" } ] } ],
    "value": { "valueName": "bpm", "valueType": "Quantity", "unit": "beats/minute", "code": "/min",
        "system": "http://unitsofmeasure.org" } } }"#;

const EVENT: &str = r#"{"Body":{"id":"d-1","at":"2024-03-02T07:15:00.250Z","pulse":66.0},"SystemProperties":{"x-opt-enqueued-time":"2024-03-02T09:15:01+02:00"}}"#;

fn open(device: Option<&str>, fhir: Option<&str>) -> Result<Workbench, NoMapping> {
    let device = device.map(|text| Source { name: "device.json", text });
    let no_files = |_: &str| Err(String::new());
    Workbench::open(device, fhir.map(|text| Source { name: "fhir.json", text }), &no_files)
}

/// The document of some events, one for each or aggregated.
fn document(device: Option<&str>, fhir: Option<&str>, events: &[&str], aggregated: bool) -> Value {
    let workbench = open(device, fhir).unwrap();
    let events: Vec<Box<RawValue>> =
        events.iter().map(|event| RawValue::from_string((*event).to_owned()).unwrap()).collect();
    let mut text = Vec::new();
    let mut document = Document::open(&mut text, &workbench.template_result()).unwrap();
    if let Some(trial) = workbench.trial(Wrapping::Envelope) {
        let results: Vec<DeviceResult<'_>> = events.iter().map(|event| trial.run(event)).collect();
        if aggregated {
            let mut aggregate = Aggregate::default();
            results.into_iter().for_each(|result| aggregate.add(result));
            aggregate.results().for_each(|result| document.result(&result).unwrap());
        } else {
            results.iter().for_each(|result| document.result(result).unwrap());
        }
    }
    document.close().unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The only result of one event.
fn result(device: &str, fhir: Option<&str>, event: &str) -> Value {
    let mut document = document(Some(device), fhir, &[event], false);
    let results = document["DeviceResults"].as_array_mut().unwrap();
    assert_eq!(results.len(), 1);
    results.remove(0)
}

fn messages(exceptions: &Value) -> Vec<&str> {
    exceptions.as_array().unwrap().iter().map(|exception| exception["Message"].as_str().unwrap()).collect()
}

#[test]
fn va_1_without_any_mapping_nothing_is_opened() {
    assert_eq!(open(None, None).unwrap_err(), NoMapping);
    assert!(open(Some(""), None).is_ok());
    assert!(open(None, Some("")).is_ok());
}

#[test]
fn va_2_va_3_all_errors_of_both_files_are_told_with_level_category_and_line() {
    let (device, fhir) = (device(&["{}", PULSE]), fhir(&[PULSE_FHIR, "\"x\""]));
    let document = document(Some(&device), Some(&fhir), &[EVENT], false);
    let exceptions = &document["TemplateResult"]["Exceptions"];
    assert_eq!(exceptions.as_array().unwrap().len(), 2, "{exceptions}");
    let of = |index: usize, member: &str| exceptions[index][member].clone();
    assert_eq!((of(0, "Level"), of(0, "Category")), (json!("ERROR"), json!("NORMALIZATION")));
    assert_eq!(of(0, "LineInfo"), json!({ "LineNumber": 2, "LinePosition": 1 }));
    assert_eq!((of(1, "Level"), of(1, "Category")), (json!("ERROR"), json!("FHIRTRANSFORMATION")));
    assert!(messages(exceptions)[0].starts_with("Line Number: 2, Position: 1. "), "{exceptions}");
    assert_eq!(of(1, "Code"), "InvalidTemplateException");
    assert_eq!(document["TemplateResult"]["DeviceTemplates"], 1);
    assert_eq!(document["TemplateResult"]["FhirTemplates"], 1);
}

#[test]
fn va_4_a_type_without_fhir_template_is_a_warning_that_lists_those_there_are() {
    let steps = PULSE.replace("\"pulse\",", "\"steps\",");
    let document = document(Some(&device(&[&steps])), Some(&fhir(&[PULSE_FHIR])), &[], false);
    let exception = &document["TemplateResult"]["Exceptions"][0];
    let message = exception["Message"].as_str().unwrap();
    assert!(message.ends_with("No matching Fhir Template exists for Device Mapping [steps]. Available: Pulse"));
    assert_eq!((&exception["Level"], &exception["Category"]), (&json!("WARN"), &json!("FHIRTRANSFORMATION")));
}

#[test]
fn va_5_a_value_that_no_fhir_template_uses_is_a_warning_and_components_count() {
    let template = |name: &str| PULSE.replace("\"bpm\"", name);
    let blood_pressure = PULSE_FHIR.replace(
        "\"value\"",
        r#""components": [ { "codes": [], "value": { "valueName": "dia", "valueType": "String" } } ], "value""#,
    );
    let said = |value: &str, fhir_template: &str| {
        let document = document(Some(&device(&[&template(value)])), Some(&fhir(&[fhir_template])), &[], false);
        let messages = messages(&document["TemplateResult"]["Exceptions"]);
        messages
            .iter()
            .filter(|message| message.contains("is not represented"))
            .map(|m| (*m).to_owned())
            .collect::<Vec<_>>()
    };
    let expected = "The value [x] in Device Mapping [pulse] is not represented within the Fhir Template of type [Pulse]. \
                    Available: bpm, dia";
    let found = said("\"x\"", &blood_pressure);
    assert!(found.len() == 1 && found[0].ends_with(expected), "{found:?}");
    assert_eq!(said("\"bpm\"", &blood_pressure), Vec::<String>::new());
    assert_eq!(said("\"dia\"", &blood_pressure), Vec::<String>::new());
    let empty = r#"{ "templateType": "CodeValueFhir", "template": { "typeName": "pulse", "codes": [] } }"#;
    assert_eq!(said("\"bpm\"", empty).len(), 1);
}

#[test]
fn va_6_an_error_in_a_mapping_stops_the_events_and_a_warning_does_not() {
    let device_text = device(&[PULSE]);
    let results = |fhir: &str| {
        let document = document(Some(&device_text), Some(fhir), &[EVENT], false);
        document["DeviceResults"].as_array().unwrap().len()
    };
    assert_eq!(results(&fhir(&[PULSE_FHIR, "{}"])), 0);
    assert_eq!(results(&fhir(&[])), 1);
}

#[test]
fn va_7_nm_1_nm_2_nm_3_the_measurements_of_an_event_are_listed() {
    let result = result(&device(&[PULSE]), None, EVENT);
    assert_eq!(
        result["Measurements"].to_string(),
        r#"[{"Type":"pulse","OccurrenceTimeUtc":"2024-03-02T07:15:00.25Z","IngestionTimeUtc":"2024-03-02T07:15:01Z","DeviceId":"d-1","PatientId":null,"EncounterId":null,"CorrelationId":null,"Properties":[{"Name":"bpm","Value":"66"}]}]"#
    );
    assert_eq!(result["Exceptions"], json!([]));
    assert_eq!(result["DeviceEvent"].to_string(), EVENT);
}

#[test]
fn va_7_an_event_that_yields_nothing_is_a_warning() {
    let result = result(&device(&[PULSE]), None, r#"{"Body":{"steps":1}}"#);
    let expected = "No measurements were produced for the given device data.";
    assert_eq!(messages(&result["Exceptions"]), [expected]);
    assert_eq!(result["Exceptions"][0]["Level"], "WARN");
    assert_eq!(result["Exceptions"][0]["LineInfo"], Value::Null);
}

#[test]
fn va_7_a_failure_is_one_error_with_its_line_and_the_measurements_that_worked_stay() {
    let event =
        r#"{"Body":[{"id":"d","at":"2024-03-02T07:15:00Z","pulse":1},{"at":"2024-03-02T07:15:00Z","pulse":2}]}"#;
    let result = result(&device(&[PULSE]), None, event);
    assert_eq!(result["Measurements"].as_array().unwrap().len(), 1);
    let exception = &result["Exceptions"][0];
    assert_eq!(
        exception["Message"],
        "Line Number: 3, Position: 46. the required device id was not found (token $.Body[1])"
    );
    assert_eq!(exception["LineInfo"], json!({ "LineNumber": 3, "LinePosition": 46 }));
    assert_eq!(exception["Code"], "IncompatibleDataException");
}

#[test]
fn va_7_er_5_several_causes_are_one_error_and_numbered() {
    let event = |second: &str| format!(r#"{{"Body":[{{"id":"d","pulse":1}},{second}]}}"#);
    let same = result(&device(&[PULSE]), None, &event(r#"{"id":"d","pulse":2}"#));
    let exceptions = same["Exceptions"].as_array().unwrap();
    assert_eq!(exceptions.len(), 1);
    let lines: Vec<&str> = exceptions[0]["Message"].as_str().unwrap().lines().collect();
    assert!(lines[0].starts_with("1: Line Number: 4, Position: ") && lines[1].starts_with("2: Line Number: 4, "));
    assert_eq!(exceptions[0]["Code"], "IncompatibleDataException");

    let several = PULSE.replace("$.matchedToken.id", "$.matchedToken.ids[*]");
    let mixed = result(&device(&[&several]), None, r#"{"Body":[{"ids":["d"],"pulse":1},{"ids":["d","e"],"pulse":2}]}"#);
    assert_eq!(mixed["Exceptions"][0]["Code"], "NormalizationDataMappingException");
    assert_eq!(mixed["Exceptions"][0]["LineInfo"], Value::Null);
}

#[test]
fn va_8_a_sample_must_be_an_envelope() {
    let said = |event: &str| {
        let result = result(&device(&[PULSE]), None, event);
        assert_eq!(result["Exceptions"][0]["Level"], "ERROR", "{event}");
        assert_eq!(result["Exceptions"][0]["Code"], "InvalidDataFormatException", "{event}");
        messages(&result["Exceptions"])[0].to_owned()
    };
    for event in ["[]", "1", "null", "\"Body\""] {
        assert!(said(event).starts_with("The event is not an object"), "{event}");
    }
    assert!(said(r#"{"id":"d","pulse":1}"#).contains("use --wrap-body"));
    assert!(said(r#"{"Body":{},"Properties":[]}"#).contains("`Properties`"));
    let deep = format!("{{\"Body\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let workbench = open(Some(&device(&[PULSE])), None).unwrap();
    let deep = RawValue::from_string(deep).unwrap();
    let result = workbench.trial(Wrapping::Envelope).unwrap().run(&deep);
    assert!(result.exceptions[0].message.contains("nests deeper than 128"), "{:?}", result.exceptions);
}

#[test]
fn va_8_a_bare_payload_is_wrapped_when_asked() {
    let workbench = open(Some(&device(&[PULSE])), None).unwrap();
    let event = RawValue::from_string(r#"[{"id":"d","at":"2024-03-02T07:15:00Z","pulse":120.10}]"#.to_owned()).unwrap();
    let result = workbench.trial(Wrapping::Body).unwrap().run(&event);
    assert_eq!(result.measurements.len(), 1);
    assert_eq!(result.measurements[0].properties[0].value, "120.1");
    assert_eq!(result.measurements[0].ingestion_time_utc, None);
    assert_eq!(result.device_event.get(), event.get());
}

#[test]
fn ev_12_the_ingestion_time_is_what_the_broker_said_and_nothing_else() {
    let said = |system: &str| {
        let event = EVENT.replace(r#"{"x-opt-enqueued-time":"2024-03-02T09:15:01+02:00"}"#, system);
        result(&device(&[PULSE]), None, &event)["Measurements"][0]["IngestionTimeUtc"].clone()
    };
    assert_eq!(said(r#"{"iothub-enqueuedtime":"2024-03-02T07:15:02.5Z"}"#), "2024-03-02T07:15:02.5Z");
    for unknown in ["{}", "null", r#"{"x-opt-enqueued-time":"soon"}"#, r#"{"x-opt-enqueued-time":17}"#] {
        assert_eq!(said(unknown), Value::Null, "{unknown}");
    }
}

#[test]
fn va_9_each_measurement_alone_becomes_an_observation() {
    let event = r#"{"Body":[{"id":"d","at":"2024-03-02T07:15:00Z","pulse":1},{"id":"d","at":"2024-03-02T07:15:00Z","pulse":2}]}"#;
    let result = result(&device(&[PULSE]), Some(&fhir(&[PULSE_FHIR])), event);
    let observations = result["Observations"].as_array().unwrap();
    let values: Vec<&Value> = observations.iter().map(|observation| &observation["valueQuantity"]["value"]).collect();
    assert_eq!(values, [&json!(1), &json!(2)]);
    for member in ["subject", "device", "identifier", "id", "issued"] {
        assert_eq!(observations[0].get(member), None, "{member}");
    }
}

#[test]
fn va_9_what_cannot_be_converted_is_an_error_with_its_code() {
    let said = |fhir_templates: &[&str], pulse: &str| {
        let event = EVENT.replace("66.0", pulse);
        let result = result(&device(&[PULSE]), Some(&fhir(fhir_templates)), &event);
        assert_eq!(result["Measurements"].as_array().unwrap().len(), 1);
        assert_eq!(result["Observations"], json!([]));
        let exception = &result["Exceptions"][0];
        assert_eq!((&exception["Level"], &exception["Category"]), (&json!("ERROR"), &json!("FHIRTRANSFORMATION")));
        (exception["Code"].as_str().unwrap().to_owned(), exception["Message"].as_str().unwrap().to_owned())
    };
    let (code, message) = said(&[], "66");
    assert_eq!(code, "TemplateNotFoundException");
    assert_eq!(message, "No Fhir Template exists with the type name [pulse]");
    let (code, message) = said(&[PULSE_FHIR], "\"high\"");
    assert_eq!(code, "InvalidQuantityFhirValueException");
    assert!(message.starts_with("Line Number: 2, Position: "), "{message}");
    let correlation = PULSE_FHIR.replace("\"typeName\"", "\"periodInterval\": -1, \"typeName\"");
    assert_eq!(said(&[&correlation], "66").0, "CorrelationIdNotDefinedException");
}

#[test]
fn va_10_without_a_mapping_its_step_is_left_out() {
    let without_device = document(None, Some(&fhir(&[PULSE_FHIR])), &[EVENT], false);
    assert_eq!(without_device["DeviceResults"], json!([]));
    let without_events = document(Some(&device(&[PULSE])), None, &[], false);
    assert_eq!(without_events["DeviceResults"], json!([]));
    let without_fhir = result(&device(&[PULSE]), None, EVENT);
    assert_eq!((&without_fhir["Observations"], &without_fhir["Exceptions"]), (&json!([]), &json!([])));
}

#[test]
fn va_11_aggregated_each_message_is_one_result_with_its_first_event() {
    let empty = r#"{"Body":{"n":1.0}}"#;
    let other = r#"{"Body":{"n":2}}"#;
    let (device_text, bad) = (device(&[PULSE]), r#"{"Body":{"pulse":1}}"#);
    let document = document(Some(&device_text), None, &[EVENT, empty, bad, other, other], true);
    let results = document["DeviceResults"].as_array().unwrap();
    let told: Vec<_> = results.iter().map(|r| (r["DeviceEvent"].to_string(), r["AggregatedCount"].clone())).collect();
    assert_eq!(told, [(empty.to_owned(), json!(3)), (bad.to_owned(), json!(1))]);
    assert!(results.iter().all(|result| result["Exceptions"].as_array().unwrap().len() == 1));
    assert_eq!(result(&device_text, None, EVENT)["AggregatedCount"], 0);
}

#[test]
fn va_12_what_may_surprise_is_a_warning() {
    let warned = |device_template: &str, fhir_template: &str, words: &str| {
        let document = document(Some(&device(&[device_template])), Some(&fhir(&[fhir_template])), &[], false);
        let exceptions = document["TemplateResult"]["Exceptions"].as_array().unwrap();
        let found = exceptions
            .iter()
            .any(|exception| exception["Level"] == "WARN" && exception["Message"].as_str().unwrap().contains(words));
        assert!(found, "{words}: {exceptions:?}");
    };
    let (values, _) = PULSE.split_once(",\n    \"values\"").unwrap();
    warned(&format!("{values} }} }}"), PULSE_FHIR, "no `values`"); // DM-17
    warned(&PULSE.replace("$.matchedToken.pulse", "$..pulse"), PULSE_FHIR, "finds a value twice"); // DM-26
    let iot = PULSE.replace("CalculatedContent", "IotJsonPathContent");
    warned(&iot, PULSE_FHIR, "is ignored"); // DM-39
    warned(&PULSE.replace("$.matchedToken.pulse", "$.matchedToken..[0]"), PULSE_FHIR, "has no effect"); // JP-16
    let boolean = PULSE.replace("\"$..[?(@pulse)]\"", r#"{ "value": "Body.pulse > `5`", "language": "JmesPath" }"#);
    warned(&boolean, PULSE_FHIR, "false"); // JM-5
    let empty = r#"{ "templateType": "CodeValueFhir", "template": { "typeName": "pulse", "codes": [] } }"#;
    warned(PULSE, empty, "neither `value` nor `components`"); // FM-6
    let hourly = PULSE_FHIR.replace("\"typeName\"", "\"periodInterval\": 60, \"typeName\"");
    warned(PULSE, &hourly, "keeps only the latest reading");
}
