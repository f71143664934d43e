//! How a source stands, for readiness and the admin API.

/// How a source stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceState {
    /// On the way to the first or next connection.
    Connecting,
    /// Messages that are sent arrive.
    Connected,
    /// Waiting to connect again, because of this.
    Retrying(String),
    /// There is nothing more to come.
    Finished,
    /// Stopped for good.
    Stopped,
}
