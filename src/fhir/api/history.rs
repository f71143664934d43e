//! History of a resource, of a type and of all there is, newest first, in pages
//! (<https://hl7.org/fhir/R4/http.html#history>).
//!
//! Takes `_count`, `_since` and `_at`, and `_before` beside them, which R4 does not have: versions written before an
//! instant. Deletions are versions. The links carry `_cursor`, the place behind which a page goes on, so that every
//! version comes once while others are written. A total is told where all versions are on one page.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use url::form_urlencoded;

use super::error::{ApiError, Category};
use super::limits::decode;
use super::preconditions::etag;
use super::respond::json;
use super::state::{ApiSettings, ApiState};
use super::target::{KeyInPath, TypeInPath};
use crate::fhir::search::{date, seal};
use crate::fhir::store::interface::Reader;
use crate::fhir::store::{Cursor, HistoryQuery, Lineage, Method, Page, Version};
use crate::json::Node;

/// `GET [base]/[type]/[id]/_history`
pub(crate) async fn of_resource(
    State(state): State<ApiState>,
    KeyInPath(key): KeyInPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    respond(&state, Lineage::Resource(key), query, &headers).await
}

/// `GET [base]/[type]/_history`
pub(crate) async fn of_type(
    State(state): State<ApiState>,
    TypeInPath(resource_type): TypeInPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    respond(&state, Lineage::Type(resource_type), query, &headers).await
}

/// `GET [base]/_history`
pub(crate) async fn of_system(
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    respond(&state, Lineage::System, query, &headers).await
}

async fn respond(
    state: &ApiState,
    of: Lineage,
    query: Option<String>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let base_url = state.base_url(headers)?;
    let history = History::read(&state.settings, of, &query.unwrap_or_default())?;
    let bundle = state.search(move |reader| history.answer(reader, &base_url)).await?;
    Ok(json(StatusCode::OK, bundle.into()))
}

/// A history that is asked for and understood.
#[derive(Debug)]
pub(crate) struct History {
    query: HistoryQuery,
    /// Names and values as asked, without `_cursor`: what links repeat.
    understood: Vec<(String, String)>,
    cursor: Option<String>,
}

impl History {
    /// Reads the parameters of a history.
    ///
    /// # Errors
    /// When one is not known, has a value that it does not take, or the cursor is of another history.
    pub(crate) fn read(settings: &ApiSettings, of: Lineage, query: &str) -> Result<Self, ApiError> {
        let limit = settings.page_size.min(settings.page_size_max);
        let everything = HistoryQuery { of, since: i64::MIN, until: i64::MAX, current_in: None, after: None, limit };
        let mut history = Self { query: everything, understood: Vec::new(), cursor: None };
        for (name, value) in decode(query.as_bytes())? {
            if history.names().any(|known| known == name) {
                return Err(ApiError::new(Category::Value, format!("A history takes `{name}` only once.")));
            }
            if name == "_cursor" {
                history.cursor = Some(value);
                continue;
            }
            history.take(&name, &value, settings)?;
            history.understood.push((name, value));
        }
        history.query.after = history.opened()?;
        Ok(history)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let cursor = self.cursor.as_ref().map(|_cursor| "_cursor");
        self.understood.iter().map(|(name, _)| name.as_str()).chain(cursor)
    }

    fn take(&mut self, name: &str, value: &str, settings: &ApiSettings) -> Result<(), ApiError> {
        let bad = |expected: &str| ApiError::new(Category::Value, format!("The value of `{name}` is not {expected}."));
        // A plus that was not percent-encoded reads as a space.
        let instant = || {
            let time = value.replace(' ', "+").parse::<Timestamp>();
            time.map(Timestamp::as_microsecond).map_err(|_not_an_instant| bad("an instant with a time zone"))
        };
        match name {
            "_count" => {
                let count: usize = value.parse().map_err(|_not_a_number| bad("a number of versions"))?;
                self.query.limit = count.clamp(1, settings.page_size_max);
            }
            "_since" => self.query.since = instant()?,
            "_before" => self.query.until = instant()?.saturating_sub(1),
            "_at" => {
                let span = date::span(&value.replace(' ', "+"));
                self.query.current_in = Some(span.ok_or_else(|| bad("a date, of any precision"))?);
            }
            "_format" | "_pretty" | "_summary" | "_elements" => {}
            _ => {
                let detail = "A history takes `_count`, `_since`, `_at` and `_before`; another parameter was given.";
                return Err(ApiError::new(Category::NotSupported, detail));
            }
        }
        Ok(())
    }

