//! From an Observation to measurements: amounts in UCUM units, the samples of SampledData, components and members.

use std::borrow::Cow;

use super::statistic::Point;
use crate::fhir::search::date;
use crate::json::Node;

/// The system of the units that can be computed with.
pub(super) const UCUM: &str = "http://unitsofmeasure.org";

/// A system and a code.
pub(super) type Coding = (String, String);

/// The microseconds since 1970 that are asked about, both ends inclusive; `None`: all time.
pub(super) type Span = Option<(i64, i64)>;

/// What an Observation or a component of one says.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The measurements.
    pub(super) points: Vec<Point>,
    /// Their unit, a UCUM code.
    pub(super) unit: String,
    /// Values that are none: without a unit, with a comparator, missing.
    pub(super) ignored: usize,
}

/// The codings of an Observation or component.
pub(super) fn codings(node: &Node<'_>) -> impl Iterator<Item = Coding> {
    let codings = node.member("code").and_then(|code| code.member("coding")).map(Node::elements).unwrap_or_default();
    codings.iter().map(|coding| (text(coding, "system").to_owned(), text(coding, "code").to_owned()))
}

/// The text of a member, or nothing.
pub(super) fn text<'n>(node: &'n Node<'_>, name: &str) -> &'n str {
    node.member(name).and_then(Node::as_str).unwrap_or_default()
}

/// Whether an Observation or component has a value or says why it has none.
pub(super) fn says_something(node: &Node<'_>) -> bool {
    node.members().iter().any(|(name, _)| name.starts_with("value") || name == "dataAbsentReason")
}

/// What an Observation or component says within the span. `observation` has the time.
pub(super) fn read(node: &Node<'_>, observation: &Node<'_>, span: Span) -> Reading {
    let times = times(observation);
    if let Some(sampled) = node.member("valueSampledData") {
        return samples(sampled, times.map(|(start, _)| start), span);
    }
    let is_asked = span.is_none_or(|(from, to)| times.is_some_and(|(start, end)| start <= to && end >= from));
    if !is_asked {
        return Reading::default();
    }
    let ignored = Reading { ignored: 1, ..Reading::default() };
    let Some(quantity) = node.member("valueQuantity").filter(|quantity| quantity.member("comparator").is_none()) else {
        return ignored;
    };
    let Some((unit, (value, decimals))) = unit(quantity).zip(quantity.member("value").and_then(number)) else {
        return ignored;
    };
    let at = times.map(|(start, _)| start);
    Reading { points: vec![Point { at, value, decimals }], unit: unit.to_owned(), ignored: 0 }
}

/// When an Observation was, from first to last.
fn times(observation: &Node<'_>) -> Option<(i64, i64)> {
    let of = |name| observation.member(name).and_then(Node::as_str).and_then(date::interval);
    if let Some(point) = of("effectiveDateTime").or_else(|| of("effectiveInstant")) {
        return Some((point.start, point.end));
    }
    date::period(observation.member("effectivePeriod")?).map(|period| (period.start, period.end))
}

fn unit<'n>(quantity: &'n Node<'_>) -> Option<&'n str> {
    let is_ucum = text(quantity, "system") == UCUM;
    Some(text(quantity, "code")).filter(|code| is_ucum && !code.is_empty())
}

/// A number and how many digits stand behind its point.
fn number(node: &Node<'_>) -> Option<(f64, usize)> {
    decimal(node.as_number()?)
}

fn decimal(text: &str) -> Option<(f64, usize)> {
    let value: f64 = text.parse().ok()?;
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let behind = digits.split_once('.').map_or(0, |(_, behind)| behind.len());
    let decimals = i64::try_from(behind).ok()?.checked_sub(exponent.parse().ok()?)?;
    value.is_finite().then(|| (value, usize::try_from(decimals.max(0)).unwrap_or_default()))
}

