//! What loads as a device mapping, and what is refused where (rules DM-1 to DM-21, DM-39 to DM-47, VA-4, VA-5).

use super::super::problem::Severity;
use super::super::{Mappings, Problem, Source};
use super::{FHIR, collection, element};

fn load(device: &str) -> Vec<Problem> {
    let device = Source { name: "device.json", text: device };
    let fhir = Source { name: "fhir.json", text: FHIR };
    Mappings::load(device, fhir).map_or_else(|problems| problems, |(_, warnings)| warnings)
}

fn errors(device: &str) -> Vec<Problem> {
    load(device).into_iter().filter(|problem| problem.severity == Severity::Error).collect()
}

#[track_caller]
fn check_loads(device: &str) {
    assert_eq!(errors(device), [], "{device}");
}

/// Exactly these errors, each as a part of what is printed.
#[track_caller]
fn check_errors(device: &str, expected: &[&str]) {
    let found: Vec<String> = errors(device).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{device}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found}\nis not about\n{expected}");
    }
}

#[track_caller]
fn check_warning(device: &str, expected: &str) {
    let problems = load(device);
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning), "{problems:#?}");
    assert!(problems.iter().any(|problem| problem.message.contains(expected)), "{problems:#?}");
}

const BODY: &str = r#""typeName": "pulse", "typeMatchExpression": "$..[?(@pulse)]",
    "deviceIdExpression": "$.matchedToken.id", "timestampExpression": "$.matchedToken.at""#;

