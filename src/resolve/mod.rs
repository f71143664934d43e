//! Stage: measurement groups in, groups with Device, Patient and Encounter out.
//!
//! A batch of groups costs no request when all its identities are known, and otherwise one Bundle of searches and at
//! most two of writes: the Patients, then the Devices that refer to them. Writes are conditional, so that of two
//! creators one wins and the other finds what it wrote on the next round.
//!
//! An identity that cannot be resolved sends its own groups to the dead letters; the others of the batch go on. Such
//! failures are not cached, so that a device is served as soon as it is registered (ID-15).

mod owner;
mod plan;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::mpsc;

use self::plan::{Decision, Found, Identity, IdentityFailure, Rules, decide};
use crate::client::bundle::{Answer, Request};
use crate::client::search::{Hit, Token};
use crate::client::{self, GivenUp, Link};
use crate::clock::Clock;
use crate::model::Tracked;
use crate::model::dead_letter::{Cause, DeadLetter, LetterBox, Stage};
use crate::model::group::{MeasurementGroup, ResolvedGroup};
use crate::model::subject::Subject;

pub(crate) use self::plan::IdentityMode;

/// Identities kept (ID-15).
const CACHE_MAX: u64 = 5_000;
/// How long an identity is kept after its last use (ID-15).
const CACHE_IDLE_MAX: Duration = Duration::from_secs(2 * 60 * 60);
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
}

/// The stage.
pub(crate) struct Resolve {
    settings: ResolveSettings,
    link: Arc<Link>,
    clock: Clock,
    known: Cache<Identity, Arc<Subject>>,
}

type Resolution = Result<Arc<Subject>, IdentityFailure>;

