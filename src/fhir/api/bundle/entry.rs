//! An entry of a Bundle as a request.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::fhir::api::conditional_update::ConditionalUpdate;
use crate::fhir::api::create::{Create, new_id};
use crate::fhir::api::criteria::criteria;
use crate::fhir::api::delete::Delete;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::operations;
use crate::fhir::api::preconditions::{Preconditions, Tags};
use crate::fhir::api::resource::{Rules, Sent};
use crate::fhir::api::respond::Done;
use crate::fhir::api::target::{key_named, type_named};
use crate::fhir::api::update::Update;
use crate::fhir::store::interface::Writer;
use crate::fhir::store::{Method, ResourceKey};
use crate::r4::resource_type::ResourceType;

/// A Bundle, cut into entries whose resources are not read yet.
#[derive(Deserialize)]
pub(super) struct Split<'a> {
    #[serde(rename = "resourceType", borrow, default)]
    pub(super) resource_type: Cow<'a, str>,
    #[serde(rename = "type", borrow, default)]
    pub(super) kind: Cow<'a, str>,
    #[serde(rename = "entry", borrow, default, deserialize_with = "entries")]
    pub(super) entries: Vec<Entry<'a>>,
}

/// Most entries of a Bundle, whatever the settings allow. One more is kept, to show that there were too many; those behind
/// it are only passed over, so that millions of empty ones take no memory.
pub(super) const ENTRIES_MAX: usize = 100_000;

fn entries<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry<'a>>, D::Error> {
    struct Entries<'a>(PhantomData<Entry<'a>>);
    impl<'de: 'a, 'a> Visitor<'de> for Entries<'a> {
        type Value = Vec<Entry<'a>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of entries")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut kept = Vec::new();
            while kept.len() <= ENTRIES_MAX {
                let Some(entry) = entries.next_element()? else { return Ok(kept) };
                kept.push(entry);
            }
            while let Some(IgnoredAny) = entries.next_element()? {}
            Ok(kept)
        }
    }
    deserializer.deserialize_seq(Entries(PhantomData))
}

/// An entry as sent.
#[derive(Deserialize)]
pub(super) struct Entry<'a> {
    #[serde(rename = "fullUrl", borrow)]
    full_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    request: Option<Asked<'a>>,
}

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    url: Cow<'a, str>,
    #[serde(rename = "ifMatch", borrow)]
    if_match: Option<Cow<'a, str>>,
    #[serde(rename = "ifNoneMatch", borrow)]
    if_none_match: Option<Cow<'a, str>>,
    #[serde(rename = "ifModifiedSince", borrow)]
    if_modified_since: Option<Cow<'a, str>>,
    #[serde(rename = "ifNoneExist", borrow)]
    if_none_exist: Option<Cow<'a, str>>,
}

/// Cuts a Bundle.
///
/// # Errors
/// When it is not JSON of the shape of a Bundle.
pub(super) fn split(text: &[u8]) -> Result<Split<'_>, ApiError> {
    serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let detail = if error.is_data() {
            format!("The body is not a Bundle: line {line}, column {column} does not fit its structure.")
        } else {
            format!("The body is not JSON: line {line}, column {column} does not fit.")
        };
        ApiError::new(Category::Structure, detail)
    })
}

/// What an entry asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// To write.
    Write(Box<Change>),
    /// To read or search.
    Read {
        /// Relative to the base.
        url: String,
        /// `If-None-Match` of a conditional read.
        if_none_match: Option<String>,
    },
    /// To call an operation.
    Operation(operations::Asked),
}

/// A write and what a transaction has to know about it.
#[derive(Debug)]
pub(super) struct Change {
    /// The write, ready to be carried out.
    pub(super) action: Action,
    /// The URL under which other entries refer to the resource.
    pub(super) full_url: Option<String>,
    /// The resource as sent.
    pub(super) text: Bytes,
}

/// A write, ready to be carried out.
#[derive(Debug)]
pub(super) enum Action {
    Create(Create),
    Update(Update),
    ConditionalUpdate(ConditionalUpdate),
    Delete(Delete),
}

impl Action {
    /// Carries it out. Nothing is written unless it succeeds.
    pub(super) fn apply(self, writer: &mut dyn Writer) -> Result<Done, ApiError> {
        match self {
            Self::Create(create) => create.apply(writer),
            Self::Update(update) => update.apply(writer),
            Self::ConditionalUpdate(update) => update.apply(writer),
            Self::Delete(delete) => delete.apply(writer),
        }
    }
}

