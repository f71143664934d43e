//! `$validate` knows the vital signs of R4 and what StructureDefinitions are stored, and judges by them as the official
//! HL7 validator does.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Answer, Fhir};
use crate::support::hl7_validator;
use crate::support::process::Vitalwire;

const STRUCTURES: &str = "http://hl7.org/fhir/StructureDefinition/";

/// The places of issues of a severity.
fn places(answer: &Answer, severity: &str) -> Vec<String> {
    let outcome = answer.json();
    let issues = outcome["issue"].as_array().unwrap().clone();
    let wanted = issues.iter().filter(|issue| issue["severity"] == severity);
    wanted.map(|issue| issue["expression"][0].as_str().unwrap_or_default().to_owned()).collect()
}

/// The places of what is wrong with a resource by the profiles of a query.
async fn errors(fhir: &Fhir, resource: &Value, query: &str) -> Vec<String> {
    let path = format!("{}/$validate{query}", resource["resourceType"].as_str().unwrap());
    places(&fhir.raw("POST", &path, &[], resource.to_string()).await.check(200), "error")
}

/// A resource with members changed at its top; `null` removes.
fn with(resource: &Value, members: Value) -> Value {
    let mut resource = resource.clone();
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            resource.as_object_mut().unwrap().remove(name);
        } else {
            resource[name] = value.clone();
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

fn observation() -> Value {
    json!({
        "resourceType": "Observation", "status": "final", "code": { "text": "x" }, "subject": { "reference": "Patient/1" },
        "effectiveDateTime": "2024-07-31T08:05:00Z", "performer": [{ "reference": "Practitioner/1" }],
        "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>" },
    })
}

fn vital_sign(loinc: &str) -> Value {
    let category = coded("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs");
    with(&observation(), json!({ "category": [category], "code": coded("http://loinc.org", loinc) }))
}

fn measured(loinc: &str, unit: &str) -> Value {
    with(&vital_sign(loinc), json!({ "valueQuantity": amount(unit) }))
}

fn component(loinc: &str, unit: &str) -> Value {
    json!({ "code": coded("http://loinc.org", loinc), "valueQuantity": amount(unit) })
}

fn blood_pressure() -> Value {
    with(&vital_sign("85354-9"), json!({ "component": [component("8480-6", "mm[Hg]"), component("8462-4", "mm[Hg]")] }))
}

fn definition(url: &str, resource_type: &str, elements: Value) -> Value {
    json!({
        "resourceType": "StructureDefinition", "url": url, "name": "Own", "status": "active", "kind": "resource",
        "abstract": false, "type": resource_type, "baseDefinition": format!("{STRUCTURES}{resource_type}"),
        "derivation": "constraint", "fhirVersion": "4.0.1", "differential": { "element": elements },
    })
}

