//! Consumer groups of Kafka while processes, servers and brokers come and go under load: nothing is lost, nothing doubles.

use std::time::Duration;

use serde_json::Value;

use crate::support::account::{Account, assert_same, sent};
use crate::support::config::{self, wearables};
use crate::support::fhir::Fhir;
use crate::support::kafka::client::Client;
use crate::support::kafka::{self, Kafka, unique};
use crate::support::mosquitto::free_port;
use crate::support::process::Vitalwire;
use crate::support::readings::heart_rate;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);

fn readings(count: usize) -> Vec<Value> {
    heart_rate().into_iter().take(count).collect()
}

/// A FHIR service in a process of its own.
struct Server {
    address: String,
    directory: tempfile::TempDir,
}

impl Server {
    fn new() -> Self {
        Self { address: format!("127.0.0.1:{}", free_port()), directory: tempfile::tempdir().unwrap() }
    }

    /// Starts it, or starts it again.
    fn start(&self) -> Vitalwire {
        let config = format!("data_dir = \"data\"\n[http]\nlisten = \"{}\"\n", self.address);
        Vitalwire::serve(self.directory.path(), &config)
    }

    /// A connector that delivers there.
    fn connector(&self, source: &str) -> String {
        wearables(&format!("fhir = {{ url = \"http://{}/fhir\" }}\n{source}", self.address))
    }
}

async fn received(product: &Vitalwire) -> u64 {
    product.ledger("wearables").await["received"].as_u64().unwrap()
}

/// Waits until it has taken so many more messages.
async fn takes_some_more(product: &Vitalwire, count: u64) {
    let enough = received(product).await + count;
    until(PATIENCE, async || received(product).await, |received| *received >= enough).await;
}

/// Waits until the group has committed everything there is in the topic, which is not before it is stored.
async fn committed_to_the_end(client: &Client, topic: &str) {
    let ends: Vec<Option<i64>> = client.ends(topic).into_iter().map(Some).collect();
    until(PATIENCE, async || client.committed(topic, topic), |committed| *committed == ends).await;
}

/// Every message of the ledger is accounted for, and none is buried.
async fn assert_closed(product: &Vitalwire) -> Value {
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, |ledger| ledger["in_flight"] == 0).await;
    let found = ["unexplained", "dead_lettered", "unmatched"].map(|state| ledger[state].as_i64().unwrap());
    assert_eq!(found, [0, 0, 0], "{ledger}");
    ledger
}