/// The samples of a SampledData, one every `period` milliseconds from the start of the Observation, each
/// `origin + factor * sample` (<https://hl7.org/fhir/R4/datatypes.html#SampledData>).
fn samples(sampled: &Node<'_>, start: Option<i64>, span: Span) -> Reading {
    let tokens = text(sampled, "data").split_ascii_whitespace();
    let is_single = sampled.member("dimensions").and_then(Node::as_number).is_none_or(|dimensions| dimensions == "1");
    let scale = Scale::of(sampled).filter(|_scale| is_single);
    let period = sampled.member("period").and_then(number).map(|(milliseconds, _)| milliseconds * 1e3);
    let mut reading =
        Reading { unit: sampled.member("origin").and_then(unit).unwrap_or_default().to_owned(), ..Reading::default() };
    for (slot, token) in (0_u32..).zip(tokens) {
        let at = start.zip(period).and_then(|(start, period)| moment(start, f64::from(slot) * period));
        if !span.is_none_or(|(from, to)| at.is_some_and(|at| (from..=to).contains(&at))) {
            continue;
        }
        match scale.as_ref().and_then(|scale| scale.value(token)) {
            Some((value, decimals)) if !reading.unit.is_empty() => reading.points.push(Point { at, value, decimals }),
            // Above or below what could be measured, in error, or in no unit.
            _ => reading.ignored += 1,
        }
    }
    reading
}

#[expect(clippy::cast_possible_truncation, reason = "a sum beyond the calendar saturates, and is in no span")]
fn moment(start: i64, micros: f64) -> Option<i64> {
    micros.is_finite().then(|| start.saturating_add(micros.round() as i64))
}

struct Scale {
    origin: (f64, usize),
    factor: (f64, usize),
}

impl Scale {
    fn of(sampled: &Node<'_>) -> Option<Self> {
        let factor = match sampled.member("factor") {
            Some(factor) => number(factor)?,
            None => (1.0, 0),
        };
        Some(Self { origin: number(sampled.member("origin")?.member("value")?)?, factor })
    }

    /// The value of a sample; none for `E`, `U`, `L`.
    fn value(&self, token: &str) -> Option<(f64, usize)> {
        let token: Cow<'_, str> = token.into();
        if !token.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
            return None;
        }
        let (sample, decimals) = decimal(&token)?;
        let decimals = (decimals + self.factor.1).max(self.origin.1);
        Some((self.factor.0.mul_add(sample, self.origin.0), decimals))
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::json;

    const TIME: &str = r#""effectivePeriod":{"start":"1970-01-01T00:00:00Z","end":"1970-01-01T01:00:00Z"}"#;

    #[track_caller]
    fn check(value: &str, span: Option<(i64, i64)>, expected: &[(i64, &str)], ignored: usize) {
        let text = format!("{{{TIME},{value}}}");
        let node = json::parse(text.as_bytes()).unwrap();
        let reading = read(&node, &node, span);
        let written = |point: &super::Point| (point.at.unwrap(), format!("{:.*}", point.decimals, point.value));
        let points: Vec<(i64, String)> = reading.points.iter().map(written).collect();
        let expected: Vec<(i64, String)> = expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
        assert_eq!((points, reading.ignored), (expected, ignored), "{value}");
    }

    #[test]
    fn an_amount_in_a_ucum_unit_is_a_measurement_with_its_digits() {
        let quantity = |rest: &str| {
            format!(r#""valueQuantity":{{"value":65.0,"system":"http://unitsofmeasure.org","code":"/min"{rest}}}"#)
        };
        check(&quantity(""), None, &[(0, "65.0")], 0);
        check(&quantity(r#","comparator":"<""#), None, &[], 1);
        check(r#""valueQuantity":{"value":65,"unit":"bpm"}"#, None, &[], 1);
        check(r#""valueString":"high""#, None, &[], 1);
        check(&quantity(""), Some((1, 2)), &[(0, "65.0")], 0);
        check(&quantity(""), Some((-9, -1)), &[], 0);
    }

    #[test]
    fn samples_are_measurements_at_their_own_time() {
        let sampled = |rest: &str| {
            format!(
                r#""valueSampledData":{{"origin":{{"value":10.0,"system":"http://unitsofmeasure.org","code":"mV"}},
                   "period":500,"dimensions":1,{rest}}}"#
            )
        };
        let data = r#""factor":0.5,"data":"2 E -4 U 1.5 L""#;
        check(&sampled(data), None, &[(0, "11.0"), (1_000_000, "8.0"), (2_000_000, "10.75")], 3);
        check(&sampled(data), Some((500_001, 1_500_000)), &[(1_000_000, "8.0")], 1);
        check(&sampled(r#""data":"inf NaN 1""#), None, &[(1_000_000, "11.0")], 2);
        check(&sampled(r#""data":"1 2""#).replace(r#""dimensions":1"#, r#""dimensions":2"#), None, &[], 2);
    }
}
