//! Devices and gateways that send their messages over HTTP.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::support::account::{Account, assert_same, sent, versions};
use crate::support::config::{HTTP_PUSH, mqtt_listener, wearables};
use crate::support::fhir::Answer;
use crate::support::mosquitto::free_port;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::readings::{HEART_RATE_FILE, heart_rate};
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");
const JSON: (&str, &str) = ("content-type", "application/json");

fn message(second: usize) -> String {
    format!(
        r#"{{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:{second:02}Z","heartrate":61}}"#
    )
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn messages_url(product: &Vitalwire) -> String {
    format!("{}/connectors/wearables/messages", product.http)
}

async fn push(product: &Vitalwire, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    product.fhir().raw("POST", &messages_url(product), headers, body).await
}

fn outcomes(answer: &Answer) -> Vec<String> {
    let results = answer.json();
    let outcomes = results["messages"].as_array().unwrap().iter().map(|message| &message["outcome"]);
    outcomes.map(|outcome| outcome.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_answered_is_stored_or_dead_lettered_and_each_message_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(HTTP_PUSH));
    let answer = push(&product, &[JSON], message(0)).await.check(200);
    assert_eq!(outcomes(&answer), ["stored"]);
    assert_eq!(product.fhir().count("Observation").await, 1);

    let lines = format!("{}\n{{\"cut\": \n{}\n{{\"other\": 1}}\n{{\"heartrate\": 1}}", message(0), message(1));
    let answer = push(&product, &[LINES], lines).await.check(200);
    assert_eq!(outcomes(&answer), ["unchanged", "dead_lettered", "stored", "unmatched", "dead_lettered"]);
    let letter = &answer.json()["messages"][1]["dead_letters"][0];
    assert_eq!(letter["code"], "InvalidDataFormatException");
    assert!(letter["reason"].as_str().unwrap().contains("not JSON"), "{letter}");
    let found = format!("{}/connectors/wearables/dead-letters/{}", product.http, letter["id"]);
    assert_eq!(product.fhir().get_json(&found).await["payload"], "{\"cut\":");

    let many = (0..500).map(|number| message(0).replace("d-1", &format!("d-{number}"))).collect::<Vec<_>>().join("\n");
    let many = many.replace("p-1", "p-2").replace("d-1\"", "d-500\"");
    let answer = push(&product, &[LINES, ("content-encoding", "gzip")], gzipped(&many)).await.check(200);
    assert_eq!(answer.json()["stored"], 500, "{answer:?}");
    assert_eq!(product.fhir().count("Observation").await, 502);
    let ledger = product.ledger("wearables").await;
    assert_eq!(
        (&ledger["received"], &ledger["unexplained"], &ledger["in_flight"]),
        (&506.into(), &0.into(), &0.into())
    );
    let view = product.connector("wearables").await;
    let source = json!({ "type": "http", "address": "/connectors/wearables/messages", "state": "connected" });
    assert_eq!(view["sources"][0], source);
}

#[test]
fn events_of_the_cloud_events_sdk_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(HTTP_PUSH));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut client = Command::new(repository.join("target/clients/python/bin/python"));
    client.arg(repository.join("tests/clients/python/push_events.py")).arg(messages_url(&product));
    let (code, output, errors) = run(client);
    assert_eq!(code, Some(0), "{output}\n{errors}");
}

