//! Requests until they are answered: the one place where the pipeline retries.
//!
//! Problems of the server are repeated without end, because giving up would lose readings; meanwhile receipts stay open
//! and the sources stand still. What an operator must mend is announced as `Halted` and tried again now and then.
//! Only requests without an answer that counts are sent again. A lost answer counts as unknown, which is safe as long as
//! requests are conditional or may be repeated.
//!
//! An entry that fails while others of its kind are taken is given up after a number of attempts, so that it does not
//! hold up what comes after it; `policy` says when an entry is suspected.

mod part;
mod proof;

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::part::{Part, cut};
use self::proof::{Moment, Taken};
use super::bundle::{Answer, Request};
use super::error::SubmitError;
use super::http::FhirClient;
use super::retry::RetrySettings;
use crate::model::connector_state::{ConnectorState, Trouble};
use crate::model::fate::Fate;
use crate::telemetry::chain;
use crate::telemetry::meters::LinkMeters;

/// Attempts of an entry that fails while the server takes others of its kind. More cannot help.
const ATTEMPTS_MAX: u32 = 10;
/// Attempts of an entry that fails alone while there is nothing else to send, so that all that is known of the server is
/// that it says what it can do. With the pauses between them this is half an hour, as a short failure of its disk may take.
const LONE_ATTEMPTS_MAX: u32 = 60;

/// Sizes and pauses.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    /// Entries in one Bundle.
    pub(crate) entries_max: usize,
    /// Bytes of resources in one Bundle. A resource larger than that travels alone.
    pub(crate) bytes_max: usize,
    /// The pauses between attempts.
    pub(crate) retry: RetrySettings,
    /// Numbers that decide how long each pause is, within its bounds.
    pub(crate) dice: fn() -> u64,
}

/// The program ended before every request had an answer. What was asked may or may not have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("given up at shutdown")]
pub(crate) struct GivenUp;

/// The way to one FHIR server, for one connector.
#[derive(Debug)]
pub(crate) struct Link {
    connector: Arc<str>,
    client: FhirClient,
    settings: LinkSettings,
    state: watch::Sender<ConnectorState>,
    taken: Taken,
    hurry: Arc<Notify>,
    give_up: CancellationToken,
    meters: LinkMeters,
}

/// Requests on their way to being answered.
struct Exchange<'a> {
    requests: &'a [Request],
    answers: Vec<Option<Answer>>,
    /// What is to be sent, in this order.
    parts: VecDeque<Part>,
    /// Attempts in a row of which nothing came: the longer, the longer the pauses.
    idle: u32,
}

/// Why something is to be done again.
struct Setback {
    code: &'static str,
    reason: String,
    /// Whether an operator must mend something first.
    halts: bool,
    /// How long the server asked to be left alone.
    asked: Option<Duration>,
}

impl Link {
    /// A way to the server of `client` that ends when `give_up` is cancelled.
    pub(crate) fn new(
        connector: Arc<str>,
        client: FhirClient,
        settings: LinkSettings,
        give_up: CancellationToken,
    ) -> Self {
        let (state, _unwatched) = watch::channel(ConnectorState::Running);
        let meters = LinkMeters::new(&connector);
        let (taken, hurry) = (Taken::default(), Arc::default());
        Self { connector, client, settings, state, taken, hurry, give_up, meters }
    }

    /// Whether the connector delivers, now and from now on.
    pub(crate) fn state(&self) -> watch::Receiver<ConnectorState> {
        self.state.subscribe()
    }

    /// Ends the pauses under way when notified, so that what waits is tried at once.
    pub(crate) fn hurry(&self) -> Arc<Notify> {
        Arc::clone(&self.hurry)
    }

    /// Name of the connector it is for.
    pub(crate) fn connector(&self) -> &Arc<str> {
        &self.connector
    }

    /// The server at the other end.
    pub(crate) fn client(&self) -> &FhirClient {
        &self.client
    }

