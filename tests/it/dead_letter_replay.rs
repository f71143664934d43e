//! Dead letters are looked at, replayed once their cause is mended, or discarded: over REST and by the command line.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::config::{mqtt_listener, template};
use crate::support::fhir::Answer;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::publish::publish;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);

/// A device mapping that does not find the heart rate, and so refuses every reading.
fn broken_device_mapping() -> String {
    let device = fs::read_to_string(template("heart-rate/device.json")).unwrap();
    let broken = device.replace("matchedToken.heartrate", "matchedToken.pulse");
    assert_ne!(broken, device, "the mapping has the expression that is broken");
    broken
}

fn mend(directory: &Path) {
    fs::copy(template("heart-rate/device.json"), directory.join("device.json")).unwrap();
}

/// A connector on mapping files in its own directory, the device mapping broken, on a shipped FHIR mapping.
fn config(directory: &Path, fhir: &str, identity: &str) -> String {
    fs::write(directory.join("device.json"), broken_device_mapping()).unwrap();
    format!(
        "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[connectors]]\nname = \"wearables\"\n\
         device_mapping = \"device.json\"\nfhir_mapping = \"{}\"\nidentity = {{ mode = \"{identity}\" }}\n{}",
        template(fhir).display(),
        mqtt_listener()
    )
}

fn reading(device: &str, second: usize, heart_rate: usize) -> String {
    let (minute, second) = (second / 60, second % 60);
    let at = format!("2024-03-02T{:02}:{:02}:{second:02}Z", minute / 60, minute % 60);
    json!({ "deviceid": device, "patientid": format!("of-{device}"), "measurementdatetime": at, "heartrate": heart_rate })
        .to_string()
}

async fn send(product: &Vitalwire, payloads: &[String]) {
    let payloads: Vec<&[u8]> = payloads.iter().map(String::as_bytes).collect();
    publish(product.mqtt.as_ref().unwrap(), &payloads).await;
}

/// Sends very many through a file.
fn send_many(product: &Vitalwire, directory: &Path, payloads: &[String]) {
    let file = directory.join("messages.ndjson");
    fs::write(&file, payloads.join("\n")).unwrap();
    let to = format!("mqtt://{}/readings", product.mqtt.as_ref().unwrap());
    let (code, _, errors) = run(vitalwire(&["send", file.to_str().unwrap(), "--to", &to]));
    assert_eq!(code, Some(0), "{errors}");
}

fn url(product: &Vitalwire, below: &str) -> String {
    format!("{}/connectors/wearables/dead-letters{below}", product.http)
}

async fn get(product: &Vitalwire, below: &str) -> Value {
    product.fhir().get(&url(product, below)).await.check(200).json()
}

async fn post(product: &Vitalwire, below: &str, body: &Value) -> Answer {
    let json = [("content-type", "application/json")];
    product.fhir().raw("POST", &url(product, below), &json, body.to_string()).await
}

/// Waits for the end of a replay that was answered with 202.
async fn ended(product: &Vitalwire, answer: Answer) -> Value {
    let path = answer.check(202).header("location").to_owned();
    let ask = async || product.fhir().get(&format!("{}{path}", product.http)).await.check(200).json();
    until(PATIENCE, ask, |replay| replay["state"] == "ended").await
}

async fn replay_all(product: &Vitalwire) -> Value {
    ended(product, post(product, "/replay", &json!({ "all": true })).await).await
}

/// `vitalwire dead-letters` about the connector: exit code, what it prints, what it complains of.
fn command(product: &Vitalwire, arguments: &[&str]) -> (Option<i32>, String, String) {
    let (subcommand, rest) = arguments.split_first().unwrap();
    let place = ["--connector", "wearables", "--url", &product.http];
    let mut command = vitalwire(&[&["dead-letters", subcommand], &place[..], rest].concat());
    command.stdin(Stdio::null());
    run(command)
}

