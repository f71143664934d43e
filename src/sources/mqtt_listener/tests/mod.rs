//! The listener from outside: clients on a loopback port, and a pipeline that is a channel.

mod access;

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::{Access, AccessSettings};
use super::{Listener, ListenerSettings};
use crate::clock::Clock;
use crate::model::Tracked;
use crate::model::envelope::Envelope;
use crate::model::intake::Intake;
use crate::model::receipt::Outcome;
use crate::model::room::Room;
use crate::model::samples::Unwitnessed;

const PATIENCE: Duration = Duration::from_secs(10);

struct Bench {
    port: u16,
    messages: mpsc::Receiver<Tracked<Envelope>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Of a listener on a port of its own that wants nothing of its clients.
pub(crate) fn settings() -> ListenerSettings {
    ListenerSettings {
        address: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        websocket: None,
        connections_max: 10,
        connections_per_second_max: NonZeroU32::new(1_000).unwrap(),
        messages_per_second_max: None,
        sessions_max: 10,
        in_flight_max: NonZeroU16::new(100).unwrap(),
        message_bytes_max: 1_000_000,
        split_arrays: false,
        packet_max_bytes: NonZeroU32::new(1_000).unwrap(),
        connect_timeout: PATIENCE,
        session_expiry_max: Duration::from_secs(3_600),
    }
}

impl Bench {
    async fn start(settings: ListenerSettings) -> Self {
        Self::with(settings, &AccessSettings::default(), usize::MAX).await
    }

    async fn with_room(settings: ListenerSettings, bytes: usize) -> Self {
        Self::with(settings, &AccessSettings::default(), bytes).await
    }

    async fn with_access(access: &AccessSettings) -> Self {
        Self::with(settings(), access, usize::MAX).await
    }

    async fn with(settings: ListenerSettings, access: &AccessSettings, bytes: usize) -> Self {
        let access = Access::open(access).unwrap();
        let listener = Listener::bind(settings, access, Clock::default()).await.unwrap();
        let port = listener.address().port();
        let (outbox, messages) = mpsc::channel(1_000);
        let intake = Intake::new(Arc::from("ward"), Arc::new(Unwitnessed), Room::new(bytes), outbox);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(listener.run(intake, tasks.clone(), stop.clone()));
        Self { port, messages, tasks, stop }
    }

    async fn message(&mut self) -> Tracked<Envelope> {
        tokio::time::timeout(PATIENCE, self.messages.recv()).await.unwrap().unwrap()
    }

    async fn connect(&self, connect: &[u8]) -> Raw {
        let mut raw = Raw(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap());
        raw.say(connect).await;
        raw
    }
}

/// A client that speaks bytes.
struct Raw(TcpStream);

impl Raw {
    async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn hears(&mut self, expected: &[u8]) {
        let mut heard = vec![0; expected.len()];
        tokio::time::timeout(PATIENCE, self.0.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, expected);
    }

    /// All that is left to hear until the listener closes.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.unwrap().unwrap();
        rest
    }

    /// A PINGREQ is answered only after all that was said before it is heard.
    async fn is_heard(&mut self) {
        self.say(&[0xC0, 0]).await;
        self.hears(&[0xD0, 0]).await;
    }
}

/// CONNECT of MQTT 3.1.1: client id `m`, flags as given, no keep-alive.
fn connect_v3_1_1(flags: u8) -> Vec<u8> {
    [&[0x10, 13, 0, 4], &b"MQTT"[..], &[4, flags, 0, 0, 0, 1, b'm']].concat()
}

/// CONNECT of MQTT 5: client id `m`, clean start, no keep-alive, no properties.
fn connect_v5_0() -> Vec<u8> {
    [&[0x10, 14, 0, 4], &b"MQTT"[..], &[5, 2, 0, 0, 0, 0, 1, b'm']].concat()
}

/// CONNACK of MQTT 5 with Receive Maximum 100, Maximum QoS 1 and Maximum Packet Size 1,000.
const ADMITTED_V5_0: [u8; 15] = [0x20, 13, 0, 0, 10, 0x24, 1, 0x21, 0, 100, 0x27, 0, 0, 3, 0xE8];
const ADMITTED_V3_1_1: [u8; 4] = [0x20, 2, 0, 0];
const RESUMED_V3_1_1: [u8; 4] = [0x20, 2, 1, 0];
const CLEAN: u8 = 2;

/// PUBLISH of MQTT 3.1.1 to `t` with payload `1`.
fn publish(qos: u8, packet_id: u8) -> Vec<u8> {
    vec![0x30 | qos << 1, 6, 0, 1, b't', 0, packet_id, b'1']
}

