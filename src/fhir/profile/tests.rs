use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Coded, ISSUES_MAX, Library, Membership, NOTES_MAX, Sources, check};
use crate::json::parse;
use crate::r4::definitions::{profiles, value_sets};
use crate::r4::outcome::{Issue, Severity};

const STRUCTURES: &str = "http://hl7.org/fhir/StructureDefinition/";

fn membership(value_set: &str, codes: &[Coded<'_>]) -> Membership {
    let (url, _) = value_set.split_once('|').unwrap_or((value_set, ""));
    let Some(known) = value_sets::value_set(url) else { return Membership::Unknown("it is not stored".to_owned()) };
    let is_in = |coded: &Coded<'_>| match coded.system {
        Some(system) => known.has_coding(system, coded.code),
        None => known.has_code(coded.code),
    };
    if codes.iter().any(is_in) { Membership::Inside } else { Membership::Outside }
}

/// What is said of a resource and a profile, which is one of these definitions or one that comes with the program.
fn issues(resource: &Value, profile: &str, definitions: &[Value]) -> Result<Vec<Issue>, String> {
    let definition = |canonical: &str| {
        let (url, _) = canonical.split_once('|').unwrap_or((canonical, ""));
        let own = definitions.iter().find(|definition| definition["url"] == url).map(|it| Bytes::from(it.to_string()));
        own.or_else(|| profiles::profile(url).map(|text| Bytes::from_static(text.as_bytes())))
    };
    let mut library = Library::new(Sources { definition: &definition, membership: &membership });
    let profile = library.profile(profile).map_err(|why| why.to_string())?;
    let text = resource.to_string();
    Ok(check(&parse(text.as_bytes()).unwrap(), &[profile], &mut library))
}

/// The places of errors, and the warnings besides that of R4 about narratives as their texts.
fn found(resource: &Value, profile: &str, definitions: &[Value]) -> Vec<String> {
    let told = |issue: Issue| match issue.severity {
        Severity::Error => issue.expression.unwrap_or_default(),
        Severity::Warning | Severity::Information => format!("? {}", issue.diagnostics),
    };
    let issues = issues(resource, profile, definitions).unwrap();
    issues.into_iter().filter(|issue| !issue.diagnostics.contains("dom-6")).map(told).collect()
}

#[track_caller]
fn check_vital_sign(name: &str, resource: &Value, expected: &[&str]) {
    assert_eq!(found(resource, &format!("{STRUCTURES}{name}"), &[]), expected, "{name} {resource:#}");
}

/// A resource with other values at places given as JSON pointers; `null` removes.
fn with(resource: &Value, changes: &[(&str, Value)]) -> Value {
    let mut resource = resource.clone();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match resource.pointer_mut(parent).unwrap() {
            Value::Object(members) if value.is_null() => drop(members.remove(name)),
            Value::Object(members) => drop(members.insert(name.to_owned(), value.clone())),
            Value::Array(elements) if value.is_null() => drop(elements.remove(name.parse().unwrap())),
            Value::Array(elements) => elements.insert(name.parse().unwrap(), value.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => panic!("{pointer}"),
        }
    }
    resource
}

fn coded(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

fn amount(code: &str) -> Value {
    json!({ "value": 61.5, "unit": code, "system": "http://unitsofmeasure.org", "code": code })
}

fn vital_sign(loinc: &str) -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "category": [coded("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")],
        "code": coded("http://loinc.org", loinc),
        "subject": { "reference": "Patient/1" }, "effectiveDateTime": "2024-07-31T08:05:00Z",
    })
}

fn heart_rate() -> Value {
    with(&vital_sign("8867-4"), &[("/valueQuantity", amount("/min"))])
}

fn blood_pressure() -> Value {
    let component =
        |loinc: &str| json!({ "code": coded("http://loinc.org", loinc), "valueQuantity": amount("mm[Hg]") });
    with(&vital_sign("85354-9"), &[("/component", json!([component("8480-6"), component("8462-4")]))])
}

