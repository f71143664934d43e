//! The doors of connectors: who is let in, and how many at a time.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::refusal::Refusal;
use super::{PushSettings, SOURCE};
use crate::answers::Answers;
use crate::clock::Clock;
use crate::model::envelope::Origin;
use crate::model::intake::Intake;

/// All doors, by the names of their connectors. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Doors {
    by_name: Arc<RwLock<HashMap<String, Door>>>,
}

/// The door of one connector. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Door(pub(super) Arc<Frame>);

/// What a door is made of.
pub(super) struct Frame {
    pub(super) connector: Arc<str>,
    pub(super) settings: PushSettings,
    pub(super) clock: Clock,
    pub(super) answers: Answers,
    /// Where it leads to; `None` while it is closed.
    entrance: Mutex<Option<Entrance>>,
    /// Keys of requests under way.
    pub(super) keys: Mutex<HashSet<String>>,
    requests: Arc<Semaphore>,
    messages: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    /// Messages taken since the start.
    taken: AtomicU64,
    source: Arc<str>,
}

/// Where a door leads to.
#[derive(Clone)]
pub(super) struct Entrance {
    pub(super) intake: Intake,
    /// What runs on them keeps the pipeline from ending.
    pub(super) tasks: TaskTracker,
}

impl Doors {
    /// The door of a connector from now on; none takes away the one it had.
    pub(crate) fn put(&self, connector: &str, door: Option<Door>) {
        let mut doors = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        match door {
            Some(door) => doors.insert(connector.to_owned(), door),
            None => doors.remove(connector),
        };
    }

    /// The door of a connector.
    pub(super) fn find(&self, connector: &str) -> Option<Door> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(connector).cloned()
    }
}

impl Door {
    /// A closed door of this connector. Answers to requests with a key are kept among `answers`.
    pub(crate) fn new(connector: Arc<str>, settings: PushSettings, clock: Clock, answers: Answers) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Frame {
            requests: semaphore(settings.requests_max),
            messages: semaphore(settings.in_flight_max),
            reading: semaphore(settings.reading_bytes_max),
            connector,
            settings,
            clock,
            answers,
            entrance: Mutex::default(),
            keys: Mutex::default(),
            taken: AtomicU64::new(0),
            source: Arc::from(SOURCE),
        }))
    }

    pub(super) fn open(&self, entrance: Entrance) {
        *self.0.entrance() = Some(entrance);
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        *self.0.entrance() = None;
    }
}

impl Frame {
    /// Whoever shows the token may send.
    ///
    /// # Errors
    /// Who does not.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.settings.token else { return Ok(()) };
        let shown = headers.get(AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
        let shown =
            shown.split_at_checked("Bearer ".len()).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "));
        // Digests differ anywhere when the tokens differ somewhere, so the time of the comparison tells nothing.
        let is_known =
            shown.is_some_and(|(_, shown)| Sha256::digest(shown) == Sha256::digest(token.expose().as_bytes()));
        if is_known { Ok(()) } else { Err(Refusal::unknown_sender()) }
    }

    /// Lets a request in, before anything of its body is read.
    ///
    /// # Errors
    /// When the door is closed or crowded.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let intake = self.way_in()?.intake;
        if !intake.has_room() || !intake.is_flowing() || self.messages.available_permits() == 0 {
            return Err(Refusal::crowded());
        }
        Arc::clone(&self.requests).try_acquire_owned().map_err(|_none_left| Refusal::crowded())
    }

    /// Where the door leads to.
    ///
    /// # Errors
    /// When it is closed.
    pub(super) fn way_in(&self) -> Result<Entrance, Refusal> {
        self.entrance().clone().ok_or_else(Refusal::closed)
    }

    /// Places for so many messages, until they have ended.
    ///
    /// # Errors
    /// When there are not that many.
    pub(super) fn places(&self, messages: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        acquire(&self.messages, messages)
    }

    /// Room for so many bytes that are being read.
    ///
    /// # Errors
    /// When there is not that much.
    pub(super) fn room_to_read(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        acquire(&self.reading, bytes)
    }

    /// Where the next message comes from.
    pub(super) fn origin(&self) -> Origin {
        let position = self.taken.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Origin { connector: Arc::clone(&self.connector), source: Arc::clone(&self.source), position }
    }

    fn entrance(&self) -> MutexGuard<'_, Option<Entrance>> {
        self.entrance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn acquire(places: &Arc<Semaphore>, count: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    let permit = u32::try_from(count).ok().and_then(|count| Arc::clone(places).try_acquire_many_owned(count).ok());
    permit.ok_or_else(Refusal::crowded)
}
