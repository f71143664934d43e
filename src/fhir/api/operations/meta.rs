//! `$meta`, `$meta-add` and `$meta-delete`: the profiles, tags and security labels of a resource
//! (<https://hl7.org/fhir/R4/resource-operations.html>).
//!
//! By the text a change of these is no new version: the current one says something else from then on, under the same
//! number, time and entity tag, and is found by what it says now. Everything else in the resource stays to the byte.

use bytes::Bytes;

use super::parameters::{Input, Kind, Times, output, resource};
use super::{Call, Reply, Target, Work};
use crate::fhir::api::definitions;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::preconditions::Preconditions;
use crate::fhir::api::read;
use crate::fhir::api::resource::{Rules, Sent};
use crate::fhir::store::{Draft, ResourceKey, Version};
use crate::json::tree::Tree;
use crate::json::{self, Node};

/// The members of `meta` that these operations are about.
const LABELS: [&str; 3] = ["profile", "security", "tag"];
/// Most labels of one kind that a resource may come to have.
const LABELS_MAX: usize = 1_000;

/// What `$meta-add` and `$meta-delete` take.
pub(super) const INPUTS: &[Input] = &[Input { name: "meta", kind: Kind::Type("Meta"), times: Times::Required }];

/// What is done with labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Add,
    Delete,
}

/// A label to be added or taken away: its list, what makes it the same as another, and how it is written.
#[derive(Clone, Debug)]
struct Label {
    list: &'static str,
    identity: String,
    written: Bytes,
}

/// `GET [base]/[type]/[id]/$meta`
pub(super) fn meta(call: &Call<'_>) -> Result<Work, ApiError> {
    let key = key(call)?;
    Ok(Work::read(move |reader| reply(&read::current(reader, &key)?)))
}

/// `POST [base]/[type]/[id]/$meta-add`
pub(super) fn add(call: &Call<'_>) -> Result<Work, ApiError> {
    change(call, Change::Add)
}

/// `POST [base]/[type]/[id]/$meta-delete`
pub(super) fn delete(call: &Call<'_>) -> Result<Work, ApiError> {
    change(call, Change::Delete)
}

fn change(call: &Call<'_>, change: Change) -> Result<Work, ApiError> {
    let key = key(call)?;
    let labels = labels(call)?;
    let preconditions = Preconditions::in_headers(call.headers)?;
    let rules = call.rules().keep();
    Ok(Work::write(move |writer| {
        preconditions.check(writer.head(&key)?)?;
        let current = read::current(writer, &key)?;
        match changed(&current, &labels, change, rules.rules())? {
            Some(draft) => reply(&definitions::amend(writer, draft)?.unwrap_or(current)),
            None => reply(&current),
        }
    }))
}

fn key(call: &Call<'_>) -> Result<ResourceKey, ApiError> {
    match &call.target {
        Target::Instance(key) => Ok(key.clone()),
        Target::System | Target::Type(_) => Err(ApiError::internal("labels are those of a resource")),
    }
}

fn reply(version: &Version) -> Result<Reply, ApiError> {
    let body = version.body.clone().unwrap_or_default();
    let node = json::parse(&body).map_err(ApiError::internal)?;
    let members = node.member("meta").map(Node::members).unwrap_or_default();
    let labels = members.iter().filter(|(name, _)| LABELS.contains(&name.as_ref())).cloned().collect();
    Ok(Reply::ok(resource(vec![output("return", "valueMeta", Node::Object(labels))])))
}

/// The labels of the parameter `meta`.
fn labels(call: &Call<'_>) -> Result<Vec<Label>, ApiError> {
    let bad = |detail: &str| Err(call.parameters.refuse("meta", detail));
    let mut labels = Vec::new();
    for (name, list) in call.parameters.values("meta").flat_map(|meta| meta.members()) {
        let Some(kind) = LABELS.into_iter().find(|label| label == name) else {
            // Clients send the `meta` they got; these two are the server's.
            if matches!(name.as_ref(), "versionId" | "lastUpdated") {
                continue;
            }
            return bad("Only `profile`, `security` and `tag` can be added or deleted.");
        };
        for label in list.elements() {
            let Some(identity) = identity(label) else {
                return bad(
                    "A profile is a URL; a tag and a security label has a `code`, and a `system` if it is of one.",
                );
            };
            labels.push(Label { list: kind, identity, written: label.to_string().into() });
        }
    }
    if labels.is_empty() {
        return bad("`meta` has no `profile`, `security` or `tag`.");
    }
    Ok(labels)
}

/// What makes two labels the same: the URL of a profile, system and code of another; neither version nor display.
fn identity(label: &Node<'_>) -> Option<String> {
    if let Some(profile) = label.as_str() {
        return Some(profile.to_owned());
    }
    let code = label.member("code").and_then(Node::as_str)?;
    let system = label.member("system").and_then(Node::as_str).unwrap_or_default();
    // No URI has a space in it.
    Some(format!("{system} {code}"))
}

/// The resource with other labels; `None` if it has the right ones.
fn changed(current: &Version, labels: &[Label], change: Change, rules: Rules<'_>) -> Result<Option<Draft>, ApiError> {
    let mut resource = Tree::Raw(current.body.clone().unwrap_or_default());
    resource.open();
    let Some(meta) = resource.member_mut("meta") else {
        return Err(ApiError::internal("a stored resource has no meta"));
    };
    meta.open();
    let mut is_changed = false;
    for list in LABELS {
        let of_list: Vec<&Label> = labels.iter().filter(|label| label.list == list).collect();
        is_changed |= relabel(meta, list, &of_list, change)?;
    }
    if !is_changed {
        return Ok(None);
    }
    meta.prune();
    let sent = Sent::read_as(&resource.to_bytes(), current.key.resource_type, rules)?;
    Ok(Some(sent.into_draft(current.key.id.clone(), current.method)))
}

/// Changes one list of labels. Whether anything came of it.
fn relabel(meta: &mut Tree, list: &str, labels: &[&Label], change: Change) -> Result<bool, ApiError> {
    let mut known = meta.member_mut(list).cloned().unwrap_or(Tree::Array(Vec::new()));
    known.open();
    let Some(elements) = known.elements_mut() else {
        return Ok(false);
    };
    let before = elements.len();
    let mut identities: Vec<Option<String>> = elements.iter().map(identity_of).collect();
    for label in labels {
        let place = identities.iter().position(|identity| identity.as_ref() == Some(&label.identity));
        match (change, place) {
            (Change::Add, None) => {
                identities.push(Some(label.identity.clone()));
                elements.push(Tree::Raw(label.written.clone()));
            }
            (Change::Delete, Some(place)) => {
                identities.remove(place);
                elements.remove(place);
            }
            (Change::Add, Some(_)) | (Change::Delete, None) => {}
        }
    }
    let (after, is_changed) = (elements.len(), elements.len() != before);
    if after > LABELS_MAX && change == Change::Add {
        let detail = format!("The resource would have more than {LABELS_MAX} labels of one kind.");
        return Err(ApiError::new(Category::TooLarge, detail));
    }
    if is_changed && meta.member_mut(&format!("_{list}")).is_some() {
        let detail =
            format!("`meta.{list}` has extensions on its values, which go by position. Change it by an update.");
        return Err(ApiError::new(Category::NotSupported, detail));
    }
    if is_changed {
        meta.set_member(list, known);
    }
    Ok(is_changed)
}

fn identity_of(label: &Tree) -> Option<String> {
    identity(&json::parse(&label.to_bytes()).ok()?)
}
