//! The functions an expression may call: 26 of JMESPath and nine of the reference (JM-9 to JM-18).
//!
//! Names and numbers of arguments are checked at load (JM-20), types when called: nothing is converted (JM-19).

mod arithmetic;
mod conversion;
mod date;
mod list;
mod object;
mod text;

use super::FunctionFailure;
use super::evaluate::Evaluator;
use super::expression::Expression;
use super::number;
use super::value::{Found, Value};

/// A function of the language.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    takes: Takes,
    yields: Yields,
    call: Call,
}

type Call = for<'e, 'n, 'a> fn(&Arguments<'e, 'n, 'a>) -> Result<Found<'n, 'a>, FunctionFailure>;

/// The arguments of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    One,
    Two,
    Three,
    Several,
    /// An array, then an expression for each of its elements.
    ArrayAndExpression,
    /// An expression, then an array whose elements it is for.
    ExpressionAndArray,
}

/// What is known of the result before a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Yields {
    /// Always something; no argument is refused.
    Always,
    /// A value, or a refusal of the arguments.
    Value,
    /// A boolean, or a refusal of the arguments.
    Boolean,
}

const FUNCTIONS: &[Function] = &[
    row("abs", Takes::One, Yields::Value, arithmetic::abs),
    row("add", Takes::Two, Yields::Value, arithmetic::add),
    row("avg", Takes::One, Yields::Value, arithmetic::avg),
    row("ceil", Takes::One, Yields::Value, arithmetic::ceil),
    row("contains", Takes::Two, Yields::Boolean, list::contains),
    row("divide", Takes::Two, Yields::Value, arithmetic::divide),
    row("ends_with", Takes::Two, Yields::Boolean, text::ends_with),
    row("floor", Takes::One, Yields::Value, arithmetic::floor),
    row("fromUnixTimestamp", Takes::One, Yields::Value, date::from_seconds),
    row("fromUnixTimestampMs", Takes::One, Yields::Value, date::from_milliseconds),
    row("insertString", Takes::Three, Yields::Value, text::insert),
    row("join", Takes::Two, Yields::Value, text::join),
    row("keys", Takes::One, Yields::Value, object::keys),
    row("length", Takes::One, Yields::Value, list::length),
    row("map", Takes::ExpressionAndArray, Yields::Value, list::map),
    row("max", Takes::One, Yields::Value, list::max),
    row("max_by", Takes::ArrayAndExpression, Yields::Value, list::max_by),
    row("merge", Takes::Several, Yields::Value, object::merge),
    row("min", Takes::One, Yields::Value, list::min),
    row("min_by", Takes::ArrayAndExpression, Yields::Value, list::min_by),
    row("multiply", Takes::Two, Yields::Value, arithmetic::multiply),
    row("not_null", Takes::Several, Yields::Always, conversion::not_null),
    row("pow", Takes::Two, Yields::Value, arithmetic::pow),
    row("reverse", Takes::One, Yields::Value, list::reverse),
    row("sort", Takes::One, Yields::Value, list::sort),
    row("sort_by", Takes::ArrayAndExpression, Yields::Value, list::sort_by),
    row("starts_with", Takes::Two, Yields::Boolean, text::starts_with),
    row("subtract", Takes::Two, Yields::Value, arithmetic::subtract),
    row("sum", Takes::One, Yields::Value, arithmetic::sum),
    row("to_array", Takes::One, Yields::Always, conversion::to_array),
    row("to_number", Takes::One, Yields::Always, conversion::to_number),
    row("to_string", Takes::One, Yields::Always, conversion::to_string),
    row("type", Takes::One, Yields::Always, conversion::type_name),
    row("values", Takes::One, Yields::Value, object::values),
];

const fn row(name: &'static str, takes: Takes, yields: Yields, call: Call) -> Function {
    Function { name, takes, yields, call }
}

/// The function of a name; names are case sensitive (JM-20).
pub(super) fn named(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// The function somebody may have meant.
pub(super) fn similar(name: &str) -> Option<&'static str> {
    /// How alike two names must be for one to be meant by the other, of 1.
    const ALIKE_MIN: f64 = 0.8;
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let wanted = plain(name);
    let likeness = |function: &Function| strsim::jaro_winkler(&wanted, &plain(function.name));
    let best = FUNCTIONS.iter().max_by(|left, right| likeness(left).total_cmp(&likeness(right)))?;
    (likeness(best) >= ALIKE_MIN).then_some(best.name)
}

