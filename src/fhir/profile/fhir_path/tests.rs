use proptest::prelude::*;

use super::{Failure, Steps, Surroundings, holds, parse};
use crate::fhir::profile::instance::Item;
use crate::json;
use crate::r4::definitions::invariants::invariants_of;

const OBSERVATION: &str = r##"{
    "resourceType": "Observation", "id": "o", "status": "final", "_status": {"extension":[{"url":"http://e","valueCode":"x"}]},
    "code": {"coding":[{"system":"http://loinc.org","code":"8867-4"},{"system":"urn:x","code":"hr"}],"text":"Heart rate"},
    "effectiveDateTime": "2024-07-31T08:05:00+02:00", "valueQuantity": {"value": 61.50, "code": "/min"},
    "component": [{"code":{"coding":[{"code":"a"}]},"valueInteger":1},{"code":{"text":"b"},"valueInteger":2}],
    "contained": [{"resourceType":"Patient","id":"p"}], "subject": {"reference":"#p"},
    "referenceRange": [{"low":{"value":1},"high":{"value":2}}]
}"##;

fn result(expression: &str) -> Result<bool, Failure> {
    let node = json::parse(OBSERVATION.as_bytes()).unwrap();
    let context = Item::resource(&node).unwrap();
    let steps = Steps::new(100_000);
    holds(&parse(expression)?, Surroundings { context, resource: context, root: context, steps: &steps })
}

#[track_caller]
fn check(expression: &str) {
    assert_eq!(result(expression), Ok(true), "{expression}");
}

#[test]
fn paths_follow_types_choices_and_primitives() {
    for expression in [
        "value.value = 61.5",
        "value.ofType(Quantity).code = '/min'",
        "(value as Quantity).exists() and (value as string).empty()",
        "value is Quantity and value.is(FHIR.Quantity) and (value is string).not()",
        "Observation.status = 'final' and status.extension.value = 'x'",
        "status.extension('http://e').exists() and status.extension('http://f').empty()",
        "component[1].code.text = 'b' and component[2].empty()",
        "%resource.id = 'o' and %context.id = $this.id and %rootResource is Observation",
        "contained.is(Patient) and contained.ofType(Patient).id = 'p' and subject.reference.substring(1) = contained.id",
        "code.coding.where(system = %loinc and code = '8867-4').exists()",
        "`status`.exists() and text.`div`.empty()",
        "status.hasValue() and code.hasValue().not()",
        "status is code and status is string and effective is dateTime",
    ] {
        check(expression);
    }
}

#[test]
fn operators_bind_as_they_should_and_know_what_is_missing() {
    for expression in [
        "1 + 2 = 3 and 3 - 1 > 1 and -1 < 0 and 'a' + 'b' = 'ab' and 'a' & {} = 'a'",
        "true or false and false",
        "false implies false and (true implies false).not()",
        "({} = 1).empty() and ({} or true) and ({} and false).not() and (true xor {}).empty()",
        "status in ('final' | 'amended') and ('final' | 'amended') contains status",
        "(1 | 1 | 2).count() = 2 and component.value.count() = 2",
        "component.value != 1 and (component.value = (1 | 2))",
        "iif(status = 'final', true, false) and iif(false, 1).empty()",
        "@2024 < @2025 and (@2024 < @2024-01).empty() and effective > @2024-07-31T05:00:00Z",
        "(@2024-01-01 <= @2024-01-01) and (effective <= @2024-07-30).not()",
        "{}.empty() and {} . exists() . not()",
    ] {
        check(expression);
    }
}

