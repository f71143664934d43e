//! In place of `fhir::search` until it has landed.

use crate::fhir::store::{Condition, IndexEntry, IndexValue, Test};
use crate::json::Node;
use crate::r4::resource_type::ResourceType;

/// Identifiers alone.
pub(crate) fn entries(_resource_type: ResourceType, node: &Node<'_>) -> Vec<IndexEntry> {
    let identifiers = node.member("identifier").map_or(&[][..], Node::elements);
    identifiers
        .iter()
        .map(|identifier| IndexEntry {
            parameter: "identifier".into(),
            value: IndexValue::Token { system: text(identifier, "system"), code: text(identifier, "value") },
        })
        .collect()
}

fn text(node: &Node<'_>, name: &str) -> String {
    node.member(name).and_then(Node::as_str).unwrap_or_default().to_owned()
}

/// Identifiers alone.
pub(crate) fn criteria(_resource_type: ResourceType, query: &str) -> Result<Condition, String> {
    let (system, code) =
        query.strip_prefix("identifier=").and_then(|value| value.split_once('|')).ok_or("unknown parameter")?;
    Ok(Condition::Has(
        "identifier".into(),
        Test::Token { system: Some(system.to_owned()), code: Some(code.to_owned()) },
    ))
}
