//! A condition made ready for this store, and checked against one resource at a time.
//!
//! Texts are replaced by their numbers; a text that was never stored matches nothing. Conditions on linked resources are
//! answered in one of two ways: when few resources fulfil the inner condition, they are looked up once and what
//! remains is a set; otherwise each candidate's links are followed as they come.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{OptionalExtension as _, Row};

use super::amounts::{Amount, Range};
use super::entries::{Entry, Value, unpack};
use super::names::{numbers_of_displays, text_of};
use super::read::{self, Reading};
use super::{find, hierarchy};
use crate::fhir::store::interface::StoreError;
use crate::fhir::store::{Code, Condition, Relation, ResourceKey, Test, TextMode, UriMode, Version};
use crate::fhir::words;
use crate::json;
use crate::r4::resource_type::ResourceType;

/// Linked resources up to which a condition on them becomes a set.
const SET_MAX: usize = 2_000;

/// Most sets of codes of one condition; each is as large as terminology lets it be.
const CODE_SETS_MAX: usize = 20;

/// A condition with its texts by number.
#[derive(Debug)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Id(Vec<String>),
    Changed {
        start: i64,
        end: i64,
    },
    Words(Vec<String>),
    Near(Near),
    Present(i64),
    Has(i64, Probe),
    /// A token under the parameter is one of these, by the number of its system.
    Coded(i64, HashMap<i64, HashSet<String>>),
    /// A reference under the parameter has one of these texts.
    LinkedToAny(i64, HashSet<i64>),
    /// A reference under the parameter leads to a resource of one of these types that passes.
    LinkedTo(i64, Vec<(ResourceType, Filter)>),
    /// The resource's number is one of these.
    Number(HashSet<i64>),
    /// A resource whose reference under the parameter has this resource as its target passes.
    LinkedFrom {
        source: ResourceType,
        parameter: i64,
        filter: Box<Filter>,
    },
}

/// A distance from a place, and the parameters under which a resource has its own place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Near {
    latitude_of: i64,
    longitude_of: i64,
    latitude: f64,
    longitude: f64,
    meters: f64,
}

/// A test of one value with its texts by number.
#[derive(Debug)]
pub(super) enum Probe {
    Token {
        system: Option<i64>,
        code: Option<String>,
    },
    MediaType(String),
    Reference(i64),
    Date {
        relation: Relation,
        start: i64,
        end: i64,
    },
    Number(Range),
    Quantity(Amount),
    String {
        mode: TextMode,
        text: String,
    },
    Uri {
        uri: String,
        mode: UriMode,
    },
    /// Of each part one of these passes.
    Composite(Vec<Vec<Probe>>),
    /// The text has one of these numbers.
    Display(HashSet<i64>),
}

/// A resource that may match.
pub(super) struct Candidate<'a> {
    pub(super) number: i64,
    pub(super) resource_type: ResourceType,
    pub(super) id: &'a str,
    pub(super) changed: i64,
    pub(super) entries: Vec<Entry<'a>>,
    row: &'a Row<'a>,
}

impl<'a> Candidate<'a> {
    /// From the columns number, id, changed, entries, version, method, body, in this order.
    pub(super) fn from_row(row: &'a Row<'a>, resource_type: ResourceType) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            resource_type,
            id: row.get_ref(1)?.as_str()?,
            changed: row.get(2)?,
            entries: unpack(row.get_ref(3)?.as_blob()?),
            row,
        })
    }

    /// Its current version without its body, and the row of `bodies` that has the body.
    pub(super) fn version(&self) -> rusqlite::Result<(Version, i64)> {
        let version = Version {
            key: ResourceKey { resource_type: self.resource_type, id: self.id.to_owned() },
            number: read::number(self.row, 4)?,
            last_updated: read::time(self.row, 2)?,
            method: read::method(self.row, 5)?,
            body: None,
        };
        Ok((version, self.row.get(6)?))
    }

    /// The values under a parameter.
    pub(super) fn values(&self, parameter: i64) -> impl Iterator<Item = &Value<'a>> {
        self.entries.iter().filter(move |entry| entry.parameter == parameter).map(|entry| &entry.value)
    }
}

