//! What travels between the stages, in the order it does. No logic beyond each type's own invariants, no IO.

pub(crate) mod connector_state;
pub(crate) mod dead_letter;
pub(crate) mod envelope;
pub(crate) mod fate;
pub(crate) mod group;
pub(crate) mod inquiry;
pub(crate) mod intake;
pub(crate) mod logical_id;
pub(crate) mod measurement;
pub(crate) mod partition;
pub(crate) mod receipt;
pub(crate) mod room;
pub(crate) mod subject;

#[cfg(test)]
pub(crate) mod samples;

use receipt::Receipt;

/// A value on its way, with the promise to answer for the message it came from.
#[derive(Debug)]
pub(crate) struct Tracked<T> {
    /// What travels.
    pub(crate) value: T,
    /// The claim on the message it came from.
    pub(crate) receipt: Receipt,
}
