//! An Observation that exists and the measurements that arrived since (section 8 of the mapping specification).
//!
//! The stored resource is taken apart only as far as it changes; every other member leaves byte for byte as it came
//! (OB-9). Whether something changes is decided by meaning: instants and decimals by value, objects without regard to
//! the order of members (OB-11). A server may therefore spell things its own way without causing a new version for
//! every redelivery.

pub(crate) mod rendered;

use super::content::{Boundary, Content};
use super::json_text::write_string;
use super::observation::{value_member, write_category, write_component, write_period, write_value};
use super::raw::{RawObject, elements};
use super::reading::{ConversionFailure, Reading, convert};
use super::sampled_data::{Sample, decode, samples_of, slots, write_stream};
use crate::json::{self, Node};
use crate::mapping::decimal::same;
use crate::mapping::fhir::code_value::{CodeValueFhir, ValueKind, ValueTemplate};
use crate::mapping::{SamplePeriod, timestamp};

/// What became of a stored Observation.
#[derive(Debug)]
pub(crate) struct Merge {
    /// Whether there is something to write.
    pub(crate) outcome: Merged,
    /// Readings that are not in it, because they do not convert.
    pub(crate) rejected: Vec<ConversionFailure>,
}

/// Whether a merge leaves something to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// The stored Observation says it all already.
    Unchanged,
    /// The resource to write in its place.
    Changed(Vec<u8>),
}

/// Merges the readings of a group into the Observation stored under its identifier.
///
/// # Errors
/// When a value has readings and none of them converts, or when what is stored does not fit: another type of value or
/// effective time (OB-10, OB-13), more than one dimension (OB-17). Nothing is to be written then.
pub(crate) fn merge(
    stored: &[u8],
    template: &CodeValueFhir,
    content: &Content<'_>,
) -> Result<Merge, ConversionFailure> {
    let readings = convert(template, content)?;
    let Some(mut observation) = RawObject::parse(stored).filter(is_observation) else {
        return Err(ConversionFailure::not_supported("what is stored is not an Observation"));
    };
    let stored_boundary = effective(&observation)?;
    let frame = Frame { stored: stored_boundary, merged: stored_boundary.union(content.boundary) };
    let mut changed = frame.stored != frame.merged;
    changed |= merge_category(&mut observation, template);
    if let Some(value) = &template.value {
        changed |= merge_value(&mut observation, value, readings.value.as_ref(), frame)?;
    }
    let by_name = |name: &str| readings.components.iter().find(|(component, _)| component.value.name == name);
    changed |= Components::of(&observation)?
        .merge(&mut observation, template, content, frame, |name| by_name(name).map(|(_, reading)| reading))?;
    let outcome = if changed {
        set_effective(&mut observation, frame.merged);
        observation.set("status", "\"amended\"".to_owned());
        Merged::Changed(observation.to_json().into_bytes())
    } else {
        Merged::Unchanged
    };
    Ok(Merge { outcome, rejected: readings.rejected })
}

fn is_observation(object: &RawObject<'_>) -> bool {
    object.get("resourceType") == Some("\"Observation\"")
}

/// The boundary as stored and as it will be.
#[derive(Clone, Copy)]
struct Frame {
    stored: Boundary,
    merged: Boundary,
}

/// The stored boundary (OB-10).
pub(super) fn effective(observation: &RawObject<'_>) -> Result<Boundary, ConversionFailure> {
    let instant = observation.get("effectiveDateTime").xor(observation.get("effectiveInstant"));
    let boundary = match (observation.get("effectivePeriod"), instant) {
        (Some(period), None) => json::parse(period.as_bytes()).ok().and_then(|period| {
            let instant = |name| period.member(name).and_then(Node::as_str).and_then(timestamp::parse);
            instant("start").zip(instant("end"))
        }),
        (None, Some(date_time)) => {
            let node = json::parse(date_time.as_bytes()).ok();
            node.and_then(|node| node.as_str().and_then(timestamp::parse)).map(|at| (at, at))
        }
        (None, None) | (Some(_), Some(_)) => None,
    };
    boundary
        .map(|(start, end)| Boundary { start, end })
        .ok_or_else(|| ConversionFailure::not_supported("the stored Observation has no effective period or instant"))
}

