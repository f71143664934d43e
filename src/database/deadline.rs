//! A bound on how long a job of the writer may search.
//!
//! All writes wait for the one writer, so a search inside a job, to find out what a condition means, must not take its
//! time. Only searches are ever interrupted: SQLite undoes the whole transaction when it has to interrupt a change.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Steps of SQLite's machine between two looks at the clock: well below a millisecond.
pub(super) const STEPS_PER_LOOK: i32 = 1_000;

thread_local! {
    /// When the search that this thread runs is to be interrupted.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs a search of a job of the writer; its statements are interrupted once it has taken as long as `limit`.
pub(crate) fn interrupted_after<T>(limit: Duration, search: impl FnOnce() -> T) -> T {
    /// Ends the bound, also when the search panics: what the writer does next must not be interrupted.
    struct Bound;
    impl Drop for Bound {
        fn drop(&mut self) {
            DEADLINE.set(None);
        }
    }
    DEADLINE.set(Instant::now().checked_add(limit));
    let _bound = Bound;
    search()
}

/// Whether the search that this thread runs is to be interrupted.
pub(super) fn has_passed() -> bool {
    DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline)
}
