use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::HandlebarsFhir;
use super::view::{Party, View};
use crate::mapping::fhir::TemplateKind;
use crate::mapping::{Mappings, Source};

const NO_DEVICES: &str = r#"{ "templateType": "CollectionContent", "template": [] }"#;

fn load(template_type: &str, body: &str, file: &str) -> Result<HandlebarsFhir, Vec<String>> {
    let fhir = format!(
        "{{ \"templateType\": \"CollectionFhir\", \"template\": [\n\
         {{ \"templateType\": \"{template_type}\", \"template\": {{ \"typeName\": \"t\",\n{body} }} }} ] }}"
    );
    let include = |name: &str| if name == "x.hbs" { Ok(file.to_owned()) } else { Err("not there".to_owned()) };
    let device = Source { name: "device.json", text: NO_DEVICES };
    let (mappings, _) = Mappings::load_with(device, Source { name: "fhir.json", text: &fhir }, &include)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    match &mappings.fhir_template("t").unwrap().kind {
        TemplateKind::Handlebars(template) => Ok(template.clone()),
        TemplateKind::CodeValue(_) => panic!("a HandlebarsFhir"),
    }
}

/// A template with these members of its resource, each on a line of its own from line 4 on.
fn resource(members: &str) -> Result<HandlebarsFhir, Vec<String>> {
    load(
        "HandlebarsFhir",
        &format!("\"resource\": {{ \"resourceType\": \"Observation\", \"code\": {{ \"text\": \"c\" }},\n{members} }}"),
        "",
    )
}

