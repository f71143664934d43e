//! Units as search compares amounts: which of them can be compared, and how their numbers convert.
//!
//! Grammar and tables of UCUM are those of `octofhir-ucum`. Units compare when both are UCUM and have the same canonical
//! unit: milligrams with pounds, `{beats}/min` with hertz, degrees Celsius with kelvins. Scales that are no straight line
//! (pH, decibel) and codes that are not UCUM compare with themselves alone.
//!
//! Numbers convert in decimal arithmetic and are rounded to a float once, at the end: the bound 0.00445 g is 4.45 mg to
//! the last bit, and no tolerance is needed.

use std::sync::{Arc, LazyLock};

use moka::sync::Cache;
use octofhir_ucum::{Number, evaluate, get_canonical_units, parse_expression};

/// `Quantity.system` of UCUM.
const UCUM: &str = "http://unitsofmeasure.org";
/// Longest code that is taken for UCUM.
const CODE_BYTES_MAX: usize = 128;
/// Codes remembered; real data has dozens.
const REMEMBERED_MAX: u64 = 10_000;

static SCALES: LazyLock<Cache<Box<str>, Option<Arc<Scale>>>> = LazyLock::new(|| Cache::new(REMEMBERED_MAX));

/// A UCUM unit whose numbers lie on a straight line: `number * factor + offset` is the number in the canonical unit.
#[derive(Debug)]
pub(crate) struct Scale {
    measure: String,
    factor: Number,
    offset: Number,
}

impl Scale {
    /// The scale of a unit; `None` for what is not UCUM or no straight line.
    pub(crate) fn of(system: &str, code: &str) -> Option<Arc<Self>> {
        if system != UCUM || code.is_empty() || code.len() > CODE_BYTES_MAX {
            return None;
        }
        match SCALES.get(code) {
            Some(known) => known,
            None => SCALES.get_with(code.into(), || Self::read(code).map(Arc::new)),
        }
    }

    fn read(code: &str) -> Option<Self> {
        // The canonical form of a code that is wrong comes with expensive suggestions.
        evaluate(&parse_expression(code).ok()?).ok()?;
        let canonical = get_canonical_units(code).ok()?;
        Some(Self { measure: canonical.unit, factor: canonical.factor, offset: canonical.offset })
    }

    /// The canonical unit, in which comparable amounts can be put in order.
    pub(crate) fn measure(&self) -> &str {
        &self.measure
    }

    /// A number of this unit as one of the canonical unit; an infinite one stays.
    pub(crate) fn canonical(&self, number: f64) -> f64 {
        let canonical = || Number::from_f64(number)?.checked_mul(self.factor)?.checked_add(self.offset);
        canonical().map_or(number, Number::to_f64)
    }

    /// A number of this unit as one of another; `None` if the two measure different things.
    pub(crate) fn convert(&self, number: f64, other: &Self) -> Option<f64> {
        if self.measure != other.measure {
            return None;
        }
        if (self.factor, self.offset) == (other.factor, other.offset) {
            return Some(number);
        }
        let canonical = Number::from_f64(number)?.checked_mul(self.factor)?.checked_add(self.offset)?;
        Some(canonical.checked_sub(other.offset)?.checked_div(other.factor)?.to_f64())
    }
}

/// `origin + sample * factor`, digit for digit as written; `None` when one of them is no number.
pub(crate) fn sampled(origin: &str, factor: &str, sample: &str) -> Option<f64> {
    let scaled = Number::parse(sample)?.checked_mul(Number::parse(factor)?)?;
    Some(scaled.checked_add(Number::parse(origin)?)?.to_f64()).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Scale, UCUM, sampled};

    #[track_caller]
    fn check(number: f64, from: &str, to: &str, expected: Option<f64>) {
        let [from_scale, to_scale] = [from, to].map(|code| Scale::of(UCUM, code).unwrap());
        let converted = from_scale.convert(number, &to_scale);
        assert_eq!(converted.map(f64::to_bits), expected.map(f64::to_bits), "{number} {from}: {converted:?} {to}");
    }

    #[test]
    fn what_can_be_compared_converts_to_the_last_bit() {
        check(0.00445, "g", "mg", Some(4.45));
        check(4.5, "mg", "g", Some(0.0045));
        check(36.95, "Cel", "[degF]", Some(98.51));
        check(98.6, "[degF]", "Cel", Some(37.0));
        check(0.0, "K", "Cel", Some(-273.15));
        check(1.0, "Hz", "{beats}/min", Some(60.0));
        check(1.0, "[lb_av]", "kg", Some(0.453_592_37));
        check(7.5, "k[IU]/L", "[IU]/mL", Some(7.5));
        check(120.0, "mm[Hg]", "mm[Hg]", Some(120.0));
    }

    #[test]
    fn what_measures_different_things_does_not_convert() {
        check(1.0, "mg/dL", "mmol/L", None);
        check(1.0, "Cel", "C", None);
        check(1.0, "[IU]", "[arb'U]", None);
        check(1.0, "/min", "%", None);
    }

    #[test]
    fn what_is_no_straight_line_or_no_ucum_has_no_scale() {
        for code in ["[pH]", "dB", "B[V]", "bpm", "mmHg", "", "mg ", "\u{0}", "((", "m/", "10*-", "1e", "µg"] {
            assert!(Scale::of(UCUM, code).is_none(), "{code}");
        }
        assert!(Scale::of(UCUM, &"m.".repeat(1_000_000)).is_none());
        assert!(Scale::of("http://other", "mg").is_none());
    }

    #[test]
    fn samples_are_counted_from_the_origin() {
        assert_eq!(sampled("0.1", "0.1", "2"), Some(0.3));
        assert_eq!(sampled("5", "-1", "2.5"), Some(2.5));
        assert_eq!(sampled("5", "1", "E"), None);
    }

    proptest! {
        #[test]
        fn a_number_comes_back_from_another_unit(
            hundredths in -1_000_000_i32..1_000_000,
            codes in prop::sample::select(vec![("mg", "kg"), ("Cel", "K"), ("mm[Hg]", "kPa"), ("[in_i]", "m"), ("mL/h", "L/s")]),
        ) {
            let number = f64::from(hundredths) / 100.0;
            let (from, to) = (Scale::of(UCUM, codes.0).unwrap(), Scale::of(UCUM, codes.1).unwrap());
            let there = from.convert(number, &to).unwrap();
            let back = to.convert(there, &from).unwrap();
            prop_assert!((back - number).abs() <= number.abs() * 1e-14, "{number} {there} {back}");
        }

        #[test]
        fn any_text_is_answered(code in "\\PC{0,24}", number in any::<f64>()) {
            if let Some(scale) = Scale::of(UCUM, &code) {
                let _canonical = scale.canonical(number);
                prop_assert!(scale.convert(number, &scale).is_some());
            }
        }
    }
}
