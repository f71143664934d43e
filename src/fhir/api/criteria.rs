//! Searches as conditions of writes (<https://hl7.org/fhir/R4/http.html#ccreate>).

use url::form_urlencoded;

use super::error::{ApiError, Category};
use super::limits::decode;
use crate::fhir::search;
use crate::fhir::search::plan::Criteria;
use crate::fhir::search::registry::Registry;
use crate::fhir::store::interface::Reader;
use crate::fhir::store::{Query, Selection, Version};
use crate::r4::resource_type::ResourceType;

/// What a condition leads to.
pub(crate) enum Found {
    /// No resource.
    Nothing,
    /// This one.
    One(Version),
    /// More than one.
    Several,
}

/// Reads the condition of a write; `base_url` is this server.
///
/// # Errors
/// When it is empty, which would reach any resource of the type, or not understood to the last parameter.
pub(crate) fn criteria(
    registry: &Registry,
    resource_type: ResourceType,
    query: &str,
    base_url: &str,
) -> Result<Criteria, ApiError> {
    let query = query.strip_prefix('?').unwrap_or(query);
    let mut asked = form_urlencoded::Serializer::new(String::new());
    for (name, value) in decode(query.as_bytes())? {
        if !matches!(name.as_str(), "_format" | "_pretty") {
            asked.append_pair(&name, &value);
        }
    }
    let mut criteria = search::plan::criteria(registry, resource_type, &asked.finish())?;
    search::local::localize(&mut criteria.condition, base_url);
    Ok(criteria)
}

/// What was asked by parameters of this server's own is asked while they mean the same.
///
/// # Errors
/// When they may mean something else by now, or the store fails.
pub(crate) fn check_reliance(reader: &dyn Reader, relies_on: Option<u64>) -> Result<(), ApiError> {
    match relies_on {
        Some(generation) if reader.generation()? != generation => {
            let detail = "The search parameters of this server changed while the request waited. Send it again.";
            Err(ApiError::new(Category::Unavailable, detail))
        }
        Some(_) | None => Ok(()),
    }
}

/// Looks for the resource that a condition means.
///
/// # Errors
/// When search parameters that it asks for changed meanwhile, or the store fails.
pub(crate) fn look_up(
    reader: &dyn Reader,
    resource_type: ResourceType,
    criteria: &Criteria,
) -> Result<Found, ApiError> {
    check_reliance(reader, criteria.relies_on)?;
    let selections = vec![Selection { resource_type, condition: criteria.condition.clone() }];
    let query = Query::first(selections, 2);
    let mut versions = reader.find(&query)?.versions;
    Ok(match (versions.pop(), versions.pop()) {
        (None, _) => Found::Nothing,
        (Some(version), None) => Found::One(version),
        (Some(_), Some(_)) => Found::Several,
    })
}
