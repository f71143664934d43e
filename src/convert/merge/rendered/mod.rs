//! A resource that exists, and what its HandlebarsFhir template renders now.
//!
//! Members the template writes replace stored ones where they differ in meaning; others stay. Of an Observation, streams
//! merge slot by slot (OB-16), components are found by their codes, and the effective time grows to hold both (OB-10).
//! Whom a resource is about is decided when it is created and never changed here.

use super::super::content::{Boundary, Content};
use super::super::raw::{RawObject, elements};
use super::super::reading::ConversionFailure;
use super::super::rendered::{Rendered, render};
use super::super::trace::unmarked;
use super::effective::{components, effective, grown, move_streams, set_effective};
use super::meaning::{same_meaning, same_meaning_json};
use super::stream::merge_rendered;
use super::{ABSENT, Merge, Merged, STREAM, is_value};
use crate::json::{self, Node};
use crate::mapping::fhir::handlebars::HandlebarsFhir;
use crate::mapping::timestamp;

/// Merges what a template renders for a group into the resource stored under its identifier.
///
/// # Errors
/// When the template does not render, names another patient, or what is stored does not fit: another type of resource,
/// value or effective time (OB-10, OB-13), a stream of another scale or of several dimensions (OB-17).
pub(crate) fn merge(
    stored: &[u8],
    template: &HandlebarsFhir,
    content: &Content<'_>,
) -> Result<Merge, ConversionFailure> {
    let name = template.resource_type.as_str();
    let is_type = |object: &RawObject<'_>| object.get("resourceType") == Some(format!("\"{name}\"").as_str());
    let Some(mut resource) = RawObject::parse(stored).filter(is_type) else {
        return Err(ConversionFailure::not_supported(format!("what is stored is no {name}")));
    };
    let changed = if template.is_observation() {
        merge_observation(&mut resource, template, content)?
    } else {
        let rendered = render(template, content)?;
        merge_members(&mut resource, &parsed(&rendered.json)?, &rendered)
    };
    let outcome = if changed { Merged::Changed(resource.to_json().into_bytes()) } else { Merged::Unchanged };
    Ok(Merge { outcome, rejected: Vec::new() })
}

fn parsed(json: &str) -> Result<RawObject<'_>, ConversionFailure> {
    let failure = || ConversionFailure::not_supported("what was rendered names a member twice");
    RawObject::parse(json.as_bytes()).ok_or_else(failure)
}

fn merge_observation(
    observation: &mut RawObject<'_>,
    template: &HandlebarsFhir,
    content: &Content<'_>,
) -> Result<bool, ConversionFailure> {
    let stored = effective(observation)?;
    let issued = observation.get("issued").and_then(instant).unwrap_or(content.issued);
    // Rendered for the whole time it will cover, so that slots of new and stored readings are the same.
    let content = Content { boundary: grown(observation, stored, content.boundary)?, issued, ..content.clone() };
    let rendered = render(template, &content)?;
    let new = parsed(&rendered.json)?;
    let boundary = grown(observation, stored, effective(&new)?)?;
    let mut changed = stored != boundary;
    move_streams(observation, stored.start, boundary.start)?;
    changed |= merge_value(observation, &new, boundary)?;
    changed |= merge_components(observation, &new, boundary)?;
    changed |= merge_members(observation, &new, &rendered);
    if changed {
        set_effective(observation, boundary);
    }
    Ok(set_status(observation, &new, changed) || changed)
}

fn instant(json: &str) -> Option<jiff::Timestamp> {
    json::parse(json.as_bytes()).ok()?.as_str().and_then(timestamp::parse)
}

/// A change of what is final amends it; what is not final yet becomes what the template says.
fn set_status(observation: &mut RawObject<'_>, new: &RawObject<'_>, changed: bool) -> bool {
    let rendered = new.get("status").unwrap_or("\"final\"");
    let is_open = matches!(observation.get("status"), Some("\"registered\"" | "\"preliminary\""));
    let status = match (is_open, changed) {
        (true, true) if rendered == "\"final\"" => "\"amended\"",
        (true, _) => rendered,
        (false, true) => "\"amended\"",
        (false, false) => return false,
    };
    let differs = observation.get("status") != Some(status);
    if differs {
        observation.set("status", status.to_owned());
    }
    differs
}

