//! Search in a type, in the whole system or in a compartment, by GET and by POST:
//! <https://hl7.org/fhir/R4/http.html#search>.
//!
//! `fhir::search` reads the query, `gather` asks the store for a page and what comes along with it, in one committed
//! state, and `bundle` writes the answer round the stored bodies.

pub(crate) mod bundle;
pub(crate) mod gather;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use super::body;
use super::error::{ApiError, Category, FHIR_JSON};
use super::format::Form;
use super::limits::decode;
use super::resource::Rules;
use super::state::ApiState;
use super::target::ScopeInPath;
use crate::fhir::search::error::SearchError;
use crate::fhir::search::local::localize;
use crate::fhir::search::parse::{Handling, PageSize, Search, parse};
use crate::fhir::search::scope::Scope;
use crate::fhir::store::interface::Reader;

/// `GET [base]?parameters`, `[base]/[type]?parameters`, `[base]/[type]/[id]/[member]?parameters`
///
/// # Errors
/// When the search is not understood, or the store fails.
pub(crate) async fn by_get(
    State(state): State<ApiState>,
    ScopeInPath(scope): ScopeInPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parameters = decode(query.unwrap_or_default().as_bytes())?;
    respond(&state, scope, parameters, &headers).await
}

/// `POST` to `_search` below any of these, with the parameters in a form, in the URL, or both.
///
/// # Errors
/// When the body is no form, the search is not understood, or the store fails.
pub(crate) async fn by_post(
    State(state): State<ApiState>,
    ScopeInPath(scope): ScopeInPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    form: Body,
) -> Result<Response, ApiError> {
    let form = body::read(form, &state).await?;
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(body::unknown_encoding());
    }
    if !form.is_empty() && !is_form(&headers) {
        return Err(ApiError::new(
            Category::UnsupportedMedia,
            "Send the parameters as `application/x-www-form-urlencoded`.",
        ));
    }
    let form = decode(&form)?;
    let mut parameters = decode(query.unwrap_or_default().as_bytes())?;
    parameters.extend(form.iter().cloned());
    let mut response = respond(&state, scope, parameters, &headers).await?;
    response.extensions_mut().insert(Form(form));
    Ok(response)
}

/// A search by parameters, read as resources are.
///
/// # Errors
/// When the search is not understood.
pub(crate) fn read(
    state: &ApiState,
    rules: Rules<'_>,
    scope: Scope,
    parameters: Vec<(String, String)>,
    handling: Handling,
) -> Result<Search, ApiError> {
    let settings = &state.settings;
    let (default, max, link_bytes_max) = (settings.page_size, settings.page_size_max, settings.link_bytes_max());
    let page_size = PageSize { default, max, link_bytes_max };
    let mut search = parse(rules.registry, scope, parameters, page_size, handling)?;
    search.selections.iter_mut().for_each(|selection| localize(&mut selection.condition, rules.base_url));
    Ok(search)
}

/// The Bundle that answers a search, as JSON, from one committed state.
///
/// # Errors
/// When the cursor does not belong to the search, the next page could not be asked for, or the store fails.
pub(crate) fn answer(reader: &dyn Reader, base: &str, search: &Search) -> Result<Vec<u8>, ApiError> {
    let found = gather::gather(reader, base, search)?;
    bundle::write(base, search, &found)
}

async fn respond(
    state: &ApiState,
    scope: Scope,
    parameters: Vec<(String, String)>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let base = state.base_url(headers)?;
    let registry = state.registry().await?;
    let search = read(state, state.rules(&base, &registry), scope, parameters, handling(headers)?)?;
    let bundle = found(state, base, search).await?;
    let mut response = Response::new(Body::from(bundle));
    response.headers_mut().insert(CONTENT_TYPE, FHIR_JSON);
    Ok(response)
}

/// What is named by an identifier is mostly found in less time than the way to another thread and back takes.
async fn found(state: &ApiState, base: String, search: Search) -> Result<Vec<u8>, ApiError> {
    let is_brief = search.names_few();
    let answer = Arc::new(move |reader: &dyn Reader| answer(reader, &base, &search));
    if is_brief {
        let answer = Arc::clone(&answer);
        if let Some(bundle) = state.store.try_briefly(move |reader| answer(reader)).await? {
            return Ok(bundle);
        }
    }
    state.search(move |reader| answer(reader)).await
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// `Prefer: handling=lenient`. Without it a search is strict: a condition that is left out shows what nobody asked for.
///
/// # Errors
/// When it is neither strict nor lenient.
pub(crate) fn handling(headers: &HeaderMap) -> Result<Handling, ApiError> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    for preference in preferences.flat_map(|value| value.split([',', ';'])) {
        match preference.trim().split_once('=') {
            Some(("handling", "lenient")) => return Ok(Handling::Lenient),
            Some(("handling", "strict")) => return Ok(Handling::Strict),
            Some(("handling", _)) => {
                return Err(ApiError::new(Category::Value, "`Prefer: handling` is `strict` or `lenient`."));
            }
            _ => {}
        }
    }
    Ok(Handling::Strict)
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        let category = match &error {
            SearchError::UnknownParameter { .. }
            | SearchError::Unsupported { .. }
            | SearchError::NotReady { .. }
            | SearchError::UnknownModifier { .. } => Category::NotSupported,
            SearchError::TooMany { .. } => Category::TooCostly,
            SearchError::BadValue { .. }
            | SearchError::UnknownElement { .. }
            | SearchError::NoCriteria
            | SearchError::BadCursor => Category::Value,
        };
        Self::new(category, format!("The search was refused: {error}."))
    }
}

#[cfg(test)]
mod tests;
