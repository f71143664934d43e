use proptest::prelude::{Strategy, any};
use serde_json::{Value, json};

use super::super::fixture::{Group, SYSTEM, template};
use super::super::observation::build;
use super::{Merged, merge};
use crate::mapping::fhir::code_value::CodeValueFhir;

const QUANTITY: &str = r#""value": { "valueName": "v", "valueType": "Quantity", "unit": "u" }"#;
const STRING: &str = r#""value": { "valueName": "v", "valueType": "String" }"#;
const STREAM: &str =
    r#""value": { "valueName": "v", "valueType": "SampledData", "defaultPeriod": 1000, "unit": "mV" }"#;
const PRESSURE: &str = r#""components": [
    { "codes": [], "value": { "valueName": "high", "valueType": "Quantity" } },
    { "codes": [], "value": { "valueName": "low", "valueType": "Quantity" } } ]"#;

const SPAN: (&str, &str) = ("0", "3");

fn merged(stored: &str, template: &CodeValueFhir, group: &Group) -> Option<String> {
    match merge(stored.as_bytes(), template, &group.content()).unwrap().outcome {
        Merged::Unchanged => None,
        Merged::Changed(json) => Some(String::from_utf8(json).unwrap()),
    }
}

fn created(template: &CodeValueFhir, group: &Group) -> String {
    String::from_utf8(build(template, &group.content()).unwrap().json).unwrap()
}

/// Stored, then merged: what is at `pointer` afterwards. A change amends, and merging again changes nothing.
#[track_caller]
fn check(stored: &str, members: &str, readings: &[(&str, &str, &str)], pointer: &str, expected: Value) {
    let (template, group) = (template(members), Group::new(SPAN, readings));
    let text = merged(stored, &template, &group).expect("a change");
    let observation: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(observation.pointer(pointer).unwrap_or(&Value::Null), &expected, "{observation:#}");
    assert_eq!(observation["status"], "amended");
    assert_eq!(merged(&text, &template, &group), None, "merging twice");
}

#[track_caller]
fn check_unchanged(stored: &str, members: &str, readings: &[(&str, &str, &str)]) {
    assert_eq!(merged(stored, &template(members), &Group::new(SPAN, readings)), None);
}

#[track_caller]
fn check_not_supported(stored: &str, members: &str, readings: &[(&str, &str, &str)]) {
    let group = Group::new(SPAN, readings);
    let failure = merge(stored.as_bytes(), &template(members), &group.content()).unwrap_err();
    assert_eq!(failure.code, "NotSupportedException");
}

/// A stored Observation from 07:00:00 to 07:00:03 with these members.
fn stored(members: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","status":"final","effectivePeriod":{{"start":"2024-03-02T07:00:00Z","end":"2024-03-02T07:00:03Z"}},{members}}}"#
    )
}

fn stored_stream(period: &str, data: &str) -> String {
    stored(&format!(
        r#""valueSampledData":{{"origin":{{"value":0,"unit":"mV"}},"period":{period},"dimensions":1,"data":"{data}"}}"#
    ))
}

