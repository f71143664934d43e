//! Binary, whose content goes over the wire as it is: <https://hl7.org/fhir/R4/binary.html#rest>.
//!
//! A body of any type sent to `/Binary` becomes the content of a Binary, unless it is a Binary itself. A read gives the
//! content back, unless the client names a format of FHIR. What somebody stored here must not act as a page of this
//! server, so a browser is told to take the type as it stands, to save the content and to run nothing in it.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;

use super::media::{Format, Media};
use super::media_type;
use crate::fhir::api::body;
use crate::fhir::api::error::{ApiError, Category, FHIR_JSON};
use crate::fhir::api::state::MOUNT;
use crate::fhir::xml;
use crate::json::Node;
use crate::r4::id::is_id;

/// The resource that stands for the content where access to it is decided.
const SECURITY_CONTEXT: HeaderName = HeaderName::from_static("x-security-context");

/// The type of content whose own cannot be told.
const UNKNOWN_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Whether a request is about one Binary or a version of it.
pub(super) fn is_instance(request: &Parts) -> bool {
    let Some(below) = below_binary(request) else { return false };
    let mut segments = below.split('/').skip(1);
    let id = segments.next().filter(|id| is_id(id));
    match (id, segments.next(), segments.next(), segments.next()) {
        (Some(_), None, None, None) => true,
        (Some(_), Some("_history"), version, None) => version.is_some(),
        _ => false,
    }
}

/// Whether the body of a request may be the content of a Binary.
pub(super) fn is_sent(request: &Parts) -> bool {
    match below_binary(request) {
        Some("") => matches!(request.method, Method::POST | Method::PUT),
        Some(_) => request.method == Method::PUT && is_instance(request),
        None => false,
    }
}

/// The rest of a path below `/Binary`.
fn below_binary(request: &Parts) -> Option<&str> {
    request.uri.path().strip_prefix(MOUNT)?.strip_prefix("/Binary")
}

/// The body as a Binary: what was sent if it is one, else one with what was sent as its content.
///
/// # Errors
/// When the request does not say what its body is.
pub(super) fn received(request: &mut Parts, content: Bytes) -> Result<Bytes, ApiError> {
    if media_type(&request.headers).is_some_and(|media| is_resource(media, &content)) {
        return Ok(content);
    }
    let content_type = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or_else(|| {
        ApiError::new(Category::UnsupportedMedia, "Say what the content is: its media type as `Content-Type`.")
    })?;
    let id = below_binary(request).and_then(|below| below.strip_prefix('/'));
    let binary = binary(id, content_type, &request.headers, &content);
    request.headers.insert(CONTENT_TYPE, FHIR_JSON);
    Ok(binary.into())
}

/// Whether a body in one of FHIR's formats is a Binary. One that cannot be read is, if the type is FHIR's own: then its
/// author is told what is wrong with it.
fn is_resource(media: Media, content: &[u8]) -> bool {
    let root = match media.format {
        Format::Json => serde_json::from_slice(content).ok().map(|Named { resource_type }| resource_type),
        Format::Xml => xml::root_name(content).map(Cow::Owned),
    };
    root.map_or(media.is_fhirs_own(), |root| root == "Binary")
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(rename = "resourceType", borrow, default)]
    resource_type: Cow<'a, str>,
}

fn binary(id: Option<&str>, content_type: &str, headers: &HeaderMap, content: &[u8]) -> String {
    let member = |name: &'static str, value: &str| (Cow::Borrowed(name), Node::String(Cow::Owned(value.to_owned())));
    let mut members = vec![member("resourceType", "Binary")];
    members.extend(id.map(|id| member("id", id)));
    members.push(member("contentType", content_type));
    if let Some(Ok(reference)) = headers.get(SECURITY_CONTEXT).map(HeaderValue::to_str) {
        members.push((Cow::Borrowed("securityContext"), Node::Object(vec![member("reference", reference)])));
    }
    if !content.is_empty() {
        members.push(member("data", &STANDARD.encode(content)));
    }
    Node::Object(members).to_string()
}

/// What is stored, as far as it is served as headers and content.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(rename = "contentType", borrow, default)]
    content_type: Cow<'a, str>,
    #[serde(rename = "securityContext", borrow)]
    security_context: Option<Context<'a>>,
    #[serde(borrow, default)]
    data: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow, default)]
    reference: Cow<'a, str>,
}

/// The answer with the content in place of the Binary. Anything else, and a Binary whose content cannot be unpacked, stays
/// as it is.
pub(super) async fn served(response: Response) -> Response {
    if response.status() != StatusCode::OK || response.headers().get(CONTENT_TYPE) != Some(&FHIR_JSON) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = match body::of_answer(body).await {
        Ok(text) => text,
        Err(error) => return error.into_response(),
    };
    let Some((stored, content)) = unpacked(&text) else {
        return Response::from_parts(parts, text.into());
    };
    let content_type = HeaderValue::from_str(&stored.content_type).ok().filter(|value| !value.is_empty());
    let context = stored.security_context.and_then(|context| HeaderValue::from_str(&context.reference).ok());
    parts.headers.insert(CONTENT_TYPE, content_type.unwrap_or(UNKNOWN_TYPE));
    parts.headers.extend(context.map(|context| (SECURITY_CONTEXT, context)));
    parts.headers.extend([
        (CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
    ]);
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(content))
}

fn unpacked(text: &[u8]) -> Option<(Stored<'_>, Vec<u8>)> {
    let stored: Stored<'_> = serde_json::from_slice(text).ok()?;
    // Base64 of FHIR may have white space in it.
    let packed: Vec<u8> = stored.data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let content = STANDARD.decode(packed).ok()?;
    Some((stored, content))
}
