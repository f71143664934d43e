//! FHIR servers of other processes: slow, dying, refusing, or none at all.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::config::{mqtt, wearables};
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::HEART_RATE_FILE;
use crate::support::refusing_server::always;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);

fn delivering_to(url: &str, port: u16) -> String {
    let listener = format!("[[connectors.sources]]\ntype = \"mqtt-listener\"\nlisten = \"127.0.0.1:{port}\"\n");
    wearables(&format!("fhir = {{ url = \"{url}\" }}\n{listener}"))
}

/// A second connector, for the service of the process.
fn and_a_good_one(config: &str, port: u16) -> String {
    let good = delivering_to("", port).replace("fhir = { url = \"\" }\n", "").replace("\"wearables\"", "\"good\"");
    format!("{config}{}", good.split_once("[[connectors]]").map(|(_, rest)| format!("[[connectors]]{rest}")).unwrap())
}

/// Sends all readings in the background.
fn sender(port: u16) -> Child {
    let mut command = vitalwire(&["send", HEART_RATE_FILE, "--to", &format!("mqtt://127.0.0.1:{port}/readings")]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn stop(mut sender: Child) {
    sender.kill().unwrap();
    sender.wait().unwrap();
}

async fn state(product: &Vitalwire, connector: &str, state: &str) -> Value {
    until(PATIENCE, async || product.connector(connector).await, |connector| connector["state"] == *state).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_under_load_and_comes_back_has_every_reading_once() {
    let directory = tempfile::tempdir().unwrap();
    let there = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(directory.path(), "max_queued_messages 0").await;
    let address = format!("127.0.0.1:{}", free_port());
    let server_config = format!("data_dir = \"data\"\n[http]\nlisten = \"{address}\"\n");
    let mut server = Vitalwire::serve(there.path(), &server_config);
    let source = format!("fhir = {{ url = \"http://{address}/fhir\" }}\n{}", mqtt(broker.port, "readings"));
    let product = Vitalwire::serve(directory.path(), &wearables(&source));
    product.subscribed("wearables").await;
    let sender = sender(broker.port);
    for share in [3_000, 12_000] {
        until(PATIENCE, async || server.fhir().count("Observation").await, |count| *count >= share).await;
        server.kill();
        let connector = state(&product, "wearables", "retrying").await;
        assert!(connector["reason"].as_str().unwrap().contains(&address), "{connector}");
        server = Vitalwire::serve(there.path(), &server_config);
        state(&product, "wearables", "running").await;
    }
    until(PATIENCE, async || server.fhir().count("Observation").await, |count| *count == 26_084).await;
    let settled = |ledger: &Value| ledger["received"] == 26_084 && ledger["in_flight"] == 0;
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    assert_eq!((&ledger["unexplained"], &ledger["dead_lettered"]), (&0.into(), &0.into()));
    assert_eq!(server.fhir().count("Observation").await, 26_084);
    stop(sender);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_is_turned_away_halts_loses_nothing_and_disturbs_no_other() {
    for (url, word) in [
        (always("401 Unauthorized", ""), "401"),
        (always("200 OK", "<html>Welcome</html>"), "does not answer like a FHIR server"),
        (always("404 Not Found", "no such page"), "404"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (bad_port, good_port) = (free_port(), free_port());
        let config = and_a_good_one(&delivering_to(&url, bad_port), good_port) + "[shutdown]\ngrace = 300\n";
        let product = Vitalwire::serve(directory.path(), &config);
        let bad_sender = sender(bad_port);
        let connector = state(&product, "wearables", "halted").await;
        assert!(connector["reason"].as_str().unwrap().contains(word), "{connector}");

        let to_good = format!("mqtt://127.0.0.1:{good_port}/readings");
        assert_eq!(run(vitalwire(&["send", HEART_RATE_FILE, "--to", &to_good])).0, Some(0));
        let good = product.ledger("good").await;
        assert_eq!((&good["stored"], &good["unexplained"]), (&26_084.into(), &0.into()));
        let ledger = product.ledger("wearables").await;
        assert_eq!(
            (&ledger["stored"], &ledger["dead_lettered"], &ledger["unexplained"]),
            (&0.into(), &0.into(), &0.into())
        );
        assert!(ledger["in_flight"].as_u64() > Some(0), "{ledger}");

        let (status, log) = product.interrupt();
        assert_eq!(status.code(), Some(1));
        assert!(log.last().unwrap().contains("not everything under way was stored within 0.3 s"), "{log:?}");
        stop(bad_sender);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_ends_it_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let nowhere = format!("http://127.0.0.1:{}/fhir", free_port());
    let config = delivering_to(&nowhere, port) + "[shutdown]\ngrace = 3600000\n";
    let mut product = Vitalwire::serve(directory.path(), &config);
    let sender = sender(port);
    state(&product, "wearables", "retrying").await;
    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    while !product.has_ended() {
        product.signal("INT");
        ticks.tick().await;
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(product.ended().0.code(), Some(1));
    stop(sender);
}

#[tokio::test]
async fn sigterm_is_an_orderly_end() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &delivering_to("http://127.0.0.1:1/fhir", free_port()));
    product.signal("TERM");
    assert!(product.ended().0.success());
}