async fn closed_ledger(product: &Vitalwire) -> Value {
    let closed = |ledger: &Value| ledger["in_flight"] == 0;
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, closed).await;
    assert_eq!(ledger["unexplained"], 0, "{ledger}");
    ledger
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_stored_once_the_mapping_is_mended_and_replaying_again_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config(directory.path(), "heart-rate/fhir.json", "create"));
    let readings: Vec<String> = (0..50).map(|second| reading("d-1", second, 60 + second)).collect();
    send(&product, &readings).await;
    send(&product, &["not json".to_owned()]).await;
    let summary = get(&product, "/summary").await;
    assert_eq!((&summary["dead_letters"], &summary["causes"][0]["dead_letters"]), (&json!(51), &json!(50)));
    let again = replay_all(&product).await;
    assert_eq!((&again["done"], &again["failed"]), (&json!(0), &json!(51)), "nothing is mended: {again}");
    assert_eq!(get(&product, "/summary").await["dead_letters"], 51, "replaying adds none");

    mend(directory.path());
    let replay = replay_all(&product).await;
    assert_eq!((&replay["done"], &replay["failed_by_code"]), (&json!(50), &json!({ "InvalidDataFormatException": 1 })));
    assert_eq!(product.fhir().count("Observation").await, 50);
    let left = get(&product, "").await;
    assert_eq!(left["dead_letters"][0]["mapping"], product.connector("wearables").await["mapping_version"]);
    assert_eq!((left["dead_letters"].as_array().unwrap().len(), &left["dead_letters"][0]["replays"]), (1, &json!(2)));

    let before = product.fhir().all("Observation").await;
    send(&product, &readings).await;
    replay_all(&product).await;
    assert_eq!(product.fhir().all("Observation").await, before, "what is stored is stored once");
    let ledger = closed_ledger(&product).await;
    assert_eq!(
        (&ledger["received"], &ledger["stored"], &ledger["unchanged"]),
        (&json!(51 + 51 + 51 + 50 + 1), &json!(50), &json!(50))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_readings_of_one_instant_the_one_that_came_last_counts_after_a_replay_too() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config(directory.path(), "heart-rate/fhir.json", "create"));
    let readings: Vec<String> = (0..200).map(|number| reading(&format!("d-{}", number % 7), 0, 60 + number)).collect();
    send(&product, &readings).await;
    mend(directory.path());
    assert_eq!(replay_all(&product).await["done"], 200);
    let observations = product.fhir().all("Observation").await;
    let mut values: Vec<u64> =
        observations.iter().map(|found| found["valueQuantity"]["value"].as_u64().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, (60 + 193..60 + 200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_a_replay_of_thousands_may_be_killed_at_any_moment() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), "heart-rate-hourly/fhir.json", "create");
    let readings: Vec<String> = (0..5_000).map(|number| reading("d-1", number, 60 + number % 40)).collect();
    let mut product = Vitalwire::serve(directory.path(), &config);
    send_many(&product, directory.path(), &readings);
    closed_ledger(&product).await;
    mend(directory.path());
    let mut cut_off = 0;
    for part in 1..=3 {
        let begun = post(&product, "/replay", &json!({ "all": true })).await.check(202).json();
        let below = format!("/replays/{}", begun["id"]);
        // Killed when a part of it has gone through, however fast the machine is.
        let moved = |replay: &Value| replay["done"].as_u64() > Some(100 * part);
        until(PATIENCE, async || get(&product, &below).await, moved).await;
        product.kill();
        product = Vitalwire::serve(directory.path(), &config);
        closed_ledger(&product).await;
        cut_off += u32::from(get(&product, "/summary").await["dead_letters"].as_u64() > Some(0));
    }
    assert!(cut_off > 0, "no kill came in time");
    let replay = replay_all(&product).await;
    assert_eq!((&replay["failed"], &replay["messages"]), (&json!(0), &replay["done"]), "{replay}");
    assert_eq!(get(&product, "/summary").await["dead_letters"], 0);
    let mut samples = 0;
    for stream in product.fhir().all("Observation?_count=1000").await {
        let data = stream["component"][0]["valueSampledData"]["data"].as_str().unwrap().to_owned();
        samples += data.split_whitespace().filter(|sample| *sample != "E").count();
    }
    assert_eq!(samples, 5_000, "each reading is there once");
    closed_ledger(&product).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_a_shutdown_cuts_off_leaves_the_other_letters() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), "heart-rate/fhir.json", "create");
    let readings: Vec<String> = (0..3_000).map(|number| reading("d-1", number, 61)).collect();
    let product = Vitalwire::serve(directory.path(), &config);
    send_many(&product, directory.path(), &readings);
    mend(directory.path());
    post(&product, "/replay", &json!({ "all": true })).await.check(202);
    let (status, log) = product.interrupt();
    assert!(status.success(), "{log:?}");
    let product = Vitalwire::serve(directory.path(), &config);
    let left = get(&product, "/summary").await["dead_letters"].as_u64().unwrap();
    let stored = product.fhir().count("Observation").await;
    assert_eq!(left + stored, 3_000, "{left} letters are left, {stored} readings are stored");
    assert_eq!(replay_all(&product).await["done"], left);
    assert_eq!(product.fhir().count("Observation").await, 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_an_unknown_device_is_replayed_once_that_is_registered() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config(directory.path(), "heart-rate/fhir.json", "lookup"));
    mend(directory.path());
    send(&product, &[reading("d-1", 1, 61), reading("d-2", 1, 62)]).await;
    let letters = get(&product, "?code=DeviceNotFoundException&stage=resolve").await;
    assert_eq!(letters["dead_letters"].as_array().unwrap().len(), 2, "{letters}");
    let system = product.fhir();
    let patient = json!({ "resourceType": "Patient", "id": "p", "identifier": [{ "value": "of-d-1" }] });
    let device = json!({
        "resourceType": "Device", "id": "d", "identifier": [{ "value": "d-1" }], "patient": { "reference": "Patient/p" }
    });
    system.put(&patient).await.check(201);
    system.put(&device).await.check(201);

    let (code, output, errors) = command(&product, &["replay", "--all"]);
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(output, "1 of 2 messages are stored now; their letters are gone\n");
    assert!(errors.contains("1 are in dead letters again (DeviceNotFoundException 1)"), "{errors}");
    assert_eq!(product.fhir().all("Observation").await[0]["device"]["reference"], "Device/d");
    let left = get(&product, "").await;
    assert!(left["dead_letters"][0]["payload"].as_str().unwrap().contains("d-2"), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_template_matches_any_more_keeps_its_letter_and_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config(directory.path(), "heart-rate/fhir.json", "create"));
    send(&product, &[reading("d-1", 1, 61)]).await;
    fs::write(directory.path().join("device.json"), r#"{"templateType": "CollectionContent", "template": []}"#)
        .unwrap();
    let (code, _, errors) = command(&product, &["replay", "--all"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("1 are matched by no template, so their letters stay"), "{errors}");
    let letter = &get(&product, "").await["dead_letters"][0];
    assert_eq!((&letter["replays"], &letter["replay_outcome"]), (&json!(1), &json!("unmatched")));
    mend(directory.path());
    assert_eq!(command(&product, &["replay", "--id", &letter["id"].to_string()]).0, Some(0));
    assert_eq!(get(&product, "/summary").await["dead_letters"], 0);
}

#[tokio::test]
async fn letters_are_shown_whole_with_the_properties_of_their_message() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config(directory.path(), "heart-rate/fhir.json", "create"));
    let no_text: &[u8] = b"\xff\x00\x1b[2J";
    publish(product.mqtt.as_ref().unwrap(), &[b"{\"heart\x1b[2J", no_text]).await;
    let list = get(&product, "").await;
    let [newest, oldest] = list["dead_letters"].as_array().unwrap().as_slice() else { panic!("{list}") };
    let whole = get(&product, &format!("/{}", oldest["id"])).await;
    assert_eq!((&whole["payload"], &whole["payload_bytes"]), (&json!("{\"heart\u{1b}[2J"), &json!(11)));
    assert_eq!(
        (&whole["system_properties"]["topic"], &whole["system_properties"]["qos"]),
        (&json!("readings"), &json!(1))
    );
    assert_eq!(whole["system_properties"]["x-opt-enqueued-time"], whole["enqueued_at"]);
    let whole = get(&product, &format!("/{}", newest["id"])).await;
    assert_eq!((&whole["payload_base64"], &whole["payload"]), (&json!("/wAbWzJK"), &Value::Null));

    let (code, output, errors) = command(&product, &["show", "--id", &oldest["id"].to_string()]);
    assert_eq!(code, Some(0), "{errors}");
    for part in ["InvalidDataFormatException", "\"topic\":\"readings\"", "payload (11 bytes):\n{\"heart\\u{1b}[2J"] {
        assert!(output.contains(part), "no {part} in {output}");
    }
    let (_, output, _) = command(&product, &["show", "--id", &newest["id"].to_string(), "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap(), whole);
    let (code, _, errors) = command(&product, &["show", "--id", "77"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("connector `wearables` has no dead letter `77`"), "{errors}");
}

#[tokio::test]
async fn letters_are_listed_filtered_and_summed_up_by_rest_and_command() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config(directory.path(), "heart-rate/fhir.json", "create"));
    send(&product, &[reading("d-1", 1, 61), "[".to_owned(), reading("d-1", 2, 61)]).await;
    let since = get(&product, "").await["dead_letters"][0]["at"].as_str().unwrap().to_owned();
    for (filter, ids) in [
        ("", vec![3, 2, 1]),
        ("?code=InvalidDataFormatException", vec![2]),
        ("?stage=normalize&limit=2", vec![3, 2]),
        ("?template=heart-rate&before=3", vec![1]),
        (&format!("?since={since}"), vec![3]),
        ("?stage=deliver", vec![]),
    ] {
        let list = get(&product, filter).await;
        let found: Vec<u64> =
            list["dead_letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_u64().unwrap()).collect();
        assert_eq!(found, ids, "{filter}: {list}");
    }
    let page = get(&product, "?limit=1&code=IncompatibleDataException").await;
    let next = format!("{}{}", product.http, page["next"].as_str().unwrap());
    assert_eq!(product.fhir().get_json(&next).await["dead_letters"][0]["id"], 1);

    let (code, output, errors) = command(&product, &["list", "--code", "IncompatibleDataException", "--limit", "1"]);
    assert_eq!(code, Some(0), "{errors}");
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines[0].starts_with("ID  GIVEN UP"), "{output}");
    assert!(lines[1].starts_with("3   ") && lines[1].contains("IncompatibleDataException"), "{output}");
    assert!(lines[2].starts_with("There are more than these 1"), "{output}");
    let (_, output, _) = command(&product, &["list", "--format", "json"]);
    let list: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((list["dead_letters"].as_array().unwrap().len(), &list["next"]), (3, &Value::Null));
    let (_, output, _) = command(&product, &["list", "--summary"]);
    assert!(output.lines().nth(1).unwrap().starts_with("2        IncompatibleDataException"), "{output}");
    let (_, output, _) = command(&product, &["list", "--stage", "deliver"]);
    assert_eq!(output, "No dead letters.\n");
}

