//! Any mapping on any document, the index against none, and mapping files with mistakes anywhere.

use proptest::prelude::*;

use super::super::{Mappings, Problem, Source};
use super::{FHIR, envelope};

const NAMES: [&str; 4] = ["a", "b", "c", "Body"];
/// Two of them are the same instant (JP-31).
const TEXTS: [&str; 5] = ["t", "u", "2024-03-02T07:15:00Z", "2024-03-02T07:15:00.0Z", "7"];

/// Expressions by language, with `#N` and `#M` for names and `#T` for a text.
const EXPRESSIONS: [(&str, &[&str]); 3] = [
    (
        "JsonPath",
        &[
            "$",
            "$.Body",
            "$.Body.#N",
            "$.Body.*",
            "$.Body[*]",
            "$.Body[0].#N",
            "$..#N",
            "$..['#N','#M']",
            "$..*",
            "#N.#M",
            "$..[?(@#N)]",
            "$..[?(@.#N.#M)]",
            "$..[?(@#N == '#T')]",
            "$..[?('#T' == @#N)]",
            "$..[?(@#N === '#T')]",
            "$..[?(@#N != '#T')]",
            "$..[?(@#N == '#T' && @#M)]",
            "$..[?(@#N == '#T' || @#M)]",
            "$..[?(@#N == '#T' || @#N == 'u')]",
            "$..[?(@#N && @#M || @Body)]",
            "$..[?(@.#N[0] == '#T')]",
            "$..[?(@..#N == '#T')]",
            "$..[?(@.#N == @.#M)]",
            "$..[?(@ == '#T')]",
            "$.Body[?(@.#N =~ /#T/)]",
            "$..[?($.Body.#N == '#T')]",
            "$..[?(@#N > 1 && @#M)]",
            "$..[?(@['#N','#M'] == '#T')]",
            "$..[?('#T')]",
            "$..[?(@#N[?(@#M == '#T')])]",
            "$.matchedToken.#N",
            "$.matchedToken",
            "$..[?(@.* == '#T')]",
            "$.SystemProperties.partition",
            "$..[0]",
        ],
    ),
    (
        "JmesPath",
        &[
            "@",
            "Body",
            "Body.#N",
            "Body.*",
            "Body[*].#N",
            "Body[].#N",
            "Body[0].#N",
            "Body[?#N]",
            "Body[?!#N]",
            "Body[?#N == '#T']",
            "Body[?#N != '#T']",
            "Body[?#N == '#T' || #M]",
            "Body[?#N && #M]",
            "to_array(@)[?Body.#N]",
            "to_array(@)[?Body.#N == '#T'].Body",
            "Body.#N || Body.#M",
            "Body.#N && Body.#M",
            "Body.*.#N",
            "Body.#N == '#T'",
            "Body[?contains(#N, '#T')]",
            "sort(Body.#N)",
            "add(Body.#N, Body.#M)",
            "Body.{a: #N}.a",
            "{a: Body.#N}.#M",
            "matchedToken.#N",
            "matchedToken",
            "fromUnixTimestamp(Body.#N)",
            "Body[?#N > `1`]",
            "keys(Body)",
            "merge(Body, Body).#N",
        ],
    ),
    (
        "Rfc9535",
        &[
            "$",
            "$.Body.#N",
            "$..#N",
            "$..*",
            "$..['#N','#M']",
            "$..[?@.#N]",
            "$..[?!@.#N]",
            "$..[?@.#N == '#T']",
            "$..[?'#T' == @.#N]",
            "$..[?@.#N != '#T']",
            "$..[?@.#N && @.#M == '#T']",
            "$..[?@.#N || @.#M]",
            "$..[?@.#N == @.#M]",
            "$..[?@.#N == null]",
            "$..[?null == @.#N]",
            "$..[?@.#N < 2]",
            "$..[?@.#N <= null]",
            "$..[?@.#N[0] == '#T']",
            "$..[?length(@.#N) == 1]",
            "$..[?match(@.#N, '#T')]",
            "$..[?$.Body.#N]",
            "$..[?@['#N']['#M']]",
            "$..[?@..#N]",
            "$..[?!(@.#N == '#T')]",
            "$..[?(@.#N == '#T' || @.#N == 'u')]",
            "$.Body[?@.#N][?@.#M]",
            "$.matchedToken.#N",
            "$..[?count(@.#N) == 0]",
            "$..[?value(@.#N) == '#T']",
        ],
    ),
];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES.to_vec())
}