async fn check_fault_v5_0(said: &[u8], expected: &[u8]) {
    let bench = Bench::start(settings()).await;
    let mut raw = bench.connect(&connect_v5_0()).await;
    raw.hears(&ADMITTED_V5_0).await;
    raw.say(said).await;
    assert_eq!(raw.rest().await, expected);
}

async fn check_fault_v3_1_1(said: &[u8]) {
    let bench = Bench::start(settings()).await;
    let mut raw = bench.connect(&connect_v3_1_1(CLEAN)).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    raw.say(said).await;
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn p_7_without_room_for_more_bytes_nothing_more_is_heard_until_there_is_some() {
    let mut bench = Bench::with_room(settings(), 1).await;
    let mut raw = bench.connect(&connect_v3_1_1(CLEAN)).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    raw.say(&[publish(1, 1), publish(1, 2)].concat()).await;
    let first = bench.message().await;
    // What is heard at one time is passed on at one time.
    assert!(bench.messages.try_recv().is_err());
    first.receipt.complete(Outcome::Stored);
    raw.hears(&[0x40, 2, 0, 1]).await;
    assert!(bench.messages.try_recv().is_err());
    drop(first.value);
    bench.message().await.receipt.complete(Outcome::Stored);
    raw.hears(&[0x40, 2, 0, 2]).await;
}

#[tokio::test]
async fn puback_waits_for_the_receipt_and_keeps_the_order() {
    let mut bench = Bench::start(settings()).await;
    let mut raw = bench.connect(&connect_v3_1_1(CLEAN)).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    raw.say(&[publish(1, 7), publish(1, 8)].concat()).await;
    let (first, second) = (bench.message().await, bench.message().await);
    assert_eq!(first.value.body, "1");
    second.receipt.complete(Outcome::Stored);
    raw.is_heard().await;
    first.receipt.complete(Outcome::Stored);
    raw.hears(&[0x40, 2, 0, 7, 0x40, 2, 0, 8]).await;
}

#[tokio::test]
async fn a_client_of_mqtt_3_1_1_publishes() {
    let mut bench = Bench::start(settings()).await;
    let (client, mut events) = AsyncClient::new(MqttOptions::new("monitor", "127.0.0.1", bench.port), 10);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        client.publish("ward/7", qos, false, "{}").await.unwrap();
    }
    let consumer = async {
        for qos in 0..3 {
            let message = bench.message().await;
            assert_eq!(message.value.system_properties["qos"], qos);
            assert_eq!(message.value.system_properties["topic"], "ward/7");
            message.receipt.complete(Outcome::Stored);
        }
    };
    let producer = async {
        let (mut puback, mut pubcomp) = (false, false);
        while !(puback && pubcomp) {
            let event = events.poll().await.unwrap();
            puback |= matches!(event, Event::Incoming(Packet::PubAck(_)));
            pubcomp |= matches!(event, Event::Incoming(Packet::PubComp(_)));
        }
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(consumer, producer) }).await.unwrap();
}

#[tokio::test]
async fn a_client_of_mqtt_5_publishes_with_user_properties() {
    use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    let mut bench = Bench::start(settings()).await;
    let (client, mut events) = AsyncClient::new(MqttOptions::new("monitor", "127.0.0.1", bench.port), 10);
    let properties =
        PublishProperties { user_properties: vec![("unit".into(), "icu".into())], ..PublishProperties::default() };
    let qos = rumqttc::v5::mqttbytes::QoS::AtLeastOnce;
    client.publish_with_properties("ward/7", qos, true, "{}", properties).await.unwrap();
    let consumer = async {
        let message = bench.message().await;
        assert_eq!(message.value.properties["unit"], "icu");
        assert_eq!(message.value.system_properties["retain"], true);
        message.receipt.complete(Outcome::Stored);
    };
    let producer = async { while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {} };
    tokio::time::timeout(PATIENCE, async { tokio::join!(consumer, producer) }).await.unwrap();
}

#[tokio::test]
async fn an_abandoned_message_ends_its_connection() {
    let mut bench = Bench::start(settings()).await;
    let mut raw = bench.connect(&connect_v5_0()).await;
    raw.hears(&ADMITTED_V5_0).await;
    raw.say(&[0x32, 7, 0, 1, b't', 0, 1, 0, b'1']).await;
    drop(bench.message().await);
    assert_eq!(raw.rest().await, [0xE0, 1, 0x83]);
}

#[tokio::test]
async fn qos_2_is_confirmed_when_durable_and_remembered_by_the_session() {
    let mut bench = Bench::start(settings()).await;
    let mut raw = bench.connect(&connect_v3_1_1(0)).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    raw.say(&[publish(2, 5), publish(2, 5)].concat()).await;
    let message = bench.message().await;
    raw.is_heard().await;
    message.receipt.complete(Outcome::Stored);
    raw.hears(&[0x50, 2, 0, 5]).await;
    drop(raw);

    let mut raw = bench.connect(&connect_v3_1_1(0)).await;
    raw.hears(&RESUMED_V3_1_1).await;
    raw.say(&publish(2, 5)).await;
    raw.hears(&[0x50, 2, 0, 5]).await;
    raw.say(&[0x62, 2, 0, 5]).await;
    raw.hears(&[0x70, 2, 0, 5]).await;
    assert!(bench.messages.try_recv().is_err());
}

