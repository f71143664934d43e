//! What outlives a connection: which clients have a session, which connection speaks for each, and the packet ids of
//! QoS 2 publications whose message is durable but whose handshake is not finished.
//!
//! Sessions live in memory. After a restart the answer to a device is honestly "no session", upon which it sends again
//! what was not answered; nothing is lost, because nothing is answered before it is durable. Subscriptions would be part
//! of a session too, but none are ever granted.
//!
//! A session belongs to a user and a client id, so that nobody can take over the session of another user.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::Publisher;

/// The sessions of one listener.
#[derive(Debug)]
pub(super) struct Sessions {
    book: Mutex<Book>,
    /// Most sessions kept for clients that are away; the one nearest its end makes room.
    away_max: usize,
}

#[derive(Debug, Default)]
struct Book {
    sessions: HashMap<Arc<SessionKey>, Session>,
    opened: u64,
}

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SessionKey {
    /// The user, if it has shown who it is.
    pub(super) user: Option<Arc<str>>,
    /// What the client calls itself.
    pub(super) client_id: Arc<str>,
}

impl SessionKey {
    /// As permissions know it.
    pub(super) fn publisher(&self) -> Publisher<'_> {
        Publisher { username: self.user.as_deref(), client_id: &self.client_id }
    }
}

#[derive(Debug)]
struct Session {
    /// Number of the connection that speaks for it, counted over all sessions.
    seat: u64,
    taken_over: CancellationToken,
    /// Packet ids whose PUBREC went out and whose PUBREL did not come yet.
    received: BTreeSet<u16>,
    /// When it ends; `None` while a client is connected.
    ends_at: Option<Instant>,
}

/// What the client asks of the session it may have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Forget it.
    Clean,
    /// Go on with it.
    Resume,
}

/// A connection's right to speak for a session, until another connection of the same client takes it.
#[derive(Debug)]
pub(super) struct Seat {
    sessions: Arc<Sessions>,
    /// Whose it is.
    pub(super) key: Arc<SessionKey>,
    number: u64,
    revoked: CancellationToken,
    /// Packet ids of unfinished QoS 2 handshakes if a former session goes on, which may be none; `None` for a new one.
    pub(super) resumed: Option<BTreeSet<u16>>,
    /// Told when another connection of the same client has come, or its user was revoked.
    pub(super) taken_over: CancellationToken,
}

impl Sessions {
    /// No sessions yet, and at most `away_max` of clients that are away.
    pub(super) fn new(away_max: usize) -> Self {
        Self { book: Mutex::default(), away_max }
    }

    /// Opens the client's session for a new connection, until `revoked`; the connection that had it is told that it is
    /// over.
    pub(super) fn open(self: &Arc<Self>, key: SessionKey, start: Start, revoked: &CancellationToken) -> Seat {
        let mut book = self.book();
        book.opened = book.opened.saturating_add(1);
        let number = book.opened;
        let former = book.sessions.remove(&key);
        if let Some(former) = &former {
            former.taken_over.cancel();
        }
        let now = Instant::now();
        let resumed = former
            .filter(|former| start == Start::Resume && former.ends_at.is_none_or(|end| now < end))
            .map(|former| former.received);
        let key = Arc::new(key);
        let taken_over = revoked.child_token();
        let session = Session {
            seat: number,
            taken_over: taken_over.clone(),
            received: resumed.clone().unwrap_or_default(),
            ends_at: None,
        };
        book.sessions.insert(Arc::clone(&key), session);
        Seat { sessions: Arc::clone(self), key, number, revoked: revoked.clone(), resumed, taken_over }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Whether the user of the session may no longer be connected.
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.is_cancelled()
    }

    /// Notes that the message of this packet id is durable. False when the seat was taken over: the client must not be
    /// told by this connection then.
    pub(super) fn remember(&self, packet_id: u16) -> bool {
        self.with_session(|session| session.received.insert(packet_id)).is_some()
    }

    /// Whether the handshake of this packet id waits for its PUBREL.
    pub(super) fn knows(&self, packet_id: u16) -> bool {
        self.with_session(|session| session.received.contains(&packet_id)).unwrap_or(false)
    }

    /// Ends the handshake of this packet id. False when there was none.
    pub(super) fn forget(&self, packet_id: u16) -> bool {
        self.with_session(|session| session.received.remove(&packet_id)).unwrap_or(false)
    }

    /// Leaves the session to end after `expiry`, or at once when it is zero. Nothing happens if the seat was taken over.
    pub(super) fn leave(&self, expiry: Duration) {
        let now = Instant::now();
        let mut book = self.sessions.book();
        let Some(session) = book.sessions.get_mut(&self.key).filter(|session| session.seat == self.number) else {
            return;
        };
        match now.checked_add(expiry).filter(|_| !expiry.is_zero()) {
            Some(end) => session.ends_at = Some(end),
            None => drop(book.sessions.remove(&self.key)),
        }
        book.make_room(now, self.sessions.away_max);
    }

