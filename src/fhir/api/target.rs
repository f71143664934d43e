//! What a path names: a type, a resource, a version.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use super::error::{ApiError, Category};
use super::operations;
use crate::fhir::search::scope::{Inside, Scope};
use crate::fhir::store::ResourceKey;
use crate::r4::id::is_id;
use crate::r4::resource_type::ResourceType;

/// The type in a path.
pub(crate) struct TypeInPath(pub(crate) ResourceType);

/// The resource in a path.
pub(crate) struct KeyInPath(pub(crate) ResourceKey);

/// The version in a path.
pub(crate) struct VersionInPath(pub(crate) ResourceKey, pub(crate) u64);

/// Where is searched, from a path: the base, a type, or a compartment.
pub(crate) struct ScopeInPath(pub(crate) Scope);

/// Where is searched, from the segments of a path; all are empty at the base, but the first at a type.
///
/// # Errors
/// When a segment is not what it should be, or there is no such compartment.
pub(crate) fn scope_named(type_name: &str, id: &str, member: &str) -> Result<Scope, ApiError> {
    if type_name.is_empty() {
        return Ok(Scope::System);
    }
    if member.is_empty() {
        return type_named(type_name).map(Scope::Type);
    }
    let of = key_named(type_name, id)?;
    let member = if member == "*" { None } else { Some(type_named(member)?) };
    Inside::new(of, member).map(Scope::Compartment).ok_or_else(|| {
        ApiError::new(
            Category::NotFound,
            "There is no such compartment: Patient, Encounter, Device, Practitioner and RelatedPerson have one, and only \
             some types are ever in it.",
        )
    })
}

/// A type by its name in a URL.
///
/// # Errors
/// When R4 has no such type.
pub(crate) fn type_named(name: &str) -> Result<ResourceType, ApiError> {
    ResourceType::parse(name).ok_or_else(|| {
        not_offered(name).unwrap_or_else(|| {
            ApiError::new(
                Category::NotFound,
                "The URL names no resource type of FHIR R4. Types are spelled as in `Observation`.",
            )
        })
    })
}

/// The refusal of a segment of a path that is an operation or an interaction which this server has not.
fn not_offered(segment: &str) -> Option<ApiError> {
    if segment.starts_with('$') {
        return Some(operations::unknown(segment));
    }
    segment.starts_with('_').then(|| {
        ApiError::new(Category::NotFound, "This server has nothing under this path. `metadata` lists what it offers.")
    })
}

/// A resource by the two parts of its URL.
///
/// # Errors
/// When R4 has no such type, or the id cannot be one.
pub(crate) fn key_named(type_name: &str, id: &str) -> Result<ResourceKey, ApiError> {
    let resource_type = type_named(type_name)?;
    if !is_id(id) {
        return Err(not_offered(id).unwrap_or_else(|| {
            ApiError::new(
                Category::Value,
                "The URL has no logical id where one belongs: 1 to 64 characters of A-Z, a-z, 0-9, `-` and `.`.",
            )
        }));
    }
    // Clients and proxies take these out of a URL together with the segment before (RFC 3986, section 5.2.4).
    if matches!(id, "." | "..") {
        return Err(ApiError::new(
            Category::Value,
            "No resource has the id `.` or `..`: in a URL they lead elsewhere.",
        ));
    }
    Ok(ResourceKey { resource_type, id: id.to_owned() })
}

/// The number of a version in a URL.
///
/// # Errors
/// When no version can have it.
pub(crate) fn version_named(text: &str) -> Result<u64, ApiError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_number| digits).ok_or_else(version_unknown)
}

/// There is no such version.
pub(crate) fn version_unknown() -> ApiError {
    ApiError::new(Category::NotFound, "The resource has no such version. Its history lists those it has.")
}

async fn parameters<const N: usize, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    names: [&str; N],
) -> Result<[String; N], ApiError> {
    let undecodable = |_undecodable| ApiError::new(Category::NotFound, "The path is not percent-encoded UTF-8.");
    let found = RawPathParams::from_request_parts(parts, state).await.map_err(undecodable)?;
    Ok(names.map(|name| {
        let value = found.iter().find_map(|(known, value)| (known == name).then_some(value));
        value.unwrap_or_default().to_owned()
    }))
}

impl<S: Send + Sync> FromRequestParts<S> for TypeInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let [name] = parameters(parts, state, ["type"]).await?;
        type_named(&name).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ScopeInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let [name, id, member] = parameters(parts, state, ["type", "id", "member"]).await?;
        scope_named(&name, &id, &member).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for KeyInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let [name, id] = parameters(parts, state, ["type", "id"]).await?;
        key_named(&name, &id).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for VersionInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let [name, id, version] = parameters(parts, state, ["type", "id", "version"]).await?;
        Ok(Self(key_named(&name, &id)?, version_named(&version)?))
    }
}
