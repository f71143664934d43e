//! Stage: envelopes in, measurements with their group key out.
//!
//! Extraction itself is the mapping's, pure and without receipts; this shell moves the receipts. Each measurement and
//! each failure gets a share of its message's receipt, so the message ends when all that came of it has ended. One task
//! does it all, in order of arrival, so that the readings of a device stay in order.

mod payload;
mod shapes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::mapping::Failure;
use crate::mapping::extract::Extraction;
use crate::mapping_store::{MappingStore, Version};
use crate::model::Tracked;
use crate::model::dead_letter::{Cause, DeadLetter, LetterBox, Stage};
use crate::model::envelope::Envelope;
use crate::model::group::{Contribution, GroupKey, Keyed, Period};
use crate::model::receipt::{Outcome, Receipt};
use crate::model::room::Room;
use crate::telemetry::meters::NormalizeMeters;

pub(crate) use self::shapes::Shapes;

/// Envelopes worked on between two looks at the other tasks and at the mapping files.
const ENVELOPES_PER_TURN_MAX: usize = 64;
/// How soon mappings that were refused are looked at again.
const REFUSED_LOOK_EVERY: Duration = Duration::from_millis(500);

/// The stage.
pub(crate) struct Normalize {
    mappings: MappingStore,
    clock: Clock,
    unmatched: Arc<Shapes>,
    room: Arc<Room>,
    give_up: CancellationToken,
    meters: NormalizeMeters,
}

/// What came of some envelopes.
#[derive(Default)]
struct Yield {
    measurements: Vec<Keyed>,
    letters: Vec<Tracked<DeadLetter>>,
}

impl Normalize {
    /// The stage with its mappings; messages that match no template are counted in `unmatched`. What is unpacked and
    /// stays in memory takes `room`; `give_up` ends the wait for mappings that are refused.
    pub(crate) fn new(
        mappings: MappingStore,
        clock: Clock,
        unmatched: Arc<Shapes>,
        room: Arc<Room>,
        give_up: CancellationToken,
    ) -> Self {
        let meters = NormalizeMeters::new(mappings.connector());
        Self { mappings, clock, unmatched, room, give_up, meters }
    }

    /// Runs until the inbox closes. When a later stage has ended, what is in hand is abandoned.
    pub(crate) async fn run(
        self,
        mut inbox: mpsc::Receiver<Tracked<Envelope>>,
        outbox: mpsc::Sender<Keyed>,
        letters: LetterBox,
    ) {
        let mut arrived = Vec::with_capacity(ENVELOPES_PER_TURN_MAX);
        while inbox.recv_many(&mut arrived, ENVELOPES_PER_TURN_MAX).await > 0 {
            let taken_up = Instant::now();
            let Some(version) = self.version_in_force().await else {
                return;
            };
            self.meters.mapping_found(taken_up.elapsed());
            let events = arrived.len();
            let Yield { measurements, letters: failed } = self.normalize_all(&version, arrived.drain(..));
            if !failed.is_empty() && letters.send(failed).await.is_err() {
                return;
            }
            let began = Instant::now();
            for measurement in measurements {
                if outbox.send(measurement).await.is_err() {
                    return;
                }
                self.meters.measurement_sent();
            }
            self.meters.batch_sent(began.elapsed());
            self.meters.batch_flushed(events, taken_up.elapsed());
        }
    }

    fn normalize_all(&self, version: &Version, arrived: impl Iterator<Item = Tracked<Envelope>>) -> Yield {
        let mut yielded = Yield::default();
        let (now, began) = (self.clock.now(), Instant::now());
        let mut done = began;
        for envelope in arrived {
            self.meters.event(now.duration_since(envelope.value.enqueued_at), envelope.value.bytes());
            self.normalize(version, envelope, &mut yielded);
            // The end of one is the beginning of the next: reading the time costs about as much as counting does.
            let begun = std::mem::replace(&mut done, Instant::now());
            self.meters.event_done(done - begun);
        }
        self.meters.batch_normalized(yielded.measurements.len(), done - began);
        yielded
    }

    /// The mappings for the batch in hand; waits while they are refused (ER-2), and gives up with the program.
    async fn version_in_force(&self) -> Option<Version> {
        loop {
            if let Ok(version) = self.mappings.in_force() {
                return Some(version);
            }
            tokio::select! {
                () = self.give_up.cancelled() => return None,
                () = tokio::time::sleep(REFUSED_LOOK_EVERY) => {}
            }
        }
    }

