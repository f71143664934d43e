//! Room for the messages of a connector, in bytes (promise P7).
//!
//! The number of messages alone does not bound memory, because one may have a few bytes or many megabytes. A source asks
//! whether there is room before it reads on, and a message takes its room when it has been read, for only then is its
//! size known. So the bound can be exceeded, by the message that met the last bit of room; and one that is larger than
//! the whole bound passes, alone. Nothing that holds room ever waits for some: what was read goes its way through the
//! pipeline however little room is left, so that waiting for room cannot wait for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Semaphore;

/// Room for messages. What is taken is given back when the last holder of a message's body is gone.
#[derive(Debug)]
pub(crate) struct Room {
    /// A permit is a byte.
    free: Semaphore,
    /// Bytes taken beyond what was free. What is given back pays for them first.
    owed: AtomicUsize,
}

impl Room {
    /// Room for so many bytes, at least 1.
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        let free = Semaphore::new(bytes_max.clamp(1, Semaphore::MAX_PERMITS));
        Arc::new(Self { free, owed: AtomicUsize::new(0) })
    }

    /// Whether another message may be read.
    pub(super) fn is_open(&self) -> bool {
        self.free.available_permits() > 0
    }

    /// Waits until another message may be read. Those that wait are woken in turn, each when the one before it has left
    /// some room.
    pub(super) async fn opened(&self) {
        // It fails only for a semaphore that was closed, and nobody closes this one.
        drop(self.free.acquire().await);
    }

    /// Takes room for a message of so many bytes, for as long as its body is held by anyone.
    pub(crate) fn take(self: &Arc<Self>, body: Bytes, bytes: usize) -> Bytes {
        let taken = self.free.forget_permits(bytes);
        self.owed.fetch_add(bytes.saturating_sub(taken), Ordering::AcqRel);
        Bytes::from_owner(Held { body, bytes, room: Arc::clone(self) })
    }

    fn give_back(&self, bytes: usize) {
        let owed = self.owed.fetch_update(Ordering::AcqRel, Ordering::Acquire, |owed| Some(owed.saturating_sub(bytes)));
        let paid = owed.unwrap_or_else(|owed| owed).min(bytes);
        self.free.add_permits(bytes.saturating_sub(paid));
    }
}

/// A body with the room that its message takes.
struct Held {
    body: Bytes,
    bytes: usize,
    room: Arc<Room>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};
    use tokio_util::task::TaskTracker;

    use super::Room;

    fn message(room: &Arc<Room>, bytes: usize) -> Bytes {
        room.take(Bytes::from(vec![0; bytes]), bytes)
    }

    #[test]
    fn p_7_room_is_given_back_by_the_last_holder_of_a_body() {
        let room = Room::new(10);
        let body = message(&room, 10);
        let part = body.slice(3..4);
        drop(body);
        assert!(!room.is_open());
        drop(part);
        assert!(room.is_open());
    }

    #[test]
    fn p_7_a_message_larger_than_all_the_room_passes_alone() {
        let room = Room::new(10);
        let large = message(&room, 1_000);
        assert!(!room.is_open());
        let small = message(&room, 1);
        drop(large);
        assert_eq!(room.free.available_permits(), 9);
        drop(small);
        assert_eq!(room.free.available_permits(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn p_7_readers_that_outnumber_the_room_all_have_their_turn_and_never_exceed_it_by_more_than_a_message() {
        const BYTES_MAX: usize = 100;
        const MESSAGE: usize = 70;
        let room = Room::new(BYTES_MAX);
        let readers = TaskTracker::new();
        for _ in 0..50 {
            let room = Arc::clone(&room);
            readers.spawn(async move {
                for _ in 0..20 {
                    while !room.is_open() {
                        room.opened().await;
                    }
                    let body = message(&room, MESSAGE);
                    let held = BYTES_MAX - room.free.available_permits() + room.owed.load(super::Ordering::Acquire);
                    assert!(held < BYTES_MAX + MESSAGE, "{held}");
                    // What is under way takes its time, and needs no more room.
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    drop(body);
                }
            });
        }
        readers.close();
        // Time stands still unless all wait, so a reader that is never woken ends the wait.
        tokio::time::timeout(Duration::from_secs(3600), readers.wait()).await.unwrap();
        assert_eq!(room.free.available_permits(), BYTES_MAX);
    }

    proptest! {
        #[test]
        fn p_7_what_is_taken_in_any_order_is_given_back_to_the_byte(steps in vec((0_usize..40, any::<u8>()), 0..100)) {
            let room = Room::new(64);
            let mut held: Vec<Bytes> = Vec::new();
            for (bytes, choice) in steps {
                if choice % 3 == 0 && !held.is_empty() {
                    held.swap_remove(usize::from(choice) % held.len());
                } else {
                    held.push(message(&room, bytes));
                }
                let taken: usize = held.iter().map(Bytes::len).sum();
                assert_eq!(room.is_open(), taken < 64, "{taken}");
            }
            drop(held);
            assert_eq!(room.free.available_permits(), 64);
        }
    }
}