/// Makes a condition on resources of a type ready.
pub(super) fn ready(
    reading: Reading<'_>,
    resource_type: ResourceType,
    condition: &Condition,
) -> Result<Filter, StoreError> {
    if code_sets(condition) > CODE_SETS_MAX {
        let why = format!("it asks for more than {CODE_SETS_MAX} sets of codes; define one value set of them");
        return Err(StoreError::Codes(why));
    }
    compile(reading, resource_type, condition)
}

/// How many sets of codes have to be listed for a condition.
fn code_sets(condition: &Condition) -> usize {
    match condition {
        Condition::Coded(..) | Condition::Within(..) => 1,
        Condition::All(parts) | Condition::Any(parts) => parts.iter().map(code_sets).sum(),
        Condition::Not(condition) | Condition::LinkedFrom { condition, .. } => code_sets(condition),
        Condition::Linked { targets, condition, .. } => targets.len().saturating_mul(code_sets(condition)),
        Condition::Id(_)
        | Condition::LastUpdated { .. }
        | Condition::Words(_)
        | Condition::Near { .. }
        | Condition::Present(_)
        | Condition::Has(..) => 0,
    }
}

fn compile(reading: Reading<'_>, resource_type: ResourceType, condition: &Condition) -> Result<Filter, StoreError> {
    let parts = |parts: &[Condition]| -> Result<Vec<Filter>, StoreError> {
        parts.iter().map(|part| compile(reading, resource_type, part)).collect()
    };
    Ok(match condition {
        Condition::All(conditions) => Filter::All(parts(conditions)?),
        Condition::Any(conditions) => any(parts(conditions)?),
        Condition::Not(condition) => Filter::Not(Box::new(compile(reading, resource_type, condition)?)),
        Condition::Id(ids) => Filter::Id(ids.clone()),
        Condition::LastUpdated { start, end } => Filter::Changed { start: *start, end: *end },
        Condition::Words(words) => Filter::Words(words.clone()),
        Condition::Near { latitude_of, longitude_of, latitude, longitude, meters } => {
            let latitude_of = reading.number_of_parameter(resource_type, latitude_of)?;
            let longitude_of = reading.number_of_parameter(resource_type, longitude_of)?;
            latitude_of.zip(longitude_of).map_or_else(Filter::never, |(latitude_of, longitude_of)| {
                let (latitude, longitude, meters) = (*latitude, *longitude, *meters);
                Filter::Near(Near { latitude_of, longitude_of, latitude, longitude, meters })
            })
        }
        Condition::Present(parameter) => {
            reading.number_of_parameter(resource_type, parameter)?.map_or_else(Filter::never, Filter::Present)
        }
        Condition::Has(parameter, test) => {
            let parameter = reading.number_of_parameter(resource_type, parameter)?;
            match (parameter, probe(reading, test)?) {
                (Some(parameter), Some(probe)) => Filter::Has(parameter, probe),
                _ => Filter::never(),
            }
        }
        Condition::Coded(parameter, set) => {
            let codes = (reading.terminology)(&reading, set)?;
            match reading.number_of_parameter(resource_type, parameter)? {
                Some(parameter) => coded(reading, parameter, codes)?,
                None => Filter::never(),
            }
        }
        Condition::Within(parameter, hierarchy) => match reading.number_of_parameter(resource_type, parameter)? {
            Some(parameter) => Filter::linked_to_any(parameter, hierarchy::references(reading, hierarchy)?),
            None => Filter::never(),
        },
        Condition::Linked { parameter, targets, condition } => {
            match reading.number_of_parameter(resource_type, parameter)? {
                Some(parameter) => linked(reading, parameter, targets, condition)?,
                None => Filter::never(),
            }
        }
        Condition::LinkedFrom { source, parameter, condition } => {
            match reading.number_of_parameter(*source, parameter)? {
                Some(parameter) => linked_from(reading, resource_type, *source, parameter, condition)?,
                None => Filter::never(),
            }
        }
    })
}

