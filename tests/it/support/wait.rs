//! Waiting for a state, never for a duration.

use std::fmt::Debug;
use std::time::Duration;

/// Asks until the answer is the wanted one.
///
/// Panics when that takes longer than `limit`, with the last answer.
pub(crate) async fn until<T: Debug>(limit: Duration, ask: impl AsyncFn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        ticks.tick().await;
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "still {answer:?} after {limit:?}");
    }
}
