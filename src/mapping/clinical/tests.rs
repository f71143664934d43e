//! What each rule says, where, and what it is silent about.

use std::fs;
use std::path::Path;

use super::super::problem::{CLINICAL, Severity};
use super::super::{Mappings, Problem, Source};

const VITAL_SIGNS: &str = r#""category": [{ "codes": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category",
    "code": "vital-signs", "display": "Vital Signs" }] }]"#;
const HEART_RATE: &str = r#"{ "system": "http://loinc.org", "code": "8867-4", "display": "Heart rate" }"#;
const SYSTOLIC: &str = r#"{ "system": "http://loinc.org", "code": "8480-6", "display": "Systolic blood pressure" }"#;
const DIASTOLIC: &str = r#"{ "system": "http://loinc.org", "code": "8462-4", "display": "Diastolic blood pressure" }"#;

/// Clinical warnings of a mapping as `text they point at`, `message`, `hint`.
#[track_caller]
fn clinical(mapping: &str) -> Vec<(String, String, String)> {
    let inspection = Mappings::inspect(None, Some(Source { name: "fhir.json", text: mapping }));
    assert!(!inspection.fhir.iter().any(Problem::is_error), "{:#?}", inspection.fhir);
    let clinical = inspection.fhir.into_iter().filter(|problem| problem.code == CLINICAL);
    let pointed_at = |line: usize, column: usize| -> String {
        let line = mapping.lines().nth(line - 1).unwrap();
        line.chars().skip(column - 1).collect()
    };
    clinical
        .map(|problem| {
            assert_eq!(problem.severity, Severity::Warning, "{problem}");
            (pointed_at(problem.at.line, problem.at.column), problem.message, problem.hint.unwrap())
        })
        .collect()
}

fn mapping(members: &str) -> String {
    format!(
        r#"{{ "templateType": "CollectionFhir", "template": [ {{ "templateType": "CodeValueFhir",
        "template": {{ "typeName": "t", {members} }} }} ] }}"#
    )
}

/// The one warning of a template, by the start of what it points at, its message and its hint.
#[track_caller]
fn check(members: &str, (at, message, hint): (&str, &str, &str)) {
    let found = clinical(&mapping(members));
    let [(found_at, found_message, found_hint)] = found.as_slice() else { panic!("{found:#?}") };
    assert!(found_at.starts_with(at), "{found_at}\nis not\n{at}");
    assert_eq!((found_message.as_str(), found_hint.as_str()), (message, hint));
}

#[track_caller]
fn check_clean(members: &str) {
    assert_eq!(clinical(&mapping(members)), []);
}

