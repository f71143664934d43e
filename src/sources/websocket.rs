//! MQTT over WebSocket: binary messages as a stream of bytes, wherever packets begin and end in them (MQTT 5, section 6).

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use http::header::{HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::stream::Stream;

/// The subprotocol of MQTT.
const SUBPROTOCOL: &str = "mqtt";
/// Where it is spoken.
const PATHS: [&str; 2] = ["/mqtt", "/"];
/// Read at a time, and kept for each connection.
const READ_BYTES: usize = 4 << 10;
/// Largest message we send.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Whom to speak WebSocket with.
#[derive(Clone, Debug)]
pub(crate) struct WebSocketSettings {
    /// Largest message that is taken, in bytes.
    pub(crate) message_bytes_max: usize,
    /// The web pages that may connect, by their origins; `*` is any.
    pub(crate) origins: Vec<String>,
}

/// A stream of bytes in WebSocket messages. It may keep what it was given to write until it is flushed.
pub(crate) struct WebSocket {
    messages: WebSocketStream<Stream>,
    /// Of the message that is being read.
    rest: Bytes,
}

impl WebSocketSettings {
    /// Answers the request of a client.
    ///
    /// # Errors
    /// When it is none, or not one for MQTT, or of a web page that may not connect; the client is told.
    pub(super) async fn accept(&self, stream: Stream) -> io::Result<WebSocket> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(self.message_bytes_max))
            .max_frame_size(Some(self.message_bytes_max));
        #[expect(clippy::result_large_err, reason = "the library wants the response")]
        let judge = |request: &Request, response: Response| self.judge(request, response);
        let messages = accept_hdr_async_with_config(stream, judge, Some(config)).await.map_err(io_error)?;
        Ok(WebSocket { messages, rest: Bytes::new() })
    }

    #[expect(clippy::result_large_err, reason = "the library wants the response")]
    fn judge(&self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        if !PATHS.contains(&request.uri().path()) {
            return Err(refusal(StatusCode::NOT_FOUND, "MQTT is spoken at /mqtt"));
        }
        if !offers_mqtt(request.headers()) {
            return Err(refusal(StatusCode::BAD_REQUEST, "expected the WebSocket subprotocol mqtt"));
        }
        if !self.trusts_page(request.headers()) {
            return Err(refusal(
                StatusCode::FORBIDDEN,
                "pages of this origin may not connect; `origins` names those that may",
            ));
        }
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    }

    /// Whether this is no request of a web page, or of one that may connect. Pages of strangers in the browser of somebody
    /// nearby reach loopback addresses too. A page of the address itself is trusted if that is no name: the owner of a name
    /// can let it point here.
    fn trusts_page(&self, headers: &HeaderMap) -> bool {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(origin) = text(ORIGIN) else { return !headers.contains_key(ORIGIN) };
        let is_own = || {
            let page = origin.split_once("://").map(|(_scheme, host)| host);
            text(HOST).is_some_and(|host| page == Some(host) && is_address(host))
        };
        self.origins.iter().any(|known| known == "*" || known == origin) || is_own()
    }
}

/// Whether the host is an address, or this machine, perhaps with a port.
fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || address.parse::<IpAddr>().is_ok()
}

fn offers_mqtt(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    offers.flat_map(|offers| offers.split(',')).any(|offer| offer.trim() == SUBPROTOCOL)
}

fn refusal(status: StatusCode, reason: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(format!("{reason}\n")));
    *response.status_mut() = status;
    response
}

impl WebSocket {
    /// The stream underneath.
    pub(super) fn stream(&self) -> &Stream {
        self.messages.get_ref()
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(Pin::new(&mut this.messages).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => this.rest = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "MQTT comes in binary messages",
                    )));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let length = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut messages = Pin::new(&mut self.get_mut().messages);
        ready!(messages.as_mut().poll_ready(cx)).map_err(io_error)?;
        let length = buf.len().min(MESSAGE_BYTES_MAX);
        let bytes = buf.get(..length).map(Bytes::copy_from_slice).unwrap_or_default();
        messages.start_send(Message::Binary(bytes)).map_err(io_error)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().messages).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.messages).poll_close(cx)).map_err(io_error)?;
        Pin::new(this.messages.get_mut()).poll_shutdown(cx)
    }
}

fn io_error(error: Error) -> io::Error {
    if let Error::Io(error) = error {
        return error;
    }
    let is_over = matches!(error, Error::ConnectionClosed | Error::AlreadyClosed);
    io::Error::new(if is_over { io::ErrorKind::NotConnected } else { io::ErrorKind::InvalidData }, error)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::WebSocketSettings;

    #[track_caller]
    fn check(origins: &[&str], origin: &str, host: &str, expected: bool) {
        let settings = WebSocketSettings {
            message_bytes_max: 1,
            origins: origins.iter().map(|text| (*text).to_owned()).collect(),
        };
        let mut headers = HeaderMap::new();
        headers.insert("host", host.parse().unwrap());
        headers.insert("origin", origin.parse().unwrap());
        assert_eq!(settings.trusts_page(&headers), expected, "{origins:?} {origin} {host}");
    }

    #[test]
    fn pages_of_strangers_are_not_trusted() {
        check(&[], "https://evil.example", "127.0.0.1:1884", false);
        check(&[], "null", "127.0.0.1:1884", false);
        check(&[], "http://127.0.0.1:8080", "127.0.0.1:1884", false);
        // A name that was made to point here.
        check(&[], "http://evil.example:1884", "evil.example:1884", false);
        check(&[], "http://localhost.evil.example:1884", "localhost.evil.example:1884", false);
        check(&["https://app.example"], "https://app.example.evil", "127.0.0.1:1884", false);
    }

    #[test]
    fn pages_that_are_named_or_of_the_address_itself_are_trusted() {
        check(&["https://app.example"], "https://app.example", "127.0.0.1:1884", true);
        check(&["*"], "https://app.example", "127.0.0.1:1884", true);
        for host in ["127.0.0.1:1884", "localhost:1884", "[::1]:1884", "10.0.0.1"] {
            check(&[], &format!("http://{host}"), host, true);
        }
        assert!(WebSocketSettings { message_bytes_max: 1, origins: Vec::new() }.trusts_page(&HeaderMap::new()));
    }
}