impl Request {
    /// Reads an entry.
    ///
    /// # Errors
    /// When it asks for nothing, for something that is not offered, or contradicts itself.
    pub(super) fn read(entry: &Entry<'_>, rules: Rules<'_>) -> Result<Self, ApiError> {
        let Some(asked) = &entry.request else {
            return Err(ApiError::new(Category::Required, "The entry has no `request`."));
        };
        // A URL may be absolute as long as it is this server's.
        let url = asked.url.strip_prefix(rules.base_url).unwrap_or(&asked.url).trim_start_matches('/');
        if let Some(operation) = asked.operation(entry, url) {
            return operation.map(Self::Operation);
        }
        if asked.method == "GET" {
            return Self::read_get(asked, url);
        }
        let action = match asked.method.as_ref() {
            "POST" => Action::Create(asked.create(entry, url, rules)?),
            "PUT" => asked.put(entry, url, rules)?,
            "DELETE" => Action::Delete(asked.delete(url)?),
            _ => {
                let detail = "An entry's method may be GET, POST, PUT or DELETE.";
                return Err(ApiError::new(Category::NotSupported, detail));
            }
        };
        Ok(Self::Write(Box::new(Change {
            action,
            full_url: entry.full_url.as_deref().map(str::to_owned),
            text: Bytes::copy_from_slice(entry.resource.map_or("", RawValue::get).as_bytes()),
        })))
    }

    fn read_get(asked: &Asked<'_>, url: &str) -> Result<Self, ApiError> {
        if asked.if_modified_since.is_some() {
            let detail = "`ifModifiedSince` is not supported within Bundles. Use `ifNoneMatch`.";
            return Err(ApiError::new(Category::NotSupported, detail));
        }
        Ok(Self::Read { url: url.to_owned(), if_none_match: asked.if_none_match.as_deref().map(str::to_owned) })
    }
}

impl Asked<'_> {
    /// The operation that is called, if this is a call of one.
    fn operation(&self, entry: &Entry<'_>, url: &str) -> Option<Result<operations::Asked, ApiError>> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        if !operations::is_path(path) {
            return None;
        }
        let is_post = self.method == "POST";
        if !is_post && self.method != "GET" {
            return Some(Err(
                ApiError::new(Category::NotSupported, "An operation is called with GET or POST.").at("request.method")
            ));
        }
        let resource = entry.resource.filter(|_resource| is_post).map_or("", RawValue::get);
        let body = Bytes::copy_from_slice(resource.as_bytes());
        Some(Ok(operations::Asked { path: path.to_owned(), query: query.to_owned(), body, is_post }))
    }

    fn create(&self, entry: &Entry<'_>, url: &str, rules: Rules<'_>) -> Result<Create, ApiError> {
        let resource_type = type_named(url)?;
        let unless_found = self.if_none_exist.as_deref().map(|query| criteria(resource_type, query, rules.base_url));
        let sent = Sent::read_as(resource_of(entry)?, resource_type, rules)?;
        Ok(Create { draft: sent.into_draft(new_id(), Method::Post), unless_found: unless_found.transpose()? })
    }

    fn put(&self, entry: &Entry<'_>, url: &str, rules: Rules<'_>) -> Result<Action, ApiError> {
        let text = resource_of(entry)?;
        let preconditions = self.preconditions()?;
        if let Some((type_name, query)) = url.split_once('?') {
            let resource_type = type_named(type_name)?;
            let condition = criteria(resource_type, query, rules.base_url)?;
            let sent = Sent::read_as(text, resource_type, rules)?;
            return Ok(Action::ConditionalUpdate(ConditionalUpdate { sent, condition, preconditions }));
        }
        let key = key_in(url)?;
        let sent = Sent::read_as(text, key.resource_type, rules)?;
        Update::new(key, sent, preconditions).map(Action::Update)
    }

    fn delete(&self, url: &str) -> Result<Delete, ApiError> {
        if url.contains('?') {
            return Err(ApiError::new(Category::NotSupported, "Conditional delete is not supported. Name a resource."));
        }
        Ok(Delete { key: key_in(url)?, preconditions: self.preconditions()? })
    }

    fn preconditions(&self) -> Result<Preconditions, ApiError> {
        Ok(Preconditions {
            matching: self.if_match.as_deref().map(Tags::parse).transpose()?,
            not_matching: self.if_none_match.as_deref().map(Tags::parse).transpose()?,
        })
    }
}

fn resource_of<'a>(entry: &Entry<'a>) -> Result<&'a [u8], ApiError> {
    let resource = entry.resource.ok_or_else(|| ApiError::new(Category::Required, "The entry has no `resource`."))?;
    Ok(resource.get().as_bytes())
}

/// The resource that a relative URL names.
pub(super) fn key_in(url: &str) -> Result<ResourceKey, ApiError> {
    match url.split_once('/') {
        Some((type_name, id)) if !id.contains('/') => key_named(type_name, id),
        _ => {
            Err(ApiError::new(Category::Value, "`request.url` does not name a resource as `Type/id`.")
                .at("request.url"))
        }
    }
}

/// The type of the resource a write is about.
pub(super) fn type_of(action: &Action) -> ResourceType {
    match action {
        Action::Create(create) => create.draft.key.resource_type,
        Action::Update(update) => update.draft.key.resource_type,
        Action::ConditionalUpdate(update) => update.sent.resource_type,
        Action::Delete(delete) => delete.key.resource_type,
    }
}