/// Replaces the members that the template writes, that differ, and that have no rule of their own.
fn merge_members(resource: &mut RawObject<'_>, new: &RawObject<'_>, rendered: &Rendered) -> bool {
    let is_observation = resource.get("resourceType") == Some("\"Observation\"");
    let mut changed = false;
    for name in rendered.written.iter().filter(|name| !(is_observation && has_rule(name))) {
        let Some(json) = new.get(name) else { continue };
        let stored = resource.get(name);
        let merged = match name.as_str() {
            "resourceType" | "id" => None,
            "subject" | "patient" if stored.is_some() => None,
            "identifier" => with_identifiers(stored, json),
            "meta" => with_members(stored.map(unmarked).as_deref(), json),
            _ => differing(stored, json),
        };
        if let Some(merged) = merged {
            resource.set(name, merged);
            changed = true;
        }
    }
    changed
}

/// Whether a member of an Observation is merged in a way of its own, or never.
fn has_rule(name: &str) -> bool {
    matches!(name, "issued" | "status" | "encounter" | "component" | ABSENT)
        || is_value(name)
        || name.starts_with("effective")
}

fn differing(stored: Option<&str>, new: &str) -> Option<String> {
    let same = stored.is_some_and(|stored| same_meaning_json(stored, new));
    (!same).then(|| new.to_owned())
}

/// The stored identifiers and those that are not among them.
fn with_identifiers(stored: Option<&str>, new: &str) -> Option<String> {
    let Some(stored) = stored else { return Some(new.to_owned()) };
    // What is no list is one identifier, and the stored one stays.
    let (known, rendered) = (elements(stored)?, elements(new)?);
    let is_known = |one: &&str| known.iter().any(|known| same_meaning_json(known, one));
    let added: Vec<&str> = rendered.into_iter().filter(|one| !is_known(one)).collect();
    let all = || known.iter().copied().chain(added.iter().copied()).collect::<Vec<_>>().join(",");
    (!added.is_empty()).then(|| format!("[{}]", all()))
}

/// The stored object with other members; what only the server writes stays, as does what is not written now.
fn with_members(stored: Option<&str>, new: &str) -> Option<String> {
    let Some(stored) = stored else { return Some(new.to_owned()) };
    let (mut merged, new) = (RawObject::parse(stored.as_bytes())?, RawObject::parse(new.as_bytes())?);
    let mut changed = false;
    for name in new.names().filter(|name| !matches!(*name, "versionId" | "lastUpdated")) {
        if let Some(json) = new.get(name).and_then(|json| differing(merged.get(name), json)) {
            merged.set(name, json);
            changed = true;
        }
    }
    changed.then(|| merged.to_json())
}

/// Merges `value[x]` and `dataAbsentReason` of an Observation or component; says whether that changed it.
fn merge_value(holder: &mut RawObject<'_>, new: &RawObject<'_>, boundary: Boundary) -> Result<bool, ConversionFailure> {
    let stored = holder.names().find(|name| is_value(name)).map(str::to_owned);
    let rendered = new.names().find(|name| is_value(name));
    let stored_json = stored.as_deref().and_then(|name| holder.get(name)).map(str::to_owned);
    let merged = match (&stored, &stored_json, rendered) {
        (Some(stored), _, Some(rendered)) if stored != rendered => {
            let reason = format!("the value is stored as {stored}, the template renders {rendered}");
            return Err(ConversionFailure::not_supported(reason));
        }
        (_, Some(json), Some(STREAM)) => {
            let merged = merge_rendered(json, new.get(STREAM).unwrap_or_default(), boundary)?;
            merged.map(|json| (STREAM, json))
        }
        (_, json, Some(name)) => differing(json.as_deref(), new.get(name).unwrap_or_default()).map(|json| (name, json)),
        (_, _, None) => None,
    };
    let mut changed = merged.is_some();
    if let Some((name, json)) = merged {
        holder.set(name, json);
    }
    // A value is there or it is absent, never both; and one that came once is not absent because another batch lacks it.
    match (stored.is_some() || rendered.is_some(), new.get(ABSENT)) {
        (true, None) if rendered.is_some() && holder.get(ABSENT).is_some() => {
            holder.remove(ABSENT);
            changed = true;
        }
        (false, Some(reason)) => {
            if let Some(reason) = differing(holder.get(ABSENT), reason) {
                holder.set(ABSENT, reason);
                changed = true;
            }
        }
        (true | false, _) => {}
    }
    Ok(changed)
}