#[tokio::test]
async fn the_vital_signs_come_with_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let none: [&str; 0] = [];
    let heart_rate = format!("?profile={STRUCTURES}heartrate");
    let good = measured("8867-4", "/min");
    assert_eq!(errors(&fhir, &good, &heart_rate).await, none);
    let bad = measured("8867-4", "bpm");
    assert_eq!(errors(&fhir, &bad, "").await, none);
    assert_eq!(errors(&fhir, &bad, &heart_rate).await, ["Observation.value.code"]);
    assert_eq!(errors(&fhir, &bad, &format!("{heart_rate}|4.0.1")).await, ["Observation.value.code"]);
    let both = format!("{heart_rate}&profile={STRUCTURES}bp");
    let expected =
        ["Observation.code.coding", "Observation.component", "Observation.component", "Observation.component"];
    assert_eq!(errors(&fhir, &good, &both).await[..2], ["Observation.code.coding", "Observation.value"]);
    assert_eq!(
        errors(&fhir, &with(&blood_pressure(), json!({ "code": { "text": "x" }, "component": null })), &both).await
            [3..],
        expected
    );
    // What a resource claims counts without being asked for, and once if it is.
    let claims = with(&bad, json!({ "meta": { "profile": [format!("{STRUCTURES}heartrate")] } }));
    assert_eq!(errors(&fhir, &claims, "").await, ["Observation.value.code"]);
    assert_eq!(errors(&fhir, &claims, &heart_rate).await, ["Observation.value.code"]);
    let parameters = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "resource", "resource": bad }, { "name": "profile", "valueUri": format!("{STRUCTURES}heartrate") },
    ] });
    let answer = fhir.raw("POST", "Observation/$validate", &[], parameters.to_string()).await.check(200);
    assert_eq!(places(&answer, "error"), ["Observation.value.code"]);
    let text = answer.json()["issue"][0]["diagnostics"].as_str().unwrap().to_owned();
    assert!(
        text.contains("[`Observation.valueQuantity.code` of http://hl7.org/fhir/StructureDefinition/heartrate]"),
        "{text}"
    );
    // A stored resource, and one that is not R4 at all.
    fhir.put(&with(&bad, json!({ "id": "o" }))).await.check(201);
    let stored = fhir.get(&format!("Observation/o/$validate{heart_rate}")).await.check(200);
    assert_eq!(places(&stored, "error"), ["Observation.value.code"]);
    let broken = with(&claims, json!({ "status": "done" }));
    let answer =
        fhir.raw("POST", &format!("Observation/$validate{heart_rate}"), &[], broken.to_string()).await.check(200);
    assert_eq!(
        (places(&answer, "error"), places(&answer, "information").len()),
        (vec!["Observation.status".to_owned()], 1)
    );
}

#[tokio::test]
async fn a_profile_that_is_not_known_is_refused_when_asked_for_and_noted_when_claimed() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for profile in [
        "http://unknown",
        "http://hl7.org/fhir/StructureDefinition/bp|5.0.0",
        "http://hl7.org/fhir/StructureDefinition/lipidprofile",
    ] {
        let path = format!("Observation/$validate?profile={profile}");
        fhir.raw("POST", &path, &[], observation().to_string()).await.check_outcome(
            400,
            "not-supported",
            "does not know it",
        );
        let claims = with(&observation(), json!({ "meta": { "profile": [profile] } }));
        let answer = fhir.raw("POST", "Observation/$validate", &[], claims.to_string()).await.check(200);
        assert_eq!(places(&answer, "warning"), ["Observation.meta.profile[0]"]);
        assert_eq!(places(&answer, "error"), Vec::<String>::new());
    }
    let own = with(
        &definition("http://own", "Observation", json!([{ "id": "Observation", "path": "Observation" }])),
        json!({ "baseDefinition": "http://own", "id": "own" }),
    );
    fhir.put(&own).await.check(201);
    fhir.raw("POST", "Observation/$validate?profile=http://own", &[], observation().to_string()).await.check_outcome(
        400,
        "not-supported",
        "based on itself",
    );
}

#[tokio::test]
async fn profiles_and_value_sets_that_are_stored_count_as_they_are_now() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let bound = json!([{ "id": "Observation.bodySite", "path": "Observation.bodySite",
        "binding": { "strength": "required", "valueSet": "http://own/sites" } }]);
    let own = with(&definition("http://own", "Observation", bound), json!({ "id": "own", "version": "1.9" }));
    fhir.put(&own).await.check(201);
    let left = with(&observation(), json!({ "bodySite": coded("urn:sites", "left") }));
    let verdict = async |profile: &str| {
        let answer = fhir
            .raw("POST", &format!("Observation/$validate?profile={profile}"), &[], left.to_string())
            .await
            .check(200);
        (places(&answer, "error"), places(&answer, "warning"))
    };
    let site = || vec!["Observation.bodySite".to_owned()];
    assert_eq!(verdict("http://own").await, (vec![], site()));
    let sites = |code: &str| {
        json!({ "resourceType": "ValueSet", "id": "sites", "url": "http://own/sites", "status": "active",
            "compose": { "include": [{ "system": "urn:sites", "concept": [{ "code": code }] }] } })
    };
    fhir.put(&sites("right")).await.check(201);
    assert_eq!(verdict("http://own").await, (site(), vec![]));
    fhir.put(&sites("left")).await.check(200);
    assert_eq!(verdict("http://own").await, (vec![], vec![]));
    // Another version beside it: the latest counts unless one is named.
    let none = json!([{ "id": "Observation.bodySite", "path": "Observation.bodySite", "max": "0" }]);
    let later = with(&definition("http://own", "Observation", none), json!({ "id": "own2", "version": "1.10" }));
    fhir.put(&later).await.check(201);
    assert_eq!(verdict("http://own").await, (site(), vec![]));
    assert_eq!(verdict("http://own|1.9").await, (vec![], vec![]));
    fhir.raw("DELETE", "StructureDefinition/own2", &[], "").await.check(204);
    assert_eq!(verdict("http://own").await, (vec![], vec![]));
}

