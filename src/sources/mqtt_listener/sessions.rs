//! What outlives a connection: which client ids have a session, which connection speaks for each, and the packet ids of
//! QoS 2 publications whose message is durable but whose handshake is not finished.
//!
//! Sessions live in memory. After a restart the answer to a device is honestly "no session", upon which it sends again
//! what was not answered; nothing is lost, because nothing is answered before it is durable. Subscriptions would be part
//! of a session too, but none are ever granted.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The sessions of one listener.
#[derive(Debug)]
pub(super) struct Sessions {
    book: Mutex<Book>,
    /// Most sessions kept for clients that are away; the one nearest its end makes room.
    away_max: usize,
}

#[derive(Debug, Default)]
struct Book {
    sessions: HashMap<Arc<str>, Session>,
    opened: u64,
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
    client_id: Arc<str>,
    number: u64,
    /// Packet ids of unfinished QoS 2 handshakes if a former session goes on, which may be none; `None` for a new one.
    pub(super) resumed: Option<BTreeSet<u16>>,
    /// Told when another connection of the same client id has come.
    pub(super) taken_over: CancellationToken,
}

impl Sessions {
    /// No sessions yet, and at most `away_max` of clients that are away.
    pub(super) fn new(away_max: usize) -> Self {
        Self { book: Mutex::default(), away_max }
    }

    /// Opens the client's session for a new connection; the connection that had it is told that it is over.
    pub(super) fn open(self: &Arc<Self>, client_id: &str, start: Start) -> Seat {
        let mut book = self.book();
        book.opened = book.opened.saturating_add(1);
        let number = book.opened;
        let former = book.sessions.remove(client_id);
        if let Some(former) = &former {
            former.taken_over.cancel();
        }
        let now = Instant::now();
        let resumed = former
            .filter(|former| start == Start::Resume && former.ends_at.is_none_or(|end| now < end))
            .map(|former| former.received);
        let client_id: Arc<str> = Arc::from(client_id);
        let taken_over = CancellationToken::new();
        let session = Session {
            seat: number,
            taken_over: taken_over.clone(),
            received: resumed.clone().unwrap_or_default(),
            ends_at: None,
        };
        book.sessions.insert(Arc::clone(&client_id), session);
        Seat { sessions: Arc::clone(self), client_id, number, resumed, taken_over }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
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
        let Some(session) = book.sessions.get_mut(&self.client_id).filter(|session| session.seat == self.number) else {
            return;
        };
        match now.checked_add(expiry).filter(|_| !expiry.is_zero()) {
            Some(end) => session.ends_at = Some(end),
            None => drop(book.sessions.remove(&self.client_id)),
        }
        book.make_room(now, self.sessions.away_max);
    }

    fn with_session<R>(&self, change: impl FnOnce(&mut Session) -> R) -> Option<R> {
        let mut book = self.sessions.book();
        book.sessions.get_mut(&self.client_id).filter(|session| session.seat == self.number).map(change)
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
            let ends = self.sessions.iter().filter_map(|(client_id, session)| Some((session.ends_at?, client_id)));
            let Some(first_to_end) = ends.min().map(|(_, client_id)| Arc::clone(client_id)) else {
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

    use super::{Sessions, Start};

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test(start_paused = true)]
    async fn a_session_goes_on_until_it_expires() {
        let sessions = Arc::new(Sessions::new(10));
        let seat = sessions.open("monitor", Start::Resume);
        assert_eq!(seat.resumed, None);
        assert!(seat.remember(7));
        seat.leave(HOUR);
        let seat = sessions.open("monitor", Start::Resume);
        assert_eq!(seat.resumed, Some(BTreeSet::from([7])));
        seat.leave(HOUR);
        tokio::time::advance(HOUR).await;
        assert_eq!(sessions.open("monitor", Start::Resume).resumed, None);
    }

    #[tokio::test]
    async fn a_clean_start_forgets() {
        let sessions = Arc::new(Sessions::new(10));
        let seat = sessions.open("monitor", Start::Resume);
        seat.leave(HOUR);
        assert_eq!(sessions.open("monitor", Start::Clean).resumed, None);
    }

    #[tokio::test]
    async fn a_seat_taken_over_changes_nothing_any_more() {
        let sessions = Arc::new(Sessions::new(10));
        let former = sessions.open("monitor", Start::Resume);
        let latter = sessions.open("monitor", Start::Resume);
        assert!(former.taken_over.is_cancelled() && !latter.taken_over.is_cancelled());
        assert_eq!(latter.resumed, Some(BTreeSet::new()));
        assert!(!former.remember(7));
        former.leave(Duration::ZERO);
        assert!(latter.remember(8) && latter.forget(8) && !latter.forget(8));
    }

    #[tokio::test]
    async fn a_seat_that_is_dropped_ends_its_session() {
        let sessions = Arc::new(Sessions::new(10));
        drop(sessions.open("monitor", Start::Resume));
        assert_eq!(sessions.open("monitor", Start::Resume).resumed, None);
    }

    #[tokio::test]
    async fn the_session_that_would_end_first_makes_room() {
        let sessions = Arc::new(Sessions::new(1));
        sessions.open("short", Start::Resume).leave(HOUR);
        sessions.open("long", Start::Resume).leave(HOUR * 2);
        assert_eq!(sessions.open("short", Start::Resume).resumed, None);
        assert_eq!(sessions.open("long", Start::Resume).resumed, Some(BTreeSet::new()));
    }
}
