//! Sending to a connector over HTTP: requests of many messages, one after another, so that messages stay in order.
//!
//! A request that is not answered, or told to come again, is sent again under the same key, so what was stored of it is
//! neither stored nor counted twice.

mod request;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::request::{Answered, Client};
use super::supply::Supply;
use super::{SendError, SendReport};
use crate::sources::backoff::Backoff;

pub(super) use self::target::{FORM, Target};

/// Messages of one request, until the server wants fewer.
const MESSAGES_MAX: usize = 500;
/// Bytes of messages of one request, unless one has more.
const BYTES_MAX: usize = 1 << 20;
/// Longest time without an answer that all is stored, once there was an answer.
const PATIENCE: Duration = Duration::from_secs(60);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Sends everything, and waits until all is stored or dead-lettered.
///
/// # Errors
/// When the server is away for too long, or refuses a request.
pub(super) async fn send(target: Target, supply: Supply) -> Result<SendReport, SendError> {
    let unreachable = |reason| SendError::Unreachable { peer: target.peer(), reason };
    let client = Client::new(&target).map_err(unreachable)?;
    let sending = Sending { next: 0, messages_max: MESSAGES_MAX, answered_at: None, client, target, supply };
    sending.run().await
}

/// A sending that runs.
struct Sending {
    target: Target,
    supply: Supply,
    client: Client,
    /// Number of the first message that is not acknowledged.
    next: u64,
    messages_max: usize,
    /// When there first was an answer.
    answered_at: Option<Instant>,
}

impl Sending {
    async fn run(mut self) -> Result<SendReport, SendError> {
        let began = Instant::now();
        while let Some(count) = self.gather().await {
            self.insist(count).await?;
        }
        self.supply.progress.finish_and_clear();
        let elapsed = self.answered_at.map(|_| began.elapsed()).unwrap_or_default();
        Ok(SendReport { acknowledged: self.next, elapsed })
    }

    /// How many messages go into the next request, which are due now; `None` when there are no more.
    async fn gather(&mut self) -> Option<usize> {
        while !self.supply.stop.is_cancelled() && self.supply.total.is_none_or(|total| self.next < total) {
            let (mut count, mut bytes) = (0, 0);
            while count < self.messages_max
                && self.supply.is_due()
                && let Some(message) = self.message(count)
                && (count == 0 || bytes + message.len() <= BYTES_MAX)
            {
                bytes += message.len();
                count += 1;
                self.supply.sent();
            }
            if count > 0 {
                return Some(count);
            }
            let stop = self.supply.stop.clone();
            stop.run_until_cancelled(self.supply.due()).await;
        }
        None
    }

    /// The message this far behind the next one.
    fn message(&self, behind: usize) -> Option<&bytes::Bytes> {
        let number = self.next.checked_add(u64::try_from(behind).ok()?)?;
        let is_there = self.supply.total.is_none_or(|total| number < total);
        is_there.then(|| self.supply.message(number)).flatten()
    }

    /// Sends the next so many messages until they are acknowledged, in parts if the server wants that.
    async fn insist(&mut self, count: usize) -> Result<(), SendError> {
        let mut left = count;
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let mut since = Instant::now();
        while left > 0 {
            let part = left.min(self.messages_max);
            let messages = (0..part).filter_map(|behind| self.message(behind));
            let answered = self.client.post(self.next, messages).await;
            if !matches!(answered, Answered::Nothing(_)) {
                self.answered_at.get_or_insert_with(Instant::now);
            }
            match answered {
                Answered::Stored => {
                    let acknowledged = u64::try_from(part).unwrap_or(u64::MAX);
                    self.next = self.next.saturating_add(acknowledged);
                    self.supply.progress.inc(acknowledged);
                    left -= part;
                    backoff.reset();
                    since = Instant::now();
                }
                Answered::TooLarge(_) if part > 1 => self.messages_max = part / 2,
                Answered::TooLarge(reason) | Answered::Refused(reason) => {
                    return Err(SendError::Refused { peer: self.target.peer(), reason });
                }
                Answered::Later { after, reason } => {
                    self.go_on(since, reason)?;
                    sleep(after.unwrap_or_else(|| backoff.next_wait()).min(BACKOFF_MAX)).await;
                }
                Answered::Nothing(reason) => {
                    self.go_on(since, reason)?;
                    sleep(backoff.next_wait()).await;
                }
            }
        }
        Ok(())
    }

    /// Whether it is worth another attempt.
    fn go_on(&self, since: Instant, reason: String) -> Result<(), SendError> {
        let peer = self.target.peer();
        match self.answered_at {
            None => Err(SendError::Unreachable { peer, reason }),
            Some(_) if self.supply.stop.is_cancelled() || since.elapsed() > PATIENCE => {
                Err(SendError::Lost { peer, acknowledged: self.next, reason })
            }
            Some(_) => Ok(()),
        }
    }
}