/// Always a period; members of a stored one that are not times stay.
fn set_effective(observation: &mut RawObject<'_>, boundary: Boundary) {
    if effective(observation).is_ok_and(|stored| stored == boundary) && observation.get("effectivePeriod").is_some() {
        return;
    }
    let mut written = String::new();
    write_period(&mut written, boundary);
    let stored = observation.get("effectivePeriod").map(str::to_owned);
    let mut period = stored.as_deref().and_then(|stored| RawObject::parse(stored.as_bytes()));
    if let (Some(period), Some(new)) = (&mut period, RawObject::parse(written.as_bytes())) {
        for name in ["start", "end"] {
            period.set(name, new.get(name).unwrap_or_default().to_owned());
        }
    }
    let period = period.map(|period| period.to_json());
    for name in ["effectiveDateTime", "_effectiveDateTime", "effectiveInstant", "_effectiveInstant"] {
        observation.remove(name);
    }
    observation.set("effectivePeriod", period.unwrap_or(written));
}

/// Always the template's categories (OB-8).
fn merge_category(observation: &mut RawObject<'_>, template: &CodeValueFhir) -> bool {
    let stored = observation.get("category");
    if template.category.is_empty() {
        let removed = stored.is_some();
        observation.remove("category");
        return removed;
    }
    let mut category = String::new();
    write_category(&mut category, &template.category);
    let changed = stored.is_none_or(|stored| !same_meaning_json(stored, &category));
    if changed {
        observation.set("category", category);
    }
    changed
}

/// Merges a reading into the value of an Observation or component; says whether that changed it.
fn merge_value(
    holder: &mut RawObject<'_>,
    template: &ValueTemplate,
    reading: Option<&Reading<'_>>,
    frame: Frame,
) -> Result<bool, ConversionFailure> {
    let member = value_member(&template.kind);
    let stored = holder.names().find(|name| is_value(name)).map(str::to_owned);
    let stored_json = holder.get(member).map(str::to_owned);
    match (stored, stored_json, reading) {
        (None, _, None) => Ok(false),
        (None, _, Some(reading)) => {
            holder.set(member, rendered(template, reading, frame.merged)?);
            Ok(true)
        }
        (Some(_), Some(json), reading) => {
            let merged = merge_into(&json, template, reading, frame)?;
            let changed = merged.is_some();
            if let Some(merged) = merged {
                holder.set(member, merged);
            }
            Ok(changed)
        }
        (Some(_), None, None) => Ok(false),
        (Some(name), None, Some(_)) => {
            let reason = format!("value `{}` is stored as {name}, the template says {member}", template.name);
            Err(ConversionFailure::not_supported(reason))
        }
    }
}

/// Whether a member is the choice element `value[x]`.
fn is_value(name: &str) -> bool {
    let kind = name.strip_prefix("value");
    kind.is_some_and(|kind| kind.starts_with(|first: char| first.is_ascii_uppercase()))
}

fn rendered(template: &ValueTemplate, reading: &Reading<'_>, boundary: Boundary) -> Result<String, ConversionFailure> {
    let mut json = String::new();
    write_value(&mut json, &template.kind, reading, boundary)?;
    Ok(json)
}