/// An expression object.
fn expression() -> impl Strategy<Value = String> {
    let language = prop::sample::select(EXPRESSIONS.to_vec());
    (language, any::<prop::sample::Index>(), name(), name(), prop::sample::select(TEXTS.to_vec())).prop_map(
        |((language, forms), form, n, m, text)| {
            let form = form.get(forms).replace("#N", n).replace("#M", m).replace("#T", text);
            let form = serde_json::Value::String(form);
            format!(r#"{{ "value": {form}, "language": "{language}" }}"#)
        },
    )
}

fn template() -> impl Strategy<Value = String> {
    let device = prop_oneof![Just(r#""$.SystemProperties.partition""#.to_owned()), expression()];
    let time = prop_oneof![Just(r#""$.Properties.iothub-creation-time-utc""#.to_owned()), expression()];
    let values = prop::collection::vec((expression(), any::<bool>()), 0..3);
    (expression(), device, time, prop::option::of(expression()), values).prop_map(|(type_match, device, time, patient, values)| {
        let values = values.iter().map(|(expression, required)| {
            format!(r#"{{ "valueName": "bpm", "valueExpression": {expression}, "required": {required} }}"#)
        });
        let (patient, values) = (patient.unwrap_or_else(|| "null".to_owned()), values.collect::<Vec<_>>().join(","));
        format!(
            r#"{{ "templateType": "CalculatedContent", "template": {{ "typeName": "pulse", "typeMatchExpression": {type_match},
            "deviceIdExpression": {device}, "timestampExpression": {time}, "patientIdExpression": {patient},
            "values": [ {values} ] }} }}"#
        )
    })
}

fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        2 => prop::sample::select(vec!["null", "true", "false", "0", "1", "2.50", "-7", "1e3"]).prop_map(str::to_owned),
        3 => prop::sample::select(TEXTS.to_vec()).prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::vec((name(), inner), 0..4).prop_map(|members| {
                let members = members.iter().map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_index_hides_no_template_that_finds_something(
        templates in prop::collection::vec(template(), 1..6),
        body in document(),
    ) {
        let device = super::collection(&templates);
        let inspection = Mappings::inspect(
            Some(Source { name: "device.json", text: &device }),
            Some(Source { name: "fhir.json", text: FHIR }),
        );
        let errors: Vec<&Problem> = inspection.device.iter().filter(|problem| problem.is_error()).collect();
        prop_assert!(errors.is_empty(), "{:?}", errors);
        let envelope = envelope(&body);
        prop_assert_eq!(
            inspection.mappings.extract(&envelope),
            inspection.mappings.extract_with_every_template(&envelope),
            "{} on {}", device, body
        );
    }
}

const DEVICE: &str = r#"// Pulse and weight.
{ "templateType": "CollectionContent", "template": [
  { "templateType": "CalculatedContent", "template": {
      "typeName": "pulse", "defaultExpressionLanguage": "JmesPath",
      "typeMatchExpression": { "value": "$..[?(@pulse > 5 && @.k =~ /h\\d/i)]", "language": "JsonPath" },
      "deviceIdExpression": "matchedToken.id", "patientIdExpression": null,
      "timestampExpression": { "value": "fromUnixTimestampMs(matchedToken.at)" },
      "values": [ { "required": true, "valueName": "bpm", "valueExpression": "Body.rows[?k == 'hr'].v | [0]" } ] } },
  { "templateType": "JsonPathContent", "template": { "typeName": "größe 😀", "typeMatchExpression": "$.Body.rows[*]",
      "deviceIdExpression": "$['id']", "timestampExpression": "$.at",
      "values": [ { "valueName": "kg", "valueExpression": "$.v[-1:]" }, ] } }, ] }"#;

const FHIR_FILE: &str = r#"{ "templateType": "CollectionFhir", "template": [
  { "templateType": "CodeValueFhir", "template": { "typeName": "pulse", "periodInterval": 60,
      "category": [ { "text": "Vital Signs", "codes": [ { "system": "urn:x", "code": "vital-signs" } ] } ],
      "codes": [ { "system": "http://loinc.org", "code": "8867-4", "display": "Heart rate" } ],
      "value": { "valueType": "SampledData", "valueName": "bpm", "defaultPeriod": 30000, "unit": "1/min" },
      "components": [ { "codes": [], "value": { "valueType": "CodeableConcept", "valueName": "kg", "text": "ü" } } ] } } ] }"#;

/// A mistake at a place of a text.
#[derive(Clone, Debug)]
enum Mistake {
    Delete,
    Duplicate,
    Replace(char),
    /// The text ends there.
    End,
}

fn mistakes() -> impl Strategy<Value = Vec<(prop::sample::Index, Mistake)>> {
    let characters: Vec<char> = "{}[]\",:0aZ-. \n\r\t/*$@()?'`|&\\ü😀\u{feff}\0".chars().collect();
    let mistake = prop_oneof![
        4 => Just(Mistake::Delete),
        3 => Just(Mistake::Duplicate),
        4 => prop::sample::select(characters).prop_map(Mistake::Replace),
        1 => Just(Mistake::End),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), mistake), 0..4)
}

