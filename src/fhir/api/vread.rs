//! Vread: one version of a resource, current or not (<https://hl7.org/fhir/R4/http.html#vread>).

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::error::ApiError;
use super::plain_url::PlainReadUrl;
use super::preconditions::ReadConditions;
use super::read::{deleted, unless_known};
use super::state::ApiState;
use super::target::{VersionInPath, version_unknown};
use crate::fhir::store::interface::Reader;
use crate::fhir::store::{ResourceKey, Version};

/// `GET [base]/[type]/[id]/_history/[vid]`
pub(crate) async fn vread(
    State(state): State<ApiState>,
    VersionInPath(key, number): VersionInPath,
    _: PlainReadUrl,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let conditions = ReadConditions::in_headers(&headers)?;
    let version = state.store.read(move |reader| one(reader, &key, number)).await?;
    Ok(unless_known(version, &conditions))
}

/// A version that is not a deletion.
///
/// # Errors
/// When there is none.
pub(crate) fn one(reader: &dyn Reader, key: &ResourceKey, number: u64) -> Result<Version, ApiError> {
    let version = reader.version(key, number)?.ok_or_else(version_unknown)?;
    if version.body.is_some() { Ok(version) } else { Err(deleted(&version)) }
}