/// The value to write in place of a stored one of the same kind; `None` when that one says it already.
fn merge_into(
    stored: &str,
    template: &ValueTemplate,
    reading: Option<&Reading<'_>>,
    frame: Frame,
) -> Result<Option<String>, ConversionFailure> {
    match (&template.kind, reading) {
        (ValueKind::SampledData { period, unit }, Some(Reading::Samples(samples))) => {
            merge_samples(stored, period, unit.as_deref(), samples_of(samples), frame)
        }
        // Samples are placed from the start of the effective time. When that moves, they must be placed anew.
        (ValueKind::SampledData { period, unit }, None) if frame.merged.start != frame.stored.start => {
            merge_samples(stored, period, unit.as_deref(), Vec::new(), frame)
        }
        (_, Some(reading)) => {
            let new = rendered(template, reading, frame.merged)?;
            Ok((!same_meaning_json(stored, &new)).then_some(new))
        }
        (_, None) => Ok(None),
    }
}

/// Merges samples into a stored stream (OB-16 to OB-19).
fn merge_samples(
    stored_json: &str,
    period: &SamplePeriod,
    unit: Option<&str>,
    new: Vec<Sample<'_>>,
    frame: Frame,
) -> Result<Option<String>, ConversionFailure> {
    let node = json::parse(stored_json.as_bytes()).ok();
    let stored = node.as_ref().ok_or_else(|| ConversionFailure::not_supported("the stored SampledData is not JSON"))?;
    let stored_period = stored_period(stored)?;
    let data = stored.member("data").and_then(Node::as_str).unwrap_or_default();
    let mut samples = decode(data, frame.stored.start, &stored_period);
    // After the stored ones, so that of equal times the new one is the last and wins.
    samples.extend(new);
    let slots = slots(frame.merged, period, samples)?;
    let stored_unit = stored.member("origin").and_then(|origin| origin.member("unit")).and_then(Node::as_str);
    let unit = unit.filter(|unit| !unit.trim().is_empty());
    let same_frame = frame.stored.start == frame.merged.start && stored_period == *period && stored_unit == unit;
    if same_frame && same_slots(data, &slots) {
        return Ok(None);
    }
    Ok(replaced_stream(stored_json, period, unit, &slots))
}

/// The period of a stored stream, if it is one this product can add to.
fn stored_period(stored: &Node<'_>) -> Result<SamplePeriod, ConversionFailure> {
    let number = |node: &Node<'_>, name: &str| node.member(name).and_then(Node::as_number).map(str::to_owned);
    if number(stored, "dimensions").is_some_and(|dimensions| !same(&dimensions, "1")) {
        return Err(ConversionFailure::not_supported("the stored SampledData has more than one dimension"));
    }
    let origin = stored.member("origin").and_then(|origin| number(origin, "value"));
    let is_scaled = number(stored, "factor").is_some_and(|factor| !same(&factor, "1"))
        || origin.is_some_and(|origin| !same(&origin, "0"));
    if is_scaled {
        // Its tokens are in another scale than new ones; side by side they would mean something else.
        return Err(ConversionFailure::not_supported("the stored SampledData has an origin or factor"));
    }
    let period = number(stored, "period").and_then(|period| SamplePeriod::parse(&period));
    period.ok_or_else(|| ConversionFailure::not_supported("the stored SampledData has no usable period"))
}

fn same_slots(stored: &str, slots: &[&str]) -> bool {
    let mut tokens = stored.split_ascii_whitespace();
    let all_same = slots.iter().all(|slot| tokens.next().is_some_and(|token| same(token, slot)));
    all_same && tokens.next().is_none()
}

