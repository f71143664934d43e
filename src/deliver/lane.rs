//! Batches of resolved groups, one after the other, to the server and to their end.
//!
//! A write is conditional: on there being nothing for an Observation not known to exist, on the version for a known one.
//! When the condition fails someone else was faster, or the answer to an earlier attempt was lost; the Observation is
//! then looked for, merged again and written on top of what is there, as often as it takes (OB-5). So a message that
//! comes again finds its reading stored, and changes nothing. A server that turns a write away again and again although
//! nothing changes there means something else: that one is given up.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::known::KnownObservations;
use super::target::{Composed, Kind, Step, Stored, Target, Targets};
use super::trace::{Tracer, tell_refused};
use super::{BATCHES_PER_LANE_MAX, DeliverSettings, FirstWrite};
use crate::client::bundle::{Answer, Request};
use crate::client::{GivenUp, Link};
use crate::clock::Clock;
use crate::convert::reading::ConversionFailure;
use crate::mapping_store::Versions;
use crate::model::Tracked;
use crate::model::dead_letter::{Cause, DeadLetter, LetterBox, Stage};
use crate::model::group::{Contribution, ResolvedGroup};
use crate::model::receipt::Outcome;
use crate::telemetry::meters::DeliverMeters;

/// Rounds after which contention over one Observation is worth a line in the log.
const ROUNDS_UNTIL_WARNING: u32 = 10;
/// How often a write may be turned away as conflicting while what is stored stays as it was found.
const TURNED_AWAY_MAX: u32 = 10;

/// What all lanes share.
pub(super) struct Shared {
    pub(super) settings: DeliverSettings,
    pub(super) mappings: Arc<Versions>,
    pub(super) link: Arc<Link>,
    pub(super) clock: Clock,
    pub(super) known: KnownObservations,
    pub(super) tracer: Tracer,
    pub(super) meters: DeliverMeters,
}

impl Shared {
    /// Counts what goes into each target, before anything is done with it.
    fn count_groups(&self, targets: &[Target]) {
        let now = self.clock.now();
        for target in targets {
            self.meters.group(target.ingestion_times().into_iter().map(|ingested_at| now.duration_since(ingested_at)));
        }
    }

    /// Counts a target that is done, and how long ago the messages arrived.
    fn count_done(&self, target: &Target, outcome: Outcome) {
        self.meters.saved(target.kind.resource_type, outcome);
        let now = self.clock.now();
        for arrived_at in target.arrival_times() {
            self.meters.delivered(now.duration_since(arrived_at));
        }
    }
}

/// One batch at a time, in order.
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) letters: LetterBox,
}

/// The lane cannot go on: the program ends. What is in hand is abandoned.
#[derive(Debug)]
struct Ended;

impl From<GivenUp> for Ended {
    fn from(_given_up: GivenUp) -> Self {
        Self
    }
}

/// Letters of one round.
type Letters = Vec<Tracked<DeadLetter>>;

/// A target with the write on its way for it.
struct Writing {
    target: Target,
    request: Request,
    /// What is written beside it.
    provenance: Option<Request>,
    outcome: Outcome,
    /// Readings that are not part of it. They are buried when it is done and not before: they may share a message with
    /// readings that are.
    rejected: Vec<ConversionFailure>,
}

impl Lane {
    /// Runs until the inbox closes or the link gives up.
    pub(super) async fn run(self, mut inbox: mpsc::Receiver<Vec<ResolvedGroup>>) {
        let mut waiting = Vec::with_capacity(BATCHES_PER_LANE_MAX);
        while inbox.recv_many(&mut waiting, BATCHES_PER_LANE_MAX).await > 0 {
            let groups = waiting.drain(..).flatten().collect();
            if let Err(Ended) = self.deliver(groups).await {
                return;
            }
        }
    }

    async fn deliver(&self, groups: Vec<ResolvedGroup>) -> Result<(), Ended> {
        let mut letters = Vec::new();
        let mut targets = self.targets(groups, &mut letters);
        self.shared.count_groups(&targets);
        let mut round = 0_u32;
        while !targets.is_empty() {
            round += 1;
            let look_first = round > 1 || self.shared.settings.first_write == FirstWrite::AfterReading;
            if look_first {
                targets = self.find_unknown(targets, &mut letters).await?;
            }
            let writing = self.compose(targets, &mut letters);
            self.send(&mut letters).await?;
            targets = Vec::new();
            for (writing, answer) in self.write(writing).await? {
                targets.extend(self.judge(writing, answer, &mut letters));
            }
            self.send(&mut letters).await?;
            self.cool_down(round, targets.len()).await?;
        }
        self.send(&mut letters).await
    }