/// A CalculatedContent with these members besides the required ones.
fn calculated(more: &str) -> String {
    let values = if more.contains("\"values\"") { "" } else { r#", "values": []"# };
    // The comma that may trail is tolerated (DM-2).
    collection(&[element("CalculatedContent", &format!("{BODY}{values}, {more}"))])
}

fn with_value(value: &str) -> String {
    calculated(&format!(r#""values": [ {value} ]"#))
}

#[test]
fn dm_1_the_root_type_is_compared_without_regard_to_case() {
    for root in ["CollectionContent", "collectioncontenttemplate", "COLLECTIONCONTENT"] {
        check_loads(&format!(r#"{{ "templateType": "{root}", "template": [] }}"#));
    }
}

#[test]
fn dm_2_comments_and_trailing_commas_are_tolerated() {
    check_loads("// about\n{ /* type */ \"templateType\": \"CollectionContent\", \"template\": [ ], }\n// end");
    check_loads("\u{feff}{ \"templateType\": \"CollectionContent\", \"template\": [ ] }");
}

#[test]
fn dm_2_what_is_not_json_is_refused_with_its_place() {
    check_errors("{\n  \"templateType\": oops }", &["device.json:2:19: error: not a JSON document"]);
    check_errors("[]", &["the root is not an object"]);
    check_errors(r#"{ "templateType": "CollectionContent", "template": [] } x"#, &["not a JSON document"]);
    for lax in
        ["{'templateType':'CollectionContent','template':[]}", "{templateType:\"CollectionContent\",template:[]}"]
    {
        check_errors(lax, &["not a JSON document"]);
    }
}

#[test]
fn dm_2_places_are_right_in_annotated_files_whatever_ends_their_lines() {
    let device =
        "// first\n{ \"templateType\": \"CollectionContent\", /* two\nlines */ \"template\": [\n\tnull,\n ],\n}\n";
    for text in [device.to_owned(), device.replace('\n', "\r\n"), format!("\u{feff}{device}")] {
        check_errors(&text, &["device.json:4:2: error: an element of the collection is not an object"]);
    }
    check_errors(
        "{ \"templateType\": \"CollectionContent\", \"template\": [ /* größer 😀 */ 5 ] }",
        &["device.json:1:69: error"],
    );
    check_errors("\u{feff}5", &["device.json:1:1: error: the root is not an object"]);
}

#[test]
fn dm_3_an_empty_file_is_refused() {
    for text in ["", "  \n ", "null", "// nothing"] {
        assert_eq!(errors(text).len(), 1, "{text:?}");
    }
}

#[test]
fn dm_4_the_root_says_what_was_expected() {
    check_errors(
        "{\n \"templateType\": \"Nope\", \"template\": [] }",
        &["device.json:2:2: error: expected templateType CollectionContent, actual Nope"],
    );
    check_errors(r#"{ "template": [] }"#, &["CollectionContent, but it was not found"]);
    check_errors(r#"{ "templateType": "CollectionContent" }"#, &["an array was expected"]);
    check_errors(r#"{ "templateType": "CollectionContent", "template": {} }"#, &["an array was expected"]);
}

#[test]
fn dm_5_member_names_are_found_without_regard_to_case() {
    check_loads(&calculated("").replace("typeName", "TYPENAME").replace("values", "Values").replace("], }", "] }"));
}

#[test]
fn dm_5_dm_13_each_member_of_a_calculated_content_is_known_in_any_case_and_no_other() {
    let members = [
        ("typeName", "\"pulse\""),
        ("typeMatchExpression", "\"$\""),
        ("deviceIdExpression", "\"$.a\""),
        ("timestampExpression", "\"$.a\""),
        ("patientIdExpression", "\"$.a\""),
        ("encounterIdExpression", "\"$.a\""),
        ("correlationIdExpression", "\"$.a\""),
        ("values", "[]"),
        ("defaultExpressionLanguage", "\"JsonPath\""),
    ];
    let spelled = |spelling: fn(&str) -> String| {
        let members = members.map(|(name, value)| format!("\"{}\": {value}", spelling(name)));
        collection(&[element("CalculatedContent", &members.join(", "))])
    };
    for text in [spelled(str::to_owned), spelled(str::to_uppercase), spelled(str::to_lowercase)] {
        check_loads(&text);
        check_loads(&text.replace("\"template", "\"TEMPLATE"));
    }
    for other in ["groupIdExpression", "value", "templateType", "language", "type Name"] {
        check_errors(&calculated(&format!("\"{other}\": \"x\"")), &[&format!("member `{other}` is not known")]);
    }
}

#[test]
fn dm_6_unknown_members_are_errors_inside_templates_only() {
    check_loads(r#"{ "templateType": "CollectionContent", "x": 1, "template": [] }"#);
    check_loads(&calculated("").replace(r#""template": {"#, r#""y": 1, "template": {"#));
    check_errors(&calculated(r#""tpyeName": "x""#), &["member `tpyeName` is not known"]);
    check_errors(
        &with_value(r#"{ "valueName": "bpm", "valueExpression": "$.a", "unit": "1" }"#),
        &["member `unit` is not known"],
    );
    check_loads(&calculated(r#""patientIdExpression": { "value": "$.a", "note": 1 }"#));
}

#[test]
fn dm_7_template_types_with_and_without_suffix() {
    for name in [
        "CalculatedContent",
        "calculatedcontenttemplate",
        "JsonPathContent",
        "JsonPathContentTemplate",
        "IotJsonPathContent",
        "IotJsonPathContentTemplate",
        "IotCentralJsonPathContent",
        "IOTCENTRALJSONPATHCONTENTTEMPLATE",
    ] {
        check_loads(&collection(&[element(name, &format!(r#"{BODY}, "values": []"#))]));
    }
}

#[test]
fn dm_8_other_template_types_are_errors() {
    check_errors(
        &collection(&[element("CollectionContent", "")]),
        &["No match found for template type CollectionContent"],
    );
    check_errors(&collection(&[r#"{ "template": {} }"#.to_owned()]), &["No match found for template type"]);
}

#[test]
fn dm_9_every_element_is_judged_on_its_own_and_all_errors_are_reported() {
    let good = element("CalculatedContent", &format!(r#"{BODY}, "values": []"#));
    let bad = element("CalculatedContent", r#""typeName": "x""#);
    check_errors(
        &collection(&[bad.clone(), good, bad]),
        &[
            "'TypeMatchExpression' not found",
            "'DeviceIdExpression' not found",
            "'TimestampExpression' not found",
            "'TypeMatchExpression' not found",
            "'DeviceIdExpression' not found",
            "'TimestampExpression' not found",
        ],
    );
}

#[test]
fn dm_9_er_2_the_good_templates_are_kept_in_order_and_the_mapping_is_refused() {
    let good =
        |name: &str| element("CalculatedContent", &format!(r#"{BODY}, "values": []"#)).replace("\"pulse\"", name);
    let device = collection(&[good("\"a\""), "null".to_owned(), good("\"b\""), good("\" \""), good("\"c\"")]);
    let source = Source { name: "device.json", text: &device };
    let inspection = Mappings::inspect(Some(source), None);
    assert_eq!(inspection.device.iter().filter(|problem| problem.is_error()).count(), 2);
    let names: Vec<&str> = inspection.mappings.device.iter().map(|bound| &*bound.template.type_name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(Mappings::load(source, Source { name: "fhir.json", text: FHIR }).is_err());
}

#[test]
fn dm_10_dm_11_elements_and_their_templates_are_objects() {
    let elements = [
        "null",
        "\"x\"",
        "1",
        r#"{ "templateType": "CalculatedContent", "template": [] }"#,
        r#"{ "templateType": "CalculatedContent" }"#,
    ];
    check_errors(
        &collection(&elements.map(str::to_owned)),
        &["not an object", "not an object", "not an object", "is not an object", "has no member `template`"],
    );
}

#[test]
fn dm_14_required_members_that_are_missing_null_or_empty() {
    let members = BODY.replace("\"$..[?(@pulse)]\"", "null").replace("\"$.matchedToken.id\"", "\"\"");
    check_errors(
        &collection(&[element("CalculatedContent", &format!(r#"{members}, "values": [ {{ }} ]"#))]),
        &[
            "Required property 'DeviceIdExpression' not found in JSON.",
            "Required property 'TypeMatchExpression' expects a value but got null.",
            "Required property 'ValueName' not found in JSON.",
            "Required property 'ValueExpression' not found in JSON.",
        ],
    );
}

#[test]
fn dm_15_a_type_name_is_any_scalar_that_is_not_blank() {
    check_loads(&calculated("").replace("\"pulse\"", "5"));
    check_errors(&calculated("").replace("\"pulse\"", "\" \""), &["`typeName` must not be blank"]);
    check_errors(&calculated("").replace("\"pulse\"", "[]"), &["`typeName` must be a text"]);
}

#[test]
fn dm_16_an_optional_expression_is_given_or_null_but_not_empty() {
    check_loads(&calculated(r#""patientIdExpression": null"#));
    check_errors(&calculated(r#""patientIdExpression": """#), &["must not be blank"]);
}

#[test]
fn dm_17_missing_values_are_an_empty_list() {
    for values in [r#""values": null"#, r#""values": []"#] {
        check_loads(&calculated(values));
    }
    check_warning(&calculated(r#""values": null"#), "has no `values`");
    assert_eq!(load(&calculated(r#""values": []"#)), []);
    for family in ["JsonPathContent", "IotJsonPathContent", "IotCentralJsonPathContent"] {
        check_loads(&collection(&[element(family, BODY)]));
    }
    check_warning(&collection(&[element("CalculatedContent", BODY)]), "has no `values`");
    check_errors(&with_value("null"), &["an entry of `values` is not an object"]);
}

#[test]
fn dm_18_value_definitions() {
    for required in ["true", "false", "\"True\"", "\"FALSE\"", "0", "1", "2.5"] {
        check_loads(&with_value(&format!(
            r#"{{ "valueName": "bpm", "valueExpression": "$.a", "required": {required} }}"#
        )));
    }
    for required in ["null", "\"yes\"", "{}"] {
        let device =
            with_value(&format!(r#"{{ "valueName": "bpm", "valueExpression": "$.a", "required": {required} }}"#));
        check_errors(&device, &["`required` must be true or false"]);
    }
    check_errors(&with_value(r#"{ "valueName": "", "valueExpression": "$.a" }"#), &["`valueName` must not be blank"]);
}

#[test]
fn dm_19_expressions_are_texts_or_objects() {
    check_loads(&calculated(r#""patientIdExpression": { "value": "$.a", "language": null }"#));
    check_loads(&calculated(r#""patientIdExpression": { "Value": "$.a", "Language": "jsonpath" }"#));
    check_errors(&calculated(r#""patientIdExpression": { "value": " " }"#), &["`value` must not be blank"]);
    check_errors(&calculated(r#""patientIdExpression": { "language": "JsonPath" }"#), &["'Value' not found"]);
    for other in ["5", "true", "[]"] {
        let device = calculated(&format!(r#""patientIdExpression": {other}"#));
        check_errors(&device, &["an expression is a text or an object"]);
    }
}

#[test]
fn dm_20_languages() {
    check_loads(&calculated(r#""defaultExpressionLanguage": "JSONPATH""#));
    check_loads(&calculated(r#""defaultExpressionLanguage": 0"#));
    check_errors(
        &calculated(r#""patientIdExpression": { "value": "$.a", "language": "XPath" }"#),
        &["`XPath` is not known"],
    );
    check_errors(&calculated(r#""defaultExpressionLanguage": "XPath""#), &["`XPath` is not known"]);
    check_loads(&calculated(r#""patientIdExpression": { "value": "$['a']", "language": "rfc9535" }"#));
    for language in ["\"JmesPath\"", "\"JMESPATH\"", "1"] {
        let device =
            calculated(&format!(r#""patientIdExpression": {{ "value": "to_string(a)", "language": {language} }}"#));
        check_loads(&device);
    }
}

#[test]
fn dm_20_the_default_language_applies_to_expressions_that_name_none() {
    let device = calculated(
        r#""defaultExpressionLanguage": "JmesPath", "patientIdExpression": { "value": "$.a", "language": "JsonPath" }"#,
    );
    // The three required expressions are written as JSONPath.
    check_errors(&device, &["JmesPath `$"; 3]);
}

#[test]
fn dm_21_jm_20_functions_are_checked_at_load_with_a_suggestion() {
    let device = calculated(r#""patientIdExpression": { "value": "to_strng(a)", "language": "JmesPath" }"#);
    check_errors(&device, &["to_strng"]);
    assert!(errors(&device)[0].hint.as_ref().unwrap().contains("to_string"), "{:?}", errors(&device));
    check_errors(
        &calculated(r#""patientIdExpression": { "value": "add(a)", "language": "JmesPath" }"#),
        &["JmesPath `add(a)`"],
    );
}

#[test]
fn jm_5_va_12_a_type_match_that_gives_a_boolean_is_warned_about() {
    let device = calculated("").replace(
        r#""typeMatchExpression": "$..[?(@pulse)]""#,
        r#""typeMatchExpression": { "value": "Body.pulse > `50`", "language": "JmesPath" }"#,
    );
    check_warning(&device, "matches for both");
}

#[test]
fn dm_21_paths_are_parsed_at_load() {
    let device = calculated(r#""patientIdExpression": "$.a[""#);
    check_errors(&device, &["JsonPath `$.a[`: the bracket is not closed"]);
    assert_eq!(errors(&device)[0].code, "TemplateExpressionException");
}

#[test]
fn dm_47_problems_name_line_and_column() {
    let device = "{ \"templateType\": \"CollectionContent\",\n  \"template\": [\n    { \"templateType\": \"CalculatedContent\",\n      \"template\": {\n        \"typeName\": \"pulse\",\n        \"typeMatchExpression\": \"$..[?(@x]\",\n        \"deviceIdExpression\": {\n          \"value\": \"$.a b\" },\n        \"values\": [] } },\n    { \"templateType\": \"Nope\",\n      \"template\": {} } ] }";
    check_errors(
        device,
        &[
            "device.json:4:19: error: Required property 'TimestampExpression' not found",
            "device.json:6:9: error: JsonPath",
            "device.json:8:11: error: JsonPath",
            "device.json:11:7: error: No match found for template type Nope",
        ],
    );
}

#[test]
fn dm_47_in_the_jsonpath_family_a_value_points_to_its_entry() {
    let entry = "\"values\": [\n{ \"valueName\": \"bpm\",\n \"valueExpression\": \"$.\" } ]";
    check_errors(
        &collection(&[element("JsonPathContent", &format!("{}, {entry}", BODY.replace('\n', " ")))]),
        &["device.json:2:1"],
    );
}

#[test]
fn section_2_4_the_jsonpath_family_takes_texts_only() {
    let with = |more: &str| collection(&[element("JsonPathContent", &format!(r#"{BODY}, "values": [], {more}"#))]);
    check_errors(&with(r#""patientIdExpression": { "value": "$.a" }"#), &["of this template type is a text"]);
    check_errors(&with(r#""defaultExpressionLanguage": "JsonPath""#), &["`defaultExpressionLanguage` is not known"]);
}

#[test]
fn dm_39_dm_41_expressions_that_the_type_fixes_are_ignored_with_a_warning() {
    for name in ["IotJsonPathContent", "IotCentralJsonPathContent"] {
        check_warning(&collection(&[element(name, &format!(r#"{BODY}, "values": []"#))]), "is ignored");
        let required = r#""typeName": "pulse", "typeMatchExpression": "$..[?(@Body.pulse)]", "values": []"#;
        assert_eq!(load(&collection(&[element(name, required)])), []);
    }
}

#[test]
fn dm_42_blank_expressions_of_the_jsonpath_family() {
    let body = format!(r#"{BODY}, "values": [], "patientIdExpression": " ""#);
    check_loads(&collection(&[element("JsonPathContent", &body)]));
    let blank = body.replace("$.matchedToken.id", "  ");
    check_errors(&collection(&[element("JsonPathContent", &blank)]), &["must not be blank"]);
}

#[test]
fn dm_26_a_descent_outside_the_type_match_is_warned_of() {
    check_warning(&with_value(r#"{ "valueName": "bpm", "valueExpression": "$..pulse" }"#), "finds a value twice");
}

#[test]
fn jp_16_a_scan_without_effect_is_warned_of() {
    check_warning(&with_value(r#"{ "valueName": "bpm", "valueExpression": "$.matchedToken..[0]" }"#), "has no effect");
}

#[test]
fn va_4_a_type_without_fhir_template_is_warned_of() {
    check_warning(
        &calculated("").replace("\"pulse\"", "\"weight\""),
        "No matching Fhir Template exists for Device Mapping [weight]. Available: pulse, Temp",
    );
    assert_eq!(load(&calculated("").replace("\"pulse\"", "\"PULSE\"")), []);
}

#[test]
fn va_5_a_value_that_no_template_uses_is_warned_of() {
    check_warning(&with_value(r#"{ "valueName": "BPM", "valueExpression": "$.a" }"#), "The value [BPM]");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_loading_panic(text in "[{}\\[\\]\",:a-z0-9 \\n/*]{0,60}") {
        load(&text);
    }
}
