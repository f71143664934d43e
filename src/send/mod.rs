//! Sends a file of messages to a broker: `vitalwire send FILE --to mqtt://host:port/topic`.
//!
//! QoS 1, at least once: it ends when every message was acknowledged, and what was on its way when a connection broke is
//! published again on the next. Progress is drawn on a terminal and nowhere else.

mod link;
mod outbox;
mod target;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::link::{Link, News};
use self::outbox::Outbox;
use self::target::Target;
use crate::sources::backoff::Backoff;
use crate::sources::replay::{self, ReplayError};

pub(crate) use self::target::TargetError;

/// Most messages on their way.
const WINDOW: u16 = 1_000;
/// Longest time without an acknowledgement while connections break, once there was one.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(60);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Longest wait for DISCONNECT to go out.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(2);

/// What to send, and where.
#[derive(Clone, Debug)]
pub(crate) struct SendOptions {
    /// NDJSON, or one JSON array.
    pub(crate) file: PathBuf,
    /// `mqtt://[user:password@]host[:port]/topic[?version=5]`.
    pub(crate) to: String,
    /// Messages a second; as fast as they are acknowledged without.
    pub(crate) rate: Option<NonZeroU32>,
    /// How often the file is sent.
    pub(crate) repeat: Repeat,
    /// Ends the sending early, once what is on its way is acknowledged.
    pub(crate) stop: CancellationToken,
}

/// How often a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Once.
    Once,
    /// Over and over, until stopped.
    Forever,
}

/// What was sent. Displays as the line to end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendReport {
    /// Messages acknowledged.
    pub(crate) acknowledged: u64,
    /// From the first connection to the last acknowledgement.
    pub(crate) elapsed: Duration,
}

/// Why not everything was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The URL names no broker and topic.
    #[error("cannot send to that URL")]
    Target(#[source] TargetError),
    /// The file has no messages to send.
    #[error("nothing to send")]
    Replay(#[source] ReplayError),
    /// There was no connection from the start.
    #[error("cannot reach the broker at {broker}: {reason}")]
    Unreachable {
        /// Host and port.
        broker: String,
        /// What went wrong.
        reason: String,
    },
    /// The connection was lost and did not come back.
    #[error("lost the broker at {broker} after {acknowledged} messages were acknowledged: {reason}")]
    Lost {
        /// Host and port.
        broker: String,
        /// Messages acknowledged before.
        acknowledged: u64,
        /// What went wrong.
        reason: String,
    },
    /// The broker does not want a message.
    #[error("the broker at {broker} refuses a message: {reason}")]
    Refused {
        /// Host and port.
        broker: String,
        /// The reason it gives.
        reason: String,
    },
}

impl fmt::Display for SendReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.elapsed.as_secs_f64();
        let millis = self.elapsed.as_millis().max(1);
        let rate = u128::from(self.acknowledged).saturating_mul(1_000) / millis;
        write!(f, "{} messages acknowledged in {secs:.1} s ({rate}/s)", self.acknowledged)
    }
}

/// Sends all messages of the file, and waits until all are acknowledged.
///
/// # Errors
/// When the options are not usable, or the broker is away for too long, or refuses a message.
pub(crate) async fn send(options: SendOptions) -> Result<SendReport, SendError> {
    let target = Target::parse(&options.to).map_err(SendError::Target)?;
    let messages = replay::read(&options.file).map_err(SendError::Replay)?;
    let total = match options.repeat {
        Repeat::Once => Some(u64::try_from(messages.len()).unwrap_or(u64::MAX)),
        Repeat::Forever => None,
    };
    let sending = Sending {
        outbox: Outbox::new(total),
        pace: options.rate.map(|rate| Pace { rate, start: Instant::now(), sent: 0 }),
        progress: progress(total),
        connected_at: None,
        stop: options.stop,
        target,
        messages,
    };
    sending.run().await
}

/// A sending that runs.
struct Sending {
    target: Target,
    messages: Vec<Bytes>,
    outbox: Outbox,
    pace: Option<Pace>,
    progress: ProgressBar,
    /// When there first was a connection.
    connected_at: Option<Instant>,
    stop: CancellationToken,
}

/// How a connection ended before all was sent.
enum Break {
    Lost(String),
    Refused(String),
}

