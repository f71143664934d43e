//! Messages of dead letters, sent through their connector's pipeline once more.
//!
//! A replay was asked for of selected letters ([`Replays`]). Their messages are taken in the order in which they
//! arrived, and go in by the same way as those of a source, so that they are counted in the ledger and wait when the
//! pipeline is full. Each is as it was received, with the time of its arrival. Replays of a connector run one after
//! another.
//!
//! The letters of a message go when all that came of it is stored. When it ends in dead letters again, these take the
//! place of the earlier ones. When no template matches it, or when the program ends before it does, its letters stay as
//! they were: it can be replayed again, and what was stored the first time is found unchanged.

mod flight;
mod progress;
mod replays;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::flight::Flight;
use self::replays::Order;
use super::RETRY_PAUSE;
use super::store::{Kept, Turn};
use crate::database::DatabaseError;
use crate::model::envelope::{Envelope, Origin, WayIn};
use crate::model::intake::{Closed, Intake};
use crate::telemetry::chain;

pub(crate) use self::progress::Progress;
pub(crate) use self::replays::{Replays, RequestError};

/// Messages taken from the database at once.
const MESSAGES_PER_TURN_MAX: u16 = 100;

/// The source of a connector that has its messages from the dead letters.
pub(crate) struct Replayer {
    replays: Replays,
    body_bytes_max: usize,
    give_up: CancellationToken,
}

impl Replayer {
    /// Runs what `replays` is asked for. Messages may have `body_bytes_max` bytes now, whatever the bound was when they
    /// arrived. `give_up` ends the wait for messages under way.
    pub(crate) fn new(replays: Replays, body_bytes_max: usize, give_up: CancellationToken) -> Self {
        Self { replays, body_bytes_max, give_up }
    }

    /// Replays what is asked for until `stop`; then takes nothing more, and returns when what it took has ended.
    pub(crate) async fn run(self, intake: Intake, stop: CancellationToken) {
        let mut flight = Flight::new(self.replays.clone());
        while let Some(order) = stop.run_until_cancelled(self.replays.next()).await {
            flight.begin(order.id);
            let sent = self.send_all(&order, &intake, &mut flight, &stop).await;
            if sent.is_err() || !flight.land_all(&stop).await || stop.is_cancelled() {
                break;
            }
            self.replays.ended(order.id);
        }
        // The pipeline ends only when nobody can send any more.
        drop(intake);
        flight.land_all(&self.give_up).await;
        self.replays.stop();
    }

    /// Sends the messages of an order, each when there is room for it.
    async fn send_all(
        &self,
        order: &Order,
        intake: &Intake,
        flight: &mut Flight,
        stop: &CancellationToken,
    ) -> Result<(), Closed> {
        let mut after = Turn::FIRST;
        loop {
            if !flight.land_for_room(stop).await {
                return Ok(());
            }
            let Some(turns) = stop.run_until_cancelled(self.turns(order, after)).await else { return Ok(()) };
            let turns = flight.fitting(turns);
            let Some(last) = turns.last() else { return Ok(()) };
            after = *last;
            let messages = turns.iter().map(|turn| turn.id).collect();
            let Some(taken) = stop.run_until_cancelled(self.take(messages)).await else { return Ok(()) };
            for message in taken {
                if !flight.land_for_bytes(intake, stop).await {
                    return Ok(());
                }
                let envelope = flight.take(message.id, self.envelope(message, intake), intake);
                intake.send(envelope).await?;
            }
        }
    }

    /// The message as it was received.
    fn envelope(&self, message: Kept, intake: &Intake) -> Envelope {
        let connector = Arc::clone(intake.connector());
        let members = |text: &str| serde_json::from_str(text).unwrap_or_default();
        Envelope {
            body: message.body,
            body_bytes_max: self.body_bytes_max,
            split_arrays: message.split_arrays,
            properties: members(&message.properties),
            system_properties: members(&message.system_properties),
            enqueued_at: message.enqueued_at,
            origin: Origin { connector, source: message.source, position: message.position },
            way_in: WayIn::Replay(message.id),
        }
    }

    async fn turns(&self, order: &Order, after: Turn) -> Vec<(Turn, u64)> {
        let Replays { connector, letters, .. } = &self.replays;
        let range = (after, order.last);
        insist(|| letters.turns(connector, order.selection.clone(), range, MESSAGES_PER_TURN_MAX)).await
    }

    async fn take(&self, messages: Vec<i64>) -> Vec<Kept> {
        insist(|| self.replays.letters.take(messages.clone())).await
    }
}

/// Asks the database until it answers.
async fn insist<T, F>(ask: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, DatabaseError>>,
{
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => tracing::error!(error = %chain(&error), "dead letters not read"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

#[cfg(test)]
mod tests;