#[tokio::test]
async fn qos_2_of_mqtt_5_is_refused() {
    check_fault_v5_0(&[0x34, 7, 0, 1, b't', 0, 1, 0, b'1'], &[0xE0, 1, 0x9B]).await;
}

#[tokio::test]
async fn subscriptions_are_refused_filter_by_filter() {
    let bench = Bench::start(settings()).await;
    let mut raw = bench.connect(&connect_v3_1_1(CLEAN)).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    raw.say(&[0x82, 10, 0, 9, 0, 1, b'#', 0, 0, 1, b'+', 1]).await;
    raw.hears(&[0x90, 4, 0, 9, 0x80, 0x80]).await;
    raw.say(&[0xA2, 5, 0, 3, 0, 1, b'#']).await;
    raw.hears(&[0xB0, 2, 0, 3]).await;

    let mut raw = bench.connect(&connect_v5_0()).await;
    raw.hears(&ADMITTED_V5_0).await;
    raw.say(&[0x82, 7, 0, 9, 0, 0, 1, b'#', 1]).await;
    raw.hears(&[0x90, 4, 0, 9, 0, 0x87]).await;
    raw.say(&[0xA2, 6, 0, 3, 0, 0, 1, b'#']).await;
    raw.hears(&[0xB0, 4, 0, 3, 0, 0x11]).await;
}

#[tokio::test]
async fn another_connection_takes_the_session_over() {
    let bench = Bench::start(settings()).await;
    let mut former = bench.connect(&connect_v5_0()).await;
    former.hears(&ADMITTED_V5_0).await;
    let mut latter = bench.connect(&connect_v5_0()).await;
    latter.hears(&ADMITTED_V5_0).await;
    assert_eq!(former.rest().await, [0xE0, 1, 0x8E]);
    latter.is_heard().await;
}

#[tokio::test]
async fn a_will_is_published_when_the_client_is_gone_unawares() {
    let mut bench = Bench::start(settings()).await;
    let connect = [&[0x10, 19, 0, 4], &b"MQTT"[..], &[4, 6, 0, 0, 0, 1, b'm', 0, 1, b'w', 0, 1, b'x']].concat();
    let mut raw = bench.connect(&connect).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    drop(raw);
    let will = bench.message().await;
    assert_eq!((will.value.body.as_ref(), &will.value.system_properties["topic"]), (&b"x"[..], &"w".into()));

    let mut raw = bench.connect(&connect).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    raw.say(&[0xE0, 0]).await;
    assert!(raw.rest().await.is_empty());
    bench.stop.cancel();
    bench.tasks.close();
    tokio::time::timeout(PATIENCE, bench.tasks.wait()).await.unwrap();
    assert!(bench.messages.try_recv().is_err());
}

#[tokio::test]
async fn nothing_is_read_while_the_window_is_full() {
    let mut bench = Bench::start(ListenerSettings { in_flight_max: NonZeroU16::MIN, ..settings() }).await;
    let mut raw = bench.connect(&connect_v3_1_1(CLEAN)).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    raw.say(&[publish(1, 7), publish(1, 8), vec![0xC0, 0]].concat()).await;
    let first = bench.message().await;
    assert!(bench.messages.try_recv().is_err());
    first.receipt.complete(Outcome::Stored);
    raw.hears(&[0x40, 2, 0, 7]).await;
    bench.message().await.receipt.complete(Outcome::Stored);
    raw.hears(&[0x40, 2, 0, 8]).await;
    raw.hears(&[0xD0, 0]).await;
}

#[tokio::test]
async fn mqtt_5_clients_that_exceed_the_window_are_disconnected() {
    let bench = Bench::start(ListenerSettings { in_flight_max: NonZeroU16::new(2).unwrap(), ..settings() }).await;
    let mut raw = bench.connect(&connect_v5_0()).await;
    raw.hears(&[0x20, 13, 0, 0, 10, 0x24, 1, 0x21, 0, 2, 0x27, 0, 0, 3, 0xE8]).await;
    let publish = |packet_id| [0x32, 7, 0, 1, b't', 0, packet_id, 0, b'1'];
    raw.say(&[publish(1), publish(2)].concat()).await;
    raw.is_heard().await;
    raw.say(&publish(3)).await;
    assert_eq!(raw.rest().await, [0xE0, 1, 0x93]);
}

