//! A read of a transaction: what was asked, and the answer from within its write.

use bytes::Bytes;
use http::StatusCode;

use super::entry::{Read, key_in};
use super::respond::Answer;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::format::part::{Part, Place};
use crate::fhir::api::history::History;
use crate::fhir::api::limits::decode;
use crate::fhir::api::operations::Work;
use crate::fhir::api::plain_url::check_read;
use crate::fhir::api::preconditions::{ReadConditions, etag};
use crate::fhir::api::resource::Rules;
use crate::fhir::api::state::ApiState;
use crate::fhir::api::target::{scope_named, type_named, version_named};
use crate::fhir::api::{read, search, vread};
use crate::fhir::search::parse::{Handling, Search};
use crate::fhir::search::scope::Scope;
use crate::fhir::store::interface::Reader;
use crate::fhir::store::{Lineage, ResourceKey};

/// A read at its place in the Bundle.
pub(super) struct PlannedRead {
    pub(super) index: usize,
    pub(super) target: Target,
    /// Nothing but status and version is asked for.
    pub(super) is_head: bool,
    /// What of the answer is asked for, if not all; operations see to that themselves.
    pub(super) part: Option<Part>,
}

/// What is read.
pub(super) enum Target {
    /// A resource or one of its versions, unless the client knows it already.
    Resource { key: ResourceKey, version: Option<u64>, conditions: ReadConditions },
    /// The first page of a search.
    Search(Box<Search>),
    /// What an operation has left to do.
    Operation(Work),
    /// The first page of a history.
    History(Box<History>),
}

impl Target {
    fn of(state: &ApiState, rules: Rules<'_>, read: &Read) -> Result<Self, ApiError> {
        let (path, query) = read.path_and_query();
        if let Some(of) = lineage(path) {
            let history = History::read(&state.settings, of?, query)?;
            return Ok(Self::History(Box::new(history)));
        }
        if let Some(scope) = scope_in(path) {
            let parameters = decode(query.as_bytes())?;
            let search = search::read(state, rules, scope?, parameters, Handling::Strict)?;
            return Ok(Self::Search(Box::new(search)));
        }
        let (path, version) = match path.split_once("/_history/") {
            Some((path, version)) => (path, Some(version_named(version)?)),
            None => (path, None),
        };
        check_read(Some(query))?;
        let conditions = ReadConditions::of(read.none_match.as_deref(), read.modified_since)?;
        Ok(Self::Resource { key: key_in(path)?, version, conditions })
    }
}

impl PlannedRead {
    /// What a read asks for.
    pub(super) fn of(state: &ApiState, rules: Rules<'_>, index: usize, read: &Read) -> Result<Self, ApiError> {
        let target = Target::of(state, rules, read)?;
        let (path, query) = read.path_and_query();
        let part = match Place::of(path) {
            Some(place) => Part::asked(decode(query.as_bytes())?.into_iter(), place, Handling::Strict)?,
            None => None,
        };
        Ok(Self { index, target, is_head: read.is_head, part })
    }

    /// The answer, from within the transaction.
    pub(super) fn answer(self, reader: &dyn Reader, base_url: &str) -> Result<Answer, ApiError> {
        let Self { is_head, part, .. } = self;
        let mut answer = self.target.answer(reader, base_url)?;
        if let Some(part) = part.filter(|_| answer.status == StatusCode::OK) {
            answer.body = part.of(answer.body);
        }
        Ok(if is_head { Answer { body: Bytes::new(), ..answer } } else { answer })
    }
}

impl Target {
    fn answer(self, reader: &dyn Reader, base_url: &str) -> Result<Answer, ApiError> {
        let (key, version, conditions) = match self {
            Self::Resource { key, version, conditions } => (key, version, conditions),
            Self::Search(search) => {
                let body = search::answer(reader, base_url, &search)?.into();
                return Ok(Answer { status: StatusCode::OK, body, ..Answer::default() });
            }
            Self::Operation(Work::Done(reply)) => return Ok(reply.into()),
            Self::Operation(Work::Read(job)) => return job(reader).map(Answer::from),
            Self::Operation(Work::Write(_)) => return Err(changes_state()),
            Self::History(history) => {
                let body = history.answer(reader, base_url)?.into();
                return Ok(Answer { status: StatusCode::OK, body, ..Answer::default() });
            }
        };
        let version = match version {
            Some(number) => vread::one(reader, &key, number)?,
            None => read::current(reader, &key)?,
        };
        let is_known = conditions.is_known(version.number, version.last_updated);
        Ok(Answer {
            status: if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK },
            body: version.body.filter(|_body| !is_known).unwrap_or_default(),
            etag: Some(etag(version.number)),
            last_modified: Some(version.last_updated),
        })
    }
}

/// Whose history a path asks for; `None` if it asks for none.
fn lineage(path: &str) -> Option<Result<Lineage, ApiError>> {
    if path == "_history" {
        return Some(Ok(Lineage::System));
    }
    let of = path.strip_suffix("/_history")?;
    Some(if of.contains('/') { key_in(of).map(Lineage::Resource) } else { type_named(of).map(Lineage::Type) })
}

/// Where a path asks to search; `None` if it asks for something else.
fn scope_in(path: &str) -> Option<Result<Scope, ApiError>> {
    let segments: Vec<&str> = path.split('/').collect();
    match *segments.as_slice() {
        [type_name] => Some(scope_named(type_name, "", "")),
        [type_name, id, member] => Some(scope_named(type_name, id, member)),
        _ => None,
    }
}

fn changes_state() -> ApiError {
    let detail = "A transaction calls no operation that changes state. Call it by itself or in a batch.";
    ApiError::new(Category::NotSupported, detail)
}
