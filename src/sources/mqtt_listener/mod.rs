//! Devices connect straight to vitalwire: an MQTT listener that is no broker.
//!
//! MQTT 3.1.1 and 5 on one port. It takes publications and answers PUBACK (or PUBREC) only when all that came of a message
//! is durable, which no broker in between can promise: the receipt is the acknowledgement. What it does otherwise:
//!
//! - QoS 0, 1 and, for MQTT 3.1.1, 2. MQTT 5 clients are told Maximum QoS 1, and QoS 2 from them ends the connection with
//!   0x9B; MQTT 3.1.1 has no such means, so there the handshake is done.
//! - Subscriptions are refused for each filter (0x80, or 0x87 in MQTT 5), since nothing is ever published to clients.
//! - Wills are messages of the device: published into the pipeline when its connection ends unawares, after their delay.
//! - Retain is a property of the message, and nothing is retained. Topic aliases are not offered.
//! - Devices show who they are, see [`access`], and publish to the topics they may. What one may not publish is answered
//!   with 0x87 in MQTT 5. MQTT 3.1.1 has no such answer, and an acknowledgement would hide the loss of a reading, so the
//!   connection ends; it ends as well for QoS 0, which has no answer either.
//! - An abandoned message ends its connection, so that the device sends it again.
//!
//! A listener speaks MQTT over TCP, over TLS, or over WebSocket on either.
//!
//! One task and one ledger for each connection. Deliberately absent: the retransmission queues of a broker, as nothing is
//! sent that would have to be acknowledged.

pub(crate) mod access;
mod connection;
mod dialogue;
mod door;
mod entrance;
mod greeting;
mod pace;
mod replies;
mod sessions;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::access::Access;
use self::door::Door;
use self::sessions::Sessions;
use self::tls::ServerTls;
use super::arrival::Arrivals;
use crate::clock::Clock;
use crate::model::intake::Intake;
use crate::sources::websocket::WebSocketSettings;
use crate::telemetry::Seldom;
use crate::telemetry::meters::MqttListenerMeters;

/// Name of the source in the origin of its messages.
pub(crate) const SOURCE: &str = "mqtt-listener";

/// How often it is looked whether files of accounts and permissions have changed.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// How to listen.
#[derive(Clone, Debug)]
pub(crate) struct ListenerSettings {
    /// Address and port; port 0 takes any that is free.
    pub(crate) address: SocketAddr,
    /// How connections are encrypted; `None` when they are not.
    pub(crate) tls: Option<ServerTls>,
    /// Whether, and with whom, WebSocket is spoken.
    pub(crate) websocket: Option<WebSocketSettings>,
    /// Most clients at a time; one more is closed at once.
    pub(crate) connections_max: usize,
    /// Most connections taken in a second; those behind them wait.
    pub(crate) connections_per_second_max: NonZeroU32,
    /// Most messages of one client in a second, above which its connection is not read; `None` for any number.
    pub(crate) messages_per_second_max: Option<NonZeroU32>,
    /// Most sessions remembered for clients that are away, and most wills that wait for their delay.
    pub(crate) sessions_max: usize,
    /// Most messages of one client that wait for their acknowledgement; MQTT 5 clients are told as Receive Maximum.
    pub(crate) in_flight_max: NonZeroU16,
    /// Largest payload that is looked into, in bytes.
    pub(crate) message_bytes_max: usize,
    /// Whether a payload that is an array is mapped element by element.
    pub(crate) split_arrays: bool,
    /// Largest packet a client may send, in bytes.
    pub(crate) packet_max_bytes: NonZeroU32,
    /// Longest wait for CONNECT, and for what has to come before it.
    pub(crate) connect_timeout: Duration,
    /// Longest time a session outlives its connection, in memory.
    pub(crate) session_expiry_max: Duration,
}

/// The port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for MQTT on {address}")]
pub(crate) struct ListenError {
    /// The address asked for.
    pub(crate) address: SocketAddr,
    /// What the operating system said; `AddrInUse` is mended by another port.
    pub(crate) source: io::Error,
}

/// A port that is bound, but not served yet.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Arc<TcpListener>,
    address: SocketAddr,
    settings: ListenerSettings,
    access: Access,
    clock: Clock,
}

