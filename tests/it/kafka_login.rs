//! Kafka brokers that want to know who connects.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::support::config::{kafka, wearables};
use crate::support::kafka::client::{Client, Record};
use crate::support::kafka::{Kafka, USER, shared, unique};
use crate::support::process::{Vitalwire, check};
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

fn reading(second: usize) -> String {
    format!(
        r#"{{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:{second:02}Z","heartrate":61}}"#
    )
}

fn trusting(broker: &Kafka) -> String {
    format!("ca_file = \"{}\"", broker.authority().display())
}

/// A source that logs in with a user and a password.
fn password(broker: &Kafka, topic: &str, mechanism: &str, password: &str) -> String {
    let (source, tls) = (kafka(&broker.with_password(), topic, &[topic]), trusting(broker));
    let user = USER.0;
    format!(
        "{source}tls = {{ {tls} }}\nsasl_mechanism = \"{mechanism}\"\nusername = \"{user}\"\npassword = \"{password}\"\n"
    )
}

/// A source that shows a certificate.
fn certificate(broker: &Kafka, topic: &str) -> String {
    let (source, tls) = (kafka(&broker.with_certificate(), topic, &[topic]), trusting(broker));
    let (certificate, key) = broker.identity();
    let (certificate, key) = (certificate.display(), key.display());
    format!("{source}tls = {{ {tls}, certificate_file = \"{certificate}\", key_file = \"{key}\" }}\n")
}

/// A source that knows a hub by its connection string. The servers would not be needed at Azure, whose port is known, nor
/// whom to trust.
fn connection_string(broker: &Kafka) -> String {
    let (address, tls, connection_string) = (broker.with_password(), trusting(broker), broker.connection_string());
    format!(
        "[[connectors.sources]]\ntype = \"kafka\"\nbootstrap_servers = \"{address}\"\ntls = {{ {tls} }}\nconnection_string = \"{connection_string}\"\n"
    )
}

/// A source that shows tokens.
fn token(broker: &Kafka, topic: &str, token_url: &str) -> String {
    let (source, tls) = (kafka(&broker.with_token(), topic, &[topic]), trusting(broker));
    let client = "client_id = \"worker\", client_secret = \"hush\"";
    format!("{source}tls = {{ {tls} }}\noauth2 = {{ token_url = \"{token_url}\", {client} }}\n")
}

/// A token endpoint that tells everyone to be called `worker`, for an hour.
async fn token_endpoint(tasks: &TaskTracker) -> String {
    let answer = async || {
        let now = Timestamp::now().as_second();
        let parts = [json!({ "alg": "none" }), json!({ "sub": "worker", "iat": now, "exp": now + 3_600 })];
        let [head, claims] = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        axum::Json(json!({ "access_token": format!("{head}.{claims}."), "token_type": "Bearer", "expires_in": 3_600 }))
    };
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", socket.local_addr().unwrap());
    let endpoint = axum::Router::new().route("/token", axum::routing::post(answer));
    tasks.spawn(async { axum::serve(socket, endpoint).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connector_reads_with_passwords_a_certificate_tokens_and_a_connection_string() {
    let directory = tempfile::tempdir().unwrap();
    let broker = shared().await;
    let client = Client::new(&broker.plain());
    let topics = ["plain", "scram-256", "scram-512", "certificate", "tokens"].map(unique);
    let [plain, scram_256, scram_512, shown, tokens] = &topics;
    let tasks = TaskTracker::new();
    let sources = [
        password(broker, plain, "PLAIN", USER.1),
        password(broker, scram_256, "SCRAM-SHA-256", USER.1),
        password(broker, scram_512, "SCRAM-SHA-512", USER.1),
        certificate(broker, shown),
        token(broker, tokens, &token_endpoint(&tasks).await),
        connection_string(broker),
    ];
    for (second, topic) in topics.iter().map(String::as_str).chain(["telemetry"]).enumerate() {
        client.create_topic(topic, 1).await;
        client.send(topic, &[Record::new(reading(second))]).await;
    }
    let config = wearables(&sources.concat());
    let (code, said) = check(directory.path(), &config);
    assert_eq!(code, Some(0), "{said}");
    for topic in topics.iter().map(String::as_str).chain(["telemetry"]) {
        assert!(said.lines().any(|line| line.contains(&format!("topic `{topic}`, 1 partition"))), "{topic}: {said}");
    }
    let product = Vitalwire::serve(directory.path(), &config);
    until(PATIENCE, async || product.fhir().count("Observation").await, |found| *found == 6).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_with_the_mend() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, topic) = (shared().await, unique("guessed"));
    let config = wearables(&password(broker, &topic, "PLAIN", "guessed"));
    let (code, said) = check(directory.path(), &config);
    assert!(code == Some(1) && said.contains("check `username` and `password`") && !said.contains("right"), "{said}");
    let product = Vitalwire::serve(directory.path(), &config);
    let told = |connector: &Value| {
        let reason = connector["sources"][0]["reason"].as_str();
        connector["sources"][0]["state"] == "retrying"
            && reason.is_some_and(|reason| reason.contains("check `username` and `password`"))
    };
    until(PATIENCE, async || product.connector("wearables").await, told).await;
}
