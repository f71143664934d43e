//! Hierarchies of resources: rooms of a ward of a clinic, parts of a stay.
//!
//! A resource that names a whole is in the index under it, so parts are found there level by level; wholes are read from
//! the resources themselves. A ring does no harm: each resource is met once.

use std::collections::HashSet;

use super::filter::{local_id, reference_text, targets_of};
use super::find::number_of_resource;
use super::names::text_of;
use super::read::Reading;
use crate::fhir::store::interface::StoreError;
use crate::fhir::store::{Direction, Hierarchy};
use crate::r4::resource_type::ResourceType;

/// Most resources of a hierarchy: beds of several large hospitals.
const MEMBERS_MAX: usize = 20_000;

/// The numbers of the texts by which something may point into a hierarchy.
pub(super) fn references(reading: Reading<'_>, hierarchy: &Hierarchy) -> Result<HashSet<i64>, StoreError> {
    let Hierarchy { start, resource_type, whole, direction } = hierarchy;
    let whole = reading.number_of_parameter(*resource_type, whole)?;
    let mut members = HashSet::new();
    let mut waiting = vec![start.clone()];
    while let Some(member) = waiting.pop() {
        if let Some(whole) = whole
            && !members.contains(&member)
        {
            waiting.extend(match direction {
                Direction::Below => parts(reading, *resource_type, whole, &member)?,
                Direction::Above => wholes(reading, *resource_type, whole, &member)?,
            });
        }
        members.insert(member);
        if members.len() > MEMBERS_MAX {
            let why = format!("the hierarchy of `{start}` has more than {MEMBERS_MAX} members; start at a part of it");
            return Err(StoreError::Codes(why));
        }
    }
    let mut numbers = HashSet::new();
    for member in &members {
        numbers.extend(reading.number_of(member)?);
    }
    Ok(numbers)
}

fn parts(
    reading: Reading<'_>,
    resource_type: ResourceType,
    whole: i64,
    member: &str,
) -> Result<Vec<String>, StoreError> {
    let Some(member) = reading.number_of(member)? else {
        return Ok(Vec::new());
    };
    let mut statement = reading.connection.prepare_cached(PARTS)?;
    let ids = statement.query_map((whole, member), |row| row.get::<_, String>(0))?;
    Ok(ids.map(|id| id.map(|id| reference_text(resource_type, &id))).collect::<Result<_, _>>()?)
}

fn wholes(
    reading: Reading<'_>,
    resource_type: ResourceType,
    whole: i64,
    member: &str,
) -> Result<Vec<String>, StoreError> {
    let number = local_id(member, resource_type).map(|id| number_of_resource(reading, resource_type, id));
    let Some(number) = number.transpose()?.flatten() else {
        return Ok(Vec::new());
    };
    let mut wholes = Vec::new();
    for target in targets_of(reading, number, whole)? {
        wholes.extend(text_of(reading.connection, target)?);
    }
    Ok(wholes)
}

const PARTS: &str = "SELECT r.id FROM index_reference i JOIN resources r ON r.number = i.resource
    WHERE i.parameter = ?1 AND i.target = ?2 AND r.method <> 4";
