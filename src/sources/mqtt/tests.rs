//! The subscription against a broker of bytes, and a pipeline that is a channel.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Credentials, Protocol, Quality, SessionUse, SourceState, Subscriber, SubscriberSettings, Subscription};
use crate::clock::Clock;
use crate::database::Database;
use crate::model::Tracked;
use crate::model::envelope::Envelope;
use crate::model::intake::Intake;
use crate::model::receipt::Outcome;
use crate::model::room::Room;
use crate::model::samples::Unwitnessed;
use crate::secret::Secret;
use crate::subscriptions::{SCHEMA, Subscriptions};

const PATIENCE: Duration = Duration::from_secs(10);

/// A subscription that runs, the port its broker is to listen on, and the pipeline it feeds.
struct Bench {
    broker: TcpListener,
    messages: mpsc::Receiver<Tracked<Envelope>>,
    states: watch::Receiver<SourceState>,
    tasks: TaskTracker,
    stop: CancellationToken,
    subscriptions: Subscriptions,
    _data: tempfile::TempDir,
}

/// Settings for a broker on a loopback port, with a window of 10.
pub(super) fn settings(protocol: Protocol, port: u16) -> SubscriberSettings {
    SubscriberSettings {
        name: super::SOURCE.to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
        tls: None,
        protocol,
        client_id: "v".to_owned(),
        credentials: None,
        session: SessionUse::Resumed,
        topics: vec![Subscription { filter: "#".to_owned(), captures: Vec::new() }],
        quality: Quality::AtLeastOnce,
        keep_alive: Duration::from_secs(60),
        connect_timeout: PATIENCE,
        session_expiry: Duration::from_secs(3_600),
        will: None,
        in_flight_max: NonZeroUsize::new(10).unwrap(),
        message_bytes_max: 1_000_000,
        split_arrays: false,
        packet_max_bytes: NonZeroU32::new(1_000_000).unwrap(),
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(1),
    }
}

/// What the session had before that the settings have not.
const FORMER: &str = "old/#";

const CONNECT: [u8; 15] = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 60, 0, 1, b'v'];
const PINGREQ: [u8; 2] = [0xC0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];

impl Bench {
    async fn start(protocol: Protocol, in_flight_max: usize) -> Self {
        Self::start_with(protocol, |settings| settings.in_flight_max = NonZeroUsize::new(in_flight_max).unwrap()).await
    }

    async fn start_with(protocol: Protocol, change: impl FnOnce(&mut SubscriberSettings)) -> Self {
        Self::start_in(&Room::new(usize::MAX), protocol, change).await
    }

    async fn start_in(room: &Arc<Room>, protocol: Protocol, change: impl FnOnce(&mut SubscriberSettings)) -> Self {
        let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut settings = settings(protocol, broker.local_addr().unwrap().port());
        change(&mut settings);
        let (outbox, messages) = mpsc::channel(1_000);
        let intake = Intake::new(Arc::from("ward"), Arc::new(Unwitnessed), Arc::clone(room), outbox);
        let data = tempfile::tempdir().unwrap();
        let database = Database::open(data.path(), &[SCHEMA]).unwrap();
        let subscriptions = Subscriptions::new(database, "broker", &settings.client_id);
        subscriptions.keep(BTreeSet::from([FORMER.to_owned()])).await.unwrap();
        let (subscriber, states) = Subscriber::new(settings, subscriptions.clone(), Clock::default());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(subscriber.run(intake, stop.clone()));
        Self { broker, messages, states, tasks, stop, subscriptions, _data: data }
    }

    async fn accepted(&self) -> Broker {
        Broker(tokio::time::timeout(PATIENCE, self.broker.accept()).await.unwrap().unwrap().0)
    }

    /// The next connection of the subscription, which asks for its session and is granted it.
    async fn connection(&self, session_present: u8) -> Broker {
        let mut broker = self.accepted().await;
        broker.hears(&CONNECT).await;
        broker.says(&[0x20, 2, session_present, 0]).await;
        broker
    }

