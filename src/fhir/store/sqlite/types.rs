//! Resource types and the ranges of numbers of their resources.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use rusqlite::Connection;

use crate::r4::resource_type::ResourceType;

/// Bits of a resource's number that are its place among those of its type.
const SEQUENCE_BITS: u32 = 40;

/// The numbers of all resource types, fixed when the store opens.
#[derive(Debug)]
pub(super) struct Types(HashMap<ResourceType, i64>);

impl Types {
    /// Reads them, and adds those that the file does not know.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut numbers = HashMap::new();
        for resource_type in ResourceType::all() {
            let name = resource_type.as_str();
            connection.prepare_cached("INSERT OR IGNORE INTO resource_types(name) VALUES (?1)")?.execute([name])?;
            let number = connection
                .prepare_cached("SELECT id FROM resource_types WHERE name = ?1")?
                .query_row([name], |row| row.get(0))?;
            numbers.insert(resource_type, number);
        }
        Ok(Self(numbers))
    }

    /// The number of a type; `load` has given one to each.
    pub(super) fn number(&self, resource_type: ResourceType) -> i64 {
        self.0.get(&resource_type).copied().unwrap_or_default()
    }

    /// The type of the resource with this number.
    pub(super) fn type_of(&self, resource: i64) -> Option<ResourceType> {
        let number = resource >> SEQUENCE_BITS;
        self.0.iter().find_map(|(resource_type, known)| (*known == number).then_some(*resource_type))
    }

    /// The numbers that resources of a type can have.
    pub(super) fn resources(&self, resource_type: ResourceType) -> RangeInclusive<i64> {
        let first = self.number(resource_type) << SEQUENCE_BITS;
        first..=first | ((1 << SEQUENCE_BITS) - 1)
    }
}
