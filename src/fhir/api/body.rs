//! Bodies: their format, their size, their time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::CONTENT_ENCODING;

use super::error::{ApiError, Category};
use super::format::{Format, media_type};
use super::state::ApiState;

/// How long a body may take to arrive.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A body of JSON, within the bound of the settings.
pub(crate) struct JsonBody(pub(crate) Bytes);

impl FromRequest<ApiState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        // XML has become JSON on the way here.
        if media_type(request.headers()).is_none_or(|media| media.format != Format::Json) {
            return Err(ApiError::new(
                Category::UnsupportedMedia,
                "The body's `Content-Type` must be `application/fhir+json` or `application/fhir+xml`, of FHIR 4.0 in \
                 UTF-8.",
            ));
        }
        read_text(request, state).await.map(Self)
    }
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
    let text = read(request.into_body(), state.settings.body_bytes_max).await?;
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

/// The whole body, if it is no longer than `bytes_max`.
///
/// # Errors
/// When it is longer, does not arrive in time or breaks off.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    tokio::time::timeout(ARRIVAL_MAX, collect(body, bytes_max))
        .await
        .map_err(|_elapsed| ApiError::new(Category::Slow, "The body did not arrive in time. Send it again."))?
}

async fn collect(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut whole = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_broken| {
            ApiError::new(Category::Structure, "The body broke off or could not be unpacked. Send it again.")
        })?;
        if whole.len() + chunk.len() > bytes_max {
            return Err(ApiError::new(
                Category::TooLarge,
                format!("The body is larger than the {bytes_max} bytes this server takes. Send it in parts."),
            ));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}