#[test]
fn ob_7_ob_15_a_new_value_replaces_the_old_one() {
    check(
        &stored(r#""valueQuantity":{"value":60,"unit":"u"}"#),
        QUANTITY,
        &[("1", "v", "61.0")],
        "/valueQuantity",
        json!({ "value": serde_json::from_str::<Value>("61.0").unwrap(), "unit": "u" }),
    );
    check(&stored(r#""valueString":"a""#), STRING, &[("1", "v", "b")], "/valueString", json!("b"));
    let concept = r#""value": { "valueName": "v", "valueType": "CodeableConcept", "text": "new" }"#;
    check(
        &stored(r#""valueCodeableConcept":{"text":"old"}"#),
        concept,
        &[("1", "v", "x")],
        "/valueCodeableConcept",
        json!({ "text": "new" }),
    );
}

#[test]
fn ob_15_the_other_value_types_are_replaced_too_and_equal_ones_are_no_change() {
    let range = r#""value": { "valueName": "v", "valueType": "Range", "highValueName": "w" }"#;
    let stored_range = stored(r#""valueRange":{"low":{"value":60},"high":{"value":80.0}}"#);
    check_unchanged(&stored_range, range, &[("1", "v", "60.0"), ("1", "w", "80")]);
    let expected = json!({ "low": { "value": 70 }, "high": { "value": 90 } });
    check(&stored_range, range, &[("1", "v", "70"), ("1", "w", "90")], "/valueRange", expected);
    let date_time = r#""value": { "valueName": "v", "valueType": "DateTime" }"#;
    let stored_time = stored(r#""valueDateTime":"2024-03-02T07:00:00.000Z""#);
    check_unchanged(&stored_time, date_time, &[("1", "v", "2024-03-02T08:00:00+01:00")]);
    check(&stored_time, date_time, &[("1", "v", "2024-03-02")], "/valueDateTime", json!("2024-03-02"));
    let boolean = r#""value": { "valueName": "v", "valueType": "Boolean" }"#;
    check(&stored(r#""valueBoolean":true"#), boolean, &[("1", "v", "False")], "/valueBoolean", json!(false));
    check_not_supported(&stored(r#""valueBoolean":true"#), range, &[("1", "v", "1"), ("1", "w", "2")]);
}

#[test]
fn ob_8_the_category_is_always_the_templates() {
    let with_category = stored(r#""category":[{"text":"old"}],"valueString":"a""#);
    check(&with_category, STRING, &[("1", "v", "a")], "/category", Value::Null);
    let members = format!(r#""category": [ {{ "text": "new" }} ], {STRING}"#);
    check(&with_category, &members, &[("1", "v", "a")], "/category", json!([ { "text": "new" } ]));
    check_unchanged(&with_category.replace("old", "new"), &members, &[("1", "v", "a")]);
}

#[test]
fn ob_9_foreign_members_keep_their_bytes() {
    let foreign = r#""code" : { "text":"\u0041 mine" }, "issued":"2020-01-01T00:00:00Z","extension":[ {"valueDecimal":1.50E+3} ],"subject":{"reference":"Patient/other"},"meta":{"versionId":"7","tag":[]}"#;
    let kept = [
        r#"{ "text":"\u0041 mine" }"#,
        r#"[ {"valueDecimal":1.50E+3} ]"#,
        r#"{"reference":"Patient/other"}"#,
        r#""issued":"2020-01-01T00:00:00Z""#,
        r#"{"versionId":"7","tag":[]}"#,
    ];
    let stored = stored(&format!(r#"{foreign},"valueString":"a""#));
    let text = merged(&stored, &template(STRING), &Group::new(SPAN, &[("1", "v", "b")])).unwrap();
    for kept in kept {
        assert!(text.contains(kept), "{kept} is not in {text}");
    }
}

#[test]
fn ob_10_the_effective_time_grows_to_hold_both() {
    let point =
        |time: &str| format!(r#"{{"resourceType":"Observation","effectiveDateTime":"{time}","valueString":"a"}}"#);
    check(
        &point("2024-03-02T06:59:00Z"),
        STRING,
        &[("1", "v", "a")],
        "/effectivePeriod",
        json!({ "start": "2024-03-02T06:59:00.0000000Z", "end": "2024-03-02T07:00:03.0000000Z" }),
    );
    check(&point("2024-03-02T08:59:00+02:00"), STRING, &[("1", "v", "a")], "/effectiveDateTime", Value::Null);
    for effective in
        [r#""effectiveTiming":{}"#, r#""effectivePeriod":{"start":"2024-03-02T07:00:00Z"}"#, r#""note":[]"#]
    {
        check_not_supported(&format!(r#"{{"resourceType":"Observation",{effective}}}"#), STRING, &[("1", "v", "a")]);
    }
}

#[test]
fn ob_10_ob_11_an_instant_that_stays_the_same_is_no_change_but_becomes_a_period_with_the_next_one() {
    let stored = r#"{"resourceType":"Observation","effectiveDateTime":"2024-03-02T09:00:01+02:00","valueString":"a"}"#;
    let same = Group::new(("1", "1"), &[("1", "v", "a")]);
    assert_eq!(merged(stored, &template(STRING), &same), None);
    let other = Group::new(("1", "1"), &[("1", "v", "b")]);
    let text = merged(stored, &template(STRING), &other).unwrap();
    assert!(text.contains(r#""effectivePeriod":{"start":"2024-03-02T07:00:01.0000000Z","#), "{text}");
}

#[test]
fn ob_11_equal_meaning_is_no_change() {
    check_unchanged(&stored(r#""valueQuantity":{"unit":"u","value":61.00}"#), QUANTITY, &[("1", "v", "61")]);
    check_unchanged(&stored_stream("1e0", "E 61.0 E E").replace("1e0", "1000.0"), STREAM, &[("1", "v", "61")]);
    let period = stored(r#""valueString":"a""#).replace("07:00:00Z", "09:00:00.000+02:00");
    check_unchanged(&period, STRING, &[("1", "v", "a")]);
}

#[test]
fn ob_12_a_value_without_readings_stays() {
    check_unchanged(&stored(r#""valueQuantity":{"value":1}"#), STRING, &[]);
    check_unchanged(&stored(r#""valueQuantity":{"value":1}"#), QUANTITY, &[("1", "other", "1")]);
}

#[test]
fn ob_13_another_type_of_value_is_not_supported_and_none_is_created() {
    check_not_supported(&stored(r#""valueString":"a""#), QUANTITY, &[("1", "v", "1")]);
    check_not_supported(&stored(r#""valueQuantity":{"value":1}"#), STREAM, &[("1", "v", "1")]);
    check(&stored(r#""note":[]"#), QUANTITY, &[("1", "v", "1")], "/valueQuantity/value", json!(1));
    check(&stored(r#""note":[]"#), STREAM, &[("1", "v", "1")], "/valueSampledData/data", json!("E 1 E E"));
}

#[test]
fn ob_14_components_are_found_by_our_coding_and_others_stay() {
    let high = format!(
        r#"{{"code":{{"coding":[{{"code":"x"}},{{"system":"{SYSTEM}","code":"high"}}]}},"valueQuantity":{{"value":118}},"note":[1.0]}}"#
    );
    let foreign = r#"{"code":{"text":"foreign"},"valueString":"kept"}"#;
    let stored = stored(&format!(r#""component":[{foreign},{high}]"#));
    check(&stored, PRESSURE, &[("1", "high", "120")], "/component/1/valueQuantity/value", json!(120));
    check(&stored, PRESSURE, &[("1", "low", "76")], "/component/2/valueQuantity/value", json!(76));
    check(&stored, PRESSURE, &[("1", "low", "76")], "/component/1/valueQuantity/value", json!(118));
    check_unchanged(&stored, PRESSURE, &[("1", "high", "118.0")]);
    let text = merged(&stored, &template(PRESSURE), &Group::new(SPAN, &[("1", "high", "120")])).unwrap();
    assert!(text.contains(foreign) && text.contains(r#""note":[1.0]"#), "{text}");
    check_not_supported(
        &stored.replace(r#""valueQuantity":{"value":118}"#, r#""valueString":"a""#),
        PRESSURE,
        &[("1", "high", "1")],
    );
}

#[test]
fn ob_16_the_worked_example() {
    check(
        &stored_stream("1000", "60 E 62 E"),
        STREAM,
        &[("1.4", "v", "61"), ("3.0", "v", "63")],
        "/valueSampledData/data",
        json!("60 61 62 63"),
    );
}

#[test]
fn ob_16_an_empty_slot_erases_nothing_and_a_new_value_wins() {
    check(
        &stored_stream("1000", "60 61 62 63"),
        STREAM,
        &[("1", "v", "71")],
        "/valueSampledData/data",
        json!("60 71 62 63"),
    );
    check_unchanged(&stored_stream("1000", "60 61 62 63"), STREAM, &[("1.9", "v", "61")]);
}

#[test]
fn ob_16_streams_grow_in_both_directions() {
    let group = Group::new(("-2", "5"), &[("-2", "v", "58"), ("5", "v", "65")]);
    let text = merged(&stored_stream("1000", "60 E 62 E"), &template(STREAM), &group).unwrap();
    let observation: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(observation["valueSampledData"]["data"], "58 E 60 E 62 E E 65");
}

#[test]
fn a_stream_without_readings_moves_with_an_earlier_start() {
    let members = r#""components": [
        { "codes": [], "value": { "valueName": "a", "valueType": "SampledData", "defaultPeriod": 1000 } },
        { "codes": [], "value": { "valueName": "b", "valueType": "SampledData", "defaultPeriod": 1000 } } ]"#;
    let template = template(members);
    let stored = created(&template, &Group::new(SPAN, &[("0", "a", "1"), ("3", "b", "2")]));
    let text = merged(&stored, &template, &Group::new(("-1", "-1"), &[("-1", "a", "9")])).unwrap();
    let observation: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(observation["component"][0]["valueSampledData"]["data"], "9 1 E E E");
    assert_eq!(observation["component"][1]["valueSampledData"]["data"], "E E E E 2");
}

#[test]
fn ob_17_more_than_one_dimension_is_not_supported() {
    check_not_supported(
        &stored_stream("1000", "60 61").replace(r#""dimensions":1"#, r#""dimensions":2"#),
        STREAM,
        &[("1", "v", "1")],
    );
}

#[test]
fn a_stream_in_another_scale_is_not_supported() {
    check_not_supported(
        &stored_stream("1000", "60 61").replace(r#""value":0"#, r#""value":1024"#),
        STREAM,
        &[("1", "v", "1")],
    );
    check_not_supported(&stored_stream("1000,\"factor\":0.005", "60 61"), STREAM, &[("1", "v", "1")]);
}

#[test]
fn ob_18_the_stored_period_decodes_and_the_templates_writes() {
    let stored = stored_stream("2000", "60 62").replace("mV", "V");
    check(
        &stored,
        STREAM,
        &[("1", "v", "61")],
        "/valueSampledData",
        json!({ "origin": { "value": 0, "unit": "mV" }, "period": 1000, "dimensions": 1, "data": "60 61 62 E" }),
    );
}

#[test]
fn ob_19_stored_tokens_stay_as_they_are() {
    check(
        &stored_stream("1000", "U L 1.50 E"),
        STREAM,
        &[("3", "v", "63")],
        "/valueSampledData/data",
        json!("U L 1.50 63"),
    );
}

#[test]
fn ob_20_an_amended_status_replaces_any_other() {
    let stored = stored(r#""valueString":"a""#).replace("final", "corrected");
    check(&stored, STRING, &[("1", "v", "b")], "/status", json!("amended"));
}

#[test]
fn fm_23_a_bad_sample_leaves_its_slot_as_it_was() {
    let group = Group::new(SPAN, &[("1", "v", "x y"), ("2", "v", "62")]);
    let merge = merge(stored_stream("1000", "60 61 E E").as_bytes(), &template(STREAM), &group.content()).unwrap();
    assert_eq!(merge.rejected[0].code, "InvalidSampledDataValueException");
    let Merged::Changed(json) = merge.outcome else { panic!("a change") };
    assert!(String::from_utf8(json).unwrap().contains("60 61 62 E"));
}

#[test]
fn what_is_no_observation_is_not_supported() {
    for stored in [
        "",
        "[]",
        "{}",
        "x",
        r#"{"resourceType":"Patient"}"#,
        r#"{"resourceType":"Observation","resourceType":"Observation"}"#,
    ] {
        check_not_supported(stored, STRING, &[("1", "v", "a")]);
    }
}

/// Readings with at most one per slot, in random order, cut into batches.
fn batches() -> impl Strategy<Value = Vec<Vec<(String, String)>>> {
    let reading = (any::<bool>(), 0_u32..1_000, -500_i32..500);
    let readings = proptest::collection::vec(reading, 4..30).prop_map(|slots| {
        let occupied = slots.into_iter().enumerate().filter(|(_, (present, ..))| *present);
        occupied
            .map(|(slot, (_, fraction, value))| (format!("{slot}.{fraction:03}"), value.to_string()))
            .collect::<Vec<_>>()
    });
    (readings.prop_shuffle(), 1_usize..5)
        .prop_map(|(readings, size)| readings.chunks(size).map(<[_]>::to_vec).collect())
}

fn stream_of(batches: &[Vec<(String, String)>], template: &CodeValueFhir) -> Option<String> {
    let mut stored: Option<String> = None;
    for batch in batches {
        let readings: Vec<(&str, &str, &str)> =
            batch.iter().map(|(at, value)| (at.as_str(), "v", value.as_str())).collect();
        let group = Group::new(("0", "29.9999999"), &readings);
        stored = Some(match stored {
            None => created(template, &group),
            Some(stored) => {
                let changed = merged(&stored, template, &group).unwrap_or(stored);
                assert_eq!(merged(&changed, template, &group), None, "merging twice");
                changed
            }
        });
    }
    let observation: Value = serde_json::from_str(&stored?).unwrap();
    Some(observation["valueSampledData"]["data"].as_str().unwrap().to_owned())
}

proptest::proptest! {
    #[test]
    fn any_order_of_batches_into_empty_slots_gives_the_same_stream(batches in batches()) {
        let template = template(STREAM);
        let mut ordered = vec![batches.concat()];
        ordered.retain(|batch| !batch.is_empty());
        proptest::prop_assert_eq!(stream_of(&batches, &template), stream_of(&ordered, &template));
    }

    #[test]
    fn merging_what_was_created_changes_nothing(at in 0_u32..4, value in "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,4})?(E-?[0-9])?", kind in 0_usize..3) {
        let template = template([QUANTITY, STRING, STREAM][kind]);
        let at = at.to_string();
        let group = Group::new(SPAN, &[(&at, "v", &value)]);
        proptest::prop_assert_eq!(merged(&created(&template, &group), &template, &group), None);
    }

    #[test]
    fn no_stored_text_makes_merging_panic(noise in "[{}\\[\\]\",:a-zE0-9. ]{0,30}") {
        let stored = stored(&format!(r#""valueSampledData":{noise}"#));
        drop(merge(stored.as_bytes(), &template(STREAM), &Group::new(SPAN, &[("1", "v", "1")]).content()).map(|merge| merge.outcome));
    }
}
