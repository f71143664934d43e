//! What goes into one Observation, sorted out of the measurements of its group (rules GR-2, GR-7 and GR-8).

use std::cmp::Reverse;

use jiff::Timestamp;

use super::identifier::Identifier;
use crate::model::group::Span;
use crate::model::measurement::Measurement;
use crate::model::subject::Subject;

/// What goes into one Observation.
#[derive(Clone, Debug)]
pub(crate) struct Content<'c> {
    /// As the device mapping spells it.
    pub(crate) measurement_type: &'c str,
    /// The time it covers.
    pub(crate) boundary: Boundary,
    /// Values by name; no name twice.
    pub(crate) series: Vec<Series<'c>>,
    /// Who it is about.
    pub(crate) subject: &'c Subject,
    /// When it is made; used on creation only (FM-17).
    pub(crate) issued: Timestamp,
    /// Its business identifier and logical id.
    pub(crate) identifier: &'c Identifier,
    /// How the messages call those it is about.
    pub(crate) names: Names<'c>,
}

/// How messages call those they are about; the same for all measurements of a group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names<'c> {
    /// Identifier of the device.
    pub(crate) device: &'c str,
    /// Identifier of the patient.
    pub(crate) patient: Option<&'c str>,
    /// Identifier of the encounter.
    pub(crate) encounter: Option<&'c str>,
    /// What binds measurements of one resource when the period is correlation.
    pub(crate) correlation_id: Option<&'c str>,
}

impl<'c> Names<'c> {
    /// The names in a measurement.
    pub(crate) fn of(measurement: &'c Measurement) -> Self {
        Self {
            device: &measurement.device_id,
            patient: measurement.patient_id.as_deref(),
            encounter: measurement.encounter_id.as_deref(),
            correlation_id: measurement.correlation_id.as_deref(),
        }
    }
}

impl<'c> Content<'c> {
    /// The points of a value, `None` when the group has none.
    pub(super) fn points(&self, name: &str) -> Option<&[Point<'c>]> {
        self.series.iter().find(|series| series.name == name).map(|series| series.points.as_slice())
    }
}

/// First and last instant an Observation covers, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boundary {
    /// First instant.
    pub(crate) start: Timestamp,
    /// Last instant.
    pub(crate) end: Timestamp,
}

impl Boundary {
    /// The boundary of a span; a correlation span takes it from its measurements, and has none without any (GR-7).
    pub(crate) fn of<'m>(span: Span, measurements: impl IntoIterator<Item = &'m Measurement>) -> Option<Self> {
        match span {
            Span::Single(at) => Some(Self { start: at, end: at }),
            Span::Bucket { start, end } => Some(Self { start, end }),
            Span::Correlation => {
                let times = measurements
                    .into_iter()
                    .map(|measurement| Self { start: measurement.occurred_at, end: measurement.occurred_at });
                times.reduce(Self::union)
            }
        }
    }

    /// The smallest boundary that holds both.
    pub(crate) fn union(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// The values of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Series<'c> {
    /// Name of the value.
    pub(crate) name: &'c str,
    /// Sorted by time, no time twice, at least one.
    pub(crate) points: Vec<Point<'c>>,
}

/// A value at a time.
pub(crate) type Point<'c> = (Timestamp, &'c str);