fn file(text: &str) -> Result<HandlebarsFhir, Vec<String>> {
    load("HandlebarsFhir", r#""file": "x.hbs""#, text)
}

type Reading<'r> = (&'r str, &'r [(&'r str, &'r str)]);

/// What a template renders of readings: name, and each time (seconds after 07:00) and value.
fn rendered(template: &HandlebarsFhir, readings: &[Reading<'_>]) -> Result<Value, String> {
    let seven: Timestamp = "2024-03-02T07:00:00Z".parse().unwrap();
    let at = |seconds: &str| {
        let seconds: f64 = seconds.parse().unwrap();
        seven + jiff::SignedDuration::from_secs_f64(seconds)
    };
    let series: Vec<(&str, Vec<(Timestamp, &str)>)> = readings
        .iter()
        .map(|(name, points)| (*name, points.iter().map(|(time, value)| (at(time), *value)).collect()))
        .collect();
    let view = View {
        measurement_type: "T",
        series: series.iter().map(|(name, points)| (*name, points.as_slice())).collect(),
        start: seven,
        end: at("3"),
        issued: at("9.5"),
        device: Party { id: "d", identifier: Some("serial") },
        patient: Party { id: "p", identifier: None },
        encounter: None,
        correlation_id: None,
        identifier_system: "urn:own",
        identifier_value: "p.d.t",
    };
    template.render(&view).map(Value::Object).map_err(|refusal| refusal.reason)
}

fn loaded(template: Result<HandlebarsFhir, Vec<String>>) -> HandlebarsFhir {
    template.unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A string of a resource, rendered with `v` = 36.60, `w` = 5, `s` = a text.
#[track_caller]
fn check(text: &str, expected: Value) {
    let json = Value::from(text).to_string();
    let template = loaded(resource(&format!("\"x\": [ {json} ]")));
    let readings = [("v", &[("1", "35"), ("2", "36.60")][..]), ("w", &[("2", "5")]), ("s", &[("2", "a \"b\"")])];
    let rendered = rendered(&template, &readings).unwrap();
    let actual = rendered.get("x").map_or(&Value::Null, |list| &list[0]);
    assert_eq!(actual, &expected, "{text}");
}

#[track_caller]
fn check_failure(text: &str, expected: &str) {
    let json = Value::from(text).to_string();
    let template = loaded(resource(&format!("\"x\": [ {json} ]")));
    let readings = [("v", &[("2", "36,6")][..]), ("w", &[("2", "5")])];
    let failure = rendered(&template, &readings).unwrap_err();
    assert!(failure.contains(expected) && failure.starts_with("line 4: "), "{text}: {failure}");
}

#[track_caller]
fn check_problem(template: Result<HandlebarsFhir, Vec<String>>, expected: &str) {
    let problems = template.map(|_| ()).expect_err(expected);
    assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:#?}\nis not about {expected}");
}

#[track_caller]
fn check_text_problem(text: &str, expected: &str) {
    check_problem(resource(&format!("\"x\": {}", Value::from(text))), expected);
}

#[test]
fn texts_and_variables() {
    check("{{values.v}} of {{type}}", json!("36.60 of T"));
    check("{{device.reference}} {{device.identifier}} {{patient.id}}", json!("Device/d serial p"));
    check("{{start}}/{{end}}/{{issued}}", json!("2024-03-02T07:00:00Z/2024-03-02T07:00:03Z/2024-03-02T07:00:09.5Z"));
    check("{{identifier.system}}|{{identifier.value}}", json!("urn:own|p.d.t"));
    check(
        "{{#each series.v}}{{value}}@{{time}} {{/each}}",
        json!("35@2024-03-02T07:00:01Z 36.60@2024-03-02T07:00:02Z "),
    );
    check("{{values.s}} {{{values.s}}} {{&values.s}}", json!("a \"b\" a \"b\" a \"b\""));
    check("no braces", json!("no braces"));
}

#[test]
fn a_missing_variable_is_an_error_in_a_text_false_in_a_condition_and_leaves_out_what_a_helper_writes() {
    check_failure("at {{values.site}}", "`values.site` has no value");
    check_failure("{{encounter.id}}", "`encounter.id` has no value");
    check_failure("{{round values.x 1}} bpm", "`values.x` has no value");
    check("{{#if values.site}}at {{values.site}}{{else}}anywhere{{/if}}", json!("anywhere"));
    check("{{#if values.site}}at {{values.site}}{{/if}}", Value::Null);
    for helper in ["decimal", "integer", "boolean", "quantity"] {
        check(&format!("{{{{{helper} values.x}}}}"), Value::Null);
    }
    check("{{sampledData series.x period=1000}}", Value::Null);
    check("{{add values.v values.x}}", Value::Null);
    check("{{#if values.x}}{{decimal values.x}}{{else}}{{decimal values.w}}{{/if}}", json!(5));
}

#[test]
fn blank_strings_nulls_and_empty_containers_are_left_out() {
    let template = loaded(resource(
        r#""a": "", "b": " ", "c": null, "d": {}, "e": [], "f": { "g": [ {}, null, { "h": "" } ] }, "i": [ 1, null ], "j": 0, "k": false"#,
    ));
    let rendered = rendered(&template, &[]).unwrap();
    assert_eq!(
        rendered,
        json!({ "resourceType": "Observation", "code": { "text": "c" }, "i": [ 1 ], "j": 0, "k": false })
    );
}

#[test]
fn p_6_decimals_keep_their_digits() {
    let template = loaded(resource(r#""x": "{{decimal values.v}}", "y": 1.500"#));
    let rendered = rendered(&template, &[("v", &[("1", " 0036.600 ")])]).unwrap();
    assert_eq!(rendered["x"].to_string(), "36.600");
    assert_eq!(rendered["y"].to_string(), "1.500");
    check_failure("{{decimal values.v}}", "`values.v` is not a decimal: `36,6`");
}

#[test]
fn integers_and_booleans() {
    check("{{integer values.w}}", json!(5));
    check_failure("{{integer values.v}}", "is not a whole number");
    check("{{boolean (default values.x 'True')}}", json!(true));
    check("{{boolean 0}}", json!(false));
    check_failure("{{boolean values.w}}", "is not true or false");
}

#[test]
fn times_take_the_form_of_fhir() {
    check("{{dateTime '2024-03-02 09:00:00.250+02:00'}}", json!("2024-03-02T07:00:00.25Z"));
    check("{{dateTime '2024-03-02'}}", json!("2024-03-02"));
    check("{{instant start}}", json!("2024-03-02T07:00:00Z"));
    check_failure("{{instant values.v}}", "`values.v` is not a time");
    check_failure("{{dateTime values.w}}", "`values.w` is not a date or time");
}

#[test]
fn quantities_codings_concepts_and_references() {
    check(
        "{{quantity values.w unit='beats' code='/min'}}",
        json!({ "value": 5, "unit": "beats", "system": "http://unitsofmeasure.org", "code": "/min" }),
    );
    check(
        "{{quantity values.w comparator='<' code='x' system='urn:x'}}",
        json!({ "value": 5, "comparator": "<", "system": "urn:x", "code": "x" }),
    );
    check(
        "{{coding system='http://loinc.org' code='8867-4' display=values.s}}",
        json!({ "system": "http://loinc.org", "code": "8867-4", "display": "a \"b\"" }),
    );
    check("{{coding system='http://loinc.org' code=values.x}}", Value::Null);
    check(
        "{{codeableConcept (coding code='a') (coding code=values.x) code='b' text=values.s}}",
        json!({ "coding": [ { "code": "b" }, { "code": "a" } ], "text": "a \"b\"" }),
    );
    check("{{reference device.reference display='D'}}", json!({ "reference": "Device/d", "display": "D" }));
    check("{{reference 'Device' values.w}}", json!({ "reference": "Device/5" }));
    check("{{reference encounter.reference}}", Value::Null);
    check_failure("{{reference 'Device' values.v}}", "is not part of a reference");
}

#[test]
fn sampled_data_of_readings_has_a_slot_for_each_and_e_between() {
    let expected = |data: &str| json!({ "origin": { "value": 0 }, "period": 1000, "dimensions": 1, "data": data });
    check("{{sampledData series.v period=1000}}", expected("E 35 36.60 E"));
    check(
        "{{sampledData series.w period='500' unit='mV' code='mV' origin=1024 factor=0.0050 lowerLimit=-1}}",
        json!({ "origin": { "value": 1024, "unit": "mV", "system": "http://unitsofmeasure.org", "code": "mV" },
            "period": 500, "factor": serde_json::from_str::<Value>("0.0050").unwrap(), "lowerLimit": -1, "dimensions": 1, "data": "E E E E 5 E E" }),
    );
    check_failure("{{sampledData series.v period=1000}}", "is not a decimal, E, U or L: `36,6`");
}

#[test]
fn sampled_data_of_strips_puts_each_token_in_the_nearest_slot_and_lasts_as_long_as_they_do() {
    let template = loaded(resource(r#""x": "{{sampledData series.ecg period=(divide 1000 values.hz digits=9)}}""#));
    let strips: &[(&str, &str)] = &[("0", "1 2 3"), ("0.0083333", "4 E 6"), ("3", "7 8")];
    let rendered = rendered(&template, &[("ecg", strips), ("hz", &[("0", "360")])]).unwrap();
    let data = rendered["x"]["data"].as_str().unwrap();
    assert!(data.starts_with("1 2 3 4 E 6 E E"), "{data}");
    assert!(data.ends_with("E E 7 8"), "{data}");
    assert_eq!(rendered["x"]["period"].to_string(), "2.777777778");
    let two = loaded(resource(r#""x": "{{sampledData series.ecg period=1000 dimensions=2}}""#));
    let frames: &[(&str, &str)] = &[("0", "1 2"), ("2", "3 4 5 6")];
    assert_eq!(self::rendered(&two, &[("ecg", frames)]).unwrap()["x"]["data"], "1 2 E E 3 4 5 6");
    let odd: &[(&str, &str)] = &[("0", "1 2 3")];
    assert!(self::rendered(&two, &[("ecg", odd)]).unwrap_err().contains("has 3 tokens, 2 make a sample"));
}

#[test]
fn computing_is_exact() {
    check("{{add values.v 0.40 -1}}", serde_json::from_str("36.00").unwrap());
    check("{{subtract values.v values.w}}", serde_json::from_str("31.60").unwrap());
    check("{{multiply values.w 1.5}}", serde_json::from_str("7.5").unwrap());
    check("{{divide 1 3 digits=3}}", serde_json::from_str("0.333").unwrap());
    check("{{round values.v 1}}", serde_json::from_str("36.6").unwrap());
    check("{{round values.v 0}} °C", json!("37 °C"));
    check_failure("{{divide 1 (subtract values.w 5)}}", "a divisor is zero");
    check_failure("{{add values.v 1}}", "is not a decimal of at most 18 digits");
}

#[test]
fn deciding_compares_by_value_where_both_are_decimals() {
    for (call, expected) in [
        ("eq values.v 36.6", true),
        ("eq values.s 'a \"b\"'", true),
        ("eq values.x values.x", false),
        ("ne values.x 1", true),
        ("lt values.w 10", true),
        ("gt 'b' 'a'", true),
        ("gte values.w 5.0", true),
        ("lte values.v 36.5", false),
        ("and values.v values.x", false),
        ("or values.x values.v", true),
        ("not values.x", true),
    ] {
        check(&format!("{{{{{call}}}}}"), json!(expected));
        check(&format!("{{{{#if ({call})}}}}yes{{{{else}}}}no{{{{/if}}}}"), json!(if expected { "yes" } else { "no" }));
    }
    check("{{#lt values.w 10}}low{{else}}high{{/lt}}", json!("low"));
    check("{{len series.v}}", json!(2));
}

#[test]
fn choosing_mapping_and_joining() {
    check("{{default values.x values.v}}", json!("36.60"));
    check("{{default (quantity values.x) (quantity values.w)}}", json!({ "value": 5 }));
    check("{{map values.w '4' 'four' '5' 'five'}}", json!("five"));
    check("{{map values.v '4' 'four' default='other'}}", json!("other"));
    check("{{map values.v '4' 'four' default=''}}", Value::Null);
    check("{{map values.x '4' 'four' default=''}}", Value::Null);
    check("{{default values.x ''}}", Value::Null);
    check_failure("{{map values.w '4' 'four'}}", "is not in the table");
    check("{{join values.v values.x values.w separator=', '}}", json!("36.60, 5"));
    check("{{join series.v separator=' '}}", json!("35 36.60"));
    check("{{lookup values 'w'}}", json!("5"));
}

#[test]
fn fm_1_handlebars_templates_by_any_spelling_of_their_type() {
    for name in ["HandlebarsFhir", "handlebarsfhirTEMPLATE"] {
        loaded(load(name, r#""resource": { "resourceType": "Observation", "code": { "text": "c" } }"#, ""));
    }
}

#[test]
fn misspellings_are_problems_with_their_place_and_a_suggestion() {
    for (text, message, hint) in [
        ("{{decimel values.v}}", "there is no helper `decimel`", "did you mean `decimal`?"),
        ("{{value.v}}", "there is no variable `value.v`", "did you mean `values`?"),
        ("{{devise.id}}", "there is no variable `devise.id`", ""),
        ("{{device.identifer}}", "there is no variable `device.identifer`", "did you mean `device.identifier`?"),
        ("{{stat}}", "there is no variable `stat`", "did you mean `start`?"),
        ("{{quantity values.v units='x'}}", "`quantity` has no option `units`", "did you mean `unit`?"),
        ("{{round values.v}}", "`round` takes 2 parameters, not 1", ""),
        ("{{#each series.v}}{{@idx}}{{/each}}", "there is no variable `@idx`", ""),
        ("{{log values.v}}", "there is no helper `log`", ""),
        ("{{> partial}}", "partials and decorators are not available", ""),
        ("{{if values.v}}", "`if` is a block", ""),
        ("pulse {{quantity values.v}}", "`quantity` writes an object, which is no part of a text", ""),
        ("{{#if values.v}}", "no Handlebars", ""),
        ("{{quantity (add values.v 'x')}}", "is not a decimal", ""),
    ] {
        let problems = resource(&format!("\"x\": {}", Value::from(text))).map(|_| ()).expect_err(text);
        let problem = &problems[0];
        assert!(problems.len() == 1 && problem.starts_with("fhir.json:4:6: error: "), "{problems:#?}");
        assert!(problem.contains(message) && problem.contains(hint), "{problem}");
    }
}

#[test]
fn templates_nested_too_deep_are_refused() {
    let deep = format!("{{{{decimal {}values.v{}}}}}", "(decimal ".repeat(40), ")".repeat(40));
    check_text_problem(&deep, "nested deeper");
    check_text_problem(&"{{#if type}}".repeat(40), "nested deeper");
}

#[test]
fn a_template_has_one_body_of_a_known_type() {
    check_problem(load("HandlebarsFhir", r#""file": "x.hbs", "resource": {}"#, ""), "not both");
    check_problem(load("HandlebarsFhir", r#""periodInterval": 0"#, ""), "needs `resource` or `file`");
    check_problem(load("HandlebarsFhir", r#""resource": []"#, ""), "must be an object");
    check_problem(load("HandlebarsFhir", r#""resource": {}"#, ""), "has no `resourceType`");
    check_problem(
        load("HandlebarsFhir", r#""resource": { "resourceType": "Observatoin" }"#, ""),
        "did you mean `Observation`?",
    );
    check_problem(
        load("HandlebarsFhir", r#""resource": { "resourceType": "{{type}}" }"#, ""),
        "must be a text without data",
    );
    check_problem(load("HandlebarsFhir", r#""resource": { "resourceType": "Observation" }"#, ""), "has a `code`");
    check_problem(resource(r#""id": "mine""#), "`id` is not the template's");
    check_problem(resource(r#""a": 1, "a": 2"#), "member `a` is there twice");
    check_problem(resource(r#""{{type}}": 1"#), "names of members are not rendered");
    check_problem(
        load("HandlebarsFhir", r#""resource": { "resourceType": "Media", "issued": "{{issued}}" }"#, ""),
        "another time with every delivery",
    );
}

#[test]
fn fm_2_unknown_members_are_refused() {
    check_problem(
        load("HandlebarsFhir", r#""codes": [], "resource": { "resourceType": "Basic" }"#, ""),
        "member `codes` is not known",
    );
}

#[test]
fn va_5_value_names_are_those_the_template_mentions() {
    let template = loaded(resource(r#""x": "{{quantity values.hr}}", "y": "{{join series.[heart rate]}}""#));
    assert_eq!(template.value_names().collect::<Vec<_>>(), ["heart rate", "hr"]);
    assert!(template.uses("hr") && !template.uses("other"));
    assert!(loaded(resource(r#""x": "{{len values}}""#)).uses("other"));
}

#[test]
fn a_misspelt_member_of_an_observation_is_warned_about() {
    let fhir = r#"{ "templateType": "CollectionFhir", "template": [ { "templateType": "HandlebarsFhir", "template": {
        "typeName": "t", "resource": { "resourceType": "Observation", "code": { "text": "c" }, "_status": {},
        "valueQuanttiy": "{{quantity values.v unit='%' code='%'}}", "colour": "red" } } } ] }"#;
    let inspection = Mappings::inspect(None, Some(Source { name: "fhir.json", text: fhir }));
    let warnings: Vec<String> = inspection.fhir.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(warnings[0].contains("no member `valueQuanttiy`") && warnings[0].contains("did you mean `valueQuantity`?"));
    assert!(warnings[1].contains("no member `colour`"), "{}", warnings[1]);
}

const DOCUMENT: &str = r#"{
  "resourceType": "Observation",
  {{! the code is static }}
  "code": { "text": "c" },
  "status": "{{default values.status 'final'}}",
  {{#if values.v}}
  "valueQuantity": {{quantity values.v code="mm[Hg]"}},
  {{/if}}
  "note": [ {{#each series.s}}{ "text": "{{value}} \"at\" {{time}}" }{{#unless @last}},{{/unless}}{{/each}} ]
}
"#;

#[test]
fn a_file_renders_to_json() {
    let template = loaded(file(DOCUMENT));
    let rendered = rendered(&template, &[("v", &[("1", "120")]), ("s", &[("1", "a \"b\""), ("2", "c\n")])]).unwrap();
    let quantity = json!({ "value": 120, "system": "http://unitsofmeasure.org", "code": "mm[Hg]" });
    let note =
        json!([ { "text": "a \"b\" \"at\" 2024-03-02T07:00:01Z" }, { "text": "c\n \"at\" 2024-03-02T07:00:02Z" } ]);
    assert_eq!(
        rendered,
        json!({ "resourceType": "Observation", "code": { "text": "c" }, "status": "final", "valueQuantity": quantity, "note": note })
    );
    let without = self::rendered(&template, &[]).unwrap();
    assert!(without.get("valueQuantity").is_none() && without.get("note").is_none());
}

#[test]
fn problems_of_a_file_name_it_and_its_line() {
    for (from, to, expected) in [
        ("values.status", "value.status", "x.hbs:5:14: error: there is no variable `value.status`"),
        ("{{quantity", "{{quantiy", "x.hbs:7:20: error: there is no helper `quantiy`"),
        (
            "{{quantity values.v code=\"mm[Hg]\"}}",
            "{{values.v}}",
            "x.hbs:7:20: error: `values.v` stands outside of quotes",
        ),
        (
            "{{quantity values.v code=\"mm[Hg]\"}}",
            "\"{{quantity values.v}}\"",
            "x.hbs:7:21: error: `quantity` writes an object",
        ),
        ("{{quantity values.v code=\"mm[Hg]\"}}", "{{dateTime values.v}}", "x.hbs:7:20: error: `dateTime` writes text"),
        ("{{/if}}", "{{/unless}}", "x.hbs:8:3: error: helper"),
        ("\"code\":", "\"code\"", "x.hbs:4:"),
        ("\"code\"", "\"resourceType\"", "names a member twice"),
        ("\"code\"", "\"id\": \"x\", \"code\"", "`id` is not the template's"),
        ("Observation", "{{type}}", "are no data"),
    ] {
        let problems = file(&DOCUMENT.replacen(from, to, 1)).map(|_| ()).expect_err(to);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:#?}\nis not about {expected}");
    }
    check_problem(file("[]"), "is no object");
    check_problem(file("{ \"resourceType\": \"\u{f0000}\" }"), "private use");
}

#[test]
fn a_file_is_beside_the_mapping() {
    for name in ["/etc/passwd", "../x.hbs", "a/../../x.hbs", "", "C:\\x.hbs", "./../x"] {
        let body = format!("\"file\": {}", Value::from(name));
        check_problem(load("HandlebarsFhir", &body, ""), "is not a file in the directory");
    }
    check_problem(load("HandlebarsFhir", r#""file": "y.hbs""#, ""), "cannot read `y.hbs`: not there");
    check_problem(load("HandlebarsFhir", r#""file": 1"#, ""), "must be a text");
    assert!(!Path::new("x.hbs").is_absolute());
}

/// The names of members and the kinds of values, strings without what they say.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(elements) => format!("[{}]", elements.iter().map(shape).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name}:{}", shape(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

const HOSTILE_RESOURCE: &str = r#""a": "{{values.s}}", "b": "x {{{values.s}}} y", "c": "{{codeableConcept code=values.s display=values.s text=values.s}}",
    "d": "{{quantity values.v unit=values.s code=values.s}}", "e": "{{join values.s type separator=values.s}}", "f": [ { "g": "{{&values.s}}" } ]"#;
const HOSTILE_FILE: &str = r#"{ "resourceType": "Observation", "code": { "text": "{{values.s}}" }, "a": "x {{{values.s}}} y",
    "b": {{codeableConcept code=values.s display=values.s text=values.s}}, "c": [ {{#each series.s}}"{{value}}"{{/each}} ],
    "d": {{quantity values.v unit=values.s}}, "e": "{{&values.s}} {{{join values.s type}}}" }"#;

fn check_hostile(value: &str) {
    for template in [resource(HOSTILE_RESOURCE), file(HOSTILE_FILE)].map(loaded) {
        let [tame, hostile] =
            ["tame", value].map(|value| rendered(&template, &[("s", &[("1", value)]), ("v", &[("1", "1")])]).unwrap());
        assert_eq!(shape(&hostile), shape(&tame), "{value:?}");
        let exact = hostile.pointer("/f/0/g").or(hostile.pointer("/code/text"));
        assert_eq!(exact, Some(&Value::from(value)), "{value:?}");
    }
}

#[test]
fn hostile_values_stay_in_their_string() {
    for value in [
        "\"",
        "\\",
        "\\\"",
        "\n\r\t\u{0}",
        "\", \"subject\": { \"reference\": \"Patient/other\" }, \"x\": \"",
        "{{patient.id}}",
        "{{{{raw}}}}",
        "}}",
        "{\"a\":[]}",
        "[]",
        "null",
        "\\u0022",
        "é\u{1f600}\u{2028}",
    ] {
        check_hostile(value);
    }
}

proptest::proptest! {
    #[test]
    fn p_5_no_value_changes_the_structure_of_the_resource(value in "[\"\\\\{}\\[\\]:, \\n\\t#/&>!a-z0-9\u{e9}]{0,40}[a-z]") {
        check_hostile(&value);
    }

    #[test]
    fn no_template_makes_loading_panic(text in "(\\{\\{|\\}\\}|#if |/if|else|#each |/each|values\\.v|decimal |\\(|\\)|\"|'|~|\\^|>|!|--|\\*| as \\|x\\||=|@|\\.\\./|this|\\[|\\]| |\\\\|\\{|\\}|1|code){0,12}") {
        drop(resource(&format!("\"x\": {}", Value::from(text.as_str()))));
        drop(file(&text));
    }
}
