//! An entry of a Bundle as a request.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::fhir::api::conditional_update::ConditionalUpdate;
use crate::fhir::api::create::{Create, new_id};
use crate::fhir::api::criteria::criteria;
use crate::fhir::api::delete::{ConditionalDelete, Delete};
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::operations;
use crate::fhir::api::patch::{self, PatchOf};
use crate::fhir::api::preconditions::{Preconditions, Tags};
use crate::fhir::api::resource::{Rules, Sent};
use crate::fhir::api::respond::Done;
use crate::fhir::api::state::ApiSettings;
use crate::fhir::api::target::{key_named, type_named};
use crate::fhir::api::update::Update;
use crate::fhir::store::interface::Writer;
use crate::fhir::store::{Method, ResourceKey};
use crate::r4::resource_type::ResourceType;

/// A Bundle, cut into entries whose resources are not read yet.
///
/// Members that R4 has and that ask for nothing are passed over, here and below. Others are refused: one that is misspelled
/// may be a condition, and `implicitRules` and `modifierExtension` are not to be passed over by who does not know them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Split<'a> {
    #[serde(rename = "resourceType", borrow, default)]
    pub(super) resource_type: Cow<'a, str>,
    #[serde(rename = "type", borrow, default)]
    pub(super) kind: Cow<'a, str>,
    #[serde(rename = "entry", borrow, default, deserialize_with = "entries")]
    pub(super) entries: Vec<Entry<'a>>,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "meta")]
    _meta: Option<IgnoredAny>,
    #[serde(rename = "language")]
    _language: Option<IgnoredAny>,
    #[serde(rename = "identifier")]
    _identifier: Option<IgnoredAny>,
    #[serde(rename = "timestamp")]
    _timestamp: Option<IgnoredAny>,
    #[serde(rename = "total")]
    _total: Option<IgnoredAny>,
    #[serde(rename = "link")]
    _link: Option<IgnoredAny>,
    #[serde(rename = "signature")]
    _signature: Option<IgnoredAny>,
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
#[serde(deny_unknown_fields)]
pub(super) struct Entry<'a> {
    #[serde(rename = "fullUrl", borrow)]
    full_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    request: Option<Asked<'a>>,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "extension")]
    _extension: Option<IgnoredAny>,
    #[serde(rename = "link")]
    _link: Option<IgnoredAny>,
    #[serde(rename = "search")]
    _search: Option<IgnoredAny>,
    #[serde(rename = "response")]
    _response: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "extension")]
    _extension: Option<IgnoredAny>,
}

/// Cuts a Bundle.
///
/// # Errors
/// When it is not JSON of the shape of a Bundle.
pub(super) fn split(text: &[u8]) -> Result<Split<'_>, ApiError> {
    let bundle: Result<Split<'_>, _> = serde_json::from_slice(text);
    match bundle {
        Ok(bundle) if bundle.resource_type == "Bundle" => Ok(bundle),
        Err(error) if !is_of_other_type(text) => Err(misshapen(&error)),
        Ok(_) | Err(_) => Err(ApiError::new(Category::Value, "The base URL takes a Bundle.").at("resourceType")),
    }
}

fn is_of_other_type(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(rename = "resourceType", borrow)]
        resource_type: Cow<'a, str>,
    }
    serde_json::from_slice(text).is_ok_and(|Named { resource_type }| resource_type != "Bundle")
}

fn misshapen(error: &serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    let detail = if let Some(name) = unknown_member(error) {
        format!(
            "`{name}`, at line {line}, column {column}, is no member that a Bundle, its entries or their requests may have \
             here. Mend its spelling or leave it out; nothing was done."
        )
    } else if error.is_data() {
        format!("The body is not a Bundle: line {line}, column {column} does not fit its structure.")
    } else {
        format!("The body is not JSON: line {line}, column {column} does not fit.")
    };
    ApiError::new(Category::Structure, detail)
}

/// The member that is not known, which serde tells in its text alone.
fn unknown_member(error: &serde_json::Error) -> Option<String> {
    let told = error.to_string();
    let name = told.strip_prefix("unknown field `")?.split('`').next()?;
    Some(name.to_owned())
}

/// What an entry asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// To write.
    Write(Box<Change>),
    /// To read or search.
    Read(Read),
    /// To call an operation.
    Operation(operations::Asked),
}

/// A read or search.
#[derive(Debug)]
pub(super) struct Read {
    /// Relative to the base.
    pub(super) url: String,
    /// The versions the client has already, as entity tags.
    pub(super) none_match: Option<String>,
    /// The client has what was written until then.
    pub(super) modified_since: Option<Timestamp>,
    /// Nothing but status and version is asked for.
    pub(super) is_head: bool,
}