    /// Sends writes and what is written beside them, all in one Bundle.
    async fn write(&self, writing: Vec<Writing>) -> Result<Vec<(Writing, Answer)>, Ended> {
        let all = |one: &Writing| std::iter::once(one.request.clone()).chain(one.provenance.clone());
        let requests: Vec<Request> = writing.iter().flat_map(all).collect();
        let mut answers = self.shared.link.exchange(&requests).await?.into_iter();
        let (mut answered, mut beside) = (Vec::with_capacity(writing.len()), Vec::new());
        for one in writing {
            let answer = answers.next().unwrap_or_default();
            beside.extend(one.provenance.as_ref().and_then(|_| answers.next()));
            answered.push((one, answer));
        }
        tell_refused(&beside);
        Ok(answered)
    }

    /// The first conflict is expected after a redelivery; later ones mean that others write the same Observations.
    async fn cool_down(&self, round: u32, contended: usize) -> Result<(), Ended> {
        if contended == 0 || round == 1 {
            return Ok(());
        }
        if round.is_multiple_of(ROUNDS_UNTIL_WARNING) {
            tracing::warn!(round, observations = contended, "observations are contended, trying again");
        }
        Ok(self.shared.link.pause(round, None).await?)
    }

    /// Sorts groups by Observation, and takes from the cache what is known of those.
    fn targets(&self, groups: Vec<ResolvedGroup>, letters: &mut Letters) -> Vec<Target> {
        let mut targets = Targets::with_capacity(groups.len());
        for resolved in groups {
            let key = &resolved.group.key;
            let naming = &self.shared.settings.naming;
            let correlation_id = key.correlation_id.as_deref();
            // Without a template nothing is written; what is missing is said when it is composed.
            let version = resolved.group.contributions.iter().map(|contribution| contribution.mapping_version).max();
            let mappings = self.shared.mappings.get(version.unwrap_or_default());
            let kind = Kind::of(mappings.fhir_template(&key.measurement_type));
            match naming.identifier(&resolved.subject, &key.measurement_type, key.span, correlation_id) {
                Ok(identifier) => targets.add(kind, identifier, resolved),
                Err(failure) => self.bury(resolved.group.contributions, &failure, letters),
            }
        }
        let mut targets = targets.into_vec();
        for target in &mut targets {
            if let Some(known) = self.shared.known.find(target) {
                target.stored = Stored::Present(known);
            }
        }
        targets
    }

