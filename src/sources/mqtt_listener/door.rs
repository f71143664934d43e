//! Where connections come in: no faster than they may, and without a noise when the system has no room for them.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, sleep_until};

use super::pace::Pace;
use crate::telemetry::Seldom;

/// Wait before accepting again when the system refuses (out of file descriptors, mostly).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The port.
pub(super) struct Door {
    socket: Arc<TcpListener>,
    pace: Pace,
    trouble: Seldom,
}

impl Door {
    /// Lets in so many connections a second; those behind them wait in the queue of the system.
    pub(super) fn new(socket: Arc<TcpListener>, per_second_max: NonZeroU32) -> Self {
        Self { socket, pace: Pace::new(per_second_max), trouble: Seldom::default() }
    }

    /// The next connection, and the address it comes from.
    pub(super) async fn next(&mut self, connector: &str) -> (TcpStream, IpAddr) {
        loop {
            sleep_until(self.pace.opens_at()).await;
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    self.pace.spend();
                    return (stream, peer.ip());
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    if self.trouble.is_due() {
                        tracing::warn!(connector, %error, "cannot accept device connections");
                    }
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}