    fn opened(&self) -> Result<Option<Cursor>, ApiError> {
        let Some(sealed) = &self.cursor else {
            return Ok(None);
        };
        let path = self.path();
        seal::open(self.asked(&path), sealed).map(Some).ok_or_else(|| {
            let detail = "`_cursor` does not belong to this history. Follow the links as given, or start it again.";
            ApiError::new(Category::Value, detail)
        })
    }

    /// What decides which versions there are; the size of a page may change on the way.
    fn asked<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let decisive = self.understood.iter().filter(|(name, _)| matches!(name.as_str(), "_since" | "_at" | "_before"));
        std::iter::once(path).chain(decisive.flat_map(|(name, value)| [name.as_str(), value.as_str()]))
    }

    /// Below the base, without a slash in front.
    fn path(&self) -> String {
        match &self.query.of {
            Lineage::Resource(key) => format!("{}/{}/_history", key.resource_type.as_str(), key.id),
            Lineage::Type(resource_type) => format!("{}/_history", resource_type.as_str()),
            Lineage::System => "_history".to_owned(),
        }
    }

    /// The Bundle that answers, as JSON, from one committed state.
    ///
    /// # Errors
    /// When the resource never was, or the store fails.
    pub(crate) fn answer(&self, reader: &dyn Reader, base_url: &str) -> Result<Vec<u8>, ApiError> {
        if let Lineage::Resource(key) = &self.query.of
            && reader.head(key)?.is_none()
        {
            return Err(ApiError::new(Category::NotFound, "There is no resource under this URL, and never was."));
        }
        let page = reader.history(&self.query)?;
        Ok(self.bundle(base_url, &page))
    }

    fn bundle(&self, base_url: &str, page: &Page) -> Vec<u8> {
        let mut bundle = br#"{"resourceType":"Bundle","type":"history""#.to_vec();
        let mut push = |text: &str| bundle.extend_from_slice(text.as_bytes());
        if self.cursor.is_none() && page.next.is_none() {
            push(&format!(r#","total":{}"#, page.versions.len()));
        }
        push(&format!(r#","link":[{}]"#, self.links(base_url, page.next.as_ref()).join(",")));
        let mut separator = r#","entry":["#;
        for version in &page.versions {
            push(separator);
            push(&entry(base_url, version));
            separator = ",";
        }
        push(if page.versions.is_empty() { "}" } else { "]}" });
        bundle
    }

    fn links(&self, base_url: &str, next: Option<&Cursor>) -> Vec<String> {
        let path = self.path();
        let link = |relation: &str, cursor: Option<&str>| {
            let cursor = cursor.map(|cursor| ("_cursor", cursor));
            let parameters = self.understood.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters.chain(cursor)).finish();
            let separator = if query.is_empty() { "" } else { "?" };
            let url = text(&format!("{base_url}/{path}{separator}{query}"));
            format!(r#"{{"relation":"{relation}","url":{url}}}"#)
        };
        let mut links = vec![link("self", self.cursor.as_deref()), link("first", None)];
        let next = next.map(|cursor| seal::seal(self.asked(&path), cursor));
        links.extend(next.map(|cursor| link("next", Some(&cursor))));
        links
    }
}

fn entry(base_url: &str, version: &Version) -> String {
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
        text(&format!("{base_url}/{resource_type}/{id}")),
        text(&etag(version.number)),
        version.last_updated
    )
}

fn text(text: &str) -> String {
    Node::String(text.into()).to_string()
}
