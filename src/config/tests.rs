use super::{Config, IdentityMode, SourceConfig};

const CONNECTOR: &str = r#"
[[connectors]]
name = "ward-4"
device_mapping = "device.json"
fhir_mapping = "fhir.json"

[[connectors.sources]]
type = "mqtt"
topics = ["devices/#"]
"#;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[track_caller]
fn problems(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let problems = Config::parse(Some(("a.toml", text)), &variables(environment)).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_defaults_are_a_configuration() {
    let config = Config::parse(None, &[]).unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert!(config.connectors.is_empty());
}

#[test]
fn a_file_overrides_the_defaults_and_the_environment_the_file() {
    let text = format!("data_dir = \"/srv/a\"\n[http]\nlisten = \"127.0.0.1:1\"\n{CONNECTOR}");
    let environment = [
        ("VITALWIRE_HTTP__LISTEN", "127.0.0.1:2"),
        ("VITALWIRE_CONNECTORS__WARD_4__FHIR__TOKEN", "hunter2"),
        ("VITALWIRE_CONNECTORS__WARD_4__IDENTITY__MODE", "create"),
        ("PATH", "/bin"),
    ];
    let config = Config::parse(Some(("a.toml", &text)), &variables(&environment)).unwrap();
    assert_eq!((config.data_dir.to_str(), config.http.listen.port()), (Some("/srv/a"), 2));
    let connector = &config.connectors[0];
    assert_eq!(connector.identity_mode, IdentityMode::Create);
    assert_eq!(connector.fhir.token.as_ref().unwrap().expose(), "hunter2");
    assert!(matches!(&connector.sources[0], SourceConfig::Mqtt(mqtt) if mqtt.client_id == "vitalwire-ward-4"));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn what_all_connectors_share_is_said_once() {
    let text = format!("[connector.group]\nlinger = 50\n[connector.mqtt]\nhost = \"broker\"\n{CONNECTOR}");
    let config = Config::parse(Some(("a.toml", &text)), &[]).unwrap();
    assert_eq!(config.connectors[0].linger.as_millis(), 50);
    assert!(matches!(&config.connectors[0].sources[0], SourceConfig::Mqtt(mqtt) if mqtt.host == "broker"));
}

#[test]
fn all_problems_are_reported_at_once_with_their_lines() {
    let text =
        "[http]\nlissten = \"127.0.0.1:1\"\nbody_bytes_max = 0\n[[connectors]]\nname = \"a b\"\nfhir_mapping = 3\n";
    let expected = [
        "a.toml:3: `http.body_bytes_max` expected a whole number from 1, found 0",
        "a.toml:2: `http.lissten` unknown key; did you mean `listen`?",
        "a.toml:4: `connectors.0.name` may have letters, digits, `-` and `_`, 64 at most: it is part of URLs and metrics",
        "a.toml:4: `connectors.0.device_mapping` is missing; expected a path",
        "a.toml:6: `connectors.0.fhir_mapping` expected a path, found 3",
        "a.toml:4: `connectors.0.sources` is missing; a connector needs at least one [[connectors.sources]]",
    ];
    assert_eq!(problems(text, &[]), expected);
}

#[test]
fn a_problem_in_a_variable_names_the_variable_and_not_its_value() {
    assert_eq!(
        problems("", &[("VITALWIRE_HTTP__PORT", "hunter2"), ("VITALWIRE_LOG__FORMAT", "hunter2")]),
        [
            "environment variable VITALWIRE_LOG__FORMAT: `log.format` expected \"text\" or \"json\", found text",
            "environment variable VITALWIRE_HTTP__PORT: `http.port` unknown key; config/default.toml lists all keys",
        ]
    );
}

#[test]
fn a_text_that_is_not_toml_is_named_with_its_line() {
    let found = problems("data_dir = \"x\"\n[http\n", &[]);
    assert!(found[0].starts_with("a.toml:2: "), "{found:?}");
}

#[test]
fn two_connectors_cannot_share_a_name() {
    let found = problems(&format!("{CONNECTOR}{CONNECTOR}"), &[]);
    assert!(found[0].contains("`ward-4` is taken by another connector"), "{found:?}");
}