/// What the connections have in common.
struct Shared {
    settings: ListenerSettings,
    access: Access,
    sessions: Arc<Sessions>,
    arrivals: Arrivals,
    intake: Intake,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Wills that may wait for their delay; the others are published at once.
    wills: Semaphore,
    meters: MqttListenerMeters,
    refusals: Refusals,
}

/// What is told of refusals, seldom.
#[derive(Debug, Default)]
struct Refusals {
    connections: Seldom,
    publications: Seldom,
}

impl Listener {
    /// Binds the port.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) async fn bind(settings: ListenerSettings, access: Access, clock: Clock) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address: settings.address, source };
        let socket = TcpListener::bind(settings.address).await.map_err(failed)?;
        Self::on(Arc::new(socket), settings, access, clock)
    }

    /// Takes a port that is bound already.
    ///
    /// # Errors
    /// When the system no longer knows its address.
    pub(crate) fn on(
        socket: Arc<TcpListener>,
        settings: ListenerSettings,
        access: Access,
        clock: Clock,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address: settings.address, source };
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, settings, access, clock })
    }

    /// The address that is bound, with the port that was free if 0 was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port, for whoever is to listen on it next. It is closed when all that have it are gone.
    pub(crate) fn socket(&self) -> &Arc<TcpListener> {
        &self.socket
    }

    /// Serves clients until `stop`; then accepts none, and returns. Their connections run on `tasks` until all they sent
    /// is answered.
    pub(crate) async fn run(self, intake: Intake, tasks: TaskTracker, stop: CancellationToken) {
        let mut door = Door::new(self.socket, self.settings.connections_per_second_max);
        let vacancies = Arc::new(Semaphore::new(self.settings.connections_max));
        let connector = Arc::clone(intake.connector());
        let shared = Arc::new(Shared {
            sessions: Arc::new(Sessions::new(self.settings.sessions_max)),
            arrivals: Arrivals::new(Arc::clone(&connector), SOURCE, self.clock, self.settings.message_bytes_max)
                .splitting(self.settings.split_arrays),
            wills: Semaphore::new(self.settings.sessions_max),
            settings: self.settings,
            access: self.access,
            meters: MqttListenerMeters::new(&connector),
            refusals: Refusals::default(),
            intake,
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        tasks.spawn(look_after_files(Arc::clone(&shared)));
        while let Some((stream, address)) = stop.run_until_cancelled(door.next(&connector)).await {
            match Arc::clone(&vacancies).try_acquire_owned() {
                Ok(place) => drop(tasks.spawn(occupy(place, Arc::clone(&shared), stream, address))),
                Err(_none_left) => shared.refuse("too_many"),
            }
        }
    }
}

/// Serves a client in a place of its own.
async fn occupy(place: OwnedSemaphorePermit, shared: Arc<Shared>, stream: TcpStream, address: IpAddr) {
    shared.meters.opened();
    connection::serve(Arc::clone(&shared), stream, address).await;
    shared.meters.closed();
    drop(place);
}

/// Reads files of accounts and permissions anew when they change, until the listener stops.
async fn look_after_files(shared: Arc<Shared>) {
    let mut ticks = interval(LOOK_PERIOD);
    while shared.stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let looking = Arc::clone(&shared);
        let looked = tokio::task::spawn_blocking(move || looking.access.look(looking.intake.connector())).await;
        if looked.is_err() {
            return;
        }
    }
}

impl Shared {
    /// Counts a client that is not let in, and tells of it now and then.
    fn refuse(&self, reason: &'static str) {
        self.meters.refused(reason);
        if self.refusals.connections.is_due() {
            let connector = self.intake.connector().as_ref();
            tracing::warn!(connector, reason, "devices not let in; mqtt_connections_refused_total counts them");
        }
    }

    /// Counts a message that its client may not publish, and tells of it now and then.
    fn refuse_publication(&self) {
        self.meters.publication_refused();
        if self.refusals.publications.is_due() {
            let connector = self.intake.connector().as_ref();
            tracing::warn!(
                connector,
                "messages refused: `topics` and `acl_file` do not let their devices publish to their topics; \
                 mqtt_publications_refused_total counts them"
            );
        }
    }
}
