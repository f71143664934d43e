//! Settings: what the defaults, a file and the environment say, checked once, all problems at once.

mod raw;
mod section;

use std::fmt;

pub(crate) use self::raw::Place;

/// One thing that is wrong with the configuration.
#[derive(Debug)]
pub(crate) struct ConfigProblem {
    /// Where it stands, if it stands anywhere.
    pub(crate) place: Option<Place>,
    /// The key concerned, outermost section first; empty when the text as a whole is at fault.
    pub(crate) key: String,
    /// What is wrong and what is expected.
    pub(crate) message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        f.write_str(&self.message)
    }
}
