//! What a request says its body is: the format of its messages, and how it is packed.

use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, Uri};
use url::form_urlencoded;

use super::refusal::Refusal;
use crate::codings::Codings;

/// The header that makes a request a CloudEvent in binary mode.
const CLOUD_EVENT: &str = "ce-specversion";

const FORMATS: &str = "send `Content-Type: application/json`, `application/x-ndjson`, `application/cloudevents+json` or \
                       `application/cloudevents-batch+json`, in UTF-8";

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One message.
    Json,
    /// An array of messages.
    JsonArray,
    /// A message a line.
    Lines,
    /// The data of one event, whose attributes are in the headers (CloudEvents, HTTP binding, 3.1).
    CloudEvent,
    /// One event (3.2).
    CloudEventDocument,
    /// An array of events (3.3).
    CloudEvents,
}

/// How the body of a request is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) format: Format,
    pub(super) codings: Codings,
    /// The media type as the sender wrote it.
    pub(super) content_type: String,
}

impl Reading {
    /// Reads it off the head of a request.
    ///
    /// # Errors
    /// When the format or a coding is not known, or the query is not.
    pub(super) fn of(uri: &Uri, headers: &HeaderMap) -> Result<Self, Refusal> {
        let is_event = headers.contains_key(CLOUD_EVENT);
        let content_type = text(headers, &CONTENT_TYPE)?;
        let format = match (media_type(&content_type)?, is_split(uri)?, is_event) {
            (Media::Json, false, false) => Format::Json,
            (Media::Json, true, false) => Format::JsonArray,
            (Media::Json | Media::None, false, true) => Format::CloudEvent,
            (Media::Lines, _, false) => Format::Lines,
            (Media::CloudEvent, false, false) => Format::CloudEventDocument,
            (Media::CloudEvents, _, false) => Format::CloudEvents,
            (Media::None, _, false) => return Err(Refusal::unknown_format(FORMATS)),
            (Media::CloudEvent, true, false) => return Err(Refusal::unreadable("an event cannot be split")),
            (_, _, true) => {
                let message = "the headers of a CloudEvent (`ce-...`) belong to one message of JSON";
                return Err(Refusal::unreadable(message));
            }
        };
        let codings = Codings::parse(&text(headers, &CONTENT_ENCODING)?).map_err(|unknown| {
            Refusal::unknown_format(format!("the `Content-Encoding` of the body is not known: {unknown}"))
        })?;
        Ok(Self { format, codings, content_type })
    }
}

/// What a media type means.
enum Media {
    None,
    Json,
    Lines,
    CloudEvent,
    CloudEvents,
}

fn media_type(content_type: &str) -> Result<Media, Refusal> {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_utf_8 = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    if !parts.all(is_utf_8) {
        return Err(Refusal::unknown_format(FORMATS));
    }
    Ok(match essence.as_str() {
        "" => Media::None,
        "application/cloudevents+json" => Media::CloudEvent,
        "application/cloudevents-batch+json" => Media::CloudEvents,
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/x-jsonlines"
        | "application/jsonlines" => Media::Lines,
        "application/json" => Media::Json,
        other if other.starts_with("application/") && other.ends_with("+json") => Media::Json,
        _ => return Err(Refusal::unknown_format(FORMATS)),
    })
}

/// Whether an array is to be taken apart. A parameter that is not known could mean anything, so it is refused.
fn is_split(uri: &Uri) -> Result<bool, Refusal> {
    let mut is_split = false;
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        is_split = match (name.as_ref(), value.as_ref()) {
            ("split", "true") => true,
            ("split", "false") => false,
            _ => return Err(Refusal::unreadable("the only parameter is `split`, which is `true` or `false`")),
        };
    }
    Ok(is_split)
}

/// The values of a header, with commas between.
fn text(headers: &HeaderMap, name: &axum::http::HeaderName) -> Result<String, Refusal> {
    let values: Result<Vec<&str>, _> = headers.get_all(name).iter().map(axum::http::HeaderValue::to_str).collect();
    let values = values.map_err(|_not_text| Refusal::unreadable(format!("the header `{name}` is not ASCII text")))?;
    Ok(values.join(","))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Format, Reading};

    fn read(query: &str, headers: &[(&'static str, &'static str)]) -> Result<Format, String> {
        let pairs = headers.iter();
        let pairs = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers: HeaderMap = pairs.collect();
        let reading = Reading::of(&format!("/m?{query}").parse().unwrap(), &headers);
        reading.map(|reading| reading.format).map_err(|refusal| format!("{refusal:?}"))
    }

    #[track_caller]
    fn check(content_type: &'static str, query: &str, expected: Format) {
        assert_eq!(read(query, &[("content-type", content_type)]), Ok(expected), "{content_type} {query}");
    }

    #[track_caller]
    fn check_refused(query: &str, headers: &[(&'static str, &'static str)], status: &str) {
        let refused = read(query, headers).unwrap_err();
        assert!(refused.contains(&format!("status: {status}")), "{refused}");
    }

    #[test]
    fn the_media_type_says_the_format() {
        check("application/json", "", Format::Json);
        check("Application/JSON; charset=UTF-8", "split=false", Format::Json);
        check("application/senml+json", "", Format::Json);
        check("application/json", "split=true", Format::JsonArray);
        for lines in ["application/x-ndjson", "application/ndjson;charset=\"utf-8\"", "application/jsonl"] {
            check(lines, "", Format::Lines);
        }
        check("application/cloudevents+json; charset=utf-8", "", Format::CloudEventDocument);
        check("application/cloudevents-batch+json", "", Format::CloudEvents);
    }

    #[test]
    fn headers_of_an_event_make_a_message_an_event() {
        let event = ("ce-specversion", "1.0");
        assert_eq!(read("", &[event, ("content-type", "application/json")]), Ok(Format::CloudEvent));
        assert_eq!(read("", &[event]), Ok(Format::CloudEvent));
        check_refused("", &[event, ("content-type", "application/x-ndjson")], "400");
        check_refused("split=true", &[event, ("content-type", "application/json")], "400");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for unknown in
            ["text/plain", "application/json; charset=latin1", "application/xml", "multipart/form-data", "json"]
        {
            check_refused("", &[("content-type", unknown)], "415");
        }
        check_refused("", &[], "415");
        check_refused("", &[("content-type", "application/json"), ("content-encoding", "br")], "415");
        check_refused("split=yes", &[("content-type", "application/json")], "400");
        check_refused("limit=1", &[("content-type", "application/json")], "400");
        check_refused("split=true", &[("content-type", "application/cloudevents+json")], "400");
    }
}
