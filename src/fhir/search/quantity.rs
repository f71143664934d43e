//! Quantity parameters, <https://hl7.org/fhir/R4/search.html#quantity>.
//!
//! `5.4|http://unitsofmeasure.org|mg` asks for that amount in whatever unit: system and code given, UCUM is compared by
//! what it amounts to, anything else to the letter. `5.4||mg` is compared with code and displayed unit as texts, in the
//! unit it was written in, for without a system nothing says that the code is UCUM; and so is `5.4`, whatever the unit.
//!
//! An amount may be known by its limits only, and is then an interval to which the prefixes apply as to a period: a
//! Range, whose ends belong to it and may be open; a Quantity with a comparator, for `< 5` is everything below 5 and never
//! 5; and SampledData, of which R4 has the bounds of the samples searched. A Ratio is no one amount; no parameter of R4
//! leads to one.

use super::error::BadValue;
use super::escape::{split, unescape};
use super::number::{Searched, searched, value_of};
use crate::fhir::store::{IndexValue, Test};
use crate::fhir::units::sampled;
use crate::json::Node;

/// The system of the codes of currencies.
const CURRENCIES: &str = "urn:iso:std:iso:4217";

/// How a data type holds an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `value`, `comparator`, `system`, `code`, `unit`.
    Quantity,
    /// `value`, `currency`.
    Money,
    /// `low`, `high`.
    Range,
    /// `origin`, `factor`, `data`.
    SampledData,
}

impl Form {
    /// The form of a data type; `None` if it has no amount.
    pub(super) fn of(data_type: &str) -> Option<Self> {
        Some(match data_type {
            "Quantity" | "SimpleQuantity" | "Age" | "Duration" | "Count" | "Distance" => Self::Quantity,
            "Money" => Self::Money,
            "Range" => Self::Range,
            "SampledData" => Self::SampledData,
            _ => return None,
        })
    }

    /// The amount of one element.
    pub(super) fn extract(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        let amount = match self {
            Self::Quantity => quantity(node),
            Self::Money => money(node),
            Self::Range => range(node),
            Self::SampledData => sampled_data(node),
        };
        amount.into_iter().for_each(emit);
    }
}

fn quantity(node: &Node<'_>) -> Option<IndexValue> {
    let value = number(node)?;
    let between = |low, high| between(node, low, high);
    match node.member("comparator").map(Node::as_str) {
        None => {
            let [system, code, unit] = unit(node);
            Some(IndexValue::Quantity { system, code, unit, value })
        }
        Some(Some("<")) => Some(between(f64::NEG_INFINITY, value.next_down())),
        Some(Some("<=")) => Some(between(f64::NEG_INFINITY, value)),
        Some(Some(">=")) => Some(between(value, f64::INFINITY)),
        Some(Some(">")) => Some(between(value.next_up(), f64::INFINITY)),
        Some(_) => None,
    }
}

fn money(node: &Node<'_>) -> Option<IndexValue> {
    let code = text(node, "currency");
    Some(IndexValue::Quantity { system: CURRENCIES.to_owned(), code, unit: String::new(), value: number(node)? })
}

/// Both ends have the same unit or it is no range; <https://hl7.org/fhir/R4/datatypes.html#range>.
fn range(node: &Node<'_>) -> Option<IndexValue> {
    let ends = [node.member("low"), node.member("high")];
    let [low, high] = ends.map(|end| end.and_then(number));
    let coded = |end: Option<&Node<'_>>| end.map(|end| ["system", "code"].map(|name| text(end, name)));
    if let [Some(one), Some(other)] = ends.map(coded)
        && one != other
    {
        return None;
    }
    let unit_of = ends.into_iter().flatten().next()?;
    let (from, to) = (low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY));
    (low.or(high).is_some() && from <= to).then(|| between(unit_of, from, to))
}

