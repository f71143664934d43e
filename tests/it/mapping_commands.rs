//! `vitalwire mapping`: what those who write a mapping see, and what their programs read.

use std::path::Path;
use std::process::Command;

use crate::support::process::{run, vitalwire};

const DEVICE: &str = r#"{
  "templateType": "CollectionContent",
  "template": [
    {
      "templateType": "CalculatedContent",
      "template": {
        "typeName": "pressure",
        "typeMatchExpression": "$..[?(@high)]",
        "deviceIdExpression": "$.matchedToken.id",
        "timestampExpression": "$.matchedToken.at",
        "values": [
          { "required": true, "valueName": "high", "valueExpression": "$.matchedToken.high" }
        ]
      }
    }
  ]
}"#;

const FHIR: &str = r#"{
  "templateType": "CollectionFhir",
  "template": [
    {
      "templateType": "CodeValueFhir",
      "template": {
        "typeName": "pressure",
        "codes": [],
        "value": { "valueName": "high", "valueType": "String" }
      }
    }
  ]
}"#;

const BODY: &str = r#"{"id":"cuff-9","at":"2024-03-02T07:15:00.250Z","high":"120.10","raw":120.10}"#;

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("device.json"), DEVICE).unwrap();
    std::fs::write(directory.path().join("fhir.json"), FHIR).unwrap();
    directory
}

fn mapping(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = vitalwire(&["mapping"]);
    command.args(arguments).current_dir(directory);
    command
}

const BOTH: [&str; 4] = ["--device-mapping", "device.json", "--fhir-mapping", "fhir.json"];

fn test(directory: &Path, events: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    std::fs::write(directory.join("events.json"), events).unwrap();
    let mut command = mapping(directory, &["test", "--events", "events.json"]);
    command.args(BOTH).args(arguments);
    run(command)
}

#[test]
fn check_prints_problems_like_a_compiler_and_exits_with_78() {
    let directory = directory();
    let check = |arguments: &[&str]| run(mapping(directory.path(), &[&["check"], arguments].concat()));
    let (code, output, _) = check(&BOTH);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.lines().last().unwrap().starts_with("ok: 1 device template, 1 FHIR template, "), "{output}");

    std::fs::write(directory.path().join("device.json"), DEVICE.replace("$.matchedToken.at", "$.[")).unwrap();
    let (code, output, errors) = check(&BOTH);
    assert_eq!(code, Some(78), "{output}{errors}");
    assert!(output.starts_with("device.json:10:9: error: JsonPath `$.[`"), "{output}");
    assert!(errors.starts_with("vitalwire: 1 error, "), "{errors}");
    let (code, ..) = check(&["--fhir-mapping", "fhir.json"]);
    assert_eq!(code, Some(0));
    let (code, output, _) = check(&["--device-mapping", "shipped:heart-rate/device.json"]);
    assert_eq!((code, output.as_str()), (Some(0), "ok: 1 device template, 0 warnings\n"));
}

#[test]
fn test_prints_the_document_with_every_digit() {
    let directory = directory();
    let event = format!(r#"{{"Body":{BODY},"Properties":{{"n":1.50}}}}"#);
    let (code, output, errors) = test(directory.path(), &format!("[ {event}\n]"), &["--format", "json"]);
    assert_eq!(code, Some(0), "{errors}");
    let (templates, results) = output.split_once('\n').unwrap();
    assert!(templates.starts_with(r#"{"TemplateResult":{"Exceptions":["#), "{templates}");
    assert!(templates.ends_with(r#"],"DeviceTemplates":1,"FhirTemplates":1},"#), "{templates}");
    let system = "https://azure.microsoft.com/en-us/services/iomt-fhir-connector/";
    let expected = format!(
        r#""DeviceResults":[
{{"DeviceEvent":{event},"Measurements":[{{"Type":"pressure","OccurrenceTimeUtc":"2024-03-02T07:15:00.25Z","IngestionTimeUtc":null,"DeviceId":"cuff-9","PatientId":null,"EncounterId":null,"CorrelationId":null,"Properties":[{{"Name":"high","Value":"120.10"}}]}}],"Observations":[{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"{system}","code":"pressure","display":"pressure"}}],"text":"pressure"}},"effectivePeriod":{{"start":"2024-03-02T07:15:00.2500000Z","end":"2024-03-02T07:15:00.2500000Z"}},"valueString":"120.10"}}],"Exceptions":[],"AggregatedCount":0}}]}}
"#
    );
    assert_eq!(results, expected);
}

#[test]
fn test_takes_bare_payloads_and_one_event_a_line() {
    let directory = directory();
    let (code, output, _) = test(directory.path(), &format!("{BODY}\n{BODY}\n"), &["--wrap-body"]);
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains("event 2: 1 measurement\n  pressure at 2024-03-02T07:15:00.25Z device cuff-9: high = 120.10")
    );
    let (code, output, _) = test(directory.path(), &format!("[{BODY}]"), &["--format", "json"]);
    assert_eq!(code, Some(0), "it ran, whatever it found");
    assert!(output.contains("use --wrap-body") && output.contains("InvalidDataFormatException"), "{output}");
}

