//! Arithmetic: two integers give an integer of 64 bits, a float makes a float (JM-14). What has no exact integer or no
//! finite float as its result is a failure and never another number (JM-15).

use super::super::FunctionFailure;
use super::super::number::{self, is_integer};
use super::super::value::{Found, Value};
use super::Arguments;

type Outcome<'n, 'a> = Result<Found<'n, 'a>, FunctionFailure>;

pub(super) fn add<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    binary(arguments, i64::checked_add, |left, right| left + right)
}

pub(super) fn subtract<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    binary(arguments, i64::checked_sub, |left, right| left - right)
}

pub(super) fn multiply<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    binary(arguments, i64::checked_mul, |left, right| left * right)
}

/// Integers divide with truncation toward zero (JM-12).
pub(super) fn divide<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    if double(arguments, arguments.number(1)?)? == 0.0 {
        arguments.number(0)?;
        return arguments.fail("division by zero");
    }
    binary(arguments, i64::checked_div, |left, right| left / right)
}

pub(super) fn pow<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    binary(arguments, integer_pow, f64::powf)
}

/// The power of two integers, exact where a double would not be, rounded half to even (JM-13): of the fractions only a
/// half could round up, and its even neighbour is 0. Zero to a negative power is no number.
fn integer_pow(base: i64, exponent: i64) -> Option<i64> {
    match (base, exponent) {
        (1, _) | (_, 0) => Some(1),
        (0, 1..) => Some(0),
        (0, _) => None,
        (-1, exponent) => Some(if exponent % 2 == 0 { 1 } else { -1 }),
        (_, ..=-1) => Some(0),
        (base, exponent) => base.checked_pow(u32::try_from(exponent).ok()?),
    }
}

fn binary<'n, 'a>(
    arguments: &Arguments<'_, 'n, 'a>,
    integers: fn(i64, i64) -> Option<i64>,
    floats: fn(f64, f64) -> f64,
) -> Outcome<'n, 'a> {
    let (left, right) = (arguments.number(0)?, arguments.number(1)?);
    if is_integer(left) && is_integer(right) {
        let result = integers(arguments.integer(0)?, arguments.integer(1)?);
        return match result {
            Some(result) => Ok(Some(Value::number(result.to_string()))),
            None => arguments.fail("the result is beyond an integer of 64 bits"),
        };
    }
    float(arguments, floats(double(arguments, left)?, double(arguments, right)?))
}

fn double(arguments: &Arguments<'_, '_, '_>, digits: &str) -> Result<f64, FunctionFailure> {
    number::double(digits).map_or_else(|| arguments.fail("a number is beyond the range of floats"), Ok)
}

fn float<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>, result: f64) -> Outcome<'n, 'a> {
    match number::float(result) {
        Some(digits) => Ok(Some(Value::number(digits))),
        None => arguments.fail("the result is not a finite number"),
    }
}

pub(super) fn abs<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    Ok(Some(Value::number(arguments.number(0)?.trim_start_matches('-').to_owned())))
}

pub(super) fn ceil<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    rounded(arguments, f64::ceil)
}

pub(super) fn floor<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    rounded(arguments, f64::floor)
}

/// An integer, which is how a float becomes one (JM-17 asks for that).
fn rounded<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>, round: fn(f64) -> f64) -> Outcome<'n, 'a> {
    let digits = arguments.number(0)?;
    if is_integer(digits) {
        return Ok(Some(Value::number(digits.to_owned())));
    }
    let rounded = round(double(arguments, digits)?);
    let plain = if rounded == 0.0 { "0".to_owned() } else { rounded.to_string() };
    Ok(Some(Value::number(plain)))
}

pub(super) fn sum<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let elements = arguments.array(0)?;
    let numbers = numbers(arguments, &elements)?;
    if numbers.iter().all(|digits| is_integer(digits)) {
        let sum = numbers.iter().try_fold(0_i64, |sum, digits| sum.checked_add(digits.parse().ok()?));
        return match sum {
            Some(sum) => Ok(Some(Value::number(sum.to_string()))),
            None => arguments.fail("the sum is beyond an integer of 64 bits"),
        };
    }
    float(arguments, float_sum(arguments, &numbers)?)
}

/// A float; null for an empty array.
pub(super) fn avg<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Outcome<'n, 'a> {
    let elements = arguments.array(0)?;
    let numbers = numbers(arguments, &elements)?;
    let Ok(count @ 1..) = u32::try_from(numbers.len()) else {
        return Ok(None);
    };
    float(arguments, float_sum(arguments, &numbers)? / f64::from(count))
}

fn float_sum(arguments: &Arguments<'_, '_, '_>, numbers: &[&str]) -> Result<f64, FunctionFailure> {
    numbers.iter().try_fold(0.0, |sum, digits| Ok(sum + double(arguments, digits)?))
}

fn numbers<'v>(
    arguments: &Arguments<'_, '_, '_>,
    elements: &'v [Found<'_, '_>],
) -> Result<Vec<&'v str>, FunctionFailure> {
    let number = |element: &'v Found<'_, '_>| {
        element.as_ref().and_then(Value::as_number).map_or_else(|| arguments.fail("an array of numbers is needed"), Ok)
    };
    elements.iter().map(number).collect()
}