impl Resolve {
    /// The stage in front of the server behind `link`.
    pub(crate) fn new(settings: ResolveSettings, link: Arc<Link>, clock: Clock) -> Self {
        let known = Cache::builder().max_capacity(CACHE_MAX).time_to_idle(CACHE_IDLE_MAX).build();
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
            let Ok(resolutions) = self.resolve(&groups).await else { return };
            let (resolved, failed) = self.sort(groups, &resolutions);
            if !failed.is_empty() && letters.send(failed).await.is_err() {
                return;
            }
            if !resolved.is_empty() && outbox.send(resolved).await.is_err() {
                return;
            }
        }
    }

    /// Resolves every identity of a batch.
    async fn resolve(&self, groups: &[MeasurementGroup]) -> Result<HashMap<Identity, Resolution>, GivenUp> {
        let mut resolutions = HashMap::new();
        let mut unknown = Vec::new();
        for group in groups {
            let identity = Identity::of(&group.key);
            if resolutions.contains_key(&identity) || unknown.contains(&identity) {
                continue;
            }
            match self.known.get(&identity) {
                Some(subject) => drop(resolutions.insert(identity, Ok(subject))),
                None => unknown.push(identity),
            }
        }
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
        resolutions: &mut HashMap<Identity, Resolution>,
    ) -> Result<Vec<Identity>, GivenUp> {
        let hits = self.search(&unknown).await?;
        let mut later = Vec::new();
        let mut writes = Vec::new();
        let mut devices_written = HashSet::new();
        for identity in unknown {
            match self.decide(&identity, &hits) {
                Ok(Decision::Known(subject)) => self.keep(identity, subject, resolutions),
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
                Err(failure) => drop(resolutions.insert(identity, Err(failure))),
            }
        }
        later.extend(self.write(writes, resolutions).await?);
        Ok(later)
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            mode: self.settings.mode,
            device_system: self.settings.device_identifier_system.as_deref(),
            base_url: self.link.client().endpoint(),
        }
    }

    fn decide(&self, identity: &Identity, hits: &HashMap<Token, Searched>) -> Result<Decision, IdentityFailure> {
        let (mut devices, mut patients, mut encounters): (&[Hit], &[Hit], &[Hit]) = (&[], &[], &[]);
        for token in plan::tokens(identity, self.rules()) {
            let found = match hits.get(&token) {
                Some(Ok(found)) => found.as_slice(),
                Some(Err(failure)) => return Err(failure.clone()),
                None => &[],
            };
            match token.resource_type {
                "Device" => devices = found,
                "Patient" => patients = found,
                _ => encounters = found,
            }
        }
        decide(identity, self.rules(), Found { devices, patients, encounters })
    }

    /// Searches everything the identities name, all in one Bundle, and further pages in further ones.
    async fn search(&self, identities: &[Identity]) -> Result<HashMap<Token, Searched>, GivenUp> {
        let tokens: HashSet<Token> = identities.iter().flat_map(|one| plan::tokens(one, self.rules())).collect();
        let tokens: Vec<Token> = tokens.into_iter().collect();
        let searched = self.link.search(&tokens).await?;
        let judged = |(token, searched): (Token, client::search::Searched)| {
            let searched = searched.map_err(|answer| refused(&token, &answer));
            (token, searched)
        };
        Ok(tokens.into_iter().zip(searched).map(judged).collect())
    }

    /// Writes the Patients, then the Devices of those that are there; gives back what another creator was faster with.
    async fn write(
        &self,
        writes: Vec<Write>,
        resolutions: &mut HashMap<Identity, Resolution>,
    ) -> Result<Vec<Identity>, GivenUp> {
        let mut patients: Vec<Request> = Vec::new();
        for patient in writes.iter().filter_map(|write| write.patient.as_ref()) {
            if !patients.contains(patient) {
                patients.push(patient.clone());
            }
        }
        let answers = self.link.exchange(&patients).await?;
        let statuses: HashMap<&str, &Answer> = patients.iter().map(Request::url).zip(&answers).collect();
        let mut later = Vec::new();
        let mut ready = Vec::new();
        for write in writes {
            let answer = write.patient.as_ref().and_then(|patient| statuses.get(patient.url()));
            match answer.map_or(Written::Done, |answer| Written::of(answer)) {
                Written::Done => ready.push(write),
                Written::Raced => later.push(write.identity),
                Written::Refused(reason) => {
                    let failure = IdentityFailure::new("PatientNotFoundException", reason);
                    resolutions.insert(write.identity, Err(failure));
                }
            }
        }
        let devices: Vec<Request> = ready.iter().map(|write| write.device.clone()).collect();
        let answers = self.link.exchange(&devices).await?;
        for (write, answer) in ready.into_iter().zip(&answers) {
            match Written::of(answer) {
                Written::Done => self.keep(write.identity, write.subject, resolutions),
                Written::Raced => later.push(write.identity),
                Written::Refused(reason) => {
                    let failure = IdentityFailure::new("DeviceNotFoundException", reason);
                    resolutions.insert(write.identity, Err(failure));
                }
            }
        }
        Ok(later)
    }

    fn keep(&self, identity: Identity, subject: Subject, resolutions: &mut HashMap<Identity, Resolution>) {
        let subject = Arc::new(subject);
        self.known.insert(identity.clone(), Arc::clone(&subject));
        resolutions.insert(identity, Ok(subject));
    }

    /// Groups with their subject, and the letters of the others.
    fn sort(
        &self,
        groups: Vec<MeasurementGroup>,
        resolutions: &HashMap<Identity, Resolution>,
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
            let cause =
                Cause { stage: Stage::Resolve, code: failure.code, reason: failure.reason.clone(), template: None };
            letters.push(cause.letter(&contribution.envelope, contribution.receipt, self.clock.now()));
        }
    }
}

/// The hits of a search, or why it has none.
type Searched = Result<Vec<Hit>, IdentityFailure>;

/// Writes that make an identity known.
struct Write {
    identity: Identity,
    patient: Option<Request>,
    device: Request,
    subject: Subject,
}

/// What came of a write.
enum Written {
    Done,
    /// Someone else wrote first; searching again finds what.
    Raced,
    Refused(String),
}

impl Written {
    fn of(answer: &Answer) -> Self {
        match answer.status {
            200..=299 => Self::Done,
            404 | 409 | 410 | 412 => Self::Raced,
            status => {
                let diagnosis = answer.diagnosis.as_deref().unwrap_or("without saying why");
                Self::Refused(format!("the FHIR server refused to write it with status {status}: {diagnosis}"))
            }
        }
    }
}

/// Why a search has no hits that count.
fn refused(token: &Token, answer: &Answer) -> IdentityFailure {
    let code = match token.resource_type {
        "Device" => "DeviceNotFoundException",
        "Patient" => "PatientNotFoundException",
        _ => "EncounterNotFoundException",
    };
    let diagnosis = answer.diagnosis.as_deref().unwrap_or("it did not answer with a searchset");
    let (status, name) = (answer.status, token.resource_type);
    IdentityFailure::new(code, format!("the FHIR server refused to search for the {name} ({status}): {diagnosis}"))
}

#[cfg(test)]
mod tests;