fn mistaken(text: &str, mistakes: &[(prop::sample::Index, Mistake)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (place, mistake) in mistakes {
        if characters.is_empty() {
            break;
        }
        let at = place.index(characters.len());
        match mistake {
            Mistake::Delete => drop(characters.remove(at)),
            Mistake::Duplicate => characters.insert(at, characters[at]),
            Mistake::Replace(character) => characters[at] = *character,
            Mistake::End => characters.truncate(at),
        }
    }
    characters.into_iter().collect()
}

/// Whether a problem points into the file: at a character of it, or right behind the last of a line.
fn is_within(problem: &Problem, text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line = problem.at.line.checked_sub(1).and_then(|before| text.split('\n').nth(before));
    let at = line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&problem.at.column));
    at && problem.mark.as_ref().is_none_or(|mark| (1..=mark.text.chars().count() + 1).contains(&mark.at))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn dm_9_dm_47_a_file_with_mistakes_loads_or_gives_problems_that_point_into_it(
        in_device in mistakes(),
        in_fhir in mistakes(),
        crlf in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let device = mistaken(&DEVICE.replace('\n', end), &in_device);
        let fhir = mistaken(&FHIR_FILE.replace('\n', end), &in_fhir);
        let (device_source, fhir_source) =
            (Source { name: "device.json", text: &device }, Source { name: "fhir.json", text: &fhir });
        let inspection = Mappings::inspect(Some(device_source), Some(fhir_source));
        for problem in inspection.device.iter().chain(&inspection.between) {
            prop_assert!(is_within(problem, &device), "{:?}\n{}", problem, device);
        }
        for problem in &inspection.fhir {
            prop_assert!(is_within(problem, &fhir), "{:?}\n{}", problem, fhir);
        }
        let has_errors = inspection.device.iter().chain(&inspection.fhir).any(Problem::is_error);
        prop_assert_eq!(Mappings::load(device_source, fhir_source).is_err(), has_errors);
        // Whatever loaded runs.
        let body = r#"{"rows":[{"id":"c","at":1709363700250,"k":"hr","v":61,"pulse":61}]}"#;
        prop_assert!(inspection.mappings.extract(&envelope(body)).is_ok());
    }
}

#[test]
fn the_files_without_mistakes_load() {
    let (device, fhir) = (Source { name: "device.json", text: DEVICE }, Source { name: "fhir.json", text: FHIR_FILE });
    let (mappings, _warnings) = Mappings::load(device, fhir).unwrap();
    assert_eq!(mappings.counts(), (2, 1));
}
