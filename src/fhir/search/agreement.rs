//! Test: the two directions agree, for every parameter of every resource type. A value put where a parameter's
//! expression points is indexed under the parameter, and the search value printed from that entry finds it.

use serde_json::{Map, Value, json};

use super::escape::escape;
use super::index::{entries, unsupported};
use super::path::{Compiled, Path, Step, compile};
use super::plan::{Budget, criterion};
use super::registry::Registry;
use super::special::Special;
use super::{date, quantity, reference, string, token, uri};
use crate::fhir::store::{Condition, IndexEntry, IndexValue, Relation, Test, TextMode, UriMode};
use crate::json;
use crate::r4::definitions::search_parameters::{ParameterKind, SearchParameter, search_parameters};
use crate::r4::resource_type::ResourceType;

/// A resource that has `leaf` at the end of the steps and nothing else.
fn resource(steps: &[Step], leaf: Value) -> Value {
    let Some((step, rest)) = steps.split_first() else {
        return leaf;
    };
    match step {
        Step::Member { name, .. } => json!({ name: [resource(rest, leaf)] }),
        Step::MemberIs { name, text } => {
            let mut object = resource(rest, leaf);
            object.as_object_mut().unwrap_or(&mut Map::new()).insert(name.clone(), json!(text));
            object
        }
        Step::PointsTo(target) => json!({ "reference": format!("{}/1", target.as_str()) }),
    }
}

fn sample(data_type: &str, targets: &[ResourceType]) -> Value {
    let target = targets.first().map_or("Patient", |target| target.as_str());
    match data_type {
        "Coding" => json!({ "system": "http://s|s", "code": "a,b$" }),
        "CodeableConcept" => json!({ "coding": [{ "system": "http://s|s", "code": r"a\b" }] }),
        "Identifier" => json!({ "system": "urn:s", "value": "1|2" }),
        "ContactPoint" => json!({ "value": "+49 1" }),
        "boolean" => json!(true),
        "Reference" => json!({ "reference": format!("{target}/1") }),
        "canonical" | "uri" | "url" => json!("http://a/b,c"),
        "date" => json!("2024-02-29"),
        "dateTime" => json!("2024-02"),
        "instant" => json!("2024-02-29T23:59:59.123+14:00"),
        "Period" => json!({ "start": "2024", "end": "2024-03" }),
        "Timing" => json!({ "event": ["2024-02-29"] }),
        "Quantity" | "Age" | "Duration" => json!({ "value": 5.40, "system": "http://u", "code": "m|g" }),
        "Money" => json!({ "value": 1e3, "currency": "EUR" }),
        "Range" => json!({ "low": { "value": 5 }, "high": { "value": 5 } }),
        "SampledData" => json!({ "origin": { "value": 1 }, "data": "4 E 4" }),
        "decimal" | "integer" => json!(42),
        "HumanName" => json!({ "family": "Ñandú, É" }),
        "Address" => json!({ "city": "Zürich" }),
        _ => json!("Straße, a|b"),
    }
}

/// The search value that names an entry's own value.
fn print(value: &IndexValue) -> String {
    match value {
        IndexValue::Token { system, code } if system.is_empty() => escape(code),
        IndexValue::Token { system, code } => format!("{}|{}", escape(system), escape(code)),
        IndexValue::Reference { target } => escape(target),
        IndexValue::Uri { uri } | IndexValue::Series { subject: uri, .. } => escape(uri),
        IndexValue::String { exact, .. } => escape(exact),
        IndexValue::Number { value } => value.to_string(),
        IndexValue::Quantity { system, code, value, .. } => format!("{value}|{}|{}", escape(system), escape(code)),
        IndexValue::Range { low, .. } => low.to_string(),
        IndexValue::Date { .. } => "ap2024-02-29".to_owned(),
        IndexValue::Display { folded } => escape(folded),
        IndexValue::Composite { parts } => {
            parts.iter().filter_map(|values| values.first()).map(print).collect::<Vec<_>>().join("$")
        }
    }
}

fn finds(condition: &Condition, entry: &IndexEntry) -> bool {
    if let Condition::Any(several) = condition {
        return several.iter().any(|condition| finds(condition, entry));
    }
    matches!(condition, Condition::Has(parameter, test) if *parameter == entry.parameter && passes(test, &entry.value))
}