impl Sending {
    async fn run(mut self) -> Result<SendReport, SendError> {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let (mut acknowledged, mut lost_at) = (0, Instant::now());
        while !self.outbox.is_done() {
            let reason = match self.connect_once().await {
                Ok(()) => break,
                Err(Break::Refused(reason)) => {
                    return Err(SendError::Refused { broker: self.target.broker(), reason });
                }
                Err(Break::Lost(reason)) => reason,
            };
            self.outbox.lost();
            if self.outbox.count() > acknowledged {
                acknowledged = self.outbox.count();
                lost_at = Instant::now();
                backoff.reset();
            }
            if self.is_given_up(lost_at) {
                return Err(self.gone(reason));
            }
            sleep(backoff.next_wait()).await;
        }
        self.progress.finish_and_clear();
        let elapsed = self.connected_at.map(|start| start.elapsed()).unwrap_or_default();
        Ok(SendReport { acknowledged: self.outbox.count(), elapsed })
    }

    fn is_given_up(&self, lost_at: Instant) -> bool {
        self.connected_at.is_none() || self.stop.is_cancelled() || lost_at.elapsed() > RECONNECT_PATIENCE
    }

    fn gone(&self, reason: String) -> SendError {
        let broker = self.target.broker();
        match self.connected_at {
            None => SendError::Unreachable { broker, reason },
            Some(_) => SendError::Lost { broker, acknowledged: self.outbox.count(), reason },
        }
    }

    /// Publishes on one connection until all is acknowledged.
    async fn connect_once(&mut self) -> Result<(), Break> {
        let mut link = Link::new(&self.target, WINDOW);
        let mut is_connected = false;
        let stop = self.stop.clone();
        while !self.outbox.is_done() {
            if is_connected {
                self.fill(&link)?;
            }
            let news = tokio::select! {
                () = stop.cancelled(), if !self.outbox.has_end() => {
                    self.outbox.end();
                    continue;
                }
                news = link.next() => news,
                () = due(self.pace.as_ref()), if is_connected && self.has_room() => continue,
            };
            match news.map_err(Break::Lost)? {
                News::Connected => {
                    is_connected = true;
                    self.connected_at.get_or_insert_with(Instant::now);
                }
                News::Published(packet_id) => self.outbox.published(packet_id),
                News::Acknowledged(packet_id) => {
                    self.progress.inc(u64::from(self.outbox.acknowledged(packet_id)));
                }
                News::Refused(reason) => return Err(Break::Refused(reason)),
                News::Disconnected | News::Other => {}
            }
        }
        goodbye(link).await;
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.outbox.next().is_some() && self.outbox.in_flight() < usize::from(WINDOW)
    }

    /// Requests what window and pace allow.
    fn fill(&mut self, link: &Link) -> Result<(), Break> {
        while self.has_room()
            && self.pace.as_ref().is_none_or(Pace::is_due)
            && let Some(number) = self.outbox.next()
            && let Some(message) = self.message(number)
        {
            if !link.publish(&self.target.topic, message) {
                return Err(Break::Lost("the client takes no more requests".to_owned()));
            }
            self.outbox.requested(number);
            if let Some(pace) = &mut self.pace {
                pace.sent = pace.sent.saturating_add(1);
            }
        }
        Ok(())
    }

    fn message(&self, number: u64) -> Option<&Bytes> {
        let count = u64::try_from(self.messages.len()).ok()?;
        self.messages.get(usize::try_from(number.checked_rem(count)?).ok()?)
    }
}

/// A number of messages a second, evenly spread. What a lost connection held up is caught up on.
struct Pace {
    rate: NonZeroU32,
    start: Instant,
    sent: u64,
}

impl Pace {
    fn is_due(&self) -> bool {
        self.due_at() <= Instant::now()
    }

    fn due_at(&self) -> Instant {
        let rate = u64::from(self.rate.get());
        let after = Duration::from_secs(self.sent / rate) + Duration::from_secs(self.sent % rate) / self.rate.get();
        self.start + after
    }
}

/// Waits until another message is due; for ever when it need not be waited for.
async fn due(pace: Option<&Pace>) {
    match pace {
        Some(pace) => sleep_until(pace.due_at()).await,
        None => std::future::pending().await,
    }
}

async fn goodbye(mut link: Link) {
    if !link.disconnect() {
        return;
    }
    let said = async { while !matches!(link.next().await, Ok(News::Disconnected) | Err(_)) {} };
    if timeout(GOODBYE_PATIENCE, said).await.is_err() {
        tracing::debug!("the broker did not take the goodbye in time");
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