async fn assert_stored_once(fhir: &Fhir, readings: &[Value]) {
    assert_same(&Account::of(fhir).await.single, &sent(readings), "stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn bt_8_nothing_is_committed_that_is_not_stored_and_reading_goes_on_right_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let (address, topic, server) = (kafka::address().await, unique("unstored"), Server::new());
    let client = Client::new(&address);
    client.create_topic(&topic, 1).await;
    let config = server.connector(&kafka_source(&address, &topic)) + "[shutdown]\ngrace = 500\n";
    let readings = readings(20);

    let (running, product) = (server.start(), Vitalwire::serve(directory.path(), &config));
    client.send_json(&topic, &readings[..10]).await;
    committed_to_the_end(&client, &topic).await;
    running.kill();
    client.send_json(&topic, &readings[10..]).await;
    until(PATIENCE, async || product.ledger("wearables").await, |ledger| ledger["in_flight"] == 10).await;
    // It commits at its end, whether or not it has before.
    product.signal("TERM");
    product.ended();
    assert_eq!(client.committed(&topic, &topic), [Some(10)]);

    let (running, product) = (server.start(), Vitalwire::serve(directory.path(), &config));
    committed_to_the_end(&client, &topic).await;
    let ledger = assert_closed(&product).await;
    assert_eq!((&ledger["received"], &ledger["unchanged"]), (&20.into(), &0.into()), "{ledger}");
    assert_stored_once(&running.fhir(), &readings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bt_8_a_process_that_is_ended_under_load_goes_on_where_it_was_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (address, topic) = (kafka::address().await, unique("ended"));
    let client = Client::new(&address);
    client.create_topic(&topic, 3).await;
    let config = wearables(&kafka_source(&address, &topic));
    let readings = readings(2_000);
    let restarts = async {
        let mut product = Vitalwire::serve(directory.path(), &config);
        for _ in 0..2 {
            takes_some_more(&product, 200).await;
            product.signal("TERM");
            let (status, log) = product.ended();
            assert!(status.success(), "{log:?}");
            product = Vitalwire::serve(directory.path(), &config);
        }
        product
    };
    let (product, ()) = tokio::join!(restarts, client.trickle(&topic, &readings));
    committed_to_the_end(&client, &topic).await;
    let ledger = assert_closed(&product).await;
    assert_eq!((&ledger["received"], &ledger["unchanged"]), (&2_000.into(), &0.into()), "{ledger}");
    assert_stored_once(&product.fhir(), &readings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_a_process_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (address, topic, server) = (kafka::address().await, unique("killed"), Server::new());
    let client = Client::new(&address);
    client.create_topic(&topic, 3).await;
    // With a name of its own it need not wait for the end of its session.
    let config = server.connector(&(kafka_source(&address, &topic) + "group_instance_id = \"worker\"\n"));
    let readings = readings(3_000);
    let running = server.start();
    let kills = async {
        let mut product = Vitalwire::serve(directory.path(), &config);
        for _ in 0..3 {
            takes_some_more(&product, 200).await;
            product.kill();
            product = Vitalwire::serve(directory.path(), &config);
        }
        product
    };
    let (product, ()) = tokio::join!(kills, client.trickle(&topic, &readings));
    committed_to_the_end(&client, &topic).await;
    assert_closed(&product).await;
    assert_stored_once(&running.fhir(), &readings).await;
}

/// A member of a group of several: its directory, and the process.
struct Member {
    _directory: tempfile::TempDir,
    process: Vitalwire,
}

impl Member {
    fn start(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = Vitalwire::serve(directory.path(), config);
        Self { _directory: directory, process }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_members_of_a_group_that_die_and_join_under_load_store_every_message_once() {
    let (address, topic, server) = (kafka::address().await, unique("shared"), Server::new());
    let client = Client::new(&address);
    client.create_topic(&topic, 6).await;
    let config = server.connector(&(kafka_source(&address, &topic) + "session_timeout = 4000\n"));
    let readings = readings(4_000);
    let running = server.start();
    let members = async {
        let [first, second, third] = [(); 3].map(|()| Member::start(&config));
        for member in [&first, &second, &third] {
            takes_some_more(&member.process, 50).await;
        }
        first.process.kill();
        let fourth = Member::start(&config);
        takes_some_more(&fourth.process, 50).await;
        [second, third, fourth]
    };
    let (members, ()) = tokio::join!(members, client.trickle(&topic, &readings));
    committed_to_the_end(&client, &topic).await;
    for member in &members {
        assert_closed(&member.process).await;
    }
    assert_stored_once(&running.fhir(), &readings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_a_member_that_hangs_and_comes_back_leaves_what_it_had_to_the_others() {
    let (address, topic, server) = (kafka::address().await, unique("frozen"), Server::new());
    let client = Client::new(&address);
    client.create_topic(&topic, 4).await;
    let config = server.connector(&(kafka_source(&address, &topic) + "session_timeout = 4000\n"));
    let readings = readings(3_000);
    let (before, after) = readings.split_at(1_500);
    let running = server.start();
    let [first, second] = [(); 2].map(|()| Member::start(&config));
    let both_work = async || until(PATIENCE, async || client.members_at_work(&topic), |count| *count == 2).await;
    both_work().await;
    let freeze = async {
        takes_some_more(&first.process, 50).await;
        first.process.signal("STOP");
    };
    tokio::join!(freeze, client.trickle(&topic, before));
    // The group has given up the first, and the second has read its share to the end.
    committed_to_the_end(&client, &topic).await;

    first.process.signal("CONT");
    both_work().await;
    tokio::join!(takes_some_more(&first.process, 50), client.trickle(&topic, after));
    committed_to_the_end(&client, &topic).await;
    for member in [&first, &second] {
        assert_closed(&member.process).await;
    }
    assert_stored_once(&running.fhir(), &readings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_1_p_2_a_broker_that_is_killed_under_load_is_come_back_to() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let broker = Kafka::start(there.path()).await;
    let client = Client::new(&broker.plain());
    client.create_topic("readings", 3).await;
    let product = Vitalwire::serve(here.path(), &wearables(&kafka_source(&broker.plain(), "readings")));
    let readings = readings(2_000);
    let restart = async {
        takes_some_more(&product, 300).await;
        let broker = broker.restart().await;
        takes_some_more(&product, 300).await;
        broker
    };
    let (_broker, ()) = tokio::join!(restart, client.trickle("readings", &readings));
    committed_to_the_end(&client, "readings").await;
    assert_closed(&product).await;
    assert_stored_once(&product.fhir(), &readings).await;
}

/// A topic, read by the group of its name.
fn kafka_source(address: &str, topic: &str) -> String {
    config::kafka(address, topic, &[topic])
}
