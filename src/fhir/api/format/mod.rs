//! Formats: JSON within, and on the wire what the client asks for of what is offered.
//!
//! Interactions take and give JSON and know of nothing else. One layer around them turns a body that came in another
//! format into JSON, and an answer into the form that was asked for. A request that asks for nothing passes through
//! with its body unread.

mod accept;
mod asked;
mod binary;
pub(crate) mod cors;
mod media;
pub(crate) mod part;
mod translation;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

use self::asked::Asked;
pub(crate) use self::asked::Form;
pub(crate) use self::media::{Format, Media};
use super::body;
use super::error::{ApiError, FHIR_JSON};
use super::limits;
use super::state::ApiState;

/// Lets a request that is within its limits through to the interactions, which speak JSON, and its answer out in the form
/// it asks for.
pub(crate) async fn translate(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (mut request, body) = request.into_parts();
    let (is_head, is_read) = (request.method == Method::HEAD, request.method == Method::GET);
    let is_content = (is_head || is_read) && binary::is_instance(&request);
    let asked = match Asked::of(&request, is_content) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.into_response(),
    };
    if is_head {
        // The headers of an answer in another form follow from its body.
        request.method = Method::GET;
    }
    let response = match in_json(request, body, &state).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let asked = match response.extensions().get::<Form>() {
        Some(Form(parameters)) => asked.overridden(parameters.iter().map(|(name, value)| (name, value))),
        None => Ok(asked),
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(refusal) => return refusal.into_response(),
    };
    let response = if is_content && !asked.insists { binary::served(response).await } else { response };
    let mut response = as_asked(response, asked).await;
    if is_head || is_read {
        response.headers_mut().append(VARY, HeaderValue::from(ACCEPT));
    }
    if is_head { without_body(response) } else { response }
}

/// The request with a body of JSON.
async fn in_json(mut request: Parts, body: Body, state: &ApiState) -> Result<Request, ApiError> {
    limits::check(&request, &state.settings)?;
    let is_binary = binary::is_sent(&request);
    let is_xml = |request: &Parts| media_type(&request.headers).is_some_and(|media| media.format == Format::Xml);
    if !is_binary && !is_xml(&request) {
        return Ok(Request::from_parts(request, body));
    }
    if request.headers.contains_key(CONTENT_ENCODING) {
        return Err(body::unknown_encoding());
    }
    let mut text = body::read(body, state).await?;
    if is_binary {
        text = binary::received(&mut request, text)?;
    }
    if is_xml(&request) {
        text = translation::json_of(text).await?;
        request.headers.insert(CONTENT_TYPE, FHIR_JSON);
    }
    request.headers.remove(CONTENT_LENGTH);
    Ok(Request::from_parts(request, text.into()))
}

/// The answer in the form that was asked for, if it is a resource.
async fn as_asked(response: Response, asked: Asked) -> Response {
    if asked.is_default() || response.headers().get(CONTENT_TYPE) != Some(&FHIR_JSON) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let written = match body::of_answer(body).await {
        Ok(text) => translation::written(text, asked).await,
        Err(error) => Err(error),
    };
    match written {
        Ok(text) => {
            parts.headers.insert(CONTENT_TYPE, asked.media.content_type());
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, text.into())
        }
        Err(error) => error.into_response(),
    }
}

fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}

/// The media type of a body; `None` if it is none of FHIR's.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<Media> {
    Media::parse(headers.get(CONTENT_TYPE)?.to_str().ok()?)
}
