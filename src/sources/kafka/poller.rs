//! The thread that polls: takes messages, stores the offsets of those that ended, and serves the group in between.
//!
//! librdkafka wants to be polled all the time, and a full pipeline wants nothing more to be taken. So while there is no room
//! nothing is polled for a moment; if that does not suffice, the partitions are paused, and polled for the sake of the group
//! alone. Messages wait for the pipeline beside the thread, so that it never waits for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::assignment::{Claim, Progress, Step};
use super::group::Group;
use super::message::Envelopes;
use crate::model::Tracked;
use crate::model::envelope::Envelope;
use crate::model::intake::Intake;

/// Longest wait for a message, after which it is looked at what has ended, and at the stop.
const POLL_PATIENCE: Duration = Duration::from_millis(100);
/// Messages taken between two looks at what has ended.
const MESSAGES_PER_TURN_MAX: usize = 500;
/// How long a full pipeline is waited for without serving the group.
const FULL_PATIENCE: Duration = Duration::from_secs(1);
/// Longest wait between two looks whether there is room.
const ROOM_PATIENCE: Duration = Duration::from_millis(50);
/// Pause before an abandoned message is read again.
const AGAIN_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for a partition to be read from another offset.
const SEEK_PATIENCE: Duration = Duration::from_secs(5);

/// A message that waits for the pipeline.
pub(super) struct Waiting {
    pub(super) message: Tracked<Envelope>,
    pub(super) claim: Claim,
}

/// A consumer that is polled.
pub(super) struct Poller {
    pub(super) consumer: BaseConsumer<Group>,
    pub(super) group: Arc<Group>,
    pub(super) envelopes: Envelopes,
    pub(super) intake: Intake,
    pub(super) waiting: mpsc::Sender<Waiting>,
    pub(super) stop: CancellationToken,
    /// Since when there is no room.
    pub(super) full_since: Option<Instant>,
    pub(super) is_paused: bool,
    /// What is to be read again, and when.
    pub(super) again: Vec<(Instant, Progress)>,
}

/// How polling ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// All that was taken is answered for, or the pipeline has ended.
    Stopped,
    /// The consumer cannot go on; another may.
    Broken(KafkaError),
}

impl Poller {
    /// Polls until `stop`, and until everything taken has ended. Leaves the group at the end, with all offsets committed.
    pub(super) fn run(mut self) -> Ending {
        let ending = loop {
            self.group.store_progress(&self.consumer);
            let again_at = Instant::now() + AGAIN_PAUSE;
            self.again.extend(self.group.take_abandoned().into_iter().map(|progress| (again_at, progress)));
            self.read_again();
            if self.waiting.is_closed() || (self.stop.is_cancelled() && self.group.assignment().is_idle()) {
                break Ending::Stopped;
            }
            if let Err(error) = self.turn() {
                break Ending::Broken(error);
            }
        };
        self.leave();
        ending
    }

    fn turn(&mut self) -> Result<(), KafkaError> {
        if self.stop.is_cancelled() {
            return self.drain();
        }
        if self.has_room() {
            self.full_since = None;
            self.resume();
            return self.take_some();
        }
        let full_since = *self.full_since.get_or_insert_with(Instant::now);
        if full_since.elapsed() > FULL_PATIENCE {
            self.pause();
            self.poll(Duration::ZERO)?;
        }
        self.wait_for_room();
        Ok(())
    }

    /// Serves the group without taking anything: what comes all the same was not committed, and comes again.
    fn drain(&mut self) -> Result<(), KafkaError> {
        self.pause();
        self.group.wait_for_settlement(ROOM_PATIENCE);
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(fatal @ KafkaError::MessageConsumptionFatal(_))) => Err(fatal),
            None | Some(Ok(_) | Err(_)) => Ok(()),
        }
    }

    fn has_room(&self) -> bool {
        self.group.assignment().has_room() && self.intake.has_room()
    }

    fn wait_for_room(&self) {
        if self.intake.has_room() {
            return self.group.wait_for_settlement(ROOM_PATIENCE);
        }
        // There may be room or not: whoever asked looks again.
        drop(self.group.wait_for(async { tokio::time::timeout(ROOM_PATIENCE, self.intake.room()).await }));
    }

    /// Waits for a message, and takes those behind it that are here already.
    fn take_some(&mut self) -> Result<(), KafkaError> {
        let mut patience = POLL_PATIENCE;
        for _ in 0..MESSAGES_PER_TURN_MAX {
            if !self.poll(patience)? || !self.has_room() {
                break;
            }
            patience = Duration::ZERO;
        }
        Ok(())
    }

    /// Serves the group, and takes a message if there is one; whether there was.
    fn poll(&mut self, patience: Duration) -> Result<bool, KafkaError> {
        match self.consumer.poll(patience) {
            None => Ok(false),
            Some(Ok(message)) => {
                take(&self.group, &mut self.envelopes, &self.intake, &self.waiting, &message);
                Ok(true)
            }
            Some(Err(fatal @ KafkaError::MessageConsumptionFatal(_))) => Err(fatal),
            // All others are told to the group as well, in better words.
            Some(Err(_told)) => Ok(false),
        }
    }

    /// Goes back to messages that were abandoned, once it is time.
    fn read_again(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self.again.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, Progress { topic, partition, step }) in due {
            let Step::Again(offset) = step else { continue };
            if !self.group.assignment().is_rewinding(&topic, partition) {
                continue;
            }
            match self.consumer.seek(&topic, partition, Offset::Offset(offset), SEEK_PATIENCE) {
                Ok(()) => self.group.assignment().rewound(&topic, partition),
                Err(error) => {
                    tracing::warn!(%error, "an abandoned message cannot be read again yet");
                    self.again.push((now + AGAIN_PAUSE, Progress { topic, partition, step }));
                }
            }
        }
    }

    /// Also partitions gained since are paused.
    fn pause(&mut self) {
        match self.consumer.assignment().and_then(|partitions| self.consumer.pause(&partitions)) {
            Ok(()) => self.is_paused = true,
            Err(error) => tracing::debug!(%error, "partitions not paused"),
        }
    }

    fn resume(&mut self) {
        if !self.is_paused {
            return;
        }
        match self.consumer.assignment().and_then(|partitions| self.consumer.resume(&partitions)) {
            Ok(()) => self.is_paused = false,
            Err(error) => tracing::debug!(%error, "partitions not resumed"),
        }
    }

    fn leave(&mut self) {
        self.group.store_progress(&self.consumer);
        match self.consumer.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => {
                tracing::warn!(%error, "offsets not committed at the end; what is behind them comes again, unchanged");
            }
        }
        // What is still under way is not waited for while the consumer leaves the group.
        self.group.assignment().lose_all();
    }
}

/// Takes a message, unless its partition is not ours any more.
fn take(
    group: &Group,
    envelopes: &mut Envelopes,
    intake: &Intake,
    waiting: &mpsc::Sender<Waiting>,
    message: &BorrowedMessage<'_>,
) {
    let Some(claim) = group.assignment().take(message.topic(), message.partition(), message.offset()) else {
        return;
    };
    let message = intake.take(envelopes.envelope(message), claim.position, &claim.settle());
    if let Err(TrySendError::Full(_)) = waiting.try_send(Waiting { message, claim }) {
        tracing::error!("a message was taken beyond the bound, and abandoned");
    }
}
