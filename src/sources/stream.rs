//! The bytes of a connection, in the clear or encrypted, or in WebSocket messages, for the wire that reads and writes them.
//!
//! Which of them it is, is settled when the connection is made. A branch tells them apart at every read, so the plain one
//! costs what a socket costs.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsStream, client, server};

use super::websocket::WebSocket;

/// What a wire is on.
pub(crate) enum Stream {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS over TCP, of either side. It may keep what it was given to write until it is flushed.
    Tls(Box<TlsStream<TcpStream>>),
    /// WebSocket over either. It may keep what it was given as well.
    WebSocket(Box<WebSocket>),
}

impl Stream {
    /// The socket underneath, for its options.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
            Self::WebSocket(messages) => messages.stream().socket(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(socket: TcpStream) -> Self {
        Self::Plain(socket)
    }
}

impl From<client::TlsStream<TcpStream>> for Stream {
    fn from(stream: client::TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(stream.into()))
    }
}

impl From<server::TlsStream<TcpStream>> for Stream {
    fn from(stream: server::TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(stream.into()))
    }
}

impl From<WebSocket> for Stream {
    fn from(messages: WebSocket) -> Self {
        Self::WebSocket(Box::new(messages))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf).map(end_without_notice),
            Self::WebSocket(messages) => Pin::new(messages).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::WebSocket(messages) => Pin::new(messages).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::WebSocket(messages) => Pin::new(messages).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::WebSocket(messages) => Pin::new(messages).poll_shutdown(cx),
        }
    }
}

/// A peer that closes without the notice of TLS has closed: packets of MQTT say how long they are, so none is cut short
/// unnoticed.
fn end_without_notice(read: io::Result<()>) -> io::Result<()> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        read => read,
    }
}
