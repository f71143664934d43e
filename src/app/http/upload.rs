//! Whether the body of a request was read to its end.
//!
//! Who answers before leaves bytes in the way of the next request, so the connection ends with the answer, and the answer
//! says so: a client would send the next request into a connection that is about to close.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// The body of a request on its way in.
pub(super) struct Upload {
    body: Incoming,
    is_read: Arc<AtomicBool>,
}

/// What becomes of an upload.
pub(super) struct Rest {
    is_read: Arc<AtomicBool>,
    version: Version,
}

impl Upload {
    /// The request with its body watched.
    pub(super) fn watch(request: hyper::Request<Incoming>) -> (hyper::Request<Self>, Rest) {
        let is_read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let rest = Rest { is_read: Arc::clone(&is_read), version: request.version() };
        (request.map(|body| Self { body, is_read }), rest)
    }
}

impl Rest {
    /// The answer, which says that the connection ends unless the body was read.
    pub(super) fn announce(&self, mut answer: Response) -> Response {
        // Requests of HTTP/2 are not in each other's way.
        if self.version < Version::HTTP_2 && !self.is_read.load(Ordering::Acquire) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.is_read.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
