//! The numbers of `$stats`: what each code of <https://hl7.org/fhir/R4/valueset-observation-statistics.html> is, of
//! measurements that are all in one unit.
//!
//! Sums carry the digits that a float loses; squares are taken of differences from the mean. Percentiles lie between
//! the two measurements next to them, in proportion. Variance and standard deviation are those of a sample (n - 1);
//! skew and kurtosis are the third and fourth standardized moments. What is not defined (of no measurements, or of equal
//! ones) is `None`.

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// When, in microseconds since 1970, if that is known.
    pub(super) at: Option<i64>,
    /// How much.
    pub(super) value: f64,
    /// How many digits stand behind the point.
    pub(super) decimals: usize,
}

/// One code of the value set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statistic {
    /// The code.
    pub(super) code: &'static str,
    /// Its display.
    pub(super) display: &'static str,
    /// What it is computed as.
    pub(super) what: What,
}

/// What a statistic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Average,
    Maximum,
    Minimum,
    Count,
    TotalCount,
    StandardDeviation,
    Sum,
    Variance,
    /// The value below which this many hundredths of the measurements are.
    Percentile(u8),
    QuartileDeviation,
    Skew,
    Kurtosis,
    Regression,
}

/// Every statistic.
pub(super) const STATISTICS: [Statistic; 20] = [
    statistic("average", "Average", What::Average),
    statistic("maximum", "Maximum", What::Maximum),
    statistic("minimum", "Minimum", What::Minimum),
    statistic("count", "Count", What::Count),
    statistic("total-count", "Total Count", What::TotalCount),
    statistic("median", "Median", What::Percentile(50)),
    statistic("std-dev", "Standard Deviation", What::StandardDeviation),
    statistic("sum", "Sum", What::Sum),
    statistic("variance", "Variance", What::Variance),
    statistic("20-percent", "20th Percentile", What::Percentile(20)),
    statistic("80-percent", "80th Percentile", What::Percentile(80)),
    statistic("4-lower", "Lower Quartile", What::Percentile(25)),
    statistic("4-upper", "Upper Quartile", What::Percentile(75)),
    statistic("4-dev", "Quartile Deviation", What::QuartileDeviation),
    statistic("5-1", "1st Quintile", What::Percentile(20)),
    statistic("5-2", "2nd Quintile", What::Percentile(40)),
    statistic("5-3", "3rd Quintile", What::Percentile(60)),
    statistic("5-4", "4th Quintile", What::Percentile(80)),
    statistic("skew", "Skew", What::Skew),
    statistic("kurtosis", "Kurtosis", What::Kurtosis),
];

/// Beside the others, because it has two values.
pub(super) const REGRESSION: Statistic = statistic("regression", "Regression", What::Regression);

const fn statistic(code: &'static str, display: &'static str, what: What) -> Statistic {
    Statistic { code, display, what }
}

/// The statistic of a code; `min` and `max` are understood as well.
pub(super) fn named(code: &str) -> Option<Statistic> {
    let code = match code {
        "min" => "minimum",
        "max" => "maximum",
        other => other,
    };
    STATISTICS.into_iter().chain([REGRESSION]).find(|statistic| statistic.code == code)
}

/// Measurements made ready.
#[derive(Debug)]
pub(super) struct Sample {
    /// By value.
    points: Vec<Point>,
    mean: f64,
}

/// A straight line through measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// How much is added in an hour.
    pub(super) gradient: f64,
    /// Where it is at the time that counts as zero.
    pub(super) intercept: f64,
}

impl Sample {
    /// Makes measurements ready.
    pub(super) fn of(mut points: Vec<Point>) -> Self {
        points.sort_by(|one, other| one.value.total_cmp(&other.value));
        let mean = sum(points.iter().map(|point| point.value)) / size(points.len());
        Self { points, mean }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.points.len()
    }

    /// A statistic with one value. `TotalCount` and `Regression` are not of the values alone.
    pub(super) fn value(&self, what: What) -> Option<f64> {
        let value = match what {
            What::Average => self.mean,
            What::Maximum => self.points.last()?.value,
            What::Minimum => self.points.first()?.value,
            What::Count => size(self.count()),
            What::Sum => sum(self.points.iter().map(|point| point.value)),
            What::Variance => self.variance()?,
            What::StandardDeviation => self.variance()?.sqrt(),
            What::Percentile(hundredths) => self.percentile(hundredths)?,
            What::QuartileDeviation => (self.percentile(75)? - self.percentile(25)?) / 2.0,
            What::Skew => self.moment(3) / self.moment(2).powf(1.5),
            What::Kurtosis => self.moment(4) / self.moment(2).powi(2),
            What::TotalCount | What::Regression => return None,
        };
        value.is_finite().then_some(value)
    }

