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
use crate::fhir::search::plan::Criteria;
use crate::fhir::store::interface::{Head, Writer};
use crate::fhir::store::{Method, ResourceKey, Version};

/// A conditional update, ready to be carried out.
#[derive(Debug)]
pub(crate) struct ConditionalUpdate {
    /// What is written.
    pub(crate) sent: Sent,
    /// Which resource is meant.
    pub(crate) condition: Criteria,
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
    let registry = state.registry().await?;
    let update = ConditionalUpdate {
        condition: criteria(&registry, resource_type, &query.unwrap_or_default(), &base_url)?,
        preconditions: Preconditions::in_headers(&headers)?.of_change(state.settings.versioning.of(resource_type)),
        sent: Sent::read_as(&text, resource_type, state.rules(&base_url, &registry))?,
    };
    let done = state.store.write(move |writer| update.apply(writer)).await?;
    Ok(done.into_response(&base_url, Return::in_headers(&headers)))
}

/// The resource that a conditional update writes.
pub(crate) struct Meant {
    /// Which it is: the one found, or a new one.
    pub(crate) key: ResourceKey,
    /// What is stored under the key.
    pub(crate) head: Option<Head>,
}

impl ConditionalUpdate {
    /// Finds out which resource is written.
    ///
    /// # Errors
    /// When several are found, a precondition does not hold for the one found or its absence, or the body's id is that of
    /// another resource.
    pub(crate) fn meant(&self, writer: &dyn Writer) -> Result<Meant, ApiError> {
        let resource_type = self.sent.resource_type;
        let found = match look_up(writer, resource_type, &self.condition)? {
            Found::Nothing => None,
            Found::One(version) => Some(version),
            Found::Several => return Err(several()),
        };
        // Before the body is looked at: who writes only if there is nothing cannot know the id of what there is.
        self.preconditions.check(found.as_ref().map(Version::head))?;
        match (found, &self.sent.id) {
            (Some(version), Some(id)) if version.key.id != *id => Err(ApiError::new(
                Category::Rule,
                "The `id` of the body is not that of the resource which fulfils the condition. Leave it out or mend it.",
            )),
            (Some(version), _) => Ok(Meant { head: Some(version.head()), key: version.key }),
            (None, None) => Ok(Meant { key: ResourceKey { resource_type, id: new_id() }, head: None }),
            (None, Some(id)) => {
                let key = ResourceKey { resource_type, id: id.clone() };
                let head = writer.head(&key)?;
                if head.is_some_and(|head| head.method != Method::Delete) {
                    return Err(ApiError::new(
                        Category::Conflict,
                        "A resource with the `id` of the body exists and does not fulfil the condition.",
                    ));
                }
                Ok(Meant { key, head })
            }
        }
    }

    /// Carries it out. Nothing is written unless it succeeds.
    ///
    /// # Errors
    /// When the condition leads to several resources or contradicts the body, a precondition does not hold, or the
    /// store fails.
    pub(crate) fn apply(self, writer: &mut dyn Writer) -> Result<Done, ApiError> {
        let Meant { key, head } = self.meant(writer)?;
        let method = if head.is_none() && self.sent.id.is_none() { Method::Post } else { Method::Put };
        let update = Update { draft: self.sent.into_draft(key.id, method), preconditions: self.preconditions };
        update.apply_to(head, writer)
    }
}