    /// Looks for what is not known to exist or not, all in one Bundle.
    async fn find_unknown(&self, targets: Vec<Target>, letters: &mut Letters) -> Result<Vec<Target>, Ended> {
        let (unknown, mut known): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|target| target.stored == Stored::Unknown);
        for (mut target, stored) in self.shared.find(unknown).await? {
            match stored {
                Ok(stored) => {
                    target.stored = stored;
                    known.push(target);
                }
                Err(failure) => self.bury_all(target, &failure, letters),
            }
        }
        Ok(known)
    }

    /// The writes that are needed. Targets that need none end here.
    fn compose(&self, targets: Vec<Target>, letters: &mut Letters) -> Vec<Writing> {
        let mut writing = Vec::with_capacity(targets.len());
        for target in targets {
            writing.extend(self.compose_one(target, letters));
        }
        writing
    }

    /// Leaves out readings that do not convert, until the rest can be written.
    fn compose_one(&self, mut target: Target, letters: &mut Letters) -> Option<Writing> {
        loop {
            let group = target.groups.first()?;
            let measurement_type = &group.group.key.measurement_type;
            let mappings = self.shared.mappings.get(target.mapping_version());
            let Some(template) = mappings.fhir_template(measurement_type) else {
                let failure = ConversionFailure {
                    code: "TemplateNotFoundException",
                    reason: format!(
                        "no FHIR template exists for measurement type {measurement_type}; add one to the FHIR mapping"
                    ),
                    reading: None,
                };
                self.bury_all(target, &failure, letters);
                return None;
            };
            let now = self.shared.clock.now();
            let failure = match target.compose(template, now) {
                Ok(Composed { step: Step::Write { resource, condition, outcome }, rejected }) => {
                    let (resource, provenance) =
                        self.shared.tracer.mark(&target, mappings.fingerprint(), resource, now);
                    let request = target.put(resource, condition);
                    return Some(Writing { target, request, provenance, outcome, rejected });
                }
                Ok(Composed { step: Step::Nothing, rejected }) => {
                    self.finish(target, Outcome::Unchanged, &rejected, letters);
                    return None;
                }
                Err(failure) => failure,
            };
            let blamed = target.take_blamed(&failure);
            if blamed.is_empty() {
                self.bury_all(target, &failure, letters);
                return None;
            }
            self.bury(blamed, &failure, letters);
        }
    }

    /// Ends a target, or gives it back with nothing known about it when its condition did not hold.
    fn judge(&self, writing: Writing, answer: Answer, letters: &mut Letters) -> Option<Target> {
        let Writing { target, request, outcome, rejected, provenance: _ } = writing;
        match answer.status {
            200..=299 => {
                // Of two creators the second one wrote over the first: servers that do not know the condition let it.
                if outcome == Outcome::Stored && answer.etag.as_deref() == Some("W/\"2\"") {
                    self.shared.meters.contended(target.kind.resource_type);
                }
                self.shared.known.keep(&target, request, answer.etag);
                self.finish(target, outcome, &rejected, letters);
                None
            }
            409 | 412 => self.contended(target, &answer, letters),
            // What was there is gone.
            404 | 410 if outcome == Outcome::Merged => self.contended(target, &answer, letters),
            _ => {
                self.bury_all(target, &refusal(&answer), letters);
                None
            }
        }
    }

    /// Nothing is known of it any more, unless it is the server that is stuck.
    fn contended(&self, mut target: Target, answer: &Answer, letters: &mut Letters) -> Option<Target> {
        self.shared.meters.contended(target.kind.resource_type);
        self.shared.known.forget(&target);
        if target.turn_away() >= TURNED_AWAY_MAX {
            self.bury_all(target, &refusal(answer), letters);
            return None;
        }
        Some(target)
    }

    /// Ends the messages of a target: what is stored as such, what was rejected in the dead letters.
    fn finish(&self, mut target: Target, outcome: Outcome, rejected: &[ConversionFailure], letters: &mut Letters) {
        for failure in rejected {
            let blamed = target.take_blamed(failure);
            self.bury(blamed, failure, letters);
        }
        self.shared.count_done(&target, outcome);
        target.complete(outcome);
    }

    async fn send(&self, letters: &mut Letters) -> Result<(), Ended> {
        if letters.is_empty() {
            return Ok(());
        }
        self.letters.send(std::mem::take(letters)).await.map_err(|_closed| Ended)
    }

    fn bury_all(&self, target: Target, failure: &ConversionFailure, letters: &mut Letters) {
        for group in target.groups {
            self.bury(group.group.contributions, failure, letters);
        }
    }

    fn bury(&self, contributions: Vec<Contribution>, failure: &ConversionFailure, letters: &mut Letters) {
        for contribution in contributions {
            let measurement_type = &contribution.measurement.measurement_type;
            let mappings = self.shared.mappings.get(contribution.mapping_version);
            let cause = Cause {
                stage: Stage::Deliver,
                code: failure.code,
                reason: failure.reason.clone(),
                template: mappings.template_line(measurement_type),
                mapping: contribution.mapping,
            };
            letters.push(cause.letter(&contribution.envelope, contribution.receipt, self.shared.clock.now()));
        }
    }
}

/// The server's final no, as a failure of the readings concerned (ER-13).
pub(super) fn refusal(answer: &Answer) -> ConversionFailure {
    let diagnosis = answer.diagnosis.as_deref().unwrap_or("without saying why");
    ConversionFailure {
        code: answer.code(),
        reason: format!("the FHIR server refused the Observation with status {}: {diagnosis}", answer.status),
        reading: None,
    }
}
