//! Wall time, the one thing besides randomness that tests must own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// Where the time of day comes from. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    /// Microseconds since 1970 when a test has stopped the clock, else `None`.
    stopped_at: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// A clock that shows `time` until `advance_to` moves it.
    #[cfg(test)]
    pub(crate) fn stopped(time: Timestamp) -> Self {
        Self { stopped_at: Some(Arc::new(AtomicI64::new(time.as_microsecond()))) }
    }

    /// Moves a stopped clock; a running one goes on as it is.
    #[cfg(test)]
    pub(crate) fn advance_to(&self, time: Timestamp) {
        if let Some(stopped_at) = &self.stopped_at {
            stopped_at.store(time.as_microsecond(), Ordering::Release);
        }
    }

    /// The time now, to the microsecond.
    pub(crate) fn now(&self) -> Timestamp {
        self.stopped_at
            .as_ref()
            .and_then(|stopped_at| Timestamp::from_microsecond(stopped_at.load(Ordering::Acquire)).ok())
            .unwrap_or_else(Timestamp::now)
    }
}