/// Merges components that have all codes of a rendered one, and appends those not found (OB-14).
fn merge_components(
    observation: &mut RawObject<'_>,
    new: &RawObject<'_>,
    boundary: Boundary,
) -> Result<bool, ConversionFailure> {
    let list = |object: &RawObject<'_>| -> Result<Vec<String>, ConversionFailure> {
        Ok(components(object)?.into_iter().map(str::to_owned).collect())
    };
    let (mut stored, rendered) = (list(observation)?, list(new)?);
    let mut partners: Vec<Option<String>> = vec![None; stored.len()];
    let mut added = Vec::new();
    for component in rendered {
        let is_free = |(_, partner): &(&String, &mut Option<String>)| partner.is_none();
        let mut free = stored.iter().zip(&mut partners).filter(is_free);
        match free.find(|(stored, _)| is_same_component(stored, &component)) {
            Some((_, partner)) => *partner = Some(component),
            None => added.push(component),
        }
    }
    let mut changed = !added.is_empty();
    for (json, partner) in stored.iter_mut().zip(partners) {
        let Some(partner) = partner else { continue };
        let text = json.clone();
        let mut holder = component(&text)?;
        if merge_component(&mut holder, &component(&partner)?, boundary)? {
            *json = holder.to_json();
            changed = true;
        }
    }
    if changed {
        stored.append(&mut added);
        observation.set("component", format!("[{}]", stored.join(",")));
    }
    Ok(changed)
}

fn component(json: &str) -> Result<RawObject<'_>, ConversionFailure> {
    RawObject::parse(json.as_bytes()).ok_or_else(|| ConversionFailure::not_supported("a component is not an object"))
}

fn merge_component(
    holder: &mut RawObject<'_>,
    new: &RawObject<'_>,
    boundary: Boundary,
) -> Result<bool, ConversionFailure> {
    let mut changed = merge_value(holder, new, boundary)?;
    for name in new.names().filter(|name| !is_value(name) && !matches!(*name, "code" | ABSENT)) {
        if let Some(json) = new.get(name).and_then(|json| differing(holder.get(name), json)) {
            holder.set(name, json);
            changed = true;
        }
    }
    Ok(changed)
}

/// Whether a stored component has every coding of a rendered one; without any, whether their codes mean the same. One
/// shared coding is not enough: components of a panel often share the panel's.
fn is_same_component(stored: &str, rendered: &str) -> bool {
    let (Ok(stored), Ok(rendered)) = (json::parse(stored.as_bytes()), json::parse(rendered.as_bytes())) else {
        return false;
    };
    let (Some(stored), Some(rendered)) = (stored.member("code"), rendered.member("code")) else { return false };
    let codings = |code: &Node<'_>| code.member("coding").map_or(0, |codings| codings.elements().len());
    if codings(rendered) == 0 {
        return same_meaning(stored, rendered);
    }
    let known = stored.member("coding").map_or(&[][..], Node::elements);
    let names = |coding: &Node<'_>, other: &Node<'_>| {
        ["system", "code"].into_iter().all(|name| coding.member(name) == other.member(name))
    };
    let rendered = rendered.member("coding").map_or(&[][..], Node::elements);
    rendered.iter().all(|coding| known.iter().any(|other| names(coding, other)))
}

#[cfg(test)]
mod tests;
