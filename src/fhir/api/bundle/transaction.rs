//! A transaction: all or nothing, in the order DELETE, POST, PUT, GET
//! (<https://hl7.org/fhir/R4/http.html#trules>).
//!
//! Which resource a conditional entry means is settled inside the store's write, after the deletions and before anything
//! else is written; then references between entries are known, and bodies that hold some are read again with the final
//! ids in them.

use std::collections::{HashMap, HashSet};

use http::{HeaderMap, StatusCode};

use super::Requests;
use super::entry::{Action, Change, Request, key_in, type_of};
use super::links;
use super::respond::{Answer, Outcome, write};
use crate::fhir::api::conditional_update::Meant;
use crate::fhir::api::create::Create;
use crate::fhir::api::criteria::{Found, criteria, look_up};
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::history::History;
use crate::fhir::api::limits::decode;
use crate::fhir::api::operations::Work;
use crate::fhir::api::preconditions::{Tags, etag};
use crate::fhir::api::resource::{Rules, Sent};
use crate::fhir::api::respond::{Done, Return};
use crate::fhir::api::state::ApiState;
use crate::fhir::api::target::{scope_named, type_named, version_named};
use crate::fhir::api::update::Update;
use crate::fhir::api::{read, search, vread};
use crate::fhir::search::parse::{Handling, Search};
use crate::fhir::search::scope::Scope;
use crate::fhir::store::interface::{Reader, Writer};
use crate::fhir::store::{Condition, Lineage, Method, ResourceKey, Version};
use crate::fhir::structure::Validation;

/// A transaction, checked as far as that is possible without the store.
struct Plan {
    changes: Vec<Planned>,
    reads: Vec<PlannedRead>,
    base_url: String,
    validation: Validation,
}

/// A write at its place in the Bundle.
struct Planned {
    index: usize,
    change: Change,
    /// References in its body that stand for something else.
    links: Vec<String>,
}

/// A read at its place in the Bundle.
struct PlannedRead {
    index: usize,
    target: Target,
}

/// What is read.
enum Target {
    /// A resource or one of its versions, unless the client knows it already.
    Resource { key: ResourceKey, version: Option<u64>, known: Option<Tags> },
    /// The first page of a search.
    Search(Box<Search>),
    /// What an operation has left to do.
    Operation(Work),
    /// The first page of a history.
    History(Box<History>),
}

/// Answers a transaction.
pub(super) async fn run(
    state: &ApiState,
    requests: Requests,
    base_url: &str,
    prefer: Return,
) -> Result<Vec<u8>, ApiError> {
    let plan = Plan::of(state, requests, base_url)?;
    let mut outcomes = state.store.write(move |writer| plan.carry_out(writer)).await?;
    outcomes.sort_by_key(|(index, _)| *index);
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    Ok(write("transaction-response", &outcomes, base_url, prefer))
}

impl Plan {
    fn of(state: &ApiState, requests: Requests, base_url: &str) -> Result<Self, ApiError> {
        let mut plan = Self {
            changes: Vec::new(),
            reads: Vec::new(),
            base_url: base_url.to_owned(),
            validation: state.settings.validation,
        };
        for (index, request) in requests.into_iter().enumerate() {
            match request? {
                Request::Write(change) => plan.changes.push(Planned { index, change: *change, links: Vec::new() }),
                Request::Read { url, if_none_match } => {
                    let read = PlannedRead::parse(state, base_url, index, &url, if_none_match.as_deref());
                    plan.reads.push(read.map_err(|error| error.in_entry(index))?);
                }
                Request::Operation(asked) => {
                    let work = asked.prepare(state, base_url, &HeaderMap::new());
                    let target = Target::Operation(work.map_err(|error| error.in_entry(index))?);
                    plan.reads.push(PlannedRead { index, target });
                }
            }
        }
        plan.check_distinct()?;
        plan.find_links()?;
        Ok(plan)
    }

    /// No resource may be written twice, and no `fullUrl` may stand for two entries.
    fn check_distinct(&self) -> Result<(), ApiError> {
        let mut keys = HashSet::new();
        let mut full_urls = HashSet::new();
        let mut conditions = HashSet::new();
        for planned in &self.changes {
            let is_new = match &planned.change.action {
                Action::Update(update) => keys.insert(&update.draft.key),
                Action::Delete(delete) => keys.insert(&delete.key),
                Action::Create(Create { unless_found: None, .. }) => true,
                Action::Create(Create { unless_found: Some(condition), .. }) => {
                    conditions.insert((type_of(&planned.change.action), spelled(condition)))
                }
                Action::ConditionalUpdate(update) => {
                    conditions.insert((update.sent.resource_type, spelled(&update.condition)))
                }
            };
            if !is_new {
                return Err(written_twice().in_entry(planned.index));
            }
            if planned.change.full_url.as_ref().is_some_and(|full_url| !full_urls.insert(full_url)) {
                let detail = "Two entries have the same `fullUrl`, so a reference to it could mean either.";
                return Err(ApiError::new(Category::Rule, detail).in_entry(planned.index));
            }
        }
        Ok(())
    }

