//! Stage: measurement groups in, groups with Device, Patient and Encounter out.
//!
//! A batch of groups costs no request when all its identities are known, and otherwise one Bundle of searches and at
//! most two of writes: the Patients, then the Devices that refer to them. Writes are conditional, so that of two
//! creators one wins and the other finds what it wrote on the next round. Devices that are known do not wait for those
//! that are not: their groups go on before anything is searched.
//!
//! An identity that cannot be resolved sends its own groups to the dead letters; the others of the batch go on. Such
//! failures are not cached, so that a device is served as soon as it is registered (ID-15). What is cached is believed
//! until a write concerns it ([`Freshness`]), so that a message sent after a device was given to someone else is theirs.

mod batch;
mod cache;
mod freshness;
mod owner;
mod plan;
mod search;
mod write;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use self::batch::{Batch, Resolutions};
use self::cache::KnownIdentities;
use self::plan::{Decision, Identity, IdentityFailure, Rules, decide};
use self::search::Searches;
use self::write::{Write, Written};
use crate::client::{GivenUp, Link};
use crate::clock::Clock;
use crate::model::Tracked;
use crate::model::dead_letter::{Cause, DeadLetter, LetterBox, Stage};
use crate::model::group::{MeasurementGroup, ResolvedGroup};
use crate::model::subject::Subject;

pub(crate) use self::freshness::Freshness;
pub(crate) use self::plan::IdentityMode;

/// Rounds of searching and writing for one batch. A second one settles races; more mean that the server does not find
/// what it says exists.
const ROUNDS_MAX: u32 = 5;

/// How identities are found.
#[derive(Clone, Debug)]
pub(crate) struct ResolveSettings {
    /// Whether what does not exist is created.
    pub(crate) mode: IdentityMode,
    /// Identifier system of devices; without one a device id matches in any system (ID-2).
    pub(crate) device_identifier_system: Option<String>,
    /// Further addresses of the FHIR server, below which absolute references mean its own resources (ID-7).
    pub(crate) other_base_urls: Vec<String>,
    /// How long what was found is believed, if nothing says otherwise before.
    pub(crate) cache_age_max: Duration,
}

/// The stage.
pub(crate) struct Resolve {
    settings: ResolveSettings,
    link: Arc<Link>,
    clock: Clock,
    known: KnownIdentities,
}

impl Resolve {
    /// The stage in front of the server behind `link`, of whose writes `freshness` is told, if anybody tells of them.
    pub(crate) fn new(settings: ResolveSettings, link: Arc<Link>, clock: Clock, freshness: Arc<Freshness>) -> Self {
        let known = KnownIdentities::new(freshness, settings.cache_age_max);
        Self { settings, link, clock, known }
    }

    /// Runs until the inbox closes, or until the link gives up; what is in hand is abandoned then.
    pub(crate) async fn run(
        self,
        mut inbox: mpsc::Receiver<Vec<MeasurementGroup>>,
        outbox: mpsc::Sender<Vec<ResolvedGroup>>,
        letters: LetterBox,
    ) {
        while let Some(groups) = inbox.recv().await {
            let Batch { resolved, open, unknown, known } = Batch::of(groups, |identity| self.known.find(identity));
            if !resolved.is_empty() && outbox.send(resolved).await.is_err() {
                return;
            }
            let Ok(resolutions) = self.resolve(unknown, known).await else { return };
            let (resolved, failed) = self.sort(open, &resolutions);
            if !failed.is_empty() && letters.send(failed).await.is_err() {
                return;
            }
            if !resolved.is_empty() && outbox.send(resolved).await.is_err() {
                return;
            }
        }
    }

    /// Resolves what is unknown, and adds it to what is known.
    async fn resolve(&self, mut unknown: Vec<Identity>, mut resolutions: Resolutions) -> Result<Resolutions, GivenUp> {
        for round in 1.. {
            if unknown.is_empty() {
                break;
            }
            if round > ROUNDS_MAX {
                let reason =
                    "the FHIR server refuses to create the Device or Patient as existing, yet does not find it";
                let failure = IdentityFailure::new("DeviceNotFoundException", reason);
                resolutions.extend(unknown.drain(..).map(|identity| (identity, Err(failure.clone()))));
                break;
            }
            unknown = self.round(round, unknown, &mut resolutions).await?;
        }
        Ok(resolutions)
    }