/// From the least sample to the greatest; `L` and `U` lie below and above all that can be measured, `E` is none.
fn sampled_data(node: &Node<'_>) -> Option<IndexValue> {
    let origin = node.member("origin")?;
    let zero = origin.member("value").and_then(Node::as_number)?;
    let factor = node.member("factor").and_then(Node::as_number).unwrap_or("1");
    let (mut low, mut high) = (None, None);
    let (mut is_below, mut is_above) = (false, false);
    for sample in node.member("data").and_then(Node::as_str)?.split_ascii_whitespace() {
        is_below |= sample == "L";
        is_above |= sample == "U";
        let Some(number) = value_of(sample) else { continue };
        if low.is_none_or(|(least, _)| number < least) {
            low = Some((number, sample));
        }
        if high.is_none_or(|(greatest, _)| number > greatest) {
            high = Some((number, sample));
        }
    }
    let ends = [low, high].map(|end| sampled(zero, factor, end?.1));
    let least = ends.into_iter().flatten().reduce(f64::min);
    let greatest = ends.into_iter().flatten().reduce(f64::max);
    let from = if is_below { f64::NEG_INFINITY } else { least.or(is_above.then_some(f64::NEG_INFINITY))? };
    let to = if is_above { f64::INFINITY } else { greatest.or(is_below.then_some(f64::INFINITY))? };
    Some(between(origin, from, to))
}

fn between(unit_of: &Node<'_>, low: f64, high: f64) -> IndexValue {
    let [system, code, unit] = unit(unit_of);
    IndexValue::Range { system, code, unit, low, high }
}

fn number(node: &Node<'_>) -> Option<f64> {
    node.member("value").and_then(Node::as_number).and_then(value_of)
}

fn unit(node: &Node<'_>) -> [String; 3] {
    ["system", "code", "unit"].map(|name| text(node, name))
}

fn text(node: &Node<'_>, name: &str) -> String {
    node.member(name).and_then(Node::as_str).unwrap_or_default().to_owned()
}

/// `number`, `number|system|code` or `number||code`, with an optional prefix.
pub(super) fn test(value: &str) -> Result<Test, BadValue> {
    let bad = || BadValue { expected: "`number`, `number|system|code` or `number||code` with an optional prefix" };
    let parts: Option<Vec<String>> = split(value, '|').into_iter().map(unescape).collect();
    let (number, system, code) = match parts.ok_or_else(bad)?.as_slice() {
        [number] => (searched(number)?, None, None),
        [number, system, code] => (searched(number)?, present(system), present(code)),
        _ => return Err(bad()),
    };
    let Searched { relation, low, high, value } = number;
    Ok(Test::Quantity { relation, low, high, value, system, code })
}

