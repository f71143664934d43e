//! How long to wait before the next attempt. Pure: neither clock nor dice.

use std::time::Duration;

/// Longest pause a server may ask for.
const ASKED_MAX: Duration = Duration::from_secs(5 * 60);

/// The pauses between attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetrySettings {
    /// Pause after the first failure; each further one doubles it.
    pub(crate) pause_first: Duration,
    /// Longest pause of the doubling.
    pub(crate) pause_max: Duration,
    /// Pause while an operator is awaited.
    pub(crate) pause_halted: Duration,
}

impl RetrySettings {
    /// The pause after failure number `attempt` (from 1): between half of the doubled pause and all of it, by `dice`;
    /// never shorter than what the server asked for, within bounds.
    pub(crate) fn pause(&self, attempt: u32, asked: Option<Duration>, dice: u64) -> Duration {
        let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let doubled = self.pause_first.saturating_mul(factor).min(self.pause_max);
        let half = doubled / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        let pause = half + Duration::from_nanos(dice % spread);
        asked.map_or(pause, |asked| pause.max(asked.min(ASKED_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, proptest};

    use super::RetrySettings;

    const SETTINGS: RetrySettings = RetrySettings {
        pause_first: Duration::from_secs(2),
        pause_max: Duration::from_secs(30),
        pause_halted: Duration::from_secs(30),
    };

    #[test]
    fn er_8_pauses_double_up_to_the_longest() {
        let pauses = (1..=6).map(|attempt| SETTINGS.pause(attempt, None, 0).as_secs());
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 15, 15]);
    }

    proptest! {
        #[test]
        fn pauses_keep_their_bounds(attempt in any::<u32>(), asked in any::<u64>(), dice in any::<u64>()) {
            let pause = SETTINGS.pause(attempt, Some(Duration::from_secs(asked)), dice);
            let asked = asked.min(300);
            assert!(pause >= Duration::from_secs(asked.max(1)) && pause <= Duration::from_secs(asked.max(30)));
        }
    }
}
