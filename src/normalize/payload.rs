//! What is read of a message: its payload unpacked, and taken apart where its source is told to.
//!
//! A sender may pack a payload, and says so in a property `content-encoding` (a header of Kafka, a user property of
//! MQTT 5). Mappings see it unpacked. The message itself stays as it was received: that is what its room in memory is
//! counted by, and what is among the dead letters, so that a replay goes the same way.
//!
//! The elements of an array are messages to the mapping, each with the properties of the whole. In memory and among the
//! dead letters each has its own text alone, unpacked.

use std::sync::Arc;

use bytes::Bytes;

use crate::codings::{Codings, UnpackError};
use crate::json::elements::{ElementsError, elements};
use crate::mapping::Failure;
use crate::model::envelope::Envelope;
use crate::model::room::Room;

/// The property that names the codings of a payload, in any case.
const CONTENT_ENCODING: &str = "content-encoding";
/// Elements of an array that are mapped each by itself; each takes memory, and may become a dead letter.
const ELEMENTS_MAX: usize = 10_000;

const INVALID_FORMAT: &str = "InvalidDataFormatException";
const NOT_SUPPORTED: &str = "CompressionNotSupportedException";

/// The message with its payload unpacked, and without the property that says it is packed; `None` when it is not. What
/// is to be taken apart takes `room` unpacked, for its elements stay in memory as such.
///
/// # Errors
/// When it cannot be unpacked, or is larger than its source is to take.
pub(super) fn unpacked(envelope: &Envelope, room: &Arc<Room>) -> Result<Option<Envelope>, Failure> {
    let bytes_max = envelope.body_bytes_max;
    let Some(codings) = codings(envelope)? else { return Ok(None) };
    let body = codings.undo(&envelope.body, bytes_max).map_err(|error| match error {
        UnpackError::Broken(_) => failure(INVALID_FORMAT, format!("the payload cannot be unpacked: {error}")),
        UnpackError::TooLarge(_) => failure(
            INVALID_FORMAT,
            format!("the message has more than {bytes_max} bytes unpacked, which is `message_bytes_max` of its source"),
        ),
    })?;
    let bytes = body.len();
    let body = Bytes::from(body);
    let mut unpacked = envelope.clone();
    unpacked.properties.retain(|name, _| !is_content_encoding(name));
    unpacked.body = if envelope.split_arrays { room.take(body, bytes) } else { body };
    Ok(Some(unpacked))
}

/// What is to be undone; `None` for nothing, which most messages want.
fn codings(envelope: &Envelope) -> Result<Option<Codings>, Failure> {
    let mut properties = envelope.properties.iter();
    let Some((_, value)) = properties.find(|(name, _)| is_content_encoding(name)) else { return Ok(None) };
    let unknown = || {
        let reason = "the property `content-encoding` names a coding that is not known; gzip, deflate and zstd are";
        failure(NOT_SUPPORTED, reason.to_owned())
    };
    let codings = value.as_str().and_then(|list| Codings::parse(list).ok()).ok_or_else(unknown)?;
    Ok((!codings.is_empty()).then_some(codings))
}

fn is_content_encoding(name: &str) -> bool {
    name.eq_ignore_ascii_case(CONTENT_ENCODING)
}

/// The elements of the array that the payload of a message is; `None` when it is to be taken as one. What is no JSON array
/// is: the mapping tells what is wrong with it.
///
/// # Errors
/// When there are too many.
pub(super) fn taken_apart(envelope: &Envelope) -> Result<Option<Vec<Bytes>>, Failure> {
    let body = envelope.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&envelope.body);
    if !envelope.split_arrays || body.trim_ascii_start().first() != Some(&b'[') {
        return Ok(None);
    }
    match elements(body, ELEMENTS_MAX) {
        Ok(found) => Ok(Some(found.iter().map(|text| envelope.body.slice_ref(text.get().as_bytes())).collect())),
        Err(ElementsError::NotArray(_)) => Ok(None),
        Err(ElementsError::TooMany(most)) => {
            let reason = format!("the payload is an array of more than {most} elements, which is too many to map each");
            Err(failure(INVALID_FORMAT, reason))
        }
    }
}

/// An element as a message of its own, with a letter of its own if it comes to that. In a replay the letter is about the
/// whole, which is what is kept.
pub(super) fn element(whole: &Envelope, body: Bytes) -> Envelope {
    Envelope { body, split_arrays: false, way_in: whole.way_in.of_a_part(), ..whole.clone() }
}

fn failure(code: &'static str, reason: String) -> Failure {
    Failure { code, reason, template: None }
}
