//! What a rule found, before it becomes a warning of a file.

use super::super::source::Position;

/// Something that will surprise those who read the Observations, and how to mend it.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) at: Position,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Finding {
    pub(super) fn new(at: Position, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: hint.into() }
    }
}
