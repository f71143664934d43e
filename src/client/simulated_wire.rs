//! A server reached by function calls instead of a network, for tests that stop the clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::error::SubmitError;
use super::http::Reply;

/// What a request is: `None` asks for the CapabilityStatement, anything else is a Bundle.
pub(crate) type Asked = Option<Vec<u8>>;

/// Status, what `Retry-After` says, and the body; or how the network failed.
pub(crate) type Answered = Result<(u16, Option<Duration>, Bytes), Broken>;

/// How a simulated network fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// No answer in time.
    TimedOut,
    /// The connection broke, before or after the request was carried out.
    Lost,
}

impl Broken {
    pub(super) fn error(self, endpoint: &str) -> SubmitError {
        let (endpoint, cause) = (endpoint.to_owned(), std::io::Error::other("simulated").into());
        match self {
            Self::TimedOut => SubmitError::TimedOut { endpoint, cause },
            Self::Lost => SubmitError::Unanswered { endpoint, cause },
        }
    }
}

/// The server at the other end.
#[derive(Clone)]
pub(crate) struct SimulatedWire(Arc<dyn Fn(Asked) -> BoxFuture<'static, Answered> + Send + Sync>);

impl SimulatedWire {
    pub(crate) fn new(serve: impl Fn(Asked) -> BoxFuture<'static, Answered> + Send + Sync + 'static) -> Self {
        Self(Arc::new(serve))
    }

    pub(super) async fn get(&self, _path: &str) -> Result<Reply, Broken> {
        (self.0)(None).await.map(reply)
    }

    pub(super) async fn post(&self, bundle: Vec<u8>) -> Result<Reply, Broken> {
        (self.0)(Some(bundle)).await.map(reply)
    }
}

fn reply((status, retry_after, body): (u16, Option<Duration>, Bytes)) -> Reply {
    Reply { status, retry_after, body }
}

impl fmt::Debug for SimulatedWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedWire")
    }
}