fn loinc(code: &str) -> String {
    format!(r#"{{ "system": "http://loinc.org", "code": "{code}" }}"#)
}

fn mdc(code: &str) -> String {
    format!(r#"{{ "system": "urn:iso:std:iso:11073:10101", "code": "{code}" }}"#)
}

/// A value with a UCUM code.
fn ucum(code: &str) -> String {
    named("x", code)
}

fn named(name: &str, code: &str) -> String {
    format!(
        r#"{{ "valueType": "Quantity", "valueName": "{name}", "system": "http://unitsofmeasure.org", "code": "{code}" }}"#
    )
}

/// A vital sign with these codes and this value, in the right category.
fn vital_sign(codes: &str, value: &str) -> String {
    format!(r#"{VITAL_SIGNS}, "codes": [{codes}], "value": {value}"#)
}

/// A metric that is no vital sign.
fn metric(codes: &str, value: &str) -> String {
    format!(r#""codes": [{codes}], "value": {value}"#)
}

fn blood_pressure(codes: &str, systolic: &str, diastolic: &str) -> String {
    format!(
        r#"{VITAL_SIGNS}, "codes": [{codes}], "components": [
        {{ "codes": [{SYSTOLIC}], "value": {systolic} }}, {{ "codes": [{DIASTOLIC}], "value": {diastolic} }}]"#
    )
}

#[test]
fn every_vital_sign_of_the_table_in_its_units_is_clean() {
    for known in super::table::all().iter().filter(|known| known.is_strict) {
        let general = known.beside.map(|code| loinc(code) + ", ").unwrap_or_default();
        for unit in &known.units {
            check_clean(&vital_sign(&(general.clone() + &loinc(known.code)), &ucum(unit)));
        }
    }
}

#[test]
fn every_metric_of_the_table_in_its_units_is_clean() {
    for known in super::table::all().iter().filter(|known| !known.is_vital_sign) {
        let code =
            format!(r#"{{ "system": "{}", "code": "{}", "display": "{}" }}"#, known.system, known.code, known.display);
        for unit in &known.units {
            check_clean(&metric(&code, &ucum(unit)));
        }
    }
}

#[test]
fn shipped_mappings_are_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = fs::read_dir(root.join("templates")).unwrap().map(|entry| entry.unwrap().path());
    let mut mappings: Vec<_> = folders.map(|folder| folder.join("fhir.json")).filter(|file| file.exists()).collect();
    mappings.push(root.join("src/demo/data/fhir.json"));
    assert!(mappings.len() > 3, "{mappings:?}");
    for file in mappings {
        assert_eq!(clinical(&fs::read_to_string(&file).unwrap()), [], "{}", file.display());
    }
}

#[test]
fn a_code_that_is_not_ucum() {
    for (code, fix) in [
        ("count/min", "/min"),
        ("bpm", "/min"),
        ("beats/min", "/min"),
        ("mmHg", "mm[Hg]"),
        ("degC", "Cel"),
        ("°C", "Cel"),
        ("lbs", "[lb_av]"),
        ("percent", "%"),
        ("drops/min", "{drops}/min"),
    ] {
        let message = format!("`{code}` is not a UCUM code");
        check(&metric("", &ucum(code)), ("{ \"valueType", &message, &format!("\"code\": \"{fix}\"")));
    }
    check(
        &metric("", &ucum("?")),
        ("{ \"valueType", "`?` is not a UCUM code", "see https://ucum.org; `{text}` for what has no unit"),
    );
    check(
        &vital_sign(&loinc("8310-5"), &ucum("?")),
        ("{ \"valueType", "`?` is not a UCUM code", "one of `Cel`, `[degF]`"),
    );
    for code in ["kPa", "{score}", "10*9/L", "/mV", "1", "meq/L", "{beats}/min"] {
        check_clean(&metric("", &ucum(code)));
    }
}

#[test]
fn a_letter_that_ucum_takes_for_something_else() {
    check(&metric("", &ucum("C")), ("{ \"valueType", "`C` is the coulomb in UCUM", "\"code\": \"Cel\""));
    check(&metric("", &ucum("F")), ("{ \"valueType", "`F` is the farad in UCUM", "\"code\": \"[degF]\""));
    let coulomb = r#"{ "valueType": "Quantity", "valueName": "x", "unit": "Coulomb",
        "system": "http://unitsofmeasure.org", "code": "C" }"#;
    check_clean(&metric("", coulomb));
}

#[test]
fn a_quantity_without_system_or_code() {
    let quantity = |members: &str| format!(r#"{{ "valueType": "Quantity", "valueName": "x" {members} }}"#);
    let ucum = |code: &str| format!("\"system\": \"http://unitsofmeasure.org\", \"code\": \"{code}\"");
    check(
        &metric("", &quantity(r#", "unit": "mmHg""#)),
        (
            "{ \"valueType",
            "Quantity of unit `mmHg` with neither `system` nor `code`, programs cannot tell its unit",
            &ucum("mm[Hg]"),
        ),
    );
    check(
        &metric("", &quantity(r#", "unit": "foo bar""#)),
        (
            "{ \"valueType",
            "Quantity of unit `foo bar` with neither `system` nor `code`, programs cannot tell its unit",
            "\"system\": \"http://unitsofmeasure.org\" and the \"code\" of the unit there; `{text}` for what has none",
        ),
    );
    check(
        &metric("", &quantity(r#", "code": "kg""#)),
        ("{ \"valueType", "Quantity with the code `kg` and no `system`", &ucum("kg")),
    );
    check(
        &metric("", &quantity(r#", "unit": "kg", "system": "http://unitsofmeasure.org""#)),
        ("{ \"valueType", "Quantity of unit `kg` with no `code`, programs cannot tell its unit", &ucum("kg")),
    );
    check(
        &vital_sign(HEART_RATE, &quantity(r#", "unit": "beats/min""#)),
        (
            "{ \"valueType",
            "Quantity of unit `beats/min` with neither `system` nor `code`, programs cannot tell its unit",
            &ucum("/min"),
        ),
    );
    check(
        &vital_sign(HEART_RATE, &quantity("")),
        ("{ \"valueType", "Quantity of `8867-4` (Heart rate) without a unit", &ucum("/min")),
    );
    check_clean(&metric("", &quantity("")));
}

#[test]
fn a_system_of_units_that_is_misspelt() {
    let quantity = |system: &str| {
        format!(r#"{{ "valueType": "Quantity", "valueName": "x", "system": "{system}", "code": "/min" }}"#)
    };
    let fix = "\"system\": \"http://unitsofmeasure.org\"";
    for system in ["https://unitsofmeasure.org", "http://unitsofmeasure.org/", "UCUM", "urn:oid:2.16.840.1.113883.6.8"]
    {
        let message = format!("`{system}` is not how FHIR names UCUM");
        check(&vital_sign(HEART_RATE, &quantity(system)), ("{ \"valueType", &message, fix));
    }
    check_clean(&metric("", &quantity("urn:example:units")));
    check(
        &vital_sign(HEART_RATE, &quantity("urn:iso:std:iso:11073:10101")),
        (
            "{ \"valueType",
            "vital sign `8867-4` (Heart rate) in a unit that is not UCUM's",
            "\"system\": \"http://unitsofmeasure.org\", \"code\": \"/min\"",
        ),
    );
}

#[test]
fn the_units_of_a_range_and_of_a_ratio() {
    let range = r#"{ "valueType": "Range", "valueName": "x", "highValueName": "y", "unit": "bpm" }"#;
    let fix = "\"system\": \"http://unitsofmeasure.org\", \"code\": \"/min\"";
    let message = "Quantity of unit `bpm` with neither `system` nor `code`, programs cannot tell its unit";
    check(&vital_sign(HEART_RATE, range), ("{ \"valueType", message, fix));
    let ratio = r#"{ "valueType": "Ratio", "valueName": "x", "denominatorValueName": "y",
        "system": "http://unitsofmeasure.org", "code": "mcg",
        "denominatorSystem": "http://unitsofmeasure.org", "denominatorCode": "mL" }"#;
    check(&metric("", ratio), ("{ \"valueType", "`mcg` is not a UCUM code", "\"code\": \"ug\""));
}

#[test]
fn a_unit_that_the_profile_does_not_allow() {
    check(
        &vital_sign(HEART_RATE, &ucum("{beats}/min")),
        (
            "{ \"valueType",
            "the vital-signs profile of `8867-4` (Heart rate) does not allow `{beats}/min`",
            "\"code\": \"/min\"",
        ),
    );
    check(
        &vital_sign(&loinc("8310-5"), &ucum("K")),
        (
            "{ \"valueType",
            "the vital-signs profile of `8310-5` (Body temperature) does not allow `K`",
            "allowed: `Cel`, `[degF]`",
        ),
    );
    check(
        &vital_sign(&loinc("8302-2"), &ucum("m")),
        (
            "{ \"valueType",
            "the vital-signs profile of `8302-2` (Body height) does not allow `m`",
            "allowed: `cm`, `[in_i]`",
        ),
    );
}

#[test]
fn a_unit_of_something_else() {
    check(
        &vital_sign(HEART_RATE, &ucum("%")),
        ("{ \"valueType", "`%` is not a unit of `8867-4` (Heart rate)", "it is in `/min`"),
    );
    check(
        &metric(&loinc("2339-0"), &ucum("mmol/L")),
        (
            "{ \"valueType",
            "`mmol/L` is not a unit of `2339-0` (Glucose [Mass/volume] in Blood)",
            "it is in `mg/dL`; or code `15074-8` (Glucose [Moles/volume] in Blood)",
        ),
    );
    check(
        &metric(&loinc("99504-3"), &ucum("mg/dl")),
        ("{ \"valueType", "`mg/dl` is usually written `mg/dL`, and searches tell them apart", "\"code\": \"mg/dL\""),
    );
    check_clean(&metric(&loinc("99504-3"), &ucum("g/L")));
    check_clean(&metric(&mdc("160184"), &ucum("mmol/L")));
    let sampled = |unit: &str| {
        format!(r#"{{ "valueType": "SampledData", "valueName": "x", "defaultPeriod": 1000, "unit": "{unit}" }}"#)
    };
    check(
        &vital_sign(HEART_RATE, &sampled("%")),
        ("{ \"valueType", "`%` is not a unit of `8867-4` (Heart rate)", "it is in `/min`"),
    );
    for unit in ["bpm", "beats/minute", "1/min", "ADC units", ""] {
        check_clean(&vital_sign(HEART_RATE, &sampled(unit)));
    }
}

#[test]
fn a_unit_that_people_read_as_another_than_programs() {
    let quantity = |unit: &str, code: &str| {
        format!(
            r#"{{ "valueType": "Quantity", "valueName": "x", "unit": "{unit}",
            "system": "http://unitsofmeasure.org", "code": "{code}" }}"#
        )
    };
    check(
        &vital_sign(&loinc("8310-5"), &quantity("°F", "Cel")),
        (
            "{ \"valueType",
            "unit `°F` with the code `Cel`, which is another unit",
            "\"code\": \"[degF]\", or another `unit`",
        ),
    );
    check(
        &vital_sign(&loinc("29463-7"), &quantity("lbs", "kg")),
        (
            "{ \"valueType",
            "unit `lbs` with the code `kg`, which is another unit",
            "\"code\": \"[lb_av]\", or another `unit`",
        ),
    );
    for (unit, code) in [("beats/minute", "/min"), ("C", "Cel"), ("ADC units", "1"), ("Units", "[IU]"), ("steps", "1")]
    {
        check_clean(&metric("", &quantity(unit, code)));
    }
}

#[test]
fn a_vital_sign_without_its_category() {
    let fix = r#""category": [{ "codes": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs", "display": "Vital Signs" }] }]"#;
    check(
        &metric(HEART_RATE, &ucum("/min")),
        (HEART_RATE, "vital sign `8867-4` (Heart rate) without the category `vital-signs`", fix),
    );
    let category = |system: &str, code: &str| {
        let member = if system.is_empty() { String::new() } else { format!(r#""system": "{system}", "#) };
        format!(
            r#""category": [{{ "codes": [{{ {member}"code": "{code}" }}] }}], "codes": [{HEART_RATE}], "value": {}"#,
            ucum("/min")
        )
    };
    let right = "http://terminology.hl7.org/CodeSystem/observation-category";
    check(
        &category(right, "laboratory"),
        (HEART_RATE, "vital sign `8867-4` (Heart rate) without the category `vital-signs`", fix),
    );
    check(
        &category("urn:example:cat", "vital-signs"),
        (HEART_RATE, "vital sign `8867-4` (Heart rate) without the category `vital-signs`", fix),
    );
    check(&category(right, "vital_signs"), ("{ \"system", "`vital_signs` is not a category of FHIR", "`vital-signs`"));
    check(
        &category(right, "readings"),
        (
            "{ \"system",
            "`readings` is not a category of FHIR",
            "one of social-history, vital-signs, imaging, laboratory, procedure, survey, exam, therapy, activity",
        ),
    );
    let system = format!("\"system\": \"{right}\"");
    for wrong in
        ["http://hl7.org/fhir/observation-category", "https://terminology.hl7.org/CodeSystem/observation-category"]
    {
        let message = format!("`{wrong}` is not the system of FHIR's categories");
        check(&category(wrong, "vital-signs"), ("{ \"system", &message, &system));
    }
    check(&category("", "vital-signs"), ("{ \"code", "category `vital-signs` has no system", &system));
}

#[test]
fn a_vital_sign_as_text() {
    let fix = "the vital-signs profile asks for a Quantity: \"valueType\": \"Quantity\", \
        \"system\": \"http://unitsofmeasure.org\", \"code\": \"/min\"";
    let string = r#"{ "valueType": "String", "valueName": "x" }"#;
    let concept = r#"{ "valueType": "CodeableConcept", "valueName": "x", "text": "high" }"#;
    check(&vital_sign(HEART_RATE, string), ("{ \"valueType", "vital sign `8867-4` (Heart rate) as String", fix));
    check(
        &vital_sign(HEART_RATE, concept),
        ("{ \"valueType", "vital sign `8867-4` (Heart rate) as CodeableConcept", fix),
    );
    for kind in ["DateTime", "Boolean", "Integer"] {
        let value = format!(r#"{{ "valueType": "{kind}", "valueName": "x" }}"#);
        assert_eq!(clinical(&mapping(&vital_sign(HEART_RATE, &value)))[0].2, fix);
    }
    check_clean(&metric(&loinc("11524-6"), string));
}

#[test]
fn a_code_on_a_value_called_otherwise() {
    check(
        &vital_sign(HEART_RATE, &named("spo2", "/min")),
        (
            "{ \"valueType",
            "code `8867-4` (Heart rate) on a value called `spo2`",
            "the code of `spo2` is `2708-6` (Oxygen saturation in Arterial blood)",
        ),
    );
}

#[test]
fn a_type_name_speaks_for_a_value_called_value() {
    let mapping = mapping(&vital_sign(HEART_RATE, &named("value", "/min")));
    assert_eq!(clinical(&mapping), []);
    let found = clinical(&mapping.replace("\"typeName\": \"t\"", "\"typeName\": \"temperature\""));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1, "code `8867-4` (Heart rate) on a value called `temperature`");
}

#[test]
fn names_that_fit_or_say_nothing_are_clean() {
    for name in ["hr", "heartRate", "pulse", "bpm", "x", "temperature of the room", "Beats", "value"] {
        check_clean(&vital_sign(HEART_RATE, &named(name, "/min")));
    }
    check_clean(&metric(&loinc("11524-6"), &named("spo2", "/min")));
}

#[test]
fn a_blood_pressure_without_its_parts() {
    let panel = r#"{ "system": "http://loinc.org", "code": "85354-9", "display": "Blood pressure panel with all children optional" }"#;
    check(
        &format!(
            r#"{VITAL_SIGNS}, "codes": [{panel}], "components": [{{ "codes": [{SYSTOLIC}], "value": {} }}]"#,
            ucum("mm[Hg]")
        ),
        (
            panel,
            "code `85354-9` (Blood pressure panel with all children optional) without a component `8462-4` (Diastolic blood pressure)",
            &format!("a component with the code {DIASTOLIC}"),
        ),
    );
    check(
        &format!(r#"{VITAL_SIGNS}, "codes": [{panel}]"#),
        (
            panel,
            "code `85354-9` (Blood pressure panel with all children optional) without a component `8480-6` (Systolic blood pressure) and `8462-4` (Diastolic blood pressure)",
            &format!("a component with the code {SYSTOLIC}, another with {DIASTOLIC}"),
        ),
    );
    check_clean(&blood_pressure(panel, &named("systolic", "mm[Hg]"), &named("diastolic", "mm[Hg]")));
    check(
        &blood_pressure("", &named("systolic", "mm[Hg]"), &named("diastolic", "mm[Hg]")),
        (
            "{ \"typeName",
            "components of a blood pressure without the code `85354-9`, by which FHIR finds it",
            &format!("in `codes` of the template: {panel}"),
        ),
    );
}

#[test]
fn a_blood_pressure_with_its_parts_swapped() {
    let panel = loinc("85354-9");
    let found = clinical(&mapping(&blood_pressure(&panel, &named("dia", "mm[Hg]"), &named("systolicBP", "mm[Hg]"))));
    let found: Vec<_> = found.iter().map(|(_, message, hint)| (message.as_str(), hint.as_str())).collect();
    assert_eq!(
        found,
        [
            (
                "code `8480-6` (Systolic blood pressure) on a value called `dia`",
                "the code of `dia` is `8462-4` (Diastolic blood pressure)"
            ),
            (
                "code `8462-4` (Diastolic blood pressure) on a value called `systolicBP`",
                "the code of `systolicBP` is `8480-6` (Systolic blood pressure)"
            ),
        ]
    );
}

#[test]
fn a_specific_code_without_the_general_one() {
    let oximeter = r#"{ "system": "http://loinc.org", "code": "59408-5" }"#;
    check(
        &vital_sign(oximeter, &ucum("%")),
        (
            oximeter,
            "code `59408-5` (Oxygen saturation in Arterial blood by Pulse oximetry) without `2708-6`, by which FHIR finds the vital sign",
            r#"before it: { "system": "http://loinc.org", "code": "2708-6", "display": "Oxygen saturation in Arterial blood" }"#,
        ),
    );
    check_clean(&vital_sign(&format!("{}, {oximeter}", loinc("2708-6")), &ucum("%")));
}

#[test]
fn a_code_under_the_wrong_system() {
    let coding = |system: &str| format!(r#"{{ "system": "{system}", "code": "8867-4" }}"#);
    for system in ["loinc.org", "http://loinc.org/", "https://loinc.org", "LOINC", "urn:oid:2.16.840.1.113883.6.1"] {
        let message = format!("`{system}` is not how FHIR names LOINC");
        let expected = ("{ \"system", message.as_str(), "\"system\": \"http://loinc.org\"");
        check(&vital_sign(&coding(system), &ucum("/min")), expected);
    }
    check(
        &vital_sign(&coding("http://snomed.info/sct"), &ucum("/min")),
        (
            "{ \"system",
            "code `8867-4` is LOINC's (Heart rate), its system is `http://snomed.info/sct`",
            "\"system\": \"http://loinc.org\"",
        ),
    );
    check(
        &vital_sign(r#"{ "code": "8867-4" }"#, &ucum("/min")),
        ("{ \"code", "code `8867-4` (Heart rate) has no system", "\"system\": \"http://loinc.org\""),
    );
    check(
        &metric(r#"{ "system": "urn:oid:1.2.840.10004.1.1.1.0.0.1", "code": "150456" }"#, &ucum("%")),
        (
            "{ \"system",
            "`urn:oid:1.2.840.10004.1.1.1.0.0.1` is not how FHIR names ISO/IEEE 11073-10101",
            "\"system\": \"urn:iso:std:iso:11073:10101\"",
        ),
    );
    check(
        &metric(r#"{ "code": "150456", "display": "MDC_PULS_OXIM_SAT_O2" }"#, &ucum("%")),
        (
            "{ \"code",
            "code `150456` (MDC_PULS_OXIM_SAT_O2) has no system",
            "\"system\": \"urn:iso:std:iso:11073:10101\"",
        ),
    );
    for coding in [r#"{ "code": "150456" }"#, r#"{ "system": "urn:example:codes", "code": "hr" }"#, "{}"] {
        check_clean(&metric(coding, &ucum("/min")));
    }
}

#[test]
fn a_loinc_code_that_does_not_exist() {
    check(
        &metric(&loinc("8876-4"), &ucum("/min")),
        ("{ \"system", "`8876-4` is not a LOINC code, its check digit is wrong", "`8867-4` is Heart rate"),
    );
    check(
        &metric(&loinc("12345-6"), &ucum("/min")),
        (
            "{ \"system",
            "`12345-6` is not a LOINC code, its check digit is wrong",
            "a digit is wrong, see https://loinc.org",
        ),
    );
    check(
        &metric(&loinc("pulse"), &ucum("/min")),
        (
            "{ \"system",
            "`pulse` is not a LOINC code",
            "a LOINC code is a number, a hyphen and a check digit, such as `8867-4`",
        ),
    );
    check_clean(&metric(&loinc("11524-6"), &ucum("/min")));
}

#[test]
fn a_display_of_something_else() {
    let coding = r#"{ "system": "http://loinc.org", "code": "8867-4", "display": "Oxygen saturation" }"#;
    check(
        &vital_sign(coding, &ucum("/min")),
        (
            coding,
            "display `Oxygen saturation` does not fit code `8867-4`",
            "`8867-4` is Heart rate; `Oxygen saturation` is `2708-6`",
        ),
    );
    for display in ["heart rate", "Pulse", "HR (wrist)", "Herzfrequenz"] {
        check_clean(&vital_sign(&coding.replace("Oxygen saturation", display), &ucum("/min")));
    }
}

#[test]
fn codes_that_contradict_each_other() {
    check(
        &vital_sign(&format!("{HEART_RATE}, {}", mdc("150456")), &ucum("/min")),
        (
            "{ \"system\": \"urn:iso",
            "code `8867-4` (Heart rate) and code `150456` (MDC_PULS_OXIM_SAT_O2) mean different things",
            "beside `8867-4` stands `147842` (MDC_ECG_HEART_RATE), for example",
        ),
    );
    check(
        &vital_sign(&format!("{HEART_RATE}, {}", loinc("9279-1")), &ucum("/min")),
        (
            "{ \"system\": \"http://loinc.org\", \"code\": \"9279-1\"",
            "code `8867-4` (Heart rate) and code `9279-1` (Respiratory rate) mean different things",
            "keep one of them; a second value is a component or a template of its own",
        ),
    );
    check_clean(&vital_sign(&format!("{HEART_RATE}, {}", mdc("149530")), &ucum("/min")));
}

#[test]
fn unknown_codes_are_silent() {
    check_clean(&metric(&loinc("74009-2"), &ucum("%")));
    check_clean(&metric(&mdc("999999"), &ucum("%")));
    check_clean(r#""codes": []"#);
}

#[test]
fn a_warning_reads_like_one_of_a_compiler() {
    let mapping = mapping(&metric("", &ucum("bpm")));
    let problems = Mappings::inspect(None, Some(Source { name: "fhir.json", text: &mapping })).fhir;
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["fhir.json:2:62: warning: `bpm` is not a UCUM code [ClinicalWarning]\n  hint: \"code\": \"/min\""]
    );
}
