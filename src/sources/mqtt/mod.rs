//! Subscribes to a broker (MQTT 3.1.1 or 5) and acknowledges what is durable.
//!
//! QoS 1, acknowledged by hand in arrival order through the ledger, on a persistent session: what was not acknowledged when
//! a connection ends comes again on the next. Each connection has its own ledger, and what settles after its connection
//! ended is dropped, because its packet id means another message by then; the message comes again as a duplicate, which
//! changes nothing downstream.
//!
//! One task reads, writes what the ledger releases, and passes messages on beside it, so none of the three ever waits for
//! another. Nothing is read while `in_flight_max` messages are unanswered, whatever window the broker believes in: it finds
//! its socket full, while acknowledgements and pings still go out. All that is released together leaves in one write.

mod dialogue;
mod link;
mod probe;
mod pulse;
mod requests;
#[cfg(test)]
mod tests;
mod topics;
mod trouble;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::dialogue::{News, Session};
use self::link::Link;
use self::topics::captured;
use self::trouble::Trouble;
use super::arrival::{Arrival, Arrivals};
use super::backoff::Backoff;
use super::ledger::{Abandoned, Ledger};
use super::passage::pass_on;
use super::state::SourceState;
use super::tls::ClientTls;
use crate::clock::Clock;
use crate::model::Tracked;
use crate::model::envelope::Envelope;
use crate::model::intake::{Closed, Intake};
use crate::model::receipt::Settle;
use crate::secret::Secret;
use crate::subscriptions::Subscriptions;

pub(crate) use self::probe::probe;
pub(crate) use self::topics::Subscription;

/// Kind of the source.
pub(crate) const SOURCE: &str = "mqtt";

/// What to subscribe to, and how.
#[derive(Clone, Debug)]
pub(crate) struct SubscriberSettings {
    /// Name in the origin of its messages.
    pub(crate) name: String,
    /// Name or address of the broker.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// How to encrypt the connection, if at all.
    pub(crate) tls: Option<ClientTls>,
    /// The version to speak.
    pub(crate) protocol: Protocol,
    /// Names the session at the broker: not empty, the same after a restart, and no other client's.
    pub(crate) client_id: String,
    /// How to log in, if the broker asks for it.
    pub(crate) credentials: Option<Credentials>,
    /// What becomes of the session when a connection ends.
    pub(crate) session: SessionUse,
    /// What to subscribe to, at least one.
    pub(crate) topics: Vec<Subscription>,
    /// Quality of service to subscribe with.
    pub(crate) quality: Quality,
    /// Longest silence on the connection, at least 1 s.
    pub(crate) keep_alive: Duration,
    /// Longest wait for the broker to take a connection, at least 1 s.
    pub(crate) connect_timeout: Duration,
    /// How long the broker is to keep the session while nobody is connected (MQTT 5).
    pub(crate) session_expiry: Duration,
    /// What the broker is to publish when a connection ends without a goodbye.
    pub(crate) will: Option<Will>,
    /// Most messages taken and not yet acknowledged.
    pub(crate) in_flight_max: NonZeroUsize,
    /// Largest payload that is looked into, in bytes.
    pub(crate) message_bytes_max: usize,
    /// Whether a payload that is an array is mapped element by element.
    pub(crate) split_arrays: bool,
    /// Largest packet taken, in bytes. An MQTT 3.1.1 broker cannot be told, and offers a larger one again and again.
    pub(crate) packet_max_bytes: NonZeroU32,
    /// First wait before connecting again.
    pub(crate) backoff_min: Duration,
    /// Longest wait before connecting again.
    pub(crate) backoff_max: Duration,
}

/// Version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// MQTT 3.1.1.
    V3_1_1,
    /// MQTT 5.
    V5_0,
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionUse {
    /// The broker keeps it, with what waits in it, for the next connection.
    Resumed,
    /// It starts and ends with the connection.
    Once,
}

/// A message that a broker publishes for a client that is gone.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    /// Where to; no wildcards.
    pub(crate) topic: String,
    /// The message.
    pub(crate) payload: String,
    /// Quality of service, 0 to 2.
    pub(crate) qos: u8,
    /// Whether the broker is to keep it for those who subscribe later.
    pub(crate) retain: bool,
}