impl Function {
    /// Says what is wrong with a number of arguments, if it is (JM-20).
    pub(super) fn miscounts(&self, given: usize) -> Option<String> {
        let (wanted, fits) = match self.takes {
            Takes::One => ("1 argument", given == 1),
            Takes::Two | Takes::ArrayAndExpression | Takes::ExpressionAndArray => ("2 arguments", given == 2),
            Takes::Three => ("3 arguments", given == 3),
            Takes::Several => ("at least 1 argument", given >= 1),
        };
        (!fits).then(|| format!("`{}` takes {wanted}, not {given}", self.name))
    }

    /// Whether an argument is an expression, written with `&`.
    pub(super) fn takes_expression(&self, place: usize) -> bool {
        matches!((self.takes, place), (Takes::ArrayAndExpression, 1) | (Takes::ExpressionAndArray, 0))
    }

    /// Whether it tells true from false.
    pub(super) fn is_test(&self) -> bool {
        self.yields == Yields::Boolean
    }

    /// Whether the members of its result are members of its argument.
    pub(super) fn keeps_members(&self) -> bool {
        self.name == "to_array"
    }

    /// Whether it may refuse its arguments.
    pub(super) fn may_fail(&self) -> bool {
        self.yields != Yields::Always
    }
}

/// The arguments of a call, evaluated but for the one that is an expression.
pub(super) struct Arguments<'e, 'n, 'a> {
    function: &'static Function,
    values: Vec<Found<'n, 'a>>,
    expression: Option<&'n Expression>,
    evaluator: &'e Evaluator,
}

impl<'e, 'n, 'a> Arguments<'e, 'n, 'a> {
    pub(super) fn of(
        function: &'static Function,
        arguments: &'n [Expression],
        evaluator: &'e Evaluator,
        current: &Found<'n, 'a>,
    ) -> Result<Self, FunctionFailure> {
        let mut values = Vec::with_capacity(arguments.len());
        let mut expression = None;
        for (place, argument) in arguments.iter().enumerate() {
            if function.takes_expression(place) {
                expression = Some(argument);
            } else {
                values.push(evaluator.value(argument, current)?);
            }
        }
        Ok(Self { function, values, expression, evaluator })
    }

    pub(super) fn apply(&self) -> Result<Found<'n, 'a>, FunctionFailure> {
        (self.function.call)(self)
    }

    fn fail<T>(&self, reason: impl Into<String>) -> Result<T, FunctionFailure> {
        Err(FunctionFailure { function: self.function.name, reason: reason.into() })
    }

    /// The refusal of a type (JM-19).
    fn refuse<T>(&self, given: &Found<'_, '_>, wanted: &str) -> Result<T, FunctionFailure> {
        let given = given.as_ref().map_or("null", Value::type_name);
        self.fail(format!("{wanted} is needed, not {given}"))
    }

    fn charge(&self, work: usize) -> Result<(), FunctionFailure> {
        self.evaluator.charge(work)
    }

    /// The value of an argument, the expression not counted.
    fn value(&self, place: usize) -> &Found<'n, 'a> {
        self.values.get(place).unwrap_or(&None)
    }

    fn text(&self, place: usize) -> Result<&str, FunctionFailure> {
        let given = self.value(place);
        let text = given.as_ref().and_then(Value::as_text);
        text.map_or_else(|| self.refuse(given, "a string"), Ok)
    }

    fn number(&self, place: usize) -> Result<&str, FunctionFailure> {
        let given = self.value(place);
        let number = given.as_ref().and_then(Value::as_number);
        number.map_or_else(|| self.refuse(given, "a number"), Ok)
    }

    /// An integer of 64 bits; a float never is one (JM-17).
    fn integer(&self, place: usize) -> Result<i64, FunctionFailure> {
        let digits = self.number(place)?;
        if !number::is_integer(digits) {
            return self.fail("an integer is needed, not a float");
        }
        digits.parse().or_else(|_too_large| self.fail("an integer is beyond 64 bits"))
    }

    /// The elements of an array.
    fn array(&self, place: usize) -> Result<Vec<Found<'n, 'a>>, FunctionFailure> {
        let given = self.value(place);
        match given.as_ref().and_then(|value| Some((value, value.elements()?))) {
            Some((array, count)) => {
                self.charge(count)?;
                Ok((0..count).map(|index| array.element(index)).collect())
            }
            None => self.refuse(given, "an array"),
        }
    }

    /// What the expression finds in an element.
    fn each(&self, element: &Found<'n, 'a>) -> Result<Found<'n, 'a>, FunctionFailure> {
        match self.expression {
            Some(expression) => self.evaluator.value(expression, element),
            None => Ok(None),
        }
    }
}