/// Sends a request until it is answered with 200, whatever happens to the server meanwhile.
async fn insist(client: &reqwest::Client, url: &str, key: &str, body: Vec<u8>) -> Value {
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        pause.tick().await;
        assert!(tokio::time::Instant::now() < deadline, "{key} is not taken");
        let request = client.post(url).header(LINES.0, LINES.1).header("content-encoding", "gzip");
        let Ok(answer) = request.header("idempotency-key", key).body(body.clone()).send().await else { continue };
        let status = answer.status().as_u16();
        let Ok(text) = answer.text().await else { continue };
        match status {
            200 => return serde_json::from_str(&text).unwrap(),
            409 | 429 | 503 => {}
            _ => panic!("{status}: {text}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_killed_again_and_again_it_has_what_it_answered_and_repeats_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let config = wearables(HTTP_PUSH).replace("127.0.0.1:0", &address);
    let mut product = Vitalwire::serve(directory.path(), &config);
    let url = messages_url(&product);
    let readings: Vec<Value> = heart_rate().into_iter().take(12_000).collect();
    let requests: Vec<(String, Vec<u8>)> = (0..)
        .zip(readings.chunks(150))
        .map(|(number, chunk): (u32, _)| {
            let lines: Vec<String> = chunk.iter().map(Value::to_string).collect();
            (format!("request-{number}"), gzipped(&lines.join("\n")))
        })
        .collect();
    let (senders, requests) = (TaskTracker::new(), Arc::new(requests));
    // The readings of a device are in order within a sender.
    for share in 0..2 {
        let (requests, url) = (Arc::clone(&requests), url.clone());
        senders.spawn(async move {
            let client = reqwest::Client::new();
            for (key, body) in requests.iter().skip(share).step_by(2) {
                let results = insist(&client, &url, key, body.clone()).await;
                assert_eq!(results["dead_lettered"], 0, "{results}");
            }
        });
    }
    for share in [1_000, 4_000, 8_000] {
        until(PATIENCE, async || product.fhir().count("Observation").await, |count| *count >= share).await;
        product.kill();
        product = Vitalwire::serve(directory.path(), &config);
    }
    senders.close();
    senders.wait().await;
    // All are answered, so all are stored: no waiting here.
    assert_same(&Account::of(&product.fhir()).await.single, &sent(&readings), "readings");

    let before = versions(&product.fhir()).await;
    let (key, body) = &requests[0];
    let again = insist(&reqwest::Client::new(), &url, key, body.clone()).await;
    assert_eq!(again["received"], 150);
    let ledger = product.ledger("wearables").await;
    let answer = push(&product, &[LINES, ("content-encoding", "gzip")], body.clone()).await.check(200);
    assert_eq!(answer.json()["unchanged"], 150, "{answer:?}");
    assert_eq!(versions(&product.fhir()).await, before);
    // The request with a key was not counted again, the one without was.
    let received = ledger["received"].as_u64().unwrap() + 150;
    assert_eq!(product.ledger("wearables").await["received"], received);
}

#[tokio::test(flavor = "multi_thread")]
async fn p_7_while_the_server_is_away_senders_are_told_to_come_back_and_nothing_is_lost() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let address = format!("127.0.0.1:{}", free_port());
    let bounds = "in_flight_max = 200\nmessages_max = 100\nrequest_timeout = 1000\n";
    let source = format!("fhir = {{ url = \"http://{address}/fhir\" }}\n{HTTP_PUSH}{bounds}");
    let product = Vitalwire::serve(here.path(), &wearables(&source));
    let request = |number: usize| {
        let lines = (0..100).map(|second| message(second % 60).replace("d-1", &format!("d-{number}-{second}")));
        lines.map(|line| line.replace("p-1", &format!("p-{number}"))).collect::<Vec<_>>().join("\n")
    };
    for number in 0..2 {
        let answer =
            push(&product, &[LINES, ("idempotency-key", &number.to_string())], request(number)).await.check(503);
        assert_eq!(answer.header("retry-after"), "5");
        assert_eq!(answer.json()["messages"][99]["outcome"], "pending");
    }
    let answer = push(&product, &[LINES], request(2)).await.check(429);
    assert_eq!((answer.header("retry-after"), answer.header("connection")), ("1", "close"));
    // It goes on by itself, so the key is in use.
    push(&product, &[LINES, ("idempotency-key", "0")], request(0)).await.check(429);

    let server = format!("data_dir = \"data\"\n[http]\nlisten = \"{address}\"\n");
    let server = Vitalwire::serve(there.path(), &server);
    let settled = |ledger: &Value| ledger["in_flight"] == 0 && ledger["stored"] == 200;
    until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    let answered = |answer: &Answer| answer.status == 200;
    let repeat = async || push(&product, &[LINES, ("idempotency-key", "0")], request(0)).await;
    let answer = until(PATIENCE, repeat, answered).await;
    assert_eq!(answer.json()["stored"], 100, "{answer:?}");
    push(&product, &[LINES], request(2)).await.check(200);
    assert_eq!(server.fhir().count("Observation").await, 300);
    assert_eq!(product.ledger("wearables").await["received"], 300);
}

/// Sends one message after another until one is not answered with 200; how many were.
async fn push_on(url: String, device: usize) -> u64 {
    let client = reqwest::Client::new();
    for number in 0_u64.. {
        let body =
            message(usize::try_from(number % 60).unwrap()).replace("d-1", &format!("d-{device}-{}", number / 60));
        let answer =
            client.post(&url).header(JSON.0, JSON.1).body(body.replace("p-1", &format!("p-{device}"))).send().await;
        match answer.map(|answer| answer.status().as_u16()) {
            Ok(200) => {}
            // Refused by the door, or by the system once the port is closed.
            Ok(503) | Err(_) => return number,
            Ok(status) => panic!("{status}"),
        }
    }
    unreachable!("there are always more messages")
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_under_load_it_answers_what_is_under_way_and_refuses_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(HTTP_PUSH));
    let url = messages_url(&product);
    let senders: Vec<_> = (0..8).map(|device| TaskTracker::new().spawn(push_on(url.clone(), device))).collect();
    until(PATIENCE, async || product.ledger("wearables").await, |ledger| ledger["received"].as_u64() >= Some(200))
        .await;
    let (status, log) = product.interrupt();
    assert!(status.success(), "{status}: {}", log.join("\n"));
    let mut answered = 0;
    for sender in senders {
        answered += sender.await.unwrap();
    }

    let product = Vitalwire::serve(directory.path(), &wearables(HTTP_PUSH));
    // Drained, all that was taken was answered.
    assert_eq!(product.fhir().count("Observation").await, answered);
    let ledger = product.ledger("wearables").await;
    assert_eq!((&ledger["stored"], &ledger["unexplained"]), (&answered.into(), &0.into()), "{ledger}");
}

