use serde_json::{Value, json};

use super::super::super::fixture::{Group, SYSTEM, handlebars};
use super::super::super::rendered::build;
use super::super::Merged;
use super::merge;
use crate::mapping::fhir::handlebars::HandlebarsFhir;

fn observation(members: &str) -> HandlebarsFhir {
    handlebars(&format!(r#"{{ "resourceType": "Observation", "code": {{ "text": "c" }}, {members} }}"#))
}

const QUANTITY: &str = r#""valueQuantity": "{{quantity values.v unit='u'}}""#;
const STREAM: &str = r#""valueSampledData": "{{sampledData series.v period=1000 origin=1024 factor=0.005 unit='mV'}}""#;
const SPAN: (&str, &str) = ("0", "3");

fn created(template: &HandlebarsFhir, group: &Group) -> String {
    String::from_utf8(build(template, &group.content()).unwrap().json).unwrap()
}

fn built(template: &HandlebarsFhir, group: &Group) -> Value {
    serde_json::from_str(&created(template, group)).unwrap()
}

fn merged(stored: &str, template: &HandlebarsFhir, group: &Group) -> Option<String> {
    match merge(stored.as_bytes(), template, &group.content()).unwrap().outcome {
        Merged::Unchanged => None,
        Merged::Changed(json) => Some(String::from_utf8(json).unwrap()),
    }
}

/// What is stored after a merge, which changes something once and never again.
#[track_caller]
fn check(stored: &str, template: &HandlebarsFhir, group: &Group) -> Value {
    let text = merged(stored, template, group).expect("a change");
    assert_eq!(merged(&text, template, group), None, "merging twice");
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn check_code(template: &HandlebarsFhir, group: &Group, stored: Option<&str>, code: &str) {
    let failure = match stored {
        None => build(template, &group.content()).unwrap_err(),
        Some(stored) => merge(stored.as_bytes(), template, &group.content()).map(|_| ()).unwrap_err(),
    };
    assert_eq!(failure.code, code, "{failure}");
}

#[test]
fn fm_16_fm_17_fm_18_an_observation_is_completed_with_what_the_template_leaves_out() {
    let group = Group::new(SPAN, &[("1", "v", "61")]).with_encounter("e");
    let resource = built(&observation(QUANTITY), &group);
    let value = "p.d.t.20240302070000Z.20240302070003Z";
    assert_eq!(
        resource,
        json!({
            "resourceType": "Observation",
            "id": crate::model::logical_id::logical_id(SYSTEM, value),
            "identifier": [ { "system": SYSTEM, "value": value } ],
            "code": { "text": "c" },
            "valueQuantity": { "value": 61, "unit": "u" },
            "status": "final",
            "subject": { "reference": "Patient/p" },
            "encounter": { "reference": "Encounter/e" },
            "effectivePeriod": { "start": "2024-03-02T07:00:00.0000000Z", "end": "2024-03-02T07:00:03.0000000Z" },
            "issued": "2024-03-02T07:00:09.5000000Z",
            "device": { "reference": "Device/d" },
        })
    );
}

#[test]
fn what_the_template_writes_itself_stays() {
    let template = observation(
        r#""identifier": [ { "value": "{{values.v}}" } ], "status": "preliminary", "effectiveDateTime": "{{dateTime start}}",
           "subject": { "reference": "{{patient.reference}}", "display": "Bed 4" }, "device": { "display": "{{device.identifier}}" }"#,
    );
    let resource = built(&template, &Group::new(SPAN, &[("1", "v", "61")]));
    assert_eq!(resource["identifier"].as_array().unwrap().len(), 2);
    assert_eq!(resource["identifier"][0], json!({ "value": "61" }));
    assert_eq!((&resource["status"], &resource["effectivePeriod"]), (&json!("preliminary"), &Value::Null));
    assert_eq!(resource["subject"]["display"], "Bed 4");
    assert_eq!(resource["device"], json!({ "display": "d-identifier" }));
}

#[test]
fn p_5_another_patient_is_refused_wherever_the_template_names_one() {
    let group = Group::new(SPAN, &[("1", "v", "other")]);
    for members in [
        r#""subject": { "reference": "Patient/{{values.v}}" }"#,
        r#""subject": { "reference": "http://elsewhere/fhir/Patient/p" }"#,
        r#""subject": { "identifier": { "value": "p" } }"#,
        r#""subject": { "reference": "Group/g" }"#,
        r#""subject": "Patient/p""#,
        r#""performer": [ { "reference": "Patient/{{values.v}}" } ]"#,
        r#""extension": [ { "url": "urn:x", "valueReference": { "reference": "http://elsewhere/Patient/{{values.v}}/_history/1" } } ]"#,
        r#""performer": [ { "reference": "Patient?identifier={{values.v}}" } ]"#,
        r#""focus": [ "{{reference 'Patient' values.v}}" ]"#,
    ] {
        check_code(&observation(members), &group, None, "PatientDeviceMismatchException");
    }
    build(&observation(r#""performer": [ { "reference": "{{patient.reference}}" } ]"#), &group.content()).unwrap();
    let other_type = handlebars(r#"{ "resourceType": "Media", "subject": { "reference": "Patient/{{values.v}}" } }"#);
    check_code(&other_type, &group, None, "PatientDeviceMismatchException");
    let contained = handlebars(
        r##"{ "resourceType": "Media", "subject": { "reference": "#p" }, "contained": [ { "resourceType": "Patient", "id": "p" } ] }"##,
    );
    check_code(&contained, &group, None, "PatientDeviceMismatchException");
    let of_a_device = handlebars(r#"{ "resourceType": "Media", "subject": { "reference": "{{device.reference}}" } }"#);
    build(&of_a_device, &group.content()).unwrap();
    let patient = handlebars(r#"{ "resourceType": "DetectedIssue", "patient": { "display": "somebody" } }"#);
    check_code(&patient, &group, None, "PatientDeviceMismatchException");
}

#[test]
fn identifiers_by_type() {
    let group = Group::new(SPAN, &[]);
    let identifier = |resource_type: &str| {
        let template = handlebars(&format!(r#"{{ "resourceType": "{resource_type}", "language": "en" }}"#));
        built(&template, &group)["identifier"].clone()
    };
    let own = json!({ "system": SYSTEM, "value": "p.d.t.20240302070000Z.20240302070003Z" });
    assert_eq!(identifier("Media"), json!([own]));
    assert_eq!(identifier("QuestionnaireResponse"), own);
    assert_eq!(identifier("Provenance"), Value::Null);
}

#[test]
fn a_failure_names_the_reading_to_blame() {
    let template = observation(QUANTITY);
    let group = Group::new(SPAN, &[("1", "v", "61"), ("2", "v", "x"), ("3", "w", "5")]);
    let failure = build(&template, &group.content()).unwrap_err();
    assert_eq!(failure.code, "InvalidQuantityFhirValueException");
    assert_eq!(failure.reading, Some(("v".to_owned(), super::super::super::fixture::after_seven("2"))));
    let group = Group::new(SPAN, &[("1", "v", "1 x"), ("2", "v", "5")]);
    let failure = build(&observation(STREAM), &group.content()).unwrap_err();
    assert_eq!(failure.code, "InvalidSampledDataValueException");
    assert_eq!(failure.reading, Some(("v".to_owned(), super::super::super::fixture::after_seven("1"))));
    let bare = observation(r#""note": [ { "text": "{{values.site}} {{values.v}}" } ]"#);
    let failure = build(&bare, &group.content()).unwrap_err();
    assert_eq!((failure.code, failure.reading.unwrap().0), ("FhirDataMappingException", "v".to_owned()));
}

#[test]
fn p_2_what_comes_again_changes_nothing_also_later() {
    for members in [
        QUANTITY,
        STREAM,
        r#""effectiveDateTime": "{{start}}", "valueString": "{{values.v}} {{issued}}""#,
        r#""effectiveInstant": "{{instant start}}", "meta": { "profile": [ "urn:p" ] }, "identifier": [ { "value": "x" } ]"#,
        r#""status": "preliminary", "component": [ { "code": { "text": "a" }, "valueQuantity": "{{quantity values.v}}" } ]"#,
        r#""dataAbsentReason": { "text": "none" }"#,
    ] {
        let (template, group) = (observation(members), Group::new(SPAN, &[("1", "v", "61")]));
        // Created an hour ago, and the server has added what servers add.
        let stored = created(&template, &group).replace("2024-03-02T07:00:09.5", "2024-03-02T06:00:09.5");
        let mut stored: Value = serde_json::from_str(&stored).unwrap();
        stored["meta"]["versionId"] = json!("1");
        assert_eq!(merged(&stored.to_string(), &template, &group), None, "{members}");
    }
}

#[test]
fn ob_7_ob_9_rendered_members_replace_stored_ones_and_others_keep_their_bytes() {
    let template = observation(
        r#""valueQuantity": "{{quantity values.v unit='u'}}", "bodySite": { "text": "{{default values.site 'wrist'}}" }"#,
    );
    let stored = created(&template, &Group::new(SPAN, &[("1", "v", "61.0")]));
    let foreign = r#""note":[ {"text":"\u0041 mine"} ],"subject":{"reference":"Patient/moved"}"#;
    let stored = stored.replacen(r#""subject":{"reference":"Patient/p"}"#, foreign, 1);
    assert_eq!(merged(&stored, &template, &Group::new(SPAN, &[("1", "v", "61")])), None);
    let text = merged(&stored, &template, &Group::new(SPAN, &[("2", "v", "62"), ("2", "site", "ear")])).unwrap();
    assert!(text.contains(foreign), "{text}");
    let resource: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(resource["valueQuantity"]["value"], json!(62));
    assert_eq!((&resource["bodySite"]["text"], &resource["status"]), (&json!("ear"), &json!("amended")));
}

#[test]
fn ob_20_status_follows_the_template_until_it_is_final() {
    let template = observation(&format!(r#""status": "{{{{default values.status 'final'}}}}", {QUANTITY}"#));
    let preliminary = Group::new(SPAN, &[("1", "v", "61"), ("1", "status", "preliminary")]);
    let stored = created(&template, &preliminary);
    let unchanged_value = Group::new(SPAN, &[("1", "v", "61")]);
    assert_eq!(check(&stored, &template, &unchanged_value)["status"], "final");
    assert_eq!(check(&stored, &template, &Group::new(SPAN, &[("1", "v", "62")]))["status"], "amended");
    let entered_in_error = stored.replace("preliminary", "entered-in-error");
    assert_eq!(merged(&entered_in_error, &template, &unchanged_value), None);
    let last = stored.replace("preliminary", "final");
    assert_eq!(merged(&last, &template, &preliminary), None, "what is final does not become preliminary");
}

#[test]
fn ob_10_the_effective_time_grows_and_streams_move_with_it() {
    let members = format!(
        r#"{STREAM}, "component": [ {{ "code": {{ "text": "w" }}, "valueSampledData": "{{{{sampledData series.w period=1000}}}}" }} ]"#
    );
    let template = observation(&members);
    let stored = created(&template, &Group::new(SPAN, &[("0", "v", "1"), ("3", "w", "2")]));
    let resource = check(&stored, &template, &Group::new(("-1", "-1"), &[("-1", "v", "9")]));
    assert_eq!(resource["effectivePeriod"]["start"], "2024-03-02T06:59:59.0000000Z");
    assert_eq!(resource["valueSampledData"]["data"], "9 1 E E E");
    assert_eq!(resource["component"][0]["valueSampledData"]["data"], "E E E E 2");
    assert_eq!(resource["component"].as_array().unwrap().len(), 1);
    let timing = observation(r#""effectiveTiming": { "event": [ "{{start}}" ] }"#);
    check_code(&timing, &Group::new(SPAN, &[]), None, "NotSupportedException");
    let elsewhere = observation(&format!(r#"{STREAM}, "effectiveDateTime": "{{{{end}}}}""#));
    check_code(&elsewhere, &Group::new(SPAN, &[("1", "v", "1")]), None, "NotSupportedException");
}

#[test]
fn ob_13_another_type_of_value_is_not_supported() {
    let group = Group::new(SPAN, &[("1", "v", "61")]);
    let stored = created(&observation(r#""valueString": "{{values.v}}""#), &group);
    check_code(&observation(QUANTITY), &group, Some(&stored), "NotSupportedException");
    check_code(&handlebars(r#"{ "resourceType": "Media" }"#), &group, Some(&stored), "NotSupportedException");
}

#[test]
fn a_value_that_came_is_no_longer_absent_and_stays() {
    let template = observation(&format!(
        r#"{QUANTITY}, "dataAbsentReason": {{ "text": "{{{{#unless values.v}}}}not measured{{{{/unless}}}}" }}"#
    ));
    let (with, without) = (Group::new(SPAN, &[("1", "v", "61")]), Group::new(SPAN, &[("1", "w", "1")]));
    let absent = created(&template, &without);
    let resource = check(&absent, &template, &with);
    assert_eq!((&resource["dataAbsentReason"], &resource["valueQuantity"]["value"]), (&Value::Null, &json!(61)));
    assert_eq!(merged(&resource.to_string(), &template, &without), None);
}

#[test]
fn ob_14_components_are_found_by_all_of_their_codes() {
    let panel = r#"{ "system": "urn:c", "code": "panel" }"#;
    let component = |name: &str| {
        format!(
            r#"{{ "code": "{{{{#if values.{name}}}}}{{{{codeableConcept (coding system='urn:c' code='panel') system='urn:c' code='{name}'}}}}{{{{/if}}}}",
                "valueQuantity": "{{{{quantity values.{name}}}}}" }}"#
        )
    };
    let template = observation(&format!(r#""component": [ {}, {} ]"#, component("high"), component("low")));
    let stored = created(&template, &Group::new(SPAN, &[("1", "high", "118")]));
    assert!(stored.contains("panel") && panel.contains("panel"));
    let both = check(&stored, &template, &Group::new(SPAN, &[("2", "low", "76")]));
    let values = |resource: &Value| -> Vec<String> {
        let components = resource["component"].as_array().unwrap();
        components.iter().map(|component| component["valueQuantity"]["value"].to_string()).collect()
    };
    assert_eq!(values(&both), ["118", "76"]);
    let newer = check(&both.to_string(), &template, &Group::new(SPAN, &[("3", "low", "77"), ("3", "high", "119")]));
    assert_eq!(values(&newer), ["119", "77"]);
}

#[test]
fn ob_16_streams_of_batches_join_whatever_their_scale() {
    let template = observation(STREAM);
    let stored = created(&template, &Group::new(SPAN, &[("0", "v", "60"), ("2", "v", "62")]));
    let resource = check(&stored, &template, &Group::new(SPAN, &[("1.4", "v", "61"), ("3", "v", "63")]));
    assert_eq!(
        resource["valueSampledData"],
        json!({ "origin": { "value": 1024, "unit": "mV" }, "period": 1000,
            "factor": serde_json::from_str::<Value>("0.005").unwrap(), "dimensions": 1, "data": "60 61 62 63" })
    );
    let other_scale = stored.replace("0.005", "0.01");
    let group = Group::new(SPAN, &[("1", "v", "61")]);
    check_code(&template, &group, Some(&other_scale), "NotSupportedException");
    let limits = stored.replace("\"dimensions\"", "\"upperLimit\":9, \"dimensions\"");
    assert_eq!(check(&limits, &template, &group)["valueSampledData"]["upperLimit"], 9);
}

#[test]
fn ob_16_strips_longer_than_the_effective_time_keep_all_samples() {
    let template = observation(STREAM);
    let strip = |at: &str, samples: &str| Group::new(("0", "0"), &[(at, "v", samples)]);
    let stored = created(&template, &strip("0", "1 2 3"));
    assert!(stored.contains("\"1 2 3\""), "{stored}");
    assert_eq!(merged(&stored, &template, &strip("0", "1 2 3.0")), None);
    let resource = check(&stored, &template, &strip("0", "1 E 4 5"));
    assert_eq!(resource["valueSampledData"]["data"], "1 2 4 5");
    let hour = |at: &str, samples: &str| Group::new(("0", "9"), &[(at, "v", samples)]);
    let stored = created(&template, &hour("0", "1 2 3"));
    let resource = check(&stored, &template, &hour("8", "4 5 6"));
    assert_eq!(resource["valueSampledData"]["data"], "1 2 3 E E E E E 4 5 6");
}

#[test]
fn ob_17_streams_of_several_dimensions_are_replaced_by_nothing() {
    let template = observation(r#""valueSampledData": "{{sampledData series.v period=1000 dimensions=2}}""#);
    let group = Group::new(("0", "1"), &[("0", "v", "1 2"), ("1", "v", "3 4")]);
    let stored = created(&template, &group);
    assert_eq!(merged(&stored, &template, &group), None);
    check_code(&template, &Group::new(("0", "1"), &[("1", "v", "5 6")]), Some(&stored), "NotSupportedException");
}

#[test]
fn other_types_of_resources_merge_member_by_member() {
    let template = handlebars(
        r#"{ "resourceType": "DiagnosticReport", "status": "final", "code": { "text": "c" }, "meta": { "profile": [ "urn:p" ] },
             "subject": { "reference": "{{patient.reference}}" }, "conclusion": "{{values.v}}" }"#,
    );
    let group = Group::new(SPAN, &[("1", "v", "ok")]);
    let stored = created(&template, &group).replace("\"status\"", "\"language\":\"en\",\"status\"");
    let stored = stored.replace("\"profile\"", "\"versionId\":\"1\",\"profile\"");
    assert_eq!(merged(&stored, &template, &group), None);
    let resource = check(&stored, &template, &Group::new(SPAN, &[("1", "v", "not ok")]));
    assert_eq!((&resource["conclusion"], &resource["language"]), (&json!("not ok"), &json!("en")));
    assert_eq!((&resource["status"], &resource["meta"]["versionId"]), (&json!("final"), &json!("1")));
}

proptest::proptest! {
    #[test]
    fn ob_16_any_order_of_batches_gives_the_same_stream(order in proptest::sample::subsequence((0_u32..12).collect::<Vec<_>>(), 1..12), size in 1_usize..5) {
        let template = observation(STREAM);
        let readings: Vec<(String, String)> = order.iter().map(|slot| (slot.to_string(), format!("{slot}.50"))).collect();
        let group = |batch: &[(String, String)]| {
            let batch: Vec<_> = batch.iter().map(|(at, value)| (at.as_str(), "v", value.as_str())).collect();
            Group::new(("0", "11"), &batch)
        };
        let mut stored: Option<String> = None;
        for batch in readings.chunks(size).rev() {
            stored = Some(match stored {
                None => created(&template, &group(batch)),
                Some(stored) => merged(&stored, &template, &group(batch)).unwrap_or(stored),
            });
        }
        let merged: Value = serde_json::from_str(&stored.unwrap()).unwrap();
        let at_once = built(&template, &group(&readings));
        proptest::prop_assert_eq!(&merged["valueSampledData"], &at_once["valueSampledData"]);
    }

    #[test]
    fn no_stored_text_makes_merging_panic(noise in "[{}\\[\\]\",:a-zE0-9. ]{0,30}") {
        let stored = format!(
            r#"{{"resourceType":"Observation","effectiveDateTime":"2024-03-02T07:00:00Z","component":[{noise}],"valueSampledData":{noise}}}"#
        );
        let group = Group::new(SPAN, &[("1", "v", "1")]);
        drop(merge(stored.as_bytes(), &observation(STREAM), &group.content()).map(|merge| merge.outcome));
    }
}
