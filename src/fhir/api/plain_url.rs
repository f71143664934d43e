//! URLs of interactions that take no parameters.
//!
//! A parameter that is passed over may be a condition: who creates with `POST Patient?identifier=...` believes that a Patient
//! with this identifier is not written twice.

use axum::extract::FromRequestParts;
use http::request::Parts;
use url::form_urlencoded;

use super::error::{ApiError, Category};

/// There are no parameters in the URL but those about the form of the answer (`_format`, `_pretty`).
pub(crate) struct PlainUrl;

impl<S: Send + Sync> FromRequestParts<S> for PlainUrl {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut names = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).map(|(name, _)| name);
        match names.find(|name| !matches!(name.as_ref(), "_format" | "_pretty")) {
            None => Ok(Self),
            Some(name) => Err(ApiError::new(
                Category::NotSupported,
                format!(
                    "This interaction takes no parameter `{name}`; nothing was done. The condition of a create is the header \
                     `If-None-Exist`; those of other writes stand in the URL of the type, without an id."
                ),
            )),
        }
    }
}
