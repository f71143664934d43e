//! Who may connect to the MQTT listener and what each may publish, with real clients and the files they bring along.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::config::{mqtt_listener, wearables};
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Adds or changes a user as an operator does.
fn passwd(file: &Path, user: &str, password: &str) {
    let mut command = vitalwire(&["passwd", "--iterations", "1000"]);
    command.arg(file).arg(user).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn remove(file: &Path, user: &str) {
    let mut command = vitalwire(&["passwd", "--delete"]);
    command.arg(file).arg(user);
    assert_eq!(run(command).0, Some(0));
}

/// A reading of its own for each `second`.
fn reading(second: usize) -> String {
    format!(
        r#"{{"deviceid":"d-1","patientid":"p-1","measurementdatetime":"2024-03-02T07:15:{second:02}Z","heartrate":61}}"#
    )
}

/// `mosquitto_pub` at QoS 1: its exit code, and what it says about it.
fn publish(
    product: &Vitalwire,
    version: &str,
    credentials: &[&str],
    topic: &str,
    message: &str,
) -> (Option<i32>, String) {
    let (host, port) = product.mqtt.as_ref().unwrap().rsplit_once(':').unwrap();
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", host, "-p", port, "-V", version, "-q", "1", "-t", topic, "-m", message]).args(credentials);
    let (code, output, errors) = run(command);
    (code, output + &errors)
}

#[tokio::test]
async fn devices_with_accounts_publish_for_themselves_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("devices.passwd");
    passwd(&file, "monitor", "secret");
    // One of ours and one of Mosquitto's own, in one file.
    let mut mosquitto = Command::new("mosquitto_passwd");
    mosquitto.arg("-b").arg(&file).args(["pump", "open sesame"]);
    assert_eq!(run(mosquitto).0, Some(0));
    let product = Vitalwire::serve(
        directory.path(),
        &wearables(&format!("{}password_file = \"devices.passwd\"\n", mqtt_listener())),
    );
    let monitor = ["-u", "monitor", "-P", "secret"];
    let pump = ["-u", "pump", "-P", "open sesame"];
    for (second, version, credentials, user) in
        [(0, "311", monitor, "monitor"), (1, "5", monitor, "monitor"), (2, "311", pump, "pump"), (3, "5", pump, "pump")]
    {
        let (code, said) = publish(&product, version, &credentials, &format!("devices/{user}/pulse"), &reading(second));
        assert_eq!(code, Some(0), "{version} {user}: {said}");
    }
    for version in ["311", "5"] {
        for wrong in [["-u", "monitor", "-P", "open sesame"].as_slice(), &["-u", "nobody", "-P", "secret"], &[]] {
            let (code, said) = publish(&product, version, wrong, "devices/monitor/pulse", &reading(10));
            assert!(code != Some(0) && said.contains("Connection error"), "{version} {wrong:?}: {code:?} {said}");
        }
    }
    let (_, said) = publish(&product, "5", &monitor, "devices/pump/pulse", &reading(11));
    assert!(said.contains("Not authorized"), "{said}");
    let stored = until(PATIENCE, async || product.fhir().count("Observation").await, |count| *count >= 4).await;
    assert_eq!(stored, 4);
    let (_, log) = product.interrupt();
    let log = log.join("\n");
    assert!(log.contains("messages refused"), "{log}");
    for secret in ["monitor", "pump", "secret", "sesame", "devices/"] {
        assert!(!log.contains(secret), "`{secret}` in {log}");
    }
}

#[tokio::test]
async fn mosquitto_takes_the_files_of_vitalwire() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("devices.passwd");
    passwd(&file, "monitor", "first");
    passwd(&file, "pump", "secret");
    passwd(&file, "monitor", "secret");
    remove(&file, "pump");
    let broker = crate::support::mosquitto::Mosquitto::start(
        directory.path(),
        // Started as root, the broker would become another user, who may not read here.
        &format!("user root\nallow_anonymous false\npassword_file {}\n", file.display()),
    )
    .await;
    for (user, password, is_right) in
        [("monitor", "secret", true), ("monitor", "first", false), ("pump", "secret", false)]
    {
        let mut command = Command::new("mosquitto_pub");
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &broker.port.to_string(),
            "-t",
            "t",
            "-m",
            "m",
            "-u",
            user,
            "-P",
            password,
        ]);
        let (code, output, errors) = run(command);
        assert_eq!(code == Some(0), is_right, "{user} {password}: {output}{errors}");
    }
}

#[tokio::test]
async fn an_account_that_is_removed_is_let_in_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("devices.passwd");
    passwd(&file, "monitor", "secret");
    passwd(&file, "pump", "secret");
    let product = Vitalwire::serve(
        directory.path(),
        &wearables(&format!("{}password_file = \"devices.passwd\"\n", mqtt_listener())),
    );
    let let_in = |user: &str| {
        publish(&product, "5", &["-u", user, "-P", "secret"], &format!("devices/{user}"), "{}").0 == Some(0)
    };
    assert!(let_in("monitor") && let_in("pump"));
    remove(&file, "monitor");
    until(PATIENCE, async || let_in("monitor"), |let_in| !let_in).await;
    assert!(let_in("pump"));
}

#[test]
fn files_with_mistakes_and_listeners_for_everybody_are_refused_with_how_to_mend_them() {
    let directory = tempfile::tempdir().unwrap();
    let check = |more: &str, expected: &[&str]| {
        let file = directory.path().join("vitalwire.toml");
        std::fs::write(&file, wearables(&format!("{}{more}\n", mqtt_listener()))).unwrap();
        let mut command = vitalwire(&["serve", "--config"]);
        command.arg(file).current_dir(directory.path());
        let (code, output, errors) = run(command);
        assert_eq!(code, Some(78), "{more}: {output}{errors}");
        for text in expected {
            assert!(errors.contains(text), "{more}: no `{text}` in {errors}");
        }
        assert!(!errors.contains("hunter2"), "{errors}");
    };
    std::fs::write(directory.path().join("devices.passwd"), "# a\nmonitor:hunter2\n\npump\n").unwrap();
    check("password_file = \"devices.passwd\"", &["devices.passwd:2: ", "mosquitto_passwd -U", "devices.passwd:4: "]);
    check("password_file = \"other.passwd\"", &["other.passwd", "No such file"]);
    std::fs::write(directory.path().join("devices.acl"), "user a\ntopic write b/#/c\n").unwrap();
    check("acl_file = \"devices.acl\"", &["devices.acl:2: ", "last level"]);
    check("topics = [\"devices/{user}/#\"]", &["topics", "pattern 1", "{username}"]);
    check("anonymous = false", &["listen", "password_file"]);
    check("password_file = \"p\"\nanonymous = true", &["anonymous", "acl_file"]);
}
