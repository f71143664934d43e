use std::convert::Infallible;

use serde_json::{Value, json};

use super::Registry;
use super::compile::compile;
use super::definition::Definition;
use super::definitions::Definitions;
use crate::fhir::search::index::entries;
use crate::fhir::search::plan::supported;
use crate::json;
use crate::r4::resource_type::ResourceType;

fn named(name: &str) -> ResourceType {
    ResourceType::parse(name).unwrap()
}

fn parameter(code: &str, kind: &str, base: &str, expression: &str) -> Value {
    json!({
        "resourceType": "SearchParameter", "status": "active", "url": format!("http://here/{code}"), "name": "X",
        "code": code, "type": kind, "base": [base], "expression": expression,
    })
}

fn with(mut resource: Value, member: &str, value: Value) -> Value {
    resource[member] = value;
    resource
}

/// What is in force after a resource is written under an id; the element and the detail of a refusal.
fn change(known: &Definitions, id: &str, resource: &Value) -> Result<Option<Definitions>, (String, String)> {
    let text = resource.to_string();
    let node = json::parse(text.as_bytes()).unwrap();
    known.with(id, Some(&node), 7).map_err(|refusal| (refusal.element, refusal.detail))
}

fn ready(known: &Definitions, id: &str, resource: &Value) -> Definitions {
    let mut changed = change(known, id, resource).unwrap().unwrap();
    changed.settle(id, |_any| Ok::<bool, Infallible>(false)).unwrap();
    changed
}

#[track_caller]
fn check_refused(known: &Definitions, resource: &Value, element: &str, says: &str) {
    let (found, detail) = change(known, "new", resource).unwrap_err();
    assert_eq!(found, format!("SearchParameter.{element}"), "{resource}: {detail}");
    assert!(detail.contains(says), "{resource}: {detail}");
}

fn codes_found(registry: &Registry, resource_type: &str, resource: &Value) -> Vec<String> {
    let text = resource.to_string();
    let entries = entries(registry, named(resource_type), &json::parse(text.as_bytes()).unwrap());
    let mut codes: Vec<String> = entries.into_iter().map(|entry| entry.parameter.as_ref().to_owned()).collect();
    codes.dedup();
    codes
}

const SEX: &str = "Patient.extension.where(url='http://x/sex').value.as(CodeableConcept)";

#[test]
fn an_active_definition_adds_to_what_resources_of_its_types_are_found_by() {
    let known = ready(&Definitions::default(), "a", &parameter("birth-sex", "token", "Patient", SEX));
    let (registry, refused) = compile(1, &known);
    assert_eq!(refused, []);
    let sex = json!({ "url": "http://x/sex", "valueCodeableConcept": { "coding": [{ "code": "f" }] } });
    let patient = json!({ "resourceType": "Patient", "extension": [sex], "gender": "female" });
    assert_eq!(codes_found(&registry, "Patient", &patient), ["birth-sex", "deceased", "gender"]);
    assert_eq!(codes_found(Registry::r4(), "Patient", &patient), ["deceased", "gender"]);
    assert!(supported(&registry, named("Patient"), "birth-sex").is_ok());
    assert!(supported(&registry, named("Person"), "birth-sex").is_err());
}

#[test]
fn what_is_not_active_and_what_r4_has_already_changes_nothing() {
    let nothing = Definitions::default();
    let broken = parameter("x", "nonsense", "Patient", "%");
    for status in ["draft", "retired", "unknown"] {
        assert_eq!(change(&nothing, "a", &with(broken.clone(), "status", json!(status))), Ok(None));
    }
    let url = json!("http://hl7.org/fhir/SearchParameter/Patient-active");
    let of_r4 = with(parameter("active", "token", "Patient", "Patient.active"), "url", url.clone());
    assert_eq!(change(&nothing, "a", &of_r4), Ok(None));
    check_refused(&nothing, &with(of_r4.clone(), "code", json!("alive")), "url", "R4 defines otherwise");
    check_refused(&nothing, &with(of_r4, "base", json!(["Patient", "Group"])), "url", "R4 defines otherwise");
}

#[test]
fn what_cannot_be_used_is_refused_at_the_element_to_be_mended() {
    let nothing = Definitions::default();
    let sex = || parameter("birth-sex", "token", "Patient", SEX);
    let expression = |expression: &str| with(sex(), "expression", json!(expression));
    for (resource, element, says) in [
        (with(sex(), "url", Value::Null), "url", "has a `url`"),
        (with(sex(), "url", json!("birth-sex")), "url", "absolute"),
        (with(sex(), "code", json!("birth.sex")), "code", "begins with a letter"),
        (with(sex(), "code", json!("_sex")), "code", "begins with a letter"),
        (with(sex(), "code", json!("gender")), "code", "R4 has a parameter `gender` of Patient"),
        (with(sex(), "type", json!("special")), "type", "Use another type"),
        (with(sex(), "type", json!("code")), "type", "not a type"),
        (with(sex(), "base", json!([])), "base", "Name the types"),
        (with(sex(), "base", json!(["Patient", "Nobody"])), "base[1]", "not a resource type"),
        (with(sex(), "base", json!(["Patient", "Group"])), "expression", "on Group"),
        (with(sex(), "target", json!(["Patient"])), "target[0]", "Only a parameter of type `reference`"),
        (with(sex(), "xpathUsage", json!("phonetic")), "xpathUsage", "if they are texts"),
        (with(sex(), "xpathUsage", json!("nearby")), "xpathUsage", "`normal`"),
        (with(sex(), "component", json!([{ "definition": "x", "expression": "y" }])), "component", "Only"),
        (with(sex(), "type", json!("date")), "expression", "no value of the parameter's type on Patient"),
        (expression(""), "expression", "Say in `expression`"),
        (expression("Patient.gendre"), "expression", "no value"),
        (expression("Patient.gender | Patient.gendre"), "expression", "Alternative 2"),
        (expression("Patient.name.where(usee='official').text"), "expression", "no value"),
        (expression("Patient.gender.first()"), "expression", "exists, resolve, as"),
        (expression("Patient.extension.value.extension.value.extension.value"), "expression", "more than 200 places"),
        (expression("iif(true, 1, 2)"), "expression", "this server reads"),
    ] {
        check_refused(&nothing, &resource, element, says);
    }
    assert!(change(&nothing, "new", &sex()).is_ok());
}