    /// Answers to all requests, in their order. Requests must not depend on one another.
    ///
    /// A status of 400 and above among the answers is final: the server refuses, or what the request hangs on is not so.
    ///
    /// # Errors
    /// When the program ends first.
    pub(crate) async fn exchange(&self, requests: &[Request]) -> Result<Vec<Answer>, GivenUp> {
        let parts = cut(requests, &self.settings);
        let mut exchange = Exchange { requests, answers: vec![None; requests.len()], parts, idle: 0 };
        while let Some(part) = exchange.parts.pop_front() {
            let chosen: Vec<&Request> = part.places.iter().filter_map(|place| requests.get(*place)).collect();
            let began = Instant::now();
            let submitted = tokio::select! {
                biased;
                () = self.give_up.cancelled() => return Err(GivenUp),
                submitted = self.client.submit(chosen.into_iter()) => submitted,
            };
            self.meters.submitted(submitted.is_ok(), began.elapsed());
            let setback = match submitted {
                Ok(answers) => self.keep(part, answers, &mut exchange).await?,
                Err(error) => self.react(part, &error, &mut exchange).await?,
            };
            if let Some(setback) = setback {
                exchange.idle = exchange.idle.saturating_add(1);
                self.recover(setback, exchange.idle).await?;
            }
        }
        Ok(exchange.answers.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Keeps the answers that stand, and puts what is left behind the rest.
    async fn keep(
        &self,
        part: Part,
        answers: Vec<Answer>,
        exchange: &mut Exchange<'_>,
    ) -> Result<Option<Setback>, GivenUp> {
        let since = part.suspected_at.unwrap_or_else(|| self.taken.now());
        let of_part = part.places.iter().filter_map(|place| exchange.requests.get(*place));
        if self.taken.note(of_part.zip(&answers)) {
            exchange.idle = 0;
        }
        let (mut patient, mut suspects, mut setback) = (Vec::new(), Vec::new(), None::<Setback>);
        for (place, answer) in part.places.into_iter().zip(answers) {
            let Some(fate) = answer.fate() else {
                exchange.answer(place, answer);
                continue;
            };
            // Where others are taken the operator has nothing to mend; this one is not welcome.
            let halts = fate == Fate::Halt && !self.is_proven(place, since, exchange);
            if setback.as_ref().is_none_or(|setback| halts && !setback.halts) {
                let reason = format!("{} answered {} to entries", self.client.endpoint(), answer.status);
                setback = Some(Setback { code: answer.code(), reason, halts, asked: None });
            }
            match fate {
                Fate::Suspect { .. } | Fate::Halt if !halts => suspects.push((place, answer)),
                Fate::Suspect { .. } | Fate::Halt | Fate::Retry(_) | Fate::Split => patient.push(place),
            }
        }
        let failures = part.failures.saturating_add(1);
        let left = self.doubt(suspects, failures, since, exchange).await?;
        if patient.is_empty() && left.is_empty() {
            self.announce(ConnectorState::Running);
            return Ok(None);
        }
        if !patient.is_empty() {
            exchange.parts.push_back(Part::of(patient));
        }
        if !left.is_empty() {
            exchange.put_back(Part { places: left, failures, suspected_at: Some(since) }, ATTEMPTS_MAX);
        }
        Ok(setback)
    }

    /// Decides about a Bundle that was not processed as a whole.
    async fn react(
        &self,
        mut part: Part,
        error: &SubmitError,
        exchange: &mut Exchange<'_>,
    ) -> Result<Option<Setback>, GivenUp> {
        let mut setback = Setback { code: error.code(), reason: chain(error), halts: false, asked: None };
        match error.fate() {
            Fate::Split => {
                match *part.places.as_slice() {
                    [place] => exchange.answer(place, error.answer()),
                    _ => part.halves().rev().for_each(|half| exchange.parts.push_front(half)),
                }
                return Ok(None);
            }
            Fate::Halt => {
                setback.halts = true;
                exchange.parts.push_front(part);
            }
            Fate::Retry(asked) => {
                setback.asked = asked;
                exchange.parts.push_front(part);
            }
            Fate::Suspect { attempts } => {
                part.failures = part.failures.saturating_add(1);
                let since = *part.suspected_at.get_or_insert_with(|| self.taken.now());
                if let [place] = *part.places.as_slice() {
                    part.places = self.doubt(vec![(place, error.answer())], part.failures, since, exchange).await?;
                }
                if part.places.is_empty() {
                    self.announce(ConnectorState::Running);
                    return Ok(None);
                }
                exchange.put_back(part, attempts);
            }
        }
        Ok(Some(setback))
    }

    /// Gives up the entries that are to blame, with these answers, and gives back the others.
    async fn doubt(
        &self,
        suspects: Vec<(usize, Answer)>,
        failures: u32,
        since: Moment,
        exchange: &mut Exchange<'_>,
    ) -> Result<Vec<usize>, GivenUp> {
        let is_alone = suspects.len() == 1;
        let mut left = Vec::new();
        for (place, answer) in suspects {
            let hopeless = failures >= ATTEMPTS_MAX && self.is_proven(place, since, exchange)
                || is_alone && failures >= LONE_ATTEMPTS_MAX && self.server_speaks().await?;
            if !hopeless {
                left.push(place);
                continue;
            }
            tracing::warn!(
                connector = %self.connector, status = answer.status, attempts = failures,
                "fhir server takes others but never this entry, given up"
            );
            exchange.answer(place, answer);
        }
        Ok(left)
    }

    /// Whether the server took another of the kind since.
    fn is_proven(&self, place: usize, since: Moment, exchange: &Exchange<'_>) -> bool {
        exchange.requests.get(place).is_some_and(|request| self.taken.since(since, request))
    }

    /// Whether the server says what it can do: weak proof, for when there is nothing else to ask.
    async fn server_speaks(&self) -> Result<bool, GivenUp> {
        tokio::select! {
            biased;
            () = self.give_up.cancelled() => Err(GivenUp),
            version = self.client.fhir_version() => Ok(version.is_ok()),
        }
    }

    /// Tells what is in the way, and waits.
    async fn recover(&self, setback: Setback, idle: u32) -> Result<(), GivenUp> {
        let Setback { code, reason, halts, asked } = setback;
        self.meters.set_back(code, halts);
        let retry = self.settings.retry;
        let pause = if halts { retry.pause_halted } else { retry.pause(idle, asked, (self.settings.dice)()) };
        let now = Instant::now();
        let trouble = Trouble { code, reason, since: now, next_attempt: now + pause };
        self.announce(if halts { ConnectorState::Halted(trouble) } else { ConnectorState::Retrying(trouble) });
        self.wait(pause).await
    }

    /// Waits before the next attempt; also for stages whose own reason to repeat is contention.
    ///
    /// # Errors
    /// When the program ends first.
    pub(crate) async fn pause(&self, failures: u32, asked: Option<Duration>) -> Result<(), GivenUp> {
        self.wait(self.settings.retry.pause(failures, asked, (self.settings.dice)())).await
    }

    async fn wait(&self, pause: Duration) -> Result<(), GivenUp> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.hurry.notified() => Ok(()),
            () = self.give_up.cancelled() => Err(GivenUp),
        }
    }

