//! What loads as a FHIR mapping, and what is refused (rules FM-1 to FM-13).

use super::super::fhir::TemplateKind;
use super::super::fhir::code_value::{CodeValueFhir, ValueKind};
use super::super::problem::Severity;
use super::super::{Mappings, Source};
use crate::model::group::{BucketLength, Period};

const NO_DEVICES: &str = r#"{ "templateType": "CollectionContent", "template": [] }"#;

fn load(fhir: &str) -> Result<(Mappings, Vec<String>), Vec<String>> {
    let device = Source { name: "device.json", text: NO_DEVICES };
    let loaded = Mappings::load(device, Source { name: "fhir.json", text: fhir });
    match loaded {
        Ok((mappings, warnings)) => Ok((mappings, warnings.iter().map(ToString::to_string).collect())),
        Err(problems) => {
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
            Err(errors.map(ToString::to_string).collect())
        }
    }
}

fn collection(elements: &str) -> String {
    format!(r#"{{ "templateType": "CollectionFhir", "template": [ {elements} ] }}"#)
}

fn template(members: &str) -> String {
    collection(&format!(
        r#"{{ "templateType": "CodeValueFhir", "template": {{ "typeName": "t", "codes": [], {members} }} }}"#
    ))
}

fn value(members: &str) -> String {
    template(&format!(r#""value": {{ "valueName": "v", {members} }}"#))
}

#[track_caller]
fn check_loads(fhir: &str) -> Mappings {
    load(fhir).unwrap_or_else(|errors| panic!("{fhir}\n{errors:#?}")).0
}

/// The only template, which is a CodeValueFhir.
fn code_value(mappings: &Mappings) -> &CodeValueFhir {
    match &mappings.fhir_template("t").unwrap().kind {
        TemplateKind::CodeValue(template) => template,
        TemplateKind::Handlebars(_) => panic!("a CodeValueFhir"),
    }
}

#[track_caller]
fn check_error(fhir: &str, expected: &str) {
    let errors = load(fhir).map(|_| ()).expect_err(fhir);
    assert!(errors.len() == 1 && errors[0].contains(expected), "{fhir}\n{errors:#?}\nis not about {expected}");
}

#[track_caller]
fn check_warning(fhir: &str, expected: &str) {
    let (_, warnings) = load(fhir).unwrap();
    assert!(warnings.iter().any(|warning| warning.contains(expected)), "{warnings:#?}");
}

#[test]
fn va_12_a_component_with_the_code_of_an_observation_that_has_a_value_is_warned_about() {
    let with = |type_name: &str, code: &str, value: &str| {
        format!(
            r#"{{ "templateType": "CodeValueFhir", "template": {{ "typeName": "{type_name}",
            "codes": [ {{ "code": "1", "system": "urn:s" }} ], {value}
            "components": [ {{ "codes": [ {{ "code": "{code}", "system": "urn:s" }} ],
                "value": {{ "valueType": "Quantity", "valueName": "flow" }} }} ] }} }}"#
        )
    };
    let value = r#""value": { "valueType": "Quantity", "valueName": "v" },"#;
    check_warning(&collection(&with("flow", "2", value)), "makes its code that of the whole Observation");
    check_warning(&collection(&with("t", "1", value)), "has a code of the whole Observation");
    for silent in [with("t", "2", value), with("flow", "1", "")] {
        assert_eq!(load(&collection(&silent)).unwrap().1, Vec::<String>::new());
    }
}

#[test]
fn fm_1_roots_and_elements() {
    for (root, element) in [("CollectionFhir", "CodeValueFhir"), ("collectionfhirtemplate", "CODEVALUEFHIRTEMPLATE")] {
        check_loads(&template("").replace("CollectionFhir", root).replace("CodeValueFhir", element));
    }
    check_error(
        &template("").replace("CollectionFhir", "CollectionContent"),
        "expected templateType CollectionFhir, actual CollectionContent",
    );
    check_error(
        &template("").replace("CodeValueFhir", "CodeFhir"),
        "expected template type CodeValueFhir, actual CodeFhir",
    );
    check_error("", "the file is empty");
}

