//! How fast something may go on: so many a second, and after a pause as many at once.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// A bound on a rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// One takes so long.
    interval: Duration,
    /// When all that went on would have taken its time.
    paid_at: Instant,
}

impl Pace {
    /// So many a second.
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { interval: SECOND / per_second.get(), paid_at: Instant::now() }
    }

    /// When the next may go on, which may be past.
    pub(super) fn opens_at(&self) -> Instant {
        let ahead = SECOND.saturating_sub(self.interval);
        self.paid_at.checked_sub(ahead).unwrap_or(self.paid_at)
    }

    /// Whether the next may go on now.
    pub(super) fn is_open(&self) -> bool {
        self.opens_at() <= Instant::now()
    }

    /// One has gone on.
    pub(super) fn spend(&mut self) {
        self.paid_at = self.paid_at.max(Instant::now()) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use tokio::time::{Instant, advance, sleep_until};

    use super::Pace;

    #[tokio::test(start_paused = true)]
    async fn after_a_second_at_once_the_rest_takes_its_time() {
        let mut pace = Pace::new(NonZeroU32::new(10).unwrap());
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..15 {
            sleep_until(pace.opens_at()).await;
            times.push(start.elapsed().as_millis());
            pace.spend();
        }
        assert_eq!(times, [[0; 10].as_slice(), &[100, 200, 300, 400, 500]].concat());
        assert!(!pace.is_open());
        advance(Duration::from_secs(60)).await;
        for _ in 0..10 {
            assert!(pace.is_open());
            pace.spend();
        }
        assert!(!pace.is_open());
    }
}
