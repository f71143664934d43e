//! A disk with no room left, which a limit on the size of files stands for: nothing is acknowledged that is not stored,
//! and the product goes on by itself when there is room.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::account::{Account, assert_same, sent};
use crate::support::config::{SERVICE, mqtt, mqtt_listener, wearables};
use crate::support::fhir::Fhir;
use crate::support::mosquitto::Mosquitto;
use crate::support::process::{Vitalwire, vitalwire};
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);
const READINGS: usize = 5_000;
/// How much the files may still grow when the disk becomes full.
const ROOM_BYTES: u64 = 200_000;

/// The product on a disk that can become full.
fn serve(directory: &Path, config: &str) -> Vitalwire {
    let file = directory.join("vitalwire.toml");
    std::fs::write(&file, config).unwrap();
    let product = vitalwire(&["serve", "--config", file.to_str().unwrap()]);
    let mut command = Command::new("sh");
    // A file that is too large is an error then, as on a full disk, and not the end of the process.
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(product.get_program()).args(product.get_args());
    command.current_dir(directory).env("VITALWIRE_LOG__FORMAT", "json");
    Vitalwire::start(command)
}

/// No file of the product may become larger than this; the limit can be lifted again.
fn limit(product: &Vitalwire, bytes: &str) {
    let arguments = [format!("--pid={}", product.id()), format!("--fsize={bytes}:")];
    assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
}

/// Leaves no room but a little beside what is stored.
fn fill(product: &Vitalwire, directory: &Path) {
    let files = std::fs::read_dir(directory.join("data")).unwrap();
    let largest = files.map(|file| file.unwrap().metadata().unwrap().len()).max().unwrap();
    limit(product, &(largest + ROOM_BYTES).to_string());
}

fn readings() -> Vec<Value> {
    heart_rate().into_iter().take(READINGS).collect()
}

fn sender(directory: &Path, address: &str) -> Child {
    let file = directory.join("messages.ndjson");
    let lines: Vec<String> = readings().iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let mut command = vitalwire(&["send", file.to_str().unwrap(), "--to", &format!("mqtt://{address}/readings")]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn state(product: &Vitalwire, state: &str) -> Value {
    until(PATIENCE, async || product.connector("wearables").await, |connector| connector["state"] == *state).await
}

/// Every reading is stored once, and the ledger closes.
async fn check_stored(product: &Vitalwire, fhir: &Fhir) {
    let settled = |ledger: &Value| ledger["in_flight"] == 0 && ledger["received"].as_u64() >= Some(5_000);
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    assert_eq!((&ledger["unexplained"], &ledger["dead_lettered"]), (&0.into(), &0.into()), "{ledger}");
    assert_same(&Account::of(fhir).await.single, &sent(&readings()), "stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_with_its_disk_full_it_acknowledges_nothing_and_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let product = serve(directory.path(), &wearables(&mqtt_listener()));
    fill(&product, directory.path());
    let mut sender = sender(directory.path(), product.mqtt.as_ref().unwrap());
    state(&product, "retrying").await;
    assert!(sender.try_wait().unwrap().is_none());
    limit(&product, "unlimited");
    state(&product, "running").await;
    assert!(sender.wait().unwrap().success());
    check_stored(&product, &product.fhir()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_what_the_server_has_is_not_acknowledged_while_it_cannot_be_counted() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Vitalwire::serve(there.path(), SERVICE);
    let target = format!("fhir = {{ url = \"{}/fhir\" }}\n{}", server.http, mqtt_listener());
    let product = serve(here.path(), &wearables(&target));
    limit(&product, "4096");
    let mut sender = sender(here.path(), product.mqtt.as_ref().unwrap());
    // As many as a device may have on their way (`in_flight_max`).
    until(PATIENCE, async || server.fhir().count("Observation").await, |count| *count >= 1_000).await;
    let ledger = product.ledger("wearables").await;
    assert_eq!((&ledger["stored"], &ledger["in_flight"]), (&0.into(), &1_000.into()), "{ledger}");
    assert!(sender.try_wait().unwrap().is_none());
    limit(&product, "unlimited");
    assert!(sender.wait().unwrap().success());
    check_stored(&product, &server.fhir()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_killed_with_its_disk_full_it_has_lost_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "max_queued_messages 0").await;
    let config = wearables(&mqtt(broker.port, "readings"));
    let product = serve(directory.path(), &config);
    product.subscribed("wearables").await;
    fill(&product, directory.path());
    let mut sender = sender(directory.path(), &format!("127.0.0.1:{}", broker.port));
    state(&product, "retrying").await;
    product.kill();
    assert!(sender.wait().unwrap().success());
    let product = Vitalwire::serve(directory.path(), &config);
    check_stored(&product, &product.fhir()).await;
}
