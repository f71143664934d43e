//! Stage: measurements in, measurement groups out.
//!
//! Which measurements share a group arrives as their key. How long one may wait for company is decided here and has
//! nothing to do with the period of the key: groups leave when the inbox runs dry and the next stage has room, when
//! they are full, or when they have lingered. So an idle pipeline waits for nothing, and a busy one gathers more the
//! longer delivery takes. Brokers stop sending after a handful of unacknowledged messages, so waiting for more of them
//! would wait for ever.

mod pending;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use self::pending::Pending;
use crate::model::group::{Keyed, MeasurementGroup};

pub(crate) use self::pending::PendingLimits;

/// What may wait, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupSettings {
    /// How much may wait.
    pub(crate) limits: PendingLimits,
    /// How long a measurement may wait for company while more keep arriving.
    pub(crate) linger: Duration,
}

/// The stage.
#[derive(Debug)]
pub(crate) struct Group {
    settings: GroupSettings,
}

impl Group {
    /// The stage with its limits, each at least 1.
    pub(crate) fn new(settings: GroupSettings) -> Self {
        Self { settings }
    }

    /// Runs until the inbox closes, then passes on what waits.
    pub(crate) async fn run(self, mut inbox: mpsc::Receiver<Keyed>, outbox: mpsc::Sender<Vec<MeasurementGroup>>) {
        let mut pending = Pending::new(self.settings.limits);
        let mut arrived = Vec::new();
        let mut oldest = Instant::now();
        let mut open = true;
        while open || !pending.is_empty() {
            let room = pending.room();
            let lingered = !pending.is_empty() && oldest.elapsed() >= self.settings.linger;
            tokio::select! {
                // Taking in comes first, so that sending means the inbox is dry.
                biased;
                count = inbox.recv_many(&mut arrived, room), if open && room > 0 && !lingered => {
                    open = count > 0;
                    if pending.is_empty() {
                        oldest = Instant::now();
                    }
                    arrived.drain(..).for_each(|keyed| pending.add(keyed));
                }
                permit = outbox.reserve(), if !pending.is_empty() => match permit {
                    Ok(permit) => permit.send(pending.take()),
                    // The next stage has ended early: what waits is abandoned and offered again by its broker.
                    Err(_closed) => return,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