/// Quality of service to subscribe with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quality {
    /// QoS 0: what is under way when either side stops is lost.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
}

/// User name and password.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// User name.
    pub(crate) username: String,
    /// Password, sent as it is: in the clear without TLS.
    pub(crate) password: Secret,
}

/// A subscription to be run.
#[derive(Debug)]
pub(crate) struct Subscriber {
    settings: SubscriberSettings,
    subscriptions: Subscriptions,
    clock: Clock,
    state: watch::Sender<SourceState>,
}

/// A subscription that runs.
struct Running {
    settings: SubscriberSettings,
    subscriptions: Subscriptions,
    arrivals: Arrivals,
    intake: Intake,
    stop: CancellationToken,
    state: watch::Sender<SourceState>,
    backoff: Backoff,
    /// The broker's session, if it kept one, has the filters of these settings.
    has_subscribed: bool,
    /// What the session had besides is taken back, which is not kept yet.
    has_unsubscribed: bool,
    /// Since when the connection, or the last one, was subscribed; `None` if it never was.
    connected_at: Option<Instant>,
    /// The connection, or the last one, brought a message to its end.
    has_acknowledged: bool,
    /// A message too large to be read was told of.
    has_told_of_size: bool,
}

/// One connection of it.
struct Connection<'a> {
    running: &'a mut Running,
    link: Link,
    ledger: Arc<Ledger<u16>>,
    /// The same ledger, as receipts want it.
    settle: Arc<dyn Settle>,
    /// To those that wait for the pipeline; `None` once nothing more is taken.
    waiting: Option<mpsc::Sender<Tracked<Envelope>>>,
}

/// How a connection ended.
enum Ending {
    /// All that was taken is answered, or the pipeline has ended.
    Stopped,
    Lost(Trouble),
}

/// What woke the task.
enum Wake {
    Stop,
    Released(Result<Vec<u16>, Abandoned>),
    /// Other messages have made room.
    Room,
    PipelineClosed,
    Read(Result<(), Trouble>),
}

impl SubscriberSettings {
    fn filters(&self) -> BTreeSet<String> {
        self.topics.iter().map(|subscription| subscription.filter.clone()).collect()
    }

    /// Tells of what is allowed and not wise.
    fn warn(&self, connector: &str) {
        if self.quality == Quality::AtMostOnce {
            tracing::warn!(connector, "subscribing with qos 0: messages under way when anything stops are lost");
        }
        let is_loopback = self.host.parse().map_or(self.host == "localhost", |address: IpAddr| address.is_loopback());
        if self.tls.is_none() && !is_loopback {
            tracing::warn!(connector, "no `tls`: readings travel in the clear");
        }
    }
}

impl Subscriber {
    /// A subscription whose session at the broker has these filters so far, and how it stands.
    pub(crate) fn new(
        settings: SubscriberSettings,
        subscriptions: Subscriptions,
        clock: Clock,
    ) -> (Self, watch::Receiver<SourceState>) {
        let (state, states) = watch::channel(SourceState::Connecting);
        (Self { settings, subscriptions, clock, state }, states)
    }

    /// Takes messages until `stop`, then waits until all it took are answered, and disconnects. Returns early when the
    /// pipeline ends.
    pub(crate) async fn run(self, intake: Intake, stop: CancellationToken) {
        self.settings.warn(intake.connector());
        let running = Running {
            backoff: Backoff::new(self.settings.backoff_min, self.settings.backoff_max),
            arrivals: Arrivals::new(
                Arc::clone(intake.connector()),
                &self.settings.name,
                self.clock,
                self.settings.message_bytes_max,
            )
            .splitting(self.settings.split_arrays),
            settings: self.settings,
            subscriptions: self.subscriptions,
            intake,
            stop,
            state: self.state,
            has_subscribed: false,
            has_unsubscribed: false,
            connected_at: None,
            has_acknowledged: false,
            has_told_of_size: false,
        };
        running.run().await;
    }
}

