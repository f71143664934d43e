//! Which search parameters there are.
//!
//! A registry is a snapshot: a request takes one, and all that is read and searched for it goes by that one. What R4 defines
//! is compiled once and shared by all of them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::index::Plan;
use crate::r4::definitions::search_parameters::{SearchParameter, search_parameter, search_parameters};
use crate::r4::resource_type::ResourceType;

/// The search parameters of all types at one time.
#[derive(Debug)]
pub(crate) struct Registry {
    /// How each type is indexed by what R4 defines.
    built_in: &'static HashMap<ResourceType, Plan>,
}

static BUILT_IN: LazyLock<HashMap<ResourceType, Plan>> =
    LazyLock::new(|| ResourceType::all().map(|resource_type| (resource_type, Plan::of(resource_type))).collect());

static R4: LazyLock<Arc<Registry>> = LazyLock::new(|| Arc::new(Registry { built_in: &BUILT_IN }));

impl Registry {
    /// What R4 defines and nothing besides.
    pub(crate) fn r4() -> &'static Arc<Self> {
        &R4
    }

    /// The parameters of a type, those of its ancestors included.
    pub(crate) fn parameters(&self, resource_type: ResourceType) -> impl Iterator<Item = &SearchParameter> {
        search_parameters(resource_type).iter()
    }

    /// The parameter of this name on a type.
    pub(crate) fn parameter(&self, resource_type: ResourceType, code: &str) -> Option<&SearchParameter> {
        search_parameter(resource_type, code)
    }

    /// How a type is indexed, in several parts.
    pub(super) fn plans(&self, resource_type: ResourceType) -> impl Iterator<Item = &Plan> {
        self.built_in.get(&resource_type).into_iter()
    }
}
