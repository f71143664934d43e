//! Conditional update: the resource that a search finds, or a new one (<https://hl7.org/fhir/R4/http.html#cond-update>).

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;

use super::body::JsonBody;
use super::create::{new_id, several};
use super::criteria::{Found, criteria, look_up};
use super::error::{ApiError, Category};
use super::preconditions::Preconditions;
use super::resource::Sent;
use super::respond::{Done, Return};
use super::state::ApiState;
use super::target::TypeInPath;
use super::update::Update;
use crate::fhir::store::interface::Writer;
use crate::fhir::store::{Condition, Method, ResourceKey};

/// A conditional update, ready to be carried out.
#[derive(Debug)]
pub(crate) struct ConditionalUpdate {
    /// What is written.
    pub(crate) sent: Sent,
    /// Which resource is meant.
    pub(crate) condition: Condition,
    /// Only if these hold for it.
    pub(crate) preconditions: Preconditions,
}

/// `PUT [base]/[type]?[criteria]`
pub(crate) async fn conditional_update(
    State(state): State<ApiState>,
    TypeInPath(resource_type): TypeInPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    JsonBody(text): JsonBody,
) -> Result<Response, ApiError> {
    let base_url = state.base_url(&headers)?;
    let update = ConditionalUpdate {
        condition: criteria(resource_type, &query.unwrap_or_default(), &base_url)?,
        preconditions: Preconditions::in_headers(&headers)?,
        sent: Sent::read_as(&text, resource_type, &base_url)?,
    };
    let done = state.store.write(move |writer| update.apply(writer)).await?;
    Ok(done.into_response(&base_url, Return::in_headers(&headers)))
}

impl ConditionalUpdate {
    /// Which resource is written: the one found, or a new one.
    ///
    /// # Errors
    /// When several are found, or the body's id is that of another resource.
    pub(crate) fn key(&self, writer: &dyn Writer) -> Result<ResourceKey, ApiError> {
        let resource_type = self.sent.resource_type;
        let id = match (look_up(writer, resource_type, &self.condition)?, &self.sent.id) {
            (Found::Several, _) => return Err(several()),
            (Found::One(version), Some(id)) if version.key.id != *id => {
                return Err(ApiError::new(
                    Category::Rule,
                    "The `id` of the body is not that of the resource which fulfils the condition. Leave it out or mend it.",
                ));
            }
            (Found::One(version), _) => version.key.id,
            (Found::Nothing, None) => new_id(),
            (Found::Nothing, Some(id)) => {
                let key = ResourceKey { resource_type, id: id.clone() };
                if writer.head(&key)?.is_some_and(|head| head.method != Method::Delete) {
                    return Err(ApiError::new(
                        Category::Conflict,
                        "A resource with the `id` of the body exists and does not fulfil the condition.",
                    ));
                }
                key.id
            }
        };
        Ok(ResourceKey { resource_type, id })
    }

    /// Carries it out. Nothing is written unless it succeeds.
    ///
    /// # Errors
    /// When the condition leads to several resources or contradicts the body, a precondition does not hold, or the
    /// store fails.
    pub(crate) fn apply(self, writer: &mut dyn Writer) -> Result<Done, ApiError> {
        let key = self.key(writer)?;
        let method = match writer.head(&key)? {
            None if self.sent.id.is_none() => Method::Post,
            _ => Method::Put,
        };
        let update = Update { draft: self.sent.into_draft(key.id, method), preconditions: self.preconditions };
        update.apply(writer)
    }
}
