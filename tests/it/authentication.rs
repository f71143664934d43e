//! FHIR servers that ask who is there. What is sent before they are told waits, and none of it is lost.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::support::config::{SERVICE, mqtt_listener, wearables};
use crate::support::guarded_server::{Authority, Guard, TokenEndpoint, basic};
use crate::support::process::{Vitalwire, check};
use crate::support::publish::publish;
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);
const READINGS: u16 = 400;

/// The server behind the guard.
fn server(directory: &Path) -> Vitalwire {
    let there = directory.join("there");
    std::fs::create_dir(&there).unwrap();
    Vitalwire::serve(&there, SERVICE)
}

/// A connector that delivers to `url`, with these further lines about it.
fn delivering_to(url: &str, more: &str) -> String {
    wearables(&format!("[connectors.fhir]\nurl = \"{url}\"\nbundle_entries_max = 20\n{more}\n{}", mqtt_listener()))
}

fn oauth2(token_url: &str, secret: &str, more: &str) -> String {
    let client = format!("client_id = \"connector\", client_secret = \"{secret}\", scope = \"system/*.cruds\"");
    format!("oauth2 = {{ token_url = \"{token_url}\", {client}{more} }}")
}

/// Publishes readings in the background, acknowledged or not.
fn device(product: &Vitalwire) -> tokio::task::JoinHandle<()> {
    let address = product.mqtt.clone().unwrap();
    let messages: Vec<Vec<u8>> =
        heart_rate().iter().take(READINGS.into()).map(|message| message.to_string().into_bytes()).collect();
    TaskTracker::new().spawn(async move {
        let payloads: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        publish(&address, &payloads).await;
    })
}

async fn state(product: &Vitalwire, state: &str) -> Value {
    until(PATIENCE, async || product.connector("wearables").await, |connector| connector["state"] == *state).await
}

/// Has the connector try at once, as an operator does who mended something.
async fn retry(product: &Vitalwire) {
    let url = format!("{}/connectors/wearables/retry", product.http);
    let headers = [("content-type", "application/json")];
    let answer = product.fhir().send(Method::POST, &url, &headers, None).await;
    assert_eq!(answer.status().as_u16(), 202);
}

/// Every reading is stored once, and the ledger says so.
async fn all_stored(product: &Vitalwire, server: &Vitalwire) {
    let settled = |ledger: &Value| ledger["stored"].as_u64() == Some(READINGS.into());
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, settled).await;
    assert_eq!((&ledger["dead_lettered"], &ledger["unexplained"]), (&json!(0), &json!(0)));
    assert_eq!(server.fhir().count("Observation").await, u64::from(READINGS));
}

#[track_caller]
fn fails(directory: &Path, config: &str, words: &[&str]) {
    let (code, text) = check(directory, config);
    let found = text.lines().any(|line| line.starts_with("FAIL") && words.iter().all(|word| line.contains(word)));
    assert!(code != Some(0) && found, "no line with {words:?} in:\n{text}");
}

#[track_caller]
fn is_well(directory: &Path, config: &str) {
    let (code, text) = check(directory, config);
    assert_eq!(code, Some(0), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn er_8_er_13_a_wrong_secret_halts_the_connector_and_a_mended_one_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let (endpoint, token_url) = TokenEndpoint::start("another", 2).await;
    let tokens = endpoint.clone();
    let url = Guard::start(&server, move |who| tokens.knows(who)).await;
    let config = delivering_to(&url, &oauth2(&token_url, "hunter2", ""));
    fails(directory.path(), &config, &[&token_url, "401", "invalid_client", "`fhir.oauth2`"]);

    let product = Vitalwire::serve(directory.path(), &config);
    let device = device(&product);
    let halted = state(&product, "halted").await;
    assert_eq!(halted["code"], "FHIRServiceErrorAuthorizationError");
    assert!(halted["reason"].as_str().unwrap().contains(&token_url), "{halted}");
    let time = |name: &str| halted[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(time("since") < time("next_attempt_at"), "{halted}");
    assert_eq!(server.fhir().count("Observation").await, 0);

    endpoint.take("hunter2");
    retry(&product).await;
    all_stored(&product, &server).await;
    device.await.unwrap();
    state(&product, "running").await;
    let (status, log) = product.interrupt();
    assert!(status.success());
    let shown = format!("{halted}{}", log.join("\n"));
    assert!(!shown.contains("hunter2") && !shown.contains("token-of-the-tests"), "{shown}");
    is_well(directory.path(), &config);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_fetched_anew_when_it_expires_and_once_when_it_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let (endpoint, token_url) = TokenEndpoint::start("hunter2", 3_600).await;
    let tokens = endpoint.clone();
    let url = Guard::start(&server, move |who| tokens.knows(who)).await;
    let product = Vitalwire::serve(
        directory.path(),
        &delivering_to(&url, &oauth2(&token_url, "hunter2", ", client_authentication = \"post\"")),
    );
    assert_eq!(endpoint.counts(), (0, 0), "no token is fetched before it is needed");
    publish(product.mqtt.as_deref().unwrap(), &[heart_rate()[0].to_string().as_bytes()]).await;
    assert_eq!(endpoint.counts(), (1, 0), "one token does for all requests");
    endpoint.revoke();
    device(&product).await.unwrap();
    let observations = || async { server.fhir().count("Observation").await };
    assert_eq!((observations().await, endpoint.counts()), (u64::from(READINGS), (1, 0)));
    assert_eq!(product.connector("wearables").await["state"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_authentication_is_told_right_from_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let expected = basic("wards", "über:secret");
    let url = Guard::start(&server, move |who| who == expected).await;
    let with = |password: &str| delivering_to(&url, &format!("username = \"wards\"\npassword = \"{password}\""));
    fails(directory.path(), &with("wrong"), &["FHIR server", "401", "`fhir.username`"]);
    is_well(directory.path(), &with("über:secret"));
    let product = Vitalwire::serve(directory.path(), &with("über:secret"));
    device(&product).await.unwrap();
    all_stored(&product, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_of_its_own_that_wants_one_of_ours_gets_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let authority = Authority::new();
    let url = Guard::start_with_certificates(&server, &authority).await;
    let (certificate, key) = authority.identity().pem();
    let (stranger, strangers_key) = Authority::new().identity().pem();
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("certificate.pem", certificate),
        ("key.pem", key),
        ("stranger.pem", stranger),
        ("strangers-key.pem", strangers_key),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let with = |tls: &str| delivering_to(&url, &format!("tls = {{ {tls} }}"));
    let ours = "certificate_file = \"certificate.pem\", key_file = \"key.pem\"";
    fails(directory.path(), &with(ours), &[&url, "is not trusted", "`tls.ca_file`"]);
    fails(directory.path(), &with("ca_file = \"ca.pem\""), &[&url, "refuses", "`tls.certificate_file`"]);
    let strangers = "ca_file = \"ca.pem\", certificate_file = \"stranger.pem\", key_file = \"strangers-key.pem\"";
    fails(directory.path(), &with(strangers), &[&url, "refuses", "`tls.certificate_file`"]);
    let config = with(&format!("ca_file = \"ca.pem\", {ours}"));
    is_well(directory.path(), &config);
    let product = Vitalwire::serve(directory.path(), &config);
    device(&product).await.unwrap();
    all_stored(&product, &server).await;
}
