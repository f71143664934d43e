//! All definitions that are in force, as the store keeps them, and how they change.
//!
//! A definition that finds resources by other values than before is not ready: what is stored already is not found by it
//! until it is read again. Who changes definitions knows whether there is such a resource and says so with `settle`.

use serde::{Deserialize, Serialize};

use super::compile::compile;
use super::definition::{Definition, Refusal};
use crate::json::Node;
use crate::r4::definitions::search_parameters::ParameterKind;
use crate::r4::resource_type::ResourceType;

/// Most definitions in force. Every write of a type pays for each of the type.
pub(crate) const DEFINITIONS_MAX: usize = 500;

/// Most types that all definitions together are for, each counted for each; all are compiled at each change.
const TYPES_MAX: usize = 2_000;

/// All definitions in force, by the ids of their resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definitions(Vec<Definition>);

impl Definitions {
    /// Reads what `write` has written; nothing is no definitions.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        if text.is_empty() { Ok(Self::default()) } else { serde_json::from_slice(text) }
    }

    /// How the store keeps them.
    ///
    /// # Errors
    /// Never: they are texts and numbers.
    pub(crate) fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Each definition.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.0.iter()
    }

    /// What is in force from the generation `next` on, when the SearchParameter with this id becomes this resource, or
    /// is deleted. `None` when that changes nothing.
    ///
    /// # Errors
    /// When the resource is active and cannot be used, or another definition could no longer be.
    pub(crate) fn with(&self, id: &str, resource: Option<&Node<'_>>, next: u64) -> Result<Option<Self>, Refusal> {
        let before = self.0.iter().find(|known| known.id == id);
        let mut after = resource.map_or(Ok(None), |resource| Definition::read(id, resource))?;
        if let (Some(before), Some(after)) = (before, &mut after) {
            let is_same = before.finds_the_same(after);
            (after.since, after.is_ready) = if is_same { (before.since, before.is_ready) } else { (next, false) };
        } else if let Some(after) = &mut after {
            after.since = next;
        }
        if before == after.as_ref() {
            return Ok(None);
        }
        self.check_composites(before, after.as_ref())?;
        let mut changed = Self(self.0.iter().filter(|known| known.id != id).cloned().collect());
        changed.0.extend(after);
        if changed.0.len() > DEFINITIONS_MAX {
            let detail = format!("There are {DEFINITIONS_MAX} active SearchParameters already. Retire one of them.");
            return Err(Refusal::clash("status", detail));
        }
        if changed.0.iter().map(|it| it.types().count()).sum::<usize>() > TYPES_MAX {
            let detail = "All active SearchParameters together are for too many types. Name fewer types.";
            return Err(Refusal::clash("base", detail));
        }
        let (_registry, refused) = compile(next, &changed);
        match refused.into_iter().find(|(refused, _)| refused == id) {
            Some((_, refusal)) => Err(refusal),
            None => Ok(Some(changed)),
        }
    }

    /// What a composite is made of must stay as it is.
    fn check_composites(&self, before: Option<&Definition>, after: Option<&Definition>) -> Result<(), Refusal> {
        let Some(before) = before else { return Ok(()) };
        let stays = |after: &Definition| {
            (&after.url, after.kind()) == (&before.url, before.kind()) && after.types().eq(before.types())
        };
        if after.is_some_and(stays) {
            return Ok(());
        }
        let is_part = |composite: &&Definition| {
            composite.id != before.id && composite.components.iter().any(|part| part.definition == before.url)
        };
        match self.0.iter().find(is_part) {
            None => Ok(()),
            Some(composite) => {
                let detail = format!(
                    "The composite `{}` (SearchParameter/{}) is made of this parameter. Retire or change that one first.",
                    composite.code, composite.id
                );
                Err(Refusal::clash("status", detail))
            }
        }
    }

    /// Makes the definition with this id ready if there is no resource of its types that it might not find.
    ///
    /// # Errors
    /// When it cannot be told whether there is one.
    pub(crate) fn settle<E>(
        &mut self,
        id: &str,
        is_any_stored: impl Fn(ResourceType) -> Result<bool, E>,
    ) -> Result<(), E> {
        let Some(definition) = self.0.iter_mut().find(|known| known.id == id && !known.is_ready) else {
            return Ok(());
        };
        for resource_type in definition.types() {
            if is_any_stored(resource_type)? {
                return Ok(());
            }
        }
        definition.is_ready = true;
        Ok(())
    }

    /// Makes the definition with this id ready, if it is still what it came to be in this generation. Whether it is.
    pub(crate) fn make_ready(&mut self, id: &str, since: u64) -> bool {
        let definition = self.0.iter_mut().find(|it| it.id == id && it.since == since);
        definition.map(|definition| definition.is_ready = true).is_some()
    }

    /// Makes those unready that this program cannot use, as another version of it could: what is written meanwhile is
    /// not found by them. Whether there are any.
    pub(crate) fn set_aside_unusable(&mut self, generation: u64) -> bool {
        let (_registry, refused) = compile(generation, self);
        let mut is_any = false;
        for definition in self.0.iter_mut().filter(|it| refused.iter().any(|(id, _)| *id == it.id)) {
            is_any |= std::mem::replace(&mut definition.is_ready, false);
        }
        is_any
    }

    /// Those that are no composites, and then those that are: a composite is made of others.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Definition> {
        let is_composite = |it: &&Definition| it.kind() == Some(ParameterKind::Composite);
        self.0.iter().filter(move |it| !is_composite(it)).chain(self.0.iter().filter(is_composite))
    }
}
