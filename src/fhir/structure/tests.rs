use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::types::{self, Kind, Type};
use super::{ISSUES_MAX, Validation};
use crate::json::{self, Node};
use crate::r4::outcome::Issue;
use crate::r4::resource_type::ResourceType;

fn issues(resource: &str) -> Vec<String> {
    let node = json::parse_unique(resource.as_bytes()).unwrap();
    let name = node.member("resourceType").unwrap().as_str().unwrap();
    let issues = Validation::Structure.check(ResourceType::parse(name).unwrap(), &node);
    let line = |issue: &Issue| {
        format!("{} {}: {}", issue.code, issue.expression.as_deref().unwrap_or_default(), issue.diagnostics)
    };
    issues.iter().map(line).collect()
}

#[track_caller]
fn check(resource: &str, expected: &[&str]) {
    let found = issues(resource);
    let fits = |(found, expected): (&String, &&str)| {
        let (place, said) = expected.split_once('|').unwrap_or((expected, ""));
        found.starts_with(&format!("{place}: ")) && found.contains(said)
    };
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(fits), "{found:#?}");
}

/// An Observation with these members besides those it must have.
fn observation(members: &str) -> String {
    format!(r#"{{"resourceType":"Observation","status":"final","code":{{"text":"x"}},{members}}}"#)
}

#[track_caller]
fn check_observation(members: &str, expected: &[&str]) {
    check(&observation(members), expected);
}

#[test]
fn what_r4_defines_passes() {
    check_observation(
        r#""id":"a","meta":{"versionId":"1","lastUpdated":"2024-02-29T23:59:60Z","profile":["http://a"],"tag":[{"system":"s","code":"c"}]},
        "language":"de","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},
        "contained":[{"resourceType":"Patient","id":"p","birthDate":"1970"}],
        "extension":[{"url":"http://e","valueDecimal":1.50},{"url":"http://e","extension":[{"url":"x","valueCode":"y"}]}],
        "subject":{"reference":"Patient/1"},"focus":[{"reference":"\u0023p"}],"effectiveDateTime":"2024-07-31T08:05:00.5+02:00",
        "valueQuantity":{"value":-6.50e1,"comparator":"<=","unit":"/min","system":"http://unitsofmeasure.org","code":"/min"},
        "component":[{"code":{"coding":[{"system":"s","code":"c"}]},"valueInteger":-3},{"code":{"text":"t"},"valueSampledData":
            {"origin":{"value":0},"period":1,"dimensions":1,"data":"E 1 2"}}],"_issued":{"extension":[{"url":"u","valueString":"v"}]}"#,
        &[],
    );
    check(r#"{"resourceType":"Patient"}"#, &[]);
}

#[test]
fn an_unknown_element_is_told_with_the_nearest_known() {
    check_observation(
        r#""valueQantity":{"value":1}"#,
        &["structure Observation.valueQantity|Send one of `valueQuantity`"],
    );
    check_observation(r#""efectiveDateTime":"2024""#, &["structure Observation.efectiveDateTime|`effectiveDateTime`?"]);
    check_observation(r#""value":1"#, &["structure Observation.value|`valueQuantity`"]);
    check_observation(r#""valueDecimal":1"#, &["structure Observation.valueDecimal|Send one of `valueQuantity`"]);
    check_observation(r#""somethingElse":1"#, &["structure Observation.somethingElse|`extension`"]);
    check_observation(r#""a b":1"#, &["structure Observation|`a b`"]);
    check_observation(r#""_code":{"id":"x"}"#, &["structure Observation._code|into `code` itself"]);
    check_observation(
        r#""component":[{"code":{"text":"x"},"values":1}]"#,
        &["structure Observation.component[0].values"],
    );
    check_observation(
        r#""note":[{"text":"x","resourceType":"Note"}]"#,
        &["structure Observation.note[0].resourceType"],
    );
}

#[test]
fn what_must_be_there_is_missed() {
    check(
        r#"{"resourceType":"Observation"}"#,
        &["required Observation.status|`final`", "required Observation.code|Add it."],
    );
    check(
        r#"{"resourceType":"MedicationStatement","status":"active","subject":{"display":"x"}}"#,
        &["required MedicationStatement.medication|`medicationCodeableConcept`, `medicationReference`"],
    );
    // An extension may say why there is no value.
    let absent =
        r#"{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}"#;
    check(&format!(r#"{{"resourceType":"Observation","_status":{absent},"code":{{"text":"x"}}}}"#), &[]);
}

#[test]
fn an_array_is_an_array_and_a_single_value_is_none() {
    check_observation(r#""note":{"text":"x"}"#, &["structure Observation.note|`[...]`"]);
    check_observation(r#""note":[]"#, &["structure Observation.note|empty array"]);
    check_observation(r#""method":[{"text":"x"}]"#, &["structure Observation.method|without brackets"]);
    check_observation(r#""note":[[{"text":"x"}]]"#, &["structure Observation.note[0]|without brackets"]);
    check_observation(r#""method":{}"#, &["structure Observation.method|empty object"]);
    check_observation(r#""method":{"id":"x"}"#, &["structure Observation.method|empty object"]);
    check_observation(r#""method":null"#, &["structure Observation.method|`null`"]);
    check_observation(r#""method":"x""#, &["structure Observation.method|CodeableConcept is an object"]);
    check_observation(r#""note":[null]"#, &["structure Observation.note[0]|`null`"]);
}

#[test]
fn a_choice_has_one_type() {
    check_observation(r#""valueString":"a","_valueString":{"id":"x"}"#, &[]);
    check_observation(
        r#""valueString":"a","valueInteger":1"#,
        &["structure Observation.value|`valueInteger` beside `valueString`"],
    );
    check_observation(
        r#""_valueString":{"extension":[{"url":"u","valueCode":"x"}]},"valueInteger":1"#,
        &["structure Observation.value|`valueInteger` beside `valueString`"],
    );
    check_observation(
        r#""valueQuantity":{"value":"1"}"#,
        &["structure Observation.value.value|a number without quotes"],
    );
}

#[test]
fn extensions_pair_with_values_by_position() {
    let patient = |name: &str| format!(r#"{{"resourceType":"Patient","name":[{{{name}}}]}}"#);
    check(&patient(r#""given":["a",null],"_given":[null,{"id":"x","extension":[{"url":"u","valueCode":"x"}]}]"#), &[]);
    check(&patient(r#""given":["a","b"],"_given":[null,{"id":"x"}]"#), &[]);
    check(&patient(r#""_given":[{"extension":[{"url":"u","valueCode":"x"}]}]"#), &[]);
    check(&patient(r#""_given":[{"id":"x"}]"#), &["structure Patient.name[0].given[0]|empty"]);
    check(&patient(r#""given":["a",null]"#), &["structure Patient.name[0].given[1]"]);
    check(&patient(r#""given":["a",null],"_given":[{"id":"x"},null]"#), &["structure Patient.name[0].given[1]"]);
    check(
        &patient(r#""_given":[null,{"extension":[{"url":"u","valueCode":"x"}]}]"#),
        &["structure Patient.name[0].given[0]"],
    );
    check(
        &patient(r#""given":["a"],"_given":[null,{"id":"x"}]"#),
        &["structure Patient.name[0].given|pair by position"],
    );
    check(&patient(r#""given":["a"],"_given":{"id":"x"}"#), &["structure Patient.name[0].given|array"]);
    check(&patient(r#""family":"a","_family":"x""#), &["structure Patient.name[0].family"]);
    check(&patient(r#""family":"a","_family":{"ids":"x"}"#), &["structure Patient.name[0].family.ids|`id`"]);
    check(&patient(r#""family":"a","id":"y","_id":{"id":"x"}"#), &["structure Patient.name[0].id|no extensions"]);
}

#[test]
fn an_extension_has_a_url_and_either_value_or_extensions() {
    let with = |extension: &str| observation(&format!(r#""extension":[{extension}]"#));
    check(&with(r#"{"valueString":"x"}"#), &["required Observation.extension[0].url"]);
    check(&with(r#"{"url":"u"}"#), &["invariant Observation.extension[0]|a value"]);
    check(
        &with(r#"{"url":"u","valueString":"x","extension":[{"url":"v","valueString":"y"}]}"#),
        &["invariant Observation.extension[0]|Leave one out"],
    );
    check(
        &with(r#"{"url":"u","valueTriple":"x"}"#),
        &["structure Observation.extension[0].valueTriple|, ...", "invariant Observation.extension[0]"],
    );
    check(
        &with(r#"{"url":"u","_url":{"id":"x"},"valueString":"x"}"#),
        &["structure Observation.extension[0].url|no extensions"],
    );
}

#[test]
fn codes_are_from_the_value_set_r4_requires() {
    check(
        r#"{"resourceType":"Observation","status":"fianl","code":{"text":"x"}}"#,
        &["code-invalid Observation.status|Did you mean `final`?"],
    );
    check(
        r#"{"resourceType":"Patient","gender":"x"}"#,
        &["code-invalid Patient.gender|Codes are `female`, `male`, `other`, `unknown`."],
    );
    let allergy = |status: &str| {
        format!(r#"{{"resourceType":"AllergyIntolerance","patient":{{"display":"x"}},"clinicalStatus":{status}}}"#)
    };
    let system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical";
    check(&allergy(&format!(r#"{{"coding":[{{"code":"x"}},{{"system":"{system}","code":"active"}}]}}"#)), &[]);
    let expected = ["code-invalid AllergyIntolerance.clinicalStatus|`active`"];
    check(&allergy(r#"{"coding":[{"system":"http://x","code":"active"}]}"#), &expected);
    check(&allergy(r#"{"text":"active"}"#), &expected);
    // Media types are defined elsewhere.
    check(r#"{"resourceType":"Binary","contentType":"a/b"}"#, &[]);
}

#[test]
fn references_have_a_form_and_a_type() {
    for target in [
        "Patient/1",
        "Patient/1/_history/2",
        "http://other/fhir/Patient/1",
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "urn:oid:1.2.3",
        "#",
    ] {
        check_observation(&format!(r#""subject":{{"reference":"{target}"}}"#), &[]);
    }
    for target in [
        "Patient",
        "1",
        "Patient/a_b",
        "Patient/1/2",
        "Reading/1",
        "/Patient/1",
        "Patient/1/",
        "Patient/1/_history/",
        "#x",
    ] {
        check_observation(
            &format!(r#""subject":{{"reference":"{target}"}}"#),
            &["value Observation.subject.reference"],
        );
    }
    check_observation(
        r#""subject":{"reference":"Practitioner/1"}"#,
        &["value Observation.subject.reference|`Device`, `Group`, `Location`, `Patient`"],
    );
    check_observation(r#""subject":{"identifier":{"value":"1"}}"#, &[]);
}

#[test]
fn a_search_is_a_reference_in_a_transaction_alone() {
    let to = |target: &str| observation(&format!(r#""subject":{{"reference":"{target}"}}"#));
    check(&to("Patient?identifier=s|v"), &["value Observation.subject.reference|transactions alone"]);
    for (target, issues) in [("Patient?identifier=s|v", 0), ("Practitioner?identifier=s|v", 1), ("Patient/1?x=y", 1)] {
        let text = to(target);
        let node = json::parse(text.as_bytes()).unwrap();
        let found = Validation::Structure.of_entry().check(ResourceType::OBSERVATION, &node);
        assert_eq!(found.len(), issues, "{target}");
    }
}

#[test]
fn contained_resources_are_of_their_own_type_and_contain_none() {
    let with = |contained: &str| observation(&format!(r#""contained":[{contained}]"#));
    check(
        &with(r#"{"resourceType":"Patient","id":"p","brithDate":"1970"}"#),
        &["structure Observation.contained[0].brithDate|`birthDate`"],
    );
    check(&with(r#"{"id":"p"}"#), &["structure Observation.contained[0]|`resourceType`"]);
    check(&with(r#"{"resourceType":"Reading"}"#), &["value Observation.contained[0]"]);
    check(
        &with(r#"{"resourceType":"Patient","contained":[{"resourceType":"Patient"}]}"#),
        &["invariant Observation.contained[0].contained"],
    );
    check(
        &with(r#"{"resourceType":"Patient","meta":{"versionId":"1","source":"x"}}"#),
        &["invariant Observation.contained[0].meta.versionId"],
    );
    check(
        &with(r#"{"resourceType":"Patient","id":"p"},{"resourceType":"Group","type":"person","actual":true,"id":"p"}"#),
        &["invariant Observation.contained[1]"],
    );
    // Within what is contained, `#` means the same container.
    check(
        &with(
            r#"{"resourceType":"Patient","id":"p","generalPractitioner":[{"reference":"\u0023q"}]},{"resourceType":"Practitioner","id":"q"}"#,
        ),
        &[],
    );
}

#[test]
fn resources_of_a_bundle_and_of_parameters_are_checked() {
    check(
        r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","id":"a_b"}},
           {"resource":{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"\u0023p"}}}]}"#,
        &["value Bundle.entry[0].resource.id", "value Bundle.entry[1].resource.subject.reference"],
    );
    check(
        r#"{"resourceType":"Parameters","parameter":[{"name":"a","part":[{"name":"b","resource":{"resourceType":"Patient","active":"true"}}]}]}"#,
        &["structure Parameters.parameter[0].part[0].resource.active"],
    );
    check(
        r#"{"resourceType":"Parameters","parameter":[{"part":[{"name":"b","valueStrin":"x"}]}]}"#,
        &["structure Parameters.parameter[0].part[0].valueStrin", "required Parameters.parameter[0].name"],
    );
}

#[test]
fn primitives_have_a_form() {
    let extension = |member: &str| observation(&format!(r#""extension":[{{"url":"u",{member}}}]"#));
    for (name, good, bad) in [
        ("valueBoolean", "true false", r#""true" 1"#),
        ("valueInteger", "0 -1 2147483647 -2147483648", r#""1" 1.0 1e3 -0 2147483648"#),
        ("valueUnsignedInt", "0 1", "-1 1.5 2147483648"),
        ("valuePositiveInt", "1", "0 -1"),
        ("valueDecimal", "0 -1.50 1e3 0.000000000000000000001", r#""1""#),
        ("valueString", r#""a" " a\t" "ä""#, r#""" " " "\u0007" 1"#),
        ("valueMarkdown", r##""# a""##, r#""""#),
        ("valueCode", r#""a" "a-b""#, r#"" a" "a " "a\u0020\u0020b" """#),
        ("valueUri", r#""a" "urn:x:y""#, r#""a\u0020b" """#),
        ("valueCanonical", r#""http://a|1""#, r#""http://a\u0020b""#),
        ("valueId", r#""a.b-C""#, r#""a_b""#),
        (
            "valueOid",
            r#""urn:oid:1.2.0" "urn:oid:2.999""#,
            r#""1.2" "urn:oid:3.1" "urn:oid:1" "urn:oid:1.02" "urn:oid:1..2""#,
        ),
        (
            "valueUuid",
            r#""urn:uuid:c757873d-ec9a-4326-a141-556f43239520""#,
            r#""c757873d-ec9a-4326-a141-556f43239520" "urn:uuid:C757873D-ec9a-4326-a141-556f43239520" "urn:uuid:1""#,
        ),
        ("valueBase64Binary", r#""YQ==" "YWI=" "YWJj" "YW\nJj""#, r#""YQ" "Y===" "Y=Jj" "Y-Jj" "=""#),
        (
            "valueDate",
            r#""2024" "2024-02" "2024-02-29" "2000-02-29""#,
            r#""24" "0000" "2024-13" "2023-02-29" "1900-02-29" "2024-04-31" "2024-1-1" "2024-01-01T00:00:00Z" "2024-" "2024-01-01-01""#,
        ),
        (
            "valueDateTime",
            r#""2024" "2024-02" "2024-02-29" "2024-02-29T00:00:00Z" "2024-02-29T23:59:59.999999999-14:00" "2016-12-31T23:59:60Z""#,
            r#""2024-02-29T00:00Z" "2024-02-29T00:00:00" "2024-02-29T24:00:00Z" "2024-02-30T00:00:00Z" "2024-02-29T00:00:00+14:01" "2024-02-29T00:00:00+0100" "2024-02T00:00:00Z" "2024-02-29 00:00:00Z" "2024-02-29T00:00:00z" "2024-02-29T00:00:00.Z""#,
        ),
        ("valueInstant", r#""2024-02-29T00:00:00.1Z""#, r#""2024" "2024-02-29""#),
        ("valueTime", r#""00:00:00" "23:59:59.5""#, r#""24:00:00" "00:00" "00:00:00Z" "0:00:00" "00:00:00:00""#),
    ] {
        let values = |text| serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>().map(Result::unwrap);
        for value in values(good) {
            check(&extension(&format!(r#""{name}":{value}"#)), &[]);
        }
        for value in values(bad) {
            let found = issues(&extension(&format!(r#""{name}":{value}"#)));
            assert!(
                found.len() == 1 && found[0].contains(" Observation.extension[0].value: "),
                "{name} {value}: {found:?}"
            );
        }
    }
}

#[test]
fn issues_have_an_end() {
    let notes = vec![r#"{"txet":"x"}"#; 10_000].join(",");
    assert_eq!(issues(&observation(&format!(r#""note":[{notes}]"#))).len(), ISSUES_MAX);
    let members: Vec<String> = (0..10_000).map(|number| format!(r#""m{number}":1"#)).collect();
    assert_eq!(issues(&observation(&members.join(","))).len(), ISSUES_MAX);
}

#[test]
fn what_is_repeated_of_a_body_is_short() {
    let name = "x".repeat(100_000);
    assert!(issues(&observation(&format!(r#""{name}":1"#))).iter().all(|issue| issue.len() < 300));
    let code = format!(r#"{{"resourceType":"Patient","gender":"{name}"}}"#);
    assert!(issues(&code).iter().all(|issue| issue.len() < 300));
}

/// Resources of many shapes that nothing is wrong with.
const VALID: [&str; 5] = [
    r#"{"resourceType":"Observation","id":"o","meta":{"profile":["http://p"],"tag":[{"system":"s","code":"c"}]},"status":"final",
        "category":[{"coding":[{"system":"s","code":"vital-signs"}]}],"code":{"coding":[{"code":"8867-4"}],"text":"x"},
        "subject":{"reference":"Patient/1","display":"x"},"effectivePeriod":{"start":"2024-01-01T00:00:00Z"},
        "valueQuantity":{"value":65.00,"unit":"/min"},"referenceRange":[{"low":{"value":60},"text":"x"}],
        "component":[{"code":{"text":"x"},"valueSampledData":{"origin":{"value":0},"period":1.5,"dimensions":1,"data":"1 2"},
            "referenceRange":[{"text":"y","age":{"low":{"value":1}}}]}]}"#,
    r#"{"resourceType":"Patient","active":true,"contained":[{"resourceType":"Organization","id":"c","name":"x"}],
        "name":[{"use":"official","family":"A","given":["B","C"],"_given":[null,{"extension":[{"url":"u","valueBoolean":true}]}]}],
        "gender":"female","birthDate":"1970-02-28","multipleBirthInteger":2,"managingOrganization":{"reference":"\u0023c"},
        "text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>x</p></div>"},
        "link":[{"other":{"reference":"Patient/2"},"type":"seealso"}]}"#,
    r#"{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "resource":{"resourceType":"MedicationStatement","status":"active","subject":{"reference":"Patient/1"},
            "medicationCodeableConcept":{"text":"x"},"dosage":[{"timing":{"repeat":{"boundsRange":{"low":{"value":1}},"when":["MORN"]}},
                "doseAndRate":[{"doseQuantity":{"value":1}}]}]}}]}"#,
    r#"{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"group","item":[{"linkId":"1.1","type":"choice",
        "enableWhen":[{"question":"1","operator":"=","answerBoolean":true}],"answerOption":[{"valueCoding":{"code":"x"}}]}]}]}"#,
    r#"{"resourceType":"Parameters","parameter":[{"name":"a","part":[{"name":"b","valueCode":"x"},
        {"name":"c","resource":{"resourceType":"Device","distinctIdentifier":"x"}}]}]}"#,
];

/// A way to break a member, whatever it is.
#[derive(Clone, Copy, Debug)]
enum Break {
    Rename,
    Null,
    EmptyArray,
    NestedArray,
    OtherKind,
}

impl Break {
    fn apply(self, name: &mut Cow<'_, str>, value: &mut Node<'_>) {
        *value = match (self, std::mem::take(value)) {
            (Self::Rename, value) => {
                name.to_mut().push_str("Xyz");
                value
            }
            (Self::Null, _) => Node::Null,
            (Self::EmptyArray, _) => Node::Array(Vec::new()),
            (Self::NestedArray, value) => Node::Array(vec![Node::Array(vec![value])]),
            (Self::OtherKind, Node::String(_)) => Node::Bool(true),
            (Self::OtherKind, _) => Node::String("x".into()),
        };
    }
}

/// Counts down over the members of a tree, breaks the one at which `left` is spent, and says where that is.
fn break_one(node: &mut Node<'_>, own: &'static Type, place: &str, left: &mut usize, way: Break) -> Option<String> {
    let Node::Object(members) = node else { return None };
    for (name, value) in members {
        let member = own.member(name.strip_prefix('_').unwrap_or(name));
        let inner = member.map_or_else(|| place.to_owned(), |member| format!("{place}.{}", member.element.name));
        // The type of the outermost resource is known before the check.
        if name != "resourceType" || place.contains('.') {
            if *left == 0 {
                way.apply(name, value);
                let is_renamed = matches!(way, Break::Rename) && member.is_some();
                return Some(if is_renamed { format!("{place}.{name}") } else { inner });
            }
            *left -= 1;
        }
        let Some(kind) = member.map(|member| member.kind) else { continue };
        let repeats = matches!(value, Node::Array(_));
        let values =
            if let Node::Array(elements) = value { elements.as_mut_slice() } else { std::slice::from_mut(value) };
        for (index, value) in values.iter_mut().enumerate() {
            let place = if repeats { format!("{inner}[{index}]") } else { inner.clone() };
            let own = match kind {
                Kind::Complex(own) | Kind::Primitive(_, own) => own.get(),
                Kind::Resource => ResourceType::parse(value.member("resourceType").unwrap().as_str().unwrap())
                    .and_then(types::resource),
            };
            if let Some(broken) = break_one(value, own.unwrap(), &place, left, way) {
                return Some(broken);
            }
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_broken_is_found_in_its_place(
        resource in 0..VALID.len(),
        member in 0_usize..60,
        way in prop::sample::select(&[Break::Rename, Break::Null, Break::EmptyArray, Break::NestedArray, Break::OtherKind][..]),
    ) {
        prop_assert_eq!(issues(VALID[resource]), Vec::<String>::new());
        let mut node = json::parse(VALID[resource].as_bytes()).unwrap();
        let resource_type = ResourceType::parse(node.member("resourceType").unwrap().as_str().unwrap()).unwrap();
        let own = types::resource(resource_type).unwrap();
        let Some(place) = break_one(&mut node, own, resource_type.as_str(), &mut member.clone(), way) else {
            return Ok(());
        };
        let found = Validation::Structure.check(resource_type, &node);
        let is_there = |issue: &Issue| issue.expression.as_ref().is_some_and(|found| found.starts_with(&place));
        prop_assert!(found.iter().any(is_there), "{way:?} at {place}: {found:#?}");
    }

    #[test]
    fn any_json_under_any_names_is_judged_without_panic(
        resource in 0..VALID.len(),
        other in 0..VALID.len(),
        cut in 0_usize..60,
        graft in 0_usize..60,
        kind in 0_usize..146,
    ) {
        // A part of one resource in the place of a part of another.
        let mut nodes = Vec::new();
        let other = json::parse(VALID[other].as_bytes()).unwrap();
        flatten(&other, &mut nodes);
        let part = nodes[graft % nodes.len()].to_string();
        let mut node = json::parse(VALID[resource].as_bytes()).unwrap();
        replace(&mut node, &mut cut.clone(), &json::parse(part.as_bytes()).unwrap());
        let found = Validation::Structure.check(ResourceType::all().nth(kind).unwrap(), &node);
        prop_assert!(found.len() <= ISSUES_MAX);
        prop_assert!(found.iter().all(|issue| issue.expression.is_some()));
    }
}

fn flatten<'n, 'a>(node: &'n Node<'a>, all: &mut Vec<&'n Node<'a>>) {
    all.push(node);
    node.members().iter().for_each(|(_, value)| flatten(value, all));
    node.elements().iter().for_each(|value| flatten(value, all));
}

fn replace<'a>(node: &mut Node<'a>, left: &mut usize, part: &Node<'a>) {
    match node {
        _ if *left == 0 => *node = part.clone(),
        Node::Object(members) => members.iter_mut().for_each(|(_, value)| descend(value, left, part)),
        Node::Array(elements) => elements.iter_mut().for_each(|value| descend(value, left, part)),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => {}
    }
}

fn descend<'a>(node: &mut Node<'a>, left: &mut usize, part: &Node<'a>) {
    if *left > 0 {
        *left -= 1;
        replace(node, left, part);
    }
}
