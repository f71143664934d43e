use super::{Role, Subset, of_bundle};
use crate::fhir::search::element::Named;
use crate::r4::resource_type::ResourceType;

const OBSERVATION: &str = r#"{"resourceType":"Observation","id":"o","meta":{"versionId":"1","tag":[{"code":"t"}]},"text":{"status":"generated","div":"<div/>"},"extension":[{"url":"u"}],"modifierExtension":[{"url":"m","valueCode":"c"}],"status":"final","_status":{"id":"s"},"code":{"text":"c","extension":[{"url":"u"}]},"valueQuantity":{"value":65.00,"unit":"\u0062pm"},"note":[{"text":"n"}],"component":[{"code":{"text":"d"},"referenceRange":[{"text":"r"}],"valueInteger":1}]}"#;

const TAGGED: &str = r#""meta":{"versionId":"1","tag":[{"code":"t"},{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]}"#;

#[track_caller]
fn check(subset: &Subset, rest: &str) {
    let part = subset.of(OBSERVATION.as_bytes(), Role::Match).unwrap();
    let expected = format!(r#"{{"resourceType":"Observation","id":"o",{TAGGED},{rest}}}"#);
    assert_eq!(String::from_utf8(part).unwrap(), expected);
}

fn elements(names: &[&str]) -> Subset {
    Subset::Elements(names.iter().map(|name| named(None, name)).collect())
}

fn named(resource_type: Option<&str>, element: &str) -> Named {
    Named { resource_type: resource_type.and_then(ResourceType::parse), element: element.to_owned() }
}

#[test]
fn a_summary_has_what_r4_marks_at_every_depth_as_it_is_written() {
    check(
        &Subset::Summary,
        r#""modifierExtension":[{"url":"m","valueCode":"c"}],"status":"final","_status":{"id":"s"},"code":{"text":"c"},"valueQuantity":{"value":65.00,"unit":"\u0062pm"},"component":[{"code":{"text":"d"},"valueInteger":1}]"#,
    );
}

#[test]
fn the_narrative_comes_with_what_must_be_there() {
    check(
        &Subset::Text,
        r#""text":{"status":"generated","div":"<div/>"},"modifierExtension":[{"url":"m","valueCode":"c"}],"status":"final","_status":{"id":"s"},"code":{"text":"c","extension":[{"url":"u"}]}"#,
    );
}

#[test]
fn the_data_is_all_but_the_narrative() {
    let rest = OBSERVATION.split_once(r#""<div/>"},"#).unwrap().1.strip_suffix('}').unwrap();
    check(&Subset::Data, rest);
}

#[test]
fn named_elements_come_with_what_must_be_there() {
    check(
        &elements(&["value", "note"]),
        r#""modifierExtension":[{"url":"m","valueCode":"c"}],"status":"final","_status":{"id":"s"},"code":{"text":"c","extension":[{"url":"u"}]},"valueQuantity":{"value":65.00,"unit":"\u0062pm"},"note":[{"text":"n"}]"#,
    );
}

#[test]
fn a_part_without_meta_is_tagged_too() {
    let part = Subset::Summary.of(br#"{"resourceType":"Patient","photo":[{"url":"u"}]}"#, Role::Match).unwrap();
    assert_eq!(
        String::from_utf8(part).unwrap(),
        r#"{"resourceType":"Patient","meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]}}"#
    );
}

#[test]
fn what_says_nothing_in_a_summary_stays_whole() {
    let text =
        r#"{"resourceType":"Observation","meta":{},"valueCodeableConcept":{"extension":[{"url":"data-absent"}]}}"#;
    let part = String::from_utf8(Subset::Summary.of(text.as_bytes(), Role::Match).unwrap()).unwrap();
    assert!(part.ends_with(r#""valueCodeableConcept":{"extension":[{"url":"data-absent"}]}}"#), "{part}");
}

#[test]
fn names_concern_matches_and_those_with_a_type_concern_it_wherever_it_is() {
    let bundle = r#"{"resourceType":"Bundle","entry":[{"fullUrl":"a","resource":{"resourceType":"Observation","status":"final","note":[]},"search":{"mode":"match"}},{"resource":{"resourceType":"Patient","name":[],"photo":[]},"search":{"mode":"include"}},{"resource":{"resourceType":"OperationOutcome","text":{}},"search":{"mode":"outcome"}}]}"#;
    let cut = |subset: &Subset| String::from_utf8(of_bundle(subset, bundle.as_bytes()).unwrap()).unwrap();
    let part = cut(&elements(&["value"]));
    assert!(!part.contains("note") && part.contains("photo") && part.contains(r#""text":{}"#), "{part}");
    let part = cut(&Subset::Elements(vec![named(None, "note"), named(Some("Patient"), "name")]));
    assert!(part.contains("note") && part.contains("name") && !part.contains("photo"), "{part}");
    let part = cut(&Subset::Elements(vec![named(Some("Patient"), "name")]));
    assert!(part.contains(r#""status":"final","note":[]"#) && !part.contains("photo"), "{part}");
    assert_eq!(part.matches("SUBSETTED").count(), 1);
}
