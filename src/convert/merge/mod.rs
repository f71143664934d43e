//! An Observation that exists and the measurements that arrived since (section 8 of the mapping specification).
//!
//! The stored resource is taken apart only as far as it changes; every other member leaves byte for byte as it came
//! (OB-9). Whether something changes is decided by meaning: instants and decimals by value, objects without regard to
//! the order of members (OB-11). A server may therefore spell things its own way without causing a new version for
//! every redelivery.

pub(super) mod effective;
mod meaning;
pub(crate) mod rendered;
mod stream;

use std::borrow::Cow;

use self::effective::{components, effective, grown, move_streams, set_effective};
use self::meaning::same_meaning_json;
use self::stream::merge_samples;
use super::content::{Boundary, Content};
use super::observation::{value_member, write_category, write_component, write_value};
use super::raw::RawObject;
use super::reading::{ConversionFailure, Reading, Readings, convert};
use crate::json::{self, Node};
use crate::mapping::fhir::code_value::{CodeValueFhir, ValueKind, ValueTemplate};

const STREAM: &str = "valueSampledData";
const ABSENT: &str = "dataAbsentReason";

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
    let boundary = grown(&observation, stored_boundary, content.boundary)?;
    let mut changed = boundary != stored_boundary;
    move_streams(&mut observation, stored_boundary.start, boundary.start)?;
    changed |= merge_category(&mut observation, template);
    if let Some((value, reading)) = template.value.as_ref().zip(readings.value.as_ref()) {
        changed |= merge_value(&mut observation, value, reading, boundary)?;
    }
    changed |= merge_components(&mut observation, template, &readings, (&content.identifier.system, boundary))?;
    let outcome = if changed {
        set_effective(&mut observation, boundary);
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
    reading: &Reading<'_>,
    boundary: Boundary,
) -> Result<bool, ConversionFailure> {
    let member = value_member(&template.kind);
    let merged = match holder.get(member) {
        Some(stored) => merged_value(stored, template, reading, boundary)?,
        None => {
            if let Some(other) = value_types(holder).find(|stored| *stored != member) {
                let reason = format!("value `{}` is stored as {other}, the template says {member}", template.name);
                return Err(ConversionFailure::not_supported(reason));
            }
            Some(rendered(template, reading, boundary)?)
        }
    };
    let Some(merged) = merged else { return Ok(false) };
    // A value is there or it is absent, never both (obs-6 of [Observation](http://hl7.org/fhir/R4/observation.html)).
    holder.remove(ABSENT);
    holder.set(member, merged);
    Ok(true)
}

/// The names of the choice element `value[x]` that are there, with a value or only with extensions of one.
fn value_types<'h>(holder: &'h RawObject<'_>) -> impl Iterator<Item = &'h str> {
    holder.names().map(|name| name.strip_prefix('_').unwrap_or(name)).filter(|name| is_value(name))
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
fn merged_value(
    stored: &str,
    template: &ValueTemplate,
    reading: &Reading<'_>,
    boundary: Boundary,
) -> Result<Option<String>, ConversionFailure> {
    if let (ValueKind::SampledData { period, unit }, Reading::Samples(samples)) = (&template.kind, reading) {
        return merge_samples(stored, (period, unit.as_deref()), samples, boundary);
    }
    let new = rendered(template, reading, boundary)?;
    let is_same = match template.kind {
        // A text is what it is, also when it looks like a time.
        ValueKind::String => json::parse(stored.as_bytes()).ok() == json::parse(new.as_bytes()).ok(),
        ValueKind::SampledData { .. }
        | ValueKind::Quantity(_)
        | ValueKind::CodeableConcept { .. }
        | ValueKind::DateTime
        | ValueKind::Boolean
        | ValueKind::Integer
        | ValueKind::Range { .. }
        | ValueKind::Ratio { .. } => same_meaning_json(stored, &new),
    };
    Ok((!is_same).then_some(new))
}

/// A component of a stored Observation.
struct StoredComponent<'s> {
    json: Cow<'s, str>,
    object: Option<RawObject<'s>>,
    /// The value names it is coded with, none once it has its readings.
    names: Vec<String>,
}

impl<'s> StoredComponent<'s> {
    fn read(json: &'s str, system: &str) -> Self {
        let object = RawObject::parse(json.as_bytes());
        let code = object.as_ref().and_then(|object| object.get("code"));
        let names = code.map(|code| own_names(code, system)).unwrap_or_default();
        Self { json: Cow::Borrowed(json), object, names }
    }
}

/// The codes of the product's own codings (OB-14).
fn own_names(code: &str, system: &str) -> Vec<String> {
    let Ok(code) = json::parse(code.as_bytes()) else { return Vec::new() };
    let text = |coding: &Node<'_>, name| coding.member(name).and_then(Node::as_str).map(str::to_owned);
    let codings = code.member("coding").map_or(&[][..], Node::elements).iter();
    codings
        .filter(|coding| text(coding, "system").as_deref() == Some(system))
        .filter_map(|coding| text(coding, "code"))
        .collect()
}

/// Merges the components that have readings and appends those not found (OB-14); says whether that changed them.
///
/// Of several with one name the first in the template is the first that is stored, and so on.
fn merge_components(
    observation: &mut RawObject<'_>,
    template: &CodeValueFhir,
    readings: &Readings<'_>,
    (system, boundary): (&str, Boundary),
) -> Result<bool, ConversionFailure> {
    if readings.components.is_empty() {
        return Ok(false);
    }
    let stored: Vec<String> = components(observation)?.into_iter().map(str::to_owned).collect();
    let mut stored: Vec<StoredComponent<'_>> = stored.iter().map(|json| StoredComponent::read(json, system)).collect();
    let mut changed = false;
    for component in &template.components {
        let name = &component.value.name;
        let reading = readings.components.iter().find(|(with_reading, _)| std::ptr::eq(*with_reading, component));
        let found = stored.iter_mut().find(|stored| stored.names.contains(name));
        let Some((_, reading)) = reading else {
            found.into_iter().for_each(|stored| stored.names.clear());
            continue;
        };
        if let Some(stored) = found {
            stored.names.clear();
            if let Some(object) = &mut stored.object
                && merge_value(object, &component.value, reading, boundary)?
            {
                stored.json = Cow::Owned(object.to_json());
                changed = true;
            }
        } else {
            let mut json = String::new();
            write_component(&mut json, component, reading, (system, boundary))?;
            stored.push(StoredComponent { json: Cow::Owned(json), object: None, names: Vec::new() });
            changed = true;
        }
    }
    if changed {
        let all: Vec<&str> = stored.iter().map(|component| component.json.as_ref()).collect();
        observation.set("component", format!("[{}]", all.join(",")));
    }
    Ok(changed)
}

#[cfg(test)]
mod tests;
