//! Stage: envelopes in, measurements with their group key out.
//!
//! Extraction itself is the mapping's, pure and without receipts; this shell moves the receipts. Each measurement and
//! each failure gets a share of its message's receipt, so the message ends when all that came of it has ended. One task
//! does it all, in order of arrival, so that the readings of a device stay in order.

mod shapes;

use std::sync::Arc;
use std::time::Duration;

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
    give_up: CancellationToken,
}

/// What came of some envelopes.
#[derive(Default)]
struct Yield {
    measurements: Vec<Keyed>,
    letters: Vec<Tracked<DeadLetter>>,
}

impl Normalize {
    /// The stage with its mappings; messages that match no template are counted in `unmatched`. `give_up` ends the wait
    /// for mappings that are refused.
    pub(crate) fn new(
        mappings: MappingStore,
        clock: Clock,
        unmatched: Arc<Shapes>,
        give_up: CancellationToken,
    ) -> Self {
        Self { mappings, clock, unmatched, give_up }
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
            let Some(version) = self.version_in_force().await else {
                return;
            };
            let mut yielded = Yield::default();
            arrived.drain(..).for_each(|envelope| self.normalize(&version, envelope, &mut yielded));
            if !yielded.letters.is_empty() && letters.send(yielded.letters).await.is_err() {
                return;
            }
            let count = u64::try_from(yielded.measurements.len()).unwrap_or(u64::MAX);
            metrics::counter!("measurements_extracted_total").increment(count);
            for measurement in yielded.measurements {
                if outbox.send(measurement).await.is_err() {
                    return;
                }
            }
        }
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
        if let Some(failure) = too_large(&envelope) {
            return yielded.letters.push(self.letter(failure, &envelope, receipt));
        }
        let extraction = match version.mappings.extract(&envelope) {
            Ok(extraction) => extraction,
            Err(failure) => return yielded.letters.push(self.letter(failure, &envelope, receipt)),
        };
        if extraction.measurements.is_empty() && extraction.failures.is_empty() {
            self.unmatched.count(&envelope.body);
            return receipt.complete(Outcome::Unmatched);
        }
        count_omitted(&extraction);
        let (measurements, failures) = extraction.into_bound();
        for failure in failures {
            yielded.letters.push(self.letter(failure, &envelope, receipt.share()));
        }
        let envelope = Arc::new(envelope);
        for (measurement, period) in measurements {
            let envelope = Arc::clone(&envelope);
            let mapping_version = version.number;
            let contribution = Contribution { measurement, mapping_version, envelope, receipt: receipt.share() };
            yielded.measurements.push(keyed(contribution, period));
        }
        receipt.hand_on();
    }

    fn letter(&self, failure: Failure, envelope: &Envelope, receipt: Receipt) -> Tracked<DeadLetter> {
        let reason = failure.message();
        let template = failure.template.map(|(name, at)| (name, at.line));
        let cause = Cause { stage: Stage::Normalize, code: failure.code, reason, template };
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

/// Counts optional values left out because a function failed (JM-21), which is the only reason there is.
fn count_omitted(extraction: &Extraction) {
    if let Some(first) = extraction.warnings.first() {
        metrics::counter!("values_omitted_total", "code" => first.code).increment(extraction.omitted);
    }
}

fn keyed(contribution: Contribution, period: Period) -> Keyed {
    let key = GroupKey::of(&contribution.measurement, period);
    Keyed { key, contribution }
}

#[cfg(test)]
mod tests;