#[tokio::test]
async fn letters_are_discarded_when_that_is_really_meant() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config(directory.path(), "heart-rate/fhir.json", "create"));
    send(&product, &[reading("secret-1", 1, 61), "[".to_owned(), "{".to_owned(), reading("secret-1", 2, 61)]).await;
    let (code, _, errors) = command(&product, &["discard", "--all"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("--yes"), "{errors}");
    let (code, _, errors) = command(&product, &["discard", "--yes"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("say which dead letters"), "{errors}");
    let (code, output, errors) = command(&product, &["discard", "--code", "InvalidDataFormatException", "--yes"]);
    assert_eq!((code, output.as_str()), (Some(0), "Discarded: InvalidDataFormatException 2\n"), "{errors}");
    let (code, output, _) = command(&product, &["discard", "--id", "1", "--yes", "--format", "json"]);
    let discarded: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &discarded["discarded"]), (Some(0), &json!(1)));
    assert_eq!(command(&product, &["discard", "--id", "1", "--yes"]).0, Some(1), "it is gone");
    product.fhir().raw("DELETE", &url(&product, "/4"), &[], "").await.check(200);
    product.fhir().raw("DELETE", &url(&product, "/4"), &[], "").await.check(404);
    assert_eq!(get(&product, "/summary").await["dead_letters"], 0);
    let (_, log) = product.interrupt();
    assert_eq!(log.iter().filter(|line| line.contains("dead letters discarded")).count(), 3);
    assert!(!log.iter().any(|line| line.contains("secret-")), "{log:?}");
}