#[test]
fn test_aggregates_by_message() {
    let directory = directory();
    let events: Vec<String> = (0..50).map(|number| format!(r#"{{"Body":{{"n":{number}}}}}"#)).collect();
    let events = format!("[{}]", events.join(","));
    let (code, output, _) = test(directory.path(), &events, &["--aggregate", "--format", "json"]);
    assert_eq!(code, Some(0));
    let document: serde_json::Value = serde_json::from_str(&output).unwrap();
    let results = document["DeviceResults"].as_array().unwrap();
    assert_eq!(results.len(), 1);
    assert_eq!(
        (results[0]["AggregatedCount"].as_u64(), &results[0]["DeviceEvent"]["Body"]["n"]),
        (Some(50), &0.into())
    );
}

#[test]
fn test_runs_no_event_through_a_mapping_with_an_error() {
    let directory = directory();
    std::fs::write(directory.path().join("fhir.json"), FHIR.replace("String", "Text")).unwrap();
    let (code, output, _) = test(directory.path(), "[{}]", &[]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.starts_with("fhir.json:9:"), "{output}");
    assert!(output.ends_with("no event was run: a mapping has errors\n"), "{output}");
}

#[test]
fn results_come_in_the_order_of_a_long_file() {
    let directory = directory();
    let count = 20_000;
    let events: Vec<String> =
        (0..count).map(|n| format!("{{\"Body\":{}}}", BODY.replace("cuff-9", &n.to_string()))).collect();
    let (code, output, _) = test(directory.path(), &format!("[{}]", events.join(",\n")), &["--format", "json"]);
    assert_eq!(code, Some(0));
    let devices = output.lines().skip(2).zip(0..count);
    for (line, number) in devices {
        assert!(line.contains(&format!(r#""DeviceId":"{number}""#)), "{line}");
    }
    assert_eq!(output.lines().count(), count + 2);
}

#[test]
fn misuse_is_exit_code_2_and_prints_no_document() {
    let directory = directory();
    let misused = |command: Command, words: &str| {
        let (code, output, errors) = run(command);
        assert_eq!(code, Some(2), "{errors}");
        assert_eq!(output, "");
        assert!(errors.contains(words), "{errors}");
    };
    misused(mapping(directory.path(), &["test"]), "at least one mapping must be given");
    misused(mapping(directory.path(), &["check"]), "at least one mapping must be given");
    misused(
        mapping(directory.path(), &["check", "--device-mapping", "none.json"]),
        "cannot read the mapping none.json",
    );
    let with_events = |events: &str| {
        std::fs::write(directory.path().join("events.json"), events).unwrap();
        let mut command = mapping(directory.path(), &["test", "--format", "json", "--events", "events.json"]);
        command.args(BOTH);
        command
    };
    misused(with_events("42"), "give one JSON array of events");
    misused(with_events("[{},\n{]"), "events.json: line 2: not JSON");
    misused(with_events("[{}"), "the file ends within its array");
    let mut command = mapping(directory.path(), &["test", "--events", "none.json"]);
    command.args(BOTH);
    misused(command, "cannot read the events none.json");
}

#[test]
fn explain_shows_each_template_and_expression_of_one_event() {
    let directory = directory();
    let events = format!("{{\"Body\":{{\"High\":1}}}}\n{{\"Body\":{BODY}}}\n");
    std::fs::write(directory.path().join("events.json"), events).unwrap();
    let explain = |number: &str| {
        let mut command = mapping(directory.path(), &["explain", "--events", "events.json", "--event", number]);
        command.args(BOTH);
        run(command)
    };
    let (code, output, errors) = explain("2");
    assert_eq!(code, Some(0), "{errors}");
    let lines: Vec<&str> = output.lines().skip_while(|line| !line.starts_with("device.json:6:")).collect();
    assert_eq!(lines[0], "device.json:6:19: pressure (CalculatedContent) matches 1 token");
    assert_eq!(lines[1], "  line 8, typeMatchExpression: JsonPath $..[?(@high)]");
    assert_eq!(lines[2], "    $..[?(@high)] selects 1");
    assert_eq!(lines[3], format!("  token $.Body: {BODY}"));
    assert_eq!(lines[6], "    line 12, required value `high`: JsonPath $.matchedToken.high -> \"120.10\"");
    assert_eq!(lines[7], "    pressure at 2024-03-02T07:15:00.25Z device cuff-9: high = 120.10");
    assert!(lines[8].starts_with("    {\"resourceType\":\"Observation\","), "{output}");

    let (code, output, _) = explain("1");
    assert_eq!(code, Some(0));
    assert!(output.contains("does not match"), "{output}");
    assert!(output.ends_with("  the event lacks a member `high`; did you mean `High`?\n"), "{output}");
    let (code, _, errors) = explain("3");
    assert_eq!(code, Some(2));
    assert_eq!(errors, "vitalwire: there is no event 3: events.json has 2 events\n");
}

#[test]
fn checking_a_mapping_runs_the_example_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    for file in ["device.json", "fhir.json", "sample.json", "expected.json"] {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/heart-rate").join(file);
        std::fs::copy(shipped, directory.path().join(file)).unwrap();
    }
    let check = || {
        let mut command = mapping(directory.path(), &["check"]);
        command.args(BOTH);
        run(command)
    };
    let (code, output, _) = check();
    assert_eq!(code, Some(0));
    assert!(output.contains("ok: the example beside the mappings makes what it says"), "{output}");
    std::fs::write(directory.path().join("expected.json"), "{}").unwrap();
    let (code, _, errors) = check();
    assert_eq!(code, Some(78));
    assert!(errors.contains("the example makes something else than expected.json"), "{errors}");
}