fn present(part: &str) -> Option<String> {
    Some(part.to_owned()).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{CURRENCIES, Form, test};
    use crate::fhir::store::{IndexValue, Relation, Test};
    use crate::json;

    #[track_caller]
    fn check(data_type: &str, json: &str, expected: Option<(&str, &str, &str, f64)>) {
        let mut found = Vec::new();
        Form::of(data_type).unwrap().extract(&json::parse(json.as_bytes()).unwrap(), &mut |value| found.push(value));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(system, code, unit, value)| IndexValue::Quantity {
                system: system.to_owned(),
                code: code.to_owned(),
                unit: unit.to_owned(),
                value,
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_amount_is_indexed_with_its_unit() {
        check(
            "Quantity",
            r#"{"value":65.0,"unit":"beats","system":"u","code":"/min"}"#,
            Some(("u", "/min", "beats", 65.0)),
        );
        check("Age", r#"{"value":7}"#, Some(("", "", "", 7.0)));
        check("Money", r#"{"value":9.5,"currency":"EUR"}"#, Some((CURRENCIES, "EUR", "", 9.5)));
    }

    #[test]
    fn an_amount_without_a_value_is_none() {
        check("Quantity", r#"{"code":"kg"}"#, None);
        check("Quantity", r#"{"value":"5"}"#, None);
        check("Quantity", r#"{"value":5,"comparator":"about"}"#, None);
        assert_eq!(Form::of("Ratio"), None);
    }

    #[track_caller]
    fn check_range(data_type: &str, json: &str, expected: Option<(&str, f64, f64)>) {
        let mut found = Vec::new();
        Form::of(data_type).unwrap().extract(&json::parse(json.as_bytes()).unwrap(), &mut |value| found.push(value));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(code, low, high)| {
                let (system, code, unit) = (String::new(), code.to_owned(), String::new());
                IndexValue::Range { system, code, unit, low, high }
            })
            .collect();
        assert_eq!(found, expected, "{json}");
    }

    const OPEN: f64 = f64::INFINITY;

    #[test]
    fn a_range_has_its_ends_and_may_be_open() {
        check_range(
            "Range",
            r#"{"low":{"value":1.5,"code":"mg"},"high":{"value":2,"code":"mg"}}"#,
            Some(("mg", 1.5, 2.0)),
        );
        check_range("Range", r#"{"low":{"value":1,"code":"a"}}"#, Some(("a", 1.0, OPEN)));
        check_range("Range", r#"{"high":{"value":1,"code":"a"}}"#, Some(("a", -OPEN, 1.0)));
        check_range("Range", r#"{"low":{"value":1,"code":"a"},"high":{"value":2,"code":"b"}}"#, None);
        check_range("Range", r#"{"low":{"value":2},"high":{"value":1}}"#, None);
        check_range("Range", r#"{"low":{"code":"a"}}"#, None);
        check_range("Range", "{}", None);
    }

    #[test]
    fn an_amount_with_a_comparator_is_all_that_it_may_be() {
        check_range("Quantity", r#"{"value":5,"comparator":"<"}"#, Some(("", -OPEN, 5.0_f64.next_down())));
        check_range("Quantity", r#"{"value":5,"comparator":"<="}"#, Some(("", -OPEN, 5.0)));
        check_range("Quantity", r#"{"value":5,"comparator":">="}"#, Some(("", 5.0, OPEN)));
        check_range("Age", r#"{"value":5,"comparator":">","code":"a"}"#, Some(("a", 5.0_f64.next_up(), OPEN)));
    }

    #[test]
    fn sampled_data_lies_between_its_samples() {
        let data =
            |rest: &str, data: &str| format!(r#"{{"origin":{{"value":0.1,"code":"mV"}},{rest}"data":"{data}"}}"#);
        check_range("SampledData", &data("", "3 -1 E 2"), Some(("mV", -0.9, 3.1)));
        check_range("SampledData", &data(r#""factor":-0.1,"#, "3 -1"), Some(("mV", -0.2, 0.2)));
        check_range("SampledData", &data("", "L 2 3"), Some(("mV", -OPEN, 3.1)));
        check_range("SampledData", &data("", "2 U"), Some(("mV", 2.1, OPEN)));
        check_range("SampledData", &data("", "U"), Some(("mV", -OPEN, OPEN)));
        check_range("SampledData", &data("", "E E"), None);
        check_range("SampledData", &data("", ""), None);
        check_range("SampledData", r#"{"data":"1 2"}"#, None);
        check_range("SampledData", r#"{"origin":{"value":0}}"#, None);
    }

    #[track_caller]
    fn check_test(value: &str, expected: Option<(Option<&str>, Option<&str>)>) {
        let expected = expected.map(|(system, code)| Test::Quantity {
            relation: Relation::Above,
            low: 5.35,
            high: 5.45,
            value: 5.4,
            system: system.map(str::to_owned),
            code: code.map(str::to_owned),
        });
        assert_eq!(test(value).ok(), expected, "{value}");
    }

    #[test]
    fn a_unit_is_asked_for_by_system_and_code_or_by_code_alone() {
        check_test("gt5.4", Some((None, None)));
        check_test("gt5.4|http://unitsofmeasure.org|mg", Some((Some("http://unitsofmeasure.org"), Some("mg"))));
        check_test("gt5.4||mg", Some((None, Some("mg"))));
        check_test(r"gt5.4||m\|g", Some((None, Some("m|g"))));
        check_test("gt5.4|mg", None);
        check_test("gt|u|mg", None);
        check_test("gt5.4|a|b|c", None);
    }
}
