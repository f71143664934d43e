use super::{CRITERIA_MAX, criteria};
use crate::fhir::search::registry::Registry;
use crate::fhir::store::{Code, CodeSet, Condition, Relation, Test, TextMode, UriMode};
use crate::r4::resource_type::ResourceType;

fn plan(search: &str) -> Result<Condition, String> {
    let (resource_type, query) = search.split_once('?').unwrap();
    let resource_type = ResourceType::parse(resource_type).unwrap();
    let criteria = criteria(Registry::r4(), resource_type, query).map_err(|error| error.to_string())?;
    assert_eq!(criteria.relies_on, None);
    Ok(criteria.condition)
}

#[track_caller]
fn check(search: &str, expected: Condition) {
    assert_eq!(plan(search), Ok(Condition::All(vec![expected])), "{search}");
}

#[track_caller]
fn check_refused(search: &str, expected: &str) {
    let message = plan(search).unwrap_err();
    assert!(message.contains(expected), "{search}: {message}");
}

fn token(parameter: &str, system: Option<&str>, code: Option<&str>) -> Condition {
    let part = |text: Option<&str>| text.map(str::to_owned);
    Condition::Has(parameter.into(), Test::Token { system: part(system), code: part(code) })
}

fn points_to(parameter: &str, target: &str) -> Condition {
    Condition::Has(parameter.into(), Test::Reference { target: target.to_owned() })
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn resource_type(name: &str) -> ResourceType {
    ResourceType::parse(name).unwrap()
}

#[test]
fn a_comma_is_or_and_a_repetition_is_and() {
    let a = token("code", None, Some("a"));
    let b = token("code", None, Some("b"));
    check("Observation?code=a,b", Condition::Any(vec![a.clone(), b.clone()]));
    assert_eq!(plan("Observation?code=a&code=b"), Ok(Condition::All(vec![a, b])));
}

#[test]
fn an_escaped_comma_belongs_to_the_value() {
    check(r"Observation?code=a\,b", token("code", None, Some("a,b")));
    check("Observation?identifier=urn%3Ax%7C1", token("identifier", Some("urn:x"), Some("1")));
}

#[test]
fn modifiers_change_the_test() {
    let text = |mode, text: &str| Condition::Has("name".into(), Test::String { mode, text: text.to_owned() });
    check("Patient?name=Ro", text(TextMode::StartsWith, "ro"));
    check("Patient?name:contains=Ro", text(TextMode::Contains, "ro"));
    check("Patient?name:exact=Ro", text(TextMode::Exact, "Ro"));
    let uri = |mode| Condition::Has("url".into(), Test::Uri { uri: "http://x".to_owned(), mode });
    check("ValueSet?url=http://x", uri(UriMode::Exact));
    check("ValueSet?url:below=http://x", uri(UriMode::Below));
    check("ValueSet?url:above=http://x", uri(UriMode::Above));
    check("Observation?subject:Patient=1", points_to("subject", "Patient/1"));
    check("Observation?subject:identifier=s|1", token("subject:identifier", Some("s"), Some("1")));
    check("Observation?code:missing=false", Condition::Present("code".into()));
    check("Observation?code:missing=true", not(Condition::Present("code".into())));
}

#[test]
fn a_canonical_url_may_be_followed_by_a_version() {
    let url = Condition::Has("url".into(), Test::Uri { uri: "http://x".to_owned(), mode: UriMode::Exact });
    check("ValueSet?url=http://x|1.0", Condition::All(vec![url, token("version", None, Some("1.0"))]));
    check_refused("ValueSet?url:below=urn:oid:1.2", "a URN has nothing above or below");
}

#[test]
fn token_modifiers_ask_for_texts_types_and_sets_of_codes() {
    let display = Test::Display { folded: "heart".to_owned() };
    check("Observation?code:text=Heart", Condition::Has("code:text".into(), display));
    check("Patient?identifier:of-type=t|MR|4", token("identifier:of-type", Some("t"), Some("MR|4")));
    let coded = |set| Condition::Coded("code".into(), set);
    let set = || coded(CodeSet::ValueSet("http://x|1".to_owned()));
    check("Observation?code:in=http://x|1", set());
    check("Observation?code:not-in=http://x|1", not(set()));
    let code = || Code { system: "s".to_owned(), code: "c".to_owned() };
    check("Observation?code:below=s|c", coded(CodeSet::Below(code())));
    check("Observation?code:above=s|c", coded(CodeSet::Above(code())));
    let base = "text/xml".to_owned();
    check(
        "DocumentReference?contenttype:below=text/xml",
        Condition::Has("contenttype".into(), Test::MediaType { base }),
    );
}

#[test]
fn not_excludes_all_of_its_values() {
    let either = Condition::Any(vec![token("status", None, Some("a")), token("status", None, Some("b"))]);
    check("Observation?status:not=a,b", not(either));
}

#[test]
fn the_store_knows_ids_and_changes_itself() {
    check("Patient?_id=a,b", Condition::Id(vec!["a".to_owned(), "b".to_owned()]));
    check("Patient?_lastUpdated=ge1970-01-01", Condition::LastUpdated { start: 0, end: i64::MAX });
}

#[test]
fn numbers_have_the_range_of_their_precision() {
    let expected = Test::Number { relation: Relation::Within, low: 99.5, high: 100.5, value: 100.0 };
    check("MolecularSequence?variant-start=100", Condition::Has("variant-start".into(), expected));
}

#[test]
fn a_chain_is_followed_into_the_types_that_know_its_end() {
    let linked = |targets: &[&str], condition| Condition::Linked {
        parameter: "subject".into(),
        targets: targets.iter().map(|name| resource_type(name)).collect(),
        condition: Box::new(condition),
    };
    let identifier = token("identifier", None, Some("1"));
    check("Observation?subject:Patient.identifier=1", linked(&["Patient"], identifier.clone()));
    check("Observation?subject.identifier=1", linked(&["Device", "Group", "Location", "Patient"], identifier));
    check("Observation?subject.gender=male", linked(&["Patient"], token("gender", None, Some("male"))));
    check(
        "Observation?subject:Patient.organization:Organization._id=1",
        linked(
            &["Patient"],
            Condition::Linked {
                parameter: "organization".into(),
                targets: vec![resource_type("Organization")],
                condition: Box::new(Condition::Id(vec!["1".to_owned()])),
            },
        ),
    );
}

#[test]
fn has_goes_against_the_direction_of_a_reference() {
    check(
        "Patient?_has:Observation:patient:code=1234-5",
        Condition::LinkedFrom {
            source: ResourceType::OBSERVATION,
            parameter: "patient".into(),
            condition: Box::new(token("code", None, Some("1234-5"))),
        },
    );
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    check_refused("Observation?cod=1", "did you mean `code`?");
    check_refused(
        "Observation?nonsense-of-this-kind=1",
        "`nonsense-of-this-kind` is not a search parameter of Observation",
    );
    check_refused("Patient?name:exat=1", "did you mean `exact`?");
    check_refused("Patient?gender:text=male", "`:text` is not a modifier");
    check_refused("Patient?identifier:in=http://x", "`:in` is not a modifier");
    check_refused("Observation?code:of-type=a|b|c", "`:of-type` is not a modifier");
    check_refused("Patient?active:in=http://x", "`:in` is not a modifier");
    check_refused("Observation?patient:above=Patient/1", "`:above` is not a modifier");
    check_refused("Observation?subject:text=x", "`:text` is not a modifier");
    check_refused("Patient?name:text=x", "`:text` is not a modifier");
    check_refused("DocumentReference?contenttype:above=text/xml", "`:above` is not a modifier");
    check_refused("QuestionnaireResponse?questionnaire:identifier=a|b", "`:identifier` is not a modifier");
    check_refused("Observation?subject:Practitioner=1", "`:Practitioner` is not a modifier");
    check_refused("Observation?date:exact=2024", "`:exact` is not a modifier");
    check_refused("Observation?_id:not=1", "`:not` is not a modifier");
    check_refused("Patient?phonetic:contains=x", "`:contains` is not a modifier");
    check_refused("Location?near=1", "`latitude|longitude|distance|units`");
    check_refused("Patient?_query=x", "stored queries are not built");
    check_refused("Bundle?composition.type=x", "inside a Bundle");
}

fn pair(code: &str, low: f64, value: f64, high: f64) -> Condition {
    let code = Test::Token { system: None, code: Some(code.to_owned()) };
    let relation = Relation::Within;
    let amount = Test::Quantity { relation, low, high, value, system: None, code: None };
    Condition::All(vec![
        Condition::Has("code".into(), code.clone()),
        Condition::Has("value-quantity".into(), amount.clone()),
        Condition::Has("code-value-quantity".into(), Test::Composite { parts: vec![vec![code], vec![amount]] }),
    ])
}

#[test]
fn a_composite_is_each_part_and_all_together() {
    check("Observation?code-value-quantity=a$5", pair("a", 4.5, 5.0, 5.5));
    check(r"Observation?code-value-quantity=a\$b$5", pair("a$b", 4.5, 5.0, 5.5));
    check(
        "Observation?code-value-quantity=a$5,b$7.0",
        Condition::Any(vec![pair("a", 4.5, 5.0, 5.5), pair("b", 6.95, 7.0, 7.05)]),
    );
    check_refused("Observation?code-value-quantity=a", "a value for each part");
    check_refused("Observation?code-value-quantity=a$5$6", "a value for each part");
    check_refused("Observation?code-value-quantity=a$", "a number");
    check_refused("Observation?code-value-quantity=$5", "`system|code`");
    check_refused("Observation?code-value-quantity=a$5,", "a value for each part");
    check_refused("Observation?code-value-quantity:missing=true", "`:missing` is not a modifier");
    check_refused("Patient?_has:Observation:patient:code-value-quantity=a", "a value for each part");
}

#[test]
fn a_part_of_a_composite_may_be_a_reference() {
    let condition = plan("DocumentReference?relationship=1$replaces").unwrap();
    let Condition::All(of) = condition else { panic!("{condition:?}") };
    let [Condition::All(parts)] = of.as_slice() else { panic!("{of:?}") };
    assert_eq!(parts[0], points_to("relatesto", "DocumentReference/1"));
}

#[test]
fn values_that_do_not_fit_are_refused() {
    check_refused("Observation?code=", "``");
    check_refused("Observation?code=a,,b", "``");
    check_refused("Observation?date=yesterday", "a date");
    check_refused("Observation?date=2024-01-01T00:00:00+01:00", "`%2B`");
    check_refused("Observation?value-quantity=5|mg", "`number|system|code`");
    check_refused("Observation?code:missing=maybe", "`true` or `false`");
    check_refused("Observation?subject=a%20b", "`Type/id`");
    check_refused("Observation?_id=a_b", "a logical id");
}

#[test]
fn malformed_links_are_refused() {
    check_refused("Observation?code.text=1", "only references can be followed");
    check_refused("Observation?subject:Nobody.name=1", "`:Nobody` is not a modifier");
    check_refused("Observation?subject.nonsense=1", "not a search parameter");
    check_refused("Patient?_has:Observation:code=1", "write `_has:");
    check_refused("Patient?_has:Observation:encounter:code=1", "does not point to this type");
    check_refused("Patient?_has:Nobody:patient:code=1", "no resource type");
    check_refused(&format!("Patient?{}_id=1", "link:Patient.".repeat(17)), "at most 16");
    assert!(plan(&format!("Patient?{}_id=1", "link:Patient.".repeat(16))).is_ok());
}

#[test]
fn everything_is_not_a_condition() {
    check_refused("Patient?", "at least one");
    check_refused("Patient?_count=1", "`_count`");
}

#[test]
fn a_condition_has_a_bound() {
    check_refused(&format!("Patient?{}", "active=true&".repeat(CRITERIA_MAX + 1)), "at most 100");
    check_refused(&format!("Patient?gender={}", "a,".repeat(1_001)), "at most 1000");
}

#[test]
fn a_chain_may_fan_out_only_so_far() {
    check_refused("Basic?subject.subject.subject.subject._id=1", "name the types");
    assert!(plan("Basic?subject.patient.link._id=1").is_ok());
}
