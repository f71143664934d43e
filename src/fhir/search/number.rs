//! Number parameters, and the precision in which numbers are written: `100` means 99.5 to 100.5, but `ge100` means 100
//! and more, <https://hl7.org/fhir/R4/search.html#number>.

use super::error::BadValue;
use super::prefix::split_prefix;
use crate::fhir::store::{IndexValue, Relation, Test};
use crate::json::Node;

/// A searched number and the range its precision spans, `[low, high)`. The relations of order know the number alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Searched {
    /// How the stored number lies to it.
    pub(super) relation: Relation,
    /// Low end.
    pub(super) low: f64,
    /// High end.
    pub(super) high: f64,
    /// The number itself.
    pub(super) value: f64,
}

/// The number of one element.
pub(super) fn extract(node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
    if let Some(value) = node.as_number().and_then(value_of) {
        emit(IndexValue::Number { value });
    }
}

/// A number with an optional prefix.
pub(super) fn test(value: &str) -> Result<Test, BadValue> {
    let Searched { relation, low, high, value } = searched(value)?;
    Ok(Test::Number { relation, low, high, value })
}

/// The value as an index key.
pub(super) fn value_of(digits: &str) -> Option<f64> {
    digits.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A number with an optional prefix, and the range it stands for. With `ap`, ten percent to either side, if that is more
/// than its precision.
pub(super) fn searched(text: &str) -> Result<Searched, BadValue> {
    let bad = || BadValue { expected: "a number with an optional prefix" };
    let (relation, digits) = split_prefix(text);
    let decimal = Decimal::parse(digits).ok_or_else(bad)?;
    let (value, low, high) = decimal.range().ok_or_else(bad)?;
    let slack = match relation {
        Relation::Overlaps => value.abs() / 10.0,
        Relation::Within
        | Relation::NotWithin
        | Relation::Above
        | Relation::Below
        | Relation::AtLeast
        | Relation::AtMost
        | Relation::StartsAfter
        | Relation::EndsBefore => 0.0,
    };
    Ok(Searched { relation, low: low.min(value - slack), high: high.max(value + slack), value })
}

/// `digits * 10^exponent`, as written.
struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    /// More digits than an `i128` holds are more than an index key can tell apart.
    fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent.parse::<i32>().ok()?)),
            None => (text, None),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((integer, fraction)) => (integer, Some(fraction)),
            None => (mantissa, None),
        };
        let unsigned = integer.strip_prefix(['-', '+']).unwrap_or(integer);
        let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(unsigned) || !fraction.is_none_or(are_digits) {
            return None;
        }
        // By R4's own example a single digit with an exponent is as precise as two: `1e2` means 95 to 105.
        let is_one_digit = exponent.is_some() && unsigned.len() == 1;
        let fraction = fraction.unwrap_or(if is_one_digit { "0" } else { "" });
        Some(Self {
            digits: format!("{integer}{fraction}").parse().ok()?,
            exponent: exponent.unwrap_or(0).checked_sub(i32::try_from(fraction.len()).ok()?)?,
        })
    }

    /// The value and the ends of its precision, each the nearest `f64` of its exact decimal.
    fn range(&self) -> Option<(f64, f64, f64)> {
        let tenths = self.digits.checked_mul(10)?;
        let exponent = self.exponent.checked_sub(1)?;
        let float = |digits: i128| value_of(&format!("{digits}e{exponent}"));
        Some((float(tenths)?, float(tenths.checked_sub(5)?)?, float(tenths.checked_add(5)?)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{extract, searched};
    use crate::fhir::store::{IndexValue, Relation};
    use crate::json::Node;

    #[track_caller]
    fn check(text: &str, relation: Relation, [low, value, high]: [f64; 3]) {
        let found = searched(text).unwrap();
        assert_eq!(found.relation, relation);
        assert_eq!(
            [found.low, found.value, found.high].map(f64::to_bits),
            [low, value, high].map(f64::to_bits),
            "{text}"
        );
    }

    #[test]
    fn a_number_means_the_range_of_its_written_precision() {
        check("100", Relation::Within, [99.5, 100.0, 100.5]);
        check("100.00", Relation::Within, [99.995, 100.0, 100.005]);
        check("1e2", Relation::Within, [95.0, 100.0, 105.0]);
        check("1.00e2", Relation::Within, [99.5, 100.0, 100.5]);
        check("54e2", Relation::Within, [5_350.0, 5_400.0, 5_450.0]);
        check("5.40e-3", Relation::Within, [0.005_395, 0.0054, 0.005_405]);
        check("-1.5", Relation::Within, [-1.55, -1.5, -1.45]);
        check("8.2", Relation::Within, [8.15, 8.2, 8.25]);
        check("lt+7", Relation::Below, [6.5, 7.0, 7.5]);
    }

    #[test]
    fn about_means_ten_percent_or_the_precision() {
        check("ap100", Relation::Overlaps, [90.0, 100.0, 110.0]);
        check("ap1", Relation::Overlaps, [0.5, 1.0, 1.5]);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "abc", "1.", ".5", "1e", "1e999", "NaN", "inf", "--1", "1 ", "ge", "1.-5", "0x1", "1,5"] {
            assert!(searched(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_numbers_are_indexed() {
        for (node, expected) in [
            (Node::Number("1.50".into()), vec![IndexValue::Number { value: 1.5 }]),
            (Node::String("1".into()), vec![]),
            (Node::Number("1e999".into()), vec![]),
        ] {
            let mut found = Vec::new();
            extract(&node, &mut |value| found.push(value));
            assert_eq!(found, expected);
        }
    }

    proptest! {
        #[test]
        fn a_number_lies_within_the_range_of_its_own_text(digits in -999_999_i64..999_999, scale in 0_usize..5) {
            let text = format!("{digits}e-{scale}");
            let found = searched(&text).unwrap();
            prop_assert!(found.low < found.value && found.value < found.high);
        }
    }
}
