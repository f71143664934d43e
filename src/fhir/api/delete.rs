//! Delete: a last version without content (<https://hl7.org/fhir/R4/http.html#delete>).

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::error::ApiError;
use super::preconditions::Preconditions;
use super::respond::Done;
use super::state::ApiState;
use super::target::KeyInPath;
use crate::fhir::store::ResourceKey;
use crate::fhir::store::interface::Writer;

/// A deletion, ready to be carried out.
#[derive(Debug)]
pub(crate) struct Delete {
    /// Of which resource.
    pub(crate) key: ResourceKey,
    /// Only if these hold.
    pub(crate) preconditions: Preconditions,
}

/// `DELETE [base]/[type]/[id]`
pub(crate) async fn delete(
    State(state): State<ApiState>,
    KeyInPath(key): KeyInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let delete = Delete { key, preconditions: Preconditions::in_headers(&headers)? };
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
        Ok(Done { status: StatusCode::NO_CONTENT, version: writer.delete(&self.key)? })
    }
}
