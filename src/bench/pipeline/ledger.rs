//! What the measured process says of its connector: whether it takes messages, and what became of them.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::error::PipelineError;
use crate::bench::http::Http;

/// The name of the measured connector.
pub(super) const CONNECTOR: &str = "bench";

/// Between two looks; each costs the measured process a little.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longest wait for the source to connect. The first member of a group of Kafka waits three seconds for others.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// Longest time in which no message ends while some are missing.
const STILL_MAX: Duration = Duration::from_secs(20);

/// The connector of the measured process.
pub(super) struct Ledger<'a> {
    http: &'a Http,
}

#[derive(Deserialize)]
struct Connector {
    sources: Vec<Source>,
    ledger: Counts,
}

#[derive(Deserialize)]
struct Source {
    state: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    stored: u64,
    merged: u64,
    unchanged: u64,
    unmatched: u64,
    dead_lettered: u64,
}

impl<'a> Ledger<'a> {
    /// The connector of the process at this root.
    pub(super) fn new(http: &'a Http) -> Self {
        Self { http }
    }

    /// Waits until the source takes messages.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) async fn connected(&self) -> Result<(), PipelineError> {
        let began = Instant::now();
        loop {
            let sources = self.read().await?.sources;
            let Some(waiting) = sources.into_iter().find(|source| source.state != "connected") else { return Ok(()) };
            if began.elapsed() > CONNECT_MAX {
                let reason = waiting.reason.unwrap_or(waiting.state);
                return Err(PipelineError::NotConnected { seconds: CONNECT_MAX.as_secs(), reason });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until as many messages are stored as were sent since the process began.
    ///
    /// # Errors
    /// When one ends in another way, or none does for long.
    pub(super) async fn all_stored(&self, sent: u64) -> Result<(), PipelineError> {
        let (mut ended, mut since) = (0, Instant::now());
        loop {
            let counts = self.read().await?.ledger;
            let not_stored = counts.unmatched + counts.dead_lettered;
            if not_stored > 0 {
                return Err(PipelineError::NotStored(not_stored));
            }
            let stored = counts.stored + counts.merged + counts.unchanged;
            if stored >= sent {
                return Ok(());
            }
            if stored > ended {
                (ended, since) = (stored, Instant::now());
            } else if since.elapsed() > STILL_MAX {
                return Err(PipelineError::Missing { ended, sent, seconds: STILL_MAX.as_secs() });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn read(&self) -> Result<Connector, PipelineError> {
        let answer = self.http.get(&format!("connectors/{CONNECTOR}")).await?;
        serde_json::from_slice(&answer).map_err(PipelineError::Ledger)
    }
}
