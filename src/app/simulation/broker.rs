//! A broker that offers what is not acknowledged again, and the source that takes from it.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::dice::Dice;
use crate::model::intake::{Closed, Intake};
use crate::model::receipt::Settle;
use crate::model::samples::envelope;
use crate::sources::ledger::Ledger;

/// The messages of a topic, with how often each was acknowledged.
#[derive(Debug)]
pub(super) struct Broker {
    messages: Vec<(String, Mutex<u32>)>,
}

impl Broker {
    pub(super) fn new(payloads: &[String]) -> Arc<Self> {
        Arc::new(Self { messages: payloads.iter().map(|payload| (payload.clone(), Mutex::new(0))).collect() })
    }

    /// How often each message was acknowledged.
    pub(super) fn acknowledged(&self) -> Vec<u32> {
        self.messages.iter().map(|(_, acknowledged)| *acknowledged.lock().unwrap()).collect()
    }

    fn offered(&self) -> VecDeque<usize> {
        let open = self.acknowledged().into_iter().enumerate().filter(|(_, acknowledged)| *acknowledged == 0);
        open.map(|(place, _)| place).collect()
    }

    fn acknowledge(&self, places: Vec<usize>) {
        places.into_iter().for_each(|place| *self.messages[place].1.lock().unwrap() += 1);
    }
}

/// Takes messages until all are acknowledged; after `stop` only until those taken are.
pub(super) async fn take_from(broker: Arc<Broker>, intake: Intake, stop: CancellationToken, mut dice: Dice) {
    let window = NonZeroUsize::new(usize::try_from(1 + dice.below(40)).unwrap()).unwrap();
    while let Ok(Ended::Disconnected) = connection(&broker, &intake, &stop, window, &mut dice).await {}
}

enum Ended {
    Finished,
    /// What was not acknowledged will be offered again.
    Disconnected,
}

async fn connection(
    broker: &Broker,
    intake: &Intake,
    stop: &CancellationToken,
    window: NonZeroUsize,
    dice: &mut Dice,
) -> Result<Ended, Closed> {
    let ledger = Arc::new(Ledger::new(window));
    let settle = Arc::clone(&ledger) as Arc<dyn Settle>;
    let mut offered = broker.offered();
    loop {
        while !stop.is_cancelled()
            && ledger.has_room()
            && intake.has_room()
            && let Some(place) = offered.pop_front()
        {
            let envelope = envelope(u64::try_from(place).unwrap(), &broker.messages[place].0);
            intake.send(intake.take(envelope, ledger.take(Some(place)), &settle)).await?;
            if dice.chance(1) {
                return Ok(Ended::Disconnected);
            }
            if dice.chance(30) {
                tokio::time::sleep(Duration::from_millis(dice.below(800))).await;
            }
        }
        if ledger.is_empty() && (offered.is_empty() || stop.is_cancelled()) {
            return Ok(Ended::Finished);
        }
        let awaits_room = !intake.has_room();
        tokio::select! {
            biased;
            released = ledger.released() => match released {
                Ok(places) => broker.acknowledge(places),
                Err(_abandoned) => return Ok(Ended::Disconnected),
            },
            () = intake.room(), if awaits_room => {}
        }
    }
}
