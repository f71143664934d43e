//! A connection with what was read and not heard, and what is to be said, for both MQTT sources.
//!
//! Whoever speaks appends to `out`, and all of it leaves in one write if the socket has room. Only this module touches the
//! stream: nobody else knows whether it is encrypted.

#[cfg(test)]
mod tests;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::stream::Stream;
use super::tls::ClientTls;

/// Bytes asked of the socket at first; most devices never say more at a time, and there may be ten thousand of them.
const READ_BYTES_MIN: usize = 1_024;
/// Most bytes asked of it.
const READ_BYTES_MAX: usize = 16 * 1_024;
/// Longest wait for the peer to take what is said.
pub(crate) const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// One end of a connection.
pub(crate) struct Wire {
    stream: Stream,
    /// Read, but not heard.
    pub(crate) input: BytesMut,
    /// Bytes asked of the socket at a time, twice as many after each read that had no room for more.
    read_bytes: usize,
    /// Said, but not written.
    pub(crate) out: Vec<u8>,
    /// The stream keeps nothing of what was written.
    is_flushed: bool,
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
    pub(crate) fn new(stream: impl Into<Stream>) -> Self {
        let stream = stream.into();
        if let Err(error) = stream.socket().set_nodelay(true) {
            tracing::debug!(%error, "socket option refused");
        }
        Self { stream, input: BytesMut::new(), read_bytes: READ_BYTES_MIN, out: Vec::new(), is_flushed: true }
    }

    /// Connects to the first address of `host` that answers, encrypted if there is `tls`.
    ///
    /// # Errors
    /// When there is no such host, none of its addresses answers, or the connection cannot be encrypted.
    pub(crate) async fn connect(host: &str, port: u16, tls: Option<&ClientTls>) -> io::Result<Self> {
        let socket = TcpStream::connect((host, port)).await?;
        match tls {
            None => Ok(Self::new(socket)),
            Some(tls) => tls.connect(socket).await.map(Self::new),
        }
    }

    /// Whether some of what was said has not left yet.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.out.is_empty() || !self.is_flushed
    }

    /// Reads what there is, once there is something; 0 when the peer has closed.
    pub(crate) async fn read(&mut self) -> io::Result<usize> {
        self.input.reserve(self.read_bytes);
        let count = self.stream.read_buf(&mut self.input).await?;
        self.widen();
        Ok(count)
    }

    /// Asks for more next time if there was no room for more.
    fn widen(&mut self) {
        if self.input.len() == self.input.capacity() {
            self.read_bytes = self.read_bytes.saturating_mul(2).min(READ_BYTES_MAX);
        }
    }

    /// Writes all there is to say, in one write if the socket has room for it.
    pub(crate) async fn write(&mut self) -> io::Result<()> {
        if !self.has_unsent() {
            return Ok(());
        }
        let written = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        timeout(WRITE_PATIENCE, written).await??;
        self.out.clear();
        self.is_flushed = true;
        Ok(())
    }

    /// Writes or reads, whichever can be done first. Nothing is lost when the wait is given up.
    pub(crate) async fn exchange(&mut self, ear: Ear) -> io::Result<Moved> {
        self.input.reserve(self.read_bytes);
        // Both directions of an encrypted stream go through the whole of it, so they take turns within one future.
        let moved = poll_fn(|cx| {
            let written = if self.has_unsent() { self.poll_write(cx) } else { Poll::Pending };
            match written {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(Moved::Written)),
                Poll::Pending => self.poll_read(cx, ear),
                // A peer that has hung up may have said why.
                Poll::Ready(Err(error)) => match self.poll_read(cx, ear) {
                    Poll::Pending | Poll::Ready(Ok(Moved::Read(0))) => Poll::Ready(Err(error)),
                    said => said,
                },
            }
        })
        .await?;
        self.widen();
        Ok(moved)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, ear: Ear) -> Poll<io::Result<Moved>> {
        match ear {
            Ear::Open => pin!(self.stream.read_buf(&mut self.input)).poll(cx).map_ok(Moved::Read),
            Ear::Closed => Poll::Pending,
        }
    }

    /// Hands some of `out` to the stream, and has it send what it keeps.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut self.stream);
        if self.out.is_empty() {
            ready!(stream.poll_flush(cx))?;
            self.is_flushed = true;
            return Poll::Ready(Ok(()));
        }
        let written = ready!(stream.as_mut().poll_write(cx, &self.out))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.out.drain(..written);
        self.is_flushed = stream.poll_flush(cx)?.is_ready();
        Poll::Ready(Ok(()))
    }

    /// Says the last words and waits a moment for the peer to close, lest what it still sends cut them off.
    pub(crate) async fn part(mut self, patience: Duration) {
        let parting = async {
            while self.has_unsent() && self.exchange(Ear::Open).await? != Moved::Read(0) {
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