    /// The next connection, with a keep-alive of 1 s, subscribed.
    async fn hasty_connection(&self) -> Broker {
        let mut broker = self.accepted().await;
        let mut connect = CONNECT;
        connect[11] = 1;
        broker.hears(&connect).await;
        broker.says(&[0x20, 2, 0, 0]).await;
        broker.grants_the_subscription().await;
        broker
    }

    /// The next connection in MQTT 5, whose session the broker does not know.
    async fn v5_connection(&self) -> Broker {
        let mut broker = self.accepted().await;
        broker.hears(&[0x10, 27, 0, 4, b'M', b'Q', b'T', b'T', 5, 0, 0, 60, 13]).await;
        broker.hears(&[0x11, 0, 0, 0x0E, 0x10, 0x27, 0, 0x0F, 0x42, 0x40, 0x21, 0, 10, 0, 1, b'v']).await;
        broker.says(&[0x20, 3, 0, 0, 0]).await;
        broker.hears(&[0x82, 7, 0, 1, 0, 0, 1, b'#', 0x19]).await;
        broker.says(&[0x90, 4, 0, 1, 0, 1]).await;
        broker
    }

    async fn retries(&mut self, because: &str) {
        self.state(|state| matches!(state, SourceState::Retrying(reason) if reason.contains(because))).await;
    }

    async fn message(&mut self) -> Tracked<Envelope> {
        tokio::time::timeout(PATIENCE, self.messages.recv()).await.unwrap().unwrap()
    }

    async fn state(&mut self, expected: impl Fn(&SourceState) -> bool) {
        tokio::time::timeout(PATIENCE, self.states.wait_for(expected)).await.unwrap().unwrap();
    }

    /// Waits until these are the filters that are kept.
    async fn keeps(&self, filters: &[&str]) {
        let expected: BTreeSet<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let kept = async { while self.subscriptions.find().await.unwrap() != expected {} };
        tokio::time::timeout(PATIENCE, kept).await.unwrap();
    }

    async fn stopped(self) {
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait()).await.unwrap();
    }
}

struct Broker(TcpStream);

