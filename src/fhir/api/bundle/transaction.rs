//! A transaction: all or nothing, in the order DELETE, POST, PUT, PATCH, GET
//! (<https://hl7.org/fhir/R4/http.html#trules>).
//!
//! Which resource a conditional entry means is settled inside the store's write, after the deletions and before anything
//! else is written; then references between entries are known, and bodies that hold some are read again with the final
//! ids in them. Conditional references find what the transaction wrote: entries that hold some are written after those that
//! hold none.

use std::collections::HashSet;

use http::HeaderMap;

use super::Requests;
use super::entry::{Action, Change, Request};
use super::links::{Entries, Link, Replacements};
use super::planned_read::{PlannedRead, Target};
use super::respond::{Outcome, write};
use super::settled::{Settled, links_of};
use crate::fhir::api::create::Create;
use crate::fhir::api::delete::ConditionalDelete;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::patch::{self, PatchOf};
use crate::fhir::api::resource::{KeptRules, Rules};
use crate::fhir::api::respond::Return;
use crate::fhir::api::state::ApiState;
use crate::fhir::search::plan::Criteria;
use crate::fhir::store::ResourceKey;
use crate::fhir::store::interface::Writer;

/// How many conditional references may follow one another, each from an entry that another one finds. Every round looks
/// again for all that was not found before.
const CONDITIONAL_ROUNDS_MAX: usize = 8;

/// A transaction, checked as far as that is possible without the store.
struct Plan {
    changes: Vec<Planned>,
    reads: Vec<PlannedRead>,
    rules: KeptRules,
}

/// A write at its place in the Bundle.
pub(super) struct Planned {
    pub(super) index: usize,
    pub(super) change: Change,
    /// What in its body stands for something else.
    pub(super) links: Vec<Link>,
}

/// Answers a transaction.
pub(super) async fn run(
    state: &ApiState,
    requests: Requests,
    rules: Rules<'_>,
    prefer: Return,
) -> Result<Vec<u8>, ApiError> {
    let plan = Plan::of(state, requests, rules)?;
    let mut outcomes = state.store.write(move |writer| plan.carry_out(writer)).await?;
    outcomes.sort_by_key(|(index, _)| *index);
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    Ok(write("transaction-response", &outcomes, rules.base_url, prefer))
}