impl Running {
    async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            self.state.send_replace(SourceState::Connecting);
            let trouble = match self.connect_once().await {
                Ending::Stopped => break,
                Ending::Lost(trouble) => trouble,
            };
            if self.was_worth_it() {
                self.backoff.reset();
            }
            let wait = self.backoff.next_wait();
            self.warn(&trouble, wait);
            self.state.send_replace(SourceState::Retrying(trouble.to_string()));
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
        self.state.send_replace(SourceState::Stopped);
    }

    async fn connect_once(&mut self) -> Ending {
        (self.connected_at, self.has_acknowledged) = (None, false);
        let (link, session) = match self.stop.run_until_cancelled(Link::connect(&self.settings)).await {
            None => return Ending::Stopped,
            Some(Ok(connected)) => connected,
            Some(Err(trouble)) => return Ending::Lost(trouble),
        };
        let in_flight_max = self.settings.in_flight_max;
        let ledger = Arc::new(Ledger::new(in_flight_max));
        let (sender, waiting) = mpsc::channel(in_flight_max.get());
        let passing_on = pass_on(waiting, self.intake.clone()).fuse();
        let settle = Arc::clone(&ledger) as Arc<dyn Settle>;
        let mut connection = Connection { running: self, link, ledger, settle, waiting: Some(sender) };
        let ended = connection.run(session, passing_on).await;
        let link = connection.link;
        match ended {
            Ok(()) => link.disconnect().await.map_or_else(Ending::Lost, |()| Ending::Stopped),
            Err(trouble) => {
                link.abort().await;
                Ending::Lost(trouble)
            }
        }
    }

    /// Filters that the session still has and the settings have not. All that it has, or is about to have, is kept before
    /// the broker is told, so that a crash in between forgets none.
    async fn unwanted(&self, session: Session) -> BTreeSet<String> {
        let known = match self.subscriptions.find().await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(connector = self.intake.connector().as_ref(), %error, "former filters are not known");
                return BTreeSet::new();
            }
        };
        let wanted = self.settings.filters();
        let unwanted = match session {
            Session::Kept => &known - &wanted,
            Session::New => BTreeSet::new(),
        };
        if session == Session::New && !known.is_empty() {
            let connector = self.intake.connector().as_ref();
            tracing::warn!(connector, "the broker has forgotten the session, and with it what was published meanwhile");
        }
        let all = &wanted | &unwanted;
        if all != known {
            self.keep(all).await;
        }
        unwanted
    }

    async fn keep(&self, filters: BTreeSet<String>) {
        if let Err(error) = self.subscriptions.keep(filters).await {
            tracing::warn!(connector = self.intake.connector().as_ref(), %error, "the filters are not kept");
        }
    }

    /// Whether the last connection did its work or at least lasted. One that only brought a message that is abandoned again
    /// and again is not made anew in a hurry.
    fn was_worth_it(&self) -> bool {
        let lasted = self.connected_at.is_some_and(|since| since.elapsed() > self.settings.backoff_max);
        self.has_acknowledged || lasted
    }

    fn warn(&mut self, trouble: &Trouble, wait: Duration) {
        let broker = format!("{}:{}", self.settings.host, self.settings.port);
        let connector = self.intake.connector().as_ref();
        let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(connector, broker, reason = %trouble, retry_ms, "not subscribed, will connect again");
        if matches!(trouble, Trouble::TooLarge { .. }) && !self.has_told_of_size {
            self.has_told_of_size = true;
            tracing::error!(connector, broker, reason = %trouble, "no message arrives until this is mended");
        }
    }
}

