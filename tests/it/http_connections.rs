//! Connections that clients neglect cost others nothing, and the end of the server waits for requests alone.

use std::process::Command;
use std::time::Duration;

use crate::support::config::SERVICE;
use crate::support::process::{Vitalwire, vitalwire};
use crate::support::wait::until;
use crate::support::wire::{Wire, patiently};

const PATIENCE: Duration = Duration::from_secs(60);

const READ: &str = "GET /fhir/Patient?_summary=count HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PATIENT: &str = r#"{"resourceType":"Patient"}"#;

/// The head of a create of `PATIENT`.
fn create() -> String {
    let length = PATIENT.len();
    format!(
        "POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

/// A server that closes idle connections soon.
fn impatient(directory: &std::path::Path, more: &str) -> Vitalwire {
    Vitalwire::serve(directory, &format!("{SERVICE}idle_timeout = 300\n{more}"))
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let product = impatient(directory.path(), "");
    for begun in [
        "",
        "G",
        "GET /fhir/Patient HTTP/1.1\r\n",
        "GET /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nx-long: ",
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut wire = Wire::asking(&product, begun).await;
        if begun.ends_with("SM\r\n\r\n") {
            // Over HTTP/2 the server says that it goes.
            patiently(async { while !wire.is_closed().await {} }).await;
        } else {
            assert!(wire.is_closed().await, "{begun}");
        }
    }
    let mut used = Wire::asking(&product, READ).await;
    assert_eq!(used.answer().await.unwrap().status, 200);
    assert!(used.is_closed().await);
    let mut slow = Wire::asking(&product, "GET /fhir/Patient HTTP/1.1\r\nHost: localhost\r\n").await;
    assert!(slow.is_closed_while_sending(b"a: b\r\n").await, "headers that never end");
}

#[tokio::test]
async fn a_connection_with_a_request_is_left_in_peace() {
    let directory = tempfile::tempdir().unwrap();
    let product = impatient(directory.path(), "");
    let mut wire = Wire::asking(&product, create()).await;
    // Byte by byte, so that it takes longer than a connection may be idle.
    let mut ticks = tokio::time::interval(Duration::from_millis(30));
    for byte in PATIENT.bytes() {
        ticks.tick().await;
        wire.send([byte]).await;
    }
    assert_eq!(wire.answer().await.unwrap().status, 201);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let product = impatient(directory.path(), "");
    let content = vec![b'x'; 20 << 20];
    let stored = product.fhir().raw("PUT", "Binary/b", &[("content-type", "text/plain")], content).await;
    stored.check(201);
    let read = "GET /fhir/Binary/b HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut wires = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::asking(&product, read).await;
        wire.first_byte().await;
        wires.push(wire);
    }
    // The one that asks is left.
    until(PATIENCE, async || product.metric("http_connections_open").await, |open| *open == 1).await;
}

#[tokio::test]
async fn connections_over_the_bound_are_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}connections_max = 3\n"));
    let mut served = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::asking(&product, READ).await;
        assert_eq!(wire.answer().await.unwrap().status, 200);
        served.push(wire);
    }
    let mut refused = Wire::asking(&product, READ).await;
    let answer = refused.answer().await.unwrap();
    answer.check_outcome(503, "as many connections");
    assert!(!answer.header("retry-after").is_empty());
    assert!(refused.is_closed().await);
    // Those that are served go on, and who leaves makes place.
    for wire in &mut served {
        wire.send(READ).await;
        assert_eq!(wire.answer().await.unwrap().status, 200);
    }
    drop(served.pop());
    let again = async || Wire::asking(&product, READ).await.answer().await.map(|answer| answer.status);
    until(PATIENCE, again, |status| *status == Some(200)).await;
    drop(served);
    let counted = async || product.metric("http_connections_refused_total").await;
    assert!(until(PATIENCE, counted, |refused| *refused > 0).await > 0);
}

#[tokio::test]
async fn a_crowd_that_says_nothing_passes() {
    let directory = tempfile::tempdir().unwrap();
    let product = impatient(directory.path(), "connections_max = 2\n");
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(Wire::open(&product).await);
    }
    let served = async || Wire::asking(&product, READ).await.answer().await.map(|answer| answer.status);
    until(PATIENCE, served, |status| *status == Some(200)).await;
}

#[tokio::test]
async fn a_machine_out_of_files_is_said_once_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("vitalwire.toml");
    std::fs::write(&config, format!("{SERVICE}idle_timeout = 1000\n")).unwrap();
    let serve = vitalwire(&["serve", "--config"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 128; exec \"$@\"", "sh"]).arg(serve.get_program()).args(serve.get_args());
    limited.arg(&config).current_dir(directory.path()).env_remove("RUST_LOG").env("VITALWIRE_LOG__FORMAT", "json");
    let product = Vitalwire::start(limited);
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(Wire::open(&product).await);
    }
    let served = async || Wire::asking(&product, READ).await.answer().await.map(|answer| answer.status);
    until(PATIENCE, served, |status| *status == Some(200)).await;
    let (status, log) = product.interrupt();
    assert!(status.success(), "{log:?}");
    let told = log.iter().filter(|line| line.contains("cannot accept HTTP connections")).count();
    // Once in a minute, however often it is tried.
    assert!((1..=2).contains(&told), "{told} times: {log:?}");
}

#[tokio::test]
async fn the_end_waits_for_requests_and_for_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut product = Vitalwire::serve(directory.path(), SERVICE);
    let mut under_way = Wire::asking(&product, create()).await;
    under_way.send(&PATIENT[..5]).await;
    let mut idle = Wire::asking(&product, READ).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let mut begun = Wire::asking(&product, "GET /fhir/Patient HTTP/1.1\r\nHo").await;
    let mut silent = Wire::open(&product).await;
    product.signal("TERM");
    for neglected in [&mut idle, &mut begun, &mut silent] {
        assert!(neglected.is_closed().await);
    }
    until(PATIENCE, async || Wire::try_open(&product).await.is_err(), |refused| *refused).await;
    assert!(!product.has_ended());
    under_way.send(&PATIENT[5..]).await;
    let answer = under_way.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (201, "close"));
    assert!(product.ended().0.success());
    // What was answered is there.
    assert_eq!(Vitalwire::serve(directory.path(), SERVICE).fhir().count("Patient").await, 1);
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}[shutdown]\ngrace = 100\n"));
    let mut under_way = Wire::asking(&product, create()).await;
    under_way.send(&PATIENT[..5]).await;
    let (status, log) = patiently(tokio::task::spawn_blocking(|| product.interrupt())).await.unwrap();
    assert!(status.success(), "{log:?}");
    assert!(log.iter().any(|line| line.contains("not answered within the grace period")), "{log:?}");
    assert!(under_way.is_closed().await);
}
