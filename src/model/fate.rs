//! What is done about a failure of a running pipeline.

use std::time::Duration;

/// What is done about a failure. Every failure of the running pipeline has one, decided in one place for its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Do it again, not before the time the peer asked for, if it asked, and without end. Repeats do no harm, because
    /// writes are conditional.
    Retry(Option<Duration>),
    /// Do it again in smaller parts. What is refused by itself can never succeed and goes to the dead letters.
    Split,
    /// Do it again; after so many attempts in smaller parts, because one thing in it may be to blame. What fails by itself,
    /// again and again, while the peer takes others, goes to the dead letters.
    Suspect {
        /// Attempts of the whole.
        attempts: u32,
    },
    /// An operator must mend something first. Nothing is acknowledged, and it is tried again now and then.
    Halt,
}