impl Read {
    /// What stands before the question mark, and what behind.
    pub(super) fn path_and_query(&self) -> (&str, &str) {
        self.url.split_once('?').unwrap_or((&self.url, ""))
    }
}

/// Where an entry is read.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    /// How resources are read.
    pub(super) rules: Rules<'a>,
    /// Bounds and policies.
    pub(super) settings: &'a ApiSettings,
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
    Patch(PatchOf),
    Delete(Delete),
    ConditionalDelete(ConditionalDelete),
}

impl Action {
    /// Carries it out. Nothing is written unless it succeeds.
    pub(super) fn apply(self, writer: &mut dyn Writer) -> Result<Done, ApiError> {
        match self {
            Self::Create(create) => create.apply(writer),
            Self::Update(update) => update.apply(writer),
            Self::ConditionalUpdate(update) => update.apply(writer),
            Self::Patch(patch) => patch.apply(writer),
            Self::Delete(delete) => delete.apply(writer),
            Self::ConditionalDelete(delete) => delete.apply(writer),
        }
    }
}

impl Request {
    /// Reads an entry.
    ///
    /// # Errors
    /// When it asks for nothing, for something that is not offered, or contradicts itself.
    pub(super) fn read(entry: &Entry<'_>, here: Here<'_>) -> Result<Self, ApiError> {
        let Some(asked) = &entry.request else {
            return Err(ApiError::new(Category::Required, "The entry has no `request`."));
        };
        // A URL may be absolute as long as it is this server's.
        let url = asked.url.strip_prefix(here.rules.base_url).unwrap_or(&asked.url).trim_start_matches('/');
        if let Some(operation) = asked.operation(entry, url) {
            return operation.map(Self::Operation);
        }
        // A slash may follow the type or the id: `Patient/?identifier=...`.
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        let target = Url { path: path.trim_end_matches('/'), query };
        asked.check_conditions()?;
        let action = match asked.method.as_ref() {
            "GET" | "HEAD" => return asked.read(&target).map(Self::Read),
            "POST" => Action::Create(asked.create(entry, &target, here)?),
            "PUT" => asked.put(entry, &target, here)?,
            "PATCH" => Action::Patch(asked.patch(entry, &target, here)?),
            "DELETE" => asked.delete(&target, here)?,
            _ => {
                let detail = "An entry's method may be GET, HEAD, POST, PUT, PATCH or DELETE.";
                return Err(ApiError::new(Category::NotSupported, detail).at("request.method"));
            }
        };
        let sends_resource = matches!(asked.method.as_ref(), "POST" | "PUT");
        let text = entry.resource.filter(|_resource| sends_resource).map_or("", RawValue::get);
        Ok(Self::Write(Box::new(Change {
            action,
            full_url: entry.full_url.as_deref().map(full_url_of).transpose()?,
            text: Bytes::copy_from_slice(text.as_bytes()),
        })))
    }
}

/// What the URL of a request means.
struct Url<'a> {
    /// Without a slash at either end.
    path: &'a str,
    /// What follows the question mark.
    query: Option<&'a str>,
}