impl Plan {
    fn of(state: &ApiState, requests: Requests, rules: Rules<'_>) -> Result<Self, ApiError> {
        let mut plan = Self { changes: Vec::new(), reads: Vec::new(), rules: rules.keep() };
        for (index, request) in requests.into_iter().enumerate() {
            match request? {
                Request::Write(change) => plan.changes.push(Planned { index, change: *change, links: Vec::new() }),
                Request::Read(read) => {
                    let planned = PlannedRead::of(state, rules, index, &read);
                    plan.reads.push(planned.map_err(|error| error.in_entry(index))?);
                }
                Request::Operation(asked) => {
                    let work = asked.prepare(state, rules.registry, rules.base_url, &HeaderMap::new());
                    let target = Target::Operation(work.map_err(|error| error.in_entry(index))?);
                    plan.reads.push(PlannedRead { index, target, is_head: false, part: None });
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
                Action::Patch(PatchOf { target: patch::Target::Key(key), .. }) => keys.insert(key),
                // Settled in the store: they may find the same resource by other words, or nothing.
                Action::Create(Create { unless_found: None, .. })
                | Action::ConditionalDelete(_)
                | Action::Patch(PatchOf { target: patch::Target::Condition(..), .. }) => true,
                Action::Create(Create { unless_found: Some(condition), draft }) => {
                    conditions.insert((draft.key.resource_type, spelled(condition)))
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

    fn full_urls(&self) -> HashSet<String> {
        self.changes.iter().filter_map(|planned| planned.change.full_url.clone()).collect()
    }

    fn find_links(&mut self) -> Result<(), ApiError> {
        let full_urls = self.full_urls();
        let entries = Entries { full_urls: &full_urls, base_url: &self.rules.base_url };
        for planned in &mut self.changes {
            let change = &planned.change;
            let links = links_of(&entries, &change.text, change.full_url.as_deref());
            planned.links = links.map_err(|error| error.in_entry(planned.index))?;
        }
        Ok(())
    }

    fn carry_out(self, writer: &mut dyn Writer) -> Result<Vec<(usize, Outcome)>, ApiError> {
        let full_urls = self.full_urls();
        let Self { changes, reads, rules } = self;
        let rules = rules.rules();
        let entries = Entries { full_urls: &full_urls, base_url: rules.base_url };
        let mut outcomes = Vec::with_capacity(changes.len() + reads.len());
        let mut identities = Identities::default();
        let (deletions, changes): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|planned| is_deletion(&planned.change.action));
        outcomes.extend(delete_all(deletions, writer, &mut identities)?);
        let mut settled = Vec::with_capacity(changes.len());
        for planned in changes {
            let index = planned.index;
            settled.push(Settled::of(planned, &entries, writer).map_err(|error| error.in_entry(index))?);
        }
        for entry in settled.iter().filter(|entry| entry.existing.is_none()) {
            identities.add(&entry.key).map_err(|error| error.in_entry(entry.index))?;
        }
        let mut replacements = Replacements::new();
        for entry in &settled {
            if let Some(full_url) = &entry.full_url {
                replacements.insert(full_url.clone(), entry.linked(writer)?);
            }
        }
        outcomes.extend(write_all(settled, writer, &mut replacements, rules)?);
        for read in reads {
            let index = read.index;
            let answer = read.answer(writer, rules.base_url).map_err(|error| error.in_entry(index))?;
            outcomes.push((index, Outcome::Read(answer)));
        }
        Ok(outcomes)
    }
}

/// The resources that are written so far.
#[derive(Default)]
struct Identities(HashSet<ResourceKey>);

impl Identities {
    fn add(&mut self, key: &ResourceKey) -> Result<(), ApiError> {
        if self.0.insert(key.clone()) { Ok(()) } else { Err(written_twice()) }
    }
}

fn is_deletion(action: &Action) -> bool {
    matches!(action, Action::Delete(_) | Action::ConditionalDelete(_))
}

/// Deletes, after all that are meant are known: what one deletes another must not fail to find.
fn delete_all(
    deletions: Vec<Planned>,
    writer: &mut dyn Writer,
    identities: &mut Identities,
) -> Result<Vec<(usize, Outcome)>, ApiError> {
    let mut meant = Vec::with_capacity(deletions.len());
    for deletion in &deletions {
        let index = deletion.index;
        let keys = match &deletion.change.action {
            Action::ConditionalDelete(delete) => delete.meant(writer).map_err(|error| error.in_entry(index))?,
            Action::Delete(delete) => vec![delete.key.clone()],
            Action::Create(_) | Action::Update(_) | Action::ConditionalUpdate(_) | Action::Patch(_) => Vec::new(),
        };
        keys.iter().try_for_each(|key| identities.add(key)).map_err(|error| error.in_entry(index))?;
        meant.push(keys);
    }
    let mut outcomes = Vec::with_capacity(deletions.len());
    for (deletion, keys) in deletions.into_iter().zip(meant) {
        let outcome = if matches!(deletion.change.action, Action::ConditionalDelete(_)) {
            Outcome::Done(ConditionalDelete::delete_all(&keys, writer)?)
        } else {
            apply(deletion.change.action, writer, deletion.index)?
        };
        outcomes.push((deletion.index, outcome));
    }
    Ok(outcomes)
}

/// Writes in rounds: first what has no conditional references, then whatever finds what was written so far.
fn write_all(
    mut settled: Vec<Settled>,
    writer: &mut dyn Writer,
    replacements: &mut Replacements,
    rules: Rules<'_>,
) -> Result<Vec<(usize, Outcome)>, ApiError> {
    // SearchParameters, then POST before PUT before PATCH; the sort keeps the order within each.
    settled.sort_by_key(Settled::rank);
    let mut outcomes = Vec::with_capacity(settled.len());
    let mut creations = Vec::new();
    let (mut waiting, mut asked): (Vec<_>, Vec<_>) = settled.into_iter().partition(Settled::is_conditional);
    for _ in 0..=CONDITIONAL_ROUNDS_MAX {
        let mut ready = Vec::with_capacity(asked.len());
        let mut unfound = None;
        // All are resolved before one is written: their order in the Bundle does not count.
        for mut entry in asked {
            match entry.resolve_links(writer, replacements, rules).map_err(|error| error.in_entry(entry.index)) {
                Ok(()) => ready.push(entry),
                Err(error) if error.category == Category::Stale => {
                    unfound.get_or_insert(error);
                    waiting.push(entry);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = unfound
            && ready.is_empty()
        {
            return Err(error);
        }
        for mut entry in ready {
            creations.extend(entry.take_creation());
            outcomes.push((entry.index, entry.apply(writer)?));
        }
        asked = std::mem::take(&mut waiting);
    }
    let Some(entry) = asked.first() else {
        creations.iter().try_for_each(|creation| creation.check(writer))?;
        return Ok(outcomes);
    };
    let detail = format!(
        "More than {CONDITIONAL_ROUNDS_MAX} conditional references follow one another, each to an entry that has one itself. \
         Give the entries a `fullUrl` and refer to that."
    );
    Err(ApiError::new(Category::TooCostly, detail).in_entry(entry.index))
}

/// Carries out a write at its place in the Bundle.
pub(super) fn apply(action: Action, writer: &mut dyn Writer, index: usize) -> Result<Outcome, ApiError> {
    action.apply(writer).map(Outcome::Done).map_err(|error| error.in_entry(index))
}

/// Conditions hold floats, which have no hash; how they are spelled has.
fn spelled(condition: &Criteria) -> String {
    format!("{condition:?}")
}

/// A resource may be in a transaction once.
pub(super) fn written_twice() -> ApiError {
    ApiError::new(Category::Rule, "The transaction writes the same resource twice. Write each resource once.")
}
