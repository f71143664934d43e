use super::{Authentication, Config, IdentityMode, MqttProtocol, SourceConfig};
use crate::secret::Secret;

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
    assert_eq!(connector.fhir.authentication, Authentication::Token(Secret::new("hunter2".to_owned())));
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
        "a.toml:3: `http.body_bytes_max` expected a whole number from 1 to 1000000000, found 0",
        "a.toml:2: `http.lissten` unknown key; did you mean `listen`?",
        "a.toml:5: `connectors.0.name` may have letters, digits, `-` and `_`, 64 at most: it is part of URLs and metrics",
        "a.toml:4: `connectors.0.device_mapping` is missing; expected a path in quotes",
        "a.toml:6: `connectors.0.fhir_mapping` expected a path in quotes, found a whole number",
        "a.toml:4: `connectors.0.sources` is missing; a connector needs at least one [[connectors.sources]]",
    ];
    assert_eq!(problems(text, &[]), expected);
}

#[test]
fn a_problem_in_a_variable_names_the_variable_and_not_its_value() {
    assert_eq!(
        problems("", &[("VITALWIRE_HTTP__PORT", "hunter2"), ("VITALWIRE_LOG__FORMAT", "hunter2")]),
        [
            "environment variable VITALWIRE_LOG__FORMAT: `log.format` expected \"text\" or \"json\", found something else",
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

const SOURCE: &str = "\n[[connectors.sources]]\ntype = \"mqtt\"\ntopics = [\"other/#\"]\n";

#[test]
fn every_source_has_a_session_of_its_own() {
    let config = Config::parse(Some(("a.toml", &format!("{CONNECTOR}{SOURCE}{SOURCE}"))), &[]).unwrap();
    let client_ids = config.connectors[0].sources.iter().map(|source| match source {
        SourceConfig::Mqtt(mqtt) => mqtt.client_id.as_str(),
        SourceConfig::MqttListener(_) | SourceConfig::Kafka(_) | SourceConfig::Http(_) | SourceConfig::File(_) => "",
    });
    assert_eq!(client_ids.collect::<Vec<_>>(), ["vitalwire-ward-4", "vitalwire-ward-4.2", "vitalwire-ward-4.3"]);
}

#[test]
fn two_sources_cannot_share_a_session() {
    let found = problems(&format!("{CONNECTOR}{SOURCE}client_id = \"vitalwire-ward-4\"\n"), &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a.toml:14: `connectors.0.sources.1.client_id` is taken"), "{found:?}");
    let elsewhere = format!("{CONNECTOR}{SOURCE}client_id = \"vitalwire-ward-4\"\nport = 1884\n");
    assert!(Config::parse(Some(("a.toml", &elsewhere)), &[]).is_ok());
}

#[track_caller]
fn check_source(lines: &str, expected: &str) {
    let text = format!("{}\n{lines}\n", CONNECTOR.replace("topics = [\"devices/#\"]", ""));
    let found = problems(&text, &[]);
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
}

#[track_caller]
fn check_push(lines: &str, expected: &str) {
    let text = CONNECTOR.replace("type = \"mqtt\"", "type = \"http\"").replace("topics = [\"devices/#\"]", "");
    let found = problems(&format!("{text}\n{lines}\n"), &[]);
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
}

#[test]
fn what_a_way_in_over_http_cannot_be_is_named() {
    check_push("in_flight_max = 10", "in_flight_max` must be at least `messages_max`");
    check_push("token = \" \"", "token` is empty");
    check_push(
        "headers = [\"X-Device-Id\", \"Authorization\"]",
        "headers` header 2 is `authorization`, which is never",
    );
    check_push("headers = [\"X Device\"]", "headers` header 1 is not the name of a header");
    check_push("[[connectors.sources]]\ntype = \"http\"", "sources.1.type` \"http\" is there already");
}

#[test]
fn what_a_broker_would_not_take_is_named() {
    check_source("topics = [\"a\"]\nclient_id = \"\"", "a.toml:12: `connectors.0.sources.0.client_id` is empty");
    check_source("topics = []", "a.toml:11: `connectors.0.sources.0.topics` is empty");
    check_source("topics = [\"a\", \"\"]", "a.toml:11: `connectors.0.sources.0.topics` filter 2 is empty");
    check_source("topics = [\"a/b#\"]", "filter 1 has a `+` or `#` that is not a whole level");
    check_source("", "`connectors.0.sources.0.topics` is missing");
    check_source("topics = [\"a\"]\nhost = \"\"", "a.toml:12: `connectors.0.sources.0.host` is empty");
    check_source("topics = [\"a\"]\nkeep_alive = 1000", "keep_alive` expected 5000 to 65535000, found 1000");
    check_source("topics = [\"a\"]\nin_flight_max = 65536", "expected a whole number from 1 to 65535, found 65536");
    check_source("topics = [\"a\"]\nmessage_bytes_max = 300000000", "message_bytes_max` expected at most");
    check_source("topics = [\"a\"]\npassword = \"x\"", "password` needs a `username`");
    check_source("topics = [\"{a}/+\", \"+/{a}\"]", "filters 1 and 2 take one name from different levels");
    check_source("topics = [\"a\"]\nqos = 2", "a.toml:12: `connectors.0.sources.0.qos` expected 1, or 0");
    check_source("topics = [\"a\"]\nconnections = 2", "a.toml:12: `connectors.0.sources.0.connections` needs shared");
    check_source("topics = [\"$share/g/a\"]\nconnections = 65", "connections` expected at most 64, found 65");
    check_source("topics = [\"a\"]\nsession_expiry = 59999", "session_expiry` expected a whole number of milliseconds");
    check_source("topics = [\"a\"]\nwill = { topic = \"a/+\" }", "sources.0.will.topic` expected a topic");
    let password = "username = \"u\"\npassword = \"p\"";
    check_source(
        &format!("topics = [\"a\"]\nhost = \"broker\"\n{password}"),
        "tls` is missing, so the password would be",
    );
    source(&format!("topics = [\"a\"]\nhost = \"localhost\"\n{password}"));
    check_source("topics = [\"a\"]\nwill = {}", "sources.0.will.topic` is missing");
    check_source("topics = [\"a\"]\ntls = { server_name = \"a b\" }", "tls.server_name` expected the name");
    check_source("topics = [\"a\"]\nprotocol = 5", "protocol` expected \"3.1.1\" or \"5\", found a whole number");
}

fn source(lines: &str) -> super::MqttConfig {
    let text = format!("{}\n{lines}\n", CONNECTOR.replace("topics = [\"devices/#\"]", ""));
    let mut config = Config::parse(Some(("a.toml", &text)), &[]).unwrap();
    let SourceConfig::Mqtt(mqtt) = config.connectors.remove(0).sources.remove(0) else { panic!() };
    *mqtt
}

#[test]
fn the_port_of_a_broker_follows_from_whether_it_encrypts() {
    assert_eq!(source("topics = [\"a\"]").port, 1883);
    let encrypted = source("topics = [\"a\"]\nhost = \"broker\"\ntls = {}");
    assert_eq!((encrypted.port, encrypted.tls.unwrap().server_name.as_str()), (8883, "broker"));
    assert_eq!(source("topics = [\"a\"]\ntls = {}\nport = 1").port, 1);
}

#[test]
fn every_connection_of_a_source_has_a_session_of_its_own() {
    let shared = source("topics = [\"$share/g/a\"]\nconnections = 3\nclient_id = \"icu\"");
    assert_eq!(shared.client_ids().collect::<Vec<_>>(), ["icu", "icu.c2", "icu.c3"]);
    let lines = "topics = [\"$share/g/a\"]\nconnections = 2\nclient_id = \"icu\"";
    let text =
        format!("{}\n{lines}\n{SOURCE}client_id = \"icu.c2\"", CONNECTOR.replace("topics = [\"devices/#\"]", ""));
    let found = problems(&text, &[]);
    assert!(found.len() == 1 && found[0].contains("sources.1.client_id` is taken"), "{found:?}");
}

#[test]
fn a_source_is_named_by_its_index_in_the_environment_and_values_are_read_as_the_key_asks() {
    let environment = [
        ("VITALWIRE_CONNECTORS__WARD_4__SOURCES__0__PROTOCOL", "5"),
        ("VITALWIRE_CONNECTORS__WARD_4__SOURCES__1__PASSWORD", "0123"),
        ("VITALWIRE_CONNECTORS__WARD_4__SOURCES__1__USERNAME", "true"),
        ("VITALWIRE_CONNECTORS__WARD_4__SOURCES__1__PORT", "1884"),
        ("VITALWIRE_CONNECTORS__WARD_4__SOURCES__1__TOPICS", "[\"a/#\", \"b\"]"),
    ];
    let config = Config::parse(Some(("a.toml", &format!("{CONNECTOR}{SOURCE}"))), &variables(&environment)).unwrap();
    let [SourceConfig::Mqtt(first), SourceConfig::Mqtt(second)] = &config.connectors[0].sources[..] else { panic!() };
    assert_eq!(first.protocol, MqttProtocol::V5);
    let (username, password) = second.credentials.as_ref().unwrap();
    assert_eq!((username.as_str(), password.expose(), second.port), ("true", "0123", 1884));
    assert_eq!(second.topics.iter().map(|topic| topic.filter.as_str()).collect::<Vec<_>>(), ["a/#", "b"]);
}

#[test]
fn a_source_that_is_not_in_the_list_is_named_by_its_variable() {
    let variable = "VITALWIRE_CONNECTORS__WARD_4__SOURCES__3__PASSWORD";
    let found = problems(CONNECTOR, &[(variable, "hunter2")]);
    assert!(found[0].contains(variable) && found[0].contains("`connectors.0.sources.1.type` is missing"), "{found:?}");
}

#[test]
fn no_secret_is_shown_whatever_is_wrong_with_it() {
    let secret = "7314159";
    let source =
        format!("topics = [\"a\"]\nusername = \"u\"\npassword = {secret}\nport = \"{secret}\"\ntoken = {secret}");
    let text = format!(
        "{}\n{source}\n[connectors.fhir]\nurl = \"{secret}\"",
        CONNECTOR.replace("topics = [\"devices/#\"]", "")
    );
    let environment =
        [("VITALWIRE_HTTP__LISTEN", secret), ("VITALWIRE_LOG__FILTER", secret), ("VITALWIRE_TOKEN", secret)];
    let found = problems(&text, &environment);
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(found.iter().all(|problem| !problem.contains(secret)), "{found:?}");
    for unquoted in ["password = hunter2", "password = \"hunter2", "password = 'hunter2' hunter2"] {
        let found = problems(&format!("{CONNECTOR}{unquoted}\n"), &[]);
        assert!(found.iter().all(|problem| !problem.contains("hunter2")), "{found:?}");
    }
}

#[test]
fn id_1_identity_modes_are_named_as_here_or_as_in_the_reference_in_any_case() {
    let mode = |written: &str| {
        let environment = variables(&[("VITALWIRE_CONNECTORS__WARD_4__IDENTITY__MODE", written)]);
        Config::parse(Some(("a.toml", CONNECTOR)), &environment).map(|config| config.connectors[0].identity_mode)
    };
    for (written, expected) in [
        ("lookup", IdentityMode::Lookup),
        ("Lookup", IdentityMode::Lookup),
        ("CREATE", IdentityMode::Create),
        ("lookup-with-encounter", IdentityMode::LookupWithEncounter),
        ("LookupWithEncounter", IdentityMode::LookupWithEncounter),
    ] {
        assert_eq!(mode(written).unwrap(), expected, "{written}");
    }
    for wrong in ["", "lookup with encounter", "none", "1"] {
        let problems = mode(wrong).unwrap_err();
        assert!(problems[0].to_string().contains("identity.mode"), "{}", problems[0]);
    }
    let default = Config::parse(Some(("a.toml", CONNECTOR)), &[]).unwrap();
    assert_eq!(default.connectors[0].identity_mode, IdentityMode::Lookup);
}

/// What is wrong with these lines of `[connectors.fhir]`, which begin in line 11.
fn target_problems(lines: &str) -> Vec<String> {
    problems(&format!("{CONNECTOR}[connectors.fhir]\n{lines}\n"), &[])
}

#[track_caller]
fn check_target(lines: &str, expected: &str) {
    let found = target_problems(lines);
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
}

fn target(lines: &str) -> super::FhirTarget {
    let text = format!("{CONNECTOR}[connectors.fhir]\n{lines}\n");
    Config::parse(Some(("a.toml", &text)), &[]).unwrap().connectors.remove(0).fhir
}

const OAUTH2: &str = "oauth2 = { token_url = \"https://id/token\", client_id = \"c\", client_secret = \"s\" }";

#[test]
fn a_connector_proves_who_it_is_in_one_way() {
    let basic = "username = \"u\"\npassword = \"p\"";
    assert_eq!(target("").authentication, Authentication::None);
    assert!(matches!(target(basic).authentication, Authentication::Basic { username, .. } if username == "u"));
    let Authentication::OAuth2(oauth2) = target(OAUTH2).authentication else { panic!() };
    assert_eq!((oauth2.client_id.as_str(), oauth2.client_secret.expose(), oauth2.scope), ("c", "s", None));
    assert_eq!(oauth2.client_authentication, super::ClientAuthentication::Basic);
    let combined = "a.toml:12: `connectors.0.fhir.username` cannot be combined with `token`";
    check_target(&format!("token = \"t\"\n{basic}"), combined);
    let combined = "a.toml:13: `connectors.0.fhir.oauth2` cannot be combined with `username`";
    check_target(&format!("{basic}\n{OAUTH2}"), combined);
}

#[test]
fn what_a_server_could_not_be_told_is_named() {
    check_target("username = \"u\"", "a.toml:11: `connectors.0.fhir.username` needs a `password`");
    check_target("password = \"p\"", "a.toml:11: `connectors.0.fhir.password` needs a `username`");
    check_target("username = \"a:b\"\npassword = \"p\"", "holds a colon");
    check_target("token = \"\"", "a.toml:11: `connectors.0.fhir.token` is empty");
    check_target("token = \"Bearer x\"", "without \"Bearer\"");
    check_target("oauth2 = { token_url = \"https://id\", client_id = \"c\" }", "oauth2.client_secret` is missing");
    check_target(&OAUTH2.replace("\"s\"", "\"\""), "a.toml:11: `connectors.0.fhir.oauth2.client_secret` is empty");
    check_target(&OAUTH2.replace(" }", ", scop = \"x\" }"), "did you mean `scope`?");
    check_target(&OAUTH2.replace(" }", ", client_authentication = \"jwt\" }"), "expected \"basic\" or \"post\"");
    check_target("url = \"https://u:p@h/fhir\"", "fhir.url` holds a user name");
    check_target("bundle_bytes_max = 0", "expected a whole number from 1");
}

#[test]
fn no_secret_crosses_a_network_in_the_clear() {
    for credentials in ["token = \"t\"", "username = \"u\"\npassword = \"p\"", OAUTH2] {
        check_target(
            &format!("url = \"http://h/fhir\"\n{credentials}"),
            "a.toml:11: `connectors.0.fhir.url` would carry",
        );
        for url in ["https://h", "http://localhost", "http://127.0.0.1:8080", "http://[::1]/fhir"] {
            target(&format!("url = \"{url}\"\n{credentials}"));
        }
    }
    target("url = \"http://h/fhir\"");
    check_target(
        &OAUTH2.replace("https://id", "http://id"),
        "a.toml:11: `connectors.0.fhir.oauth2.token_url` would carry",
    );
}

/// Files of a certificate and its key, and of another key.
fn certificates() -> (tempfile::TempDir, [String; 3]) {
    let directory = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (key, other) = (certified.signing_key.serialize_pem(), rcgen::KeyPair::generate().unwrap().serialize_pem());
    let files = [("certificate", certified.cert.pem()), ("key", key), ("other", other)].map(|(name, text)| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    });
    (directory, files)
}

#[test]
fn certificates_and_keys_are_tried_before_they_are_used() {
    let (directory, [certificate, key, other]) = certificates();
    let check =
        |keys: &str, expected: &str| check_target(&format!("url = \"https://h\"\ntls = {{ {keys} }}"), expected);
    let fits = format!("ca_file = '{certificate}', certificate_file = '{certificate}', key_file = '{key}'");
    let tls = target(&format!("url = \"https://h\"\ntls = {{ {fits} }}")).tls;
    assert!(tls.ca.is_some() && tls.identity.is_some());
    assert!(!format!("{tls:?}").contains("PRIVATE"), "{tls:?}");

    let pair = format!("certificate_file = '{certificate}', key_file = '{other}'");
    check(&pair, "a.toml:12: `connectors.0.fhir.tls.key_file` does not belong to the certificate");
    check(&format!("certificate_file = '{certificate}'"), "tls.certificate_file` needs a `key_file`");
    check(&format!("key_file = '{key}'"), "tls.key_file` needs a `certificate_file`");
    check(&format!("certificate_file = '{key}', key_file = '{key}'"), "tls.certificate_file` holds no certificate");
    check(
        &format!("certificate_file = '{certificate}', key_file = '{certificate}'"),
        "tls.key_file` holds no private key",
    );
    check(&format!("ca_file = '{key}'"), "a.toml:12: `connectors.0.fhir.tls.ca_file` holds no certificate");
    check("ca_file = '/nowhere/ca.pem'", "tls.ca_file` cannot be read: No such file");
    check(&format!("certificate_file = '/nowhere', key_file = '{key}'"), "tls.certificate_file` cannot be read");
    check("ca_file = '/dev/zero'", "is larger than");
    check_target(&format!("tls = {{ ca_file = '{certificate}' }}"), "fhir.tls` needs an https:// address");
    drop(directory);
}
