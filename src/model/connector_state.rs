//! Whether a connector delivers, and if not, why.

use tokio::time::Instant;

/// Whether a connector delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectorState {
    /// Nothing is in the way.
    Running,
    /// The FHIR server does not take what is sent at present; it is tried again by itself.
    Retrying(Trouble),
    /// An operator must mend something, such as credentials or the server's address; it is tried again now and then.
    Halted(Trouble),
}

/// What keeps a connector from delivering. Holds nothing that identifies a person, and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What people call it (rule ER-13).
    pub(crate) code: &'static str,
    /// What the last attempt met.
    pub(crate) reason: String,
    /// When the connector came into this state.
    pub(crate) since: Instant,
    /// When the next attempt is made.
    pub(crate) next_attempt: Instant,
}

impl ConnectorState {
    /// What is in the way, if anything.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Running => None,
            Self::Retrying(trouble) | Self::Halted(trouble) => Some(trouble),
        }
    }

    /// Follows on `before`: the same state goes on from when it began. Says whether there is anything new to tell.
    pub(crate) fn adopt(&mut self, before: &Self) -> bool {
        match (self, before) {
            (Self::Running, Self::Running) => false,
            (Self::Retrying(now), Self::Retrying(before)) | (Self::Halted(now), Self::Halted(before)) => {
                now.since = before.since;
                (now.code, &now.reason) != (before.code, &before.reason)
            }
            (Self::Running | Self::Retrying(_) | Self::Halted(_), _) => true,
        }
    }
}
