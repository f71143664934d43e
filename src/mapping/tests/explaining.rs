use super::{collection, element, envelope};
use crate::mapping::explain::{Beginning, Explanation, Outcome, TOKENS_EXPLAINED_MAX};
use crate::mapping::{Mappings, Source};

const REST: &str = r#""deviceIdExpression": "$.matchedToken.id", "timestampExpression": "$.matchedToken.at""#;

/// The only template of a mapping on a body.
fn explain(template_type: &str, members: &str, body: &str) -> Explanation {
    let text = collection(&[element(template_type, members)]);
    let inspection = Mappings::inspect(Some(Source { name: "device.json", text: &text }), None);
    assert_eq!(inspection.mappings.counts(), (1, 0), "{:?}", inspection.device);
    inspection.mappings.explain(&envelope(body)).unwrap().remove(0)
}

fn calculated(type_match: &str, value: &str, body: &str) -> Explanation {
    let members = format!(
        r#""typeName": "pulse", "typeMatchExpression": {type_match}, {REST},
           "values": [ {{ "required": true, "valueName": "bpm", "valueExpression": {value} }} ]"#
    );
    explain("CalculatedContent", &members, body)
}

fn beginnings(told: &[Beginning]) -> Vec<(&str, usize)> {
    told.iter().map(|beginning| (beginning.text.as_str(), beginning.count)).collect()
}

/// What the only value of the first token gave.
fn value(explanation: &Explanation) -> &Outcome {
    &explanation.tokens[0].expressions.last().unwrap().outcome
}

const BODY: &str = r#"{"id":"d","at":"2024-03-02T07:15:00Z","pulse":120.10}"#;

#[test]
fn a_template_that_matches_shows_every_expression_with_what_it_gave() {
    let explanation = calculated(r#""$..[?(@pulse)]""#, r#""$.matchedToken.pulse""#, BODY);
    assert_eq!((explanation.type_name.as_str(), explanation.template_type), ("pulse", "CalculatedContent"));
    assert_eq!((explanation.token_count, explanation.lacks.len()), (1, 0));
    let token = &explanation.tokens[0];
    assert_eq!((token.path.as_str(), token.shown.as_str()), ("$.Body", BODY));
    let told: Vec<_> =
        token.expressions.iter().map(|told| (told.written.name.as_str(), told.written.text.as_str())).collect();
    assert_eq!(
        told,
        [
            ("deviceIdExpression", "$.matchedToken.id"),
            ("timestampExpression", "$.matchedToken.at"),
            ("required value `bpm`", "$.matchedToken.pulse")
        ]
    );
    assert_eq!(value(&explanation), &Outcome::Value { selected: "120.10".to_owned(), text: Some("120.1".to_owned()) });
    assert_eq!(token.extraction.measurements[0].measurement.properties[0].value, "120.1");
}

#[test]
fn a_template_that_does_not_match_shows_how_far_it_got_and_what_is_lacking() {
    let explanation =
        calculated(r#""$.Body.rows[?(@.Pulse)]""#, r#""$.matchedToken.Pulse""#, r#"{"rows":[{"pulse":1}]}"#);
    assert_eq!(explanation.token_count, 0);
    let expected = [("$.Body", 1), ("$.Body.rows", 1), ("$.Body.rows[?(@.Pulse)]", 0)];
    assert_eq!(beginnings(&explanation.progress), expected);
    assert_eq!(explanation.lacks, ["a member `Pulse`; did you mean `pulse`?"]);
    let explanation = calculated(r#""$..[?(@t == 'hr')]""#, r#""$.matchedToken.v""#, r#"{"t":"spo2"}"#);
    assert_eq!(explanation.lacks, ["a member `t` that is `hr`"]);
}

#[test]
fn a_missing_value_shows_where_its_way_ends() {
    let explanation = calculated(r#""$.Body""#, r#""$.matchedToken.vitals.pulse""#, BODY);
    let Outcome::Missing(told) = value(&explanation) else { panic!("{explanation:?}") };
    assert_eq!(beginnings(told), [("$.matchedToken", 1), ("$.matchedToken.vitals", 0)]);
    assert_eq!(explanation.tokens[0].extraction.failures[0].code, "IncompatibleDataException");
}

#[test]
fn dm_28_several_values_are_counted() {
    let explanation = calculated(r#""$.Body""#, r#""$.matchedToken.n[*]""#, r#"{"n":[1,2,3]}"#);
    assert_eq!(value(&explanation), &Outcome::Failed("selects 3 values, at most one is allowed".to_owned()));
}

#[test]
fn the_other_languages_show_their_results_too() {
    let type_match = r#"{ "value": "$.Body", "language": "Rfc9535" }"#;
    let explanation = calculated(type_match, r#"{ "value": "$.matchedToken.pulse", "language": "Rfc9535" }"#, BODY);
    assert_eq!(explanation.type_match.language, "Rfc9535");
    assert_eq!(explanation.token_count, 1);
    assert_eq!(value(&explanation), &Outcome::Value { selected: "120.10".to_owned(), text: Some("120.1".to_owned()) });
}

#[test]
fn fixed_expressions_are_shown_as_what_they_are() {
    let explanation = explain(
        "IotJsonPathContent",
        r#""typeName": "pulse", "typeMatchExpression": "$..[?(@Body.pulse)]", "values": []"#,
        BODY,
    );
    let told: Vec<_> = explanation.tokens[0].expressions.iter().map(|told| told.written.text.as_str()).collect();
    assert_eq!(told[0], "$.SystemProperties.iothub-connection-device-id");
    assert_eq!(told.len(), 3);
    assert_eq!(explanation.tokens[0].extraction.measurements.len(), 1);
}

#[test]
fn tokens_and_values_that_are_shown_have_a_bound() {
    let rows = vec![r#"{"id":"d","at":"2024-03-02T07:15:00Z","pulse":1}"#; TOKENS_EXPLAINED_MAX + 5].join(",");
    let explanation = calculated(r#""$.Body[*]""#, r#""$.matchedToken.pulse""#, &format!("[{rows}]"));
    assert_eq!((explanation.token_count, explanation.tokens.len()), (TOKENS_EXPLAINED_MAX + 5, TOKENS_EXPLAINED_MAX));
    let explanation =
        calculated(r#""$.Body""#, r#""$.matchedToken.pulse""#, &format!(r#"{{"pulse":"{}"}}"#, "é".repeat(500)));
    let Outcome::Value { selected, text } = value(&explanation) else { panic!("{explanation:?}") };
    assert!(selected.ends_with('…') && selected.chars().count() < 200);
    assert_eq!(text.as_ref().unwrap().chars().count(), 500);
}
