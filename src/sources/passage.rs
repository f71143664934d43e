//! The way from a connection to the pipeline.
//!
//! Messages wait here rather than where they are read, so that a full pipeline keeps no connection from being answered.
//! The wait is bounded by the connection's ledger, since every message that waits is in it.

use tokio::sync::mpsc;

use crate::model::Tracked;
use crate::model::envelope::Envelope;
use crate::model::intake::{Closed, Intake};

/// Passes messages on in order until the last has gone.
///
/// # Errors
/// When the pipeline has ended; the messages still waiting are abandoned.
pub(crate) async fn pass_on(mut waiting: mpsc::Receiver<Tracked<Envelope>>, intake: Intake) -> Result<(), Closed> {
    while let Some(message) = waiting.recv().await {
        intake.send(message).await?;
    }
    Ok(())
}