#[test]
fn functions_do_what_they_say() {
    for expression in [
        "component.all(value > 0) and component.all(value > 1).not() and component.exists(value = 2)",
        "component.select(value).isDistinct() and component.value.first() = 1 and component.value.last() = 2",
        "component.value.tail().single() = 2 and component.skip(1).value = 2 and component.take(1).value = 1",
        "component.code.where(coding.intersect(%resource.code.coding).exists()).empty()",
        "code.coding.intersect(%resource.code.coding).count() = 2 and code.coding.code.exclude('hr') = '8867-4'",
        "code.coding.code.combine(code.coding.code).count() = 4 and code.coding.code.union('hr').count() = 2",
        "'a'.subsetOf('a' | 'b') and ('a' | 'b').supersetOf('a') and ('b' | 'a' | 'b').distinct().count() = 2",
        "(true | false).allTrue().not() and (true | false).anyTrue() and (false).allFalse() and (true|false).anyFalse()",
        "descendants().where($this is Quantity).count() = 3 and children().count() = 10",
        "'abc'.startsWith('a') and 'abc'.endsWith('c') and 'abc'.contains('b') and 'abc'.length() = 3",
        "'abc'.matches('^[a-c]+$') and 'abc'.upper() = 'ABC' and 'A'.lower() = 'a' and 'abc'.substring(1, 1) = 'b'",
        "'a.b'.replaceMatches('\\\\..*', '') = 'a' and 'aab'.replace('a', 'x') = 'xxb'",
        "'12'.toInteger() = 12 and value.value.toString() = '61.50' and true.toString() = 'true'",
        "value.value.toString().contains('.') and status.trace('x', 1) = 'final' and status.getValue() = 'final'",
    ] {
        check(expression);
    }
}

#[test]
fn what_yields_nothing_does_not_hold() {
    for expression in ["note.text", "{}", "note.text = 'a'", "(value as dateTime).toString().length() >= 8"] {
        assert_eq!(result(expression), Ok(false), "{expression}");
    }
}

#[test]
fn what_is_not_known_is_a_failure() {
    for expression in [
        "",
        "(",
        "a b",
        "a.",
        "'a",
        "resolve()",
        "memberOf('x')",
        "now() > @2020",
        "%unknown = 1",
        "1 * 2",
        "a ~ b",
        "$total",
        "code.coding = code.coding and code.coding",
        "value < value",
        "'a'.matches('(')",
        "today()",
        "conformsTo('x')",
        "iif()",
        "component.where()",
        "descendants(1)",
        "'a' - 'b'",
        "-'a'",
    ] {
        assert!(result(expression).is_err(), "{expression}");
    }
    assert!(parse(&"(".repeat(5_000)).is_err() && parse(&"a".repeat(20_000)).is_err());
    assert!(parse(&vec!["a"; 1_000].join(" or ")).is_err());
    assert!(parse(&vec!["a"; 1_000].join(".")).is_ok());
    assert!(result(&format!("{}true", "true and ".repeat(190))).is_ok());
}

#[test]
fn what_takes_too_long_is_given_up() {
    for expensive in [
        format!("descendants(){}", ".select(%resource.descendants())".repeat(9)),
        format!("'a'{}.empty()", ".select($this & $this)".repeat(60)),
        format!("descendants(){}.isDistinct()", ".combine(descendants())".repeat(40)),
    ] {
        assert_eq!(result(&expensive), Err(Failure::new("that takes too long")), "{expensive}");
    }
}

#[test]
fn every_rule_of_r4_is_understood_but_those_about_other_resources() {
    let mut rows = 0;
    for row in include_str!("../../../r4/definitions/invariants.tsv").lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        rows += 1;
        let parsed = parse(columns[4]);
        assert!(parsed.is_ok(), "{}: {parsed:?}", columns[1]);
    }
    assert!(rows > 200);
    for invariant in invariants_of("Observation").iter().chain(invariants_of("DomainResource")) {
        let expected = if invariant.is_error { Ok(true) } else { Ok(false) };
        assert_eq!(result(invariant.expression), expected, "{}", invariant.key);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "([a-z]{1,3}|value|code|coding|where|exists|[(){}\\[\\].,=<>|&+'`$%@ -]|[0-9]| and | or | is | as ){0,16}") {
        drop(result(&text));
    }
}