    fn find_links(&mut self) -> Result<(), ApiError> {
        let full_urls: HashSet<String> =
            self.changes.iter().filter_map(|planned| planned.change.full_url.clone()).collect();
        for planned in &mut self.changes {
            planned.links =
                links::unresolved(&planned.change.text, &full_urls).map_err(|error| error.in_entry(planned.index))?;
            let dangling = planned.links.iter().any(|link| link.starts_with("urn:uuid:") && !full_urls.contains(link));
            if dangling {
                let detail = "A `urn:uuid:` reference stands for no entry. Give the entry it means this `fullUrl`.";
                return Err(ApiError::new(Category::Value, detail).in_entry(planned.index));
            }
        }
        Ok(())
    }

    fn carry_out(self, writer: &mut dyn Writer) -> Result<Vec<(usize, Outcome)>, ApiError> {
        let Self { changes, reads, base_url, validation } = self;
        let rules = Rules { base_url: &base_url, validation };
        let mut outcomes = Vec::with_capacity(changes.len() + reads.len());
        let (deletions, changes): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|planned| matches!(planned.change.action, Action::Delete(_)));
        for deletion in deletions {
            let index = deletion.index;
            outcomes.push((index, apply(deletion.change.action, writer, index)?));
        }
        let mut settled = Vec::with_capacity(changes.len());
        for planned in changes {
            let index = planned.index;
            settled.push(Settled::of(planned, writer).map_err(|error| error.in_entry(index))?);
        }
        let mut written = HashSet::new();
        for entry in &settled {
            if entry.existing.is_none() && !written.insert(entry.key.clone()) {
                return Err(written_twice().in_entry(entry.index));
            }
        }
        let mut replacements: HashMap<String, String> =
            settled.iter().filter_map(|entry| Some((entry.full_url.clone()?, local(&entry.key)))).collect();
        for entry in &mut settled {
            entry.resolve_links(writer, &mut replacements, rules).map_err(|error| error.in_entry(entry.index))?;
        }
        // POST before PUT; the sort keeps the order within each.
        settled.sort_by_key(|entry| matches!(entry.action, Action::Update(_)));
        for entry in settled {
            outcomes.push((entry.index, entry.apply(writer)?));
        }
        for read in reads {
            let index = read.index;
            let answer = read.answer(writer, &base_url).map_err(|error| error.in_entry(index))?;
            outcomes.push((index, Outcome::Read(answer)));
        }
        Ok(outcomes)
    }
}

/// A create or update of which it is known which resource it means.
struct Settled {
    index: usize,
    key: ResourceKey,
    /// The resource that a conditional create found, and which it therefore leaves as it is.
    existing: Option<Version>,
    /// The condition of a conditional update, if it finds nothing: the update creates.
    unless_found: Option<Condition>,
    full_url: Option<String>,
    links: Vec<String>,
    text: bytes::Bytes,
    action: Action,
}

impl Settled {
    fn of(planned: Planned, writer: &dyn Writer) -> Result<Self, ApiError> {
        let Planned { index, change, links } = planned;
        let mut existing = None;
        let mut unless_found = None;
        let (key, action) = match change.action {
            Action::Create(create) => {
                existing = found_by(&create, writer)?;
                let key = existing.as_ref().map_or(&create.draft.key, |version| &version.key).clone();
                (key, Action::Create(create))
            }
            Action::ConditionalUpdate(update) => {
                let Meant { key, head } = update.meant(writer)?;
                let is_new = head.is_none_or(|head| head.method == Method::Delete);
                unless_found = is_new.then_some(update.condition);
                let draft = update.sent.into_draft(key.id.clone(), Method::Put);
                (key, Action::Update(Update { draft, preconditions: update.preconditions }))
            }
            Action::Update(update) => (update.draft.key.clone(), Action::Update(update)),
            Action::Delete(delete) => (delete.key.clone(), Action::Delete(delete)),
        };
        Ok(Self { index, key, existing, unless_found, full_url: change.full_url, links, text: change.text, action })
    }

    /// Replaces the references in the body that stand for something else.
    fn resolve_links(
        &mut self,
        writer: &dyn Writer,
        replacements: &mut HashMap<String, String>,
        rules: Rules<'_>,
    ) -> Result<(), ApiError> {
        if self.links.is_empty() || self.existing.is_some() {
            return Ok(());
        }
        for link in self.links.iter().filter(|link| links::is_conditional(link)) {
            if !replacements.contains_key(link) {
                replacements.insert(link.clone(), meant_by(link, writer, rules.base_url)?);
            }
        }
        let text = links::replace(&self.text, replacements)?;
        let sent = Sent::read_as(&text, self.key.resource_type, rules)?;
        match &mut self.action {
            Action::Create(create) => create.draft = sent.into_draft(self.key.id.clone(), create.draft.method),
            Action::Update(update) => update.draft = sent.into_draft(self.key.id.clone(), update.draft.method),
            Action::ConditionalUpdate(_) | Action::Delete(_) => {}
        }
        Ok(())
    }

