//! A TCP connection with what was read and not heard, and what is to be said, for both MQTT sources.
//!
//! Whoever speaks appends to `out`, and all of it leaves in one write if the socket has room. Only this module touches the
//! socket: an encrypted one would be made and kept here, and nothing else would know.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 16 * 1_024;
/// Longest wait for the peer to take what is said.
pub(crate) const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// One end of a connection.
pub(crate) struct Wire {
    stream: TcpStream,
    /// Read, but not heard.
    pub(crate) input: BytesMut,
    /// Said, but not written.
    pub(crate) out: Vec<u8>,
}

/// Whether an exchange reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ear {
    /// It reads.
    Open,
    /// It only writes, so that a peer that goes on finds its socket full.
    Closed,
}

/// What an exchange did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// So many bytes were read; 0 when the peer has closed.
    Read(usize),
    /// Some of `out` was written, or all.
    Written,
}

impl Wire {
    /// A connection on which nothing was said. Small packets are sent as they are written.
    pub(crate) fn new(stream: TcpStream) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "socket option refused");
        }
        Self { stream, input: BytesMut::with_capacity(READ_BYTES), out: Vec::new() }
    }

    /// Connects to the first address of `host` that answers.
    ///
    /// # Errors
    /// When there is no such host, or none of its addresses answers.
    pub(crate) async fn connect(host: &str, port: u16) -> io::Result<Self> {
        TcpStream::connect((host, port)).await.map(Self::new)
    }

    /// Reads what there is, once there is something; 0 when the peer has closed.
    pub(crate) async fn read(&mut self) -> io::Result<usize> {
        self.input.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.input).await
    }

    /// Writes all there is to say, in one write if the socket has room for it.
    pub(crate) async fn write(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        timeout(WRITE_PATIENCE, self.stream.write_all(&self.out)).await??;
        self.out.clear();
        Ok(())
    }

    /// Writes or reads, whichever can be done first. Nothing is lost when the wait is given up.
    pub(crate) async fn exchange(&mut self, ear: Ear) -> io::Result<Moved> {
        self.input.reserve(READ_BYTES);
        let (mut incoming, mut outgoing) = self.stream.split();
        let written = tokio::select! {
            biased;
            written = outgoing.write(&self.out), if !self.out.is_empty() => written?,
            read = incoming.read_buf(&mut self.input), if ear == Ear::Open => return read.map(Moved::Read),
            else => pending().await,
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.out.drain(..written);
        Ok(Moved::Written)
    }

    /// Says the last words and waits a moment for the peer to close, lest what it still sends cut them off.
    pub(crate) async fn part(mut self, patience: Duration) {
        let parting = async {
            while !self.out.is_empty() && self.exchange(Ear::Open).await? != Moved::Read(0) {
                self.input.clear();
            }
            self.stream.shutdown().await?;
            while self.read().await? > 0 {
                self.input.clear();
            }
            io::Result::Ok(())
        };
        let parted = timeout(patience, parting).await;
        tracing::trace!(closed_by_peer = parted.is_ok(), "connection closed");
    }
}