/// Slices by value, pattern, existence and type, a fixed value, an extension and a rule.
fn own_definitions() -> [Value; 3] {
    let element = |id: &str, members: Value| {
        let path: Vec<&str> = id.split('.').map(|segment| segment.split(':').next().unwrap()).collect();
        let mut element = json!({ "id": id, "path": path.join(".") });
        if let Some((_, slice)) = id.rsplit_once(':').filter(|(_, slice)| !slice.contains('.')) {
            element["sliceName"] = json!(slice);
        }
        element.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        element
    };
    let slicing = |kind: &str, path: &str, rules: &str| json!({ "slicing": { "discriminator": [{ "type": kind, "path": path }], "rules": rules } });
    let site = "http://own.example/StructureDefinition/site";
    let mut extension = definition(
        site,
        "Extension",
        json!([
            element("Extension", json!({ "max": "1" })),
            element("Extension.extension", json!({ "max": "0" })),
            element("Extension.url", json!({ "fixedUri": site })),
            element("Extension.value[x]", json!({ "min": 1, "type": [{ "code": "string" }] })),
        ]),
    );
    extension["kind"] = json!("complex-type");
    extension["context"] = json!([{ "type": "element", "expression": "Element" }]);
    let own = definition(
        "http://own.example/StructureDefinition/own",
        "Observation",
        json!([
            element(
                "Observation",
                json!({ "constraint": [{ "key": "own-1", "severity": "error",
            "human": "A final Observation has a method or a device.", "expression": "status = 'final' implies (method.exists() or device.exists())" }] })
            ),
            element("Observation.extension", slicing("value", "url", "open")),
            element(
                "Observation.extension:site",
                json!({ "min": 0, "max": "1", "type": [{ "code": "Extension", "profile": [site] }] })
            ),
            element("Observation.identifier", slicing("value", "system", "closed")),
            element("Observation.identifier:order", json!({ "min": 1, "max": "1" })),
            element("Observation.identifier:order.system", json!({ "min": 1, "fixedUri": "urn:order" })),
            element("Observation.identifier:order.value", json!({ "min": 1, "maxLength": 5 })),
            element("Observation.identifier:device", json!({ "max": "1" })),
            element("Observation.identifier:device.system", json!({ "min": 1, "fixedUri": "urn:device" })),
            element("Observation.category", slicing("pattern", "$this", "open")),
            element(
                "Observation.category:lab",
                json!({ "min": 1, "max": "1", "patternCodeableConcept": { "coding": [{ "system": "urn:c", "code": "lab" }] } })
            ),
            element(
                "Observation.subject",
                json!({ "type": [{ "code": "Reference", "targetProfile": [format!("{STRUCTURES}Patient")] }] })
            ),
            element("Observation.value[x]", json!({ "type": [{ "code": "Quantity" }, { "code": "string" }] })),
            element("Observation.method", json!({ "patternCodeableConcept": { "text": "by hand" } })),
            element("Observation.component", slicing("exists", "dataAbsentReason", "open")),
            element("Observation.component:known", json!({ "max": "1" })),
            element("Observation.component:known.dataAbsentReason", json!({ "max": "0" })),
            element("Observation.component:unknown", json!({ "max": "1" })),
            element("Observation.component:unknown.dataAbsentReason", json!({ "min": 1 })),
        ]),
    );
    // It is based on a profile, and says more of a slice of the base of that.
    let derived = definition(
        "http://own.example/StructureDefinition/derived",
        "Observation",
        json!([
            element("Observation.category:VSCat", json!({})),
            element("Observation.category:VSCat.text", json!({ "min": 1 })),
            element("Observation.method", json!({ "min": 1 })),
        ]),
    );
    [extension, own, with(&derived, json!({ "baseDefinition": format!("{STRUCTURES}heartrate") }))]
}

