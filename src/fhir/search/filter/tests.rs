use proptest::prelude::*;
use proptest::sample::select;

use super::operator::Operator;
use super::{Filter, parse};
use crate::fhir::search::error::SearchError;
use crate::fhir::search::plan::{self, Budget};
use crate::fhir::search::registry::Registry;
use crate::fhir::store::{Condition, Test, TextMode};
use crate::r4::resource_type::ResourceType;

fn criterion(resource_type: ResourceType, name: &str, value: &str) -> Result<Condition, SearchError> {
    plan::criterion(Registry::r4(), resource_type, name, value, &Budget::default())
}

fn observation(filter: &str) -> Result<Condition, String> {
    criterion(ResourceType::OBSERVATION, "_filter", filter).map_err(|error| error.to_string())
}

/// The filter means what a search by a parameter and a value means.
#[track_caller]
fn check(filter: &str, name: &str, value: &str) {
    assert_eq!(observation(filter), Ok(criterion(ResourceType::OBSERVATION, name, value).unwrap()), "{filter}");
}

#[track_caller]
fn check_refused(filter: &str, expected: &str) {
    let message = observation(filter).unwrap_err();
    assert!(message.contains(expected), "{filter}: {message}");
}

#[test]
fn a_comparison_is_a_criterion() {
    check("code eq http://loinc.org|1234-5", "code", "http://loinc.org|1234-5");
    check(r#"code eq "http://loinc.org|1234-5""#, "code", "http://loinc.org|1234-5");
    check("date ge 2014-10-10", "date", "ge2014-10-10");
    check("date eq 2014-10-10T10:00:00+01:00", "date", "2014-10-10T10:00:00+01:00");
    check("value-quantity lt 5.4|http://unitsofmeasure.org|mg", "value-quantity", "lt5.4|http://unitsofmeasure.org|mg");
    check("subject re Patient/1", "subject", "Patient/1");
    check("subject eq Patient/1", "subject", "Patient/1");
    check("subject:Patient.birthdate lt 2000", "subject:Patient.birthdate", "lt2000");
    check("subject._has:Observation:patient:code eq x", "subject._has:Observation:patient:code", "x");
    check("code pr true", "code:missing", "false");
    check("code pr false", "code:missing", "true");
    check("code-value-quantity eq x$5", "code-value-quantity", "x$5");
    check("code ss http://x|1", "code:below", "http://x|1");
    check("code sb http://x|1", "code:above", "http://x|1");
    check("code in http://x/vs", "code:in", "http://x/vs");
    check("_id eq a", "_id", "a");
    check("_lastUpdated gt 2024", "_lastUpdated", "gt2024");
    check("_text eq \"heart rate\"", "_text", "heart rate");
    check("  code   eq\tx ", "code", "x");
}

#[test]
fn texts_are_compared_without_case_and_accents() {
    let text = |filter: &str, mode, text: &str| {
        let expected = Condition::Has("family".into(), Test::String { mode, text: text.to_owned() });
        assert_eq!(criterion(ResourceType::parse("Patient").unwrap(), "_filter", filter), Ok(expected), "{filter}");
    };
    text("family eq MÜLLER", TextMode::Whole, "muller");
    text("family co ül", TextMode::Contains, "ul");
    text("family sw \"van der\"", TextMode::StartsWith, "van der");
    text("family ew \"\\u00fc\\\"+\"", TextMode::EndsWith, "u+");
}

#[test]
fn and_and_or_are_taken_from_left_to_right() {
    let code = |code: &str| criterion(ResourceType::OBSERVATION, "code", code).unwrap();
    let (a, b, c) = (code("a"), code("b"), code("c"));
    let cases = [
        ("code eq a and code eq b and code eq c", Condition::All(vec![a.clone(), b.clone(), c.clone()])),
        (
            "code eq a or code eq b and code eq c",
            Condition::All(vec![Condition::Any(vec![a.clone(), b.clone()]), c.clone()]),
        ),
        (
            "code eq a or (code eq b and code eq c)",
            Condition::Any(vec![a.clone(), Condition::All(vec![b.clone(), c.clone()])]),
        ),
        ("not(code eq a)or(code eq b)", Condition::Any(vec![Condition::Not(Box::new(a)), b])),
        ("not (((code eq c)))", Condition::Not(Box::new(c))),
    ];
    for (filter, expected) in cases {
        assert_eq!(observation(filter), Ok(expected), "{filter}");
    }
}

#[test]
fn what_is_not_understood_is_refused_where_it_stands() {
    check_refused("", "a parameter");
    check_refused("code", "an operator such as `eq`");
    check_refused("code is x", "`is x`");
    check_refused("code eq", "a value");
    check_refused("code eq ", "a value");
    check_refused("code eq a b", "`b`");
    check_refused("code eq a and", "a parameter");
    check_refused("code eq a xor code eq b", "`xor code eq b`");
    check_refused("(code eq a", "`)`");
    check_refused("code eq a)", "the end");
    check_refused("not code eq a", "operator");
    check_refused("code eq \"a", "a JSON string");
    check_refused("code eq \"\\x\"", "a JSON string");
    check_refused("related[type eq x].target pr true", "a filter within a path");
    check_refused("cod eq x", "did you mean `code`?");
    check_refused("subject.nam eq x", "`nam` is not a search parameter");
    check_refused("code:not eq x", "not with a modifier");
    check_refused("code co x", "`code co ...`");
    check_refused("code ne x", "write `not (... eq ...)`");
    check_refused("identifier ss x", "does not fit");
    check_refused("identifier in http://x", "does not fit");
    check_refused("code-value-quantity ne x$5", "write `not (... eq ...)`");
    check_refused("date eq yesterday", "expected a date");
    check_refused("date co 2024", "does not fit");
    check_refused("value-quantity po 5", "does not fit");
    check_refused("_id pr true", "not known");
    check_refused("code pr maybe", "`true` or `false`");
}

#[test]
fn a_filter_has_bounds() {
    check_refused(&format!("{}code eq a{}", "(".repeat(21), ")".repeat(21)), "at most 20 parentheses");
    check_refused(&"(".repeat(1_000_000), "at most 20 parentheses");
    check_refused(&format!("{}code eq a", "code eq a or ".repeat(100)), "at most 100 comparisons");
    assert!(observation(&format!("{}code eq a{}", "(".repeat(20), ")".repeat(20))).is_ok());
}

fn filters() -> impl Strategy<Value = Filter> {
    let operators = select(&[Operator::Equal, Operator::Less, Operator::Present, Operator::Reference][..]);
    let comparison = ("[a-z_][a-z:.-]{0,6}", operators, "\\PC{0,6}")
        .prop_map(|(path, operator, value)| Filter::Comparison { path, operator, value });
    comparison.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::All),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::Any),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(filter in filters()) {
        prop_assert_eq!(parse(&filter.to_string()), Ok(filter));
    }

    #[test]
    fn any_text_is_a_filter_or_refused(text in "(\\PC|[a-z ()\"\\\\]|code eq | and | or |not ?\\(){0,40}") {
        drop(observation(&text));
    }
}
