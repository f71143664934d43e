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
    /// A part of a UTC day, or all of it; the end is 100 ns before the next one starts.
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
    /// A part of a UTC day, or all of it.
    Bucket(BucketLength),
    /// All measurements with the same correlation id.
    Correlation,
}

/// Whole minutes that divide a day evenly, so that the buckets of each day begin at midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BucketLength {
    minutes: u16,
}

const MINUTES_PER_DAY: u16 = 24 * 60;
const MINUTE_NS: i128 = 60_000_000_000;
/// The finest time a measurement carries (DM-43); the last instant of a bucket is this much before the next one.
const TICK_NS: i128 = 100;

impl Period {
    /// A UTC hour.
    pub(crate) const HOUR: Self = Self::Bucket(BucketLength { minutes: 60 });
    /// A UTC day.
    pub(crate) const DAY: Self = Self::Bucket(BucketLength { minutes: MINUTES_PER_DAY });

    /// The span that a measurement taken at `at` belongs to (GR-5 to GR-7).
    pub(crate) fn span(self, at: Timestamp) -> Span {
        match self {
            Self::Single => Span::Single(at),
            Self::Bucket(length) => length.bucket(at),
            Self::Correlation => Span::Correlation,
        }
    }
}

impl BucketLength {
    /// The length of so many minutes; `None` when they do not divide a day evenly.
    pub(crate) fn of_minutes(minutes: u64) -> Option<Self> {
        Self::all().find(|length| u64::from(length.minutes) == minutes)
    }

    /// The longest that is shorter than so many minutes, and the shortest that is longer.
    pub(crate) fn neighbours(minutes: u64) -> impl Iterator<Item = Self> {
        let shorter = Self::all().filter(|length| u64::from(length.minutes) < minutes).last();
        let longer = Self::all().find(|length| u64::from(length.minutes) > minutes);
        shorter.into_iter().chain(longer)
    }

    fn all() -> impl Iterator<Item = Self> {
        (1..=MINUTES_PER_DAY).filter(|minutes| MINUTES_PER_DAY.is_multiple_of(*minutes)).map(|minutes| Self { minutes })
    }

    /// From 1 to 1440.
    pub(crate) fn minutes(self) -> u16 {
        self.minutes
    }

    /// Nanoseconds from the start of a bucket to the start of the next one.
    pub(crate) fn nanoseconds(self) -> i128 {
        i128::from(self.minutes) * MINUTE_NS
    }

    /// Only the first and the last bucket of representable time lack an edge; they end where time does.
    fn bucket(self, at: Timestamp) -> Span {
        let length_ns = self.nanoseconds();
        // Days of Unix time all have 86,400 seconds, so that a multiple of the length is at midnight of every day.
        let start_ns = at.as_nanosecond().div_euclid(length_ns) * length_ns;
        Span::Bucket {
            start: Timestamp::from_nanosecond(start_ns).unwrap_or(Timestamp::MIN),
            end: Timestamp::from_nanosecond(start_ns + length_ns - TICK_NS).unwrap_or(Timestamp::MAX),
        }
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
    /// Fingerprint of that version, for the dead letters.
    pub(crate) mapping: Arc<str>,
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
    use jiff::{Timestamp, tz::TimeZone};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{BucketLength, GroupKey, Period, Span};
    use crate::model::measurement::Measurement;

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
        check(Period::HOUR, "2024-03-02T07:15:00.25Z", start, end);
        check(Period::HOUR, "2024-03-02T09:15:00+02:00", start, end);
        check(Period::HOUR, end, start, end);
    }

    #[test]
    fn gr_6_a_time_on_the_edge_belongs_to_the_later_bucket() {
        check(Period::HOUR, "2024-03-02T08:00:00Z", "2024-03-02T08:00:00Z", "2024-03-02T08:59:59.9999999Z");
    }

    #[test]
    fn gr_6_a_day_is_a_utc_day_also_before_1970() {
        check(Period::DAY, "1969-12-31T23:59:59Z", "1969-12-31T00:00:00Z", "1969-12-31T23:59:59.9999999Z");
    }

    #[test]
    fn gr_6_any_minutes_that_divide_a_day_begin_at_midnight_utc() {
        let length = |minutes| Period::Bucket(BucketLength::of_minutes(minutes).unwrap());
        check(length(15), "2024-03-02T07:29:59.9999999Z", "2024-03-02T07:15:00Z", "2024-03-02T07:29:59.9999999Z");
        check(length(15), "2024-03-02T07:30:00Z", "2024-03-02T07:30:00Z", "2024-03-02T07:44:59.9999999Z");
        check(length(90), "2024-03-02T07:15:00Z", "2024-03-02T06:00:00Z", "2024-03-02T07:29:59.9999999Z");
        check(length(720), "2024-03-02T07:15:00+05:30", "2024-03-02T00:00:00Z", "2024-03-02T11:59:59.9999999Z");
    }

