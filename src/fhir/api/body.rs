//! Bodies: their format, their size, their time, and the room that all of them take.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::CONTENT_ENCODING;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{ApiError, Category};
use super::format::{Format, media_type};
use super::state::ApiState;
use crate::telemetry::meters::RoomMeter;

/// How much of the time of a request its body may take to arrive. The rest is there to say that it has not.
const ARRIVAL_SHARE: f32 = 0.9;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A body of JSON, within the bound of the settings.
pub(crate) struct JsonBody(pub(crate) Bytes);

impl FromRequest<ApiState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        if !says_json(&request) {
            return Err(unknown_type());
        }
        read_text(request, state).await.map(Self)
    }
}

/// A body of JSON, or none at all, which needs no `Content-Type`.
///
/// # Errors
/// As `read_text`, and when there is a body of another format.
pub(crate) async fn read_json_or_nothing(request: Request, state: &ApiState) -> Result<Bytes, ApiError> {
    let says_json = says_json(&request);
    let text = read_text(request, state).await?;
    if says_json || text.is_empty() { Ok(text) } else { Err(unknown_type()) }
}

/// XML has become JSON on the way here.
fn says_json(request: &Request) -> bool {
    media_type(request.headers()).is_some_and(|media| media.format == Format::Json)
}

fn unknown_type() -> ApiError {
    ApiError::new(
        Category::UnsupportedMedia,
        "The body's `Content-Type` must be `application/fhir+json` or `application/fhir+xml`, of FHIR 4.0 in UTF-8.",
    )
}

/// The whole body, unpacked, without a byte order mark.
///
/// # Errors
/// As `read`, and when it is packed in a way this server does not know.
pub(crate) async fn read_text(request: Request, state: &ApiState) -> Result<Bytes, ApiError> {
    // What was compressed in a way this server knows has been unpacked on the way here.
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(unknown_encoding());
    }
    let text = read(request.into_body(), state).await?;
    // A byte order mark is no part of the text (RFC 8259, section 8.1, allows to pass over it).
    let marked = text.starts_with(BYTE_ORDER_MARK);
    Ok(if marked { text.slice(BYTE_ORDER_MARK.len()..) } else { text })
}

/// The body is compressed in a way this server does not know.
pub(crate) fn unknown_encoding() -> ApiError {
    ApiError::new(
        Category::UnsupportedMedia,
        "The body's `Content-Encoding` is not supported. Send it plain or with `gzip`.",
    )
}

/// Room for the bodies of all requests in memory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Room {
    bytes: Arc<Semaphore>,
    meter: RoomMeter,
}

impl Room {
    /// Room for so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let bytes = Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS)));
        Self { bytes, meter: RoomMeter::new() }
    }

    /// What a body of no bytes takes.
    fn nothing(&self) -> Taken {
        Taken { room: self.clone(), permit: None }
    }
}

/// Room that a body has taken.
struct Taken {
    room: Room,
    permit: Option<OwnedSemaphorePermit>,
}

impl Taken {
    /// Takes room for so many bytes more.
    fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let Room { bytes: left, meter } = &self.room;
        let more = u32::try_from(bytes).ok().and_then(|bytes| Arc::clone(left).try_acquire_many_owned(bytes).ok());
        let Some(more) = more else {
            let detail = "The server has as much to read from others as it can keep. Send this again later.";
            return Err(ApiError::new(Category::Unavailable, detail));
        };
        meter.took(bytes);
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.meter.gave_back(self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
    }
}

/// A body that takes room as long as anything of it is in use.
struct Kept {
    text: BytesMut,
    _room: Taken,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// The whole body of a request.
///
/// # Errors
/// When it is too long, does not arrive in time or breaks off, and when there is no room for it.
pub(crate) async fn read(body: Body, state: &ApiState) -> Result<Bytes, ApiError> {
    let arrival_max = state.settings.request_timeout.mul_f32(ARRIVAL_SHARE);
    tokio::time::timeout(arrival_max, arrive(body, state))
        .await
        .map_err(|_elapsed| ApiError::new(Category::Slow, "The body did not arrive in time. Send it again."))?
}

async fn arrive(body: Body, state: &ApiState) -> Result<Bytes, ApiError> {
    let bytes_max = state.settings.body_bytes_max;
    let too_large = || {
        let detail = format!("The body is larger than the {bytes_max} bytes this server takes. Send it in parts.");
        ApiError::new(Category::TooLarge, detail)
    };
    // Who says how much will come need not send it to hear that it is too much.
    if body.size_hint().lower() > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let mut chunks = body.into_data_stream();
    let (mut text, mut room) = (BytesMut::new(), state.room.nothing());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_broken| {
            ApiError::new(Category::Structure, "The body broke off or could not be unpacked. Send it again.")
        })?;
        if text.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        room.grow(chunk.len())?;
        text.extend_from_slice(&chunk);
    }
    Ok(Bytes::from_owner(Kept { text, _room: room }))
}

/// The whole body of an answer of this server, which is at hand already.
///
/// # Errors
/// When it cannot be made.
pub(crate) async fn of_answer(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, usize::MAX).await.map_err(ApiError::internal)
}
