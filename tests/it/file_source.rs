//! Files of messages read once: resumed where they were left, unpacked, with bad lines, and larger than memory may be.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::config::{mqtt_listener, wearables};
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::HEART_RATE_FILE;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);
const READINGS: usize = 4_000;
const BAD: &str = "{\"heartrate\": ";

/// A connector that reads this file.
fn config(file: &str) -> String {
    wearables(&format!("[[connectors.sources]]\ntype = \"file\"\npath = \"{file}\"\n"))
}

/// So many of the recorded messages.
fn messages(count: usize) -> Vec<String> {
    fs::read_to_string(HEART_RATE_FILE).unwrap().lines().take(count).map(str::to_owned).collect()
}

fn write_gz(path: &Path, lines: impl Iterator<Item = String>) {
    let mut encoder = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
    lines.for_each(|line| writeln!(encoder, "{line}").unwrap());
    encoder.finish().unwrap();
}

/// Waits until the file is read, and gives the ledger, which must be closed.
async fn finished(product: &Vitalwire) -> Value {
    let is_finished = |connector: &Value| connector["sources"][0]["state"] == "finished";
    let connector = until(PATIENCE, async || product.connector("wearables").await, is_finished).await;
    let ledger = &connector["ledger"];
    assert_eq!((&ledger["in_flight"], &ledger["unexplained"]), (&json!(0), &json!(0)), "{ledger}");
    ledger.clone()
}

async fn observations(product: &Vitalwire, at_least: u64) {
    until(PATIENCE, async || product.fhir().count("Observation").await, |count| *count >= at_least).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bt_8_ended_and_started_again_it_goes_on_behind_the_last_settled_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("readings.ndjson"), messages(READINGS).join("\n")).unwrap();
    let config = config("readings.ndjson");
    let mut product = Vitalwire::serve(directory.path(), &config);
    for share in [500, 1_500, 2_500] {
        observations(&product, share).await;
        assert!(product.interrupt().0.success());
        product = Vitalwire::serve(directory.path(), &config);
    }
    let ledger = finished(&product).await;
    assert_eq!((&ledger["received"], &ledger["stored"]), (&json!(READINGS), &json!(READINGS)), "each line once");
    assert!(product.interrupt().0.success());
    let product = Vitalwire::serve(directory.path(), &config);
    assert_eq!(finished(&product).await["received"], READINGS, "what was read is not read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn bt_8_killed_at_any_moment_it_stores_each_line_once() {
    let directory = tempfile::tempdir().unwrap();
    write_gz(&directory.path().join("readings.ndjson.gz"), messages(READINGS).into_iter());
    let config = config("readings.ndjson.gz");
    let mut product = Vitalwire::serve(directory.path(), &config);
    for share in [300, 1_000, 1_700, 2_900] {
        observations(&product, share).await;
        product.kill();
        product = Vitalwire::serve(directory.path(), &config);
    }
    let ledger = finished(&product).await;
    assert_eq!(product.fhir().count("Observation").await, READINGS as u64);
    let count = |state: &str| ledger[state].as_u64().unwrap();
    assert_eq!(count("received"), count("stored") + count("unchanged"), "{ledger}");
    // What was settled is behind the bookmark, but for what a kill caught in between.
    assert!(count("received") < 2 * READINGS as u64, "{ledger}");
}