#[test]
fn vital_signs_that_are_right_conform() {
    for (name, loinc, unit) in [
        ("heartrate", "8867-4", "/min"),
        ("resprate", "9279-1", "/min"),
        ("bodytemp", "8310-5", "Cel"),
        ("bodyheight", "8302-2", "cm"),
        ("bodyweight", "29463-7", "kg"),
        ("bmi", "39156-5", "kg/m2"),
        ("headcircum", "9843-4", "cm"),
        ("oxygensat", "2708-6", "%"),
    ] {
        let resource = with(&vital_sign(loinc), &[("/valueQuantity", amount(unit))]);
        check_vital_sign(name, &resource, &[]);
        check_vital_sign("vitalsigns", &resource, &[]);
    }
    check_vital_sign("bp", &blood_pressure(), &[]);
    let members =
        json!([{ "reference": "Observation/1" }, { "reference": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520" }]);
    check_vital_sign("vitalspanel", &with(&vital_sign("85353-1"), &[("/hasMember", members)]), &[]);
    let period = [("/effectiveDateTime", Value::Null), ("/effectivePeriod", json!({ "start": "2024-07-31" }))];
    check_vital_sign("heartrate", &with(&heart_rate(), &period), &[]);
    let unknown = coded("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown");
    let absent = [("/valueQuantity", Value::Null), ("/dataAbsentReason", unknown)];
    check_vital_sign("heartrate", &with(&heart_rate(), &absent), &[]);
}

#[test]
fn what_a_vital_sign_lacks_or_has_too_much_is_named_with_its_place() {
    for (changes, expected) in [
        (vec![("/category", Value::Null)], &["Observation.category", "Observation.category"][..]),
        (vec![("/category/0/coding/0/code", json!("laboratory"))], &["Observation.category"]),
        (vec![("/code/coding/0/code", json!("8310-5"))], &["Observation.code.coding"]),
        (vec![("/subject", Value::Null)], &["Observation.subject"]),
        (vec![("/subject/reference", json!("Group/1"))], &["Observation.subject.reference"]),
        (vec![("/effectiveDateTime", Value::Null)], &["Observation.effective"]),
        (vec![("/effectiveDateTime", json!("2024-07"))], &["Observation.effective"]),
        (
            vec![("/effectiveDateTime", Value::Null), ("/effectiveInstant", json!("2024-07-31T08:05:00Z"))],
            &["Observation.effective"],
        ),
        (vec![("/valueQuantity", Value::Null)], &["Observation"]),
        (vec![("/valueQuantity", Value::Null), ("/valueString", json!("61"))], &["Observation.value"]),
        (vec![("/valueQuantity/unit", Value::Null)], &["Observation.value.unit"]),
        (vec![("/valueQuantity/code", json!("bpm"))], &["Observation.value.code"]),
        (vec![("/valueQuantity/system", json!("http://x"))], &["Observation.value.system"]),
        (vec![("/component", json!([{ "code": { "text": "x" } }]))], &["Observation.component[0]"]),
        (vec![("/dataAbsentReason", json!({ "text": "x" }))], &["Observation"]),
        (vec![("/referenceRange", json!([{ "age": { "low": { "value": 1 } } }]))], &["Observation.referenceRange[0]"]),
        (vec![("/code/coding/0", json!({ "system": "urn:x", "code": "hr" }))], &[]),
        (
            vec![("/component", json!([{ "code": { "text": "x" }, "valueQuantity": amount("mV") }]))],
            &["Observation.component[0].value"],
        ),
        (vec![("/component", json!([{ "code": { "text": "x" }, "valueQuantity": amount("Cel") }]))], &[]),
        (vec![("/hasMember", json!([{ "reference": "Patient/1" }]))], &["Observation.hasMember[0].reference"]),
    ] {
        check_vital_sign("heartrate", &with(&heart_rate(), &changes), expected);
    }
}

#[test]
fn the_components_of_a_blood_pressure_are_told_apart() {
    for (changes, expected) in [
        (vec![("/component/1", Value::Null)], &["Observation.component", "Observation.component"][..]),
        (
            vec![("/component/1/code/coding/0/code", json!("8480-6"))],
            &["Observation.component", "Observation.component"],
        ),
        (
            vec![("/component/0/valueQuantity/code", json!("kPa"))],
            &["Observation.component[0].value", "Observation.component[0].value.code"],
        ),
        (vec![("/component/0/valueQuantity", Value::Null)], &["Observation.component[0]"]),
        (vec![("/valueQuantity", amount("mm[Hg]"))], &["Observation.value"]),
        (vec![("/component/2", json!({ "code": { "text": "x" }, "valueQuantity": amount("mm[Hg]") }))], &[]),
        (vec![("/component/0/code/coding/1", json!({ "system": "http://snomed.info/sct", "code": "271649006" }))], &[]),
    ] {
        check_vital_sign("bp", &with(&blood_pressure(), &changes), expected);
    }
}

const OWN: &str = "http://example.org/StructureDefinition/own";

fn definition(elements: &Value) -> Value {
    let base = format!("{STRUCTURES}Observation");
    json!({ "resourceType": "StructureDefinition", "url": OWN, "type": "Observation", "baseDefinition": base,
        "derivation": "constraint", "differential": { "element": elements } })
}

fn observation(members: &Value) -> Value {
    let mut observation = json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" } });
    observation.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    observation
}

#[track_caller]
fn check_own(elements: &Value, members: &Value, expected: &[&str]) {
    assert_eq!(found(&observation(members), OWN, &[definition(elements)]), expected, "{elements:#} {members:#}");
}

#[test]
fn values_are_held_to_what_is_fixed_and_to_patterns_and_bounds() {
    let elements = json!([
        { "id": "Observation.status", "fixedCode": "final" },
        { "id": "Observation.code", "patternCodeableConcept": { "coding": [{ "system": "urn:x" }] } },
        { "id": "Observation.valueQuantity.value", "minValueDecimal": 0, "maxValueDecimal": 100.0 },
        { "id": "Observation.note.text", "maxLength": 3 },
        { "id": "Observation.issued", "minValueInstant": "2024-01-01T00:00:00Z" },
        { "id": "Observation.interpretation", "max": "1" },
    ]);
    let code = json!({ "coding": [{ "code": "a", "system": "urn:x" }, { "code": "b" }], "text": "x" });
    check_own(&elements, &json!({ "code": code, "valueQuantity": { "value": 100 }, "note": [{ "text": "abc" }] }), &[]);
    let wrong = json!({ "status": "amended", "valueQuantity": { "value": 100.5 }, "note": [{ "text": "abcd" }],
        "issued": "2023-01-01T00:00:00Z", "interpretation": [{ "text": "a" }, { "text": "b" }] });
    let expected = [
        "Observation.status",
        "Observation.code",
        "Observation.value.value",
        "Observation.note[0].text",
        "Observation.issued",
        "Observation.interpretation",
    ];
    check_own(&elements, &wrong, &expected);
    check_own(&elements, &json!({ "code": code, "valueString": "x" }), &["Observation.value"]);
    let later = json!({ "code": code, "issued": "2024-01-01T00:00:00.5Z" });
    assert!(
        found(&observation(&later), OWN, &[definition(&elements)])[0].starts_with("? This was not checked: its bound")
    );
}

#[test]
fn slices_are_told_apart_by_every_kind_of_discriminator() {
    let sliced = |kind: &str, path: &str, rules: &str, slices: Value| {
        let slicing = json!({ "discriminator": [{ "type": kind, "path": path }], "rules": rules, "ordered": true });
        let mut elements = vec![json!({ "id": "Observation.component", "slicing": slicing })];
        elements.extend(slices.as_array().unwrap().clone());
        json!(elements)
    };
    let by_pattern = sliced(
        "pattern",
        "code",
        "closed",
        json!([
            { "id": "Observation.component:a", "sliceName": "a", "min": 1, "max": "1" },
            { "id": "Observation.component:a.code", "patternCodeableConcept": { "coding": [{ "code": "a" }] } },
            { "id": "Observation.component:b", "sliceName": "b" },
            { "id": "Observation.component:b.code", "patternCodeableConcept": { "coding": [{ "code": "b" }] } },
            { "id": "Observation.component:b.valueString", "min": 1 },
        ]),
    );
    let of = |code: &str| json!({ "code": { "coding": [{ "code": code }] }, "valueString": "x" });
    check_own(&by_pattern, &json!({ "component": [of("a"), of("b"), of("b")] }), &[]);
    check_own(&by_pattern, &json!({ "component": [of("a"), of("c")] }), &["Observation.component[1]"]);
    check_own(&by_pattern, &json!({ "component": [of("b"), of("a")] }), &["Observation.component[1]"]);
    check_own(&by_pattern, &json!({ "component": [of("a"), of("a")] }), &["Observation.component"]);
    check_own(&by_pattern, &json!({ "component": [of("b")] }), &["Observation.component"]);
    check_own(&by_pattern, &json!({}), &["Observation.component"]);

    let by_exists = sliced(
        "exists",
        "dataAbsentReason",
        "open",
        json!([
            { "id": "Observation.component:with", "max": "1" },
            { "id": "Observation.component:with.dataAbsentReason", "min": 1 },
            { "id": "Observation.component:without", "max": "1" },
            { "id": "Observation.component:without.dataAbsentReason", "max": "0" },
        ]),
    );
    let absent = json!({ "code": { "text": "x" }, "dataAbsentReason": { "text": "x" } });
    check_own(&by_exists, &json!({ "component": [absent, of("a")] }), &[]);
    check_own(&by_exists, &json!({ "component": [absent, of("a"), of("a")] }), &["Observation.component"]);

    let by_type = sliced(
        "type",
        "value",
        "openAtEnd",
        json!([
            { "id": "Observation.component:text" },
            { "id": "Observation.component:text.value[x]", "type": [{ "code": "string" }], "min": 1 },
        ]),
    );
    let number = json!({ "code": { "text": "x" }, "valueInteger": 1 });
    check_own(&by_type, &json!({ "component": [of("a"), number] }), &[]);
    check_own(&by_type, &json!({ "component": [number, of("a")] }), &["Observation.component[1]"]);

    let choice = json!([
        { "id": "Observation.value[x]", "min": 1 },
        { "id": "Observation.value[x]:valueQuantity", "sliceName": "valueQuantity" },
        { "id": "Observation.value[x]:valueQuantity.code", "min": 1 },
    ]);
    check_own(&choice, &json!({ "valueQuantity": { "value": 1 } }), &["Observation.value.code"]);
    check_own(&choice, &json!({ "valueString": "x" }), &[]);

    let targets = json!([
        { "id": "Observation.performer", "slicing": { "discriminator": [{ "type": "type", "path": "resolve()" }], "rules": "open" } },
        { "id": "Observation.performer:who", "min": 1, "max": "1", "type": [{ "code": "Reference", "targetProfile": [format!("{STRUCTURES}Practitioner")] }] },
    ]);
    check_own(
        &targets,
        &json!({ "performer": [{ "reference": "Practitioner/1" }, { "reference": "Patient/1" }] }),
        &[],
    );
    check_own(&targets, &json!({ "performer": [{ "reference": "Patient/1" }] }), &["Observation.performer"]);
}

#[test]
fn extensions_are_slices_with_profiles_of_their_own() {
    let url = "http://example.org/site";
    let extension = json!({
        "resourceType": "StructureDefinition", "url": url, "type": "Extension", "derivation": "constraint",
        "baseDefinition": format!("{STRUCTURES}Extension"), "differential": { "element": [
            { "id": "Extension.url", "fixedUri": url },
            { "id": "Extension.value[x]", "min": 1, "type": [{ "code": "string" }] },
        ] },
    });
    let elements = json!([
        { "id": "Observation.extension:site", "sliceName": "site", "min": 1, "max": "1", "type": [{ "code": "Extension", "profile": [url] }] },
    ]);
    let found = |extensions: Value, definitions: &[Value]| {
        found(&observation(&json!({ "extension": extensions })), OWN, definitions)
    };
    let both = [definition(&elements), extension];
    let other = json!({ "url": "http://x", "valueInteger": 1 });
    assert_eq!(found(json!([{ "url": url, "valueString": "left" }, other]), &both), Vec::<String>::new());
    assert_eq!(found(json!([other]), &both), ["Observation.extension"]);
    assert_eq!(found(json!([{ "url": url, "valueInteger": 1 }]), &both), ["Observation.extension[0].value"]);
    let alone = found(json!([{ "url": url, "valueInteger": 1 }]), &both[..1]);
    assert_eq!(alone, [format!("? Nothing was checked against the profile `{url}`: this server does not know it.")]);
}

#[test]
fn a_profile_asks_what_its_bases_ask() {
    let base = with(
        &definition(&json!([
            { "id": "Observation.category", "min": 1, "slicing": { "discriminator": [{ "type": "value", "path": "text" }], "rules": "open" } },
            { "id": "Observation.category:x", "sliceName": "x", "min": 1 },
            { "id": "Observation.category:x.text", "fixedString": "x" },
        ])),
        &[("/url", json!("http://example.org/base"))],
    );
    let own = with(
        &definition(&json!([
            { "id": "Observation.category:x.coding", "min": 1 },
            { "id": "Observation.note", "max": "0" },
        ])),
        &[("/baseDefinition", json!("http://example.org/base"))],
    );
    let found = |members: Value| found(&observation(&members), OWN, &[base.clone(), own.clone()]);
    assert_eq!(found(json!({ "category": [{ "text": "x", "coding": [{ "code": "a" }] }] })), Vec::<String>::new());
    assert_eq!(
        found(json!({ "category": [{ "text": "x" }], "note": [{ "text": "a" }] })),
        ["Observation.category[0].coding", "Observation.note"]
    );
    assert_eq!(found(json!({ "category": [{ "text": "y" }] })), ["Observation.category"]);
    // A snapshot has it all, so the base is not asked.
    let snapshot = with(
        &own,
        &[("/snapshot", json!({ "element": [{ "id": "Observation" }, { "id": "Observation.subject", "min": 1 }] }))],
    );
    let definitions = [with(&snapshot, &[("/baseDefinition", json!("http://unknown"))])];
    assert_eq!(super::tests::found(&observation(&json!({})), OWN, &definitions), ["Observation.subject"]);
}

#[test]
fn what_is_not_understood_is_said() {
    for (elements, members, says) in [
        (json!([{ "id": "Observation.colour", "min": 1 }]), json!({}), "`colour`, which R4 does not have"),
        (json!([{ "min": 1 }]), json!({}), "an element has an `id`"),
        (
            json!([{ "id": "Observation.category", "slicing": { "discriminator": [{ "type": "position", "path": "$this" }] } }]),
            json!({}),
            "not understood",
        ),
        (json!([{ "id": "Observation.category:a", "min": 0 }]), json!({}), "told apart"),
        (json!([{ "id": "Observation.category:a/b" }]), json!({}), "a slice already"),
        (
            json!([{ "id": "Observation", "constraint": [{ "key": "a-1", "severity": "error", "human": "a", "expression": "now()" }] }]),
            json!({}),
            "`now()` is not known",
        ),
        (
            json!([{ "id": "Observation", "constraint": [{ "key": "a-1", "severity": "error", "human": "a" }] }]),
            json!({}),
            "without FHIRPath",
        ),
        (
            json!([{ "id": "Observation.bodySite", "binding": { "strength": "required", "valueSet": "http://x" } }]),
            json!({ "bodySite": { "text": "x" } }),
            "it is not stored",
        ),
        (
            json!([{ "id": "Observation.subject", "type": [{ "code": "Reference", "targetProfile": ["http://x"] }] }]),
            json!({ "subject": { "reference": "Patient/1" } }),
            "profiles that are not known",
        ),
        (
            json!([{ "id": "Observation.valueQuantity", "type": [{ "code": "Quantity", "profile": ["http://x"] }] }]),
            json!({ "valueQuantity": { "value": 1 } }),
            "does not know it",
        ),
    ] {
        let found = found(&observation(&members), OWN, &[definition(&elements)]);
        assert!(found.len() == 1 && found[0].starts_with('?') && found[0].contains(says), "{elements} {found:?}");
    }
}

#[test]
fn rules_are_errors_or_warnings_as_the_profile_says() {
    let rule = |severity: &str| {
        json!([{ "id": "Observation.component", "constraint": [
            { "key": "own-1", "severity": severity, "human": "A component has a value.", "expression": "value.exists()" },
        ] }])
    };
    let members = json!({ "component": [{ "code": { "text": "x" } }] });
    check_own(&rule("error"), &members, &["Observation.component[0]"]);
    let own = format!("? A component has a value. (rule own-1) [`Observation.component` of {OWN}]");
    check_own(&rule("warning"), &members, &[&own]);
}

#[test]
fn definitions_that_lead_nowhere_cannot_be_used() {
    let unusable = |definition: Value| issues(&observation(&json!({})), OWN, &[definition]).unwrap_err();
    let own = definition(&json!([]));
    assert!(unusable(with(&own, &[("/baseDefinition", json!(OWN))])).contains("based on itself"));
    assert!(
        unusable(with(&own, &[("/baseDefinition", json!("http://x"))])).contains("its base `http://x` is not known")
    );
    assert!(unusable(with(&own, &[("/baseDefinition", Value::Null)])).contains("no `baseDefinition`"));
    assert!(unusable(with(&own, &[("/baseDefinition", json!(format!("{STRUCTURES}Patient")))])).contains("is not"));
    assert!(unusable(with(&own, &[("/type", json!("Reading"))])).contains("a type that R4 does not have"));
    assert_eq!(issues(&observation(&json!({})), "http://unknown", &[]).unwrap_err(), "this server does not know it");
    let patient = json!({ "resourceType": "Patient" });
    assert_eq!(found(&patient, OWN, &[own]), ["Patient"]);
    let chain: Vec<Value> = (0..40)
        .map(|step| {
            let base = if step == 39 { format!("{STRUCTURES}Observation") } else { format!("{OWN}{}", step + 1) };
            with(&definition(&json!([])), &[("/url", json!(format!("{OWN}{step}"))), ("/baseDefinition", json!(base))])
        })
        .collect();
    assert!(issues(&observation(&json!({})), &format!("{OWN}0"), &chain).unwrap_err().contains("more than 16"));
}

#[test]
fn profiles_that_name_each_other_come_to_an_end() {
    let naming = |url: &str, other: &str| {
        let elements = json!([
            { "id": "Observation", "type": [{ "code": "Observation", "profile": [other] }] },
            { "id": "Observation.contained", "type": [{ "code": "Observation", "profile": [url, other] }] },
        ]);
        with(&definition(&elements), &[("/url", json!(url))])
    };
    let definitions = [naming(OWN, "http://b"), naming("http://b", OWN)];
    let inner = observation(&json!({ "id": "i" }));
    let members = json!({ "contained": [inner], "hasMember": [{ "reference": "#i" }] });
    assert_eq!(found(&observation(&members), OWN, &definitions), Vec::<String>::new());
}

#[test]
fn work_and_issues_are_bounded() {
    let rule = "descendants().select(%resource.descendants()).select(%resource.descendants()).exists()";
    let expensive = json!([{ "id": "Observation", "constraint": [
        { "key": "a", "severity": "error", "human": "a", "expression": rule },
    ] }]);
    let components: Vec<Value> = (0..200).map(|_| json!({ "code": { "text": "x" } })).collect();
    let issues = issues(&observation(&json!({ "component": components })), OWN, &[definition(&expensive)]).unwrap();
    assert!(issues.iter().any(|issue| issue.code == "too-costly" && issue.severity == Severity::Error));

    let unknown: Vec<Value> = (0..500).map(|n| json!({ "id": format!("Observation.a{n}") })).collect();
    let gaps = json!(
        unknown.into_iter().chain([json!({ "id": "Observation.component.value[x]", "min": 1 })]).collect::<Vec<_>>()
    );
    let issues =
        super::tests::issues(&observation(&json!({ "component": components })), OWN, &[definition(&gaps)]).unwrap();
    let errors = issues.iter().filter(|issue| issue.severity == Severity::Error).count();
    assert_eq!((errors, issues.len()), (ISSUES_MAX, ISSUES_MAX + NOTES_MAX + 1));
}

#[test]
fn definitions_are_bounded() {
    let slices: Vec<Value> = (0..1_001)
        .flat_map(|n| {
            let below = |name: &str| json!({ "id": format!("Observation.component:s{n}.{name}"), "min": 1 });
            let code = json!({ "id": format!("Observation.component:s{n}.code"), "patternCodeableConcept": { "text": n.to_string() } });
            [code, below("value[x]"), below("interpretation"), below("referenceRange")]
        })
        .collect();
    let slicing = json!({ "id": "Observation.component", "slicing": { "discriminator": [{ "type": "value", "path": "code" }], "rules": "closed" } });
    let many = json!([vec![slicing], slices].concat());
    let components: Vec<Value> = (0..1_000).map(|_| json!({ "code": { "text": "x" } })).collect();
    let large = observation(&json!({ "component": components }));
    let told = issues(&large, OWN, &[definition(&many)]).unwrap();
    assert!(told.iter().any(|issue| issue.code == "too-costly"));
    assert!(told.iter().any(|issue| issue.diagnostics.contains("more than the 1000 slices")));

    let rules: Vec<Value> = (0..50_000)
        .map(|n| json!({ "key": format!("r{n}"), "severity": "error", "human": "x", "expression": "false" }))
        .collect();
    let told =
        found(&observation(&json!({})), OWN, &[definition(&json!([{ "id": "Observation", "constraint": rules }]))]);
    assert!(told[0].contains("more than 200 rules") && told.len() == ISSUES_MAX + 1, "{told:?}");

    // Each is small, and has all that is in its base.
    let chain: Vec<Value> = (0..12)
        .map(|step| {
            let base = if step == 11 { format!("{STRUCTURES}Observation") } else { format!("{OWN}{}", step + 1) };
            let elements = if step == 11 { many.clone() } else { json!([{ "id": "Observation" }]) };
            with(&definition(&elements), &[("/url", json!(format!("{OWN}{step}"))), ("/baseDefinition", json!(base))])
        })
        .collect();
    assert!(issues(&observation(&json!({})), &format!("{OWN}0"), &chain).unwrap_err().contains("too large"));
}

#[test]
fn what_is_nested_deep_needs_little_stack() {
    let url = "http://own";
    let own = json!({ "resourceType": "StructureDefinition", "url": url, "type": "Extension",
        "baseDefinition": format!("{STRUCTURES}Extension"), "differential": { "element": [
            { "id": "Extension.extension:own", "min": 1, "type": [{ "code": "Extension", "profile": [url] }] },
        ] } });
    let mut extension = json!({ "url": url, "valueString": "x" });
    for _ in 0..60 {
        extension = json!({ "url": url, "extension": [extension] });
    }
    let elements = json!([{ "id": "Observation.extension:own", "type": [{ "code": "Extension", "profile": [url] }] }]);
    let resource = observation(&json!({ "extension": [extension] }));
    // Threads of searches have so much.
    let checked = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || found(&resource, OWN, &[definition(&elements), own]));
    assert!(checked.unwrap().join().unwrap()[0].contains("more than 16 profiles are inside one another"));
}

/// The places of everything in a resource, as JSON pointers, but of its type.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(elements) => {
            elements.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, value) in below.into_iter().filter(|(name, _)| name != "resourceType") {
        let pointer = format!("{at}/{name}");
        pointers(value, &pointer, all);
        all.push(pointer);
    }
}

