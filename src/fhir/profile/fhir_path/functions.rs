//! The functions of FHIRPath (<http://hl7.org/fhirpath/N1/#functions>), and those that FHIR adds.

use std::borrow::Cow;

use regex::RegexBuilder;

use super::Failure;
use super::evaluate::{
    Surroundings, Values, bool_of, comparing, distinct, evaluate, is_among, member_of, single, text_of, truth, union,
};
use super::parse::{Expression, Start, Step};
use super::value::{Plain, Value};
use crate::fhir::profile::decimal::Decimal;

/// Largest compiled pattern of `matches`, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What compiling such a pattern counts for, in steps.
const PATTERN_STEPS: usize = 2_000;

/// How much text is looked through in a step, in bytes.
const TEXT_BYTES_OF_STEP: usize = 64;

/// Deepest that `descendants` goes; JSON nests no deeper.
const DEPTH_MAX: usize = 128;

/// Calls a function on `input`. What its arguments are about is `focus`, unless it goes through the input one by one.
///
/// # Errors
/// When it is not known, its input or arguments are not what it takes, or that takes too long.
pub(super) fn call<'n>(
    name: &str,
    input: &[Value<'n>],
    arguments: &[Expression],
    focus: &[Value<'n>],
    around: Surroundings<'_, 'n>,
) -> Result<Values<'n>, Failure> {
    let call = Call { name, input, arguments, focus, around };
    match arguments {
        [] => call.plain(),
        [argument] => call.with(argument),
        [condition, rest @ ..] if name == "iif" => {
            let holds = truth(&evaluate(condition, input, around)?)? == Some(true);
            let chosen = if holds { rest.first() } else { rest.get(1) };
            chosen.map_or(Ok(Vec::new()), |chosen| evaluate(chosen, input, around))
        }
        _ => call.with_several(),
    }
}

struct Call<'c, 'n> {
    name: &'c str,
    input: &'c [Value<'n>],
    arguments: &'c [Expression],
    focus: &'c [Value<'n>],
    around: Surroundings<'c, 'n>,
}

