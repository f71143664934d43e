use serde_json::{Value, json};

use super::super::fixture::{Group, SYSTEM};
use super::Kind;

const QUANTITY: &str = r#""value": { "valueName": "v", "valueType": "Quantity", "unit": "u" }"#;
const STRING: &str = r#""value": { "valueName": "v", "valueType": "String" }"#;
const STREAM: &str =
    r#""value": { "valueName": "v", "valueType": "SampledData", "defaultPeriod": 1000, "unit": "mV" }"#;
const PERIOD: &str = r#""effectivePeriod":{"start":"2024-03-02T07:00:00Z","end":"2024-03-02T07:00:03Z"}"#;

fn merged(stored: &str, members: &str, group: &Group) -> Option<Value> {
    let merged = Kind::code_value(members).merge(stored, group).unwrap();
    merged.map(|json| serde_json::from_str(&json).unwrap())
}

/// An Observation from 07:00:00 to 07:00:03 with these members.
fn stored(members: &str) -> String {
    format!(r#"{{"resourceType":"Observation","status":"final",{PERIOD},{members}}}"#)
}

fn stream(members: &str) -> String {
    stored(&format!(
        r#""valueSampledData":{{"origin":{{"value":0,"unit":"mV"}},"period":1000,"dimensions":1,{members}}}"#
    ))
}

/// The reading `v` at 07:00:01, in a batch of 07:00:00 to 07:00:03.
fn one(value: &str) -> Group {
    Group::new(("0", "3"), &[("1", "v", value)])
}

/// What is at `pointer` after the reading `v` at 07:00:01 joined, which changes something once.
#[track_caller]
fn check(stored: &str, members: &str, value: &str, pointer: &str, expected: &Value) {
    let merged = merged(stored, members, &one(value)).expect("a change");
    assert_eq!(merged.pointer(pointer).unwrap_or(&Value::Null), expected, "{merged:#}");
    assert_eq!(merged["status"], "amended");
    assert_eq!(self::merged(&merged.to_string(), members, &one(value)), None, "merging twice");
}

#[track_caller]
fn check_unchanged(stored: &str, members: &str, value: &str) {
    assert_eq!(merged(stored, members, &one(value)), None);
}

#[track_caller]
fn check_not_supported(stored: &str, members: &str) {
    let failure = Kind::code_value(members).merge(stored, &one("1")).unwrap_err();
    assert_eq!(failure.code, "NotSupportedException");
}

#[test]
fn ob_9_members_in_any_order_and_of_any_kind_stay() {
    let text = r#"{ "valueString" : "a", "contained" : [ { "resourceType":"Patient", "id":"p" } ], "_status":{ "id":"s" },
        "modifierExtension":[{"url":"urn:m","valueDecimal":1.50}],
        "effectivePeriod":{ "_start":{"id":"t"}, "end":"2024-03-02T07:00:00.5Z", "extension":[ ],
            "start":"2024-03-02T07:00:00Z" },
        "resourceType":"Observation" , "status":"final", "_valueString":{"id":"v"} }"#;
    let json = Kind::code_value(STRING).merge(text, &one("b")).unwrap().unwrap();
    let expected = concat!(
        r#"{"valueString":"b","contained":[ { "resourceType":"Patient", "id":"p" } ],"_status":{ "id":"s" },"#,
        r#""modifierExtension":[{"url":"urn:m","valueDecimal":1.50}],"effectivePeriod":{"_start":{"id":"t"},"#,
        r#""end":"2024-03-02T07:00:03.0000000Z","extension":[ ],"start":"2024-03-02T07:00:00.0000000Z"},"#,
        r#""resourceType":"Observation","status":"amended","_valueString":{"id":"v"}}"#,
    );
    assert_eq!(json, expected);
}