/// The number of a system that was never stored stands for no token at all.
fn coded(reading: Reading<'_>, parameter: i64, codes: Vec<Code>) -> Result<Filter, StoreError> {
    let mut by_system: HashMap<String, HashSet<String>> = HashMap::new();
    for Code { system, code } in codes {
        by_system.entry(system).or_default().insert(code);
    }
    let mut by_number = HashMap::new();
    for (system, codes) in by_system {
        if let Some(system) = reading.number_of(&system)? {
            by_number.insert(system, codes);
        }
    }
    Ok(Filter::Coded(parameter, by_number))
}

/// At least one of these. References to any of many resources, as a reverse include asks for them, become one set.
fn any(filters: Vec<Filter>) -> Filter {
    let mut sets: BTreeMap<i64, HashSet<i64>> = BTreeMap::new();
    let mut others = Vec::new();
    let are_several = filters.len() > 1;
    for filter in filters {
        if let Filter::Has(parameter, Probe::Reference(target)) = filter
            && are_several
        {
            sets.entry(parameter).or_default().insert(target);
        } else {
            others.push(filter);
        }
    }
    others.extend(sets.into_iter().map(|(parameter, targets)| Filter::LinkedToAny(parameter, targets)));
    Filter::Any(others)
}

fn linked(
    reading: Reading<'_>,
    parameter: i64,
    targets: &[ResourceType],
    condition: &Condition,
) -> Result<Filter, StoreError> {
    let mut set = HashSet::new();
    let mut following = Vec::new();
    for target in targets {
        let filter = compile(reading, *target, condition)?;
        let Some(matches) = find::few(reading, *target, &filter, SET_MAX)? else {
            following.push((*target, filter));
            continue;
        };
        for id in matches.into_values() {
            set.extend(reading.number_of(&reference_text(*target, &id))?);
        }
    }
    let to_any = Filter::linked_to_any(parameter, set);
    Ok(if following.is_empty() { to_any } else { Filter::Any(vec![to_any, Filter::LinkedTo(parameter, following)]) })
}

fn linked_from(
    reading: Reading<'_>,
    resource_type: ResourceType,
    source: ResourceType,
    parameter: i64,
    condition: &Condition,
) -> Result<Filter, StoreError> {
    let filter = compile(reading, source, condition)?;
    let Some(sources) = find::few(reading, source, &filter, SET_MAX)? else {
        return Ok(Filter::LinkedFrom { source, parameter, filter: Box::new(filter) });
    };
    let mut numbers = HashSet::new();
    for source_number in sources.into_keys() {
        for target in targets_of(reading, source_number, parameter)? {
            let text = text_of(reading.connection, target)?;
            let id = text.as_deref().and_then(|text| local_id(text, resource_type));
            if let Some(id) = id {
                numbers.extend(find::number_of_resource(reading, resource_type, id)?);
            }
        }
    }
    Ok(Filter::Number(numbers))
}

/// Where a resource points under a parameter, as numbers of texts.
pub(super) fn targets_of(reading: Reading<'_>, number: i64, parameter: i64) -> Result<Vec<i64>, StoreError> {
    let targets = reading
        .connection
        .prepare_cached("SELECT entries FROM resources WHERE number = ?1")?
        .query_row([number], |row| {
            let entries = unpack(row.get_ref(0)?.as_blob()?);
            Ok(entries.iter().filter(|entry| entry.parameter == parameter).filter_map(target).collect())
        })
        .optional()?;
    Ok(targets.unwrap_or_default())
}