    /// Searches, decides and writes once; what is left is for the next round.
    async fn round(
        &self,
        round: u32,
        unknown: Vec<Identity>,
        resolutions: &mut Resolutions,
    ) -> Result<Vec<Identity>, GivenUp> {
        let searched = self.known.search_begins();
        let base_urls = self.base_urls();
        let rules = self.rules(&base_urls);
        let searches = Searches::run(&self.link, &unknown, rules).await?;
        let mut keep = |identity: Identity, subject: Subject| {
            let subject = Arc::new(subject);
            self.known.keep(identity.clone(), Arc::clone(&subject), searched);
            resolutions.insert(identity, Ok(subject));
        };
        let mut later = Vec::new();
        let mut failed = Vec::new();
        let mut writes = Vec::new();
        let mut devices_written = HashSet::new();
        for identity in unknown {
            match decide(&identity, rules, searches.found(&identity, rules)) {
                Ok(Decision::Known(subject)) => keep(identity, subject),
                // Of two identities with one device the second sees what the first one wrote: perhaps a mismatch.
                Ok(Decision::Write { .. }) if !devices_written.insert(identity.device_id.clone()) => {
                    later.push(identity);
                }
                Ok(Decision::Write { patient, device, subject }) => {
                    writes.push(Write { identity, patient, device, subject });
                }
                // The searches are not of one moment: both may have been created after the Patient was looked for and
                // before the Device was. Looking again sees the Patient of every Device seen before.
                Err(failure) if round == 1 && failure.code == plan::MISMATCH => later.push(identity),
                Err(failure) => failed.push((identity, failure)),
            }
        }
        for (identity, written) in write::all(&self.link, writes).await? {
            match written {
                Written::Done(subject) => keep(identity, subject),
                Written::Raced => later.push(identity),
                Written::Refused(failure) => failed.push((identity, failure)),
            }
        }
        resolutions.extend(failed.into_iter().map(|(identity, failure)| (identity, Err(failure))));
        Ok(later)
    }

    fn base_urls(&self) -> Vec<&str> {
        let others = self.settings.other_base_urls.iter().map(String::as_str);
        std::iter::once(self.link.client().endpoint()).chain(others).collect()
    }

    fn rules<'a>(&'a self, base_urls: &'a [&'a str]) -> Rules<'a> {
        let device_system = self.settings.device_identifier_system.as_deref();
        Rules { mode: self.settings.mode, device_system, base_urls }
    }

    /// Groups with their subject, and the letters of the others.
    fn sort(
        &self,
        groups: Vec<MeasurementGroup>,
        resolutions: &Resolutions,
    ) -> (Vec<ResolvedGroup>, Vec<Tracked<DeadLetter>>) {
        let mut resolved = Vec::with_capacity(groups.len());
        let mut letters = Vec::new();
        for group in groups {
            match resolutions.get(&Identity::of(&group.key)) {
                Some(Ok(subject)) => resolved.push(ResolvedGroup { group, subject: Arc::clone(subject) }),
                Some(Err(failure)) => self.bury(group, failure, &mut letters),
                // Every identity of the batch was resolved or refused; abandoning is the safe end of a fault here.
                None => drop(group),
            }
        }
        (resolved, letters)
    }

    fn bury(&self, group: MeasurementGroup, failure: &IdentityFailure, letters: &mut Vec<Tracked<DeadLetter>>) {
        for contribution in group.contributions {
            let cause = Cause {
                stage: Stage::Resolve,
                code: failure.code,
                reason: failure.reason.clone(),
                template: None,
                mapping: contribution.mapping,
            };
            letters.push(cause.letter(&contribution.envelope, contribution.receipt, self.clock.now()));
        }
    }
}

#[cfg(test)]
mod tests;