#[test]
fn ob_10_every_spelling_of_an_instant_is_read_and_becomes_a_period() {
    for (effective, start, extensions) in [
        (r#""effectiveInstant":"2024-03-02T07:00:01Z""#, "2024-03-02T07:00:00.0000000Z", Value::Null),
        (
            r#""_effectiveDateTime":{"id":"e"},"effectiveDateTime":"2024-03-02T08:59:59.5+02:00""#,
            "2024-03-02T06:59:59.5000000Z",
            json!({ "id": "e" }),
        ),
        (r#""effectiveDateTime":"2024-03-02""#, "2024-03-02T00:00:00.0000000Z", Value::Null),
    ] {
        let stored = format!(r#"{{"resourceType":"Observation","valueString":"a",{effective}}}"#);
        let merged = merged(&stored, STRING, &one("a")).expect("a change");
        let mut expected = json!({ "start": start, "end": "2024-03-02T07:00:03.0000000Z" });
        if extensions != Value::Null {
            expected["_start"] = extensions;
        }
        assert_eq!(merged["effectivePeriod"], expected);
        let names: Vec<&String> =
            merged.as_object().unwrap().keys().filter(|name| name.contains("effective")).collect();
        assert_eq!(names, ["effectivePeriod"]);
    }
}

#[test]
fn ob_10_no_time_or_two_are_not_supported() {
    for effective in [
        r#""effectiveTiming":{"event":["2024-03-02T07:00:00Z"]}"#,
        r#""effectivePeriod":{"end":"2024-03-02T07:00:00Z"}"#,
        r#""effectivePeriod":{"start":"2024","end":"2025"}"#,
        r#""effectivePeriod":"2024-03-02T07:00:00Z""#,
        r#""effectiveDateTime":1709362800"#,
        r#""effectiveDateTime":"2024-03-02T07:00:00Z","effectiveInstant":"2024-03-02T07:00:00Z""#,
        r#""_effectivePeriod":{}"#,
    ] {
        check_not_supported(&format!(r#"{{"resourceType":"Observation",{effective}}}"#), STRING);
    }
}

#[test]
fn ob_10_ob_16_an_earlier_start_keeps_the_slots_of_every_stream() {
    let with = |components: &str| {
        stored(&format!(
            r#""valueSampledData":{{"origin":{{"value":0,"unit":"mV"}},"period":1000,"dimensions":1,"data":"60 61"}},"component":[{components}]"#
        ))
    };
    let foreign =
        r#"{"code":{"text":"x"},"valueSampledData":{"period":500,"dimensions":2,"lowerLimit":1,"data":"1 2 3 4"}}"#;
    let early = Group::new(("-1", "-1"), &[("-1", "v", "59")]);
    let merged_with = |components: &str, group: &Group| merged(&with(components), STREAM, group).unwrap();
    let observation = merged_with(foreign, &early);
    assert_eq!(observation["effectivePeriod"]["start"], "2024-03-02T06:59:59.0000000Z");
    assert_eq!(observation["valueSampledData"]["data"], "59 60 61 E E");
    assert_eq!(observation["component"][0]["valueSampledData"]["data"], "E E E E 1 2 3 4");
    // Slots of a second and of 1.5 s: the start goes back by three seconds.
    let early = Group::new(("-2", "-2"), &[("-2", "v", "58")]);
    let slow = foreign.replace("500", "1500").replace(r#""dimensions":2"#, r#""dimensions":1"#);
    let observation = merged_with(&slow, &early);
    assert_eq!(observation["effectivePeriod"]["start"], "2024-03-02T06:59:57.0000000Z");
    assert_eq!(observation["valueSampledData"]["data"], "E 58 E 60 61 E E");
    assert_eq!(observation["component"][0]["valueSampledData"]["data"], "E E 1 2 3 4");
}

#[test]
fn ob_10_streams_whose_slots_never_meet_are_laid_anew() {
    let foreign = r#"{"valueSampledData":{"period":2.77777777777777,"dimensions":1,"data":"1 2"}}"#;
    let with = stream(r#""data":"60""#).replacen("{", &format!(r#"{{"component":[{foreign}],"#), 1);
    // 0.999 s before the start.
    let early = Group::new(("-1.001", "-1.001"), &[("-1.001", "v", "59")]);
    let observation = merged(&with, STREAM, &early).unwrap();
    assert_eq!(observation["effectivePeriod"]["start"], "2024-03-02T06:59:59.0010000Z");
    let data = observation["component"][0]["valueSampledData"]["data"].as_str().unwrap();
    assert_eq!(data, format!("{}1 2", "E ".repeat(359)));
    let two = with.replace(r#"77777,"dimensions":1"#, r#"77777,"dimensions":2"#);
    let failure = Kind::code_value(STREAM).merge(&two, &early).unwrap_err();
    assert_eq!(failure.code, "NotSupportedException");
    let unreadable = with.replace("2.77777777777777", "\"2\"");
    let failure = Kind::code_value(STREAM).merge(&unreadable, &early).unwrap_err();
    assert_eq!(failure.code, "NotSupportedException");
}

#[test]
fn ob_11_what_others_add_to_a_value_is_no_change() {
    let annotated =
        stored(r#""valueQuantity":{"extension":[{"url":"urn:x"}],"unit":"u","_unit":{"id":"1"},"id":"q","value":1.0}"#);
    check_unchanged(&annotated, QUANTITY, "1");
    check(&annotated, QUANTITY, "2", "/valueQuantity", &json!({ "value": 2, "unit": "u" }));
    check(
        &stored(r#""valueQuantity":{"value":1,"unit":"u","comparator":"<"}"#),
        QUANTITY,
        "1",
        "/valueQuantity",
        &json!({ "value": 1, "unit": "u" }),
    );
}

#[test]
fn ob_11_texts_that_look_like_times_are_texts() {
    let text = stored(r#""valueString":"2024-03-02T07:00:00Z""#);
    check(&text, STRING, "2024-03-02T08:00:00+01:00", "/valueString", &json!("2024-03-02T08:00:00+01:00"));
    check_unchanged(&stored(r#""valueString":"\u0061\/b""#), STRING, "a/b");
}

#[test]
fn ob_11_ob_16_equal_samples_keep_their_digits() {
    check_unchanged(&stream(r#""data":" E\t61.00\nE E ""#), STREAM, "61");
    check_unchanged(&stream(r#""data":"E 61""#), STREAM, "61");
    let two = Group::new(("0", "3"), &[("1", "v", "61"), ("2", "v", "62")]);
    let observation = merged(&stream(r#""data":"E 61.00 E E""#), STREAM, &two).unwrap();
    assert_eq!(observation["valueSampledData"]["data"], "E 61.00 62 E");
}

#[test]
fn ob_13_a_value_of_which_only_extensions_are_there_has_a_type() {
    check_not_supported(&stored(r#""_valueString":{"extension":[]}"#), QUANTITY);
    check(&stored(r#""_valueString":{"id":"x"}"#), STRING, "a", "/valueString", &json!("a"));
    check_not_supported(&stored(r#""valueTime":"07:00:00""#), STREAM);
}

#[test]
fn ob_13_a_value_that_came_is_no_longer_absent() {
    let absent = r#""dataAbsentReason":{"text":"not measured"}"#;
    check(&stored(absent), QUANTITY, "1", "/dataAbsentReason", &Value::Null);
    let nothing_new = Group::new(("0", "3"), &[("1", "other", "1")]);
    assert_eq!(merged(&stored(absent), QUANTITY, &nothing_new), None);
}

#[test]
fn ob_14_of_copies_the_first_is_merged_and_all_stay_in_their_order() {
    let component = |code: &str, value: u8| {
        format!(
            r#"{{"valueQuantity":{{"value":{value}}},"code":{{"coding":[{{"code":"{code}","system":"{SYSTEM}"}}]}}}}"#
        )
    };
    let pressure = r#""components": [
        { "codes": [], "value": { "valueName": "v", "valueType": "Quantity" } },
        { "codes": [], "value": { "valueName": "w", "valueType": "Quantity" } } ]"#;
    let foreign = r#"{"code":{"coding":[{"system":"urn:other","code":"v"},{"code":"v"}]},"valueQuantity":{"value":9}}"#;
    let all =
        [component("w", 1), foreign.to_owned(), component("v", 2), component("v", 3), "null".to_owned()].join(",");
    let stored = stored(&format!(r#""component":[{all}]"#));
    let observation = merged(&stored, pressure, &one("7")).unwrap();
    let values: Vec<&Value> =
        observation["component"].as_array().unwrap().iter().map(|one| &one["valueQuantity"]["value"]).collect();
    assert_eq!(values, [&json!(1), &json!(9), &json!(7), &json!(3), &Value::Null]);
    check_unchanged(&stored, pressure, "2.0");
    check_not_supported(&stored.replacen('[', "{\"x\":[", 1).replacen("null]", "null]}", 1), pressure);
}

#[test]
fn ob_14_two_components_of_one_value_have_one_each() {
    let both = r#""components": [
        { "codes": [ { "code": "a" } ], "value": { "valueName": "v", "valueType": "Quantity", "unit": "/min" } },
        { "codes": [ { "code": "b" } ], "value": { "valueName": "v", "valueType": "String" } } ]"#;
    let kind = Kind::code_value(both);
    let stored = kind.build(&one("61"));
    assert_eq!(kind.merge(&stored, &one("61")).unwrap(), None);
    let observation: Value = serde_json::from_str(&kind.merge(&stored, &one("62")).unwrap().unwrap()).unwrap();
    assert_eq!(observation["component"][0]["valueQuantity"]["value"], json!(62));
    assert_eq!(observation["component"][1]["valueString"], "62");
    assert_eq!(observation["component"].as_array().unwrap().len(), 2);
}

#[test]
fn ob_16_an_empty_sample_erases_nothing_within_a_batch_and_after_one() {
    check_unchanged(&stream(r#""data":"60 61 62 63""#), STREAM, "E");
    let kind = Kind::code_value(STREAM);
    let readings = [("0", "v", "60"), ("0.5", "v", "E"), ("1", "v", "E"), ("2", "v", "U")];
    let observation: Value = serde_json::from_str(&kind.build(&Group::new(("0", "3"), &readings))).unwrap();
    assert_eq!(observation["valueSampledData"]["data"], "60 E U E");
}

#[test]
fn ob_16_ob_19_a_stream_longer_than_its_time_or_with_strange_tokens_stays_whole() {
    check(&stream(r#""data":"60 E 62 63 64 U""#), STREAM, "61", "/valueSampledData/data", &json!("60 61 62 63 64 U"));
    check(
        &stream(r#""data":"N\"aN E \\ \u0001\u00e9 64""#).replace("\"period\":1000", "\"period\":2000"),
        STREAM,
        "61",
        "/valueSampledData/data",
        &json!("N\"aN 61 E E \\ E \u{1}é E 64"),
    );
}

#[test]
fn ob_17_ob_18_limits_stay_and_a_unit_takes_its_code_with_it() {
    let limits = stream(r#""lowerLimit":1.0,"upperLimit":9,"data":"E E E E""#);
    check(&limits, STREAM, "5", "/valueSampledData/upperLimit", &json!(9));
    let coded = limits.replace(r#""unit":"mV""#, r#""id":"o","unit":"V","system":"urn:u","code":"V""#);
    check(&coded, STREAM, "5", "/valueSampledData/origin", &json!({ "value": 0, "id": "o", "unit": "mV" }));
    let without = STREAM.replace(r#", "unit": "mV""#, "");
    check(&limits, &without, "5", "/valueSampledData/origin", &json!({ "value": 0 }));
    for odd in [
        limits.replace(r#""dimensions":1"#, r#""dimensions":2"#),
        limits.replace(r#""dimensions":1"#, r#""dimensions":"1""#),
        limits.replace(r#""lowerLimit""#, r#""factor":0.5,"lowerLimit""#),
        limits.replace(r#""value":0"#, r#""value":2048"#),
        limits.replace(r#""period":1000,"#, ""),
        limits.replace(r#""period":1000"#, r#""period":0"#),
        stored(r#""valueSampledData":[]"#),
    ] {
        check_not_supported(&odd, STREAM);
    }
}

#[test]
fn large_and_deep_resources_are_merged_like_others() {
    let note = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000_000));
    let large = stored(&format!(r#""valueString":"a","note":[{note}]"#));
    assert_eq!(merged(&large, STRING, &one("b")).unwrap()["note"][0]["text"].as_str().unwrap().len(), 1_000_000);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let nested = stored(&format!(r#""valueString":"a","x":{deep},"component":[{{"code":{deep}}}]"#));
    let json = Kind::code_value(STRING).merge(&nested, &one("b")).unwrap().unwrap();
    assert!(json.contains(&deep), "what is deep stays");
    let category = format!(r#""category": [ {{ "text": "c" }} ], {STRING}"#);
    let nested = stored(&format!(r#""valueString":"a","category":{deep}"#));
    check(&nested, &category, "a", "/category/0/text", &json!("c"));
    check_not_supported(&stored(&format!(r#""valueSampledData":{deep}"#)), STREAM);
    let many: String = (0..100_000).map(|number| format!("\"x{number}\":1,")).collect();
    check_not_supported(&stored(&format!("{many}\"y\":1")), STRING);
}

#[test]
fn what_is_no_json_or_says_a_thing_twice_is_not_supported() {
    let whole = stored(r#""valueString":"a""#);
    check_not_supported(&format!("\u{feff}{whole}"), STRING);
    check_not_supported(&format!("{whole}x"), STRING);
    check_not_supported(&whole.replace("\"valueString\"", "\"status\":\"final\",\"valueString\""), STRING);
    for length in 0..whole.len() {
        check_not_supported(&whole.chars().take(length).collect::<String>(), STRING);
    }
    let failure = super::super::merge::merge(&[b'{', 0xff, b'}'], &super::template(STRING), &one("1").content());
    assert_eq!(failure.unwrap_err().code, "NotSupportedException");
}
