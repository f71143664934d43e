//! A resource that exists, and what its HandlebarsFhir template renders now.
//!
//! Members the template writes replace stored ones where they differ in meaning; others stay. Of an Observation, streams
//! merge slot by slot (OB-16), components are found by their codes, and the effective time grows to hold both (OB-10).
//! Whom a resource is about is decided when it is created and never changed here.

use super::super::content::{Boundary, Content};
use super::super::raw::{RawObject, elements};
use super::super::reading::ConversionFailure;
use super::super::rendered::{Rendered, render};
use super::super::sampled_data::{decode, slots, write_stream};
use super::super::trace::unmarked;
use super::{Frame, Merge, Merged, effective, is_value, same_meaning, same_meaning_json, same_slots, set_effective};
use crate::json::{self, Node};
use crate::mapping::decimal::same;
use crate::mapping::fhir::handlebars::HandlebarsFhir;
use crate::mapping::{SamplePeriod, timestamp};

const STREAM: &str = "valueSampledData";

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
    let content = Content { boundary: stored.union(content.boundary), issued, ..content.clone() };
    let rendered = render(template, &content)?;
    let new = parsed(&rendered.json)?;
    let frame = Frame { stored, merged: stored.union(effective(&new)?) };
    let mut changed = frame.stored != frame.merged;
    changed |= merge_value(observation, &new, frame)?;
    changed |= merge_components(observation, &new, frame)?;
    changed |= merge_members(observation, &new, &rendered);
    if changed {
        set_effective(observation, frame.merged);
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

const ABSENT: &str = "dataAbsentReason";

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
fn merge_value(holder: &mut RawObject<'_>, new: &RawObject<'_>, frame: Frame) -> Result<bool, ConversionFailure> {
    let stored = holder.names().find(|name| is_value(name)).map(str::to_owned);
    let rendered = new.names().find(|name| is_value(name));
    let stored_json = stored.as_deref().and_then(|name| holder.get(name)).map(str::to_owned);
    let merged = match (&stored, &stored_json, rendered) {
        (Some(stored), _, Some(rendered)) if stored != rendered => {
            let reason = format!("the value is stored as {stored}, the template renders {rendered}");
            return Err(ConversionFailure::not_supported(reason));
        }
        (_, Some(json), Some(STREAM)) => merge_stream(json, new.get(STREAM), frame)?.map(|json| (STREAM, json)),
        (Some(name), Some(json), None) if name == STREAM => merge_stream(json, None, frame)?.map(|json| (STREAM, json)),
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
    frame: Frame,
) -> Result<bool, ConversionFailure> {
    let not_a_list = || ConversionFailure::not_supported("the components are not an array");
    let list = |json: Option<&str>| -> Result<Vec<String>, ConversionFailure> {
        let elements = json.map_or(Some(Vec::new()), elements).ok_or_else(not_a_list)?;
        Ok(elements.into_iter().map(str::to_owned).collect())
    };
    let (mut stored, rendered) = (list(observation.get("component"))?, list(new.get("component"))?);
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
        let text = json.clone();
        let mut holder = component(&text)?;
        let partner = partner.unwrap_or_else(|| "{}".to_owned());
        if merge_component(&mut holder, &component(&partner)?, frame)? {
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

fn merge_component(holder: &mut RawObject<'_>, new: &RawObject<'_>, frame: Frame) -> Result<bool, ConversionFailure> {
    let mut changed = merge_value(holder, new, frame)?;
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

/// What a stream is counted and scaled by.
struct Scale {
    period: SamplePeriod,
    factor: String,
    origin: String,
}

impl Scale {
    fn of(stream: &Node<'_>) -> Result<Self, ConversionFailure> {
        let number =
            |node: Option<&Node<'_>>, missing: &str| node.and_then(Node::as_number).unwrap_or(missing).to_owned();
        if !same(&number(stream.member("dimensions"), "1"), "1") {
            return Err(ConversionFailure::not_supported("a SampledData has more than one dimension"));
        }
        let period = SamplePeriod::parse(&number(stream.member("period"), ""));
        Ok(Self {
            period: period.ok_or_else(|| ConversionFailure::not_supported("a SampledData has no usable period"))?,
            factor: number(stream.member("factor"), "1"),
            origin: number(stream.member("origin").and_then(|origin| origin.member("value")), "0"),
        })
    }
}

/// The stream to write in place of a stored one; `None` when that one says it already.
///
/// Without a new one its readings only move with the start of the effective time (OB-16).
fn merge_stream(stored_json: &str, new_json: Option<&str>, frame: Frame) -> Result<Option<String>, ConversionFailure> {
    let moves = frame.stored.start != frame.merged.start;
    if !moves && new_json.is_none_or(|new| same_meaning_json(stored_json, new)) {
        return Ok(None);
    }
    let not_json = || ConversionFailure::not_supported("a SampledData is not JSON");
    let new_json = new_json.unwrap_or(stored_json);
    let (Ok(stored), Ok(new)) = (json::parse(stored_json.as_bytes()), json::parse(new_json.as_bytes())) else {
        return Err(not_json());
    };
    let (old_scale, scale) = (Scale::of(&stored)?, Scale::of(&new)?);
    if !same(&old_scale.factor, &scale.factor) || !same(&old_scale.origin, &scale.origin) {
        // Tokens in another scale, side by side with stored ones, would mean something else.
        return Err(ConversionFailure::not_supported("the stored SampledData has another origin or factor"));
    }
    fn data<'n>(stream: &'n Node<'_>) -> &'n str {
        stream.member("data").and_then(Node::as_str).unwrap_or_default()
    }
    let mut samples = decode(data(&stored), frame.stored.start, &old_scale.period);
    if !std::ptr::eq(stored_json, new_json) {
        // After the stored ones, so that of equal times the new one is the last and wins.
        samples.extend(decode(data(&new), frame.merged.start, &scale.period));
    }
    let last = samples.iter().map(|(at_ns, _)| *at_ns).max().and_then(|at| jiff::Timestamp::from_nanosecond(at).ok());
    let end = last.map_or(frame.merged.end, |last| last.max(frame.merged.end));
    let slots = slots(Boundary { start: frame.merged.start, end }, &scale.period, samples)?;
    let mut merged = RawObject::parse(stored_json.as_bytes()).ok_or_else(not_json)?;
    let mut changed = moves || !same_slots(data(&stored), &slots);
    let new = RawObject::parse(new_json.as_bytes()).ok_or_else(not_json)?;
    for name in new.names().filter(|name| *name != "data") {
        if let Some(json) = new.get(name).and_then(|json| differing(merged.get(name), json)) {
            merged.set(name, json);
            changed = true;
        }
    }
    let mut stream = String::new();
    write_stream(&mut stream, &slots);
    merged.set("data", stream);
    Ok(changed.then(|| merged.to_json()))
}

#[cfg(test)]
mod tests;
