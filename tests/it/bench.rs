//! `vitalwire bench` measures what it says, of a process of its own or of a server that runs.

use crate::support::config::SERVICE;
use crate::support::kafka;
use crate::support::kafka::client::Client;
use crate::support::mosquitto::{Mosquitto, free_port};
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

/// Measures a pipeline; the lines that every kind of source has are there.
fn pipeline(arguments: &[&str]) -> String {
    let few = ["--messages", "1000"];
    let (code, report, errors) = run(vitalwire(&[&["bench", "pipeline"], arguments, &few].concat()));
    assert_eq!(code, Some(0), "{errors}");
    for (title, numbers) in [
        ("end to end, until searchable:", 1),
        ("beside it: a consumer that only reads and acknowledges:", 1),
        ("of that, end to end:", 1),
        ("  at half load, ", 4),
        ("  at rest:", 3),
        ("processor time of the whole process:", 1),
        ("  normalize:", 1),
        ("  group:", 1),
        ("  resolve:", 1),
        ("  deliver:", 1),
        ("  settlements:", 1),
        ("  HTTP connections, the FHIR service among them:", 1),
        ("  SQLite writer:", 1),
        ("  runtime, HTTP client, blocking work and the rest:", 1),
    ] {
        assert!(tells(&report, title, numbers), "{title}: {report}");
    }
    report
}

#[tokio::test]
async fn a_pipeline_from_kafka_is_measured_and_leaves_no_topics_behind() {
    let address = kafka::address().await;
    let report = pipeline(&["--source", "kafka", "--broker", &address]);
    assert!(report.contains("  librdkafka:") && report.contains("  Kafka poller:"), "{report}");
    let topics = Client::new(&address).topics();
    assert!(!topics.iter().any(|topic| topic.starts_with("vitalwire-bench-")), "{topics:?}");
}

#[tokio::test]
async fn a_pipeline_from_mqtt_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "max_queued_messages 0\nmax_inflight_messages 0").await;
    let report = pipeline(&["--source", "mqtt", "--broker", &format!("127.0.0.1:{}", broker.port)]);
    assert!(tells(&report, "  source:", 1), "{report}");
}

#[test]
fn a_pipeline_from_requests_is_measured() {
    pipeline(&["--source", "http"]);
    let arguments = ["bench", "pipeline", "--source", "http", "--broker", "127.0.0.1:9"];
    let (code, _report, errors) = run(vitalwire(&arguments));
    assert!(code == Some(2) && errors.contains("--broker is for kafka and mqtt"), "{errors}");
}

#[tokio::test]
async fn messages_that_the_broker_drops_are_no_figure() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "max_queued_messages 10\nmax_inflight_messages 1").await;
    let broker = format!("127.0.0.1:{}", broker.port);
    let arguments = ["bench", "pipeline", "--source", "mqtt", "--broker", &broker, "--messages", "1000"];
    let (code, _report, errors) = run(vitalwire(&arguments));
    assert_eq!(code, Some(1));
    assert!(errors.contains("messages arrived") && errors.contains("max_queued_messages 0"), "{errors}");
}

#[test]
fn a_broker_that_does_not_answer_is_named_with_how_to_start_one() {
    let broker = format!("127.0.0.1:{}", free_port());
    for (source, start) in [("kafka", "docker run"), ("mqtt", "mosquitto -p")] {
        let (code, _report, errors) = run(vitalwire(&["bench", "pipeline", "--source", source, "--broker", &broker]));
        assert_eq!(code, Some(1));
        assert!(errors.contains(&broker) && errors.contains(start), "{errors}");
    }
    let (code, _report, errors) = run(vitalwire(&["bench", "pipeline", "--source", "kafka"]));
    assert!(code == Some(2) && errors.contains("--broker"), "{errors}");
}
