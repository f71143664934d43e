//! How much work the expressions of a template may do on one message.
//!
//! Each expression alone is quick, but a type match gives as many tokens as the message has rows, and an expression may
//! look through all of it for each: the square of what a device sends. With a bound on the sum, such a message fails
//! with what it would take too much work for, and its neighbours do not wait.

use std::cell::Cell;

/// Values that the expressions of one template may look at in one message.
const LOOKS_MAX: u32 = 20_000_000;

/// What is left of the work that may be done.
#[derive(Debug)]
pub(crate) struct Effort {
    left: Cell<u32>,
}

/// No work may be done any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Effort {
    /// Nothing is done yet.
    pub(crate) fn full() -> Self {
        Self { left: Cell::new(LOOKS_MAX) }
    }

    /// Counts work; once there is too much of it, everything after is too much as well.
    pub(super) fn spend(&self, looks: usize) -> Result<(), Exhausted> {
        let left = self.left.get().saturating_sub(u32::try_from(looks).unwrap_or(u32::MAX));
        self.left.set(left);
        if left == 0 { Err(Exhausted) } else { Ok(()) }
    }

    /// Whether there was too much of it.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Effort, Exhausted, LOOKS_MAX};

    #[test]
    fn what_is_exhausted_stays_so() {
        let effort = Effort::full();
        assert_eq!(effort.spend(usize::try_from(LOOKS_MAX).unwrap() - 1), Ok(()));
        assert!(!effort.is_exhausted());
        assert_eq!(effort.spend(1), Err(Exhausted));
        assert_eq!(effort.spend(0), Err(Exhausted));
        assert!(effort.is_exhausted());
    }
}