#[test]
fn two_parameters_of_a_type_share_neither_code_nor_url() {
    let known =
        ready(&Definitions::default(), "a", &parameter("birth-sex", "token", "DomainResource", "extension.url"));
    let same = parameter("birth-sex", "string", "Patient", "Patient.name");
    check_refused(&known, &same, "code", "This server has a parameter `birth-sex` of Patient");
    let url = with(parameter("other", "string", "Patient", "Patient.name"), "url", json!("http://here/birth-sex"));
    check_refused(&known, &url, "url", "another parameter with this `url`");
    assert!(change(&known, "new", &parameter("birth-sex", "token", "Bundle", "Bundle.type")).is_ok());
}

#[test]
fn a_composite_is_made_of_parameters_that_are_in_force() {
    let mut known = Definitions::default();
    for (id, code, kind) in [("a", "pulse-code", "code"), ("b", "pulse-value", "Quantity")] {
        let kind_of_parameter = if kind == "code" { "token" } else { "quantity" };
        let expression = format!("Patient.extension('http://p').extension('{code}').value as {kind}");
        known = ready(&known, id, &parameter(code, kind_of_parameter, "Patient", &expression));
    }
    let part = |code: &str, kind: &str| json!({ "definition": format!("http://here/{code}"), "expression": format!("extension('{code}').value as {kind}") });
    let pulse = parameter("pulse", "composite", "Patient", "Patient.extension('http://p')");
    let component = json!([part("pulse-code", "code"), part("pulse-value", "Quantity")]);
    let whole = with(pulse.clone(), "component", component);
    for (parts, element, says) in [
        (json!([part("pulse-code", "code")]), "component", "2 to 10"),
        (json!([part("pulse-code", "code"), part("nothing", "code")]), "component[1].definition", "Store that"),
        (json!([part("pulse-code", "code"), part("pulse-value", "string")]), "component[1].expression", "no value"),
    ] {
        check_refused(&known, &with(pulse.clone(), "component", parts), element, says);
    }
    let known = ready(&known, "c", &whole);
    assert!(supported(&compile(1, &known).0, named("Patient"), "pulse").is_ok());
    let refusal = known.with("a", None, 8).unwrap_err();
    assert!(refusal.is_clash && refusal.detail.contains("The composite `pulse` (SearchParameter/c)"), "{refusal:?}");
    let without = known.with("c", None, 8).unwrap().unwrap();
    assert!(without.with("a", None, 9).unwrap().is_some());
}

#[test]
fn a_composite_is_ready_when_its_parts_are() {
    let tall = parameter("tall", "token", "Patient", "Patient.extension('t').value as boolean");
    let known = ready(&Definitions::default(), "a", &tall);
    let part = json!({ "definition": "http://here/tall", "expression": "extension('t').value as boolean" });
    let gender =
        json!({ "definition": "http://hl7.org/fhir/SearchParameter/individual-gender", "expression": "gender" });
    let both = with(parameter("both", "composite", "Patient", "Patient"), "component", json!([part, gender]));
    let known = ready(&known, "b", &both);
    assert!(supported(&compile(1, &known).0, named("Patient"), "both").is_ok());
    let other = parameter("tall", "token", "Patient", "Patient.extension('other').value as boolean");
    let known = change(&known, "a", &other).unwrap().unwrap();
    assert!(supported(&compile(1, &known).0, named("Patient"), "both").is_err());
}

#[test]
fn only_a_change_of_what_is_found_makes_a_definition_unready() {
    let sex = parameter("birth-sex", "token", "Patient", SEX);
    let known = ready(&Definitions::default(), "a", &sex);
    let is_ready = |known: &Definitions| known.iter().all(|it: &Definition| it.is_ready);
    assert_eq!(change(&known, "a", &with(sex.clone(), "description", json!("of the body"))), Ok(None));
    let moved = change(&known, "a", &with(sex.clone(), "url", json!("http://there/birth-sex"))).unwrap().unwrap();
    assert!(is_ready(&moved));
    let of_code = json!("Patient.extension('http://x/sex').value as code");
    let changed = change(&known, "a", &with(sex.clone(), "expression", of_code)).unwrap().unwrap();
    assert!(!is_ready(&changed));
    let mut stored = changed.clone();
    stored.settle("a", |_any| Ok::<bool, Infallible>(true)).unwrap();
    assert!(!is_ready(&stored));
    let retired = change(&known, "a", &with(sex.clone(), "status", json!("retired"))).unwrap().unwrap();
    assert_eq!(retired, Definitions::default());
    assert!(!is_ready(&change(&retired, "a", &sex).unwrap().unwrap()));
}

#[test]
fn definitions_are_kept_as_they_are() {
    let known = ready(&Definitions::default(), "a", &parameter("birth-sex", "token", "Patient", SEX));
    let text = known.write().unwrap();
    assert_eq!(Definitions::read(&text).unwrap(), known);
    assert_eq!(Definitions::read(b"").unwrap(), Definitions::default());
    let registry = Registry::load(3, &text.into()).unwrap();
    assert_eq!(registry.generation(), 3);
    assert!(registry.parameter(named("Patient"), "birth-sex").is_some());
}