#[tokio::test]
async fn errors_say_how_to_mend_them() {
    let directory = tempfile::tempdir().unwrap();
    let source = format!("{HTTP_PUSH}token = \"s3cret\"\nbody_bytes_max = 1000\nmessages_max = 2\n");
    let product = Vitalwire::serve(directory.path(), &wearables(&source));
    let known = ("authorization", "Bearer s3cret");
    let check = async |headers: &[(&str, &str)], body: Vec<u8>, status: u16, says: &str| {
        let answer = push(&product, headers, body).await.check(status);
        assert!(answer.json()["error"].as_str().unwrap().contains(says), "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/json");
    };
    check(&[JSON], message(0).into(), 401, "`token`").await;
    check(&[JSON, known], b"{".to_vec(), 400, "not JSON").await;
    check(&[LINES, known], b"1\n2\n3".to_vec(), 413, "`messages_max`").await;
    check(&[LINES, known], vec![b'1'; 1_001], 413, "`body_bytes_max`").await;
    let bomb = gzipped(&" ".repeat(64 << 20));
    check(&[LINES, known, ("content-encoding", "gzip")], bomb[..900].to_vec(), 413, "`body_bytes_max`").await;
    check(&[("content-type", "text/plain"), known], message(0).into(), 415, "application/json").await;
    check(&[JSON, known, ("content-encoding", "br")], message(0).into(), 415, "gzip, deflate and zstd").await;
    push(&product, &[JSON, known, ("idempotency-key", "k")], message(0)).await.check(200);
    check(&[JSON, known, ("idempotency-key", "k")], message(1).into(), 422, "each request its own").await;
}