fn target(entry: &Entry<'_>) -> Option<i64> {
    match entry.value {
        Value::Reference { target } => Some(target),
        Value::Token { .. }
        | Value::Date { .. }
        | Value::Number { .. }
        | Value::Quantity { .. }
        | Value::Range { .. }
        | Value::String { .. }
        | Value::Uri { .. }
        | Value::Composite { .. }
        | Value::Display { .. }
        | Value::Series { .. } => None,
    }
}

/// How a local reference to a resource is indexed.
pub(super) fn reference_text(resource_type: ResourceType, id: &str) -> String {
    format!("{}/{id}", resource_type.as_str())
}

/// The id in a local reference to a resource of this type.
pub(super) fn local_id(reference: &str, resource_type: ResourceType) -> Option<&str> {
    reference.strip_prefix(resource_type.as_str())?.strip_prefix('/')
}

fn probe(reading: Reading<'_>, test: &Test) -> Result<Option<Probe>, StoreError> {
    let number = |text: &str| reading.number_of(text);
    Ok(match test {
        Test::Token { system, code } => match system {
            None => Some(Probe::Token { system: None, code: code.clone() }),
            Some(system) => number(system)?.map(|system| Probe::Token { system: Some(system), code: code.clone() }),
        },
        Test::MediaType { base } => Some(Probe::MediaType(base.clone())),
        Test::Reference { target } => number(target)?.map(Probe::Reference),
        Test::Date { relation, start, end } => Some(Probe::Date { relation: *relation, start: *start, end: *end }),
        Test::Number { relation, low, high, value } => {
            Some(Probe::Number(Range { relation: *relation, low: *low, high: *high, value: *value }))
        }
        Test::Quantity { relation, low, high, value, system, code } => {
            let range = Range { relation: *relation, low: *low, high: *high, value: *value };
            Some(Probe::Quantity(Amount::new(range, system.clone(), code.clone())))
        }
        Test::String { mode, text } => Some(Probe::String { mode: *mode, text: text.clone() }),
        Test::Uri { uri, mode } => Some(Probe::Uri { uri: uri.clone(), mode: *mode }),
        Test::Composite { parts } => {
            let parts = parts.iter().map(|tests| {
                let probes = tests.iter().filter_map(|test| probe(reading, test).transpose());
                probes.collect::<Result<Vec<_>, _>>()
            });
            Some(Probe::Composite(parts.collect::<Result<_, _>>()?))
        }
        Test::Display { folded } => {
            let numbers = numbers_of_displays(reading.connection, folded)?;
            (!numbers.is_empty()).then_some(Probe::Display(numbers))
        }
    })
}

impl Filter {
    fn never() -> Self {
        Self::Any(Vec::new())
    }

    fn linked_to_any(parameter: i64, targets: HashSet<i64>) -> Self {
        match <[i64; 1]>::try_from(targets.into_iter().collect::<Vec<_>>()) {
            Ok([only]) => Self::Has(parameter, Probe::Reference(only)),
            Err(several) => Self::LinkedToAny(parameter, several.into_iter().collect()),
        }
    }

