//! The subscription against a broker of bytes, and a pipeline that is a channel.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Protocol, Quality, SourceState, Subscriber, SubscriberSettings};
use crate::clock::Clock;
use crate::model::Tracked;
use crate::model::envelope::Envelope;
use crate::model::intake::{Intake, Witness};
use crate::model::receipt::{Outcome, Receipt, Settle};

const PATIENCE: Duration = Duration::from_secs(10);

struct Claims;

impl Witness for Claims {
    fn receipt(self: Arc<Self>, position: u64, ledger: &Arc<dyn Settle>) -> Receipt {
        Receipt::new(position, Arc::clone(ledger))
    }
}

/// A subscription that runs, the port its broker is to listen on, and the pipeline it feeds.
struct Bench {
    broker: TcpListener,
    messages: mpsc::Receiver<Tracked<Envelope>>,
    states: watch::Receiver<SourceState>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Bench {
    async fn start(protocol: Protocol, in_flight_max: usize) -> Self {
        let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = SubscriberSettings {
            host: "127.0.0.1".to_owned(),
            port: broker.local_addr().unwrap().port(),
            protocol,
            client_id: "v".to_owned(),
            credentials: None,
            topics: vec!["#".to_owned()],
            quality: Quality::AtLeastOnce,
            keep_alive: Duration::from_secs(60),
            connect_timeout: PATIENCE,
            session_expiry: Duration::from_secs(3_600),
            in_flight_max: NonZeroUsize::new(in_flight_max).unwrap(),
            packet_max_bytes: NonZeroU32::new(1_000_000).unwrap(),
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(1),
        };
        let (outbox, messages) = mpsc::channel(1_000);
        let intake = Intake::new(Arc::from("ward"), Arc::new(Claims), outbox);
        let (subscriber, states) = Subscriber::new(settings, Clock::default());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(subscriber.run(intake, stop.clone()));
        Self { broker, messages, states, tasks, stop }
    }

    /// The next connection of the subscription, which asks for its session and is granted it.
    async fn connection(&self, session_present: u8) -> Broker {
        let (stream, _) = tokio::time::timeout(PATIENCE, self.broker.accept()).await.unwrap().unwrap();
        let mut broker = Broker(stream);
        broker.hears(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 60, 0, 1, b'v']).await;
        broker.says(&[0x20, 2, session_present, 0]).await;
        broker
    }

    async fn message(&mut self) -> Tracked<Envelope> {
        tokio::time::timeout(PATIENCE, self.messages.recv()).await.unwrap().unwrap()
    }

    async fn state(&mut self, expected: impl Fn(&SourceState) -> bool) {
        tokio::time::timeout(PATIENCE, self.states.wait_for(expected)).await.unwrap().unwrap();
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
async fn acknowledgements_of_a_lost_connection_are_not_sent_on_the_next() {
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
async fn an_abandoned_message_makes_the_connection_anew() {
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
    let mut bench = Bench::start(Protocol::V3_1_1, 10).await;
    let (stream, _) = bench.broker.accept().await.unwrap();
    Broker(stream).says(&[0x20, 2, 0, 5]).await;
    bench.state(|state| matches!(state, SourceState::Retrying(reason) if reason.contains("NotAuthorized"))).await;
    let mut broker = bench.connection(0).await;
    broker.hears(&[0x82, 6, 0, 1, 0, 1, b'#', 1]).await;
    broker.says(&[0x90, 3, 0, 1, 0x80]).await;
    bench.state(|state| matches!(state, SourceState::Retrying(reason) if reason.contains("subscription"))).await;
    bench.stop.cancel();
    bench.stopped().await;
}
