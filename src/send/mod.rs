//! Sends a file of messages to where a connector takes them from: `vitalwire send FILE --to URL`.
//!
//! At least once: it ends when every message was acknowledged. The scheme of the URL names the kind of target, and each kind
//! has a folder; what is sent and at which pace is the same for all of them (`supply`).

mod http;
mod kafka;
mod mqtt;
mod supply;
mod target;

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::supply::Supply;
use self::target::Target;
use crate::sources::replay::ReplayError;

pub(crate) use self::target::TargetError;

/// What to send, and where.
#[derive(Clone, Debug)]
pub(crate) struct SendOptions {
    /// NDJSON, or one JSON array.
    pub(crate) file: PathBuf,
    /// The target as a URL; its scheme names the kind.
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

/// Why not everything was sent. A peer reads as "the broker at host:port".
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The URL names nothing that can be sent to.
    #[error("cannot send to that URL")]
    Target(#[source] TargetError),
    /// The file has no messages to send.
    #[error("nothing to send")]
    Replay(#[source] ReplayError),
    /// There can be no encrypted connection.
    #[error("cannot encrypt the connection to {peer}: {reason}")]
    Unencrypted {
        /// What should be reached.
        peer: String,
        /// What is wrong with the certificates.
        reason: String,
    },
    /// There was no connection from the start.
    #[error("cannot reach {peer}: {reason}")]
    Unreachable {
        /// What should have been reached.
        peer: String,
        /// What went wrong.
        reason: String,
    },
    /// The connection was lost and did not come back.
    #[error("lost {peer} after {acknowledged} messages were acknowledged: {reason}")]
    Lost {
        /// What was lost.
        peer: String,
        /// Messages acknowledged before.
        acknowledged: u64,
        /// What went wrong.
        reason: String,
    },
    /// A message is not wanted.
    #[error("{peer} refuses a message: {reason}")]
    Refused {
        /// Who does not want it.
        peer: String,
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
/// When the options are not usable, or the target is away for too long, or refuses a message.
pub(crate) async fn send(options: SendOptions) -> Result<SendReport, SendError> {
    let target = Target::parse(&options.to).map_err(SendError::Target)?;
    let supply = Supply::open(&options).map_err(SendError::Replay)?;
    match target {
        Target::Mqtt(target) => mqtt::send(target, supply).await,
        Target::Kafka(target) => kafka::send(target, supply).await,
        Target::Http(target) => http::send(target, supply).await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::SendReport;

    #[test]
    fn a_report_says_count_time_and_rate() {
        let report = SendReport { acknowledged: 26_084, elapsed: Duration::from_millis(3_200) };
        assert_eq!(report.to_string(), "26084 messages acknowledged in 3.2 s (8151/s)");
    }
}
