//! What a message costs the mapping engine, parsing included, on one core.
//!
//! `cargo bench --bench mapping`. The two mappings of each pair are measured one beside the other: a message pays for the
//! templates it can match, so a hundred templates of which two match should cost about what those two cost alone.

#![allow(clippy::expect_used, reason = "a mapping that does not load cannot be measured")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use vitalwire::workbench::Engine;

const HEART_RATE: &[u8] =
    br#"{"deviceid":"w-7","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:00.25Z","heartrate":61}"#;
/// A monitor that tells its measurements apart by a text.
const TYPED: &[u8] =
    br#"{"device":{"id":"m-3","ward":"icu"},"at":"2024-03-02T07:15:00Z","type":"t3","unit":"1/min","value":61.5,
    "quality":{"signal":0.98,"flags":[]}}"#;

fn collection(template_type: &str, elements: impl Iterator<Item = String>) -> String {
    format!(r#"{{"templateType":"{template_type}","template":[{}]}}"#, elements.collect::<Vec<_>>().join(","))
}

fn device_template(type_name: &str, type_match: &str, (device, time, value): (&str, &str, &str)) -> String {
    format!(
        r#"{{"templateType":"CalculatedContent","template":{{"typeName":"{type_name}","typeMatchExpression":"{type_match}",
            "deviceIdExpression":"{device}","timestampExpression":"{time}",
            "values":[{{"required":true,"valueName":"v","valueExpression":"{value}"}}]}}}}"#
    )
}

fn engine(templates: &[(String, String)]) -> Engine {
    let device = collection("CollectionContent", templates.iter().map(|(_, template)| template.clone()));
    let fhir = templates.iter().map(|(type_name, _)| {
        format!(
            r#"{{"templateType":"CodeValueFhir","template":{{"typeName":"{type_name}","codes":[],
                "value":{{"valueType":"Quantity","valueName":"v"}}}}}}"#
        )
    });
    Engine::load(&device, &collection("CollectionFhir", fhir)).expect("the mapping is right")
}

/// A template that matches the heart rate message, or with another number one like it for another member.
fn by_name(number: usize) -> (String, String) {
    let member = match number {
        0 => "heartrate".to_owned(),
        1 => "patientid".to_owned(),
        number => format!("member{number}"),
    };
    let expressions =
        ("$.matchedToken.deviceid", "$.matchedToken.measurementdatetime", format!("$.matchedToken.{member}"));
    let expressions = (expressions.0, expressions.1, expressions.2.as_str());
    let type_name = format!("type{number}");
    let template = device_template(&type_name, &format!("$..[?(@{member})]"), expressions);
    (type_name, template)
}

/// A template for messages of one type; 3 and 4 are two templates for the type of the message.
fn by_text(number: usize) -> (String, String) {
    let text = if number == 4 { 3 } else { number };
    let type_name = format!("type{number}");
    let expressions = ("$.Body.device.id", "$.Body.at", "$.Body.value");
    let template = device_template(&type_name, &format!("$..[?(@type == 't{text}')]"), expressions);
    (type_name, template)
}

fn heart_rate(criterion: &mut Criterion) {
    let engine = engine(&[by_name(0)]);
    assert_eq!(engine.measurements(HEART_RATE), 1);
    let mut group = criterion.benchmark_group("one template");
    group.throughput(Throughput::Elements(1));
    group.bench_function("heart rate", |bencher| bencher.iter(|| engine.measurements(black_box(HEART_RATE))));
    group.finish();
}

fn many_templates(criterion: &mut Criterion) {
    type Template = fn(usize) -> (String, String);
    let cases: [(&str, &[u8], Template, [usize; 2]); 2] =
        [("told apart by member", HEART_RATE, by_name, [0, 1]), ("told apart by text", TYPED, by_text, [3, 4])];
    for (name, message, template, matching) in cases {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        for count in [2, 100, 500] {
            let numbers: Vec<usize> = match count {
                2 => matching.to_vec(),
                count => (0..count).collect(),
            };
            let engine = engine(&numbers.into_iter().map(template).collect::<Vec<_>>());
            assert_eq!(engine.measurements(message), 2);
            group.bench_with_input(BenchmarkId::from_parameter(format!("{count} templates")), &count, |bencher, _| {
                bencher.iter(|| engine.measurements(black_box(message)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, heart_rate, many_templates);
criterion_main!(benches);