impl Broker {
    async fn says(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn hears(&mut self, expected: &[u8]) {
        let mut heard = vec![0; expected.len()];
        tokio::time::timeout(PATIENCE, self.0.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, expected);
    }

    async fn grants_the_subscription(&mut self) {
        self.hears(&[0x82, 6, 0, 1, 0, 1, b'#', 1]).await;
        self.says(&[0x90, 3, 0, 1, 1]).await;
    }
}

fn publish(packet_id: u8) -> [u8; 8] {
    [0x32, 6, 0, 1, b't', 0, packet_id, b'1']
}

#[tokio::test]
async fn messages_are_acknowledged_in_order_when_settled() {
    let mut bench = Bench::start(Protocol::V3_1_1, 10).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    bench.state(|state| *state == SourceState::Connected).await;
    broker.says(&[publish(7), publish(8)].concat()).await;
    let (first, second) = (bench.message().await, bench.message().await);
    assert_eq!(first.value.system_properties["topic"], "t");
    second.receipt.complete(Outcome::Stored);
    first.receipt.complete(Outcome::Stored);
    broker.hears(&[0x40, 2, 0, 7, 0x40, 2, 0, 8]).await;
}

#[tokio::test]
async fn bt_10_acknowledgements_of_a_lost_connection_are_not_sent_on_the_next() {
    let mut bench = Bench::start(Protocol::V3_1_1, 10).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    broker.says(&publish(7)).await;
    let late = bench.message().await;
    drop(broker);

    let mut broker = bench.connection(1).await;
    broker.says(&publish(9)).await;
    let again = bench.message().await;
    late.receipt.complete(Outcome::Stored);
    again.receipt.complete(Outcome::Unchanged);
    broker.hears(&[0x40, 2, 0, 9]).await;
}

#[tokio::test]
async fn bt_10_bt_11_an_abandoned_message_makes_the_connection_anew() {
    let mut bench = Bench::start(Protocol::V3_1_1, 10).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    broker.says(&publish(7)).await;
    drop(bench.message().await);
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
}

#[tokio::test]
async fn a_full_window_takes_no_more_but_goes_on_when_settled() {
    let mut bench = Bench::start(Protocol::V3_1_1, 1).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    broker.says(&[publish(1), publish(2), publish(3)].concat()).await;
    for packet_id in 1..=3 {
        let message = bench.message().await;
        assert!(bench.messages.try_recv().is_err());
        message.receipt.complete(Outcome::Stored);
        broker.hears(&[0x40, 2, 0, packet_id]).await;
    }
}

#[tokio::test]
async fn p_7_without_room_for_more_bytes_nothing_more_is_heard_until_there_is_some() {
    let mut bench = Bench::start_in(&Room::new(1), Protocol::V3_1_1, |_settings| {}).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    broker.says(&[publish(1), publish(2), publish(3)].concat()).await;
    for packet_id in 1..=3 {
        let message = bench.message().await;
        message.receipt.complete(Outcome::Stored);
        broker.hears(&[0x40, 2, 0, packet_id]).await;
        assert!(bench.messages.try_recv().is_err());
        drop(message.value);
    }
}

#[tokio::test]
async fn stopping_answers_what_was_taken_and_disconnects() {
    let mut bench = Bench::start(Protocol::V3_1_1, 10).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    broker.says(&publish(7)).await;
    let message = bench.message().await;
    bench.stop.cancel();
    message.receipt.complete(Outcome::Stored);
    broker.hears(&[0x40, 2, 0, 7, 0xE0, 0]).await;
    drop(broker);
    bench.stopped().await;
}

#[tokio::test]
async fn wrong_credentials_and_refused_filters_are_said_and_tried_again() {
    let mut bench = Bench::start_with(Protocol::V3_1_1, |settings| {
        let password = Secret::new("hunter2".to_owned());
        settings.credentials = Some(Credentials { username: "nurse".to_owned(), password });
    })
    .await;
    let mut broker = bench.accepted().await;
    broker.hears(&[0x10, 29, 0, 4, b'M', b'Q', b'T', b'T', 4, 0xC0, 0, 60, 0, 1, b'v']).await;
    broker.hears(b"\0\x05nurse\0\x07hunter2").await;
    broker.says(&[0x20, 2, 0, 5]).await;
    bench.state(|state| matches!(state, SourceState::Retrying(_))).await;
    let SourceState::Retrying(reason) = bench.states.borrow().clone() else { unreachable!() };
    assert_eq!(reason, "the broker refuses the connection: NotAuthorized: check `username` and `password`");

    let mut broker = bench.accepted().await;
    broker.says(&[0x20, 2, 0, 0]).await;
    broker.says(&[0x90, 3, 0, 1, 0x80]).await;
    bench.retries("refuses filter 1 (Failure)").await;
    bench.stop.cancel();
    bench.stopped().await;
}

#[tokio::test]
async fn many_acknowledgements_leave_in_one_write() {
    let mut bench = Bench::start(Protocol::V3_1_1, 50).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    let published: Vec<u8> = (1..=50).flat_map(publish).collect();
    broker.says(&published).await;
    let mut messages = Vec::new();
    for _ in 0..50 {
        messages.push(bench.message().await);
    }
    for message in messages {
        message.receipt.complete(Outcome::Stored);
    }
    let mut heard = [0; 1_000];
    let bytes = tokio::time::timeout(PATIENCE, broker.0.read(&mut heard)).await.unwrap().unwrap();
    let expected: Vec<u8> = (1..=50).flat_map(|packet_id| [0x40, 2, 0, packet_id]).collect();
    assert_eq!(heard[..bytes], expected);
}

#[tokio::test]
async fn a_full_window_stops_reading_but_not_pings() {
    let mut bench = Bench::start_with(Protocol::V3_1_1, |settings| {
        settings.in_flight_max = NonZeroUsize::MIN;
        settings.keep_alive = Duration::from_secs(1);
    })
    .await;
    let mut broker = bench.hasty_connection().await;
    broker.says(&publish(1)).await;
    let message = bench.message().await;
    // More than all buffers between the two hold.
    let flood = publish(2).repeat(8_000_000);
    let (mut incoming, mut outgoing) = broker.0.split();
    let mut pings = [0; 4];
    tokio::select! {
        _ = outgoing.write_all(&flood) => panic!("all was read"),
        heard = incoming.read_exact(&mut pings) => drop(heard.unwrap()),
    }
    assert_eq!(pings, [PINGREQ, PINGREQ].concat()[..]);
    assert!(bench.messages.try_recv().is_err());
    message.receipt.complete(Outcome::Stored);
    broker.hears(&[0x40, 2, 0, 1]).await;
    bench.message().await.receipt.complete(Outcome::Stored);
    broker.hears(&[0x40, 2, 0, 2]).await;
}

#[tokio::test]
async fn a_broker_that_answers_no_ping_is_left() {
    let mut bench = Bench::start_with(Protocol::V3_1_1, |settings| settings.keep_alive = Duration::from_secs(1)).await;
    let mut broker = bench.hasty_connection().await;
    broker.hears(&PINGREQ).await;
    broker.says(&PINGRESP).await;
    broker.hears(&PINGREQ).await;
    bench.retries("silent").await;
    bench.hasty_connection().await;
}

#[tokio::test]
async fn a_packet_id_used_again_too_early_is_acknowledged_for_each_message_in_order() {
    let mut bench = Bench::start(Protocol::V3_1_1, 10).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    broker.says(&[publish(7), publish(7), publish(8)].concat()).await;
    let (first, second, third) = (bench.message().await, bench.message().await, bench.message().await);
    second.receipt.complete(Outcome::Stored);
    third.receipt.complete(Outcome::Stored);
    first.receipt.complete(Outcome::Stored);
    broker.hears(&[0x40, 2, 0, 7, 0x40, 2, 0, 7, 0x40, 2, 0, 8]).await;
}

#[tokio::test]
async fn a_message_too_large_to_be_read_ends_the_connection_and_is_not_acknowledged() {
    let mut bench = Bench::start(Protocol::V3_1_1, 10).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    // 2 MiB of remaining length.
    broker.says(&[0x32, 0x80, 0x80, 0x80, 0x01, 0, 1, b't', 0, 7]).await;
    bench.retries("raise `message_bytes_max`").await;
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, broker.0.read_to_end(&mut rest)).await.unwrap().ok();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn mqtt_5_brings_user_properties_and_is_left_with_disconnect() {
    let mut bench = Bench::start(Protocol::V5_0, 10).await;
    let mut broker = bench.v5_connection().await;
    bench.state(|state| *state == SourceState::Connected).await;
    // DUP, QoS 1 and RETAIN.
    broker.says(&[0x3B, 14, 0, 1, b't', 0, 7, 7, 0x26, 0, 1, b'a', 0, 1, b'b', b'1']).await;
    let message = bench.message().await;
    assert_eq!(message.value.properties["a"], "b");
    let system = &message.value.system_properties;
    assert_eq!((&system["dup"], &system["retain"], &system["qos"]), (&true.into(), &true.into(), &1.into()));
    message.receipt.complete(Outcome::Stored);
    broker.hears(&[0x40, 2, 0, 7]).await;
    bench.stop.cancel();
    broker.hears(&[0xE0, 0]).await;
    drop(broker);
    bench.stopped().await;
}

#[tokio::test]
async fn an_mqtt_5_broker_that_offers_more_than_its_window_is_held_back_and_not_cut_off() {
    let mut bench = Bench::start(Protocol::V5_0, 10).await;
    let mut broker = bench.v5_connection().await;
    for packet_id in 1..=12 {
        broker.says(&[0x32, 7, 0, 1, b't', 0, packet_id, 0, b'1']).await;
    }
    for packet_id in 1..=12 {
        bench.message().await.receipt.complete(Outcome::Stored);
        broker.hears(&[0x40, 2, 0, packet_id]).await;
    }
}

#[tokio::test]
async fn an_mqtt_5_broker_says_why_it_refuses_or_goes() {
    let mut bench = Bench::start(Protocol::V5_0, 10).await;
    let mut broker = bench.accepted().await;
    broker.says(&[0x20, 3, 0, 0x88, 0]).await;
    bench.retries("ServerUnavailable").await;
    // As a broker of MQTT 3.1.1 only says it.
    let mut broker = bench.accepted().await;
    broker.says(&[0x20, 2, 0, 1]).await;
    bench.retries("UnsupportedProtocolVersion").await;
    let mut broker = bench.accepted().await;
    broker.says(&[0x30, 3, 0, 1, b't']).await;
    bench.retries("other than CONNACK").await;
    let mut broker = bench.accepted().await;
    broker.says(&[0x20, 3, 0, 0, 0]).await;
    broker.says(&[0x90, 4, 0, 1, 0, 0x87]).await;
    bench.retries("refuses filter 1 (NotAuthorized)").await;
    let mut broker = bench.v5_connection().await;
    broker.says(&[0xE0, 2, 0x8B, 0]).await;
    bench.retries("ServerShuttingDown").await;
}

#[tokio::test]
async fn qos_2_was_not_asked_for_and_ends_the_connection() {
    let mut bench = Bench::start(Protocol::V5_0, 10).await;
    let mut broker = bench.v5_connection().await;
    broker.says(&[0x34, 7, 0, 1, b't', 0, 7, 0, b'1']).await;
    broker.hears(&[0xE0, 1, 0x9B]).await;
    bench.retries("QosNotSupported").await;
}

#[tokio::test]
async fn messages_of_qos_0_leave_nothing_to_be_acknowledged() {
    let mut bench = Bench::start(Protocol::V3_1_1, 1).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    broker.says(&[0x30, 4, 0, 1, b't', b'1'].repeat(3)).await;
    for _ in 0..3 {
        bench.message().await.receipt.complete(Outcome::Stored);
    }
    bench.stop.cancel();
    broker.hears(&[0xE0, 0]).await;
}

/// What a broker that answers SUBSCRIBE of two filters like this is found to be.
async fn probed(suback: &[u8]) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(Protocol::V3_1_1, listener.local_addr().unwrap().port());
    settings.topics =
        ["$share/g/a", "b"].map(|filter| Subscription { filter: filter.to_owned(), captures: vec![] }).into();
    let broker = async {
        let mut broker = Broker(listener.accept().await.unwrap().0);
        // A clean session, under a name of its own, and beside the group.
        broker.hears(&[0x10, 19, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 7]).await;
        broker.hears(b"v-check").await;
        broker.says(&[0x20, 2, 0, 0]).await;
        broker.hears(&[0x82, 25, 0, 1, 0, 16]).await;
        broker.hears(b"$share/g-check/a\x01\0\x01b\x01").await;
        broker.says(&[0x30, 4, 0, 1, b'b', b'1']).await;
        broker.says(suback).await;
    };
    let (found, ()) = tokio::join!(super::probe(&settings), broker);
    found.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_probe_asks_aside_and_tells_which_topics_are_not_granted() {
    assert_eq!(probed(&[0x90, 4, 0, 1, 1, 1]).await, Ok(()));
    let refused = probed(&[0x90, 4, 0, 1, 1, 0x80]).await.unwrap_err();
    assert!(refused.starts_with("the broker refuses filter 2 (Failure) of `topics`"), "{refused}");
    let lower = probed(&[0x90, 4, 0, 1, 0, 1]).await.unwrap_err();
    assert!(lower.starts_with("grants QoS 0 where 1 is asked for"), "{lower}");
}

#[tokio::test]
async fn what_a_kept_session_has_and_the_settings_have_not_is_taken_back() {
    let bench = Bench::start(Protocol::V3_1_1, 10).await;
    let mut broker = bench.connection(1).await;
    broker.hears(&[0xA2, 9, 0, 1, 0, 5, b'o', b'l', b'd', b'/', b'#']).await;
    broker.hears(&[0x82, 6, 0, 2, 0, 1, b'#', 1]).await;
    // Until the broker has answered, both may be there.
    bench.keeps(&["#", FORMER]).await;
    broker.says(&[0xB0, 2, 0, 1]).await;
    broker.says(&[0x90, 3, 0, 2, 1]).await;
    bench.keeps(&["#"]).await;
}

#[tokio::test]
async fn a_new_session_has_nothing_to_take_back() {
    let bench = Bench::start(Protocol::V3_1_1, 10).await;
    let mut broker = bench.connection(0).await;
    broker.grants_the_subscription().await;
    bench.keeps(&["#"]).await;
}
