//! Quantity parameters, <https://hl7.org/fhir/R4/search.html#quantity>.
//!
//! Number, system and code must all fit; units are compared as they are written, not converted. Ranges, ratios and
//! sampled series are not searchable by amount.

use super::error::BadValue;
use super::escape::{split, unescape};
use super::number::{Searched, searched, value_of};
use crate::fhir::store::{IndexValue, Test};
use crate::json::Node;

/// The system of the codes of currencies.
const CURRENCIES: &str = "urn:iso:std:iso:4217";

/// How a data type holds an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `value`, `system`, `code`, `unit`.
    Quantity,
    /// `value`, `currency`.
    Money,
}

impl Form {
    /// The form of a data type; `None` if it has no one amount.
    pub(super) fn of(data_type: &str) -> Option<Self> {
        Some(match data_type {
            "Quantity" | "SimpleQuantity" | "Age" | "Duration" | "Count" | "Distance" => Self::Quantity,
            "Money" => Self::Money,
            _ => return None,
        })
    }

    /// The amount of one element.
    pub(super) fn extract(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        let Some(value) = node.member("value").and_then(Node::as_number).and_then(value_of) else {
            return;
        };
        let text = |name: &str| node.member(name).and_then(Node::as_str).unwrap_or_default().to_owned();
        emit(match self {
            Self::Quantity => {
                IndexValue::Quantity { system: text("system"), code: text("code"), unit: text("unit"), value }
            }
            Self::Money => IndexValue::Quantity {
                system: CURRENCIES.to_owned(),
                code: text("currency"),
                unit: String::new(),
                value,
            },
        });
    }
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
        for data_type in ["Range", "SampledData", "Ratio"] {
            assert_eq!(Form::of(data_type), None);
        }
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
