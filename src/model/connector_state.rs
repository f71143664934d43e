//! Whether a connector delivers, and if not, why.

/// Whether a connector delivers. The reasons hold nothing that identifies a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectorState {
    /// Nothing is in the way.
    Running,
    /// The FHIR server does not take what is sent at present; it is tried again by itself.
    Retrying {
        /// What the last attempt met.
        reason: String,
    },
    /// An operator must mend something, such as credentials or the server's address; it is tried again now and then.
    Halted {
        /// What the last attempt met.
        reason: String,
    },
}
