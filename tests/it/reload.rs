//! Connectors added, changed and removed while others run: by SIGHUP, or by `POST /config/reload`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::config::template;
use crate::support::fhir::Answer;
use crate::support::mosquitto::free_port;
use crate::support::process::{Vitalwire, run, vitalwire};
use crate::support::publish::Device;
use crate::support::readings::HEART_RATE_FILE;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);
const HEAD: &str = "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n";

/// A connector with a listener at this address, and with these keys besides.
fn section(name: &str, listen: &str, keys: &str) -> String {
    let (device, fhir) = (template("heart-rate/device.json"), template("heart-rate/fhir.json"));
    format!(
        "[[connectors]]\nname = \"{name}\"\ndevice_mapping = \"{}\"\nfhir_mapping = \"{}\"\nidentity = {{ mode = \
         \"create\" }}\n{keys}\n[[connectors.sources]]\ntype = \"mqtt-listener\"\nlisten = \"{listen}\"\n",
        device.display(),
        fhir.display(),
    )
}

fn config(sections: &[&str]) -> String {
    format!("{HEAD}{}", sections.concat())
}

fn rewrite(directory: &Path, text: &str) {
    fs::write(directory.join("vitalwire.toml"), text).unwrap();
}

/// Asks for a reload by REST.
async fn reload(product: &Vitalwire) -> Answer {
    let json = [("content-type", "application/json")];
    product.fhir().raw("POST", &format!("{}/config/reload", product.http), &json, "").await
}

/// Has the program read a new configuration, which must do.
async fn reload_to(product: &Vitalwire, directory: &Path, text: &str) -> Value {
    rewrite(directory, text);
    reload(product).await.check(200).json()
}

/// Where the first source of a connector listens.
async fn address(product: &Vitalwire, connector: &str) -> String {
    product.connector(connector).await["sources"][0]["address"].as_str().unwrap().to_owned()
}

/// The names of the connectors, in order.
async fn connectors(product: &Vitalwire) -> Vec<String> {
    let list = product.fhir().get_json(&format!("{}/connectors", product.http)).await;
    let names = list["connectors"].as_array().unwrap().iter();
    names.map(|connector| connector["name"].as_str().unwrap().to_owned()).collect()
}

fn reading(device: &str, number: usize) -> String {
    let (hour, minute, second) = (number / 3_600 % 24, number / 60 % 60, number % 60);
    format!(
        r#"{{"deviceid":"{device}","patientid":"of-{device}","heartrate":61,"measurementdatetime":"2024-03-02T{hour:02}:{minute:02}:{second:02}Z"}}"#
    )
}

/// Publishes so many readings of a device to a connector, and waits until they are acknowledged.
async fn publish(product: &Vitalwire, connector: &str, device: &str, numbers: std::ops::Range<usize>) {
    let payloads: Vec<String> = numbers.map(|number| reading(device, number)).collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(String::as_bytes).collect();
    let at = address(product, connector).await;
    Device { client_id: device, topic: "readings" }.publish(&at, &payloads).await;
}

/// A device that publishes readings, one when the one before is acknowledged, on a connection that must not break.
struct SteadyDevice {
    stop: CancellationToken,
    publishing: JoinHandle<usize>,
}

impl SteadyDevice {
    async fn connect(address: &str) -> Self {
        let (host, port) = address.rsplit_once(':').unwrap();
        let options = MqttOptions::new("steady", host, port.parse().unwrap());
        let (client, connection) = AsyncClient::new(options, 10);
        let stop = CancellationToken::new();
        let publishing = TaskTracker::new().spawn(steadily(client, connection, stop.clone()));
        Self { stop, publishing }
    }

    /// Stops; says how many were acknowledged.
    async fn stop(self) -> usize {
        self.stop.cancel();
        self.publishing.await.unwrap()
    }
}