    fn normalize(
        &self,
        version: &Version,
        Tracked { value: envelope, receipt }: Tracked<Envelope>,
        yielded: &mut Yield,
    ) {
        let envelope = Arc::new(envelope);
        if let Err(failure) = self.read(version, &envelope, &receipt, yielded) {
            return yielded.letters.push(self.letter(version, failure, &envelope, receipt));
        }
        receipt.hand_on();
    }

    /// Takes up shares of a receipt for all that comes of the message.
    ///
    /// # Errors
    /// When nothing does, because it cannot be read as a whole.
    fn read(
        &self,
        version: &Version,
        envelope: &Arc<Envelope>,
        receipt: &Receipt,
        yielded: &mut Yield,
    ) -> Result<(), Failure> {
        if let Some(failure) = too_large(envelope) {
            return Err(failure);
        }
        let unpacked = payload::unpacked(envelope, &self.room)?;
        let plain = unpacked.as_ref().unwrap_or(envelope);
        let Some(elements) = payload::taken_apart(plain)? else {
            return self.extract(version, (envelope, plain), receipt, yielded);
        };
        if elements.is_empty() {
            self.drop_unmatched(plain, receipt);
        }
        for body in elements {
            let element = Arc::new(payload::element(plain, body));
            if let Err(failure) = self.extract(version, (&element, &element), receipt, yielded) {
                yielded.letters.push(self.letter(version, failure, &element, receipt.share()));
            }
        }
        Ok(())
    }

    /// Runs the mapping on `plain`, which is `envelope` unpacked.
    fn extract(
        &self,
        version: &Version,
        (envelope, plain): (&Arc<Envelope>, &Envelope),
        receipt: &Receipt,
        yielded: &mut Yield,
    ) -> Result<(), Failure> {
        let extraction = version.mappings.extract(plain)?;
        if extraction.measurements.is_empty() && extraction.failures.is_empty() {
            self.drop_unmatched(plain, receipt);
            return Ok(());
        }
        self.count_omitted(&extraction);
        let (measurements, failures) = extraction.into_groupable();
        for failure in failures {
            yielded.letters.push(self.letter(version, failure, envelope, receipt.share()));
        }
        for (measurement, period) in measurements {
            let contribution = Contribution {
                measurement,
                mapping_version: version.number,
                mapping: Arc::clone(version.mappings.fingerprint()),
                envelope: Arc::clone(envelope),
                receipt: receipt.share(),
            };
            yielded.measurements.push(keyed(contribution, period));
        }
        Ok(())
    }

    /// Counts what matches nothing.
    fn drop_unmatched(&self, plain: &Envelope, receipt: &Receipt) {
        self.unmatched.count(&plain.body);
        self.meters.event_dropped();
        receipt.share().complete(Outcome::Unmatched);
    }

    /// Counts optional values left out because a function failed (JM-21), which is the only reason there is.
    fn count_omitted(&self, extraction: &Extraction) {
        if let Some(first) = extraction.warnings.first() {
            self.meters.values_omitted(first.code, extraction.omitted);
        }
    }

    fn letter(
        &self,
        version: &Version,
        failure: Failure,
        envelope: &Arc<Envelope>,
        receipt: Receipt,
    ) -> Tracked<DeadLetter> {
        let reason = failure.message();
        let template = failure.template.map(|(name, at)| (name, at.line));
        let mapping = Arc::clone(version.mappings.fingerprint());
        let cause = Cause { stage: Stage::Normalize, code: failure.code, reason, template, mapping };
        cause.letter(envelope, receipt, self.clock.now())
    }
}

/// What is larger than its source is to take gets no further; its neighbours do.
fn too_large(envelope: &Envelope) -> Option<Failure> {
    let (bytes, max) = (envelope.body.len(), envelope.body_bytes_max);
    (bytes > max).then(|| Failure {
        code: "InvalidDataFormatException",
        reason: format!("the message has {bytes} bytes, and `message_bytes_max` of its source is {max}"),
        template: None,
    })
}

fn keyed(contribution: Contribution, period: Period) -> Keyed {
    let key = GroupKey::of(&contribution.measurement, period);
    Keyed { key, contribution }
}

#[cfg(test)]
mod tests;