/// The `fullUrl` of an entry that writes: absolute, and of no version.
fn full_url_of(text: &str) -> Result<String, ApiError> {
    if text.contains(':') && !text.contains("/_history/") {
        return Ok(text.to_owned());
    }
    let detail = "A `fullUrl` is absolute and names no version: `urn:uuid:...` or `https://.../Patient/1`.";
    Err(ApiError::new(Category::Value, detail).at("fullUrl"))
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

    /// Refuses a condition that this method does not have: passed over, it would be taken for one that holds.
    fn check_conditions(&self) -> Result<(), ApiError> {
        let methods = |methods: &[&str]| methods.contains(&self.method.as_ref());
        let conditions = [
            ("ifMatch", self.if_match.is_some(), methods(&["PUT", "PATCH", "DELETE"])),
            ("ifNoneMatch", self.if_none_match.is_some(), !methods(&["POST"])),
            ("ifModifiedSince", self.if_modified_since.is_some(), methods(&["GET", "HEAD"])),
            ("ifNoneExist", self.if_none_exist.is_some(), methods(&["POST"])),
        ];
        match conditions.iter().find(|(_, is_given, applies)| *is_given && !applies) {
            None => Ok(()),
            Some((name, ..)) => {
                let detail = format!("An entry with this method does not take `{name}`. Leave it out.");
                Err(ApiError::new(Category::NotSupported, detail).at(format!("request.{name}")))
            }
        }
    }

    fn read(&self, url: &Url<'_>) -> Result<Read, ApiError> {
        let modified_since = self.if_modified_since.as_deref().map(|instant| {
            let bad = |_error| {
                ApiError::new(Category::Value, "`ifModifiedSince` is not an instant with a time zone.")
                    .at("request.ifModifiedSince")
            };
            instant.parse().map_err(bad)
        });
        Ok(Read {
            url: url.query.map_or_else(|| url.path.to_owned(), |query| format!("{}?{query}", url.path)),
            none_match: self.if_none_match.as_deref().map(str::to_owned),
            modified_since: modified_since.transpose()?,
            is_head: self.method == "HEAD",
        })
    }

    fn create(&self, entry: &Entry<'_>, url: &Url<'_>, here: Here<'_>) -> Result<Create, ApiError> {
        let resource_type = type_named(url.path)?;
        if url.query.is_some() {
            let detail = "A create takes no parameters in its `url`. Its condition is `request.ifNoneExist`.";
            return Err(ApiError::new(Category::NotSupported, detail).at("request.url"));
        }
        let unless_found = self
            .if_none_exist
            .as_deref()
            .map(|query| criteria(here.rules.registry, resource_type, query, here.rules.base_url));
        let sent = self.sent(entry, resource_type, here)?;
        Ok(Create { draft: sent.into_draft(new_id(), Method::Post), unless_found: unless_found.transpose()? })
    }

    fn put(&self, entry: &Entry<'_>, url: &Url<'_>, here: Here<'_>) -> Result<Action, ApiError> {
        if let Some(query) = url.query {
            let resource_type = type_named(url.path)?;
            let preconditions = self.preconditions()?.of_change(here.settings.versioning.of(resource_type));
            let condition = criteria(here.rules.registry, resource_type, query, here.rules.base_url)?;
            let sent = self.sent(entry, resource_type, here)?;
            return Ok(Action::ConditionalUpdate(ConditionalUpdate { sent, condition, preconditions }));
        }
        let key = key_in(url.path)?;
        let preconditions = self.preconditions()?.of_change(here.settings.versioning.of(key.resource_type));
        let sent = self.sent(entry, key.resource_type, here)?;
        Update::new(key, sent, preconditions).map(Action::Update)
    }

    fn patch(&self, entry: &Entry<'_>, url: &Url<'_>, here: Here<'_>) -> Result<PatchOf, ApiError> {
        let target = match url.query {
            Some(query) => {
                let resource_type = type_named(url.path)?;
                patch::Target::Condition(
                    resource_type,
                    criteria(here.rules.registry, resource_type, query, here.rules.base_url)?,
                )
            }
            None => patch::Target::Key(key_in(url.path)?),
        };
        Ok(PatchOf {
            patch: patch::in_resource(&Bytes::copy_from_slice(resource_of(entry)?))?,
            preconditions: self.preconditions()?.of_change(here.settings.versioning.of(target.resource_type())),
            target,
            bytes_max: here.settings.body_bytes_max,
            // What a patch adds is not looked at for links.
            rules: Rules { validation: here.settings.validation, ..here.rules }.keep(),
        })
    }

    fn delete(&self, url: &Url<'_>, here: Here<'_>) -> Result<Action, ApiError> {
        let preconditions = self.preconditions()?;
        let Some(query) = url.query else {
            return Ok(Action::Delete(Delete { key: key_in(url.path)?, preconditions }));
        };
        let resource_type = type_named(url.path)?;
        let condition = criteria(here.rules.registry, resource_type, query, here.rules.base_url)?;
        let policy = here.settings.conditional_deletes;
        ConditionalDelete::new(resource_type, condition, preconditions, policy).map(Action::ConditionalDelete)
    }

    /// The resource, which must not have another id than the `fullUrl`
    /// (<https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.fullUrl>).
    fn sent(&self, entry: &Entry<'_>, resource_type: ResourceType, here: Here<'_>) -> Result<Sent, ApiError> {
        let sent = Sent::read_as(resource_of(entry)?, resource_type, here.rules)?;
        let full_url = entry.full_url.as_deref().filter(|full_url| full_url.starts_with("http"));
        let disagrees = |(_, id): (&str, &str)| sent.id.as_ref().is_some_and(|known| known != id);
        if full_url.and_then(|full_url| full_url.rsplit_once('/')).is_some_and(disagrees) {
            let detail = "The `fullUrl` ends with another id than the resource has. Leave one of them out or mend it.";
            return Err(ApiError::new(Category::Rule, detail).at(format!("{}.id", resource_type.as_str())));
        }
        Ok(sent)
    }

    fn preconditions(&self) -> Result<Preconditions, ApiError> {
        Ok(Preconditions {
            matching: self.if_match.as_deref().map(Tags::parse).transpose()?,
            not_matching: self.if_none_match.as_deref().map(Tags::parse).transpose()?,
            ..Preconditions::default()
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
