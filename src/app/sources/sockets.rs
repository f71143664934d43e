//! Sockets that pass from one connector to another when the configuration is read anew.
//!
//! A port that a connector is about to leave is never closed in between: its socket goes on to whoever is to listen
//! there. Devices that connect meanwhile wait to be accepted instead of being refused, no other program can take the
//! port, and two connectors may exchange theirs.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use tokio::net::TcpListener;

/// A socket that a source listens on for as long as that runs.
#[derive(Clone, Debug)]
pub(crate) struct HeldSocket {
    /// Name of the connector.
    pub(crate) connector: Arc<str>,
    /// As configured; port 0 stands for any.
    pub(crate) asked: SocketAddr,
    /// Gone when its source has ended.
    pub(crate) socket: Weak<TcpListener>,
}

/// The sockets of connectors that are to go.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    held: Vec<(HeldSocket, Arc<TcpListener>)>,
}

impl Sockets {
    /// Those of these that are still listened on.
    pub(crate) fn of(held: impl Iterator<Item = HeldSocket>) -> Self {
        Self { held: held.filter_map(|held| Some((held.clone(), held.socket.upgrade()?))).collect() }
    }

    /// The socket for a source that is to listen at `asked`, if there is one. Any port that is free means the one that
    /// the connector of this name had before.
    pub(super) fn take(&mut self, connector: &str, asked: SocketAddr) -> Option<Arc<TcpListener>> {
        let fits = |(held, socket): &(HeldSocket, Arc<TcpListener>)| match asked.port() {
            0 => held.asked == asked && held.connector.as_ref() == connector,
            _ => socket.local_addr().is_ok_and(|bound| bound == asked),
        };
        let place = self.held.iter().position(fits)?;
        Some(self.held.swap_remove(place).1)
    }

    /// The connector that is to go and listens on the same port at another address, and where that is: it is in the way,
    /// because both addresses cannot be listened on at once.
    pub(super) fn in_the_way(&self, asked: SocketAddr) -> Option<(Arc<str>, SocketAddr)> {
        let bound = |(held, socket): &(HeldSocket, Arc<TcpListener>)| {
            let bound = socket.local_addr().ok().filter(|bound| bound.port() == asked.port())?;
            Some((Arc::clone(&held.connector), bound))
        };
        self.held.iter().find_map(bound)
    }
}
