//! The messages of a request, each byte for byte as it was sent.
//!
//! What is unreadable as a whole is refused as a whole, and nothing of it is taken. A line that is not JSON is a message like
//! its neighbours, which the mapping will not read and will say so.

use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::PushSettings;
use super::body::too_large;
use super::cloud_events;
use super::format::{Format, Reading};
use super::refusal::Refusal;
use crate::codings::UnpackError;
use crate::json::elements::{ElementsError, elements};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// What the elements of an array and the lines of a text are.
const JSON: &str = "application/json";

/// A message as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) body: Bytes,
    pub(super) properties: Map<String, Value>,
    pub(super) content_type: String,
}

/// The messages in the body of a request with this head; at least one.
///
/// # Errors
/// When the body cannot be unpacked or understood, has no message, or too many.
pub(super) fn read(
    reading: Reading,
    headers: &HeaderMap,
    body: &Bytes,
    settings: &PushSettings,
) -> Result<Vec<Message>, Refusal> {
    let properties = named_headers(headers, &settings.headers);
    let text = unpacked(&reading, body, settings.body_bytes_max)?;
    let text = if text.starts_with(BYTE_ORDER_MARK) { text.slice(BYTE_ORDER_MARK.len()..) } else { text };
    let alike = |body, content_type| Message { body, properties: properties.clone(), content_type };
    let messages_max = settings.messages_max;
    match reading.format {
        Format::Json => {
            check_json(&text, settings)?;
            Ok(vec![alike(text, reading.content_type)])
        }
        Format::CloudEvent => {
            let attributes = cloud_events::in_headers(headers).map_err(Refusal::unreadable)?;
            if !text.is_empty() {
                check_json(&text, settings)?;
            }
            let content_type = if reading.content_type.is_empty() { JSON.to_owned() } else { reading.content_type };
            let mut message = alike(text, content_type);
            message.properties.extend(attributes);
            Ok(vec![message])
        }
        Format::Lines => {
            let lines = lines(&text, messages_max)?;
            Ok(lines.into_iter().map(|line| alike(line, JSON.to_owned())).collect())
        }
        Format::JsonArray => {
            let found = array(&text, messages_max)?;
            Ok(found.into_iter().map(|element| alike(of(element, &text), JSON.to_owned())).collect())
        }
        Format::CloudEventDocument => {
            let document: &RawValue = serde_json::from_slice(&text).map_err(|error| not_json(&error))?;
            let event = cloud_events::in_document(document, &text).map_err(Refusal::unreadable)?;
            Ok(vec![with(event, &properties)])
        }
        Format::CloudEvents => {
            let events = array(&text, messages_max)?.into_iter().zip(1..).map(|(document, number)| {
                let event = cloud_events::in_document(document, &text);
                event.map_err(|problem: String| Refusal::unreadable(format!("event {number}: {problem}")))
            });
            events.map(|event| Ok(with(event?, &properties))).collect()
        }
    }
}

/// The event with what the request says as well.
fn with(event: Message, properties: &Map<String, Value>) -> Message {
    let mut all = properties.clone();
    all.extend(event.properties);
    Message { properties: all, ..event }
}

/// The headers that are to become properties, of those that are there.
fn named_headers(headers: &HeaderMap, names: &[String]) -> Map<String, Value> {
    let mut properties = Map::new();
    for name in names {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        if !values.is_empty() {
            properties.insert(name.clone(), Value::String(values.join(", ")));
        }
    }
    properties
}

fn unpacked(reading: &Reading, body: &Bytes, bytes_max: usize) -> Result<Bytes, Refusal> {
    if reading.codings.is_empty() {
        return Ok(body.clone());
    }
    let unpacked = reading.codings.undo(body, bytes_max).map_err(|error| match error {
        UnpackError::Broken(_) => Refusal::unreadable(format!("the body cannot be unpacked: {error}")),
        UnpackError::TooLarge(_) => too_large(bytes_max),
    })?;
    Ok(unpacked.into())
}

/// One message of JSON, unless the mapping is to judge that.
fn check_json(text: &Bytes, settings: &PushSettings) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(no_message());
    }
    if !settings.is_strict {
        return Ok(());
    }
    serde_json::from_slice::<&RawValue>(text).map(drop).map_err(|error| not_json(&error))
}

/// The lines that are not blank.
fn lines(text: &Bytes, messages_max: usize) -> Result<Vec<Bytes>, Refusal> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let lines: Vec<Bytes> = lines.take(messages_max.saturating_add(1)).map(|line| text.slice_ref(line)).collect();
    match lines.len() {
        0 => Err(no_message()),
        count if count > messages_max => Err(too_many(messages_max)),
        _ => Ok(lines),
    }
}

fn array(text: &[u8], messages_max: usize) -> Result<Vec<&RawValue>, Refusal> {
    let found = elements(text, messages_max).map_err(|error| match error {
        ElementsError::NotArray(cause) => {
            let (line, column) = (cause.line(), cause.column());
            Refusal::unreadable(format!("the body is not an array of JSON (line {line}, column {column})"))
        }
        ElementsError::TooMany(_) => too_many(messages_max),
    })?;
    if found.is_empty() { Err(no_message()) } else { Ok(found) }
}

fn of(element: &RawValue, whole: &Bytes) -> Bytes {
    whole.slice_ref(element.get().as_bytes())
}

fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal::unreadable(format!("the body is not JSON (line {}, column {})", error.line(), error.column()))
}

fn no_message() -> Refusal {
    Refusal::unreadable("the body has no message")
}

fn too_many(messages_max: usize) -> Refusal {
    Refusal::too_large("the number of messages", "messages_max", messages_max)
}
