//! CloudEvents 1.0: the data of an event is the Body, its attributes become Properties.
//!
//! A property is named as the header of the attribute is in the HTTP binding, `ce-id`, `ce-type`, `ce-subject`, whichever way
//! the event came. Values keep their types where the document has some. `datacontenttype` is not among them: it is the
//! content type of the message.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::messages::Message;

/// What headers of attributes begin with.
const PREFIX: &str = "ce-";
/// What every event says (CloudEvents, 3.1 "Required attributes").
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];
const VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "datacontenttype";

/// The attributes of an event whose data is the body of the request, as properties.
///
/// # Errors
/// What is wrong with them.
pub(super) fn in_headers(headers: &HeaderMap) -> Result<Map<String, Value>, String> {
    let mut properties = Map::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        // What is no printable ASCII, and the percent sign, is escaped (HTTP binding, 3.1.3.2).
        let decoded = percent_decode(value.as_bytes()).decode_utf8();
        let text = decoded.map_err(|_not_text| format!("the attribute `{attribute}` is not UTF-8 text"))?;
        properties.insert(name.as_str().to_owned(), Value::String(text.into_owned()));
    }
    check(&properties)?;
    Ok(properties)
}

/// The message of an event; `whole` is the text that `document` is a part of.
///
/// # Errors
/// What is wrong with it.
pub(super) fn in_document(document: &RawValue, whole: &Bytes) -> Result<Message, String> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(document.get()).map_err(|_other| "an event is an object".to_owned())?;
    let (mut data, mut content_type, mut properties) = (None, None, Map::new());
    for (name, value) in members {
        match (name.as_ref(), data.is_some()) {
            ("data", false) => data = Some(whole.slice_ref(value.get().as_bytes())),
            ("data_base64", false) => data = Some(decoded(value)?),
            ("data" | "data_base64", true) => return Err("an event has `data` or `data_base64`, not both".to_owned()),
            (CONTENT_TYPE, _) => content_type = serde_json::from_str(value.get()).ok(),
            (attribute, _) => match serde_json::from_str(value.get()) {
                // An attribute that is null is not there (JSON format, 2.2).
                Ok(Value::Null) => {}
                Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => {
                    properties.insert(format!("{PREFIX}{attribute}"), value);
                }
                Ok(Value::Array(_) | Value::Object(_)) | Err(_) => {
                    return Err(format!("the attribute `{attribute}` is not a text, a number or a boolean"));
                }
            },
        }
    }
    check(&properties)?;
    let content_type = content_type.unwrap_or_else(|| "application/json".to_owned());
    Ok(Message { body: data.unwrap_or_default(), properties, content_type })
}

fn decoded(value: &RawValue) -> Result<Bytes, String> {
    let text: Cow<'_, str> =
        serde_json::from_str(value.get()).map_err(|_other| "`data_base64` is not a text".to_owned())?;
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|_broken| "`data_base64` is not Base64".to_owned())?;
    Ok(bytes.into())
}

fn check(properties: &Map<String, Value>) -> Result<(), String> {
    let attribute = |name: &str| properties.get(&format!("{PREFIX}{name}")).and_then(Value::as_str);
    for name in REQUIRED {
        if attribute(name).is_none_or(str::is_empty) {
            return Err(format!("a CloudEvent needs the attribute `{name}`, a text that is not empty"));
        }
    }
    if attribute("specversion") != Some(VERSION) {
        return Err(format!("the `specversion` of a CloudEvent is \"{VERSION}\""));
    }
    Ok(())
}