#[tokio::test]
async fn payloads_over_mqtt_may_be_packed_and_arrays_of_messages() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&(mqtt_listener() + "split_arrays = true\n")));
    let (host, port) = product.mqtt.as_ref().unwrap().rsplit_once(':').unwrap();
    let publish = |coding: &str, payload: &[u8]| {
        let file = directory.path().join("payload");
        std::fs::write(&file, payload).unwrap();
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", host, "-p", port, "-V", "5", "-q", "1", "-t", "readings"]);
        command.args(["-D", "publish", "user-property", "content-encoding", coding, "-f"]).arg(file);
        let (code, output, errors) = run(command);
        assert_eq!(code, Some(0), "{output}{errors}");
    };
    publish("gzip", &gzipped(&format!("[{},{{\"heartrate\":1}},{}]", message(0), message(1))));
    publish("zstd", &zstd::encode_all(message(2).as_bytes(), 1).unwrap());
    publish("gzip", &gzipped(&" ".repeat(2 << 20)));
    let ended = |ledger: &Value| ledger["received"] == 3 && ledger["in_flight"] == 0;
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, ended).await;
    assert_eq!((&ledger["stored"], &ledger["dead_lettered"]), (&1.into(), &2.into()), "{ledger}");
    assert_eq!(product.fhir().count("Observation").await, 3);
    let url = format!("{}/connectors/wearables/dead-letters", product.http);
    let letters = product.fhir().get_json(&url).await;
    let found: Vec<_> =
        letters["dead_letters"].as_array().unwrap().iter().map(|letter| letter["payload"].clone()).collect();
    assert_eq!(found.len(), 2, "{letters}");
    assert_eq!(found[1], "{\"heartrate\":1}");
}

#[tokio::test]
async fn a_reload_opens_changes_and_takes_away_the_way_in() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    let reload = async |config: String| {
        std::fs::write(directory.path().join("vitalwire.toml"), config).unwrap();
        product.fhir().raw("POST", &format!("{}/config/reload", product.http), &[JSON], "").await.check(200);
    };
    push(&product, &[JSON], message(0)).await.check(404);
    reload(wearables(HTTP_PUSH)).await;
    push(&product, &[JSON], message(0)).await.check(200);
    reload(wearables(&format!("{HTTP_PUSH}token = \"s3cret\"\n"))).await;
    push(&product, &[JSON], message(1)).await.check(401);
    push(&product, &[JSON, ("authorization", "Bearer s3cret")], message(1)).await.check(200);
    reload(wearables(&mqtt_listener())).await;
    push(&product, &[JSON], message(2)).await.check(404);
    assert_eq!(product.ledger("wearables").await["stored"], 2);
}

/// What device vendors read is what they get.
#[tokio::test]
async fn the_examples_of_the_document_answer_as_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(HTTP_PUSH));
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http-push.md")).unwrap();
    let blocks = document.split("```console curl\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let examples: Vec<&str> = blocks.flat_map(|block| block.split("$ ").skip(1)).collect();
    assert_eq!(examples.len(), 7);
    for example in examples {
        let (command, shown) = example.split_once('\n').unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &command.replace("http://127.0.0.1:8080", &product.http)]);
        let (_, output, errors) = run(shell);
        assert_eq!(output.trim(), shown.trim(), "{command}\n{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn send_pushes_a_file_through_kills() {
    let directory = tempfile::tempdir().unwrap();
    let config = wearables(HTTP_PUSH).replace("127.0.0.1:0", &format!("127.0.0.1:{}", free_port()));
    let mut product = Vitalwire::serve(directory.path(), &config);
    let url = messages_url(&product);
    let sender = std::thread::spawn(move || run(vitalwire(&["send", HEART_RATE_FILE, "--to", &url])));
    for share in [2_000, 12_000] {
        until(PATIENCE, async || product.fhir().count("Observation").await, |count| *count >= share).await;
        product.kill();
        product = Vitalwire::serve(directory.path(), &config);
    }
    let (code, output, errors) = sender.join().unwrap();
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(output.starts_with("26084 messages acknowledged in "), "{output}");
    assert_eq!(product.fhir().count("Observation").await, 26_084);
    let ledger = product.ledger("wearables").await;
    assert_eq!(
        (&ledger["unexplained"], &ledger["dead_lettered"], &ledger["in_flight"]),
        (&0.into(), &0.into(), &0.into())
    );
}
