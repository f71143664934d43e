use std::collections::BTreeSet;

use super::catalogue::{self, Kind, Metric};
use super::errors::{self, Known};
use super::{DeliverMeters, NormalizeMeters, Side, count_dead_letter, count_refused_mapping, recorder};
use crate::model::dead_letter::Stage;
use crate::model::receipt::Outcome;

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

fn kind(metric: &Metric) -> &'static str {
    match metric.kind {
        Kind::Counter(_) => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

/// How the document tells of a metric.
fn row(metric: &Metric) -> String {
    let (name, kind, help) = (metric.name, kind(metric), metric.help);
    match metric.reference {
        Some((category, operation)) => format!("| `{name}` | {kind} | {category} | {operation} | {help} |"),
        None => format!("| `{name}` | {kind} | {} | {help} |", metric.labels.join(", ")),
    }
}

fn error_row(known: &Known) -> String {
    let Known { name, error_type, severity, source, operation, help } = known;
    format!("| `{name}` | {operation} | {error_type} | {severity} | {source} | {help} |")
}

#[test]
fn the_document_lists_every_metric_and_no_other() {
    let expected: BTreeSet<String> =
        catalogue::ALL.iter().map(|metric| row(metric)).chain(errors::KNOWN.iter().map(error_row)).collect();
    let found: BTreeSet<String> = DOCUMENT.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let missing: Vec<_> = expected.difference(&found).cloned().collect();
    let stale: Vec<_> = found.difference(&expected).cloned().collect();
    assert!(missing.is_empty() && stale.is_empty(), "missing:\n{}\nstale:\n{}", missing.join("\n"), stale.join("\n"));
}

/// The lines of what is exposed after `count`, without those that say what a metric means.
fn lines_after(count: impl FnOnce()) -> Vec<String> {
    let recorder = recorder();
    metrics::with_local_recorder(&recorder, count);
    recorder.handle().render().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[track_caller]
fn check(count: impl FnOnce(), expected: &[&str]) {
    let lines = lines_after(count);
    for line in expected {
        assert!(lines.iter().any(|found| found == line), "no `{line}` in:\n{}", lines.join("\n"));
    }
}

#[test]
fn tm_1_dimensions_are_labels_and_blank_ones_are_left_out() {
    check(
        || {
            NormalizeMeters::new("wards").event_dropped();
            DeliverMeters::new("wards").saved("Observation", Outcome::Stored);
            DeliverMeters::new("wards").saved("Specimen", Outcome::Merged);
            count_dead_letter("wards", Stage::Resolve, "PatientDeviceMismatchException");
        },
        &[
            r#"DroppedEvent{connector="wards",Name="DroppedEvent",Category="Traffic",Operation="Normalization"} 1"#,
            r#"FhirResourceSaved{connector="wards",ResourceType="Observation",Name="ObservationCreated",Category="Traffic",Operation="FHIRConversion"} 1"#,
            r#"FhirResourceSaved{connector="wards",ResourceType="Specimen",Name="SpecimenUpdated",Category="Traffic",Operation="FHIRConversion"} 1"#,
            r#"PatientDeviceMismatchException{connector="wards",Name="PatientDeviceMismatchException",Category="Errors",Operation="FHIRConversion",ErrorType="FHIRResourceError",ErrorSeverity="Warning"} 1"#,
        ],
    );
}

#[test]
fn tm_5_an_error_is_counted_under_its_code_also_if_that_is_a_part_of_the_name() {
    let composite = "DeviceTemplateErrorNormalizationDataMappingException";
    check(
        || count_dead_letter("wards", Stage::Normalize, "NormalizationDataMappingException"),
        &[
            &format!(
                r#"{composite}{{connector="wards",Name="{composite}",Category="Errors",Operation="Normalization",ErrorType="DeviceTemplateError",ErrorSeverity="Critical",ErrorSource="User"}} 1"#
            ),
            r#"dead_letters_recorded_total{connector="wards",stage="normalize",code="NormalizationDataMappingException"} 1"#,
        ],
    );
}

#[test]
fn tm_5_a_refused_mapping_is_counted_with_its_mistakes_by_file() {
    let mistakes = [("InvalidTemplateException", Side::Device), ("TemplateExpressionException", Side::Fhir)];
    let labels = |name: &str, error_type: &str| {
        format!(
            r#"{name}{{connector="wards",Name="{name}",Category="Errors",Operation="Setup",ErrorType="{error_type}",ErrorSeverity="Critical",ErrorSource="User"}} 1"#
        )
    };
    check(
        || count_refused_mapping("wards", mistakes),
        &[
            &labels("ValidationException", "GeneralError"),
            &labels("InvalidTemplateException", "DeviceTemplateError"),
            &labels("TemplateExpressionException", "FHIRTemplateError"),
        ],
    );
}

#[test]
fn tm_5_every_error_is_exposed_before_it_happens() {
    let lines = lines_after(|| errors::expose_errors("wards"));
    let series: BTreeSet<&String> = lines.iter().filter(|line| line.ends_with("} 0")).collect();
    assert_eq!(series.len(), errors::KNOWN.len());
}

#[test]
fn every_metric_says_what_it_means_and_histograms_have_buckets() {
    let recorder = recorder();
    metrics::with_local_recorder(&recorder, || NormalizeMeters::new("wards"));
    let text = recorder.handle().render();
    for name in ["DeviceEventProcessingLatency", "DeviceEventProcessingLatencyMs", "MeasurementBatchSize"] {
        assert!(text.contains(&format!("# TYPE {name} histogram\n")), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}
