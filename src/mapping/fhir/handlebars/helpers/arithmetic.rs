//! Sums on decimals as text, exact where the result is, without floats.

use crate::mapping::decimal::json_number;

/// Most digits of an operand and places behind its point, so that products stay within 128 bits.
const DIGITS_MAX: usize = 18;

/// `mantissa / 10^scale`
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    mantissa: i128,
    scale: u32,
}

impl Decimal {
    /// Reads a decimal; `None` for what is none or has more than 18 digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = json_number(text)?;
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((&number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.trim_start_matches(['-', '0']).len() > DIGITS_MAX {
            return None;
        }
        let mantissa: i128 = digits.parse().ok()?;
        let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent.parse().ok()?)?;
        let places = u32::try_from(scale.unsigned_abs()).ok().filter(|places| *places <= PLACES_MAX)?;
        match scale {
            ..0 => Some(Self { mantissa: mantissa.checked_mul(power(places)?)?, scale: 0 }),
            0.. => Some(Self { mantissa, scale: places }),
        }
    }

    pub(super) fn add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        Some(Self { mantissa: self.at(scale)?.checked_add(other.at(scale)?)?, scale })
    }

    pub(super) fn negate(self) -> Self {
        Self { mantissa: -self.mantissa, ..self }
    }

    pub(super) fn multiply(self, other: Self) -> Option<Self> {
        Some(Self { mantissa: self.mantissa.checked_mul(other.mantissa)?, scale: self.scale + other.scale })
    }

    /// The quotient to `places` behind the point, rounded half away from zero, without zeros at its end; `None` by zero.
    pub(super) fn divide(self, other: Self, places: u32) -> Option<Self> {
        let dividend = self.mantissa.checked_mul(power(places.checked_add(other.scale)?)?)?;
        let divisor = other.mantissa.checked_mul(power(self.scale)?)?;
        let mut quotient = Self { mantissa: rounded_quotient(dividend, divisor)?, scale: places };
        while quotient.scale > 0 && quotient.mantissa % 10 == 0 {
            quotient = Self { mantissa: quotient.mantissa / 10, scale: quotient.scale - 1 };
        }
        Some(quotient)
    }

    /// At most `places` behind the point, rounded half away from zero.
    pub(super) fn round(self, places: u32) -> Option<Self> {
        match self.scale.checked_sub(places).filter(|excess| *excess > 0) {
            None => Some(self),
            Some(excess) => Some(Self { mantissa: rounded_quotient(self.mantissa, power(excess)?)?, scale: places }),
        }
    }

    /// The JSON number, all places behind the point written.
    pub(super) fn to_json(self) -> String {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let places = usize::try_from(self.scale).unwrap_or(0);
        let digits = format!("{:0>width$}", self.mantissa.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at_checked(digits.len() - places).unwrap_or((&digits, ""));
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }

    fn at(self, scale: u32) -> Option<i128> {
        self.mantissa.checked_mul(power(scale.checked_sub(self.scale)?)?)
    }
}

/// Most places behind the point, and most zeros an exponent may stand for.
pub(super) const PLACES_MAX: u32 = 18;

fn power(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

fn rounded_quotient(dividend: i128, divisor: i128) -> Option<i128> {
    let quotient = dividend.checked_div(divisor)?;
    let rest = dividend.checked_rem(divisor)?;
    let away = rest.unsigned_abs().checked_mul(2)? >= divisor.unsigned_abs();
    let direction = if (dividend < 0) == (divisor < 0) { 1 } else { -1 };
    if away { quotient.checked_add(direction) } else { Some(quotient) }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    fn of(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn sums_and_products_are_exact() {
        assert_eq!(of("0.1").add(of("0.2")).unwrap().to_json(), "0.3");
        assert_eq!(of("36.60").add(of("-36.6")).unwrap().to_json(), "0.00");
        assert_eq!(of("1").add(of("0.005").negate()).unwrap().to_json(), "0.995");
        assert_eq!(of("1.50").multiply(of("-2e1")).unwrap().to_json(), "-30.00");
    }

    #[test]
    fn quotients_and_rounding_go_half_away_from_zero() {
        for (left, right, places, expected) in [
            ("1000", "360", 9, "2.777777778"),
            ("1", "200", 9, "0.005"),
            ("-1", "8", 2, "-0.13"),
            ("5", "2", 0, "3"),
            ("0", "7", 4, "0"),
            ("0.6", "0.0002", 3, "3000"),
        ] {
            assert_eq!(of(left).divide(of(right), places).unwrap().to_json(), expected, "{left} / {right}");
        }
        assert!(of("1").divide(of("0.0"), 2).is_none());
        for (text, places, expected) in
            [("36.65", 1, "36.7"), ("-36.65", 1, "-36.7"), ("36.6", 2, "36.6"), ("99.5", 0, "100"), ("1e2", 0, "100")]
        {
            assert_eq!(of(text).round(places).unwrap().to_json(), expected, "{text}");
        }
    }

    #[test]
    fn what_has_too_many_digits_is_not_computed_with() {
        for text in ["x", "", "1e19", "1e-40", "1234567890123456789", "36,6"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_operands_panic(left in "-?[0-9]{1,20}(\\.[0-9]{0,20})?(e-?[0-9]{1,3})?", right in "-?[0-9]{1,20}(\\.[0-9]{0,20})?", places in 0_u32..40) {
            if let Some((left, right)) = Decimal::parse(&left).zip(Decimal::parse(&right)) {
                let results = [left.add(right), left.multiply(right), left.divide(right, places), left.round(places)];
                for result in results.into_iter().flatten() {
                    proptest::prop_assert!(serde_json::from_str::<serde_json::Number>(&result.to_json()).is_ok());
                }
            }
        }
    }
}
