//! What keeps the program from starting is said in one clear line, with the right exit code and no panic.

use std::net::TcpListener;
use std::path::Path;

use crate::support::config::{mqtt_listener, wearables};
use crate::support::process::{Vitalwire, run, vitalwire};

/// Runs `serve` on a configuration that must be refused.
#[track_caller]
fn refused(directory: &Path, config: &str) -> (Option<i32>, String) {
    std::fs::write(directory.join("refused.toml"), config).unwrap();
    let mut command = vitalwire(&["serve", "--config", "refused.toml"]);
    command.current_dir(directory);
    let (code, _, errors) = run(command);
    assert!(!errors.contains("panicked"), "{errors}");
    (code, errors)
}

#[track_caller]
fn check(config: &str, exit_code: i32, words: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let (code, errors) = refused(directory.path(), config);
    assert_eq!(code, Some(exit_code), "{errors}");
    for word in words {
        assert!(errors.contains(word), "no `{word}` in: {errors}");
    }
}

#[test]
fn wrong_keys_and_values_are_all_named_at_once() {
    check(
        "[http]\nlissten = 1\nbody_bytes_max = \"big\"\n",
        78,
        &["refused.toml:2", "did you mean `listen`", "refused.toml:3"],
    );
}

#[test]
fn a_file_that_is_not_toml_is_named_with_its_line() {
    check("[http\n", 78, &["refused.toml:1"]);
}

#[test]
fn a_mapping_that_is_not_there_is_named() {
    let config = wearables(&mqtt_listener()).replace("device.json", "nowhere.json");
    check(&config, 78, &["nowhere.json"]);
}

#[test]
fn an_address_that_is_not_loopback_is_refused() {
    check("data_dir = \"d\"\n[http]\nlisten = \"0.0.0.0:0\"\n", 78, &["http.listen", "--insecure-no-auth"]);
    let config = wearables(&mqtt_listener()).replace(
        "type = \"mqtt-listener\"\nlisten = \"127.0.0.1:0\"",
        "type = \"mqtt-listener\"\nanonymous = true\nlisten = \"0.0.0.0:0\"",
    );
    check(&config, 78, &["listen", "--insecure-no-auth"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&format!("data_dir = \"d\"\n[http]\nlisten = \"{address}\"\n"), 1, &[&address, "in use", "http.listen"]);
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let (code, errors) = refused(directory.path(), "data_dir = \"file/below\"\n[http]\nlisten = \"127.0.0.1:0\"\n");
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("file/below"), "{errors}");
}

#[test]
fn a_broken_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data/vitalwire.db"), "this is not a database, whatever its name says")
        .unwrap();
    let (code, errors) = refused(directory.path(), "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n");
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("vitalwire.db") && errors.contains("backup"), "{errors}");
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n";
    let first = Vitalwire::serve(directory.path(), config);
    let (code, errors) = refused(directory.path(), config);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("in use by another vitalwire process"), "{errors}");
    assert!(first.interrupt().0.success());
}

#[test]
fn a_misspelt_command_is_a_usage_error() {
    assert_eq!(run(vitalwire(&["sevre"])).0, Some(2));
}

#[test]
fn a_file_to_send_that_is_not_there_is_named() {
    let (code, _, errors) = run(vitalwire(&["send", "nowhere.ndjson", "--to", "mqtt://127.0.0.1:1/readings"]));
    assert_eq!(code, Some(1));
    assert!(errors.contains("nowhere.ndjson"), "{errors}");
}

#[tokio::test]
async fn a_web_page_whose_name_resolves_to_this_machine_is_not_answered() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n");
    for path in ["/fhir/Patient", "/connectors", "/metrics"] {
        let stranger = [("host", "evil.example")];
        let response =
            product.fhir().send(reqwest::Method::GET, &format!("{}{path}", product.http), &stranger, None).await;
        assert_eq!(response.status(), 421, "{path}");
        let outcome: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(outcome["resourceType"], "OperationOutcome");
    }
}