impl Connection<'_> {
    /// Runs until all is answered after a stop, the pipeline has ended, or the connection is lost.
    async fn run(
        &mut self,
        session: Session,
        passing_on: impl Future<Output = Result<(), Closed>>,
    ) -> Result<(), Trouble> {
        tokio::pin!(passing_on);
        self.subscribe(session).await?;
        loop {
            self.listen()?;
            if std::mem::take(&mut self.running.has_unsubscribed) {
                self.running.keep(self.running.settings.filters()).await;
            }
            if self.waiting.is_none() && self.ledger.is_empty() {
                return Ok(());
            }
            match self.wake(passing_on.as_mut()).await {
                Wake::Stop => self.waiting = None,
                Wake::Room => {}
                Wake::PipelineClosed => return Ok(()),
                Wake::Released(released) => self.acknowledge(released?).await?,
                Wake::Read(read) => read?,
            }
        }
    }

    /// The session of an earlier process may lack filters that were added since, and have others that are not wanted any
    /// more, so the first connection subscribes even if the broker kept it.
    async fn subscribe(&mut self, session: Session) -> Result<(), Trouble> {
        if session == Session::Kept && self.running.has_subscribed {
            self.connected();
            return Ok(());
        }
        let unwanted = self.running.unwanted(session).await;
        if !unwanted.is_empty() {
            self.link.unsubscribe(&unwanted)?;
        }
        self.link.subscribe(&self.running.settings)
    }

    /// Hears what was read as far as there is room. After a stop nothing is heard: what the broker still sends is not
    /// acknowledged, and so comes again.
    fn listen(&mut self) -> Result<(), Trouble> {
        while self.has_room() {
            match self.link.hear()? {
                None => break,
                Some(News::Published { arrival, packet_id }) => self.take(arrival, packet_id),
                Some(News::Subscribed { qos }) => self.subscribed(qos),
                Some(News::Unsubscribed { all }) => self.unsubscribed(all),
                Some(News::Connected(_)) => {}
            }
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.waiting.is_some() && self.ledger.has_room() && self.running.intake.has_room()
    }

    fn take(&mut self, arrival: Arrival, packet_id: Option<u16>) {
        let captured = captured(&self.running.settings.topics, &arrival.topic);
        let mut envelope = self.running.arrivals.envelope(arrival);
        envelope.system_properties.extend(captured);
        let message = self.running.intake.take(envelope, self.ledger.take(packet_id), &self.settle);
        if self.waiting.as_ref().is_none_or(|waiting| waiting.try_send(message).is_err()) {
            tracing::error!("a message was taken beyond the bound, and abandoned");
        }
    }

    async fn wake(&mut self, passing_on: impl Future<Output = Result<(), Closed>>) -> Wake {
        let (is_taking, has_room) = (self.waiting.is_some(), self.has_room());
        let awaits_room = is_taking && !self.running.intake.has_room();
        let link = &mut self.link;
        let reading = async { if has_room { link.read().await } else { Err(link.hold().await) } };
        tokio::select! {
            biased;
            () = self.running.stop.cancelled(), if is_taking => Wake::Stop,
            released = self.ledger.released() => Wake::Released(released),
            Err(Closed) = passing_on => Wake::PipelineClosed,
            () = self.running.intake.room(), if awaits_room => Wake::Room,
            read = reading => Wake::Read(read),
        }
    }

    /// Acknowledges, together with whatever is released by the time the other tasks have had a turn.
    async fn acknowledge(&mut self, mut packet_ids: Vec<u16>) -> Result<(), Trouble> {
        tokio::task::yield_now().await;
        if let Ok(Some(more)) = self.ledger.release() {
            packet_ids.extend(more);
        }
        self.running.has_acknowledged |= !packet_ids.is_empty();
        self.link.acknowledge(packet_ids)
    }

    fn subscribed(&mut self, qos: u8) {
        self.running.has_subscribed = true;
        if qos < self.running.settings.quality as u8 {
            let connector = self.running.intake.connector().as_ref();
            tracing::warn!(connector, qos, "the broker grants a lower quality of service than asked for");
        }
        self.connected();
    }

    fn unsubscribed(&mut self, all: bool) {
        let connector = self.running.intake.connector().as_ref();
        if all {
            self.running.has_unsubscribed = true;
            tracing::info!(connector, "unsubscribed from what is not in `topics` any more");
        } else {
            tracing::warn!(
                connector,
                "the broker does not take back what is not in `topics` any more; asked again later"
            );
        }
    }

    fn connected(&mut self) {
        self.running.connected_at = Some(Instant::now());
        self.running.state.send_replace(SourceState::Connected);
        tracing::info!(connector = self.running.intake.connector().as_ref(), "subscribed");
    }
}
