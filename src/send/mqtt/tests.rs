//! Sending to the listener, which is a broker that can be told when to break a connection.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::model::Tracked;
use crate::model::envelope::Envelope;
use crate::model::intake::Intake;
use crate::model::receipt::Outcome;
use crate::model::room::Room;
use crate::model::samples::Unwitnessed;
use crate::send::{Repeat, SendError, SendOptions, send};
use crate::sources::mqtt_listener::Listener;
use crate::sources::mqtt_listener::access::{Access, AccessSettings};
use crate::sources::mqtt_listener::tests::settings;

async fn listener(tasks: &TaskTracker) -> (u16, mpsc::Receiver<Tracked<Envelope>>) {
    let access = Access::open(&AccessSettings::default()).unwrap();
    let listener = Listener::bind(settings(), access, Clock::default()).await.unwrap();
    let port = listener.address().port();
    let (outbox, messages) = mpsc::channel(10);
    let intake = Intake::new(Arc::from("ward"), Arc::new(Unwitnessed), Room::new(usize::MAX), outbox);
    tasks.spawn(listener.run(intake, tasks.clone(), CancellationToken::new()));
    (port, messages)
}

fn options(directory: &tempfile::TempDir, count: u32, to: String) -> SendOptions {
    let file = directory.path().join("readings.ndjson");
    let lines: String = (0..count).map(|number| format!("{{\"n\":{number}}}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    SendOptions { file, to, rate: None, repeat: Repeat::Once, stop: CancellationToken::new() }
}

/// Sends 250 messages, of which the listener abandons one of each hundred it hears.
async fn check_all_arrive(version: &str) {
    let (directory, tasks) = (tempfile::tempdir().unwrap(), TaskTracker::new());
    let (port, mut messages) = listener(&tasks).await;
    let options = options(&directory, 250, format!("mqtt://127.0.0.1:{port}/ward/7?version={version}"));
    let consuming = async {
        let (mut heard, mut kept) = (0, BTreeSet::new());
        while let Some(message) = messages.recv().await {
            heard += 1;
            if heard % 100 != 0 {
                kept.insert(message.value.body);
                message.receipt.complete(Outcome::Stored);
            }
            if kept.len() == 250 {
                break;
            }
        }
        while let Ok(message) = messages.try_recv() {
            message.receipt.complete(Outcome::Unchanged);
        }
        while let Some(message) = messages.recv().await {
            message.receipt.complete(Outcome::Unchanged);
        }
    };
    let report = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::select! {
            report = send(options) => report.unwrap(),
            () = consuming => panic!("the listener ended"),
        }
    });
    assert_eq!(report.await.unwrap().acknowledged, 250);
}

#[tokio::test]
async fn all_messages_arrive_though_connections_break() {
    check_all_arrive("3.1.1").await;
    check_all_arrive("5").await;
}

#[tokio::test]
async fn an_endless_sending_ends_when_stopped() {
    let (directory, tasks) = (tempfile::tempdir().unwrap(), TaskTracker::new());
    let (port, mut messages) = listener(&tasks).await;
    let options = SendOptions {
        repeat: Repeat::Forever,
        rate: NonZeroU32::new(10_000),
        ..options(&directory, 3, format!("mqtt://127.0.0.1:{port}/ward/7"))
    };
    let stop = options.stop.clone();
    let consuming = async {
        for heard in 0.. {
            messages.recv().await.unwrap().receipt.complete(Outcome::Stored);
            if heard == 50 {
                stop.cancel();
            }
        }
    };
    tokio::select! {
        report = send(options) => assert!(report.unwrap().acknowledged > 50),
        () = consuming => {}
    }
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let error = send(options(&directory, 1, "mqtt://ann:secret@127.0.0.1:1/t".to_owned())).await.unwrap_err();
    assert!(matches!(error, SendError::Unreachable { .. }));
    assert!(error.to_string().starts_with("cannot reach the broker at 127.0.0.1:1: "), "{error}");
}
