//! A fleet on the MQTT listener: ten thousand devices that are merely connected, and five hundred that send.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::config::{mqtt_listener, wearables};
use crate::support::process::Vitalwire;
use crate::support::wait::until;

const IDLE: usize = 10_000;
const BUSY: usize = 500;
const MESSAGES_OF_EACH: usize = 6;
/// Devices that connect at a time.
const CONNECTING_MAX: usize = 250;
const PATIENCE: Duration = Duration::from_secs(60);
/// What an idle connection may cost at most, in a build that is not optimised.
const BYTES_PER_CONNECTION_MAX: usize = 48 << 10;

/// Every device is a file of this process, and one of the other.
fn allow_open_files() {
    let wanted = u64::try_from(IDLE + BUSY + 500).unwrap();
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        maximum >= wanted,
        "this test opens {wanted} files, and the system allows {maximum}: raise the hard limit (`ulimit -Hn {wanted}` as \
         root, LimitNOFILE= of systemd, --ulimit nofile={wanted} of docker)"
    );
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).unwrap();
    }
}

struct Device(TcpStream);

impl Device {
    /// Connects with MQTT 3.1.1, without keep-alive.
    async fn connect(address: &str, client_id: &str) -> Self {
        let mut device = Self(TcpStream::connect(address).await.unwrap());
        let length = u8::try_from(client_id.len()).unwrap();
        let head = [0x10, 12 + length, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, length];
        device.say(&[&head, client_id.as_bytes()].concat()).await;
        device.hears(&[0x20, 2, 0, 0]).await;
        device
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn hears(&mut self, expected: &[u8]) {
        let mut heard = vec![0; expected.len()];
        timeout(PATIENCE, self.0.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, expected);
    }

    async fn is_alive(&mut self) {
        self.say(&[0xC0, 0]).await;
        self.hears(&[0xD0, 0]).await;
    }
}

/// PUBLISH at QoS 1 of a reading that no other device and message has.
fn publish(device: usize, message: usize) -> Vec<u8> {
    let payload = format!(
        r#"{{"deviceid":"d-{device}","patientid":"p-{device}","measurementdatetime":"2024-03-02T07:15:{message:02}Z","heartrate":61}}"#
    );
    let body = [b"\0\x01t\0".as_slice(), &[u8::try_from(message + 1).unwrap()], payload.as_bytes()].concat();
    let length = u8::try_from(body.len() % 128).unwrap() | 128;
    [&[0x32, length, u8::try_from(body.len() / 128).unwrap()], body.as_slice()].concat()
}

/// Sends all messages of a device at once, and hears that each is stored.
async fn send(address: &str, number: usize) {
    let mut device = Device::connect(address, &format!("busy-{number}")).await;
    let packets: Vec<u8> = (0..MESSAGES_OF_EACH).flat_map(|message| publish(number, message)).collect();
    device.say(&packets).await;
    for message in 0..MESSAGES_OF_EACH {
        device.hears(&[0x40, 2, 0, u8::try_from(message + 1).unwrap()]).await;
    }
}

/// Bytes of memory the process has in use.
fn memory(product: &Vitalwire) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", product.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1_024
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "what a connection costs is to be seen, not only that it is not too much")]
async fn ten_thousand_idle_devices_and_five_hundred_busy_ones_are_served() {
    allow_open_files();
    let directory = tempfile::tempdir().unwrap();
    let listener = mqtt_listener() + "connections_max = 10500\nconnections_per_second_max = 100000\n";
    let product = Vitalwire::serve(directory.path(), &wearables(&listener));
    let address = product.mqtt.as_deref().unwrap();
    // What the first devices need once is not counted.
    iter(0..BUSY)
        .for_each_concurrent(CONNECTING_MAX, |number| async move {
            drop(Device::connect(address, &format!("w-{number}")).await)
        })
        .await;
    let before = memory(&product);
    let connect = |number| async move { Device::connect(address, &format!("idle-{number}")).await };
    let mut idle: Vec<Device> = iter(0..IDLE).map(connect).buffer_unordered(CONNECTING_MAX).collect().await;
    let bytes_per_connection = memory(&product).saturating_sub(before) / IDLE;
    println!("{bytes_per_connection} bytes of memory for each idle connection");
    assert!(bytes_per_connection < BYTES_PER_CONNECTION_MAX, "{bytes_per_connection} bytes for each idle connection");

    iter(0..BUSY).for_each_concurrent(BUSY, |number| send(address, number)).await;
    let messages = BUSY * MESSAGES_OF_EACH;
    let ledger = until(PATIENCE, async || product.ledger("wearables").await, |ledger| ledger["in_flight"] == 0).await;
    assert_eq!((&ledger["received"], &ledger["stored"]), (&messages.into(), &messages.into()), "{ledger}");
    assert_eq!(product.fhir().count("Observation").await, u64::try_from(messages).unwrap());
    iter(&mut idle).for_each_concurrent(CONNECTING_MAX, Device::is_alive).await;
}