#[test]
fn a_blood_pressure_without_any_of_its_parts_does_not_conform() {
    let mut all = Vec::new();
    pointers(&blood_pressure(), "", &mut all);
    assert!(all.len() > 30);
    let profile = format!("{STRUCTURES}bp");
    for pointer in all {
        let changed = with(&blood_pressure(), &[(&pointer, Value::Null)]);
        let text = changed.to_string();
        let structural = crate::fhir::structure::Validation::Structure
            .check(crate::r4::resource_type::ResourceType::OBSERVATION, &parse(text.as_bytes()).unwrap());
        let is_wrong = !structural.is_empty() || !found(&changed, &profile, &[]).is_empty();
        assert!(is_wrong, "{pointer}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_that_happens_to_a_blood_pressure_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize), 1..4),
    ) {
        let mut resource = blood_pressure();
        for (place, change) in changes {
            let mut all = Vec::new();
            pointers(&resource, "", &mut all);
            if all.is_empty() {
                break;
            }
            let pointer = place.get(&all);
            let value = resource.pointer_mut(pointer).unwrap();
            *value = match change {
                0 => Value::Null,
                1 => json!([]),
                2 => json!({}),
                3 => json!("x"),
                4 => json!([value.clone(), value.clone()]),
                _ => json!({ "value": value.clone() }),
            };
        }
        let found = issues(&resource, &format!("{STRUCTURES}bp"), &[]).unwrap();
        prop_assert!(found.len() <= ISSUES_MAX + NOTES_MAX + 2);
    }

    #[test]
    fn no_definition_makes_it_panic(
        elements in prop::collection::vec((
            "Observation(\\.(component|code|coding|value\\[x\\]|valueQuantity|extension|contained|category|x)(:(a|b))?){0,4}",
            prop::sample::select(vec![
                json!({ "min": 1 }), json!({ "max": "0" }), json!({ "fixedString": "x" }), json!({ "patternCoding": { "code": "a" } }),
                json!({ "slicing": { "discriminator": [{ "type": "value", "path": "code" }], "rules": "closed" } }),
                json!({ "slicing": { "discriminator": [{ "type": "exists", "path": "value.code" }] } }),
                json!({ "slicing": { "discriminator": [{ "type": "profile", "path": "$this" }] } }),
                json!({ "type": [{ "code": "Extension", "profile": [OWN] }] }), json!({ "type": 1, "min": "x", "slicing": [] }),
                json!({ "contentReference": "#Observation.component" }), json!({ "type": [{ "code": "Observation" }] }),
            ]),
        ), 0..12),
    ) {
        let element = |(id, mut said): (String, Value)| {
            said["id"] = json!(id);
            said
        };
        let elements = json!(elements.into_iter().map(element).collect::<Vec<_>>());
        let found = issues(&blood_pressure(), OWN, &[definition(&elements)]).unwrap();
        prop_assert!(found.len() <= ISSUES_MAX + NOTES_MAX + 2);
    }
}