impl<'n> Call<'_, 'n> {
    fn plain(&self) -> Result<Values<'n>, Failure> {
        let input = self.input;
        Ok(match self.name {
            "empty" => vec![bool_of(input.is_empty())],
            "exists" => vec![bool_of(!input.is_empty())],
            "not" => truth(input)?.map(|value| bool_of(!value)).into_iter().collect(),
            "hasValue" => vec![bool_of(matches!(input, [value] if value.plain().is_some()))],
            "getValue" => single(input)?.and_then(Value::plain).map(Value::Plain).into_iter().collect(),
            "count" => vec![Value::Plain(Plain::Number(input.len().into()))],
            "first" => input.first().cloned().into_iter().collect(),
            "last" => input.last().cloned().into_iter().collect(),
            "single" => single(input)?.cloned().into_iter().collect(),
            "tail" => input.iter().skip(1).cloned().collect(),
            "distinct" => self.each_once()?,
            "isDistinct" => vec![bool_of(self.each_once()?.len() == input.len())],
            "allTrue" => vec![bool_of(self.truths()?.into_iter().all(|value| value))],
            "anyTrue" => vec![bool_of(self.truths()?.into_iter().any(|value| value))],
            "allFalse" => vec![bool_of(self.truths()?.into_iter().all(|value| !value))],
            "anyFalse" => vec![bool_of(self.truths()?.into_iter().any(|value| !value))],
            "children" => self.children(input)?,
            "descendants" => self.descendants()?,
            "trace" => input.to_vec(),
            "toString" => self.text()?.map(text_of).into_iter().collect(),
            "toInteger" | "toDecimal" => self.number()?.into_iter().collect(),
            "length" => {
                let length = self.text()?.map(|text| text.chars().count());
                length.map(|length| Value::Plain(Plain::Number(length.into()))).into_iter().collect()
            }
            "upper" => self.text()?.map(|text| text_of(text.to_uppercase())).into_iter().collect(),
            "lower" => self.text()?.map(|text| text_of(text.to_lowercase())).into_iter().collect(),
            _ => return Err(self.unknown()),
        })
    }

    fn with(&self, argument: &Expression) -> Result<Values<'n>, Failure> {
        let input = self.input;
        Ok(match self.name {
            "where" => self.each(argument, |value, found| Ok(only_if(truth(found)?, value)))?,
            "select" => self.each(argument, |_value, found| Ok(found.to_vec()))?,
            "exists" => {
                let found = self.each(argument, |value, found| Ok(only_if(truth(found)?, value)))?;
                vec![bool_of(!found.is_empty())]
            }
            "all" => {
                let found = self.each(argument, |value, found| Ok(only_if(truth(found)?, value)))?;
                vec![bool_of(found.len() == input.len())]
            }
            "as" | "ofType" => {
                let name = type_name(argument).ok_or_else(|| self.unknown())?;
                input.iter().filter(|value| value.is_of(&name)).cloned().collect()
            }
            "is" => {
                let name = type_name(argument).ok_or_else(|| self.unknown())?;
                single(input)?.map(|value| bool_of(value.is_of(&name))).into_iter().collect()
            }
            "trace" => input.to_vec(),
            "extension" => {
                let url = self.argument(argument)?;
                let below = member_of(input, "extension");
                let has_url = |value: &Value<'n>| {
                    member_of(std::slice::from_ref(value), "url").iter().any(|own| own.text() == url)
                };
                below.into_iter().filter(|extension| url.is_some() && has_url(extension)).collect()
            }
            "intersect" | "exclude" | "union" | "combine" | "subsetOf" | "supersetOf" => self.sets(argument)?,
            "skip" | "take" => self.part(argument)?,
            _ => self.of_text(argument)?,
        })
    }

    fn with_several(&self) -> Result<Values<'n>, Failure> {
        match (self.name, self.arguments) {
            ("trace", _) => Ok(self.input.to_vec()),
            ("substring", [start, length]) => self.substring(start, Some(length)),
            ("replace", [pattern, with]) => {
                self.replace(pattern, with, |text, pattern, with| Ok(text.replace(pattern, with)))
            }
            ("replaceMatches", [pattern, with]) => self.replace(pattern, with, |text, pattern, with| {
                Ok(self.pattern(pattern)?.replace_all(text, with).into_owned())
            }),
            _ => Err(self.unknown()),
        }
    }

    fn of_text(&self, argument: &Expression) -> Result<Values<'n>, Failure> {
        let holds: fn(&Self, &str, &str) -> Result<bool, Failure> = match self.name {
            "substring" => return self.substring(argument, None),
            "startsWith" => |_, text, other| Ok(text.starts_with(other)),
            "endsWith" => |_, text, other| Ok(text.ends_with(other)),
            "contains" => |_, text, other| Ok(text.contains(other)),
            "matches" => |call, text, other| Ok(call.pattern(other)?.is_match(text)),
            _ => return Err(self.unknown()),
        };
        match (self.text()?, self.argument(argument)?) {
            (Some(text), Some(other)) => Ok(vec![bool_of(holds(self, &text, &other)?)]),
            _ => Ok(Vec::new()),
        }
    }

    /// What comes of an argument that is evaluated for each value of the input.
    fn each(
        &self,
        argument: &Expression,
        keep: impl Fn(&Value<'n>, &[Value<'n>]) -> Result<Values<'n>, Failure>,
    ) -> Result<Values<'n>, Failure> {
        let mut kept = Vec::new();
        for value in self.input {
            let found = evaluate(argument, std::slice::from_ref(value), self.around)?;
            kept.extend(keep(value, &found)?);
        }
        Ok(kept)
    }

    fn each_once(&self) -> Result<Values<'n>, Failure> {
        comparing(self.input, self.input, self.around)?;
        Ok(distinct(self.input.iter().cloned()))
    }

    fn truths(&self) -> Result<Vec<bool>, Failure> {
        let truths = self.input.iter().map(|value| truth(std::slice::from_ref(value)));
        truths.map(|value| Ok(value?.unwrap_or(false))).collect()
    }

    fn children(&self, of: &[Value<'n>]) -> Result<Values<'n>, Failure> {
        let mut children = Vec::new();
        for value in of {
            if let Value::Item(item) = value {
                children.extend(item.children().into_iter().map(|child| Value::Item(child.item)));
            }
            self.around.steps.take(1)?;
        }
        self.around.steps.take(children.len())?;
        Ok(children)
    }

    fn descendants(&self) -> Result<Values<'n>, Failure> {
        let mut all = Vec::new();
        let mut level = self.children(self.input)?;
        for _depth in 0..DEPTH_MAX {
            if level.is_empty() {
                return Ok(all);
            }
            let below = self.children(&level)?;
            all.append(&mut level);
            level = below;
        }
        Ok(all)
    }

    fn sets(&self, argument: &Expression) -> Result<Values<'n>, Failure> {
        let other = evaluate(argument, self.focus, self.around)?;
        self.around.steps.take(other.len())?;
        comparing(self.input, &other, self.around)?;
        let (input, values) = (self.input, self.input.iter().cloned());
        Ok(match self.name {
            "intersect" => distinct(values.filter(|value| is_among(value, &other))),
            "exclude" => values.filter(|value| !is_among(value, &other)).collect(),
            "union" => union(values.collect(), other, self.around)?,
            "combine" => values.chain(other).collect(),
            "subsetOf" => vec![bool_of(input.iter().all(|value| is_among(value, &other)))],
            _ => vec![bool_of(other.iter().all(|value| is_among(value, input)))],
        })
    }

    fn part(&self, argument: &Expression) -> Result<Values<'n>, Failure> {
        let count = self.count(argument)?.unwrap_or_default();
        let values = self.input.iter().cloned();
        Ok(if self.name == "skip" { values.skip(count).collect() } else { values.take(count).collect() })
    }

    fn substring(&self, start: &Expression, length: Option<&Expression>) -> Result<Values<'n>, Failure> {
        let length = length.map_or(Ok(Some(usize::MAX)), |length| self.count(length))?;
        let (Some(text), Some(start)) = (self.text()?, self.count(start)?) else { return Ok(Vec::new()) };
        let part: String = text.chars().skip(start).take(length.unwrap_or(usize::MAX)).collect();
        Ok((start < text.chars().count()).then(|| text_of(part)).into_iter().collect())
    }

    fn replace(
        &self,
        pattern: &Expression,
        with: &Expression,
        replaced: impl FnOnce(&str, &str, &str) -> Result<String, Failure>,
    ) -> Result<Values<'n>, Failure> {
        let (text, pattern, with) = (self.text()?, self.argument(pattern)?, self.argument(with)?);
        let (Some(text), Some(pattern), Some(with)) = (text, pattern, with) else { return Ok(Vec::new()) };
        // What one byte may grow to.
        self.around.steps.take(text.len().saturating_mul(with.len().saturating_add(1)))?;
        Ok(vec![text_of(replaced(&text, &pattern, &with)?)])
    }

    fn pattern(&self, pattern: &str) -> Result<regex::Regex, Failure> {
        self.around.steps.take(PATTERN_STEPS)?;
        let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
        compiled.map_err(|_error| Failure::new("its pattern is none this server matches"))
    }

    /// The input as text: that of its only value.
    fn text(&self) -> Result<Option<String>, Failure> {
        let text = self.whole_text()?;
        self.around.steps.take(text.as_ref().map_or(0, String::len) / TEXT_BYTES_OF_STEP)?;
        Ok(text)
    }

    fn whole_text(&self) -> Result<Option<String>, Failure> {
        single(self.input)?.map_or(Ok(None), |value| match value {
            Value::Item(item) if item.node.is_some_and(|node| node.as_number().is_some()) => {
                Ok(item.node.and_then(|node| node.as_number()).map(str::to_owned))
            }
            Value::Item(_) | Value::Plain(_) => match value.plain() {
                Some(Plain::Bool(value)) => Ok(Some(value.to_string())),
                Some(Plain::Text(text) | Plain::Moment(text)) => Ok(Some(text.into_owned())),
                Some(Plain::Number(_)) => Err(Failure::new("it writes a computed number as text")),
                None => Ok(None),
            },
        })
    }

    fn number(&self) -> Result<Option<Value<'n>>, Failure> {
        let number = single(self.input)?.and_then(|value| match value.plain()? {
            Plain::Number(number) => Some(number),
            Plain::Text(text) => Decimal::parse(&text),
            Plain::Bool(value) => Some(usize::from(value).into()),
            Plain::Moment(_) => None,
        });
        Ok(number.map(|number| Value::Plain(Plain::Number(number))))
    }

    /// An argument that is a text.
    fn argument(&self, argument: &Expression) -> Result<Option<Cow<'n, str>>, Failure> {
        let found = evaluate(argument, self.focus, self.around)?;
        Ok(single(&found)?.and_then(Value::text))
    }

    /// An argument that is a count.
    fn count(&self, argument: &Expression) -> Result<Option<usize>, Failure> {
        let found = evaluate(argument, self.focus, self.around)?;
        Ok(single(&found)?.and_then(|value| match value.plain() {
            Some(Plain::Number(number)) => number.as_count(),
            _ => None,
        }))
    }

    fn unknown(&self) -> Failure {
        Failure::new(format!("`{}()` is not known here as it is called", self.name))
    }
}

fn only_if<'n>(holds: Option<bool>, value: &Value<'n>) -> Values<'n> {
    if holds == Some(true) { vec![value.clone()] } else { Vec::new() }
}

/// An argument that names a type: `Quantity`, `FHIR.Quantity`.
fn type_name(argument: &Expression) -> Option<String> {
    let Expression::Path(Start::Focus, steps) = argument else { return None };
    let names = steps.iter().map(|step| match step {
        Step::Member(name) => Some(name.as_str()),
        Step::Call(..) | Step::Index(_) => None,
    });
    names.collect::<Option<Vec<&str>>>().map(|names| names.join("."))
}
