//! The way into the pipeline, as a source sees it.
//!
//! A source waits for room, reads a message, takes it in, and sends it on. Taken in, a message has a receipt, which is
//! witnessed: the end of the message is counted durably before the source's own ledger hears of it. A source that cannot
//! send drops the receipt with the message, so the broker offers it again.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Tracked;
use super::envelope::Envelope;
use super::receipt::{Receipt, Settle};
use super::room::Room;

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
    room: Arc<Room>,
    outbox: mpsc::Sender<Tracked<Envelope>>,
}

/// The pipeline behind an intake has ended; nothing more can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has closed")]
pub(crate) struct Closed;

impl Intake {
    /// An entrance to the stage at the other end of `outbox`. Its bound, and `room` for the bytes of all messages that
    /// have come in and not yet ended, are the backpressure on the sources.
    pub(crate) fn new(
        connector: Arc<str>,
        witness: Arc<dyn Witness>,
        room: Arc<Room>,
        outbox: mpsc::Sender<Tracked<Envelope>>,
    ) -> Self {
        Self { connector, witness, room, outbox }
    }

    /// Name of the connector, for the origin of its envelopes.
    pub(crate) fn connector(&self) -> &Arc<str> {
        &self.connector
    }

    /// Whether there is room to read another message. What has been read is taken in whether or not there is.
    pub(crate) fn has_room(&self) -> bool {
        self.room.is_open()
    }

    /// Whether a message that is sent now goes on without waiting.
    pub(crate) fn is_flowing(&self) -> bool {
        self.outbox.capacity() > 0
    }

    /// Waits until there is room to read another message.
    pub(crate) async fn room(&self) {
        self.room.opened().await;
    }

    /// Counts a message as received and claims it under the position at which `ledger` took it. To be called once for
    /// each message read, in the order of reading.
    pub(crate) fn take(&self, mut envelope: Envelope, position: u64, ledger: &Arc<dyn Settle>) -> Tracked<Envelope> {
        let bytes = envelope.bytes();
        envelope.body = self.room.take(envelope.body, bytes);
        Tracked { value: envelope, receipt: Arc::clone(&self.witness).receipt(position, ledger) }
    }

    /// Passes a message on, waiting while the pipeline is full.
    ///
    /// # Errors
    /// When the pipeline has ended. The message is abandoned then.
    pub(crate) async fn send(&self, envelope: Tracked<Envelope>) -> Result<(), Closed> {
        self.outbox.send(envelope).await.map_err(|_unsent| Closed)
    }
}