    fn apply(self, writer: &mut dyn Writer) -> Result<Outcome, ApiError> {
        if let Some(version) = self.existing {
            return Ok(Outcome::Done(Done { status: StatusCode::OK, version: Some(version) }));
        }
        let is_create = matches!(self.action, Action::Create(_));
        if let Some(condition) = &self.unless_found
            && !matches!(look_up(writer, self.key.resource_type, condition)?, Found::Nothing)
        {
            return Err(written_twice().in_entry(self.index));
        }
        let outcome = apply(self.action, writer, self.index)?;
        match &outcome {
            // Another entry wrote what the condition finds; references already mean the resource that was to be new.
            Outcome::Done(done) if is_create && done.status == StatusCode::OK => {
                Err(written_twice().in_entry(self.index))
            }
            Outcome::Done(_) | Outcome::Read(_) | Outcome::Failed(_) => Ok(outcome),
        }
    }
}

impl PlannedRead {
    fn parse(state: &ApiState, base_url: &str, index: usize, url: &str, known: Option<&str>) -> Result<Self, ApiError> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        if let Some(of) = lineage(path) {
            let history = History::read(&state.settings, of?, query)?;
            return Ok(Self { index, target: Target::History(Box::new(history)) });
        }
        if let Some(scope) = scope_in(path) {
            let parameters = decode(query.as_bytes())?;
            let search = search::read(state, base_url, scope?, parameters, Handling::Strict)?;
            return Ok(Self { index, target: Target::Search(Box::new(search)) });
        }
        let (path, version) = match path.split_once("/_history/") {
            Some((path, version)) => (path, Some(version_named(version)?)),
            None => (path, None),
        };
        let known = known.map(Tags::parse).transpose()?;
        Ok(Self { index, target: Target::Resource { key: key_in(path)?, version, known } })
    }

    fn answer(self, reader: &dyn Reader, base_url: &str) -> Result<Answer, ApiError> {
        let (key, version, known) = match self.target {
            Target::Resource { key, version, known } => (key, version, known),
            Target::Search(search) => {
                let body = search::answer(reader, base_url, &search)?.into();
                return Ok(Answer { status: StatusCode::OK, body, ..Answer::default() });
            }
            Target::Operation(Work::Done(reply)) => return Ok(reply.into()),
            Target::Operation(Work::Read(job)) => return job(reader).map(Answer::from),
            Target::Operation(Work::Write(_)) => return Err(changes_state()),
            Target::History(history) => {
                let body = history.answer(reader, base_url)?.into();
                return Ok(Answer { status: StatusCode::OK, body, ..Answer::default() });
            }
        };
        let version = match version {
            Some(number) => vread::one(reader, &key, number)?,
            None => read::current(reader, &key)?,
        };
        let is_known = known.as_ref().is_some_and(|tags| tags.include(version.number));
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

fn apply(action: Action, writer: &mut dyn Writer, index: usize) -> Result<Outcome, ApiError> {
    action.apply(writer).map(Outcome::Done).map_err(|error| error.in_entry(index))
}

fn found_by(create: &Create, reader: &dyn Reader) -> Result<Option<Version>, ApiError> {
    let Some(condition) = &create.unless_found else {
        return Ok(None);
    };
    match look_up(reader, create.draft.key.resource_type, condition)? {
        Found::Nothing => Ok(None),
        Found::One(version) => Ok(Some(version)),
        Found::Several => Err(crate::fhir::api::create::several()),
    }
}

/// The resource that a conditional reference means.
fn meant_by(link: &str, reader: &dyn Reader, base_url: &str) -> Result<String, ApiError> {
    let (type_name, query) = link.split_once('?').unwrap_or((link, ""));
    let resource_type = type_named(type_name)?;
    let condition = criteria(resource_type, query, base_url)?;
    match look_up(reader, resource_type, &condition)? {
        Found::One(version) => Ok(local(&version.key)),
        Found::Nothing => Err(ApiError::new(Category::Stale, "A conditional reference finds no resource.")),
        Found::Several => {
            Err(ApiError::new(Category::MultipleMatches, "A conditional reference finds several resources."))
        }
    }
}

fn local(key: &ResourceKey) -> String {
    format!("{}/{}", key.resource_type.as_str(), key.id)
}

/// Conditions hold floats, which have no hash; how they are spelled has.
fn spelled(condition: &Condition) -> String {
    format!("{condition:?}")
}

fn changes_state() -> ApiError {
    let detail = "A transaction calls no operation that changes state. Call it by itself or in a batch.";
    ApiError::new(Category::NotSupported, detail)
}

fn written_twice() -> ApiError {
    ApiError::new(Category::Rule, "The transaction writes the same resource twice. Write each resource once.")
}
