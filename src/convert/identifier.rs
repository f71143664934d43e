//! The identifier of an Observation, by which a redelivered reading finds the one it is in (rules GR-9 to GR-13).

use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::Offset;

use super::reading::ConversionFailure;
use crate::model::group::Span;
use crate::model::logical_id::logical_id;
use crate::model::subject::Subject;

/// The system of identifiers and of the product's own codings; Observations of the reference carry it (GR-9). Connectors may be configured otherwise.
pub(crate) const DEFAULT_SYSTEM: &str = "https://azure.microsoft.com/en-us/services/iomt-fhir-connector/";

/// The identifier of an Observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identifier {
    /// `Identifier.system`
    pub(crate) system: Arc<str>,
    /// `Identifier.value`
    pub(crate) value: String,
    /// Logical id of the Observation when it is created (GR-13).
    pub(crate) id: String,
}

/// How identifiers are made; one per connector.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    /// System of identifiers and codings (GR-9).
    pub(crate) system: Arc<str>,
    /// Whether readings of one second are told apart (GR-12).
    pub(crate) precision: Precision,
}

/// How fine the time in the identifier of a single measurement is (GR-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// Readings within one second have Observations of their own.
    Fraction,
    /// As the reference has it: readings within one second share an Observation.
    Second,
}

impl Naming {
    /// The identifier of the Observation of a span.
    ///
    /// # Errors
    /// When the span is a correlation and the correlation id is missing or blank (GR-7).
    pub(crate) fn identifier(
        &self,
        subject: &Subject,
        measurement_type: &str,
        span: Span,
        correlation_id: Option<&str>,
    ) -> Result<Identifier, ConversionFailure> {
        let segment = match span {
            Span::Single(at) => self.times(at, at, self.precision),
            Span::Bucket { start, end } => self.times(start, end, Precision::Second),
            Span::Correlation => correlation_id
                .filter(|id| !id.trim().is_empty())
                .ok_or_else(ConversionFailure::no_correlation_id)?
                .to_owned(),
        };
        let value = format!("{}.{}.{measurement_type}.{segment}", subject.patient_id, subject.device_id);
        Ok(Identifier { id: logical_id(&self.system, &value), system: Arc::clone(&self.system), value })
    }

    fn times(&self, start: Timestamp, end: Timestamp, precision: Precision) -> String {
        let mut segment = String::with_capacity(48);
        write_time(&mut segment, start, precision);
        segment.push('.');
        write_time(&mut segment, end, precision);
        segment
    }
}

/// `yyyyMMddHHmmss[.fffffff]Z`, trailing zeros of the fraction removed (GR-11, GR-12).
fn write_time(out: &mut String, at: Timestamp, precision: Precision) {
    let utc = Offset::UTC.to_datetime(at);
    let (date, time) = (utc.date(), utc.time());
    let written = write!(
        out,
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        date.year(),
        date.month(),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
    let ticks = time.subsec_nanosecond() / 100;
    if precision == Precision::Fraction && ticks > 0 {
        let fraction = format!(".{ticks:07}");
        out.push_str(fraction.trim_end_matches('0'));
    }
    out.push('Z');
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{DEFAULT_SYSTEM, Identifier, Naming, Precision};
    use crate::model::group::{Period, Span};
    use crate::model::subject::Subject;

    fn identifier(precision: Precision, span: Span, correlation_id: Option<&str>) -> Option<Identifier> {
        let subject = Subject { patient_id: "p-7".to_owned(), device_id: "d-3".to_owned(), encounter_id: None };
        let naming = Naming { system: DEFAULT_SYSTEM.into(), precision };
        naming.identifier(&subject, "pulse", span, correlation_id).ok()
    }

    #[track_caller]
    fn check(precision: Precision, period: Period, at: &str, expected: &str) {
        let span = period.span(at.parse::<Timestamp>().unwrap());
        let identifier = identifier(precision, span, Some("c-1")).unwrap();
        assert_eq!(identifier.value, expected, "{at}");
    }

    #[test]
    fn gr_10_gr_11_the_worked_example() {
        for (at, expected) in [
            ("2024-03-02T07:15:00Z", "p-7.d-3.pulse.20240302070000Z.20240302075959Z"),
            ("2024-03-02T08:00:00Z", "p-7.d-3.pulse.20240302080000Z.20240302085959Z"),
        ] {
            check(Precision::Fraction, Period::HOUR, at, expected);
        }
    }

    #[test]
    fn gr_9_the_system_is_that_of_the_reference_unless_another_is_configured() {
        assert_eq!(DEFAULT_SYSTEM, "https://azure.microsoft.com/en-us/services/iomt-fhir-connector/");
        let subject = Subject { patient_id: "p-7".to_owned(), device_id: "d-3".to_owned(), encounter_id: None };
        let of = |system: &str| {
            let naming = Naming { system: system.into(), precision: Precision::Fraction };
            naming.identifier(&subject, "pulse", Span::Correlation, Some("c-1")).unwrap()
        };
        let (default, own) = (of(DEFAULT_SYSTEM), of("urn:own"));
        assert_eq!((&*default.system, &*own.system), (DEFAULT_SYSTEM, "urn:own"));
        assert!(default.value == own.value && default.id != own.id);
    }

    #[test]
    fn gr_11_correlation_ids_are_the_segment() {
        check(Precision::Fraction, Period::Correlation, "2024-03-02T07:15:00Z", "p-7.d-3.pulse.c-1");
    }

    #[test]
    fn gr_7_a_correlation_without_id_is_refused() {
        for id in [None, Some(""), Some("  ")] {
            assert_eq!(identifier(Precision::Fraction, Span::Correlation, id), None);
        }
    }

    #[test]
    fn gr_12_singles_carry_the_fraction_they_have() {
        for (precision, at, expected) in [
            (Precision::Fraction, "2024-03-02T07:15:00.25Z", "p-7.d-3.pulse.20240302071500.25Z.20240302071500.25Z"),
            (Precision::Fraction, "2024-03-02T07:15:00Z", "p-7.d-3.pulse.20240302071500Z.20240302071500Z"),
            (
                Precision::Fraction,
                "2024-03-02T07:15:00.0000001Z",
                "p-7.d-3.pulse.20240302071500.0000001Z.20240302071500.0000001Z",
            ),
            (Precision::Second, "2024-03-02T07:15:00.25Z", "p-7.d-3.pulse.20240302071500Z.20240302071500Z"),
        ] {
            check(precision, Period::Single, at, expected);
        }
    }

    #[test]
    fn gr_13_the_logical_id_is_the_sha_256_of_system_and_value() {
        let span = Period::HOUR.span("2024-03-02T07:15:00Z".parse().unwrap());
        let identifier = identifier(Precision::Fraction, span, None).unwrap();
        // printf '%s_%s' "$system" "$value" | sha256sum
        assert_eq!(identifier.id, "da3fa8c5ae3def5e4e1a74f75dc9da0ce1690431545db64d09b49b7c651fafa3");
        assert_eq!(identifier.id.len(), 64);
    }
}
