//! A write of a transaction after it is known which resource it means, and what its links lead to.

use bytes::Bytes;
use http::StatusCode;

use super::entry::{Action, Change};
use super::links::{self, Entries, Link, Linked, Replacements};
use super::respond::Outcome;
use super::transaction::{Planned, apply, written_twice};
use crate::fhir::api::conditional_update::Meant;
use crate::fhir::api::create::{Create, several};
use crate::fhir::api::criteria::{Found, criteria, look_up};
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::patch::Patched;
use crate::fhir::api::resource::{Rules, Sent};
use crate::fhir::api::respond::Done;
use crate::fhir::api::target::type_named;
use crate::fhir::api::update::Update;
use crate::fhir::search::plan::Criteria;
use crate::fhir::store::interface::{Reader, Writer};
use crate::fhir::store::{Method, ResourceKey, Version};
use crate::json::{self, Node};

/// A create, update or patch of which it is known which resource it means.
pub(super) struct Settled {
    pub(super) index: usize,
    pub(super) key: ResourceKey,
    /// The resource that a conditional create found, or that a patch does not change, and which stays as it is.
    pub(super) existing: Option<Version>,
    /// The condition on which it creates, for nothing was found.
    unless_found: Option<Criteria>,
    pub(super) full_url: Option<String>,
    pub(super) links: Vec<Link>,
    text: Bytes,
    action: Action,
}

