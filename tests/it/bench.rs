//! `vitalwire bench` measures what it says, of a process of its own or of a server that runs.

use crate::support::config::SERVICE;
use crate::support::process::{Vitalwire, run, vitalwire};

/// Whether a line of a report begins with the title and holds this many positive numbers behind it.
fn tells(report: &str, title: &str, numbers: usize) -> bool {
    report.lines().filter_map(|line| line.strip_prefix(title)).any(|rest| {
        let found = rest.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        found.filter(|number| *number > 0.0).count() >= numbers
    })
}

#[test]
fn writing_is_measured_in_transactions_and_one_by_one() {
    let (code, report, errors) = run(vitalwire(&["bench", "ingest", "--stored", "2000", "--written", "500"]));
    assert_eq!(code, Some(0), "{errors}");
    for title in [
        "transactions of 100, 4 connections:",
        "single creates, 16 connections:",
        "beside it: the same Bundles appended to a file and flushed one by one:",
    ] {
        assert!(tells(&report, title, 1), "{title}: {report}");
    }
}

#[test]
fn every_kind_of_request_is_measured_and_finds_something() {
    let directory = tempfile::tempdir().unwrap();
    let server = Vitalwire::serve(directory.path(), SERVICE);
    let url = format!("{}/fhir", server.http);
    let arguments = ["bench", "search", "--server", &url, "--stored", "2000", "--requests", "3"];
    let (code, report, errors) = run(vitalwire(&arguments));
    assert_eq!(code, Some(0), "{errors}");
    for title in [
        "read by id",
        "patient + code + date, newest 50",
        "code, newest 50",
        "code-value-quantity, 50 rows",
        "identifier",
        "count by code",
        "chain by patient's family name, 50 rows",
        "patient, with patient and device included, 50 rows",
        "$lastn of a patient",
    ] {
        assert!(tells(&report, title, 3), "{title}: {report}");
    }
}

#[test]
fn what_does_not_answer_is_named() {
    let (code, _report, errors) = run(vitalwire(&["bench", "search", "--server", "http://127.0.0.1:9/fhir"]));
    assert_eq!(code, Some(1));
    assert!(errors.contains("does not answer at http://127.0.0.1:9/fhir"), "{errors}");
}
