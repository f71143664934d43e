//! HTTP push: straight to the measured process, and to a bare server that reads and answers.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::error::PipelineError;
use crate::bench::http::Http;

/// The source, as its configuration says it.
pub(super) const SOURCE: &str = "type = \"http\"\n";
/// Where it takes messages.
pub(super) const PATH: &str = "connectors/bench/messages";

/// The path of the source, as `vitalwire send` wants it.
pub(super) fn url(root: &Http) -> String {
    format!("{}/{PATH}", root.base())
}

/// A server that reads bodies and answers 200.
pub(super) struct Consumer {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Consumer {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When the system has none.
    pub(super) async fn start() -> Result<Self, PipelineError> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(PipelineError::Prepare)?;
        let address = socket.local_addr().map_err(PipelineError::Prepare)?;
        let router = Router::new().fallback(post(async |_body: Bytes| "{}"));
        let stop = CancellationToken::new();
        let ended = stop.clone();
        let serve = async move { axum::serve(socket, router).await };
        TaskTracker::new().spawn(async move { ended.run_until_cancelled(serve).await });
        Ok(Self { address, _stop: stop.drop_guard() })
    }

    /// Where it listens, as `vitalwire send` wants it.
    pub(super) fn url(&self) -> String {
        format!("http://{}/{PATH}", self.address)
    }
}
