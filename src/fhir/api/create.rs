//! Create, also conditional: a new resource under an id of the server's choice
//! (<https://hl7.org/fhir/R4/http.html#create>).

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderName, StatusCode};
use uuid::Uuid;

use super::body::JsonBody;
use super::criteria::{Found, criteria, look_up};
use super::definitions;
use super::error::{ApiError, Category};
use super::plain_url::PlainUrl;
use super::resource::Sent;
use super::respond::{Done, Return};
use super::state::ApiState;
use super::target::TypeInPath;
use crate::fhir::search::plan::Criteria;
use crate::fhir::store::interface::Writer;
use crate::fhir::store::{Draft, Method};

/// The header that holds the condition of a create.
pub(crate) const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");

/// A create, ready to be carried out.
#[derive(Debug)]
pub(crate) struct Create {
    /// What is written.
    pub(crate) draft: Draft,
    /// Only if nothing of the type fulfils this.
    pub(crate) unless_found: Option<Criteria>,
}

/// `POST [base]/[type]`
pub(crate) async fn create(
    State(state): State<ApiState>,
    TypeInPath(resource_type): TypeInPath,
    _: PlainUrl,
    headers: HeaderMap,
    JsonBody(text): JsonBody,
) -> Result<Response, ApiError> {
    let base_url = state.base_url(&headers)?;
    let registry = state.registry().await?;
    let condition = if_none_exist(&headers)?;
    let unless_found = condition.map(|query| criteria(&registry, resource_type, query, &base_url)).transpose()?;
    let sent = Sent::read_as(&text, resource_type, state.rules(&base_url, &registry))?;
    let create = Create { draft: sent.into_draft(new_id(), Method::Post), unless_found };
    let done = state.store.write(move |writer| create.apply(writer)).await?;
    Ok(done.into_response(&base_url, Return::in_headers(&headers)))
}

/// The search in the header.
fn if_none_exist(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(IF_NONE_EXIST).iter();
    let (first, second) = (values.next(), values.next());
    let bad = |detail| ApiError::new(Category::Value, detail);
    if second.is_some() {
        return Err(bad("`If-None-Exist` is there more than once. Join the searches with `&` in one."));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_not_ascii| bad("`If-None-Exist` is not ASCII. Percent-encode it, as in a URL."))
}

/// An id that no resource has.
pub(crate) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

impl Create {
    /// Carries it out. Nothing is written unless it succeeds.
    ///
    /// # Errors
    /// When several resources fulfil the condition, or the store fails.
    pub(crate) fn apply(self, writer: &mut dyn Writer) -> Result<Done, ApiError> {
        if let Some(condition) = &self.unless_found {
            match look_up(writer, self.draft.key.resource_type, condition)? {
                Found::Nothing => {}
                Found::One(version) => return Ok(Done { status: StatusCode::OK, version: Some(version) }),
                Found::Several => return Err(several()),
            }
        }
        let version = definitions::put(writer, self.draft)?;
        Ok(Done { status: StatusCode::CREATED, version: Some(version) })
    }
}

/// More than one resource fulfils a condition that must lead to one.
pub(crate) fn several() -> ApiError {
    ApiError::new(
        Category::MultipleMatches,
        "Several resources fulfil the condition. Nothing was written; make the condition narrower.",
    )
}