/// Sorts the values of a group's measurements by name and time.
///
/// Of several values of one name and time the one ingested last stays, and of those ingested together the first
/// (GR-2, GR-8, DM-50).
pub(crate) fn series_of<'m>(measurements: impl IntoIterator<Item = &'m Measurement>) -> Vec<Series<'m>> {
    /// When measured, when ingested, and the value.
    type Arrival<'m> = (Timestamp, Timestamp, &'m str);

    let mut by_name: Vec<(&str, Vec<Arrival<'_>>)> = Vec::new();
    for measurement in measurements {
        for property in &measurement.properties {
            let point = (measurement.occurred_at, measurement.ingested_at, property.value.as_str());
            match by_name.iter_mut().find(|(name, _)| *name == &*property.name) {
                Some((_, points)) => points.push(point),
                None => by_name.push((&property.name, vec![point])),
            }
        }
    }
    let sorted = by_name.into_iter().map(|(name, mut points)| {
        points.sort_by_key(|(at, ingested_at, _)| (*at, Reverse(*ingested_at)));
        points.dedup_by_key(|(at, _, _)| *at);
        Series { name, points: points.into_iter().map(|(at, _, value)| (at, value)).collect() }
    });
    sorted.collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Boundary, series_of};
    use crate::model::group::Span;
    use crate::model::measurement::{Measurement, Property};

    fn measurement(occurred: i64, ingested: i64, values: &[(&str, &str)]) -> Measurement {
        let property = |(name, value): &(&str, &str)| Property { name: (*name).into(), value: (*value).to_owned() };
        Measurement {
            measurement_type: "pulse".into(),
            occurred_at: Timestamp::from_second(occurred).unwrap(),
            ingested_at: Timestamp::from_second(ingested).unwrap(),
            device_id: "d".to_owned(),
            patient_id: None,
            encounter_id: None,
            correlation_id: None,
            properties: values.iter().map(property).collect(),
        }
    }

    #[track_caller]
    fn check(measurements: &[Measurement], expected: &str) {
        let series: Vec<String> = series_of(measurements)
            .iter()
            .map(|series| {
                let points = series.points.iter().map(|(at, value)| format!("{}={value}", at.as_second()));
                format!("{}: {}", series.name, points.collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(series.join("; "), expected);
    }

    #[test]
    fn gr_2_of_one_instant_the_value_ingested_last_stays_and_names_do_not_displace_each_other() {
        check(
            &[
                measurement(5, 10, &[("bpm", "60"), ("spo2", "97")]),
                measurement(5, 11, &[("bpm", "61")]),
                measurement(5, 11, &[("bpm", "62")]),
            ],
            "bpm: 5=61; spo2: 5=97",
        );
    }

    #[test]
    fn gr_8_values_are_sorted_by_time() {
        check(&[measurement(7, 10, &[("bpm", "62")]), measurement(5, 10, &[("bpm", "60")])], "bpm: 5=60 7=62");
    }

    #[test]
    fn dm_50_of_two_properties_with_one_name_the_first_is_used() {
        check(&[measurement(5, 10, &[("bpm", "60"), ("bpm", "70")])], "bpm: 5=60");
    }

    #[test]
    fn gr_7_a_correlation_spans_its_measurements() {
        let measurements = [measurement(7, 0, &[]), measurement(5, 0, &[]), measurement(6, 0, &[])];
        let boundary = Boundary::of(Span::Correlation, &measurements).unwrap();
        assert_eq!((boundary.start.as_second(), boundary.end.as_second()), (5, 7));
        assert_eq!(Boundary::of(Span::Correlation, []), None);
    }

    proptest::proptest! {
        #[test]
        fn gr_2_gr_8_the_order_of_readings_ingested_apart_does_not_matter(
            readings in proptest::collection::vec((0_i64..4, proptest::sample::select(vec!["a", "b"]), "[0-9]"), 1..12),
            order in proptest::collection::vec(proptest::prelude::any::<u32>(), 12),
        ) {
            let mut expected = std::collections::BTreeMap::new();
            let mut measurements = Vec::new();
            for (ingested, (at, name, value)) in (100_i64..).zip(&readings) {
                // Ingested later than all before it.
                expected.insert((*name, *at), value.clone());
                measurements.push((order[measurements.len()], measurement(*at, ingested, &[(name, value)])));
            }
            measurements.sort_by_key(|(place, _)| *place);
            let measurements: Vec<Measurement> = measurements.into_iter().map(|(_, measurement)| measurement).collect();
            let mut found = std::collections::BTreeMap::new();
            for series in series_of(&measurements) {
                proptest::prop_assert!(series.points.is_sorted_by(|one, next| one.0 < next.0));
                found.extend(series.points.iter().map(|(at, value)| ((series.name, at.as_second()), (*value).to_owned())));
            }
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