    /// Tells of a change of state; logs it once for each cause.
    fn announce(&self, mut state: ConnectorState) {
        let mut is_news = false;
        self.state.send_if_modified(|current| {
            is_news = state.adopt(current);
            let changed = *current != state;
            if changed {
                current.clone_from(&state);
            }
            changed
        });
        match state {
            _ if !is_news => {}
            ConnectorState::Running => tracing::info!(connector = %self.connector, "delivering again"),
            ConnectorState::Retrying(Trouble { code, reason, .. }) => {
                tracing::warn!(connector = %self.connector, code, error = %reason, "fhir server does not take bundles, retrying");
            }
            ConnectorState::Halted(Trouble { code, reason, .. }) => {
                tracing::error!(connector = %self.connector, code, error = %reason, "connector halted until the cause is mended");
            }
        }
    }
}

impl Exchange<'_> {
    /// Ends a request.
    fn answer(&mut self, place: usize, answer: Answer) {
        if let Some(slot) = self.answers.get_mut(place) {
            *slot = Some(answer);
        }
    }

    /// Puts a part behind the rest, so that it holds up nobody; in halves after so many failures.
    fn put_back(&mut self, part: Part, attempts: u32) {
        if part.failures >= attempts {
            self.parts.extend(part.halves());
        } else {
            self.parts.push_back(part);
        }
    }
}

/// A number nobody can predict; the standard library seeds its hashers so.
pub(crate) fn dice() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
