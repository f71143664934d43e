//! Measurements that make one Observation (rules GR-1 to GR-8).

use std::sync::Arc;

use jiff::Timestamp;

use super::envelope::Envelope;
use super::measurement::Measurement;
use super::receipt::Receipt;
use super::subject::Subject;

/// Which Observation a measurement belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    /// Type of the measurements, as the device mapping spells it (GR-14).
    pub(crate) measurement_type: Arc<str>,
    /// Identifier of the device.
    pub(crate) device_id: String,
    /// Identifier of the patient.
    pub(crate) patient_id: Option<String>,
    /// Identifier of the encounter.
    pub(crate) encounter_id: Option<String>,
    /// Correlation id as the device mapping found it (GR-1), whatever the period.
    pub(crate) correlation_id: Option<String>,
    /// The span of the Observation.
    pub(crate) span: Span,
}

impl GroupKey {
    /// The Observation of a measurement whose type has this period.
    pub(crate) fn of(measurement: &Measurement, period: Period) -> Self {
        Self {
            measurement_type: Arc::clone(&measurement.measurement_type),
            device_id: measurement.device_id.clone(),
            patient_id: measurement.patient_id.clone(),
            encounter_id: measurement.encounter_id.clone(),
            correlation_id: measurement.correlation_id.clone(),
            span: period.span(measurement.occurred_at),
        }
    }
}

/// The span of time one Observation covers (GR-5 to GR-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Span {
    /// One instant.
    Single(Timestamp),
    /// A UTC hour or day; the end is 100 ns before the next one starts.
    Bucket {
        /// First instant.
        start: Timestamp,
        /// Last instant.
        end: Timestamp,
    },
    /// From the earliest to the latest measurement with the same correlation id.
    Correlation,
}

/// How long a span one Observation covers (GR-4); the FHIR template of a measurement type decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Period {
    /// One instant.
    Single,
    /// A UTC hour.
    Hour,
    /// A UTC day.
    Day,
    /// All measurements with the same correlation id.
    Correlation,
}

const HOUR_NS: i128 = 3_600_000_000_000;
const DAY_NS: i128 = 24 * HOUR_NS;
/// The finest time a measurement carries (DM-43); the last instant of a bucket is this much before the next one.
const TICK_NS: i128 = 100;

impl Period {
    /// The span that a measurement taken at `at` belongs to (GR-5 to GR-7).
    pub(crate) fn span(self, at: Timestamp) -> Span {
        match self {
            Self::Single => Span::Single(at),
            Self::Hour => bucket(at, HOUR_NS),
            Self::Day => bucket(at, DAY_NS),
            Self::Correlation => Span::Correlation,
        }
    }
}

/// Only the first and the last bucket of representable time lack an edge; they end where time does.
fn bucket(at: Timestamp, length_ns: i128) -> Span {
    let start_ns = at.as_nanosecond().div_euclid(length_ns) * length_ns;
    Span::Bucket {
        start: Timestamp::from_nanosecond(start_ns).unwrap_or(Timestamp::MIN),
        end: Timestamp::from_nanosecond(start_ns + length_ns - TICK_NS).unwrap_or(Timestamp::MAX),
    }
}

/// Measurements that make one Observation, or a part of it.
#[derive(Debug)]
pub(crate) struct MeasurementGroup {
    /// Which Observation.
    pub(crate) key: GroupKey,
    /// Its measurements with the claims on their messages, in order of arrival.
    pub(crate) contributions: Vec<Contribution>,
}

/// A measurement with the message it came from.
#[derive(Debug)]
pub(crate) struct Contribution {
    /// What was measured.
    pub(crate) measurement: Measurement,
    /// Number of the mapping version that found it.
    pub(crate) mapping_version: u64,
    /// The message, shared by all that came of it, for the dead letters.
    pub(crate) envelope: Arc<Envelope>,
    /// A share of the claim on the message.
    pub(crate) receipt: Receipt,
}

/// A measurement on its way to its group.
#[derive(Debug)]
pub(crate) struct Keyed {
    /// Which Observation it belongs to.
    pub(crate) key: GroupKey,
    /// The measurement.
    pub(crate) contribution: Contribution,
}

/// A group whose Device, Patient and Encounter the FHIR server knows.
#[derive(Debug)]
pub(crate) struct ResolvedGroup {
    /// The measurements.
    pub(crate) group: MeasurementGroup,
    /// Who they are about.
    pub(crate) subject: Arc<Subject>,
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Period, Span};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(period: Period, time: &str, start: &str, end: &str) {
        let expected = Span::Bucket { start: at(start), end: at(end) };
        assert_eq!(period.span(at(time)), expected, "{time}");
    }

    #[test]
    fn gr_5_a_single_measurement_is_its_own_span() {
        let time = at("2024-03-02T07:15:00.1234567Z");
        assert_eq!(Period::Single.span(time), Span::Single(time));
    }

    #[test]
    fn gr_6_an_hour_is_a_utc_hour_and_ends_a_tick_before_the_next() {
        let (start, end) = ("2024-03-02T07:00:00Z", "2024-03-02T07:59:59.9999999Z");
        check(Period::Hour, "2024-03-02T07:15:00.25Z", start, end);
        check(Period::Hour, "2024-03-02T09:15:00+02:00", start, end);
        check(Period::Hour, end, start, end);
    }

    #[test]
    fn gr_6_a_time_on_the_edge_belongs_to_the_later_bucket() {
        check(Period::Hour, "2024-03-02T08:00:00Z", "2024-03-02T08:00:00Z", "2024-03-02T08:59:59.9999999Z");
    }

    #[test]
    fn gr_6_a_day_is_a_utc_day_also_before_1970() {
        check(Period::Day, "1969-12-31T23:59:59Z", "1969-12-31T00:00:00Z", "1969-12-31T23:59:59.9999999Z");
    }

    #[test]
    fn gr_7_correlation_has_no_edges_of_its_own() {
        assert_eq!(Period::Correlation.span(at("2024-03-02T07:15:00Z")), Span::Correlation);
    }
}
