//! What becomes of the narrative of a resource that is patched: it may not tell what is no longer so
//! (<https://hl7.org/fhir/R4/http.html#patch>).
//!
//! A narrative that repeats data (`generated`, `extensions`) is dropped when data changes and the patch leaves it alone,
//! since it can be made again. One that holds more than the data (`additional`) cannot: such a patch is refused unless
//! it says what the narrative is to be. One that says nothing (`empty`) stays.

use bytes::Bytes;

use super::PatchError;
use super::values::{Numbers, same, same_members};
use crate::json::tree::Tree;
use crate::json::{self, Node};

/// The text of the patched resource with a safe narrative; `None` if it is what it was before.
pub(super) fn settle(before: &Bytes, mut after: Tree) -> Result<Option<Bytes>, PatchError> {
    let text = after.to_bytes();
    // What is no JSON is refused by whoever reads it next.
    let (Ok(old), Ok(new)) = (json::parse(before), json::parse(&text)) else {
        return Ok(Some(text));
    };
    let data_stays = same_members(&old, &new, &["meta", "text"], Numbers::ByDigits);
    let narrative_stays = match (old.member("text"), new.member("text")) {
        (Some(old), Some(new)) => same(old, new, Numbers::ByDigits),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if data_stays && narrative_stays && same_meta(&old, &new) {
        return Ok(None);
    }
    if data_stays || !narrative_stays {
        return Ok(Some(text));
    }
    let status = new.member("text").and_then(|narrative| narrative.member("status")).and_then(Node::as_str);
    match status {
        None | Some("empty") => Ok(Some(text)),
        Some("generated" | "extensions") => {
            after.open();
            after.remove_member("text");
            Ok(Some(after.to_bytes()))
        }
        Some(_) => Err(PatchError::inapplicable(
            "The resource has a narrative (`text`) with content of its own, which the patch could make untrue. \
             Patch `text` as well, or take it away.",
        )),
    }
}

/// Whether `meta` is the same, apart from what the server writes there.
fn same_meta(one: &Node<'_>, other: &Node<'_>) -> bool {
    let none = Node::Object(Vec::new());
    let [one, other] = [one, other].map(|resource| resource.member("meta").unwrap_or(&none));
    let is_object = |meta: &Node<'_>| matches!(meta, Node::Object(_));
    is_object(one) == is_object(other) && same_members(one, other, &["versionId", "lastUpdated"], Numbers::ByDigits)
}
