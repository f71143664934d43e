//! An Observation read from a resource, as templates of whole resources give it.
//!
//! Only what the rules ask for is read, and what has another form than FHIR's is left out: whether a resource is sound is
//! not for these rules to say.

use serde_json::Value as Json;

use super::super::source::Position;
use super::observed::{Coding, Component, Content, Observation, Quantity, Value};

/// Reads a resource, `None` when it is no Observation. Texts that come from data and not from the template must be left
/// out of it before, or be blank. Everything stands at `at`.
pub(super) fn read<'t>(resource: &'t Json, type_name: &'t str, at: Position) -> Option<Observation<'t>> {
    if text(resource, "resourceType") != Some("Observation") {
        return None;
    }
    let components = list(resource, "component").map(|component| Component {
        codes: concept(component.get("code"), at).collect(),
        value: value(component, "", at),
    });
    Some(Observation {
        at,
        type_name,
        categories: list(resource, "category").flat_map(|category| concept(Some(category), at)).collect(),
        codes: concept(resource.get("code"), at).collect(),
        // Nothing in a resource names its value, so the measurement type does.
        value: value(resource, "value", at),
        components: components.collect(),
    })
}

fn concept(concept: Option<&Json>, at: Position) -> impl Iterator<Item = Coding<'_>> {
    let codings = concept.into_iter().flat_map(|concept| list(concept, "coding"));
    codings.map(move |coding| Coding {
        at,
        system: text(coding, "system"),
        code: text(coding, "code"),
        display: text(coding, "display"),
    })
}

fn value<'t>(element: &'t Json, name: &'t str, at: Position) -> Option<Value<'t>> {
    let content = |(member, value): (&String, &'t Json)| match member.as_str() {
        "valueQuantity" => Some(Content::Quantity(quantity(Some(value)))),
        "valueRange" => Some(Content::Quantity(quantity(value.get("low").or_else(|| value.get("high"))))),
        "valueRatio" => Some(Content::Ratio(quantity(value.get("numerator")), quantity(value.get("denominator")))),
        "valueSampledData" => Some(samples(quantity(value.get("origin")))),
        "valueString" => Some(Content::Unitless("String")),
        "valueCodeableConcept" => Some(Content::Unitless("CodeableConcept")),
        "valueDateTime" => Some(Content::Unitless("dateTime")),
        "valueBoolean" => Some(Content::Unitless("boolean")),
        "valueInteger" => Some(Content::Unitless("integer")),
        _ => None,
    };
    let content = element.as_object()?.iter().find_map(content)?;
    Some(Value { at, name, content })
}

fn quantity(quantity: Option<&Json>) -> Quantity<'_> {
    let text = |member| quantity.and_then(|quantity| text(quantity, member));
    Quantity { unit: text("unit"), system: text("system"), code: text("code") }
}

/// A unit of samples is judged like another one as soon as it is coded.
fn samples(origin: Quantity<'_>) -> Content<'_> {
    match (origin.system, origin.code) {
        (None, None) => Content::SampledData { unit: origin.unit },
        (_, _) => Content::Quantity(origin),
    }
}

fn list<'t>(element: &'t Json, member: &str) -> impl Iterator<Item = &'t Json> {
    element.get(member).and_then(Json::as_array).into_iter().flatten()
}

fn text<'t>(element: &'t Json, member: &str) -> Option<&'t str> {
    element.get(member).and_then(Json::as_str).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::judge;
    use super::*;

    #[track_caller]
    fn check(resource: &str, expected: &[&str]) {
        let resource = serde_json::from_str(resource).unwrap();
        let observation = read(&resource, "t", Position { line: 1, column: 1 });
        let found = observation.map(|observation| judge(&observation)).unwrap_or_default();
        assert_eq!(found.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>(), expected);
    }

    /// A heart rate in its category with this value.
    fn heart_rate(value: &str) -> String {
        format!(
            r#"{{ "resourceType": "Observation", "category": [{{ "coding": [{{ "code": "vital-signs",
            "system": "http://terminology.hl7.org/CodeSystem/observation-category" }}] }}],
            "code": {{ "coding": [{{ "system": "http://loinc.org", "code": "8867-4" }}] }}, {value} }}"#
        )
    }

    #[test]
    fn a_resource_is_judged_by_the_same_rules() {
        let ucum = r#""system": "http://unitsofmeasure.org""#;
        check(&heart_rate(&format!(r#""valueQuantity": {{ "value": 61, {ucum}, "code": "/min" }}"#)), &[]);
        check(
            &heart_rate(&format!(r#""valueQuantity": {{ "value": 61, {ucum}, "code": "bpm" }}"#)),
            &["`bpm` is not a UCUM code"],
        );
        check(&heart_rate(r#""valueString": "61""#), &["vital sign `8867-4` (Heart rate) as String"]);
        check(
            &heart_rate(&format!(r#""valueSampledData": {{ "origin": {{ "value": 0, {ucum}, "code": "%" }} }}"#)),
            &["`%` is not a unit of `8867-4` (Heart rate)"],
        );
        check(
            &heart_rate(r#""component": [{ "code": { "coding": [{ "system": "LOINC", "code": "9279-1" }] } }]"#),
            &["`LOINC` is not how FHIR names LOINC"],
        );
    }

    #[test]
    fn what_is_no_observation_is_silent() {
        for resource in [r#"{ "resourceType": "Device", "valueString": "x" }"#, "[]", "null", "{}"] {
            check(resource, &[]);
        }
        check(r#"{ "resourceType": "Observation", "category": 1, "code": [], "component": { "code": 2 } }"#, &[]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(code in "\\PC{0,12}", system in "(http://loinc.org|http://unitsofmeasure.org|\\PC{0,12})") {
            let coding = serde_json::json!({ "system": system, "code": code, "display": code });
            let resource = serde_json::json!({ "resourceType": "Observation", "code": { "coding": [coding] },
                "category": [{ "coding": [coding] }],
                "valueQuantity": { "system": system, "code": code, "unit": code } });
            drop(read(&resource, &code, Position { line: 1, column: 1 }).map(|observation| judge(&observation)));
        }
    }
}
