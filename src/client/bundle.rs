//! Requests to a batch Bundle, and a batch-response to answers.
//!
//! A batch, not a transaction, so that one entry the server refuses does not take its neighbours along
//! (<https://hl7.org/fhir/R4/http.html#transaction>). Bodies are written as they are; nothing is parsed on the way out.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One request for a Bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Reads or searches; the URL is relative to the base and escaped.
    Get {
        /// For example `Observation/1` or `Device?identifier=x`.
        url: String,
    },
    /// Writes a resource under the URL, provided the condition holds.
    Put {
        /// `Type/id`.
        url: String,
        /// The resource as JSON.
        resource: Bytes,
        /// When to write.
        condition: Condition,
    },
}

impl Request {
    /// What it is about, relative to the base.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Get { url } | Self::Put { url, .. } => url,
        }
    }
}

/// When a write may take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Only if there is nothing under the URL.
    Absent,
    /// Only if the current version has this entity tag, for example `W/"3"`.
    Version(String),
    /// In any case.
    Always,
}

/// What the server said to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status of the entry.
    pub(crate) status: u16,
    /// Entity tag of the version written or read.
    pub(crate) etag: Option<String>,
    /// The resource, where the server sent one.
    pub(crate) resource: Option<Bytes>,
    /// What the OperationOutcome says, where there is one. May quote what was sent, so it is never logged.
    pub(crate) diagnosis: Option<String>,
}

/// The Bundle holding `requests`, in their order.
pub(crate) fn write<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Vec<u8> {
    let mut text = Vec::with_capacity(64 * 1024);
    text.extend_from_slice(br#"{"resourceType":"Bundle","type":"batch","entry":["#);
    for (index, request) in requests.into_iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        write_entry(&mut text, request);
    }
    text.extend_from_slice(b"]}");
    text
}

fn write_entry(text: &mut Vec<u8>, request: &Request) {
    match request {
        Request::Get { url } => {
            text.extend_from_slice(br#"{"request":{"method":"GET","url":"#);
            write_string(text, url);
        }
        Request::Put { url, resource, condition } => {
            text.extend_from_slice(br#"{"resource":"#);
            text.extend_from_slice(resource);
            text.extend_from_slice(br#","request":{"method":"PUT","url":"#);
            write_string(text, url);
            match condition {
                Condition::Absent => text.extend_from_slice(br#","ifNoneMatch":"*""#),
                Condition::Version(etag) => {
                    text.extend_from_slice(br#","ifMatch":"#);
                    write_string(text, etag);
                }
                Condition::Always => {}
            }
        }
    }
    text.extend_from_slice(b"}}");
}

fn write_string(text: &mut Vec<u8>, value: &str) {
    text.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            0..0x20 => text.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => text.push(byte),
        }
    }
    text.push(b'"');
}

/// Why a response Bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResponseError {
    /// It is not JSON of the shape that was asked for.
    #[error("the response is not a Bundle")]
    Shape(#[source] serde_json::Error),
    /// It is a resource of another type.
    #[error("the response is not a Bundle")]
    Type,
    /// It ends too early.
    #[error("the response breaks off")]
    Truncated,
    /// It has another number of entries than was asked.
    #[error("the response has {found} entries for {asked} requests")]
    Count {
        /// Requests sent.
        asked: usize,
        /// Entries in the response.
        found: usize,
    },
    /// An entry has no status, or none that ends a request.
    #[error("entry {index} of the response has no final HTTP status")]
    Status {
        /// Its place, from 0.
        index: usize,
    },
}

impl ResponseError {
    /// Tells what broke off from what never was FHIR. No body at all is not FHIR either.
    pub(super) fn shape(text: &[u8], cause: serde_json::Error) -> Self {
        if cause.is_eof() && !text.is_empty() { Self::Truncated } else { Self::Shape(cause) }
    }
}

#[derive(Deserialize)]
struct BundleShape<'a> {
    #[serde(rename = "resourceType", borrow)]
    resource_type: Cow<'a, str>,
    #[serde(default, borrow)]
    entry: Vec<EntryShape<'a>>,
}

#[derive(Deserialize)]
struct EntryShape<'a> {
    #[serde(default, borrow)]
    resource: Option<&'a RawValue>,
    #[serde(default, borrow)]
    response: Option<ResponseShape<'a>>,
}

#[derive(Deserialize)]
struct ResponseShape<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(default)]
    etag: Option<String>,
    #[serde(default, borrow)]
    outcome: Option<&'a RawValue>,
}

/// The answers in a batch-response, in the order of the requests.
///
/// # Errors
/// When the Bundle does not answer each of the `asked` requests.
pub(crate) fn read(text: &Bytes, asked: usize) -> Result<Vec<Answer>, ResponseError> {
    let bundle: BundleShape<'_> = serde_json::from_slice(text).map_err(|cause| ResponseError::shape(text, cause))?;
    if bundle.resource_type != "Bundle" {
        return Err(ResponseError::Type);
    }
    if bundle.entry.len() != asked {
        return Err(ResponseError::Count { asked, found: bundle.entry.len() });
    }
    bundle.entry.into_iter().enumerate().map(|(index, entry)| answer(text, index, entry)).collect()
}