async fn steadily(client: AsyncClient, mut connection: EventLoop, stop: CancellationToken) -> usize {
    let (mut connections, mut acknowledged) = (0, 0);
    loop {
        match connection.poll().await.expect("the connection broke") {
            Event::Incoming(Packet::ConnAck(_)) => connections += 1,
            Event::Incoming(Packet::PubAck(_)) => acknowledged += 1,
            Event::Incoming(_) | Event::Outgoing(_) => continue,
        }
        assert_eq!(connections, 1);
        if stop.is_cancelled() {
            return acknowledged;
        }
        client.publish("readings", QoS::AtLeastOnce, false, reading("steady", acknowledged)).await.unwrap();
    }
}

/// Waits until the ledger of a connector has grown by some messages.
async fn flows(product: &Vitalwire, connector: &str) {
    let received = async || product.ledger(connector).await["received"].as_u64().unwrap();
    let before = received().await;
    until(PATIENCE, received, |now| *now >= before + 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_come_change_and_go_while_a_device_of_another_stays_connected() {
    let directory = tempfile::tempdir().unwrap();
    let leaving_at = format!("127.0.0.1:{}", free_port());
    let [kept, changing, coming] = ["kept", "changing", "coming"].map(|name| section(name, "127.0.0.1:0", ""));
    let leaving = section("leaving", &leaving_at, "");
    let product = Vitalwire::serve(directory.path(), &config(&[&leaving, &changing, &kept]));
    let steady = SteadyDevice::connect(&address(&product, "kept").await).await;
    publish(&product, "changing", "one", 0..3).await;
    publish(&product, "leaving", "two", 0..3).await;
    let changing_at = address(&product, "changing").await;
    flows(&product, "kept").await;

    let changed = section("changing", "127.0.0.1:0", "queue_max = 7");
    let answer = reload_to(&product, directory.path(), &config(&[&kept, &coming, &changed])).await;
    let expected = json!({
        "added": ["coming"], "changed": ["changing"], "removed": ["leaving"], "kept": ["kept"], "not_drained": [],
        "needs_restart": [],
    });
    assert_eq!(answer, expected);
    flows(&product, "kept").await;
    assert_eq!(connectors(&product).await, ["kept", "coming", "changing"]);
    assert_eq!(address(&product, "changing").await, changing_at, "any port is the one it has had");
    publish(&product, "changing", "one", 3..5).await;
    publish(&product, "coming", "three", 0..2).await;
    assert_eq!(product.ledger("changing").await["received"], 5);
    TcpStream::connect(&leaving_at).expect_err("the port of a connector that is gone");
    let metrics = product.fhir().get(&format!("{}/metrics", product.http)).await.text;
    let gauges = ["connector_state{", "source_connected{", "envelopes_in_flight{"];
    let of_leaving = metrics.lines().filter(|line| gauges.iter().any(|gauge| line.starts_with(gauge)));
    let of_leaving: Vec<_> = of_leaving.filter(|line| line.contains("connector=\"leaving\"")).collect();
    assert_eq!(of_leaving.len(), 5, "{metrics}");
    assert!(of_leaving.iter().all(|line| line.ends_with(" 0")), "{of_leaving:?}");

    let answer = reload_to(&product, directory.path(), &config(&[&kept, &leaving])).await;
    assert_eq!((&answer["added"], &answer["removed"]), (&json!(["leaving"]), &json!(["coming", "changing"])));
    assert_eq!(product.ledger("leaving").await["received"], 3, "it goes on where it was");
    publish(&product, "leaving", "two", 3..4).await;
    assert_eq!(product.ledger("leaving").await["stored"], 4);

    flows(&product, "kept").await;
    let acknowledged = steady.stop().await;
    let ledger = product.ledger("kept").await;
    assert_eq!((&ledger["received"], &ledger["unexplained"]), (&json!(acknowledged), &json!(0)));
    assert_eq!(product.fhir().count("Observation").await, u64::try_from(acknowledged).unwrap() + 5 + 4 + 2);
}

/// A configuration that cannot be used is refused with these words, and all goes on as before.
async fn check_refused(product: &Vitalwire, directory: &Path, text: &str, says: &[&str]) {
    rewrite(directory, text);
    let before = connectors(product).await;
    let answer = reload(product).await.check(422).json();
    let problems: Vec<&str> =
        answer["problems"].as_array().unwrap().iter().map(|problem| problem.as_str().unwrap()).collect();
    assert_eq!(problems.len(), says.len(), "{problems:?}");
    for (problem, says) in problems.iter().zip(says) {
        assert!(problem.contains(says), "{problem} does not say: {says}");
    }
    assert_eq!(connectors(product).await, before);
    flows(product, "kept").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_with_problems_changes_nothing_and_all_are_told_with_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let [kept, other] = ["kept", "other"].map(|name| section(name, "127.0.0.1:0", ""));
    let product = Vitalwire::serve(here, &config(&[&kept, &other]));
    let steady = SteadyDevice::connect(&address(&product, "kept").await).await;
    let line = config(&[&kept]).lines().count();

    check_refused(&product, here, "data_dir = ", &["vitalwire.toml:1"]).await;
    let wrong = section("new", "127.0.0.1:0", "queue_max = 0\ncolour = 1");
    let (first, second) = (format!("vitalwire.toml:{}", line + 6), format!("vitalwire.toml:{}", line + 7));
    check_refused(&product, here, &config(&[&kept, &wrong]), &[&first, &second]).await;

    let mapping = here.join("device.json");
    let device = fs::read_to_string(template("heart-rate/device.json")).unwrap();
    fs::write(&mapping, device.replace("typeMatchExpression", "typeMatch")).unwrap();
    let wrong = section("new", "127.0.0.1:0", "")
        .replace(&template("heart-rate/device.json").display().to_string(), &mapping.display().to_string());
    check_refused(&product, here, &config(&[&kept, &wrong]), &["device.json:6", "device.json:9"]).await;

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    // The changed one would have to go first.
    let [changed, new] = [section("other", "127.0.0.1:0", "queue_max = 7"), section("new", &at, "")];
    check_refused(&product, here, &config(&[&kept, &changed, &new]), &["the port is in use"]).await;
    publish(&product, "other", "two", 0..3).await;

    fs::remove_file(here.join("vitalwire.toml")).unwrap();
    let answer = reload(&product).await.check(422);
    assert!(answer.text.contains("cannot read"), "{answer:?}");
    drop(taken);
    let answer = reload_to(&product, here, &config(&[&kept, &changed, &new])).await;
    assert_eq!((&answer["changed"], &answer["added"]), (&json!(["other"]), &json!(["new"])));
    assert!(steady.stop().await > 0);
}

#[tokio::test]
async fn a_path_for_pushed_messages_comes_stays_and_goes_with_its_connector() {
    let directory = tempfile::tempdir().unwrap();
    let pushed = |keys: &str| {
        let listening = section("gateway", "127.0.0.1:0", keys);
        let (connector, _) = listening.split_once("[[connectors.sources]]").unwrap();
        config(&[&format!("{connector}[[connectors.sources]]\ntype = \"http\"\n")])
    };
    let product = Vitalwire::serve(directory.path(), &config(&[]));
    let path = format!("{}/connectors/gateway/messages", product.http);
    let push = async |number: usize| {
        let json = [("content-type", "application/json")];
        product.fhir().raw("POST", &path, &json, reading("gateway", number)).await.status
    };
    assert_eq!(push(0).await, 404);
    reload_to(&product, directory.path(), &pushed("")).await;
    assert_eq!(push(1).await, 200);
    reload_to(&product, directory.path(), &pushed("queue_max = 7")).await;
    assert_eq!(push(2).await, 200);
    assert_eq!(product.ledger("gateway").await["stored"], 2);
    reload_to(&product, directory.path(), &config(&[])).await;
    assert_eq!(push(3).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connectors_exchange_their_ports() {
    let directory = tempfile::tempdir().unwrap();
    let [first_at, second_at] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let sections = |first: &str, second: &str| config(&[&section("first", first, ""), &section("second", second, "")]);
    let product = Vitalwire::serve(directory.path(), &sections(&first_at, &second_at));
    publish(&product, "first", "one", 0..2).await;
    let answer = reload_to(&product, directory.path(), &sections(&second_at, &first_at)).await;
    assert_eq!(answer["changed"], json!(["first", "second"]));
    assert_eq!(address(&product, "first").await, second_at);
    publish(&product, "first", "one", 2..5).await;
    publish(&product, "second", "two", 0..1).await;
    let received = async |name: &str| product.ledger(name).await["received"].as_u64().unwrap();
    assert_eq!((received("first").await, received("second").await), (5, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_at_the_same_port_is_refused_while_the_port_is_held() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let listening = |address: &str| {
        config(&[&section("wards", &format!("{address}:{port}"), "")])
            .replace("mqtt-listener\"\n", "mqtt-listener\"\nanonymous = true\n")
    };
    rewrite(directory.path(), &listening("127.0.0.1"));
    let mut command = vitalwire(&["serve", "--insecure-no-auth", "--config", "vitalwire.toml"]);
    command.current_dir(directory.path()).env("VITALWIRE_LOG__FORMAT", "json");
    let product = Vitalwire::start(command);
    rewrite(directory.path(), &listening("0.0.0.0"));
    let answer = reload(&product).await.check(422);
    assert!(answer.text.contains("without the listener at first"), "{answer:?}");
    publish(&product, "wards", "one", 0..2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_signals_and_kills_loses_nothing_of_a_device_that_sends_on() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let messages = directory.path().join("messages.ndjson");
    let lines = fs::read_to_string(HEART_RATE_FILE).unwrap();
    let lines: Vec<&str> = lines.lines().take(6_000).collect();
    fs::write(&messages, lines.join("\n")).unwrap();
    let text = |queue_max: usize| {
        let keys = format!("queue_max = {}", 100 + queue_max);
        config(&[&section("wards", &format!("127.0.0.1:{port}"), &keys)])
    };
    let mut product = Vitalwire::serve(directory.path(), &text(0));
    let to = format!("mqtt://127.0.0.1:{port}/readings");
    let sender = std::thread::spawn(move || run(vitalwire(&["send", messages.to_str().unwrap(), "--to", &to])));
    for (round, share) in [500, 1_500, 2_500, 4_000].into_iter().enumerate() {
        until(PATIENCE, async || product.fhir().count("Observation").await, |count| *count >= share).await;
        for signal in 0..10 {
            rewrite(directory.path(), &text(10 * round + signal));
            product.signal("HUP");
        }
        if round % 2 == 1 {
            product.kill();
            product = Vitalwire::serve(directory.path(), &text(round));
        }
    }
    let (code, output, errors) = sender.join().unwrap();
    assert_eq!(code, Some(0), "{output}{errors}");
    assert_eq!(product.fhir().count("Observation").await, 6_000);
    let ledger = until(PATIENCE, async || product.ledger("wards").await, |ledger| ledger["in_flight"] == 0).await;
    assert_eq!((&ledger["unexplained"], &ledger["dead_lettered"]), (&0.into(), &0.into()), "{ledger}");
    // A reload that is asked for while the program ends is none.
    product.signal("INT");
    product.signal("HUP");
    let (status, log) = product.ended();
    assert!(status.success(), "{}", log.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_connector_could_not_store_is_handed_back_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = format!("fhir = {{ url = \"http://127.0.0.1:{}/fhir\" }}", free_port());
    let kept = section("kept", "127.0.0.1:0", "");
    let stuck = section("stuck", "127.0.0.1:0", &nowhere);
    let grace = "[shutdown]\ngrace = 200\n";
    let product = Vitalwire::serve(directory.path(), &format!("{}{grace}", config(&[&kept, &stuck])));
    let steady = SteadyDevice::connect(&address(&product, "kept").await).await;
    let (host, port) = { address(&product, "stuck").await }.rsplit_once(':').map(own).unwrap();
    let (client, mut connection) = AsyncClient::new(MqttOptions::new("stuck", host, port.parse().unwrap()), 10);
    client.publish("readings", QoS::AtLeastOnce, false, reading("stuck", 0)).await.unwrap();
    let device = TaskTracker::new().spawn(async move {
        loop {
            match connection.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => return "acknowledged",
                Ok(_) => {}
                Err(_) => return "cut off",
            }
        }
    });
    until(PATIENCE, async || product.ledger("stuck").await, |ledger| ledger["in_flight"] == 1).await;
    let answer = reload_to(&product, directory.path(), &format!("{}{grace}", config(&[&kept]))).await;
    assert_eq!((&answer["removed"], &answer["not_drained"]), (&json!(["stuck"]), &json!(["stuck"])));
    assert_eq!(device.await.unwrap(), "cut off");
    let mended = section("stuck", "127.0.0.1:0", "");
    reload_to(&product, directory.path(), &format!("{}{grace}", config(&[&kept, &mended]))).await;
    publish(&product, "stuck", "stuck", 0..1).await;
    let ledger = product.ledger("stuck").await;
    let counts = ["received", "stored", "abandoned", "in_flight", "unexplained"].map(|count| ledger[count].as_u64());
    assert_eq!(counts, [1, 1, 1, 0, 0].map(Some), "{ledger}");
    flows(&product, "kept").await;
    assert!(steady.stop().await > 0);
}

fn own((host, port): (&str, &str)) -> (String, String) {
    (host.to_owned(), port.to_owned())
}

#[tokio::test]
async fn what_holds_from_the_next_start_on_is_named_and_the_rest_takes_effect() {
    let directory = tempfile::tempdir().unwrap();
    let wards = section("wards", "127.0.0.1:0", "");
    let product = Vitalwire::serve(directory.path(), &config(&[]));
    let text = format!(
        "data_dir = \"elsewhere\"\nlog.filter = \"warn\"\nfhir.validation = \"json\"\nshutdown.grace = 1\n\
         [http]\nlisten = \"127.0.0.1:0\"\nconnections_max = 10\n{wards}"
    );
    let answer = reload_to(&product, directory.path(), &text).await;
    assert_eq!(answer["needs_restart"], json!(["data_dir", "log", "http", "fhir", "shutdown"]));
    assert_eq!(answer["added"], json!(["wards"]));
    publish(&product, "wards", "one", 0..1).await;
    assert!(!directory.path().join("elsewhere").exists());
}

#[tokio::test]
async fn variables_count_as_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let at = format!("127.0.0.1:{port}");
    let variable = ("VITALWIRE_CONNECTORS__WARDS__SOURCES__0__LISTEN", at.as_str());
    let wards = section("wards", "127.0.0.1:0", "");
    let product = Vitalwire::serve_with(directory.path(), &config(&[&wards]), &[variable]);
    assert_eq!(address(&product, "wards").await, at);
    let answer = reload_to(&product, directory.path(), &config(&[&wards])).await;
    assert_eq!((&answer["kept"], &answer["needs_restart"]), (&json!(["wards"]), &json!([])));
}

#[tokio::test]
async fn a_signal_does_not_end_a_program_that_has_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = vitalwire(&["serve"]);
    command.current_dir(directory.path());
    let keys = [("DATA_DIR", "data"), ("HTTP__LISTEN", "127.0.0.1:0"), ("LOG__FORMAT", "json")];
    command.envs(keys.map(|(key, value)| (format!("VITALWIRE_{key}"), value)));
    let product = Vitalwire::start(command);
    product.signal("HUP");
    let answer = reload(&product).await.check(409);
    assert!(answer.text.contains("no file to read anew"), "{answer:?}");
    let (status, log) = product.interrupt();
    assert!(status.success());
    assert_eq!(log.iter().filter(|line| line.contains("configuration not reloaded")).count(), 2, "{log:?}");
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_ask_for_a_reload() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &config(&[]));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    product.fhir().raw("POST", &format!("{}/config/reload", product.http), &form, "").await.check(415);
}