impl Settled {
    /// Finds out which resource is meant.
    pub(super) fn of(planned: Planned, entries: &Entries<'_>, writer: &dyn Writer) -> Result<Self, ApiError> {
        let Planned { index, change, mut links } = planned;
        let Change { full_url, mut text, action } = change;
        let mut existing = None;
        let mut unless_found = None;
        let (key, action) = match action {
            Action::Create(mut create) => {
                existing = found_by(&create, writer)?;
                unless_found = create.unless_found.take().filter(|_condition| existing.is_none());
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
            Action::Patch(patch) => match patch.patched(writer)? {
                Patched::Unchanged(version) => {
                    let key = version.key.clone();
                    existing = Some(version);
                    (key, Action::Patch(patch))
                }
                Patched::Changed { update, text: patched, .. } => {
                    links = links_of(entries, &patched, full_url.as_deref())?;
                    text = patched;
                    (update.draft.key.clone(), Action::Update(*update))
                }
            },
            Action::Update(update) => (update.draft.key.clone(), Action::Update(update)),
            Action::Delete(delete) => (delete.key.clone(), Action::Delete(delete)),
            Action::ConditionalDelete(_) => return Err(ApiError::internal("a deletion was not carried out first")),
        };
        Ok(Self { index, key, existing, unless_found, full_url, links, text, action })
    }

    /// What a reference to it becomes.
    pub(super) fn linked(&self, reader: &dyn Reader) -> Result<Linked, ApiError> {
        let version = match (&self.existing, &self.action) {
            (Some(version), _) => version.number,
            (None, Action::Create(_)) => 1,
            (None, _) => reader.head(&self.key)?.map_or(0, |head| head.number) + 1,
        };
        Ok(Linked { local: local(&self.key), version })
    }

    /// When it is written. What says by what others are found comes first, and of it what others are made of.
    pub(super) fn rank(&self) -> u8 {
        match &self.action {
            _ if self.key.resource_type.as_str() == "SearchParameter" => u8::from(is_composite(&self.text)),
            Action::Update(update) if update.draft.method == Method::Patch => 4,
            Action::Update(_) => 3,
            Action::Create(_)
            | Action::ConditionalUpdate(_)
            | Action::Patch(_)
            | Action::Delete(_)
            | Action::ConditionalDelete(_) => 2,
        }
    }

    /// Whether the body has conditional references.
    pub(super) fn is_conditional(&self) -> bool {
        self.links.iter().any(|link| link.condition().is_some())
    }

    /// Replaces what in the body stands for something else.
    pub(super) fn resolve_links(
        &mut self,
        writer: &dyn Writer,
        replacements: &mut Replacements,
        rules: Rules<'_>,
    ) -> Result<(), ApiError> {
        if self.links.is_empty() || self.existing.is_some() {
            return Ok(());
        }
        for condition in self.links.iter().filter_map(Link::condition) {
            if !replacements.contains_key(condition) {
                replacements.insert(condition.to_owned(), meant_by(condition, writer, rules)?);
            }
        }
        let text = links::replace(&self.text, &self.links, replacements);
        let sent = Sent::read_as(&text, self.key.resource_type, rules)?;
        match &mut self.action {
            Action::Create(create) => create.draft = sent.into_draft(self.key.id.clone(), create.draft.method),
            Action::Update(update) => update.draft = sent.into_draft(self.key.id.clone(), update.draft.method),
            Action::ConditionalUpdate(_) | Action::Patch(_) | Action::Delete(_) | Action::ConditionalDelete(_) => {}
        }
        Ok(())
    }

    /// Carries it out.
    pub(super) fn apply(self, writer: &mut dyn Writer) -> Result<Outcome, ApiError> {
        if let Some(version) = self.existing {
            return Ok(Outcome::Done(Done { status: StatusCode::OK, version: Some(version) }));
        }
        apply(self.action, writer, self.index)
    }

    /// What is to be checked once all is written, if it creates on a condition.
    pub(super) fn take_creation(&mut self) -> Option<Creation> {
        let condition = self.unless_found.take()?;
        Some(Creation { index: self.index, key: self.key.clone(), condition })
    }
}

/// A resource that comes into being because a condition found nothing.
pub(super) struct Creation {
    index: usize,
    key: ResourceKey,
    condition: Criteria,
}

impl Creation {
    /// Checks that no other entry, wherever it stands in the Bundle, wrote what the condition finds: who asks for one
    /// resource must not get two.
    pub(super) fn check(&self, reader: &dyn Reader) -> Result<(), ApiError> {
        match look_up(reader, self.key.resource_type, &self.condition)? {
            Found::Nothing => Ok(()),
            Found::One(version) if version.key == self.key => Ok(()),
            Found::One(_) | Found::Several => Err(written_twice().in_entry(self.index)),
        }
    }
}

/// Whether a SearchParameter is made of others.
fn is_composite(text: &[u8]) -> bool {
    json::parse(text).is_ok_and(|node| node.member("type").and_then(Node::as_str) == Some("composite"))
}

/// The links in a body, each of which must lead somewhere.
pub(super) fn links_of(entries: &Entries<'_>, text: &[u8], own: Option<&str>) -> Result<Vec<Link>, ApiError> {
    let links = entries.links(text, own)?;
    if links.iter().filter_map(Link::full_url).any(|full_url| !entries.full_urls.contains(full_url)) {
        let detail =
            "A `urn:uuid:` or `urn:oid:` reference stands for no entry. Give the entry it means this `fullUrl`.";
        return Err(ApiError::new(Category::Value, detail));
    }
    Ok(links)
}

fn found_by(create: &Create, reader: &dyn Reader) -> Result<Option<Version>, ApiError> {
    let Some(condition) = &create.unless_found else {
        return Ok(None);
    };
    match look_up(reader, create.draft.key.resource_type, condition)? {
        Found::Nothing => Ok(None),
        Found::One(version) => Ok(Some(version)),
        Found::Several => Err(several()),
    }
}

/// The resource that a conditional reference means.
fn meant_by(link: &str, reader: &dyn Reader, rules: Rules<'_>) -> Result<Linked, ApiError> {
    let (type_name, query) = link.split_once('?').unwrap_or((link, ""));
    let resource_type = type_named(type_name)?;
    let condition = criteria(rules.registry, resource_type, query, rules.base_url)?;
    match look_up(reader, resource_type, &condition)? {
        Found::One(version) => Ok(Linked { local: local(&version.key), version: version.number }),
        Found::Nothing => Err(ApiError::new(Category::Stale, "A conditional reference finds no resource.")),
        Found::Several => {
            Err(ApiError::new(Category::MultipleMatches, "A conditional reference finds several resources."))
        }
    }
}

fn local(key: &ResourceKey) -> String {
    format!("{}/{}", key.resource_type.as_str(), key.id)
}