fn answer(text: &Bytes, index: usize, entry: EntryShape<'_>) -> Result<Answer, ResponseError> {
    let response = entry.response.ok_or(ResponseError::Status { index })?;
    // "201 Created": the reason phrase is optional.
    let status: Option<u16> = response.status.split_whitespace().next().and_then(|status| status.parse().ok());
    let status = status.filter(|status| (200..600).contains(status)).ok_or(ResponseError::Status { index })?;
    let outcome = response.outcome.or(entry.resource.filter(|_resource| status >= 400));
    Ok(Answer {
        status,
        etag: response.etag,
        resource: entry.resource.map(|resource| text.slice_ref(resource.get().as_bytes())),
        diagnosis: outcome.filter(|_outcome| status >= 400).and_then(|outcome| diagnosis(outcome.get())),
    })
}

#[derive(Deserialize)]
struct OutcomeShape {
    #[serde(default)]
    issue: Vec<IssueShape>,
}

#[derive(Deserialize)]
struct IssueShape {
    #[serde(default)]
    code: String,
    diagnostics: Option<String>,
    details: Option<DetailsShape>,
}

#[derive(Deserialize)]
struct DetailsShape {
    text: Option<String>,
}

/// What the issues of an OperationOutcome say, joined by `; `; `None` when the text is something else.
pub(crate) fn diagnosis(outcome: &str) -> Option<String> {
    let outcome: OutcomeShape = serde_json::from_str(outcome).ok()?;
    let say =
        |issue: IssueShape| issue.diagnostics.or(issue.details.and_then(|details| details.text)).unwrap_or(issue.code);
    let issues: Vec<String> = outcome.issue.into_iter().map(say).filter(|text| !text.is_empty()).collect();
    (!issues.is_empty()).then(|| issues.join("; "))
}

/// A search value for a URL: FHIR's own escapes first, then percent-encoding (rule ID-4).
pub(crate) fn search_value(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '\\' | '|' | ',' | '$') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    percent_encoding::utf8_percent_encode(&escaped, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A token for a URL: `system|value`, or the value alone, which matches any system.
pub(crate) fn search_token(system: Option<&str>, value: &str) -> String {
    match system {
        Some(system) => format!("{}%7C{}", search_value(system), search_value(value)),
        None => search_value(value),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Condition, Request, ResponseError, read, search_token, write};

    #[test]
    fn a_bundle_holds_the_requests_in_order_and_bodies_as_they_are() {
        let put = |condition| Request::Put {
            url: "Observation/a".to_owned(),
            resource: Bytes::from_static(br#"{"v":65.0}"#),
            condition,
        };
        let requests = [
            Request::Get { url: "Device?identifier=%22".to_owned() },
            put(Condition::Absent),
            put(Condition::Version("W/\"3\"".to_owned())),
            put(Condition::Always),
        ];
        let expected = concat!(
            r#"{"resourceType":"Bundle","type":"batch","entry":["#,
            r#"{"request":{"method":"GET","url":"Device?identifier=%22"}},"#,
            r#"{"resource":{"v":65.0},"request":{"method":"PUT","url":"Observation/a","ifNoneMatch":"*"}},"#,
            r#"{"resource":{"v":65.0},"request":{"method":"PUT","url":"Observation/a","ifMatch":"W/\"3\""}},"#,
            r#"{"resource":{"v":65.0},"request":{"method":"PUT","url":"Observation/a"}}"#,
            "]}"
        );
        assert_eq!(String::from_utf8(write(&requests)).unwrap(), expected);
    }

    #[test]
    fn answers_carry_status_tag_resource_and_diagnosis() {
        let text = Bytes::from_static(
            br#"{"resourceType":"Bundle","entry":[
                {"response":{"status":"201 Created","etag":"W/\"1\""}},
                {"resource":{"v":65.0},"response":{"status":"200"}},
                {"response":{"status":"422","outcome":{"issue":[{"code":"invalid","diagnostics":"no code"}]}}}]}"#,
        );
        let answers = read(&text, 3).unwrap();
        assert_eq!((answers[0].status, answers[0].etag.as_deref()), (201, Some("W/\"1\"")));
        assert_eq!(answers[1].resource.as_deref(), Some(br#"{"v":65.0}"#.as_slice()));
        assert_eq!((answers[2].status, answers[2].diagnosis.as_deref()), (422, Some("no code")));
        assert!(matches!(read(&text, 2), Err(ResponseError::Count { asked: 2, found: 3 })));
    }

    #[test]
    fn id_4_search_values_are_escaped_twice() {
        assert_eq!(search_token(None, "a|b,c$d\\e f"), "a%5C%7Cb%5C%2Cc%5C%24d%5C%5Ce%20f");
        assert_eq!(search_token(Some("urn:x"), "ü"), "urn%3Ax%7C%C3%BC");
    }
}
