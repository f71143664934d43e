//! The body of a request: its size, its time, and the room that all of them take.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::door::Frame;
use super::refusal::Refusal;

/// How much of the time of a request its body may take to arrive. The rest is for its messages.
const ARRIVAL_SHARE: f32 = 0.5;

/// A body in memory, with the room it takes.
pub(super) struct Arrived {
    pub(super) bytes: Bytes,
    pub(super) room: OwnedSemaphorePermit,
}

/// Reads the whole body, as it was sent.
///
/// # Errors
/// When it is too long, breaks off, does not arrive in time, or there is no room for it.
pub(super) async fn read(body: Body, door: &Frame) -> Result<Arrived, Refusal> {
    let arrival_max: Duration = door.settings.request_timeout.mul_f32(ARRIVAL_SHARE);
    timeout(arrival_max, arrive(body, door)).await.map_err(|_elapsed| Refusal::too_slow())?
}

async fn arrive(body: Body, door: &Frame) -> Result<Arrived, Refusal> {
    let bytes_max = door.settings.body_bytes_max;
    // Who says how much will come need not send it to hear that it is too much.
    if body.size_hint().lower() > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(too_large(bytes_max));
    }
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut room) = (BytesMut::new(), door.room_to_read(0)?);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_broken| Refusal::unreadable("the body broke off; nothing of it was taken"))?;
        if bytes.len() + chunk.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        room.merge(door.room_to_read(chunk.len())?);
        bytes.extend_from_slice(&chunk);
    }
    Ok(Arrived { bytes: bytes.freeze(), room })
}

/// The body is larger than may be, packed or unpacked.
pub(super) fn too_large(bytes_max: usize) -> Refusal {
    Refusal::too_large("the size of the body in bytes, also unpacked,", "body_bytes_max", bytes_max)
}
