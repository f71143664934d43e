//! The way into the pipeline, as a source sees it.
//!
//! A source takes a message, asks for its receipt, and sends it on. The receipt is witnessed: the end of the message
//! is counted durably before the source's own ledger hears of it. A source that cannot send drops the receipt with the
//! message, so the broker offers it again.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Tracked;
use super::envelope::Envelope;
use super::receipt::{Receipt, Settle};

/// Counts each message that is taken, and its end before the ledger hears of it.
pub(crate) trait Witness: Send + Sync {
    /// A claim on the message taken under `position`; `ledger` hears its end once that is counted durably.
    fn receipt(self: Arc<Self>, position: u64, ledger: &Arc<dyn Settle>) -> Receipt;
}

/// The entrance of one connector's pipeline. Cheap to clone, one for each source.
#[derive(Clone)]
pub(crate) struct Intake {
    connector: Arc<str>,
    witness: Arc<dyn Witness>,
    outbox: mpsc::Sender<Tracked<Envelope>>,
}

/// The pipeline behind an intake has ended; nothing more can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has closed")]
pub(crate) struct Closed;

impl Intake {
    /// An entrance to the stage at the other end of `outbox`, whose bound is the backpressure on the sources.
    pub(crate) fn new(connector: Arc<str>, witness: Arc<dyn Witness>, outbox: mpsc::Sender<Tracked<Envelope>>) -> Self {
        Self { connector, witness, outbox }
    }

    /// Name of the connector, for the origin of its envelopes.
    pub(crate) fn connector(&self) -> &Arc<str> {
        &self.connector
    }

    /// Counts a message as received and claims it. To be called once for each message taken, in the order of taking.
    pub(crate) fn receipt(&self, position: u64, ledger: &Arc<dyn Settle>) -> Receipt {
        Arc::clone(&self.witness).receipt(position, ledger)
    }

    /// Passes a message on, waiting while the pipeline is full.
    ///
    /// # Errors
    /// When the pipeline has ended. The message is abandoned then.
    pub(crate) async fn send(&self, envelope: Tracked<Envelope>) -> Result<(), Closed> {
        self.outbox.send(envelope).await.map_err(|_unsent| Closed)
    }
}
