//! Whether anything comes of a connection.
//!
//! A connection is busy while a request is under way, and it was last used when a request ended or the client took bytes of
//! an answer. What the client sends does not count: a request that arrives byte by byte is none before it is complete.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::refusals::explained;

/// How long is read on behind the last answer of a connection.
const LINGER_MAX: Duration = Duration::from_secs(1);
/// Bytes that are read in one step then.
const DISCARDED_AT_ONCE: usize = 16 << 10;

/// The life of one connection, seen from outside.
pub(super) struct Activity {
    opened: Instant,
    /// Milliseconds from then to the last use.
    used: AtomicU64,
    /// Requests under way.
    requests: AtomicUsize,
    /// Whether an answer of a service is due or on its way. What is written otherwise is of the HTTP library alone.
    is_answering: AtomicBool,
}

impl Activity {
    /// That of a connection opened now, which counts as a use.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { opened: Instant::now(), used: 0.into(), requests: 0.into(), is_answering: false.into() })
    }

    /// For how long there was no request and no use; `None` while there is a request.
    pub(super) fn idle(&self) -> Option<Duration> {
        // In this order: the end of a request is a use before it is an end.
        if self.requests.load(Ordering::Acquire) > 0 {
            return None;
        }
        Some(self.opened.elapsed().saturating_sub(Duration::from_millis(self.used.load(Ordering::Acquire))))
    }

    /// The connection is used.
    pub(super) fn touch(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Release);
    }

    /// A request is under way until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.is_answering.store(true, Ordering::Release);
        Busy(Arc::clone(self))
    }

    /// All that was to be written is written.
    fn flushed(&self) {
        if self.requests.load(Ordering::Acquire) == 0 {
            self.is_answering.store(false, Ordering::Release);
        }
    }
}

/// A request under way.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.touch();
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A stream that notes when the client takes what is written, and at its end reads on for a moment: whoever closes while
/// something is unread takes back what was written last, which says why.
pub(super) struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// What is left to write of a refusal of the HTTP library, in our words.
    refusal: Option<Bytes>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: &Arc<Activity>) -> Self {
        Self { stream, activity: Arc::clone(activity), refusal: None, lingering: None }
    }

    /// Writes a refusal of the HTTP library in our words; `None` if `bytes` are something else.
    fn poll_refusal(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.refusal.is_none() && !self.activity.is_answering.load(Ordering::Acquire) {
            self.refusal = explained(bytes).map(Bytes::from);
        }
        let rest = self.refusal.as_mut()?;
        while !rest.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(written)) => rest.advance(written),
                failed @ Poll::Ready(Err(_)) => return Some(failed),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        self.refusal = None;
        Some(self.taken(Ok(bytes.len())))
    }

    fn taken(&self, written: io::Result<usize>) -> Poll<io::Result<usize>> {
        if written.as_ref().is_ok_and(|bytes| *bytes > 0) {
            self.activity.touch();
        }
        Poll::Ready(written)
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(refused) = self.poll_refusal(cx, bytes) {
            return refused;
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.taken(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [head] = parts
            && let Some(refused) = self.poll_refusal(cx, head)
        {
            return refused;
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts));
        self.taken(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        let lingering = this.lingering.get_or_insert_with(|| Box::pin(sleep(LINGER_MAX)));
        let mut bytes = [MaybeUninit::uninit(); DISCARDED_AT_ONCE];
        while lingering.as_mut().poll(cx).is_pending() {
            let mut unread = ReadBuf::uninit(&mut bytes);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut unread));
            if read.is_err() || unread.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
