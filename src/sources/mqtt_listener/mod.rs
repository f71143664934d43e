//! Devices connect straight to vitalwire: an MQTT listener that is no broker.
//!
//! MQTT 3.1.1 and 5 on one port. It takes publications and answers PUBACK (or PUBREC) only when all that came of a message
//! is durable, which no broker in between can promise: the receipt is the acknowledgement. What it does otherwise:
//!
//! - QoS 0, 1 and, for MQTT 3.1.1, 2. MQTT 5 clients are told Maximum QoS 1, and QoS 2 from them ends the connection with
//!   0x9B; MQTT 3.1.1 has no such means, so there the handshake is done.
//! - Subscriptions are refused for each filter (0x80, or 0x87 in MQTT 5), since nothing is ever published to clients.
//! - Wills are messages of the device: published into the pipeline when its connection ends unawares, after their delay.
//! - Retain is a property of the message, and nothing is retained. Topic aliases are not offered. User names and
//!   passwords are not looked at: there are no accounts, so `app` keeps the listener on loopback unless told otherwise.
//! - An abandoned message ends its connection, so that the device sends it again.
//!
//! One task and one ledger for each connection. Deliberately absent: the retransmission queues of a broker, as nothing is
//! sent that would have to be acknowledged.

mod connection;
mod dialogue;
mod greeting;
mod replies;
mod sessions;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::sessions::Sessions;
use super::arrival::Arrivals;
use crate::clock::Clock;
use crate::model::intake::Intake;

/// Name of the source in the origin of its messages.
pub(crate) const SOURCE: &str = "mqtt-listener";

/// Wait before accepting again when the system refuses (out of file descriptors, mostly).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// How to listen.
#[derive(Clone, Debug)]
pub(crate) struct ListenerSettings {
    /// Address and port; port 0 takes any that is free.
    pub(crate) address: SocketAddr,
    /// Most clients at a time; one more is closed at once.
    pub(crate) connections_max: usize,
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
    /// Longest wait for CONNECT.
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
    clock: Clock,
}

/// What the connections have in common.
struct Shared {
    settings: ListenerSettings,
    sessions: Arc<Sessions>,
    arrivals: Arrivals,
    intake: Intake,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Wills that may wait for their delay; the others are published at once.
    wills: Semaphore,
}

impl Listener {
    /// Binds the port.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) async fn bind(settings: ListenerSettings, clock: Clock) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address: settings.address, source };
        let socket = TcpListener::bind(settings.address).await.map_err(failed)?;
        Self::on(Arc::new(socket), settings, clock)
    }

    /// Takes a port that is bound already.
    ///
    /// # Errors
    /// When the system no longer knows its address.
    pub(crate) fn on(socket: Arc<TcpListener>, settings: ListenerSettings, clock: Clock) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address: settings.address, source };
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, settings, clock })
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
        let vacancies = Arc::new(Semaphore::new(self.settings.connections_max));
        let shared = Arc::new(Shared {
            sessions: Arc::new(Sessions::new(self.settings.sessions_max)),
            arrivals: Arrivals::new(
                Arc::clone(intake.connector()),
                SOURCE,
                self.clock,
                self.settings.message_bytes_max,
            )
            .splitting(self.settings.split_arrays),
            wills: Semaphore::new(self.settings.sessions_max),
            settings: self.settings,
            intake,
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        while let Some(stream) = stop.run_until_cancelled(accept(&self.socket)).await {
            let Ok(place) = Arc::clone(&vacancies).try_acquire_owned() else {
                tracing::warn!(connector = shared.intake.connector().as_ref(), "device refused: too many connections");
                continue;
            };
            let connection = connection::serve(Arc::clone(&shared), stream);
            tasks.spawn(async move {
                connection.await;
                drop(place);
            });
        }
    }
}

/// The next client.
async fn accept(socket: &TcpListener) -> TcpStream {
    loop {
        match socket.accept().await {
            Ok((stream, _peer)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a device connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}