#[test]
fn fm_1_dm_2_dm_6_what_holds_for_device_mappings_holds_for_fhir_mappings() {
    check_loads(&format!("\u{feff}// about\r\n{}", template("")));
    check_loads(
        &template("").replace("typeName", "TYPENAME").replace("codes", "Codes").replace("\"template\"", "\"Template\""),
    );
    check_loads(&template("").replacen("\"templateType\"", "\"x\": 1, \"templateType\"", 1));
    check_loads(&template("").replace("\"template\": {", "\"y\": 1, \"template\": {"));
    for text in ["", " \n", "null", "// nothing"] {
        assert_eq!(load(text).map(|_| ()).unwrap_err().len(), 1, "{text:?}");
    }
    check_error("{} x", "not a JSON document");
    check_error("[]", "the root is not an object");
    check_error(r#"{ "template": [] }"#, "expected templateType CollectionFhir, but it was not found");
    check_error(r#"{ "templateType": "CollectionFhir" }"#, "an array was expected");
    check_loads(r#"{ "templateType": "CollectionFhir", "template": [] }"#);
}

#[test]
fn fm_1_dm_9_dm_10_dm_11_every_element_is_judged_on_its_own() {
    let good = |name: &str| {
        format!(r#"{{ "templateType": "CodeValueFhir", "template": {{ "typeName": "{name}", "codes": [] }} }}"#)
    };
    let elements = [
        good("a"),
        "null".to_owned(),
        r#"{ "templateType": "CodeValueFhir", "template": 5 }"#.to_owned(),
        "7".to_owned(),
        good("b"),
    ];
    let fhir = collection(&elements.join(", "));
    let inspection = Mappings::inspect(None, Some(Source { name: "fhir.json", text: &fhir }));
    let errors: Vec<&str> =
        inspection.fhir.iter().filter(|problem| problem.is_error()).map(|problem| problem.message.as_str()).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert_eq!(inspection.mappings.counts(), (0, 2));
}

#[test]
fn fm_3_of_two_templates_with_one_name_the_first_stays() {
    let one = |name: &str, period: &str| {
        format!(
            r#"{{ "templateType": "CodeValueFhir", "template": {{ "typeName": "{name}", "codes": [], "periodInterval": {period} }} }}"#
        )
    };
    let fhir = collection(&[one("HR", "60"), one("hr", "0")].join(", "));
    let inspection = Mappings::inspect(None, Some(Source { name: "fhir.json", text: &fhir }));
    assert_eq!(inspection.mappings.counts(), (0, 1));
    assert_eq!(inspection.mappings.fhir_template("hr").unwrap().period, Period::HOUR);
}

#[test]
fn fm_4_fm_6_everything_but_name_and_codes_may_be_missing() {
    let mappings = check_loads(&template(r#""category": null"#));
    let template = code_value(&mappings);
    assert!(template.value.is_none() && template.components.is_empty() && template.category.is_empty());
    let both = r#""value": { "valueName": "v", "valueType": "String" },
        "components": [ { "codes": [ {}, { "system": "s" } ], "value": { "valueName": "w", "valueType": "String" } } ]"#;
    let mappings = check_loads(&self::template(both));
    assert_eq!(mappings.fhir_template("t").unwrap().value_names().collect::<Vec<_>>(), ["v", "w"]);
    assert_eq!(code_value(&mappings).components[0].codes[1].system.as_deref(), Some("s"));
    assert_eq!(code_value(&mappings).components[0].codes[0].code, None);
}

#[test]
fn fm_2_members() {
    check_error(
        &collection(r#"{ "templateType": "CodeValueFhir", "template": { "codes": [] } }"#),
        "'TypeName' not found",
    );
    check_error(
        &collection(r#"{ "templateType": "CodeValueFhir", "template": { "typeName": "t" } }"#),
        "'Codes' not found",
    );
    check_error(&template(r#""period": 60"#), "member `period` is not known");
    check_error(&template(r#""category": [ { "code": "x" } ]"#), "member `code` is not known");
    check_error(&template(r#""category": [ { "codes": [ { "text": "x" } ] } ]"#), "member `text` is not known");
    check_error(
        &template(r#""components": [ { "codes": [], "x": 1, "value": { "valueName": "v", "valueType": "String" } } ]"#),
        "member `x` is not known",
    );
    check_loads(&value(r#""valueType": "String", "anything": {}"#));
}

#[test]
fn fm_3_type_names_are_found_without_regard_to_case_and_once() {
    let mappings = check_loads(&template("").replace("\"t\"", "\"Pulse\""));
    for name in ["Pulse", "pulse", "PULSE"] {
        assert!(mappings.fhir_template(name).is_some(), "{name}");
    }
    assert!(mappings.fhir_template("puls").is_none());
    let element = |name: &str| {
        format!(r#"{{ "templateType": "CodeValueFhir", "template": {{ "typeName": "{name}", "codes": [] }} }}"#)
    };
    check_error(&collection(&[element("HR"), element("hr")].join(",")), "Duplicate template defined for type name: hr");
    check_error(&template("").replace("\"t\"", "\" \""), "`typeName` must not be blank");
}

#[test]
fn fm_4_codes_and_categories() {
    let mappings = check_loads(&template(
        r#""category": [ { "text": "V", "codes": [ { "code": "c", "system": "s", "display": "d" }, {} ] }, {} ]"#,
    ));
    let category = &code_value(&mappings).category;
    assert_eq!(category.len(), 2);
    assert_eq!(category[0].codes[0].display.as_deref(), Some("d"));
}

#[test]
fn fm_5_period_intervals() {
    for (interval, period) in [
        ("0", Period::Single),
        ("60", Period::HOUR),
        ("1440", Period::DAY),
        ("-1", Period::Correlation),
        ("\"60\"", Period::HOUR),
        ("\"single\"", Period::Single),
        ("\"Hourly\"", Period::HOUR),
        ("\"DAILY\"", Period::DAY),
        ("\"CorrelationId\"", Period::Correlation),
    ] {
        let mappings = check_loads(&template(&format!(r#""periodInterval": {interval}"#)));
        assert_eq!(mappings.fhir_template("t").unwrap().period, period, "{interval}");
    }
    assert_eq!(check_loads(&template("")).fhir_template("t").unwrap().period, Period::Single);
    for interval in ["null", "60.0", "-60", "\"Hour\"", "\"Instance\"", "true", "{}", "99999999999999999999999"] {
        check_error(&template(&format!(r#""periodInterval": {interval}"#)), "`periodInterval` is not known");
    }
}

#[test]
fn fm_5_minutes_that_divide_a_day_evenly_are_periods() {
    for (interval, minutes) in [("1", 1), ("15", 15), ("\"90\"", 90), ("120", 120), ("720", 720)] {
        let mappings = check_loads(&template(&format!(r#""periodInterval": {interval}"#)));
        let period = Period::Bucket(BucketLength::of_minutes(minutes).unwrap());
        assert_eq!(mappings.fhir_template("t").unwrap().period, period, "{interval}");
    }
}

#[test]
fn fm_5_minutes_that_do_not_divide_a_day_are_an_error_that_names_the_nearest_that_do() {
    for (interval, nearest) in
        [("50", "48 or 60"), ("\"7\"", "6 or 8"), ("1439", "720 or 1440"), ("1441", "1440"), ("10080", "1440")]
    {
        let fhir = template(&format!(r#""periodInterval": {interval}"#));
        let inspection = Mappings::inspect(None, Some(Source { name: "fhir.json", text: &fhir }));
        let problem = inspection.fhir.iter().find(|problem| problem.is_error()).unwrap();
        assert!(problem.message.contains("does not divide the 1440 minutes of a day"), "{problem}");
        assert_eq!(problem.hint.as_deref(), Some(format!("the nearest to it is {nearest}").as_str()), "{interval}");
    }
}

#[test]
fn fm_6_a_template_without_values_is_warned_of() {
    check_warning(&template(""), "neither `value` nor `components`");
}

#[test]
fn fm_7_fm_9_value_types_and_the_spelling_of_their_member() {
    for (name, kind) in [
        ("valueType", "QUANTITY"),
        ("ValueType", "string"),
        ("valueType", "codeableConcept"),
        ("valueType", "SampledData"),
    ] {
        check_loads(&value(&format!(r#""{name}": "{kind}", "defaultPeriod": 1, "text": "x""#)));
    }
    for spelling in ["valuetype", "VALUETYPE", "Valuetype"] {
        check_error(&value(&format!(r#""{spelling}": "String""#)), "`valueType` is missing");
    }
    let shouted = r#""value": { "VALUENAME": "v", "valueType": "SampledData", "DEFAULTPERIOD": 1, "UNIT": "u" }"#;
    let mappings = check_loads(&template(shouted));
    let kind = &code_value(&mappings).value.as_ref().unwrap().kind;
    assert!(matches!(kind, ValueKind::SampledData { unit: Some(unit), .. } if unit == "u"), "{kind:?}");
    check_error(&template(r#""value": { "valueName": "v" }"#), "`valueType` is missing");
    check_error(&value(r#""valueType": "Period""#), "not known: `Period`");
}

#[test]
fn fm_8_a_value_needs_a_name() {
    check_error(&template(r#""value": { "valueType": "String" }"#), "'ValueName' not found");
}

#[test]
fn fm_10_null_is_missing() {
    let mappings = check_loads(&template(r#""value": null, "components": null"#));
    assert!(code_value(&mappings).value.is_none() && code_value(&mappings).components.is_empty());
}

#[test]
fn fm_11_a_component_needs_codes_and_value() {
    check_error(&template(r#""components": [ { "codes": [] } ]"#), "'Value' not found");
    check_error(
        &template(r#""components": [ { "value": { "valueName": "v", "valueType": "String" } } ]"#),
        "'Codes' not found",
    );
    check_error(&template(r#""components": [ null ]"#), "not an object");
}

#[test]
fn fm_12_sampled_data() {
    for period in ["30000", "\"30000\"", "2.777"] {
        let mappings = check_loads(&value(&format!(r#""valueType": "SampledData", "defaultPeriod": {period}"#)));
        let kind = &code_value(&mappings).value.as_ref().unwrap().kind;
        assert!(
            matches!(kind, ValueKind::SampledData { period: found, .. } if found.as_str() == period.trim_matches('"'))
        );
    }
    check_error(&value(r#""valueType": "SampledData""#), "'DefaultPeriod' not found");
    for period in ["0", "-1", "\"x\"", "true"] {
        check_error(
            &value(&format!(r#""valueType": "SampledData", "defaultPeriod": {period}"#)),
            "`defaultPeriod` must be",
        );
    }
}

#[test]
fn a_period_of_too_many_samples_is_refused() {
    let of = |minutes: u16| {
        let value = r#""value": { "valueName": "v", "valueType": "SampledData", "defaultPeriod": 1 }"#;
        template(&format!(r#""periodInterval": {minutes}, {value}"#))
    };
    check_error(&of(1440), "samples in a period");
    check_error(&of(180), "samples in a period");
    check_loads(&of(144));
}

#[test]
fn fm_13_a_codeable_concept_needs_codes_or_text() {
    check_loads(&value(r#""valueType": "CodeableConcept", "text": "x""#));
    check_loads(&value(r#""valueType": "CodeableConcept", "codes": [ { "code": "c" } ]"#));
    check_error(&value(r#""valueType": "CodeableConcept""#), "needs `codes` or `text`");
}

#[test]
fn fm_7_more_value_types_are_extensions() {
    for kind in ["DateTime", "Boolean", "Integer"] {
        check_loads(&value(&format!(r#""valueType": "{kind}", "anything": 1"#)));
    }
    let mappings = check_loads(&value(r#""valueType": "range", "HighValueName": "w", "unit": "u""#));
    assert_eq!(mappings.fhir_template("t").unwrap().value_names().collect::<Vec<_>>(), ["v", "w"]);
    check_loads(&value(r#""valueType": "RATIO", "denominatorValueName": "w", "denominatorCode": "mL""#));
    check_error(&value(r#""valueType": "Range""#), "'HighValueName' not found");
    check_error(&value(r#""valueType": "Ratio", "denominatorValueName": " ""#), "must not be blank");
}

#[test]
fn va_12_a_quantity_of_any_period_is_warned_of() {
    for interval in [60, 15, -1] {
        for kind in ["Quantity", "String"] {
            let value = format!(r#""value": {{ "valueName": "v", "valueType": "{kind}" }}"#);
            let body = format!(r#""periodInterval": {interval}, {value}"#);
            check_warning(&template(&body), "keeps only the latest reading");
        }
    }
}