    /// Whether the resource is a match.
    pub(super) fn passes(&self, reading: Reading<'_>, candidate: &Candidate<'_>) -> Result<bool, StoreError> {
        match self {
            Self::All(filters) => {
                for filter in filters {
                    if !filter.passes(reading, candidate)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(filters) => {
                for filter in filters {
                    if filter.passes(reading, candidate)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(filter) => Ok(!filter.passes(reading, candidate)?),
            Self::Id(ids) => Ok(ids.iter().any(|id| id == candidate.id)),
            Self::Changed { start, end } => Ok((*start..=*end).contains(&candidate.changed)),
            Self::Words(words) => occur(reading, candidate, words),
            Self::Near(near) => Ok(near.passes(candidate)),
            Self::Present(parameter) => Ok(candidate.values(*parameter).next().is_some()),
            Self::Coded(parameter, codes) => Ok(candidate.values(*parameter).any(|value| is_one_of(codes, value))),
            Self::Has(parameter, probe) => any_passes(reading, probe, candidate.values(*parameter)),
            Self::LinkedToAny(parameter, set) => {
                Ok(references(candidate, *parameter).any(|target| set.contains(&target)))
            }
            Self::Number(numbers) => Ok(numbers.contains(&candidate.number)),
            Self::LinkedTo(parameter, filters) => leads_to_match(reading, candidate, *parameter, filters),
            Self::LinkedFrom { source, parameter, filter } => {
                comes_from_match(reading, candidate, *source, *parameter, filter)
            }
        }
    }
}

fn is_one_of(codes: &HashMap<i64, HashSet<String>>, value: &Value<'_>) -> bool {
    match value {
        Value::Token { system, code } => codes.get(system).is_some_and(|codes| codes.contains(*code)),
        Value::Reference { .. }
        | Value::Date { .. }
        | Value::Number { .. }
        | Value::Quantity { .. }
        | Value::Range { .. }
        | Value::String { .. }
        | Value::Uri { .. }
        | Value::Composite { .. }
        | Value::Display { .. }
        | Value::Series { .. } => false,
    }
}

fn occur(reading: Reading<'_>, candidate: &Candidate<'_>, words: &[String]) -> Result<bool, StoreError> {
    let occur = reading
        .connection
        .prepare_cached("SELECT b.body FROM resources r JOIN bodies b ON b.number = r.body WHERE r.number = ?1")?
        .query_row([candidate.number], |row| {
            let body = row.get_ref(0)?.as_blob()?;
            Ok(json::parse(body).is_ok_and(|resource| words::occur_in(&resource, words)))
        })
        .optional()?;
    Ok(occur.unwrap_or_default())
}

/// The mean radius of the earth.
const EARTH_METERS: f64 = 6_371_008.8;

impl Near {
    fn passes(self, candidate: &Candidate<'_>) -> bool {
        let number = |parameter| {
            candidate
                .values(parameter)
                .find_map(|value| if let Value::Number { value } = value { Some(*value) } else { None })
        };
        match (number(self.latitude_of), number(self.longitude_of)) {
            (Some(latitude), Some(longitude)) => self.meters_to(latitude, longitude) <= self.meters,
            _ => false,
        }
    }

    /// Along the great circle, by the haversine formula.
    fn meters_to(self, latitude: f64, longitude: f64) -> f64 {
        let (from, to) = (self.latitude.to_radians(), latitude.to_radians());
        let half = |one: f64, other: f64| ((one - other) / 2.0).sin().powi(2);
        let chord = half(from, to) + from.cos() * to.cos() * half(self.longitude.to_radians(), longitude.to_radians());
        2.0 * EARTH_METERS * chord.clamp(0.0, 1.0).sqrt().asin()
    }
}

fn references(candidate: &Candidate<'_>, parameter: i64) -> impl Iterator<Item = i64> {
    candidate.entries.iter().filter(move |entry| entry.parameter == parameter).filter_map(target)
}

fn leads_to_match(
    reading: Reading<'_>,
    candidate: &Candidate<'_>,
    parameter: i64,
    filters: &[(ResourceType, Filter)],
) -> Result<bool, StoreError> {
    for target in references(candidate, parameter) {
        let text = text_of(reading.connection, target)?.unwrap_or_default();
        for (resource_type, filter) in filters {
            let Some(id) = local_id(&text, *resource_type) else { continue };
            if let Some(number) = find::number_of_resource(reading, *resource_type, id)?
                && find::passes_by_number(reading, *resource_type, number, filter)?
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn comes_from_match(
    reading: Reading<'_>,
    candidate: &Candidate<'_>,
    source: ResourceType,
    parameter: i64,
    filter: &Filter,
) -> Result<bool, StoreError> {
    let text = reference_text(candidate.resource_type, candidate.id);
    let Some(target) = reading.number_of(&text)? else {
        return Ok(false);
    };
    let mut statement = reading
        .connection
        .prepare_cached("SELECT resource FROM index_reference WHERE parameter = ?1 AND target = ?2")?;
    let mut rows = statement.query((parameter, target))?;
    while let Some(row) = rows.next()? {
        // A parameter's number belongs to one type, so every row here is a resource of the source's type.
        if find::passes_by_number(reading, source, row.get(0)?, filter)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Probe {
    fn passes(&self, reading: Reading<'_>, value: &Value<'_>) -> Result<bool, StoreError> {
        Ok(match (self, value) {
            (Self::Token { system, code }, Value::Token { system: stored_system, code: stored_code }) => {
                system.is_none_or(|system| system == *stored_system)
                    && code.as_ref().is_none_or(|code| code == stored_code)
            }
            (Self::MediaType(base), Value::Token { code, .. }) => code
                .strip_prefix(base.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([';', ' ', '/'])),
            (Self::Reference(target), Value::Reference { target: stored }) => target == stored,
            (Self::Date { relation, start, end }, Value::Date { start: stored_start, end: stored_end }) => {
                dates_relate(*relation, (*stored_start, *stored_end), (*start, *end))
            }
            (Self::Number(range), Value::Number { value }) => range.relates(*value, *value),
            (Self::Number(range), Value::Range { low, high, .. }) => range.relates(*low, *high),
            (Self::Quantity(amount), Value::Quantity { unit, value }) => {
                amount.within(reading, *unit)?.is_some_and(|range| range.relates(*value, *value))
            }
            (Self::Quantity(amount), Value::Range { unit, low, high }) => {
                amount.within(reading, *unit)?.is_some_and(|range| range.relates(*low, *high))
            }
            (Self::String { mode, text }, Value::String { folded, exact }) => match mode {
                TextMode::StartsWith => folded.starts_with(text),
                TextMode::Contains => folded.contains(text),
                TextMode::EndsWith => folded.ends_with(text),
                // A text that is only a part of another is no whole.
                TextMode::Whole => folded == text && !exact.is_empty(),
                TextMode::Exact => exact == text,
            },
            (Self::Uri { uri, mode }, Value::Uri { uri: stored }) => match mode {
                UriMode::Exact => stored == uri,
                UriMode::Below => stored.starts_with(uri),
                UriMode::Above => uri.starts_with(stored),
            },
            (Self::Composite(probes), Value::Composite { parts }) => {
                for (probes, values) in probes.iter().zip(parts.each()) {
                    if !one_passes(reading, probes, &values)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Display(numbers), Value::Display { text }) => numbers.contains(text),
            _ => false,
        })
    }
}

fn one_passes(reading: Reading<'_>, probes: &[Probe], values: &[Value<'_>]) -> Result<bool, StoreError> {
    for probe in probes {
        if any_passes(reading, probe, values.iter())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn any_passes<'v, 'a: 'v>(
    reading: Reading<'_>,
    probe: &Probe,
    values: impl Iterator<Item = &'v Value<'a>>,
) -> Result<bool, StoreError> {
    for value in values {
        if probe.passes(reading, value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn dates_relate(relation: Relation, stored: (i64, i64), searched: (i64, i64)) -> bool {
    let within = stored.0 >= searched.0 && stored.1 <= searched.1;
    let above = stored.1 > searched.1;
    let below = stored.0 < searched.0;
    match relation {
        Relation::Within => within,
        Relation::NotWithin => !within,
        Relation::Above => above,
        Relation::Below => below,
        Relation::AtLeast => above || within,
        Relation::AtMost => below || within,
        Relation::StartsAfter => stored.0 > searched.1,
        Relation::EndsBefore => stored.1 < searched.0,
        Relation::Overlaps => stored.0 <= searched.1 && stored.1 >= searched.0,
    }
}
