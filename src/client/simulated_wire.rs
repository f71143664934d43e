//! A server reached by function calls instead of a network, for tests that stop the clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::connection::Reply;
use super::error::SubmitError;
use super::retry::RetrySettings;
use super::{FhirClient, Link, LinkSettings};

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

    /// Answers every request of a Bundle with what there is to read under its URL.
    pub(crate) fn reading(resource: impl Fn(&str) -> Value + Send + Sync + 'static) -> Self {
        let resource = Arc::new(resource);
        Self::new(move |asked| {
            let resource = Arc::clone(&resource);
            let bundle: Value = serde_json::from_slice(&asked.unwrap()).unwrap();
            async move {
                let urls = bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["request"]["url"]);
                let entries: Vec<Value> = urls
                    .map(|url| json!({"resource": resource(url.as_str().unwrap()), "response": {"status": "200"}}))
                    .collect();
                let response = json!({"resourceType": "Bundle", "type": "batch-response", "entry": entries});
                Ok((200, None, Bytes::from(response.to_string())))
            }
            .boxed()
        })
    }

    /// Each answer waits until the gate is opened for it.
    pub(crate) fn behind(self, gate: Arc<Notify>) -> Self {
        Self::new(move |asked| {
            let (answer, gate) = ((self.0)(asked), Arc::clone(&gate));
            async move {
                gate.notified().await;
                answer.await
            }
            .boxed()
        })
    }

    /// The way there; the base is `http://simulated/fhir`.
    pub(crate) fn link(self) -> Arc<Link> {
        let client = FhirClient::simulated(self, "http://simulated/fhir".parse().unwrap());
        let millisecond = Duration::from_millis(1);
        let retry = RetrySettings { pause_first: millisecond, pause_max: millisecond, pause_halted: millisecond };
        let settings = LinkSettings { entries_max: 500, bytes_max: 1 << 20, retry, dice: || 0 };
        Arc::new(Link::new(Arc::from("wards"), client, settings, CancellationToken::new()))
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
