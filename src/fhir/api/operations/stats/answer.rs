//! The answer of `$stats`: an Observation for each code, with a component for each statistic.

use jiff::Timestamp;

use super::points::UCUM;
use super::statistic::{Line, Sample, Statistic, What, significant};
use super::{Measured, Question};
use crate::fhir::api::operations::parameters::{output, resource};
use crate::fhir::store::Version;
use crate::json::{self, Node};

/// The code system of the statistics.
const STATISTICS_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/observation-statistics";
/// The code system of reasons why there is no value.
const ABSENT_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
/// Digits behind the point that a computed value shows more than what it was computed of.
const MORE_DECIMALS: usize = 2;
/// Digits behind the point that are ever written.
const DECIMALS_MAX: usize = 15;

/// The Parameters, as JSON.
pub(super) fn write(question: &Question, results: Vec<Measured>, sources: &[Version]) -> String {
    let mut outputs = Vec::with_capacity(results.len() + sources.len());
    for measured in results {
        outputs.push(output("statistics", "resource", observation(question, measured)));
    }
    let bodies = sources.iter().filter_map(|version| version.body.as_ref());
    outputs.extend(bodies.filter_map(|body| Some(output("source", "resource", json::parse(body).ok()?))));
    resource(outputs)
}

fn observation(question: &Question, measured: Measured) -> Node<'static> {
    let times = measured.points.iter().filter_map(|point| point.at);
    let span = question.span.or_else(|| times.clone().min().zip(times.max()));
    let total = measured.points.len() + measured.ignored;
    let zero = span.map_or(0, |(start, _)| start);
    let sample = Sample::of(measured.points);
    let mut components = Vec::with_capacity(question.statistics.len() + 1);
    for statistic in question.statistics.iter().copied() {
        let what = statistic.what;
        if what == What::Regression {
            components.extend(line(statistic, sample.regression(zero), &sample, &measured.unit));
        } else if what == What::TotalCount {
            components.push(component(statistic, None, Some(quantity(total.to_string(), "1"))));
        } else {
            let value = sample.value(what).map(|value| written(what, value, sample.decimals()));
            let value = value.map(|value| quantity(value, &unit_of(what, &measured.unit)));
            components.push(component(statistic, None, value));
        }
    }
    let (system, code) = measured.coding;
    let coding = object([("system", system.into()), ("code", code.into())]);
    let mut members = vec![
        ("resourceType".into(), "Observation".into()),
        ("status".into(), "final".into()),
        ("code".into(), object([("coding", Node::Array(vec![coding]))])),
        ("subject".into(), object([("reference", question.subject.as_str().into())])),
    ];
    members.extend(period(span).map(|period| ("effectivePeriod".into(), period)));
    members.push(("component".into(), Node::Array(components)));
    Node::Object(members)
}

/// The two values of a line, told apart by their texts.
fn line(statistic: Statistic, line: Option<Line>, sample: &Sample, unit: &str) -> Vec<Node<'static>> {
    let value = |value: Option<f64>, unit: &str| {
        value.map(|value| quantity(written(What::Regression, value, sample.decimals()), unit))
    };
    let gradient = value(line.map(|line| line.gradient), &per_hour(unit));
    let intercept = value(line.map(|line| line.intercept), unit);
    vec![
        component(statistic, Some("Gradient, in an hour"), gradient),
        component(statistic, Some("Intercept, at the start of the period"), intercept),
    ]
}

fn component(statistic: Statistic, text: Option<&str>, value: Option<Node<'static>>) -> Node<'static> {
    let coding = object([
        ("system", STATISTICS_SYSTEM.into()),
        ("code", statistic.code.into()),
        ("display", statistic.display.into()),
    ]);
    let mut code = vec![("coding".into(), Node::Array(vec![coding]))];
    code.extend(text.map(|text| ("text".into(), text.into())));
    let value = value.map_or_else(
        || {
            let coding = object([("system", ABSENT_SYSTEM.into()), ("code", "not-a-number".into())]);
            ("dataAbsentReason", object([("coding", Node::Array(vec![coding]))]))
        },
        |value| ("valueQuantity", value),
    );
    object([("code", Node::Object(code)), value])
}

/// An amount; without system and code where the unit is not one of UCUM, such as the square of a temperature.
fn quantity(value: String, unit: &str) -> Node<'static> {
    let value = ("value", Node::Number(value.into()));
    if octofhir_ucum::validate(unit).is_err() {
        return object([value, ("unit", unit.into())]);
    }
    object([value, ("unit", unit.into()), ("system", UCUM.into()), ("code", unit.into())])
}

fn unit_of(what: What, unit: &str) -> String {
    match what {
        What::Count | What::TotalCount | What::Skew | What::Kurtosis => "1".to_owned(),
        What::Variance => format!("({unit})2"),
        What::Average
        | What::Maximum
        | What::Minimum
        | What::StandardDeviation
        | What::Sum
        | What::Percentile(_)
        | What::QuartileDeviation
        | What::Regression => {
            if unit.is_empty() {
                "1".to_owned()
            } else {
                unit.to_owned()
            }
        }
    }
}

fn per_hour(unit: &str) -> String {
    format!("({unit})/h")
}

/// A value with as many digits as it deserves: those of the measurements where it is one of them, some more where it is
/// computed.
fn written(what: What, value: f64, decimals: usize) -> String {
    let decimals = match what {
        What::Count | What::TotalCount => 0,
        What::Maximum | What::Minimum | What::Sum => decimals,
        What::Average
        | What::StandardDeviation
        | What::Variance
        | What::Percentile(_)
        | What::QuartileDeviation
        | What::Skew
        | What::Kurtosis
        | What::Regression => (decimals + MORE_DECIMALS).max(significant(value)),
    };
    format!("{value:.*}", decimals.min(DECIMALS_MAX))
}

fn period(span: Option<(i64, i64)>) -> Option<Node<'static>> {
    let (start, end) = span?;
    let time = |micros: i64| Timestamp::from_microsecond(micros).ok().map(|time| format!("{time:.3}"));
    let bounds = [("start", time(start)), ("end", time(end))];
    let bounds = bounds.into_iter().filter_map(|(name, time)| Some((name.into(), Node::from(time?))));
    let bounds: Vec<_> = bounds.collect();
    (!bounds.is_empty()).then_some(Node::Object(bounds))
}

fn object<const N: usize>(members: [(&'static str, Node<'static>); N]) -> Node<'static> {
    Node::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::{What, written};

    #[test]
    fn values_have_the_digits_they_deserve() {
        assert_eq!(written(What::Maximum, 65.0, 1), "65.0");
        assert_eq!(written(What::Count, 3.0, 1), "3");
        assert_eq!(written(What::Average, 65.123_456_789, 1), "65.1235");
        assert_eq!(written(What::Average, 100_000.0 / 3.0, 0), "33333.33");
        assert_eq!(written(What::Variance, 1.234_567_89e-6, 3), "0.00000123457");
        assert_eq!(written(What::Average, 0.0, 1), "0.00000");
        assert_eq!(written(What::Skew, -0.5, 0), "-0.500000");
    }
}
