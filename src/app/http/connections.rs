//! Connections: taken up to a bound, served over HTTP/1 and HTTP/2, and closed when nothing comes of them.
//!
//! Clients cannot be trusted to close connections, to send what they have begun or to take what they asked for. So a
//! connection without a request under way is closed after a while, whatever it waits for: a first byte, the rest of the
//! headers, the next request, or that an answer is taken. How long a request itself may take is up to the services.
//!
//! Over the bound, a few more connections are taken only to say so; those behind them wait at the door of the system.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt as _};

use super::activity::{Activity, Watched};
use super::upload::Upload;
use crate::fhir::api::error::ApiError;
use crate::telemetry::Seldom;
use crate::telemetry::meters::HttpMeters;

/// Connections that are told at a time that there are too many.
const REFUSALS_MAX: usize = 64;
/// How long such a connection may take to ask for something.
const REFUSAL_IDLE_MAX: Duration = Duration::from_secs(5);
/// How long a connection that is to end may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Wait before accepting again when the system refuses (out of file descriptors, mostly).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Requests under way on one connection of HTTP/2.
const STREAMS_MAX: u32 = 100;

/// Bounds of the connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionSettings {
    /// Most connections that are served at a time.
    pub(super) connections_max: usize,
    /// Longest time that one may be open without a request under way.
    pub(super) idle_max: Duration,
    /// Largest head of a request over HTTP/2, in bytes; above the bounds of the services, which refuse in their own words.
    pub(super) head_bytes_max: u32,
    /// How long the requests under way at the end may take.
    pub(super) grace: Duration,
}

/// Serves `service` until `stop`, then finishes the requests under way. Connections over the bound get the answers of
/// `full`.
pub(super) async fn serve<S>(
    socket: TcpListener,
    service: S,
    full: S,
    settings: ConnectionSettings,
    stop: CancellationToken,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let tasks = TaskTracker::new();
    let ends = Ends { stop, cut: CancellationToken::new() };
    let mut places = Places::new(settings.connections_max);
    let server = server(settings, &tasks, &places.meters);
    let trouble = Seldom::default();
    while let Some(accepted) = ends.stop.run_until_cancelled(places.next(&socket)).await {
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_the_client(&error) => continue,
            Err(error) => {
                if trouble.is_due() {
                    tracing::warn!(%error, "cannot accept HTTP connections");
                }
                sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let (service, idle_max) = match place.kind {
            Kind::Served => (service.clone(), settings.idle_max),
            Kind::Refused => (full.clone(), REFUSAL_IDLE_MAX.min(settings.idle_max)),
        };
        let connection = connection(server.clone(), stream, service, idle_max, ends.clone(), place);
        tasks.spawn(places.meters.processor().metered(connection));
    }
    // A client that comes now is refused by the system and can go elsewhere.
    drop(socket);
    tasks.close();
    if timeout(settings.grace, tasks.wait()).await.is_err() {
        tracing::warn!("HTTP requests under way were not answered within the grace period");
        ends.cut.cancel();
    }
}

fn server(settings: ConnectionSettings, tasks: &TaskTracker, meters: &HttpMeters) -> Builder<Tracked> {
    let mut server = Builder::new(Tracked { tasks: tasks.clone(), meters: meters.clone() });
    server.http2().max_concurrent_streams(STREAMS_MAX).max_header_list_size(settings.head_bytes_max);
    server
}

/// Serves one connection until it ends, has been idle for too long, or all end.
async fn connection<S>(
    server: Builder<Tracked>,
    stream: TcpStream,
    service: S,
    idle_max: Duration,
    ends: Ends,
    _place: Place,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // Answers are written whole, so waiting for more to send along only delays them.
    drop(stream.set_nodelay(true));
    let activity = Activity::new();
    let (io, requests) = (TokioIo::new(Watched::new(stream, &activity)), Arc::clone(&activity));
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let busy = requests.begin();
        let (request, rest) = Upload::watch(request);
        let answer = service.clone().oneshot(request.map(Body::new));
        async move {
            let _busy = busy;
            // A panic ends its request and not the others of its connection.
            let answer = AssertUnwindSafe(answer).catch_unwind().await;
            let panicked = |_panic| Ok(ApiError::internal("a request handler panicked").into_response());
            answer.unwrap_or_else(panicked).map(|answer| rest.announce(answer))
        }
    });
    let mut connection = pin!(server.serve_connection(io, answer));
    let (mut idle_max, mut is_ending) = (idle_max, false);
    loop {
        let rest = activity.idle().map_or(idle_max, |idle| idle_max.saturating_sub(idle));
        tokio::select! {
            // What has arrived goes before the clock.
            biased;
            // How a connection broke is of no interest to anybody here.
            _ended = connection.as_mut() => return,
            () = ends.cut.cancelled() => return,
            () = ends.stop.cancelled(), if !is_ending => {}
            () = sleep(rest) => {
                if activity.idle().is_none_or(|idle| idle < idle_max) {
                    continue;
                }
                if is_ending {
                    return;
                }
            }
        }
        (idle_max, is_ending) = (GOODBYE_MAX, true);
        activity.touch();
        connection.as_mut().graceful_shutdown();
    }
}

/// When connections are to end: after the requests under way, or at once.
#[derive(Clone)]
struct Ends {
    stop: CancellationToken,
    cut: CancellationToken,
}

/// Places for connections.
struct Places {
    served: Arc<Semaphore>,
    refused: Arc<Semaphore>,
    connections_max: usize,
    meters: HttpMeters,
    shortage: Seldom,
}

/// The place of a connection, until it ends.
struct Place {
    kind: Kind,
    meters: HttpMeters,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy)]
enum Kind {
    Served,
    /// Only to hear that there are too many.
    Refused,
}

impl Places {
    fn new(connections_max: usize) -> Self {
        Self {
            served: Arc::new(Semaphore::new(connections_max)),
            refused: Arc::new(Semaphore::new(REFUSALS_MAX)),
            connections_max,
            meters: HttpMeters::new(),
            shortage: Seldom::default(),
        }
    }

    /// The next connection, as soon as there is a place for it.
    async fn next(&mut self, socket: &TcpListener) -> io::Result<(TcpStream, Place)> {
        let waiting = Arc::clone(&self.refused).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _peer) = socket.accept().await?;
        let (kind, permit) = match Arc::clone(&self.served).try_acquire_owned() {
            Ok(permit) => (Kind::Served, permit),
            Err(_none_left) => (Kind::Refused, waiting),
        };
        match kind {
            Kind::Served => self.meters.opened(),
            Kind::Refused => {
                self.meters.refused();
                if self.shortage.is_due() {
                    tracing::warn!(connections_max = self.connections_max, "HTTP connections refused: too many");
                }
            }
        }
        Ok((stream, Place { kind, meters: self.meters.clone(), _permit: permit }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.kind {
            Kind::Served => self.meters.closed(),
            Kind::Refused => {}
        }
    }
}

/// Runs the requests of HTTP/2, so that the end can wait for them.
#[derive(Clone)]
struct Tracked {
    tasks: TaskTracker,
    meters: HttpMeters,
}

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, work: F) {
        self.tasks.spawn(self.meters.processor().metered(work));
    }
}

/// Whether a connection was gone before it was accepted, which is no trouble of this machine.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}