#[tokio::test]
async fn what_a_page_in_a_browser_can_send_by_itself_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config(directory.path(), "heart-rate/fhir.json", "create"));
    send(&product, &["[".to_owned()]).await;
    let all = json!({ "all": true }).to_string();
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/fhir+json"]
    {
        for below in ["/discard", "/replay", "/1/replay"] {
            let headers = [("content-type", kind), ("origin", "https://evil.example")];
            let answer = product.fhir().raw("POST", &url(&product, below), &headers, all.clone()).await.check(415);
            assert!(answer.json()["error"].as_str().unwrap().contains("application/json"), "{answer:?}");
        }
    }
    // What needs the consent of the server first does not get it.
    for method in ["POST", "DELETE"] {
        let asks = [("origin", "https://evil.example"), ("access-control-request-method", method)];
        let answer = product.fhir().raw("OPTIONS", &url(&product, "/1"), &asks, "").await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{answer:?}");
    }
    let rebound = [("host", "evil.example"), ("content-type", "application/json")];
    product.fhir().raw("POST", &url(&product, "/discard"), &rebound, all).await.check(421);
    assert_eq!(get(&product, "/summary").await["dead_letters"], 1);
    assert_eq!(get(&product, "/replays").await["replays"], json!([]));
}

#[tokio::test]
async fn mistakes_are_answered_with_how_to_mend_them() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config(directory.path(), "heart-rate/fhir.json", "create"));
    for (below, status, says) in [
        ("?limit=0", 400, "1 to 1000"),
        ("?since=yesterday", 400, "`since` (an instant)"),
        ("?color=red", 400, "`template`"),
        ("?stage=sort", 400, "normalize, resolve, deliver"),
        ("/x", 404, "no dead letter `x`"),
        ("/1", 404, "replayed or discarded"),
        ("/replays/1", 404, "knows no replay `1`"),
    ] {
        let answer = product.fhir().get(&url(&product, below)).await.check(status);
        assert!(answer.json()["error"].as_str().unwrap().contains(says), "{below}: {answer:?}");
    }
    for (body, says) in [
        (json!({}), "say which letters"),
        (json!({ "all": false }), "say which letters"),
        (json!({ "all": true, "code": "x" }), "say which letters"),
        (json!({ "ids": ["1"] }), "say which letters"),
        (json!({ "colour": "red" }), "unknown field `colour`"),
        (json!({ "stage": "sort" }), "normalize, resolve, deliver"),
    ] {
        for below in ["/replay", "/discard"] {
            let answer = post(&product, below, &body).await.check(400);
            assert!(answer.json()["error"].as_str().unwrap().contains(says), "{body}: {answer:?}");
        }
    }
    let elsewhere = product.fhir().get(&format!("{}/connectors/homes/dead-letters", product.http)).await.check(404);
    assert!(elsewhere.text.contains("there are: wearables"), "{elsewhere:?}");
    let nothing = ["dead-letters", "list", "--connector", "wearables", "--url", "http://127.0.0.1:9"];
    let (code, _, errors) = run(vitalwire(&nothing));
    assert_eq!(code, Some(1));
    assert!(errors.contains("no vitalwire process answers at http://127.0.0.1:9/"), "{errors}");
    let (code, _, errors) = run(vitalwire(&["dead-letters", "list", "--connector", "x", "--url", "mqtt://x"]));
    assert_eq!(code, Some(2), "{errors}");
}
