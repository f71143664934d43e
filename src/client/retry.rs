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

/// What `Retry-After` asks for: seconds, or a date (<https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>). A date
/// is counted from the `Date` of the same answer, because the clocks of two machines differ; without one it is left to
/// the usual pause.
pub(super) fn asked(retry_after: &str, date: Option<&str>) -> Option<Duration> {
    let retry_after = retry_after.trim();
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(retry_after).ok()?;
    let now = httpdate::parse_http_date(date?.trim()).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, proptest};

    use super::{RetrySettings, asked};

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

    #[track_caller]
    fn check_asked(retry_after: &str, date: Option<&str>, seconds: Option<u64>) {
        assert_eq!(asked(retry_after, date), seconds.map(Duration::from_secs), "{retry_after} {date:?}");
    }

    #[test]
    fn er_8_a_server_may_ask_for_time_in_seconds_or_by_date() {
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        check_asked(" 120 ", None, Some(120));
        check_asked("Sun, 06 Nov 1994 08:51:07 GMT", now, Some(90));
        check_asked("Sunday, 06-Nov-94 08:49:47 GMT", now, Some(10));
        check_asked("Sun Nov  6 08:49:38 1994", now, Some(1));
        check_asked("Sun, 06 Nov 1994 08:00:00 GMT", now, Some(0));
    }

    #[test]
    fn what_is_neither_is_left_to_the_usual_pause() {
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for retry_after in ["", "soon", "-1", "1.5", "99999999999999999999999", "1994-11-06T08:51:07Z"] {
            check_asked(retry_after, now, None);
        }
        check_asked("Sun, 06 Nov 1994 08:51:07 GMT", None, None);
        check_asked("Sun, 06 Nov 1994 08:51:07 GMT", Some("now"), None);
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
