//! The MQTT listener over TLS and WebSocket, with real clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::config::{mqtt_listener, wearables};
use crate::support::guarded_server::Authority;
use crate::support::mosquitto::free_port;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
const CERTIFICATES: &str = "certificate_file = \"server.pem\", key_file = \"server-key.pem\"";

/// Writes `name.pem` and `name-key.pem`.
fn write_identity(directory: &Path, authority: &Authority, name: &str) {
    let (certificate, key) = authority.identity_of(name).pem();
    std::fs::write(directory.join(format!("{name}.pem")), certificate).unwrap();
    std::fs::write(directory.join(format!("{name}-key.pem")), key).unwrap();
}

fn write_account(directory: &Path) {
    let mut command = vitalwire(&["passwd", "--iterations", "1000", "devices.passwd", "monitor"]);
    let mut child = command.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    assert!(child.wait().unwrap().success());
}

fn reading(second: usize) -> String {
    format!(
        r#"{{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:{second:02}Z","heartrate":61}}"#
    )
}

/// `mosquitto_pub` at QoS 1 over TLS: whether it was taken, and what it says about it.
fn publish(directory: &Path, product: &Vitalwire, arguments: &[&str], second: usize) -> (bool, String) {
    let (host, port) = product.mqtt.as_ref().unwrap().rsplit_once(':').unwrap();
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", host, "-p", port, "-q", "1", "-t", "devices/monitor/pulse", "-m", &reading(second)]);
    command.args(["--cafile", "ca.pem"]).args(arguments).current_dir(directory);
    let (code, output, errors) = run(command);
    (code == Some(0), output + &errors)
}

async fn check_count(product: &Vitalwire, expected: u64) {
    let count = until(PATIENCE, async || product.fhir().count("Observation").await, |count| *count >= expected).await;
    assert_eq!(count, expected);
}

#[tokio::test]
async fn on_any_address_devices_get_in_over_tls_with_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let authority = Authority::new();
    std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    write_identity(directory, &authority, "server");
    write_account(directory);
    let port = free_port();
    let listener = mqtt_listener().replace("127.0.0.1:0", &format!("0.0.0.0:{port}"))
        + &format!("tls = {{ {CERTIFICATES} }}\npassword_file = \"devices.passwd\"\n");
    let mut product = Vitalwire::serve(directory, &wearables(&listener));
    product.mqtt = Some(format!("127.0.0.1:{port}"));
    let right = ["-u", "monitor", "-P", "secret"];
    for (second, version) in ["311", "5"].into_iter().enumerate() {
        let (taken, said) = publish(directory, &product, &[&right, ["-V", version].as_slice()].concat(), second);
        assert!(taken, "{version}: {said}");
    }
    assert!(!publish(directory, &product, &["-u", "monitor", "-P", "guess"], 10).0);
    assert!(!publish(directory, &product, &[], 11).0);
    check_count(&product, 2).await;
}

#[tokio::test]
async fn the_certificate_of_a_device_is_its_user() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (authority, stranger) = (Authority::new(), Authority::new());
    std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    for name in ["server", "monitor", "pump"] {
        write_identity(directory, &authority, name);
    }
    write_identity(directory, &stranger, "stranger");
    let listener = mqtt_listener() + &format!("tls = {{ {CERTIFICATES}, client_ca_file = \"ca.pem\" }}\n");
    let product = Vitalwire::serve(directory, &wearables(&listener));
    let shown =
        |name: &str| ["--cert".to_owned(), format!("{name}.pem"), "--key".to_owned(), format!("{name}-key.pem")];
    let publish_as = |name: &str, second| {
        let shown = shown(name);
        // Another user name than that of the certificate is no way to be somebody else.
        let arguments: Vec<&str> = shown.iter().map(String::as_str).chain(["-V", "5", "-u", "monitor"]).collect();
        publish(directory, &product, &arguments, second)
    };
    let (taken, said) = publish_as("monitor", 0);
    assert!(taken, "{said}");
    let (_, said) = publish_as("pump", 1);
    assert!(said.contains("Not authorized"), "{said}");
    assert!(!publish_as("stranger", 2).0);
    assert!(!publish(directory, &product, &[], 3).0);
    check_count(&product, 1).await;
}

/// The answer to a request to speak WebSocket.
fn upgrade(address: &str, path: &str, more: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![0; 512];
    let length = socket.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn web_pages_of_strangers_cannot_publish() {
    let directory = tempfile::tempdir().unwrap();
    let listener = mqtt_listener() + "websocket = true\norigins = [\"https://app.example.org\"]\n";
    let product = Vitalwire::serve(directory.path(), &wearables(&listener));
    let address = product.mqtt.as_deref().unwrap();
    let mqtt = "Sec-WebSocket-Protocol: mqtt\r\n";
    let check = |path: &str, more: &str, status: &str| {
        let answer = upgrade(address, path, more);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {more}: {answer}");
    };
    check("/mqtt", mqtt, "101");
    check("/", &format!("{mqtt}Origin: https://app.example.org\r\n"), "101");
    check("/mqtt", &format!("{mqtt}Origin: https://evil.example.org\r\n"), "403");
    check("/mqtt", "", "400");
    check("/other", mqtt, "404");
}

/// A listener over TCP and one over WebSocket, for the user `monitor`.
fn listeners(tcp: u16, websocket: u16) -> String {
    let listener = |port: u16, more: &str| {
        mqtt_listener().replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))
            + more
            + "password_file = \"devices.passwd\"\n"
    };
    wearables(&(listener(tcp, "") + &listener(websocket, "websocket = true\n")))
}

/// Runs a program that says at the end how many readings it made.
async fn check_client(program: &str, script: &str, arguments: impl Fn(u16, u16) -> [String; 2]) {
    let directory = tempfile::tempdir().unwrap();
    write_account(directory.path());
    let (tcp, websocket) = (free_port(), free_port());
    let product = Vitalwire::serve(directory.path(), &listeners(tcp, websocket));
    let mut command = Command::new(program);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).args(arguments(tcp, websocket));
    let (code, output, errors) = run(command);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    let published: u64 = output.trim().parse().unwrap();
    // A forbidden reading for each protocol version and transport.
    check_count(&product, published - 4).await;
}

#[tokio::test]
async fn paho_publishes_over_tcp_and_websocket() {
    let ports = |tcp: u16, websocket: u16| [tcp.to_string(), websocket.to_string()];
    check_client("target/clients/python/bin/python", "tests/clients/python/devices.py", ports).await;
}

#[tokio::test]
async fn mqtt_js_publishes_over_tcp_and_websocket() {
    let urls =
        |tcp: u16, websocket: u16| [format!("mqtt://127.0.0.1:{tcp}"), format!("ws://127.0.0.1:{websocket}/mqtt")];
    check_client("node", "tests/clients/javascript/devices.mjs", urls).await;
}
