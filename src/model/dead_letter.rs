//! What could not be processed, and why.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Tracked;
use super::envelope::Envelope;
use super::receipt::Receipt;

/// Where every stage hands in letters. Their receipts complete once they are durable.
pub(crate) type LetterBox = mpsc::Sender<Vec<Tracked<DeadLetter>>>;

/// A message, or the part of one, that could not be processed.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetter {
    /// The message, shared with all that came of it.
    pub(crate) envelope: Arc<Envelope>,
    /// The stage that gave up.
    pub(crate) stage: Stage,
    /// Error code of the mapping specification (section 11), for example `IncompatibleDataException`.
    pub(crate) code: &'static str,
    /// What was wrong, where, and how to mend it. May quote the payload, so it is stored but never logged.
    pub(crate) reason: String,
    /// Type name of the template concerned and its line in the mapping file.
    pub(crate) template: Option<(String, usize)>,
    /// Fingerprint of the mapping the message was read with.
    pub(crate) mapping: Arc<str>,
    /// When the stage gave up.
    pub(crate) at: Timestamp,
}

/// Why a stage gave up, without the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The stage that gave up.
    pub(crate) stage: Stage,
    /// Error code of the mapping specification (section 11).
    pub(crate) code: &'static str,
    /// What was wrong, where, and how to mend it.
    pub(crate) reason: String,
    /// Type name of the template concerned and its line in the mapping file.
    pub(crate) template: Option<(String, usize)>,
    /// Fingerprint of the mapping the message was read with.
    pub(crate) mapping: Arc<str>,
}

impl Cause {
    /// The letter for a message, with the claim on it.
    pub(crate) fn letter(self, envelope: &Arc<Envelope>, receipt: Receipt, at: Timestamp) -> Tracked<DeadLetter> {
        let letter = DeadLetter {
            envelope: Arc::clone(envelope),
            stage: self.stage,
            code: self.code,
            reason: self.reason,
            template: self.template,
            mapping: self.mapping,
            at,
        };
        Tracked { value: letter, receipt }
    }
}

/// A stage that can give up on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Payload to measurements.
    Normalize,
    /// Device, Patient and Encounter.
    Resolve,
    /// Observations and their delivery.
    Deliver,
}

impl Stage {
    /// All stages, in the order data takes.
    pub(crate) const ALL: [Self; 3] = [Self::Normalize, Self::Resolve, Self::Deliver];

    /// The name in logs, metrics and the dead letter store.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Normalize => "normalize",
            Self::Resolve => "resolve",
            Self::Deliver => "deliver",
        }
    }
}