    fn with_session<R>(&self, change: impl FnOnce(&mut Session) -> R) -> Option<R> {
        let mut book = self.sessions.book();
        book.sessions.get_mut(&self.key).filter(|session| session.seat == self.number).map(change)
    }
}

#[cfg(test)]
impl SessionKey {
    /// A client that has not shown who it is.
    pub(super) fn nameless(client_id: &str) -> Self {
        Self { user: None, client_id: client_id.into() }
    }
}

/// A connection that ended without leaving, because its task was cut off, leaves no session behind that never ends.
impl Drop for Seat {
    fn drop(&mut self) {
        if self.with_session(|session| session.ends_at.is_none()) == Some(true) {
            self.leave(Duration::ZERO);
        }
    }
}

impl Book {
    /// Drops ended sessions once there are more than `away_max` of absent clients, then those that would end first.
    fn make_room(&mut self, now: Instant, away_max: usize) {
        let away = |book: &Self| book.sessions.values().filter(|session| session.ends_at.is_some()).count();
        if self.sessions.len() <= away_max || away(self) <= away_max {
            return;
        }
        self.sessions.retain(|_, session| session.ends_at.is_none_or(|end| now < end));
        while away(self) > away_max {
            let ends = self.sessions.iter().filter_map(|(key, session)| Some((session.ends_at?, key)));
            let Some(first_to_end) = ends.min().map(|(_, key)| Arc::clone(key)) else {
                return;
            };
            self.sessions.remove(&first_to_end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::{Seat, SessionKey, Sessions, Start};

    const HOUR: Duration = Duration::from_secs(3_600);

    fn open(sessions: &Arc<Sessions>, client_id: &str, start: Start) -> Seat {
        sessions.open(SessionKey::nameless(client_id), start, &CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_goes_on_until_it_expires() {
        let sessions = Arc::new(Sessions::new(10));
        let seat = open(&sessions, "monitor", Start::Resume);
        assert_eq!(seat.resumed, None);
        assert!(seat.remember(7));
        seat.leave(HOUR);
        let seat = open(&sessions, "monitor", Start::Resume);
        assert_eq!(seat.resumed, Some(BTreeSet::from([7])));
        seat.leave(HOUR);
        tokio::time::advance(HOUR).await;
        assert_eq!(open(&sessions, "monitor", Start::Resume).resumed, None);
    }

    #[tokio::test]
    async fn a_clean_start_forgets() {
        let sessions = Arc::new(Sessions::new(10));
        let seat = open(&sessions, "monitor", Start::Resume);
        seat.leave(HOUR);
        assert_eq!(open(&sessions, "monitor", Start::Clean).resumed, None);
    }

    #[tokio::test]
    async fn a_seat_taken_over_changes_nothing_any_more() {
        let sessions = Arc::new(Sessions::new(10));
        let former = open(&sessions, "monitor", Start::Resume);
        let latter = open(&sessions, "monitor", Start::Resume);
        assert!(former.taken_over.is_cancelled() && !latter.taken_over.is_cancelled());
        assert_eq!(latter.resumed, Some(BTreeSet::new()));
        assert!(!former.remember(7));
        former.leave(Duration::ZERO);
        assert!(latter.remember(8) && latter.forget(8) && !latter.forget(8));
    }

    #[tokio::test]
    async fn a_seat_that_is_dropped_ends_its_session() {
        let sessions = Arc::new(Sessions::new(10));
        drop(open(&sessions, "monitor", Start::Resume));
        assert_eq!(open(&sessions, "monitor", Start::Resume).resumed, None);
    }

    #[tokio::test]
    async fn the_session_that_would_end_first_makes_room() {
        let sessions = Arc::new(Sessions::new(1));
        open(&sessions, "short", Start::Resume).leave(HOUR);
        open(&sessions, "long", Start::Resume).leave(HOUR * 2);
        assert_eq!(open(&sessions, "short", Start::Resume).resumed, None);
        assert_eq!(open(&sessions, "long", Start::Resume).resumed, Some(BTreeSet::new()));
    }

    #[tokio::test]
    async fn another_user_does_not_take_a_session_over() {
        let sessions = Arc::new(Sessions::new(10));
        let nameless = open(&sessions, "monitor", Start::Resume);
        let users = ["a", "b"].map(|user| {
            let key = SessionKey { user: Some(user.into()), client_id: "monitor".into() };
            sessions.open(key, Start::Resume, &CancellationToken::new())
        });
        assert!(users.iter().chain([&nameless]).all(|seat| seat.resumed.is_none() && !seat.taken_over.is_cancelled()));
        assert!(users[0].remember(7) && !users[1].knows(7));
    }
}