/// The stored SampledData with another stream; members such as limits stay.
fn replaced_stream(stored: &str, period: &SamplePeriod, unit: Option<&str>, slots: &[&str]) -> Option<String> {
    let mut sampled_data = RawObject::parse(stored.as_bytes())?;
    let stored_origin = sampled_data.get("origin").unwrap_or(r#"{"value":0}"#).to_owned();
    let mut origin = RawObject::parse(stored_origin.as_bytes())?;
    match unit {
        Some(unit) => {
            let mut json = String::new();
            write_string(&mut json, unit);
            origin.set("unit", json);
        }
        None => origin.remove("unit"),
    }
    sampled_data.set("origin", origin.to_json());
    sampled_data.set("period", period.as_str().to_owned());
    let mut stream = String::new();
    write_stream(&mut stream, slots);
    sampled_data.set("data", stream);
    Some(sampled_data.to_json())
}

/// The components of a stored Observation, as JSON.
struct Components {
    json: Vec<String>,
}

impl Components {
    fn of(observation: &RawObject<'_>) -> Result<Self, ConversionFailure> {
        let stored = observation.get("component").map_or(Some(Vec::new()), elements);
        let stored =
            stored.ok_or_else(|| ConversionFailure::not_supported("the stored components are not an array"))?;
        Ok(Self { json: stored.into_iter().map(str::to_owned).collect() })
    }

    /// Merges the components that have readings and appends those not found (OB-14); says whether that changed them.
    fn merge<'r, 'c: 'r>(
        mut self,
        observation: &mut RawObject<'_>,
        template: &CodeValueFhir,
        content: &Content<'_>,
        frame: Frame,
        reading_of: impl Fn(&str) -> Option<&'r Reading<'c>>,
    ) -> Result<bool, ConversionFailure> {
        let merged_content = Content { boundary: frame.merged, ..content.clone() };
        let mut changed = false;
        for component in &template.components {
            let name = &component.value.name;
            let reading = reading_of(name);
            let found = self.json.iter_mut().find(|json| is_coded(json, &content.identifier.system, name));
            match (found, reading) {
                (Some(json), reading) => {
                    let stored = json.clone();
                    let mut holder = RawObject::parse(stored.as_bytes())
                        .ok_or_else(|| ConversionFailure::not_supported("a stored component is not an object"))?;
                    if merge_value(&mut holder, &component.value, reading, frame)? {
                        *json = holder.to_json();
                        changed = true;
                    }
                }
                (None, Some(reading)) => {
                    let mut json = String::new();
                    write_component(&mut json, component, reading, &merged_content)?;
                    self.json.push(json);
                    changed = true;
                }
                (None, None) => {}
            }
        }
        if changed {
            observation.set("component", format!("[{}]", self.json.join(",")));
        }
        Ok(changed)
    }
}

/// Whether a component carries the product's own coding for a value name.
fn is_coded(component: &str, system: &str, name: &str) -> bool {
    let Ok(node) = json::parse(component.as_bytes()) else {
        return false;
    };
    let codings = node.member("code").and_then(|code| code.member("coding")).map_or(&[][..], Node::elements);
    codings.iter().any(|coding| {
        let is = |member, value| coding.member(member).and_then(Node::as_str) == Some(value);
        is("system", system) && is("code", name)
    })
}

fn same_meaning_json(left: &str, right: &str) -> bool {
    match (json::parse(left.as_bytes()), json::parse(right.as_bytes())) {
        (Ok(left), Ok(right)) => same_meaning(&left, &right),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    }
}

/// Numbers and instants by value, objects without regard to order, everything else as it is.
fn same_meaning(left: &Node<'_>, right: &Node<'_>) -> bool {
    match (left, right) {
        (Node::Number(left), Node::Number(right)) => same(left, right),
        (Node::Array(left), Node::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_meaning(left, right))
        }
        (Node::Object(members), Node::Object(others)) => {
            let in_both = |(name, value): &(_, Node<'_>)| {
                let name: &std::borrow::Cow<'_, str> = name;
                right.member(name).is_some_and(|other| same_meaning(value, other))
            };
            members.len() == others.len() && members.iter().all(in_both)
        }
        (Node::String(left), Node::String(right)) => left == right || same_instant(left, right),
        (left, right) => left == right,
    }
}

/// Whether both are date-times of FHIR with a zone, for the same instant. Dates without time are no instants.
fn same_instant(left: &str, right: &str) -> bool {
    let instant = |text: &str| text.parse::<jiff::Timestamp>().ok();
    instant(left).zip(instant(right)).is_some_and(|(left, right)| left == right)
}

#[cfg(test)]
mod tests;