#[tokio::test]
async fn stopping_answers_what_is_in_flight_first() {
    let mut bench = Bench::start(settings()).await;
    let mut raw = bench.connect(&connect_v5_0()).await;
    raw.hears(&ADMITTED_V5_0).await;
    raw.say(&[0x32, 7, 0, 1, b't', 0, 1, 0, b'1']).await;
    let message = bench.message().await;
    bench.stop.cancel();
    bench.tasks.close();
    message.receipt.complete(Outcome::Stored);
    assert_eq!(raw.rest().await, [0x40, 2, 0, 1, 0xE0, 1, 0x8B]);
    drop(raw);
    tokio::time::timeout(PATIENCE, bench.tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn an_empty_client_id_is_assigned_or_refused() {
    let bench = Bench::start(settings()).await;
    let connect = [&[0x10, 12, 0, 4], &b"MQTT"[..], &[4, 0, 0, 0, 0, 0]].concat();
    assert_eq!(bench.connect(&connect).await.rest().await, [0x20, 2, 0, 2]);

    let connect = [&[0x10, 13, 0, 4], &b"MQTT"[..], &[5, 2, 0, 0, 0, 0, 0]].concat();
    let mut connack = [0; 58];
    let mut raw = bench.connect(&connect).await;
    tokio::time::timeout(PATIENCE, raw.0.read_exact(&mut connack)).await.unwrap().unwrap();
    assert!(connack.windows(13).any(|text| text == [&[0x12, 0, 42], &b"vitalwire-"[..]].concat()));
}

#[tokio::test]
async fn other_protocol_versions_are_refused() {
    let bench = Bench::start(settings()).await;
    let connect = [&[0x10, 15, 0, 6], &b"MQIsdp"[..], &[3, 2, 0, 0, 0, 1, b'm']].concat();
    assert_eq!(bench.connect(&connect).await.rest().await, [0x20, 2, 0, 1]);
}

#[tokio::test]
async fn an_unknown_authentication_method_is_refused() {
    let bench = Bench::start(settings()).await;
    let connect = [&[0x10, 18, 0, 4], &b"MQTT"[..], &[5, 2, 0, 0, 4, 0x15, 0, 1, b'x', 0, 1, b'm']].concat();
    assert_eq!(bench.connect(&connect).await.rest().await, [0x20, 3, 0, 0x8C, 0]);
}

#[tokio::test]
async fn breaking_the_rules_ends_only_the_own_connection() {
    check_fault_v3_1_1(&connect_v3_1_1(CLEAN)).await;
    check_fault_v3_1_1(&[0x90, 3, 0, 1, 0]).await;
    check_fault_v3_1_1(&[0x80, 6, 0, 9, 0, 1, b'#', 0]).await;
    check_fault_v3_1_1(&[0x32, 6, 0, 1, b't', 0, 0, b'1']).await;
    check_fault_v3_1_1(&[0x36, 6, 0, 1, b't', 0, 1, b'1']).await;
    check_fault_v3_1_1(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1]).await;
    check_fault_v5_0(&connect_v5_0(), &[0xE0, 1, 0x82]).await;
    check_fault_v5_0(&[0x90, 4, 0, 1, 0, 0], &[0xE0, 1, 0x82]).await;
    check_fault_v5_0(&[0x82, 7, 0, 9, 0, 0, 0xFF, b'#', 1], &[0xE0, 1, 0x81]).await;
    check_fault_v5_0(&[0x30, 4, 0, 1, b'#', 0], &[0xE0, 1, 0x90]).await;
    check_fault_v5_0(&[0x30, 7, 0, 1, b't', 3, 0x23, 0, 1], &[0xE0, 1, 0x94]).await;
    check_fault_v5_0(&[0x30, 0xFF, 0x7F], &[0xE0, 1, 0x95]).await;
    check_fault_v5_0(&[0xF0, 0], &[0xE0, 1, 0x82]).await;
}

#[tokio::test]
async fn silence_beyond_the_keep_alive_ends_the_connection() {
    let bench = Bench::start(settings()).await;
    let connect = [&[0x10, 14, 0, 4], &b"MQTT"[..], &[5, 2, 0, 1, 0, 0, 1, b'm']].concat();
    let mut raw = bench.connect(&connect).await;
    raw.hears(&ADMITTED_V5_0).await;
    assert_eq!(raw.rest().await, [0xE0, 1, 0x8D]);
}

#[tokio::test]
async fn a_port_in_use_is_said() {
    let bench = Bench::start(settings()).await;
    let address = format!("127.0.0.1:{}", bench.port).parse().unwrap();
    let access = Access::open(&AccessSettings::default()).unwrap();
    let error = Listener::bind(ListenerSettings { address, ..settings() }, access, Clock::default()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen for MQTT on {address}"));
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
}