    /// The line with the least squares through those whose time is known; `zero` in microseconds since 1970.
    pub(super) fn regression(&self, zero: i64) -> Option<Line> {
        let timed: Vec<(f64, f64)> =
            self.points.iter().filter_map(|point| Some((hours_since(zero, point.at?), point.value))).collect();
        let mean_x = sum(timed.iter().map(|(x, _)| *x)) / size(timed.len());
        let mean_y = sum(timed.iter().map(|(_, y)| *y)) / size(timed.len());
        let across = sum(timed.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)));
        let along = sum(timed.iter().map(|(x, _)| (x - mean_x).powi(2)));
        let gradient = across / along;
        gradient.is_finite().then(|| Line { gradient, intercept: gradient.mul_add(-mean_x, mean_y) })
    }

    /// The digits behind the point of the most exact measurement.
    pub(super) fn decimals(&self) -> usize {
        self.points.iter().map(|point| point.decimals).max().unwrap_or_default()
    }

    fn variance(&self) -> Option<f64> {
        let degrees = self.count().checked_sub(1)?;
        Some(self.moment(2) * size(self.count()) / size(degrees))
    }

    /// The mean of a power of the differences from the mean.
    fn moment(&self, power: i32) -> f64 {
        sum(self.points.iter().map(|point| (point.value - self.mean).powi(power))) / size(self.count())
    }

    fn percentile(&self, hundredths: u8) -> Option<f64> {
        let steps = self.count().checked_sub(1)? * usize::from(hundredths);
        let (below, part) = (steps / 100, size(steps % 100) / 100.0);
        let low = self.points.get(below)?.value;
        let high = self.points.get(below + 1).map_or(low, |point| point.value);
        Some(if part > 0.0 { part.mul_add(high - low, low) } else { low })
    }
}

/// Digits that a computed value shows at least.
const SIGNIFICANT_DIGITS: i32 = 6;

/// The digits behind the point up to the last significant one of a computed value.
pub(super) fn significant(value: f64) -> usize {
    usize::try_from(SIGNIFICANT_DIGITS - 1 - exponent(value)).unwrap_or_default()
}

/// The digits behind the point of a measurement in another unit: as many as say the same.
pub(super) fn kept_digits(measured: Point, converted: f64) -> usize {
    let before = i32::try_from(measured.decimals).unwrap_or(i32::MAX);
    let moved = exponent(measured.value) - exponent(converted);
    usize::try_from(before.saturating_add(moved)).unwrap_or_default()
}

/// The power of ten of the first digit.
fn exponent(value: f64) -> i32 {
    let scientific = format!("{value:e}");
    scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer measurements than a float has whole numbers")]
fn size(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "a slope needs no more digits than a float has")]
fn hours_since(zero: i64, at: i64) -> f64 {
    at.saturating_sub(zero) as f64 / 3_600e6
}

