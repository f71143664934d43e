//! Update: the next version of a resource, or its first under an id of the client's choice
//! (<https://hl7.org/fhir/R4/http.html#update>).

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::body::JsonBody;
use super::definitions;
use super::error::{ApiError, Category};
use super::plain_url::PlainUrl;
use super::preconditions::Preconditions;
use super::resource::Sent;
use super::respond::{Done, Return};
use super::state::ApiState;
use super::target::KeyInPath;
use crate::fhir::store::interface::{Head, Writer};
use crate::fhir::store::{Draft, Method, ResourceKey};

/// An update, ready to be carried out.
#[derive(Debug)]
pub(crate) struct Update {
    /// What is written.
    pub(crate) draft: Draft,
    /// Only if these hold.
    pub(crate) preconditions: Preconditions,
}

/// `PUT [base]/[type]/[id]`
pub(crate) async fn update(
    State(state): State<ApiState>,
    KeyInPath(key): KeyInPath,
    _: PlainUrl,
    headers: HeaderMap,
    JsonBody(text): JsonBody,
) -> Result<Response, ApiError> {
    let base_url = state.base_url(&headers)?;
    let registry = state.registry().await?;
    let preconditions = Preconditions::in_headers(&headers)?.of_change(state.settings.versioning.of(key.resource_type));
    let sent = Sent::read_as(&text, key.resource_type, state.rules(&base_url, &registry))?;
    let update = Update::new(key, sent, preconditions)?;
    let done = state.store.write(move |writer| update.apply(writer)).await?;
    Ok(done.into_response(&base_url, Return::in_headers(&headers)))
}

impl Update {
    /// The update of the resource that the URL names.
    ///
    /// # Errors
    /// When the body does not have the id of the URL.
    pub(crate) fn new(key: ResourceKey, sent: Sent, preconditions: Preconditions) -> Result<Self, ApiError> {
        if sent.id.as_ref() != Some(&key.id) {
            let detail = match &sent.id {
                Some(_) => "The `id` of the body is not the one of the URL.",
                None => "The body has no `id`. Give it the one of the URL.",
            };
            return Err(ApiError::new(Category::Rule, detail).at(format!("{}.id", key.resource_type.as_str())));
        }
        Ok(Self { draft: sent.into_draft(key.id, Method::Put), preconditions })
    }

    /// Carries it out. Nothing is written unless it succeeds.
    ///
    /// # Errors
    /// When a precondition does not hold, or the store fails.
    pub(crate) fn apply(self, writer: &mut dyn Writer) -> Result<Done, ApiError> {
        let head = writer.head(&self.draft.key)?;
        self.apply_to(head, writer)
    }

    /// As `apply`, where it is known already what is stored under the key.
    ///
    /// # Errors
    /// When a precondition does not hold, or the store fails.
    pub(crate) fn apply_to(self, head: Option<Head>, writer: &mut dyn Writer) -> Result<Done, ApiError> {
        self.preconditions.check(head)?;
        let exists = head.is_some_and(|head| head.method != Method::Delete);
        let version = definitions::put(writer, self.draft)?;
        Ok(Done { status: if exists { StatusCode::OK } else { StatusCode::CREATED }, version: Some(version) })
    }
}
