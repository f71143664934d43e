//! A hundred thousand messages wait at the broker while the FHIR server is away: they wait there, and not in memory.
#![cfg(target_os = "linux")]

use std::time::Duration;

use serde_json::Value;

use crate::support::config::{connector, mqtt};
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(180);
const MESSAGES: usize = 100_000;
/// What a source takes and has not acknowledged (`in_flight_max`).
const IN_FLIGHT_MAX: u64 = 2_000;
/// Several times what an idle process needs; the messages alone would take more if it took them all.
const MEMORY_KIB_MAX: u64 = 120_000;

/// The readings of the recording in four years and more.
fn messages() -> Vec<String> {
    let years = 2016..;
    let of_year = |year: u32| {
        let shifted = move |message: &Value| message.to_string().replace("\"2016-", &format!("\"{year}-"));
        heart_rate().iter().map(shifted).collect::<Vec<_>>()
    };
    years.flat_map(of_year).take(MESSAGES).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn p_7_messages_wait_at_the_broker_while_the_server_is_away() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let broker = Mosquitto::start(here.path(), "max_queued_messages 0\nmax_inflight_messages 0").await;
    let address = format!("127.0.0.1:{}", free_port());
    let source = format!("fhir = {{ url = \"http://{address}/fhir\" }}\n{}", mqtt(broker.port, "readings"));
    let product = Vitalwire::serve(here.path(), &connector("wearables", "heart-rate-hourly", &source));
    product.subscribed("wearables").await;

    let file = here.path().join("messages.ndjson");
    std::fs::write(&file, messages().join("\n")).unwrap();
    let to = format!("mqtt://127.0.0.1:{}/readings", broker.port);
    assert_eq!(run(vitalwire(&["send", file.to_str().unwrap(), "--to", &to])).0, Some(0));
    let waiting = |ledger: &Value| ledger["in_flight"] == IN_FLIGHT_MAX;
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, waiting).await;
    assert_eq!(ledger["received"], IN_FLIGHT_MAX, "{ledger}");

    let server = format!("data_dir = \"data\"\n[http]\nlisten = \"{address}\"\n");
    let _server = Vitalwire::serve(there.path(), &server);
    let settled = |ledger: &Value| ledger["in_flight"] == 0 && ledger["received"] == MESSAGES;
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    assert_eq!((&ledger["unexplained"], &ledger["dead_lettered"]), (&0.into(), &0.into()), "{ledger}");
    let peak = product.memory_peak();
    assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
}