#[tokio::test]
async fn a_bad_line_is_a_dead_letter_that_says_where_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let good = messages(3);
    let lines = [&good[0], "", BAD, &good[1], " ", &good[2]].map(str::to_owned);
    write_gz(&directory.path().join("readings.ndjson.gz"), lines.into_iter());
    let product = Vitalwire::serve(directory.path(), &config("readings.ndjson.gz"));
    let ledger = finished(&product).await;
    let counts = ["received", "stored", "dead_lettered"].map(|count| ledger[count].as_u64());
    assert_eq!(counts, [4, 3, 1].map(Some), "{ledger}");
    let letters = format!("{}/connectors/wearables/dead-letters", product.http);
    let list = product.fhir().get_json(&letters).await;
    let letter = product.fhir().get_json(&format!("{letters}/{}", list["dead_letters"][0]["id"])).await;
    assert_eq!(letter["payload"], BAD.trim_end());
    let system = &letter["system_properties"];
    let place = [&system["fileName"], &system["x-opt-sequence-number"]];
    assert_eq!(place, [&json!("readings.ndjson.gz"), &json!(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p_7_a_file_larger_than_memory_may_be_is_read() {
    const LINES: usize = 500;
    const LINE_BYTES: usize = 1_000_000;
    let directory = tempfile::tempdir().unwrap();
    let space = " ".repeat(LINE_BYTES);
    let long = messages(LINES).into_iter().map(|line| line.replacen('{', &format!("{{{space}"), 1));
    write_gz(&directory.path().join("readings.ndjson.gz"), long);
    let bounds = "in_flight_bytes_max = 4000000\n[[connectors.sources]]\nmessage_bytes_max = 2000000";
    let text = config("readings.ndjson.gz").replacen("[[connectors.sources]]", bounds, 1);
    let product = Vitalwire::serve(directory.path(), &text);
    assert_eq!(finished(&product).await["stored"], LINES);
    let status = fs::read_to_string(format!("/proc/{}/status", product.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kb: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kb * 1_000 < LINES * LINE_BYTES * 6 / 10, "{peak_kb} kB");
}

#[tokio::test]
async fn a_file_that_comes_later_is_read_then_and_another_in_its_place_from_its_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("readings.ndjson");
    let product = Vitalwire::serve(directory.path(), &config("readings.ndjson"));
    let retrying = |connector: &Value| connector["sources"][0]["state"] == "retrying";
    let connector = until(PATIENCE, async || product.connector("wearables").await, retrying).await;
    assert!(connector["sources"][0]["reason"].as_str().unwrap().contains("No such file"), "{connector}");
    let readings = messages(5);
    fs::write(&path, readings[..2].join("\n")).unwrap();
    assert_eq!(finished(&product).await["received"], 2);
    assert!(product.interrupt().0.success());
    fs::write(&path, readings[2..].join("\n")).unwrap();
    let product = Vitalwire::serve(directory.path(), &config("readings.ndjson"));
    assert_eq!(finished(&product).await["received"], 5);
}

#[tokio::test]
async fn check_says_whether_the_file_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vitalwire.toml");
    fs::write(&file, config("readings.ndjson")).unwrap();
    let check = || {
        let mut command = vitalwire(&["check", "--config", "vitalwire.toml"]);
        command.current_dir(directory.path());
        run(command)
    };
    let (code, output, _) = check();
    assert_eq!(code, Some(1));
    assert!(output.contains("FAIL  connector `wearables`: file readings.ndjson: No such file"), "{output}");
    fs::write(directory.path().join("readings.ndjson"), "{}\n").unwrap();
    let (code, output, errors) = check();
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(output.contains("ok    connector `wearables`: file readings.ndjson, 3 bytes"), "{output}");
}

#[tokio::test]
async fn two_sources_of_a_connector_cannot_read_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let twice = config("a.ndjson") + "[[connectors.sources]]\ntype = \"file\"\npath = \"a.ndjson\"\n";
    fs::write(directory.path().join("vitalwire.toml"), twice).unwrap();
    let mut command = vitalwire(&["check", "--config", "vitalwire.toml"]);
    command.current_dir(directory.path());
    let (code, _, errors) = run(command);
    assert_eq!(code, Some(78));
    assert!(errors.contains("is read by another source of this connector already"), "{errors}");
}

#[tokio::test]
async fn send_takes_messages_from_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("readings.ndjson");
    fs::write(&path, messages(3).join("\n")).unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    let to = format!("mqtt://{}/readings", product.mqtt.as_ref().unwrap());
    let mut command = vitalwire(&["send", "-", "--to", &to]);
    command.stdin(fs::File::open(path).unwrap());
    let (code, output, errors) = run(command);
    assert_eq!(code, Some(0), "{output}{errors}");
    assert_eq!(product.ledger("wearables").await["stored"], 3);
}
