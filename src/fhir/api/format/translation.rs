//! Bodies from one format to another. Large ones take their time, so none is translated on a thread that serves others.

use bytes::Bytes;

use super::Asked;
use super::media::Format;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::xml::{self, Layout};
use crate::json::{self, Node};

/// The JSON of a body in XML.
///
/// # Errors
/// When it is not the XML of a resource.
pub(super) async fn json_of(text: Bytes) -> Result<Bytes, ApiError> {
    beside(move || match xml::read(&text) {
        Ok(resource) => Ok(Bytes::from(resource.to_string())),
        Err(error) => Err(ApiError::new(Category::Structure, format!("The body was refused at {error}"))),
    })
    .await
}

/// An answer in JSON, in the form that was asked for.
///
/// # Errors
/// When that form cannot hold it.
pub(super) async fn written(text: Bytes, asked: Asked) -> Result<Bytes, ApiError> {
    if text.is_empty() {
        return Ok(text);
    }
    beside(move || match asked.media.format {
        Format::Json if asked.pretty => Ok(json::pretty(&text).into()),
        Format::Json => Ok(text),
        Format::Xml => xml_of(&text, if asked.pretty { Layout::Pretty } else { Layout::Compact }),
    })
    .await
}

fn xml_of(text: &[u8], layout: Layout) -> Result<Bytes, ApiError> {
    let mut resource = json::parse(text).map_err(ApiError::internal)?;
    let mut written = xml::write(&resource, layout);
    if written.is_err() && leave_out(&mut resource) {
        written = xml::write(&resource, layout);
    }
    let written = written.map_err(|error| {
        ApiError::new(Category::NotAcceptable, format!("This has no XML, for {error}. Ask for JSON."))
    })?;
    Ok(written.into())
}

/// Puts an OperationOutcome in the place of each resource that has no XML, which one can be that was stored under the rules
/// of JSON alone: the others are to be read all the same. Gives whether there was any; only in a Bundle that this server
/// made, which unlike a stored one has no id.
fn leave_out(answer: &mut Node<'_>) -> bool {
    let is_made =
        answer.member("resourceType").and_then(Node::as_str) == Some("Bundle") && answer.member("id").is_none();
    let Node::Object(members) = answer else { return false };
    let entries = members.iter_mut().filter(|(name, _)| is_made && name == "entry");
    let entries = entries.flat_map(|(_, entries)| match entries {
        Node::Array(entries) => entries.as_mut_slice(),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) | Node::Object(_) => &mut [],
    });
    entries.map(excuse).filter(|is_excused| *is_excused).count() > 0
}

fn excuse(entry: &mut Node<'_>) -> bool {
    let Some(resource) = entry.member("resource") else { return false };
    let Err(error) = xml::write(resource, Layout::Compact) else { return false };
    let named = |name| resource.member(name).and_then(Node::as_str).unwrap_or_default();
    let (resource_type, id) = (named("resourceType"), named("id"));
    let detail = format!("`{resource_type}/{id}` is left out: it has no XML, for {error}. Ask for it in JSON.");
    let outcome = outcome(detail);
    let Node::Object(members) = entry else { return false };
    let mut replaced = |name: &str, value: Node<'static>| {
        if let Some((_, old)) = members.iter_mut().find(|(known, _)| known == name) {
            *old = value;
            return true;
        }
        false
    };
    // What was found is not what is there now; other entries say in their response how they ended.
    if replaced("search", object([("mode", Node::from("outcome"))])) {
        replaced("resource", outcome);
        members.retain(|(name, _)| name != "fullUrl");
        return true;
    }
    members.retain(|(name, _)| name != "resource");
    let response = members.iter_mut().find(|(name, _)| name == "response");
    if let Some((_, Node::Object(response))) = response {
        response.push(("outcome".into(), outcome));
    }
    true
}

fn outcome(detail: String) -> Node<'static> {
    let text = |text: &'static str| Node::from(text);
    let issue =
        [("severity", text("error")), ("code", text("not-supported")), ("diagnostics", Node::String(detail.into()))];
    object([("resourceType", text("OperationOutcome")), ("issue", Node::Array(vec![object(issue)]))])
}

fn object<const N: usize>(members: [(&'static str, Node<'static>); N]) -> Node<'static> {
    Node::Object(members.map(|(name, value)| (name.into(), value)).into())
}

async fn beside(work: impl FnOnce() -> Result<Bytes, ApiError> + Send + 'static) -> Result<Bytes, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}
