//! Tells the connectors of writes at the FHIR service in this process that concern whose readings are whose.

use std::sync::Arc;

use crate::fhir::store::IndexValue;
use crate::fhir::store::watch::{Change, Watch};
use crate::r4::resource_type::ResourceType;
use crate::resolve::Freshness;

/// The types whose resources say who a reading is about.
const RESOURCE_TYPES: [&str; 3] = ["Device", "Patient", "Encounter"];
/// The search parameter by which all three are looked up.
const IDENTIFIER: &str = "identifier";

/// Notes every change of a Device, Patient or Encounter in `freshness`.
///
/// All connectors share it, also those whose FHIR server is another one: to them a note is at worst a search too many, and
/// the other one may be this service under another name.
pub(super) fn watch(freshness: Arc<Freshness>) -> Watch {
    let note = move |change: &Change| {
        let identifiers = change.index.iter().filter(|entry| *entry.parameter == *IDENTIFIER);
        let values = identifiers.filter_map(|entry| match &entry.value {
            IndexValue::Token { code, .. } => Some(code.as_str()),
            IndexValue::Reference { .. }
            | IndexValue::Date { .. }
            | IndexValue::Number { .. }
            | IndexValue::Quantity { .. }
            | IndexValue::Range { .. }
            | IndexValue::String { .. }
            | IndexValue::Uri { .. }
            | IndexValue::Composite { .. }
            | IndexValue::Display { .. }
            | IndexValue::Series { .. } => None,
        });
        freshness.note(change.key.resource_type.as_str(), &change.key.id, values);
    };
    let resource_types = RESOURCE_TYPES.into_iter().filter_map(ResourceType::parse).collect();
    Watch { resource_types, hear: Box::new(note) }
}