#[tokio::test]
async fn the_official_validator_judges_alike() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for (definition, id) in own_definitions().iter().zip(["site", "own", "derived"]) {
        fhir.put(&with(definition, json!({ "id": id }))).await.check(201);
        hl7_validator::learn(definition);
    }
    let mut differ = Vec::new();
    for (is_good, profile, resource) in vital_signs().into_iter().chain(own_resources()) {
        let resource = with(&resource, json!({ "meta": { "profile": [profile] } }));
        let ours = errors(&fhir, &resource, "").await;
        let theirs = hl7_validator::errors(&resource);
        if (ours.is_empty(), theirs.is_empty()) != (is_good, is_good) {
            differ.push(format!("{resource}\n  here {ours:?}\n  there {theirs:?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    // The validator passes over where a reference leads that it cannot follow.
    let group = with(&measured("8867-4", "/min"), json!({ "subject": { "reference": "Group/1" } }));
    assert_eq!(
        errors(&fhir, &group, &format!("?profile={STRUCTURES}heartrate")).await,
        ["Observation.subject.reference"]
    );
}

/// Resources of vital signs, and whether they are good.
fn vital_signs() -> Vec<(bool, String, Value)> {
    let heart_rate = measured("8867-4", "/min");
    let absent = coded("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown");
    let panel = with(&vital_sign("85353-1"), json!({ "hasMember": [{ "reference": "Observation/1" }] }));
    let components = |list: Value| with(&blood_pressure(), json!({ "component": list }));
    let (systolic, diastolic) = (component("8480-6", "mm[Hg]"), component("8462-4", "mm[Hg]"));
    let all = vec![
        (true, "heartrate", heart_rate.clone()),
        (true, "vitalsigns", heart_rate.clone()),
        (true, "heartrate", with(&heart_rate, json!({ "valueQuantity": null, "dataAbsentReason": absent }))),
        (
            true,
            "heartrate",
            with(&heart_rate, json!({ "effectiveDateTime": null, "effectivePeriod": { "start": "2024-07-31" } })),
        ),
        (
            true,
            "heartrate",
            with(
                &heart_rate,
                json!({ "code": { "coding": [{ "system": "urn:x", "code": "a" }, { "system": "http://loinc.org", "code": "8867-4" }] } }),
            ),
        ),
        (false, "heartrate", with(&heart_rate, json!({ "category": null }))),
        (
            false,
            "heartrate",
            with(
                &heart_rate,
                json!({ "category": [coded("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory")] }),
            ),
        ),
        (false, "heartrate", with(&heart_rate, json!({ "subject": null }))),
        (false, "heartrate", with(&heart_rate, json!({ "effectiveDateTime": null }))),
        (false, "heartrate", with(&heart_rate, json!({ "effectiveDateTime": "2024-07" }))),
        (
            false,
            "heartrate",
            with(&heart_rate, json!({ "effectiveDateTime": null, "effectiveInstant": "2024-07-31T08:05:00Z" })),
        ),
        (false, "heartrate", with(&heart_rate, json!({ "valueQuantity": null }))),
        (false, "heartrate", with(&heart_rate, json!({ "valueQuantity": null, "valueString": "61" }))),
        (false, "heartrate", with(&heart_rate, json!({ "valueQuantity": amount("{beats}/min") }))),
        (
            false,
            "heartrate",
            with(
                &heart_rate,
                json!({ "valueQuantity": { "value": 1, "code": "/min", "system": "http://unitsofmeasure.org" } }),
            ),
        ),
        (false, "heartrate", measured("8310-5", "/min")),
        (false, "heartrate", with(&heart_rate, json!({ "dataAbsentReason": absent }))),
        (false, "heartrate", with(&heart_rate, json!({ "component": [{ "code": { "text": "x" } }] }))),
        (false, "heartrate", with(&heart_rate, json!({ "component": [component("8867-4", "/min")] }))),
        (false, "heartrate", with(&heart_rate, json!({ "component": [component("8310-5", "mV")] }))),
        (true, "heartrate", with(&heart_rate, json!({ "component": [component("8310-5", "Cel")] }))),
        (false, "heartrate", with(&heart_rate, json!({ "referenceRange": [{ "age": { "high": { "value": 9 } } }] }))),
        (
            false,
            "heartrate",
            with(
                &heart_rate,
                json!({ "effectiveDateTime": null, "effectivePeriod": { "start": "2024-08-01", "end": "2024-07-31" } }),
            ),
        ),
        (
            true,
            "heartrate",
            with(
                &heart_rate,
                json!({ "effectiveDateTime": null, "effectivePeriod": { "start": "2024-07-31T08:00:00+02:00", "end": "2024-07-31T06:00:01Z" } }),
            ),
        ),
        (
            false,
            "heartrate",
            with(
                &heart_rate,
                json!({ "referenceRange": [{ "low": { "value": 2 }, "high": { "value": 3, "code": "/min" } }] }),
            ),
        ),
        (
            true,
            "heartrate",
            with(
                &heart_rate,
                json!({ "contained": [{ "resourceType": "Device", "id": "d" }], "device": { "reference": "#d" } }),
            ),
        ),
        (false, "heartrate", with(&heart_rate, json!({ "contained": [{ "resourceType": "Device", "id": "d" }] }))),
        (true, "bodyweight", measured("29463-7", "kg")),
        (true, "bodyweight", measured("29463-7", "[lb_av]")),
        (false, "bodyweight", measured("29463-7", "mg")),
        (true, "bodytemp", measured("8310-5", "Cel")),
        (false, "bodytemp", measured("8310-5", "K")),
        (true, "oxygensat", measured("2708-6", "%")),
        (false, "oxygensat", measured("59408-5", "%")),
        (false, "oxygensat", measured("2708-6", "1")),
        (true, "vitalspanel", panel.clone()),
        (false, "vitalspanel", with(&panel, json!({ "hasMember": null }))),
        (false, "vitalspanel", with(&panel, json!({ "valueQuantity": amount("%") }))),
        (true, "bp", blood_pressure()),
        (true, "bp", components(json!([systolic, diastolic, component("8867-4", "/min")]))),
        (true, "bp", components(json!([{ "code": systolic["code"], "dataAbsentReason": absent }, diastolic]))),
        (false, "bp", components(json!([systolic]))),
        (false, "bp", components(json!([systolic, systolic]))),
        (false, "bp", components(json!([systolic, diastolic, diastolic]))),
        (false, "bp", components(json!([systolic, component("8462-4", "kPa")]))),
        (false, "bp", components(json!([systolic, { "code": diastolic["code"] }]))),
        (false, "bp", components(json!([systolic, { "code": diastolic["code"], "valueString": "80" }]))),
        (false, "bp", with(&blood_pressure(), json!({ "valueQuantity": amount("mm[Hg]") }))),
        (false, "bp", with(&blood_pressure(), json!({ "code": coded("http://loinc.org", "55284-4") }))),
        (false, "bp", heart_rate.clone()),
    ];
    all.into_iter().map(|(is_good, name, resource)| (is_good, format!("{STRUCTURES}{name}"), resource)).collect()
}

/// Resources of the stored profile, and whether they are good.
fn own_resources() -> Vec<(bool, String, Value)> {
    let order = json!({ "system": "urn:order", "value": "12345" });
    let device = json!({ "system": "urn:device", "value": "a" });
    let good = with(
        &observation(),
        json!({
            "method": { "text": "by hand" }, "identifier": [order], "category": [coded("urn:c", "lab")], "valueString": "x",
        }),
    );
    let site = |value: Value| {
        let mut extension = json!({ "url": "http://own.example/StructureDefinition/site" });
        extension.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        json!([extension])
    };
    let known = json!({ "code": { "text": "x" }, "valueString": "x" });
    let unknown = json!({ "code": { "text": "x" }, "dataAbsentReason": { "text": "x" } });
    let all = vec![
        (true, good.clone()),
        (true, with(&good, json!({ "method": null, "device": { "reference": "Device/1" } }))),
        (true, with(&good, json!({ "status": "preliminary", "method": null }))),
        (false, with(&good, json!({ "method": null }))),
        (false, with(&good, json!({ "method": { "text": "by machine" } }))),
        (true, with(&good, json!({ "method": { "text": "by hand", "coding": [{ "system": "urn:m", "code": "m" }] } }))),
        (true, with(&good, json!({ "identifier": [order, device] }))),
        (false, with(&good, json!({ "identifier": [device] }))),
        (false, with(&good, json!({ "identifier": [order, order] }))),
        (false, with(&good, json!({ "identifier": [order, { "system": "urn:other", "value": "a" }] }))),
        (false, with(&good, json!({ "identifier": [{ "system": "urn:order", "value": "123456" }] }))),
        (false, with(&good, json!({ "identifier": [{ "system": "urn:order" }] }))),
        (false, with(&good, json!({ "category": [coded("urn:c", "other")] }))),
        (true, with(&good, json!({ "category": [coded("urn:c", "other"), coded("urn:c", "lab")] }))),
        (false, with(&good, json!({ "category": [coded("urn:c", "lab"), coded("urn:c", "lab")] }))),
        (true, with(&good, json!({ "component": [known, unknown] }))),
        (false, with(&good, json!({ "component": [known, known] }))),
        (false, with(&good, json!({ "component": [unknown, known, unknown] }))),
        (true, with(&good, json!({ "extension": site(json!({ "valueString": "left" })) }))),
        (false, with(&good, json!({ "extension": site(json!({ "valueInteger": 1 })) }))),
        (
            false,
            with(&good, json!({ "extension": site(json!({ "extension": [{ "url": "a", "valueString": "x" }] })) })),
        ),
        (true, with(&good, json!({ "valueString": null, "valueQuantity": amount("%") }))),
        (false, with(&good, json!({ "valueString": null, "valueInteger": 1 }))),
    ];
    let of = |name: &str| format!("http://own.example/StructureDefinition/{name}");
    let mut category = coded("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs");
    category["text"] = json!("Vital signs");
    let more = json!({ "method": { "text": "by hand" }, "category": [category] });
    let heart_rate = with(&measured("8867-4", "/min"), more);
    let derived = [
        (true, heart_rate.clone()),
        (false, with(&heart_rate, json!({ "method": null }))),
        (false, measured("8867-4", "/min")),
        (false, with(&heart_rate, json!({ "valueQuantity": amount("bpm") }))),
        (false, with(&heart_rate, json!({ "category": measured("8867-4", "/min")["category"] }))),
    ];
    let derived = derived.into_iter().map(|(is_good, resource)| (is_good, of("derived"), resource));
    all.into_iter().map(|(is_good, resource)| (is_good, of("own"), resource)).chain(derived).collect()
}

#[tokio::test]
async fn definitions_that_would_take_for_ever_are_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let rule = "descendants().select(%resource.descendants()).select(%resource.descendants()).exists()";
    let elements = json!([{ "id": "Observation", "path": "Observation",
        "constraint": [{ "key": "a", "severity": "error", "human": "a", "expression": rule }] }]);
    fhir.put(&with(&definition("http://own", "Observation", elements), json!({ "id": "own" }))).await.check(201);
    let components: Vec<Value> = (0..2_000).map(|_| json!({ "code": { "text": "x" }, "valueString": "x" })).collect();
    let large = with(&observation(), json!({ "component": components }));
    let answer = fhir.raw("POST", "Observation/$validate?profile=http://own", &[], large.to_string()).await.check(200);
    let outcome = answer.json();
    assert!(
        outcome["issue"]
            .as_array()
            .unwrap()
            .iter()
            .any(|issue| issue["code"] == "too-costly" && issue["severity"] == "error")
    );
}