    #[test]
    fn only_minutes_that_divide_a_day_are_lengths() {
        let lengths = (0..=1441).filter(|minutes| BucketLength::of_minutes(*minutes).is_some());
        assert_eq!(lengths.collect::<Vec<_>>(), (1..=1440).filter(|minutes| 1440 % minutes == 0).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn gr_6_buckets_follow_each_other_without_gap_from_midnight_to_midnight(
            seconds in -5_000_000_000_i64..5_000_000_000, tick in 0_i32..10_000_000, choice in 0_usize..36,
        ) {
            let length = BucketLength::all().nth(choice).unwrap();
            let time = Timestamp::new(seconds, 0).unwrap() + jiff::SignedDuration::new(0, tick * 100);
            let Span::Bucket { start, end } = Period::Bucket(length).span(time) else { panic!("not a bucket") };
            prop_assert!(start <= time && time <= end);
            let next = Timestamp::from_nanosecond(end.as_nanosecond() + 100).unwrap();
            prop_assert_eq!(next.as_second() - start.as_second(), i64::from(length.minutes()) * 60);
            // The oracle counts minutes of the day as a wall clock in UTC shows them.
            let wall = start.to_zoned(TimeZone::UTC);
            let minute = u16::try_from(wall.hour()).unwrap() * 60 + u16::try_from(wall.minute()).unwrap();
            prop_assert_eq!((minute % length.minutes(), wall.second(), wall.subsec_nanosecond()), (0, 0, 0));
            prop_assert_eq!(wall.date(), time.to_zoned(TimeZone::UTC).date());
        }
    }

    fn measurement() -> Measurement {
        Measurement {
            measurement_type: "pulse".into(),
            occurred_at: at("2024-03-02T07:15:00Z"),
            ingested_at: at("2024-03-02T07:15:01Z"),
            device_id: "a-b".to_owned(),
            patient_id: Some("c".to_owned()),
            encounter_id: None,
            correlation_id: None,
            properties: Vec::new(),
        }
    }

    #[test]
    fn gr_1_keys_are_compared_part_by_part_and_letter_by_letter() {
        let key = |measurement: &Measurement| GroupKey::of(measurement, Period::HOUR);
        let of = measurement();
        let others = [
            Measurement { device_id: "a".to_owned(), patient_id: Some("b-c".to_owned()), ..of.clone() },
            Measurement { device_id: "A-B".to_owned(), ..of.clone() },
            Measurement { patient_id: None, ..of.clone() },
            Measurement { patient_id: Some(String::new()), ..of.clone() },
            Measurement { encounter_id: Some("e".to_owned()), ..of.clone() },
            Measurement { correlation_id: Some("r".to_owned()), ..of.clone() },
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(key(&of), key(other), "{index}");
        }
        assert_eq!(key(&of), key(&Measurement { ingested_at: at("2025-01-01T00:00:00Z"), ..of.clone() }));
    }

    #[test]
    fn gr_4_the_period_of_the_type_cuts_its_measurements() {
        let early = measurement();
        let late = Measurement { occurred_at: at("2024-03-02T07:45:00Z"), ..early.clone() };
        let minutes = |minutes| Period::Bucket(BucketLength::of_minutes(minutes).unwrap());
        for (period, together) in [
            (Period::Single, false),
            (minutes(15), false),
            (Period::HOUR, true),
            (Period::DAY, true),
            (Period::Correlation, true),
        ] {
            assert_eq!(GroupKey::of(&early, period) == GroupKey::of(&late, period), together, "{period:?}");
        }
    }

    #[test]
    fn gr_14_types_that_differ_in_case_have_observations_of_their_own() {
        let lower = measurement();
        let upper = Measurement { measurement_type: "PULSE".into(), ..lower.clone() };
        assert_ne!(GroupKey::of(&lower, Period::HOUR), GroupKey::of(&upper, Period::HOUR));
    }

    #[test]
    fn gr_7_correlation_has_no_edges_of_its_own() {
        assert_eq!(Period::Correlation.span(at("2024-03-02T07:15:00Z")), Span::Correlation);
    }
}
