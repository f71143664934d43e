//! HTTP as bytes: what no client library sends, and what it does not show.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::process::Vitalwire;

/// Longer than anything here may take; a server that is stuck fails the test instead of holding it up.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("the server is stuck")
}

/// A connection.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) async fn open(product: &Vitalwire) -> Self {
        Self::try_open(product).await.unwrap()
    }

    pub(crate) async fn try_open(product: &Vitalwire) -> std::io::Result<Self> {
        let stream = patiently(TcpStream::connect(product.http.trim_start_matches("http://"))).await?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// A connection with a request whose answer is not read yet.
    pub(crate) async fn asking(product: &Vitalwire, request: impl AsRef<[u8]>) -> Self {
        let mut wire = Self::open(product).await;
        wire.send(request).await;
        wire
    }

    /// Sends bytes, unless the server has closed.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(patiently(self.stream.write_all(bytes.as_ref())).await);
    }

    /// Sends nothing more.
    pub(crate) async fn finish(&mut self) {
        drop(patiently(self.stream.shutdown()).await);
    }

    /// The next answer; `None` when the server has closed.
    pub(crate) async fn answer(&mut self) -> Option<WireAnswer> {
        patiently(self.read_answer()).await
    }

    async fn read_answer(&mut self) -> Option<WireAnswer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let status: u16 = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status line");
        let mut answer = WireAnswer { status, head, body: String::new() };
        let length = answer.header("content-length").parse().unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Some(answer)
    }

    /// Waits until an answer begins; the rest of it is not taken.
    pub(crate) async fn first_byte(&mut self) {
        patiently(self.stream.get_ref().readable()).await.unwrap();
    }

    /// Whether the server closes before it says anything else.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        !matches!(patiently(self.stream.read(&mut byte)).await, Ok(1..))
    }

    /// As `is_closed`, while `drop` is sent again and again.
    pub(crate) async fn is_closed_while_sending(&mut self, drop: &[u8]) -> bool {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let mut byte = [0];
        patiently(async {
            loop {
                tokio::select! {
                    read = self.stream.read(&mut byte) => return !matches!(read, Ok(1..)),
                    _ = ticks.tick() => {}
                }
                if self.stream.write_all(drop).await.is_err() {
                    return true;
                }
            }
        })
        .await
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct WireAnswer {
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl WireAnswer {
    /// The value of a header, empty without it.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        values.next().unwrap_or_default()
    }

    /// The answer is an OperationOutcome with this status that says this.
    #[track_caller]
    pub(crate) fn check_outcome(&self, status: u16, says: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let outcome: Value = serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"));
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{self:?}");
        assert!(outcome["issue"][0]["diagnostics"].as_str().unwrap().contains(says), "{self:?}");
    }
}
