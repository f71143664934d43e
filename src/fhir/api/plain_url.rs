//! URLs of interactions that take no parameters.
//!
//! A parameter that is passed over may be a condition: who creates with `POST Patient?identifier=...` believes that a Patient
//! with this identifier is not written twice, and who reads with `Patient/1?active=true` that the Patient is active.

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::error::{ApiError, Category};
use super::limits::decode;

/// There are no parameters in the URL but those about the form of the answer (`_format`, `_pretty`).
pub(crate) struct PlainUrl;

/// As `PlainUrl`, and those about the part that is read (`_summary`, `_elements`).
pub(crate) struct PlainReadUrl;

impl<S: Send + Sync> FromRequestParts<S> for PlainUrl {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let hint = "The condition of a create is the header `If-None-Exist`; those of other writes stand in the URL of the type, \
                    without an id.";
        takes_only(parts.uri.query(), &["_format", "_pretty"], hint).map(|()| Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PlainReadUrl {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        check_read(parts.uri.query()).map(|()| Self)
    }
}

/// Refuses the query of a read that has parameters besides those of `PlainReadUrl`.
///
/// # Errors
/// When it has.
pub(crate) fn check_read(query: Option<&str>) -> Result<(), ApiError> {
    let hint = "Search in the type for what fulfils a condition.";
    takes_only(query, &["_format", "_pretty", "_summary", "_elements"], hint)
}

fn takes_only(query: Option<&str>, known: &[&str], hint: &str) -> Result<(), ApiError> {
    let mut names = decode(query.unwrap_or_default().as_bytes())?.into_iter().map(|(name, _)| name);
    match names.find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let detail = format!("This interaction takes no parameter `{name}`; nothing was done. {hint}");
            Err(ApiError::new(Category::NotSupported, detail))
        }
    }
}
