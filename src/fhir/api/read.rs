//! Read: the current version of a resource (<https://hl7.org/fhir/R4/http.html#read>).

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::error::{ApiError, Category};
use super::plain_url::PlainReadUrl;
use super::preconditions::ReadConditions;
use super::respond::{empty, insert_version_headers, json};
use super::state::ApiState;
use super::target::KeyInPath;
use crate::fhir::store::interface::Reader;
use crate::fhir::store::{ResourceKey, Version};

/// `GET [base]/[type]/[id]`
pub(crate) async fn read(
    State(state): State<ApiState>,
    KeyInPath(key): KeyInPath,
    _: PlainReadUrl,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let conditions = ReadConditions::in_headers(&headers)?;
    let version = state.store.read(move |reader| current(reader, &key)).await?;
    Ok(unless_known(version, &conditions))
}

/// The current version of a resource that is not deleted.
///
/// # Errors
/// When there is none.
pub(crate) fn current(reader: &dyn Reader, key: &ResourceKey) -> Result<Version, ApiError> {
    let Some(version) = reader.current(key)? else {
        return Err(ApiError::new(Category::NotFound, "There is no resource under this URL."));
    };
    if version.body.is_some() { Ok(version) } else { Err(deleted(&version)) }
}

/// The answer: the version, or 304 if the client has it.
pub(crate) fn unless_known(version: Version, conditions: &ReadConditions) -> Response {
    let mut response = if conditions.is_known(version.number, version.last_updated) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        json(StatusCode::OK, version.body.clone().unwrap_or_default().into())
    };
    insert_version_headers(response.headers_mut(), &version);
    // HTTP dates are whole seconds; a batch tells the time as the resource does.
    response.extensions_mut().insert(version.last_updated);
    response
}

/// The resource was deleted with this version.
pub(crate) fn deleted(version: &Version) -> ApiError {
    ApiError::new(
        Category::Deleted,
        format!("The resource was deleted as version {}. Its history has the versions before.", version.number),
    )
}
