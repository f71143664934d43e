//! Delete, also conditional: a last version without content (<https://hl7.org/fhir/R4/http.html#delete>).

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::create::several;
use super::criteria::{check_reliance, criteria};
use super::definitions;
use super::error::{ApiError, Category};
use super::plain_url::PlainUrl;
use super::policies::{CONDITIONAL_DELETES_MAX, ConditionalDeletes};
use super::preconditions::Preconditions;
use super::respond::Done;
use super::state::ApiState;
use super::target::{KeyInPath, TypeInPath};
use crate::fhir::search::plan::Criteria;
use crate::fhir::store::interface::{Reader, Writer};
use crate::fhir::store::{Query, ResourceKey, Selection, Version};
use crate::r4::resource_type::ResourceType;

/// A deletion, ready to be carried out.
#[derive(Debug)]
pub(crate) struct Delete {
    /// Of which resource.
    pub(crate) key: ResourceKey,
    /// Only if these hold.
    pub(crate) preconditions: Preconditions,
}

/// A conditional deletion, ready to be carried out.
#[derive(Debug)]
pub(crate) struct ConditionalDelete {
    resource_type: ResourceType,
    condition: Criteria,
    preconditions: Preconditions,
    /// How many it may find.
    found_max: usize,
}

/// `DELETE [base]/[type]/[id]`
pub(crate) async fn delete(
    State(state): State<ApiState>,
    KeyInPath(key): KeyInPath,
    _: PlainUrl,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let delete = Delete { key, preconditions: Preconditions::in_headers(&headers)? };
    let done = state.store.write(move |writer| delete.apply(writer)).await?;
    Ok(done.into_response("", None))
}

/// `DELETE [base]/[type]?[criteria]`
pub(crate) async fn conditional_delete(
    State(state): State<ApiState>,
    TypeInPath(resource_type): TypeInPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let registry = state.registry().await?;
    let condition = criteria(&registry, resource_type, &query.unwrap_or_default(), &state.base_url(&headers)?)?;
    let preconditions = Preconditions::in_headers(&headers)?;
    let policy = state.settings.conditional_deletes;
    let delete = ConditionalDelete::new(resource_type, condition, preconditions, policy)?;
    let done = state.store.write(move |writer| delete.apply(writer)).await?;
    Ok(done.into_response("", None))
}

impl Delete {
    /// Carries it out. To delete what is not there succeeds.
    ///
    /// # Errors
    /// When a precondition does not hold, or the store fails.
    pub(crate) fn apply(self, writer: &mut dyn Writer) -> Result<Done, ApiError> {
        self.preconditions.check(writer.head(&self.key)?)?;
        Ok(Done { status: StatusCode::NO_CONTENT, version: definitions::delete(writer, &self.key)? })
    }
}

impl ConditionalDelete {
    /// The deletion of what fulfils a condition.
    ///
    /// # Errors
    /// When the operator refuses such deletions.
    pub(crate) fn new(
        resource_type: ResourceType,
        condition: Criteria,
        preconditions: Preconditions,
        policy: ConditionalDeletes,
    ) -> Result<Self, ApiError> {
        let found_max = match policy {
            ConditionalDeletes::Refused => {
                let detail = "This server takes no conditional deletes. Search, and delete what is found by id.";
                return Err(ApiError::new(Category::NotSupported, detail));
            }
            ConditionalDeletes::Single => 1,
            ConditionalDeletes::Multiple => CONDITIONAL_DELETES_MAX,
        };
        Ok(Self { resource_type, condition, preconditions, found_max })
    }

    /// The resources that are deleted.
    ///
    /// # Errors
    /// When there are more than may be, or a precondition does not hold for one of them or for their absence.
    pub(crate) fn meant(&self, reader: &dyn Reader) -> Result<Vec<ResourceKey>, ApiError> {
        check_reliance(reader, self.condition.relies_on)?;
        let condition = self.condition.condition.clone();
        let selections = vec![Selection { resource_type: self.resource_type, condition }];
        let query = Query::first(selections, self.found_max + 1);
        let found = reader.find(&query)?.versions;
        if found.len() > self.found_max {
            return Err(self.too_many());
        }
        if found.is_empty() {
            self.preconditions.check(None)?;
        }
        found.iter().try_for_each(|version| self.preconditions.check(Some(version.head())))?;
        Ok(found.into_iter().map(|version| version.key).collect())
    }

    /// Carries it out. Nothing is deleted unless all of it is; to find nothing succeeds.
    ///
    /// # Errors
    /// As `meant`, and when the store fails.
    pub(crate) fn apply(self, writer: &mut dyn Writer) -> Result<Done, ApiError> {
        let meant = self.meant(writer)?;
        Self::delete_all(&meant, writer)
    }

    /// Deletes what is meant.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn delete_all(meant: &[ResourceKey], writer: &mut dyn Writer) -> Result<Done, ApiError> {
        let mut deleted: Vec<Version> = Vec::with_capacity(meant.len());
        for key in meant {
            deleted.extend(definitions::delete(writer, key)?);
        }
        // Only one deletion has a version to tell.
        let version = deleted.pop().filter(|_last| deleted.is_empty());
        Ok(Done { status: StatusCode::NO_CONTENT, version })
    }

    fn too_many(&self) -> ApiError {
        if self.found_max == 1 {
            return several();
        }
        ApiError::new(
            Category::MultipleMatches,
            format!(
                "More than {} resources fulfil the condition. Nothing was deleted; make the condition narrower.",
                self.found_max
            ),
        )
    }
}
