//! Who is let in, what each may publish, and how fast.

use std::num::NonZeroU32;
use std::path::Path;

use tempfile::TempDir;

use super::{ADMITTED_V3_1_1, ADMITTED_V5_0, Bench, CLEAN, connect_v3_1_1, connect_v5_0, publish, settings};
use crate::model::receipt::Outcome;
use crate::sources::mqtt_listener::ListenerSettings;
use crate::sources::mqtt_listener::access::{AccessSettings, PasswordHash};

const NOT_AUTHORIZED_V5_0: [u8; 3] = [0xE0, 1, 0x87];

fn write_users(file: &Path, users: &[(&str, &str)]) {
    let line = |(user, password): &(&str, &str)| {
        format!("{user}:{}\n", PasswordHash::of(password.as_bytes(), NonZeroU32::MIN).unwrap())
    };
    std::fs::write(file, users.iter().map(line).collect::<String>()).unwrap();
}

/// A password file with the users `a` and `b`, whose passwords are `1` and `2`.
fn accounts() -> (TempDir, AccessSettings) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("devices.passwd");
    write_users(&file, &[("a", "1"), ("b", "2")]);
    (directory, AccessSettings { password_file: Some(file), ..AccessSettings::default() })
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length, text.as_bytes()].concat()
}

/// CONNECT with client id `m` and a clean start; `will` is a topic.
fn connect(version: u8, will: Option<&str>, username: Option<&str>, password: Option<&str>) -> Vec<u8> {
    let flag = |given: bool, flag: u8| if given { flag } else { 0 };
    let flags = 2 | flag(will.is_some(), 4) | flag(username.is_some(), 0x80) | flag(password.is_some(), 0x40);
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    let mut body = [&text("MQTT"), [version, flags, 0, 0].as_slice(), properties, &text("m")].concat();
    if let Some(topic) = will {
        body.extend([properties, &text(topic), &text("x")].concat());
    }
    [username, password].into_iter().flatten().for_each(|part| body.extend(text(part)));
    [&[0x10, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}

/// PUBLISH with payload `1`.
fn publish_to(version: u8, topic: &str, qos: u8, packet_id: u8) -> Vec<u8> {
    let id: &[u8] = if qos > 0 { &[0, packet_id] } else { &[] };
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    let body = [&text(topic), id, properties, b"1"].concat();
    [&[0x30 | qos << 1, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}

#[tokio::test]
async fn who_does_not_show_who_it_is_is_told_so_in_the_words_of_its_version() {
    let (_directory, access) = accounts();
    let bench = Bench::with_access(&access).await;
    let refusals = [
        (Some("a"), Some("2"), [0x20, 2, 0, 4], [0x20, 3, 0, 0x86, 0]),
        (Some("c"), Some("1"), [0x20, 2, 0, 4], [0x20, 3, 0, 0x86, 0]),
        (Some("a"), None, [0x20, 2, 0, 4], [0x20, 3, 0, 0x86, 0]),
        (None, None, [0x20, 2, 0, 5], [0x20, 3, 0, 0x87, 0]),
    ];
    let attempts = refusals.map(|(username, password, in_v3_1_1, in_v5_0)| {
        let bench = &bench;
        async move {
            let mut raw = bench.connect(&connect(4, None, username, password)).await;
            assert_eq!(raw.rest().await, in_v3_1_1, "{username:?} {password:?}");
            let mut raw = bench.connect(&connect(5, None, username, password)).await;
            assert_eq!(raw.rest().await, in_v5_0, "{username:?} {password:?}");
        }
    });
    futures_util::future::join_all(attempts).await;
    bench.connect(&connect(4, None, Some("a"), Some("1"))).await.hears(&ADMITTED_V3_1_1).await;
    bench.connect(&connect(5, None, Some("a"), Some("1"))).await.hears(&ADMITTED_V5_0).await;
}

#[tokio::test]
async fn a_message_says_who_its_device_has_shown_to_be() {
    let (_directory, access) = accounts();
    let mut bench = Bench::with_access(&access).await;
    let mut raw = bench.connect(&connect(4, None, Some("a"), Some("1"))).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    raw.say(&publish_to(4, "devices/a/pulse", 1, 1)).await;
    let message = bench.message().await;
    let properties = &message.value.system_properties;
    assert_eq!((&properties["username"], &properties["clientId"]), (&"a".into(), &"m".into()));

    let mut bench = Bench::start(settings()).await;
    let mut raw = bench.connect(&connect(4, None, Some("a"), Some("1"))).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    raw.say(&publish(1, 1)).await;
    let message = bench.message().await;
    // What nobody has looked at proves nothing.
    assert_eq!(message.value.system_properties.get("username"), None);
    assert_eq!(message.value.system_properties["clientId"], "m");
}

#[tokio::test]
async fn in_mqtt_5_a_forbidden_message_is_refused_in_its_turn_and_others_go_on() {
    let (_directory, access) = accounts();
    let mut bench = Bench::with_access(&access).await;
    let mut raw = bench.connect(&connect(5, None, Some("a"), Some("1"))).await;
    raw.hears(&ADMITTED_V5_0).await;
    let own = |packet_id| publish_to(5, "devices/a/pulse", 1, packet_id);
    raw.say(&[own(1), publish_to(5, "devices/b/pulse", 1, 2), own(3)].concat()).await;
    let (first, third) = (bench.message().await, bench.message().await);
    third.receipt.complete(Outcome::Stored);
    raw.is_heard().await;
    first.receipt.complete(Outcome::Stored);
    raw.hears(&[0x40, 2, 0, 1, 0x40, 3, 0, 2, 0x87, 0x40, 2, 0, 3]).await;

    raw.say(&publish_to(5, "devices/b/pulse", 0, 0)).await;
    assert_eq!(raw.rest().await, NOT_AUTHORIZED_V5_0);
    assert!(bench.messages.try_recv().is_err());
}

#[tokio::test]
async fn in_mqtt_3_1_1_a_forbidden_message_ends_the_connection() {
    let (_directory, access) = accounts();
    let mut bench = Bench::with_access(&access).await;
    for qos in 0..3 {
        let mut raw = bench.connect(&connect(4, None, Some("a"), Some("1"))).await;
        raw.hears(&ADMITTED_V3_1_1).await;
        raw.say(&publish_to(4, "devices/b/pulse", qos, 1)).await;
        assert!(raw.rest().await.is_empty());
    }
    assert!(bench.messages.try_recv().is_err());
}

#[tokio::test]
async fn a_will_is_left_only_where_its_device_may_publish() {
    let (_directory, access) = accounts();
    let mut bench = Bench::with_access(&access).await;
    let mut raw = bench.connect(&connect(5, Some("devices/b/gone"), Some("a"), Some("1"))).await;
    assert_eq!(raw.rest().await, [0x20, 3, 0, 0x87, 0]);
    let mut raw = bench.connect(&connect(5, Some("devices/a/gone"), Some("a"), Some("1"))).await;
    raw.hears(&ADMITTED_V5_0).await;
    drop(raw);
    let will = bench.message().await;
    assert_eq!(will.value.system_properties["topic"], "devices/a/gone");
    assert_eq!(will.value.system_properties["username"], "a");
}

#[tokio::test]
async fn nameless_devices_publish_what_is_allowed_to_them() {
    let (directory, access) = accounts();
    let acl_file = directory.path().join("devices.acl");
    std::fs::write(&acl_file, "topic write public/#\npattern write own/%c/%u\n").unwrap();
    let topics = Some(vec!["open/+".to_owned()]);
    let access = AccessSettings { anonymous: true, acl_file: Some(acl_file), topics, ..access };
    let mut bench = Bench::with_access(&access).await;
    let mut raw = bench.connect(&connect_v5_0()).await;
    raw.hears(&ADMITTED_V5_0).await;
    for topic in ["public/a", "open/a"] {
        raw.say(&publish_to(5, topic, 0, 0)).await;
        assert_eq!(bench.message().await.value.system_properties["topic"], topic);
    }
    raw.say(&publish_to(5, "devices/a", 1, 7)).await;
    raw.hears(&[0x40, 3, 0, 7, 0x87]).await;

    let mut raw = bench.connect(&connect(5, None, Some("a"), Some("1"))).await;
    raw.hears(&ADMITTED_V5_0).await;
    for topic in ["own/m/a", "open/a"] {
        raw.say(&publish_to(5, topic, 0, 0)).await;
        assert_eq!(bench.message().await.value.system_properties["topic"], topic);
    }
    for topic in ["public/a", "own/m/b", "devices/a/pulse"] {
        raw.say(&publish_to(5, topic, 1, 7)).await;
        raw.hears(&[0x40, 3, 0, 7, 0x87]).await;
    }
}

#[tokio::test]
async fn the_same_client_id_of_another_user_is_another_client() {
    let (_directory, access) = accounts();
    let bench = Bench::with_access(&access).await;
    let mut former = bench.connect(&connect(5, None, Some("a"), Some("1"))).await;
    former.hears(&ADMITTED_V5_0).await;
    let mut latter = bench.connect(&connect(5, None, Some("b"), Some("2"))).await;
    latter.hears(&ADMITTED_V5_0).await;
    former.is_heard().await;
    latter.is_heard().await;
}

#[tokio::test]
async fn a_device_whose_account_is_gone_is_disconnected() {
    let (_directory, access) = accounts();
    let bench = Bench::with_access(&access).await;
    let [mut gone, mut stays] = [
        bench.connect(&connect(5, None, Some("a"), Some("1"))).await,
        bench.connect(&connect(5, None, Some("b"), Some("2"))).await,
    ];
    gone.hears(&ADMITTED_V5_0).await;
    stays.hears(&ADMITTED_V5_0).await;
    let file = access.password_file.as_ref().unwrap();
    let kept = std::fs::read_to_string(file).unwrap().lines().filter(|line| line.starts_with("b:")).collect::<String>();
    std::fs::write(file, kept).unwrap();
    assert_eq!(gone.rest().await, NOT_AUTHORIZED_V5_0);
    stays.is_heard().await;
}

#[tokio::test]
async fn above_its_rate_a_device_is_not_read_and_loses_nothing() {
    let rate = NonZeroU32::new(3);
    let mut bench = Bench::start(ListenerSettings { messages_per_second_max: rate, ..settings() }).await;
    let mut raw = bench.connect(&connect_v3_1_1(CLEAN)).await;
    raw.hears(&ADMITTED_V3_1_1).await;
    let start = tokio::time::Instant::now();
    raw.say(&(1..=5).flat_map(|packet_id| publish(1, packet_id)).collect::<Vec<u8>>()).await;
    for _ in 0..5 {
        bench.message().await.receipt.complete(Outcome::Stored);
    }
    // Three at once, and two that wait for their thirds of a second.
    assert!(start.elapsed().as_millis() >= 660);
    for packet_id in 1..=5 {
        raw.hears(&[0x40, 2, 0, packet_id]).await;
    }
}
