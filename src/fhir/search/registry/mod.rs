//! Which search parameters there are: those of R4, and those that this server was told of by SearchParameter resources.
//!
//! A registry is a snapshot: a request takes one, and all that is read and searched for it goes by that one. What R4 defines
//! is compiled once and shared by all of them; without definitions of its own a server has nothing else to look at.
//!
//! A `Definition` is what counts of one resource, `Definitions` are all that are in force, as the store keeps them, and
//! `compile` makes a registry of them, or says what in one of them cannot be used.

mod compile;
pub(crate) mod definition;
pub(crate) mod definitions;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;

use self::definitions::Definitions;
use super::index::Plan;
use crate::r4::definitions::search_parameters::{SearchParameter, search_parameter, search_parameters};
use crate::r4::resource_type::ResourceType;

/// The search parameters of all types at one time.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// The generation of the definitions in the store from which it is made.
    generation: u64,
    /// What there is besides R4, for types of which there is any.
    added: HashMap<ResourceType, Added>,
}

/// The parameters of a type besides those of R4.
#[derive(Debug, Default)]
struct Added {
    parameters: Vec<Own>,
    plan: Plan,
}

/// A parameter of this server's own, on one type.
#[derive(Clone, Debug)]
struct Own {
    parameter: SearchParameter,
    /// Whether every stored resource of the type is found by it.
    is_ready: bool,
}

static BUILT_IN: LazyLock<HashMap<ResourceType, Plan>> = LazyLock::new(|| {
    let plan = |resource_type| {
        let known = |code: &str| search_parameter(resource_type, code);
        Plan::of(resource_type, search_parameters(resource_type), &known)
    };
    ResourceType::all().map(|resource_type| (resource_type, plan(resource_type))).collect()
});

static R4: LazyLock<Arc<Registry>> = LazyLock::new(Arc::default);

/// The registry that was made last, with the text it was made from: within one write it may be needed many times.
static LAST: Mutex<Option<(u64, Bytes, Arc<Registry>)>> = Mutex::new(None);

impl Registry {
    /// What R4 defines and nothing besides.
    pub(crate) fn r4() -> &'static Arc<Self> {
        &R4
    }

    /// The registry of definitions as the store has them. What this program cannot use, which another version of it has
    /// accepted, is left out.
    ///
    /// # Errors
    /// When the text is not that of definitions.
    pub(crate) fn load(generation: u64, text: &Bytes) -> Result<Arc<Self>, serde_json::Error> {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, known_text, registry)) = last.as_ref()
            && *known == generation
            && known_text == text
        {
            return Ok(Arc::clone(registry));
        }
        let (registry, _left_out) = compile::compile(generation, &Definitions::read(text)?);
        let registry = Arc::new(registry);
        *last = Some((generation, text.clone(), Arc::clone(&registry)));
        Ok(registry)
    }

    /// The generation of the definitions from which it is made.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The parameters of a type, those of its ancestors included.
    pub(crate) fn parameters(&self, resource_type: ResourceType) -> impl Iterator<Item = &SearchParameter> {
        search_parameters(resource_type).iter().chain(self.own(resource_type).iter().map(|own| &own.parameter))
    }

    /// The types that have parameters of this server's own, in order.
    pub(crate) fn types_with_own(&self) -> impl Iterator<Item = ResourceType> {
        let mut types: Vec<ResourceType> = self.added.keys().copied().collect();
        types.sort_unstable();
        types.into_iter()
    }

    /// The parameters of a type that are this server's own.
    pub(crate) fn added(&self, resource_type: ResourceType) -> impl Iterator<Item = &SearchParameter> {
        self.own(resource_type).iter().map(|own| &own.parameter)
    }

    /// The parameter of this name on a type.
    pub(crate) fn parameter(&self, resource_type: ResourceType, code: &str) -> Option<&SearchParameter> {
        search_parameter(resource_type, code).or_else(|| self.own_of(resource_type, code).map(|own| &own.parameter))
    }

    /// Whether a parameter is this server's own.
    pub(super) fn is_own(&self, resource_type: ResourceType, code: &str) -> bool {
        self.own_of(resource_type, code).is_some()
    }

    /// Whether a parameter is this server's own and does not yet find every stored resource that it should.
    pub(super) fn is_incomplete(&self, resource_type: ResourceType, code: &str) -> bool {
        self.own_of(resource_type, code).is_some_and(|own| !own.is_ready)
    }

    /// How a type is indexed, in several parts.
    pub(super) fn plans(&self, resource_type: ResourceType) -> impl Iterator<Item = &Plan> {
        BUILT_IN.get(&resource_type).into_iter().chain(self.added.get(&resource_type).map(|added| &added.plan))
    }

    fn own(&self, resource_type: ResourceType) -> &[Own] {
        self.added.get(&resource_type).map_or(&[], |added| &added.parameters)
    }

    fn own_of(&self, resource_type: ResourceType, code: &str) -> Option<&Own> {
        self.own(resource_type).iter().find(|own| own.parameter.code.as_ref() == code)
    }

    /// The parameter of this URL on a type.
    pub(crate) fn with_url(&self, resource_type: ResourceType, url: &str) -> Option<&SearchParameter> {
        self.parameters(resource_type).find(|parameter| parameter.url.as_ref() == url)
    }
}

#[cfg(test)]
mod tests;
