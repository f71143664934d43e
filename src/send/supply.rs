//! What is to be sent, and when. Progress is drawn on a terminal and nowhere else.
//!
//! Messages are numbered from 0; with repetition the numbers go on past the end of the file.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Repeat, SendOptions};
use crate::sources::replay::{self, ReplayError};

/// The messages of a sending, its pace and its progress.
pub(super) struct Supply {
    messages: Vec<Bytes>,
    pace: Option<Pace>,
    /// How many messages there are; `None` without end.
    pub(super) total: Option<u64>,
    /// Counts what was acknowledged.
    pub(super) progress: ProgressBar,
    /// Ends the sending early.
    pub(super) stop: CancellationToken,
}

impl Supply {
    /// Reads the file. The pace begins now.
    ///
    /// # Errors
    /// When the file has no messages.
    pub(super) fn open(options: &SendOptions) -> Result<Self, ReplayError> {
        let messages = replay::read(&options.file)?;
        let total = match options.repeat {
            Repeat::Once => Some(u64::try_from(messages.len()).unwrap_or(u64::MAX)),
            Repeat::Forever => None,
        };
        let pace = options.rate.map(|rate| Pace { rate, start: Instant::now(), sent: 0 });
        Ok(Self { messages, pace, total, progress: progress(total), stop: options.stop.clone() })
    }

    /// The message with this number.
    pub(super) fn message(&self, number: u64) -> Option<&Bytes> {
        let count = u64::try_from(self.messages.len()).ok()?;
        self.messages.get(usize::try_from(number.checked_rem(count)?).ok()?)
    }

    /// Whether the pace allows another message now.
    pub(super) fn is_due(&self) -> bool {
        self.pace.as_ref().is_none_or(|pace| pace.due_at() <= Instant::now())
    }

    /// Waits until another message is due; for ever when it need not be waited for.
    pub(super) async fn due(&self) {
        match &self.pace {
            Some(pace) => sleep_until(pace.due_at()).await,
            None => std::future::pending().await,
        }
    }

    /// Another message has gone out.
    pub(super) fn sent(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.sent = pace.sent.saturating_add(1);
        }
    }
}

/// A number of messages a second, evenly spread. What a lost connection held up is caught up on.
struct Pace {
    rate: NonZeroU32,
    start: Instant,
    sent: u64,
}

impl Pace {
    fn due_at(&self) -> Instant {
        let rate = u64::from(self.rate.get());
        let after = Duration::from_secs(self.sent / rate) + Duration::from_secs(self.sent % rate) / self.rate.get();
        self.start + after
    }
}

/// Drawn on a terminal; hidden anywhere else.
fn progress(total: Option<u64>) -> ProgressBar {
    let (progress, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "{wide_bar} {human_pos}/{human_len} acknowledged, {per_sec}, {eta} left")
        }
        None => (ProgressBar::no_length(), "{spinner} {human_pos} acknowledged, {per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => progress.with_style(style),
        Err(_template) => progress,
    }
}
