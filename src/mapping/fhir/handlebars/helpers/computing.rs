//! Helpers that compute with decimals.

use super::arithmetic::{Decimal, PLACES_MAX};
use super::{Answer, Call, Refusal};

/// Places behind the point of a quotient, unless told.
const QUOTIENT_PLACES: u32 = 9;

pub(super) fn add(call: &Call<'_, '_>) -> Answer {
    fold(call, Decimal::add)
}

pub(super) fn subtract(call: &Call<'_, '_>) -> Answer {
    fold(call, |left, right| left.add(right.negate()))
}

pub(super) fn multiply(call: &Call<'_, '_>) -> Answer {
    fold(call, Decimal::multiply)
}

pub(super) fn divide(call: &Call<'_, '_>) -> Answer {
    let digits = call.option("digits")?;
    let places = digits.map_or(Ok(QUOTIENT_PLACES), |digits| places(&digits))?;
    fold(call, |left, right| left.divide(right, places))
}

pub(super) fn round(call: &Call<'_, '_>) -> Answer {
    let (Some(value), Some(digits)) = (operand(call, 0)?, call.text(1)?) else { return Ok(None) };
    answer(value.round(places(&digits)?))
}

/// One missing operand leaves nothing to compute.
fn fold(call: &Call<'_, '_>, combine: impl Fn(Decimal, Decimal) -> Option<Decimal>) -> Answer {
    let Some(mut result) = operand(call, 0)? else { return Ok(None) };
    for index in 1..call.count() {
        let Some(other) = operand(call, index)? else { return Ok(None) };
        match combine(result, other) {
            Some(combined) => result = combined,
            None => return answer(None),
        }
    }
    answer(Some(result))
}

fn operand(call: &Call<'_, '_>, index: usize) -> Result<Option<Decimal>, Refusal> {
    let Some(text) = call.text(index)? else { return Ok(None) };
    let decimal = Decimal::parse(&text);
    let refusal = || call.refuse("InvalidQuantityFhirValueException", index, "a decimal of at most 18 digits", &text);
    decimal.map(Some).ok_or_else(refusal)
}

fn answer(result: Option<Decimal>) -> Answer {
    let number = result.and_then(|result| serde_json::from_str(&result.to_json()).ok());
    number.map(Some).ok_or_else(|| Refusal::new("the result has too many digits, or a divisor is zero"))
}

fn places(text: &str) -> Result<u32, Refusal> {
    let places = text.parse().ok().filter(|places| *places <= PLACES_MAX);
    places.ok_or_else(|| Refusal::new(format!("`{text}` is no number of digits, which is 0 to {PLACES_MAX}")))
}