fn passes(test: &Test, value: &IndexValue) -> bool {
    match (test, value) {
        (Test::Token { system, code }, IndexValue::Token { system: stored_system, code: stored_code }) => {
            system.as_deref().unwrap_or_default() == stored_system && code.as_ref() == Some(stored_code)
        }
        (Test::Reference { target }, IndexValue::Reference { target: stored }) => target == stored,
        (Test::Uri { uri, mode: UriMode::Exact }, IndexValue::Uri { uri: stored }) => uri == stored,
        (Test::String { mode: TextMode::StartsWith, text }, IndexValue::String { folded, .. }) => folded == text,
        (Test::Number { low, high, .. }, IndexValue::Number { value }) => low <= value && value < high,
        (
            Test::Quantity { low, high, system, code, .. },
            IndexValue::Quantity { system: stored_system, code: stored_code, value, .. },
        ) => {
            low <= value && value < high && system.as_ref() == Some(stored_system) && code.as_ref() == Some(stored_code)
        }
        (
            Test::Number { low, high, .. } | Test::Quantity { low, high, .. },
            IndexValue::Range { low: from, high: to, .. },
        ) => low <= from && to < high,
        (
            Test::Date { relation: Relation::Overlaps, start, end },
            IndexValue::Date { start: stored_start, end: stored_end },
        ) => start <= stored_end && stored_start <= end,
        _ => false,
    }
}

fn gives_values(kind: ParameterKind, path: &Path) -> bool {
    match kind {
        ParameterKind::Token => token::Form::of(path.data_type, "").is_some(),
        ParameterKind::Reference => reference::Form::of(path.data_type).is_some(),
        ParameterKind::Date => date::Form::of(path.data_type).is_some(),
        ParameterKind::Quantity => quantity::Form::of(path.data_type).is_some(),
        ParameterKind::String => string::Form::of(path.data_type).is_some(),
        ParameterKind::Uri => uri::Form::of(path.data_type).is_some(),
        ParameterKind::Number => matches!(path.data_type, "decimal" | "integer" | "Range"),
        ParameterKind::Composite | ParameterKind::Special => false,
    }
}

#[track_caller]
fn check(resource_type: ResourceType, parameter: &SearchParameter, path: &Path) {
    let name = format!("{}.{} at {:?}", resource_type.as_str(), parameter.code, path.steps);
    let leaf = sample(path.data_type, &parameter.targets);
    let resource = resource(&path.steps, leaf).to_string();
    let node = json::parse(resource.as_bytes()).unwrap();
    let entries = entries(Registry::r4(), resource_type, &node);
    // What is only a part of a text is no value of its own.
    let is_whole = |entry: &&IndexEntry| !matches!(&entry.value, IndexValue::String { exact, .. } if exact.is_empty());
    let own = entries.iter().filter(|entry| entry.parameter == parameter.code);
    let mut own = own.filter(is_whole).peekable();
    assert!(own.peek().is_some(), "{name}: {resource} is not indexed: {entries:?}");
    for entry in own {
        let printed = print(&entry.value);
        let condition = criterion(Registry::r4(), resource_type, &parameter.code, &printed, &Budget::default())
            .unwrap_or_else(|error| panic!("{name}: {printed} is refused: {error}"));
        assert!(finds(&condition, entry), "{name}: {condition:?} does not find {entry:?}");
    }
}

#[test]
fn every_path_of_every_parameter_is_indexed_and_found_again() {
    let mut checked = 0;
    for resource_type in ResourceType::all() {
        for parameter in search_parameters(resource_type) {
            let has_other_rules =
                ["_id", "_lastUpdated"].contains(&parameter.code.as_ref()) || Special::of(parameter).is_some();
            if unsupported(parameter).is_some() || has_other_rules {
                continue;
            }
            let Compiled::Paths(paths) = compile(resource_type, &parameter.expression).unwrap() else { continue };
            for path in paths.iter().filter(|path| gives_values(parameter.kind, path)) {
                check(resource_type, parameter, path);
                checked += 1;
            }
        }
    }
    assert!(checked > 2_000, "{checked}");
}
