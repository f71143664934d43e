//! History of an instance, newest first, in pages (<https://hl7.org/fhir/R4/http.html#history>).
//!
//! Takes `_count` and `_since`. The links carry `_before`, the number of the version before which a page goes on, so
//! that pages stay whole while versions are added. There is no history of a type or of the whole server.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use url::form_urlencoded;

use super::error::{ApiError, Category};
use super::preconditions::etag;
use super::respond::json;
use super::state::{ApiSettings, ApiState};
use super::target::KeyInPath;
use crate::fhir::store::interface::Reader;
use crate::fhir::store::{Method, ResourceKey, Version};
use crate::json::Node;

/// Which part of a history is asked for.
#[derive(Debug, Default)]
struct Part {
    since: Option<Timestamp>,
    before: Option<u64>,
    count: usize,
}

/// A page of a history.
struct Page {
    versions: Vec<Version>,
    /// Versions on all pages, where no `_since` limits them.
    total: Option<u64>,
    is_last: bool,
}

/// `GET [base]/[type]/[id]/_history`
pub(crate) async fn history(
    State(state): State<ApiState>,
    KeyInPath(key): KeyInPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let base_url = state.base_url(&headers)?;
    let query = query.unwrap_or_default();
    let part = Part::parse(&query, &state.settings)?;
    let url = format!("{base_url}/{}/{}", key.resource_type.as_str(), key.id);
    let page = state.store.read(move |reader| part.read(reader, &key)).await?;
    Ok(json(StatusCode::OK, bundle(&url, &query, &page).into()))
}

impl Part {
    fn parse(query: &str, settings: &ApiSettings) -> Result<Self, ApiError> {
        let mut part = Self { count: settings.page_size, ..Self::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let bad =
                |expected: &str| ApiError::new(Category::Value, format!("The value of `{name}` is not {expected}."));
            match name.as_ref() {
                "_count" => {
                    let count: usize = value.parse().map_err(|_not_a_number| bad("a number of versions"))?;
                    part.count = count.clamp(1, settings.page_size_max);
                }
                // A plus that was not percent-encoded reads as a space.
                "_since" => {
                    let since = value.replace(' ', "+");
                    part.since = Some(since.parse().map_err(|_not_an_instant| bad("an instant with a time zone"))?);
                }
                "_before" => part.before = Some(value.parse().map_err(|_not_a_number| bad("the number of a version"))?),
                "_format" | "_pretty" => {}
                _ => {
                    let detail = "A history takes `_count` and `_since`; another parameter was given.";
                    return Err(ApiError::new(Category::NotSupported, detail));
                }
            }
        }
        Ok(part)
    }

    fn read(&self, reader: &dyn Reader, key: &ResourceKey) -> Result<Page, ApiError> {
        let Some(head) = reader.head(key)? else {
            return Err(ApiError::new(Category::NotFound, "There is no resource under this URL, and never was."));
        };
        let mut versions = reader.history(key, self.before, self.count + 1)?;
        // Times do not run backwards within a resource.
        versions.retain(|version| self.since.is_none_or(|since| version.last_updated >= since));
        let is_last = versions.len() <= self.count;
        versions.truncate(self.count);
        Ok(Page { versions, total: self.since.is_none().then_some(head.number), is_last })
    }
}

fn bundle(url: &str, query: &str, page: &Page) -> Vec<u8> {
    let mut bundle = br#"{"resourceType":"Bundle","type":"history""#.to_vec();
    let mut push = |text: &str| bundle.extend_from_slice(text.as_bytes());
    if let Some(total) = page.total {
        push(&format!(r#","total":{total}"#));
    }
    push(&format!(r#","link":[{{"relation":"self","url":{}}}"#, text(&with_query(url, query))));
    if let Some(last) = page.versions.last().filter(|_last| !page.is_last) {
        push(&format!(r#",{{"relation":"next","url":{}}}"#, text(&with_query(url, &next_query(query, last.number)))));
    }
    push("]");
    let mut separator = r#","entry":["#;
    for version in &page.versions {
        push(separator);
        push(&entry(url, version));
        separator = ",";
    }
    push(if page.versions.is_empty() { "}" } else { "]}" });
    bundle
}

fn entry(url: &str, version: &Version) -> String {
    let resource = version
        .body
        .as_deref()
        .map_or_else(String::new, |body| format!(r#""resource":{},"#, String::from_utf8_lossy(body)));
    let (resource_type, id) = (version.key.resource_type.as_str(), &version.key.id);
    let (method, path, status) = match version.method {
        Method::Post => ("POST", resource_type.to_owned(), "201"),
        Method::Put if version.number == 1 => ("PUT", format!("{resource_type}/{id}"), "201"),
        Method::Put => ("PUT", format!("{resource_type}/{id}"), "200"),
        Method::Patch => ("PATCH", format!("{resource_type}/{id}"), "200"),
        Method::Delete => ("DELETE", format!("{resource_type}/{id}"), "204"),
    };
    format!(
        r#"{{"fullUrl":{},{resource}"request":{{"method":"{method}","url":"{path}"}},"response":{{"status":"{status}","etag":{},"lastModified":"{:.3}"}}}}"#,
        text(url),
        text(&etag(version.number)),
        version.last_updated
    )
}

fn with_query(url: &str, query: &str) -> String {
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{url}/_history{separator}{query}")
}

fn next_query(query: &str, before: u64) -> String {
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "_before");
    let mut next = form_urlencoded::Serializer::new(String::new());
    next.extend_pairs(kept).append_pair("_before", &before.to_string());
    next.finish()
}

fn text(text: &str) -> String {
    Node::String(text.into()).to_string()
}
