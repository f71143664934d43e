//! Requests until they are answered: the one place where the pipeline retries.
//!
//! Problems of the server are repeated without end, because giving up would lose readings; meanwhile receipts stay open
//! and the sources stand still. What an operator must mend is announced as `Halted` and tried again now and then.
//! Only requests without an answer that counts are sent again. A lost answer counts as unknown, which is safe as long as
//! requests are conditional or may be repeated.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bundle::{Answer, Request};
use super::error::SubmitError;
use super::http::FhirClient;
use super::retry::RetrySettings;
use crate::model::connector_state::ConnectorState;
use crate::model::fate::Fate;
use crate::telemetry::chain;
use crate::telemetry::meters::LinkMeters;

/// Attempts of one entry that the server answers with 500 or 501 while it processes the Bundle around it. More cannot
/// help: it is that entry which the server cannot take.
const ENTRY_ATTEMPTS_MAX: u32 = 10;

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
    give_up: CancellationToken,
    meters: LinkMeters,
}

/// Requests that travel together, by their place in the list, and how often they failed.
struct Part {
    places: Vec<usize>,
    failures: u32,
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
        Self { connector, client, settings, state, give_up, meters }
    }

    /// Whether the connector delivers, now and from now on.
    pub(crate) fn state(&self) -> watch::Receiver<ConnectorState> {
        self.state.subscribe()
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
        let mut answers: Vec<Option<Answer>> = vec![None; requests.len()];
        let mut parts = self.parts(requests);
        while let Some(part) = parts.pop_front() {
            let chosen: Vec<&Request> = part.places.iter().filter_map(|place| requests.get(*place)).collect();
            let began = Instant::now();
            let submitted = tokio::select! {
                biased;
                () = self.give_up.cancelled() => return Err(GivenUp),
                submitted = self.client.submit(chosen.into_iter()) => submitted,
            };
            self.meters.submitted(submitted.is_ok(), began.elapsed());
            match submitted {
                Ok(part_answers) => self.keep(part, part_answers, &mut answers, &mut parts).await?,
                Err(error) => self.react(part, &error, &mut answers, &mut parts).await?,
            }
        }
        Ok(answers.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Cuts the requests into Bundles.
    fn parts(&self, requests: &[Request]) -> VecDeque<Part> {
        let mut parts = VecDeque::new();
        let (mut places, mut bytes) = (Vec::new(), 0_usize);
        for (place, request) in requests.iter().enumerate() {
            let size = size(request);
            let full = places.len() >= self.settings.entries_max || bytes + size > self.settings.bytes_max;
            if full && !places.is_empty() {
                parts.push_back(Part { places: std::mem::take(&mut places), failures: 0 });
                bytes = 0;
            }
            places.push(place);
            bytes += size;
        }
        if !places.is_empty() {
            parts.push_back(Part { places, failures: 0 });
        }
        parts
    }

    /// Keeps the answers that count, and puts the rest in front again.
    async fn keep(
        &self,
        part: Part,
        part_answers: Vec<Answer>,
        answers: &mut [Option<Answer>],
        parts: &mut VecDeque<Part>,
    ) -> Result<(), GivenUp> {
        let failures = part.failures + 1;
        let mut again = Vec::new();
        let mut halted = None;
        for (place, answer) in part.places.into_iter().zip(part_answers) {
            let hopeless = failures >= ENTRY_ATTEMPTS_MAX && matches!(answer.status, 500 | 501);
            match answer.fate() {
                Some(fate) if !hopeless => {
                    if fate == Fate::Halt {
                        halted = Some(answer.status);
                    }
                    again.push((place, answer.status));
                }
                Some(_) | None => set(answers, place, answer),
            }
        }
        let Some((_, status)) = again.first().copied() else {
            self.announce(ConnectorState::Running);
            return Ok(());
        };
        let places = again.into_iter().map(|(place, _)| place).collect();
        parts.push_front(Part { places, failures });
        match halted {
            Some(status) => self.halt(format!("{} answered {status} to entries", self.client.endpoint())).await,
            None => {
                self.meters.repeated();
                self.announce(ConnectorState::Retrying {
                    reason: format!("{} answered {status} to entries", self.client.endpoint()),
                });
                self.pause(failures, None).await
            }
        }
    }

    /// Decides about a Bundle that was not processed as a whole.
    async fn react(
        &self,
        part: Part,
        error: &SubmitError,
        answers: &mut [Option<Answer>],
        parts: &mut VecDeque<Part>,
    ) -> Result<(), GivenUp> {
        let failures = part.failures + 1;
        match (error.fate(), error) {
            (Fate::Split, _) if part.places.len() > 1 => {
                let (first, second) = part.places.split_at(part.places.len() / 2);
                parts.push_front(Part { places: second.to_vec(), failures: part.failures });
                parts.push_front(Part { places: first.to_vec(), failures: part.failures });
                Ok(())
            }
            (Fate::Split, SubmitError::Refused { status, diagnosis, .. }) => {
                for place in part.places {
                    let diagnosis = diagnosis.clone();
                    set(answers, place, Answer { status: *status, diagnosis, ..Answer::default() });
                }
                Ok(())
            }
            (Fate::Halt, _) => {
                parts.push_front(Part { places: part.places, failures });
                self.halt(chain(error)).await
            }
            (Fate::Retry(asked), _) => {
                parts.push_front(Part { places: part.places, failures });
                self.meters.repeated();
                self.announce(ConnectorState::Retrying { reason: chain(error) });
                self.pause(failures, asked).await
            }
            (Fate::Split, _) => {
                parts.push_front(Part { places: part.places, failures });
                self.meters.repeated();
                self.announce(ConnectorState::Retrying { reason: chain(error) });
                self.pause(failures, None).await
            }
        }
    }

    async fn halt(&self, reason: String) -> Result<(), GivenUp> {
        self.announce(ConnectorState::Halted { reason });
        self.wait(self.settings.retry.pause_halted).await
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
            () = self.give_up.cancelled() => Err(GivenUp),
        }
    }

    /// Tells of a change of state, once for each change.
    fn announce(&self, state: ConnectorState) {
        let changed = self.state.send_if_modified(|current| {
            let changed = *current != state;
            if changed {
                current.clone_from(&state);
            }
            changed
        });
        if !changed {
            return;
        }
        match state {
            ConnectorState::Running => tracing::info!(connector = %self.connector, "delivering again"),
            ConnectorState::Retrying { reason } => {
                tracing::warn!(connector = %self.connector, error = %reason, "fhir server does not take bundles, retrying");
            }
            ConnectorState::Halted { reason } => {
                tracing::error!(connector = %self.connector, error = %reason, "connector halted until the cause is mended");
            }
        }
    }
}

fn set(answers: &mut [Option<Answer>], place: usize, answer: Answer) {
    if let Some(slot) = answers.get_mut(place) {
        *slot = Some(answer);
    }
}

fn size(request: &Request) -> usize {
    match request {
        Request::Get { url } => url.len(),
        Request::Put { url, resource, .. } => url.len() + resource.len(),
    }
}

/// A number nobody can predict; the standard library seeds its hashers so.
pub(crate) fn dice() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
