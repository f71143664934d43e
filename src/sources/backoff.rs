//! How long to wait before a connection is tried again.

use std::time::Duration;

use uuid::Uuid;

/// Exponential back-off with jitter: each wait is between a half and the whole of a span that doubles up to a bound, so
/// that clients cut off together do not come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    span: Duration,
}

impl Backoff {
    /// Starts with `min` and never waits longer than `max`.
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, span: min }
    }

    /// The next wait.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let half = self.span / 2;
        self.span = self.span.saturating_mul(2).min(self.max);
        let [random, ..] = Uuid::new_v4().into_bytes();
        half + half.saturating_mul(u32::from(random)) / u32::from(u8::MAX)
    }

    /// Starts over, after a success.
    pub(crate) fn reset(&mut self) {
        self.span = self.min;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn waits_double_up_to_the_bound_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(400));
        for span in [100, 200, 400, 400] {
            let wait = backoff.next_wait();
            assert!(wait >= Duration::from_millis(span / 2) && wait <= Duration::from_millis(span), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