/// The sum with what each step loses kept beside it (Neumaier).
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    sum + lost
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Point, STATISTICS, Sample, What, kept_digits, named};

    fn sample(values: &[f64]) -> Sample {
        let point = |(hour, value): (i64, &f64)| Point { at: Some(hour * 3_600_000_000), value: *value, decimals: 0 };
        Sample::of((0..).zip(values).map(point).collect())
    }

    #[track_caller]
    fn check(values: &[f64], code: &str, expected: Option<f64>) {
        let value = sample(values).value(named(code).unwrap().what);
        match (value, expected) {
            (Some(value), Some(expected)) => assert!((value - expected).abs() < 1e-9, "{code}: {value}"),
            (value, expected) => assert_eq!(value, expected, "{code}"),
        }
    }

    #[test]
    fn each_code_is_what_the_textbook_says() {
        let values = [9.0, 2.0, 5.0, 4.0, 12.0, 7.0, 8.0, 11.0, 9.0, 3.0];
        for (code, expected) in [
            ("average", 7.0),
            ("maximum", 12.0),
            ("max", 12.0),
            ("min", 2.0),
            ("count", 10.0),
            ("sum", 70.0),
            ("median", 7.5),
            ("variance", 104.0 / 9.0),
            ("std-dev", (104.0_f64 / 9.0).sqrt()),
            ("20-percent", 3.8),
            ("80-percent", 9.4),
            ("4-lower", 4.25),
            ("4-upper", 9.0),
            ("4-dev", 2.375),
            ("5-1", 3.8),
            ("5-2", 6.2),
            ("5-3", 8.4),
            ("5-4", 9.4),
            ("skew", -0.053_668_875_543_407_5),
            ("kurtosis", 1.749_260_355_029_585_5),
        ] {
            check(&values, code, Some(expected));
        }
    }

    #[test]
    fn what_is_not_defined_has_no_value() {
        for statistic in STATISTICS {
            let expected = if statistic.code == "count" || statistic.code == "sum" { Some(0.0) } else { None };
            check(&[], statistic.code, expected);
        }
        check(&[5.0], "variance", None);
        check(&[5.0, 5.0], "skew", None);
        check(&[5.0, 5.0], "kurtosis", None);
        check(&[5.0], "median", Some(5.0));
        assert_eq!(sample(&[5.0]).regression(0), None);
    }

    #[test]
    fn a_converted_measurement_says_no_more_and_no_less() {
        for (value, decimals, converted, expected) in
            [(71_000.0, 0, 71.0, 3), (5.0, 0, 0.005, 3), (0.005, 3, 5.0, 0), (98.6, 1, 37.0, 1), (0.0, 2, 0.0, 2)]
        {
            assert_eq!(kept_digits(Point { at: None, value, decimals }, converted), expected, "{value}");
        }
    }

    #[test]
    fn large_numbers_do_not_drown_small_differences() {
        check(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0], "variance", Some(30.0));
        check(&[1e16, 1.0, -1e16], "sum", Some(1.0));
    }

    #[test]
    fn a_line_goes_through_points_on_it() {
        let line = sample(&[1.0, 3.0, 5.0, 7.0]).regression(3_600_000_000).unwrap();
        assert!((line.gradient - 2.0).abs() < 1e-12 && (line.intercept - 3.0).abs() < 1e-12, "{line:?}");
    }

    proptest! {
        /// Whole numbers, for which sums of powers are exact in integers.
        #[test]
        #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
        fn moments_are_those_of_exact_arithmetic(values in prop::collection::vec(-1_000_i64..1_000, 2..60)) {
            let floats: Vec<f64> = values.iter().map(|value| f64::from(i32::try_from(*value).unwrap())).collect();
            let sample = sample(&floats);
            let count = i128::try_from(values.len()).unwrap();
            let powers = |power| values.iter().map(|value| i128::from(*value).pow(power)).sum::<i128>();
            let near = |what, over: i128, under: i128| {
                let expected = over as f64 / under as f64;
                let value = sample.value(what).unwrap();
                (value - expected).abs() <= 1e-9 * expected.abs().max(1.0)
            };
            prop_assert!(near(What::Sum, powers(1), 1));
            prop_assert!(near(What::Average, powers(1), count));
            prop_assert!(near(What::Variance, count * powers(2) - powers(1).pow(2), count * (count - 1)));
            prop_assert!(near(What::Minimum, i128::from(*values.iter().min().unwrap()), 1));
            prop_assert!(near(What::Maximum, i128::from(*values.iter().max().unwrap()), 1));
        }

        /// A percentile has its share of the measurements on either side, and grows.
        #[test]
        fn a_percentile_parts_the_measurements(values in prop::collection::vec(-50_i32..50, 1..60), at in 0_u8..=100) {
            let floats: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            let value = sample(&floats).value(What::Percentile(at)).unwrap();
            let below = floats.iter().filter(|float| **float < value - 1e-9).count();
            let above = floats.iter().filter(|float| **float > value + 1e-9).count();
            let steps = floats.len() - 1;
            prop_assert!(below * 100 <= steps * usize::from(at) + 100);
            prop_assert!(above * 100 <= steps * usize::from(100 - at) + 100);
            prop_assert!(at == 100 || sample(&floats).value(What::Percentile(at + 1)).unwrap() >= value);
        }
    }
}
