//! From a filter to candidates: which rows of which index contain every match.
//!
//! A span is a stretch of one index table. It may hold more than the matches, never less; the filter decides. Of the
//! parts of a conjunction the one with the fewest rows is taken, found by listing each up to a growing bound.

use rusqlite::types::Value as Bound;
use rusqlite::{OptionalExtension as _, params_from_iter};

use super::amounts::{Amount, Range};
use super::filter::{Filter, Probe};
use super::find;
use super::names::successor;
use super::read::Reading;
use crate::fhir::store::interface::StoreError;
use crate::fhir::store::{Relation, TextMode, UriMode};
use crate::r4::resource_type::ResourceType;

/// Bounds up to which the parts of a conjunction are listed, one after the other.
const ROUNDS: [usize; 4] = [64, 2_000, 64_000, usize::MAX];

/// A stretch of one index.
#[derive(Debug)]
pub(super) struct Span {
    /// Selects the numbers of resources.
    sql: &'static str,
    bounds: Vec<Bound>,
    /// Each resource is there once, in the order of numbers, and may be continued behind a number.
    ordered: bool,
}

/// Where all matches of a filter are.
#[derive(Debug, Default)]
struct Source {
    spans: Vec<Span>,
    numbers: Vec<i64>,
}

/// The numbers of resources among which all matches are, each once and in order, if any index has at most `max` for
/// the filter or a part of it. `None` as well when no index narrows the filter.
pub(super) fn narrowest(
    reading: Reading<'_>,
    resource_type: ResourceType,
    filter: &Filter,
    max: usize,
) -> Result<Option<Vec<i64>>, StoreError> {
    let mut sources = Vec::new();
    for part in conjuncts(filter) {
        sources.extend(source(reading, resource_type, part)?);
    }
    for round in ROUNDS {
        for source in &sources {
            if let Some(numbers) = list(reading, source, round.min(max))? {
                return Ok(Some(numbers));
            }
        }
        if round >= max {
            break;
        }
    }
    Ok(None)
}

/// One span that contains all matches and is in the order of numbers, if there is one.
pub(super) fn ordered_span(
    reading: Reading<'_>,
    resource_type: ResourceType,
    filter: &Filter,
) -> Result<Option<Span>, StoreError> {
    Ok(exact_spans(reading, resource_type, filter)?.into_iter().next())
}

/// The parts of a filter that are each the content of one ordered span.
pub(super) fn exact_spans(
    reading: Reading<'_>,
    resource_type: ResourceType,
    filter: &Filter,
) -> Result<Vec<Span>, StoreError> {
    let mut exact = Vec::new();
    for part in conjuncts(filter) {
        let Some(source) = source(reading, resource_type, part)? else { continue };
        if let Ok([span]) = <[Span; 1]>::try_from(source.spans)
            && span.ordered
            && source.numbers.is_empty()
        {
            exact.push(span);
        }
    }
    Ok(exact)
}

/// Ordered spans that together contain all matches, as the references that place a resource in a compartment do.
#[derive(Debug)]
pub(super) struct Ways(Source);

/// Most spans that are walked side by side.
const WAYS_MAX: usize = 16;

/// The ways to all matches of a part of the filter, if there are few and each is in the order of numbers; a single one if
/// there is one.
pub(super) fn ordered_ways(
    reading: Reading<'_>,
    resource_type: ResourceType,
    filter: &Filter,
) -> Result<Option<Ways>, StoreError> {
    if let Some(span) = ordered_span(reading, resource_type, filter)? {
        return Ok(Some(Ways(Source { spans: vec![span], numbers: Vec::new() })));
    }
    for part in conjuncts(filter) {
        let Some(source) = source(reading, resource_type, part)? else { continue };
        if source.spans.len() <= WAYS_MAX && source.spans.iter().all(|span| span.ordered) {
            return Ok(Some(Ways(source)));
        }
    }
    Ok(None)
}

impl Ways {
    /// Numbers behind `after`, each once and in order, none left out in between; empty if there are no more.
    pub(super) fn behind(&self, reading: Reading<'_>, after: i64, most: usize) -> Result<Vec<i64>, StoreError> {
        let mut numbers: Vec<i64> = self.0.numbers.iter().copied().filter(|number| *number > after).collect();
        // What is behind the last number of a way that was not read to its end is for the next time.
        let mut end = i64::MAX;
        for span in &self.0.spans {
            let (sql, mut bounds) = span.sql_behind(after);
            bounds.push(Bound::Integer(i64::try_from(most).unwrap_or(i64::MAX)));
            let mut statement = reading.connection.prepare_cached(&format!("{sql} LIMIT ?"))?;
            let rows = statement.query_map(params_from_iter(bounds), |row| row.get(0))?;
            let found = rows.collect::<Result<Vec<i64>, _>>()?;
            end = end.min(found.last().copied().filter(|_last| found.len() >= most).unwrap_or(i64::MAX));
            numbers.extend(found);
        }
        numbers.retain(|number| *number <= end);
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

/// Whether the filter is exactly the content of one ordered span, which can then be counted without a look at resources.
pub(super) fn is_exact(filter: &Filter) -> bool {
    match filter {
        Filter::Has(_, probe) => match probe {
            Probe::Token { system, code } => system.is_some() && code.is_some(),
            Probe::Reference(_) => true,
            Probe::Uri { mode, .. } => *mode == UriMode::Exact,
            Probe::MediaType(_)
            | Probe::Date { .. }
            | Probe::Number(_)
            | Probe::Quantity(_)
            | Probe::String { .. }
            | Probe::Composite(_)
            | Probe::Display(_) => false,
        },
        Filter::All(parts) | Filter::Any(parts) => matches!(parts.as_slice(), [part] if is_exact(part)),
        Filter::Not(_)
        | Filter::Coded(..)
        | Filter::Id(_)
        | Filter::Changed { .. }
        | Filter::Words(_)
        | Filter::Near(_)
        | Filter::Present(_)
        | Filter::LinkedToAny(..)
        | Filter::LinkedTo(..)
        | Filter::Number(_)
        | Filter::LinkedFrom { .. } => false,
    }
}

impl Span {
    /// The resources behind `after`; only for an ordered span.
    pub(super) fn sql_behind(&self, after: i64) -> (String, Vec<Bound>) {
        let mut bounds = self.bounds.clone();
        bounds.push(Bound::Integer(after));
        (format!("{} AND resource > ? ORDER BY resource", self.sql), bounds)
    }

    /// Whether the resource of this number, an expression, is there; only for an ordered span.
    pub(super) fn sql_of_one(&self, number: &str) -> (String, &[Bound]) {
        (format!("{} AND resource = {number}", self.sql), &self.bounds)
    }

    /// How many rows there are.
    pub(super) fn count(&self, reading: Reading<'_>) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM ({})", self.sql);
        let count: i64 =
            reading.connection.prepare_cached(&sql)?.query_row(params_from_iter(&self.bounds), |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }
}

/// The parts that must all hold.
fn conjuncts(filter: &Filter) -> Vec<&Filter> {
    let Filter::All(parts) = filter else {
        return vec![filter];
    };
    parts.iter().flat_map(conjuncts).collect()
}

fn list(reading: Reading<'_>, source: &Source, max: usize) -> Result<Option<Vec<i64>>, StoreError> {
    let mut numbers = source.numbers.clone();
    for span in &source.spans {
        let mut statement = reading.connection.prepare_cached(span.sql)?;
        let mut rows = statement.query(params_from_iter(&span.bounds))?;
        while let Some(row) = rows.next()? {
            if numbers.len() >= max {
                return Ok(None);
            }
            numbers.push(row.get(0)?);
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(Some(numbers))
}

fn source(reading: Reading<'_>, resource_type: ResourceType, filter: &Filter) -> Result<Option<Source>, StoreError> {
    let spans = |spans| Ok(Some(Source { spans, numbers: Vec::new() }));
    match filter {
        Filter::Has(parameter, Probe::Quantity(amount)) => spans(quantity(reading, *parameter, amount)?),
        Filter::Has(parameter, Probe::Number(range)) => spans(number(*parameter, *range)),
        Filter::Has(parameter, probe) => match span(*parameter, probe) {
            Some(span) => spans(vec![span]),
            None => Ok(None),
        },
        Filter::Coded(parameter, codes) => spans(
            codes
                .iter()
                .flat_map(|(system, codes)| {
                    codes.iter().map(|code| token(Bound::Integer(*parameter), Some(*system), Some(code)))
                })
                .collect(),
        ),
        Filter::Present(parameter) => spans(PRESENT.map(|sql| plain(sql, [Bound::Integer(*parameter)])).into()),
        Filter::Changed { start, end } => {
            let sql = "SELECT number FROM resources WHERE type = ? AND changed BETWEEN ? AND ? AND method <> 4";
            spans(vec![plain(sql, [reading.types.number(resource_type), *start, *end].map(Bound::Integer))])
        }
        Filter::LinkedToAny(parameter, targets) => {
            spans(targets.iter().filter_map(|target| span(*parameter, &Probe::Reference(*target))).collect())
        }
        Filter::Number(numbers) => Ok(Some(Source { spans: Vec::new(), numbers: numbers.iter().copied().collect() })),
        Filter::Id(ids) => {
            let mut numbers = Vec::new();
            for id in ids {
                numbers.extend(find::number_of_resource(reading, resource_type, id)?);
            }
            Ok(Some(Source { spans: Vec::new(), numbers }))
        }
        Filter::Any(parts) => union(reading, resource_type, parts),
        // Inside a disjunction any part of a conjunction will do; which is narrowest is not worth the listing.
        Filter::All(parts) => {
            for part in parts {
                if let Some(source) = source(reading, resource_type, part)? {
                    return Ok(Some(source));
                }
            }
            Ok(None)
        }
        Filter::Not(_) | Filter::Words(_) | Filter::Near(_) | Filter::LinkedTo(..) | Filter::LinkedFrom { .. } => {
            Ok(None)
        }
    }
}

fn union(reading: Reading<'_>, resource_type: ResourceType, parts: &[Filter]) -> Result<Option<Source>, StoreError> {
    let mut union = Source::default();
    for part in parts {
        let Some(part) = source(reading, resource_type, part)? else {
            return Ok(None);
        };
        union.spans.extend(part.spans);
        union.numbers.extend(part.numbers);
    }
    Ok(Some(union))
}

const PRESENT: [&str; 8] = [
    "SELECT resource FROM index_token WHERE parameter = ?",
    "SELECT resource FROM index_reference WHERE parameter = ?",
    "SELECT resource FROM index_date WHERE parameter = ?",
    "SELECT resource FROM index_number WHERE parameter = ?",
    "SELECT resource FROM index_quantity WHERE parameter = ?",
    "SELECT resource FROM index_range WHERE parameter = ?",
    "SELECT resource FROM index_string WHERE parameter = ?",
    "SELECT resource FROM index_uri WHERE parameter = ?",
];

fn plain<const N: usize>(sql: &'static str, bounds: [Bound; N]) -> Span {
    Span { sql, bounds: bounds.into(), ordered: false }
}

fn ordered<const N: usize>(sql: &'static str, bounds: [Bound; N]) -> Span {
    Span { sql, bounds: bounds.into(), ordered: true }
}

/// `None` for a composite and for a text beside codes, which have no index, and for numbers and amounts, which have
/// several spans.
fn span(parameter: i64, probe: &Probe) -> Option<Span> {
    let parameter = Bound::Integer(parameter);
    Some(match probe {
        Probe::Token { system, code } => token(parameter, *system, code.as_deref()),
        Probe::MediaType(base) => plain(
            "SELECT resource FROM index_token WHERE parameter = ? AND code >= ? AND code < ?",
            [parameter, Bound::Text(base.clone()), Bound::Text(successor(base)?)],
        ),
        Probe::Reference(target) => ordered(
            "SELECT resource FROM index_reference WHERE parameter = ? AND target = ?",
            [parameter, Bound::Integer(*target)],
        ),
        Probe::Date { relation, start, end } => date(parameter, *relation, *start, *end),
        Probe::String { mode, text } => string(parameter, *mode, text),
        Probe::Uri { uri, mode } => self::uri(parameter, *mode, uri),
        Probe::Number(_) | Probe::Quantity(_) | Probe::Composite(_) | Probe::Display(_) => return None,
    })
}

fn token(parameter: Bound, system: Option<i64>, code: Option<&str>) -> Span {
    let code = code.map(|code| Bound::Text(code.to_owned()));
    match (system.map(Bound::Integer), code) {
        (Some(system), Some(code)) => ordered(
            "SELECT resource FROM index_token WHERE parameter = ? AND code = ? AND system = ?",
            [parameter, code, system],
        ),
        (None, Some(code)) => {
            plain("SELECT resource FROM index_token WHERE parameter = ? AND code = ?", [parameter, code])
        }
        (Some(system), None) => {
            plain("SELECT resource FROM index_token WHERE parameter = ? AND system = ?", [parameter, system])
        }
        (None, None) => plain("SELECT resource FROM index_token WHERE parameter = ?", [parameter]),
    }
}

/// Every stored interval starts before it ends, so a bound on the start is one on the end as well.
fn date(parameter: Bound, relation: Relation, start: i64, end: i64) -> Span {
    let all = (i64::MIN, i64::MAX);
    let (starts, ends) = match relation {
        Relation::Within => ((start, end), (start, end)),
        Relation::NotWithin => (all, all),
        Relation::Above => (all, (end, i64::MAX)),
        Relation::Below => ((i64::MIN, start), all),
        Relation::AtLeast => (all, (start, i64::MAX)),
        Relation::AtMost => ((i64::MIN, end.max(start)), all),
        Relation::StartsAfter => ((end, i64::MAX), (end, i64::MAX)),
        Relation::EndsBefore => ((i64::MIN, start), (i64::MIN, start)),
        Relation::Overlaps => ((i64::MIN, end), (start, i64::MAX)),
    };
    let [starts_from, starts_to, ends_from, ends_to] = [starts.0, starts.1, ends.0, ends.1].map(Bound::Integer);
    plain(
        r#"SELECT resource FROM index_date WHERE parameter = ? AND "end" BETWEEN ? AND ? AND start BETWEEN ? AND ?"#,
        [parameter, ends_from, ends_to, starts_from, starts_to],
    )
}

fn number(parameter: i64, range: Range) -> Vec<Span> {
    let [(from, to), (ends_from, ends_to)] = range.bounds();
    let bounds = [from, to, ends_from, ends_to].map(Bound::Real);
    vec![
        plain(
            "SELECT resource FROM index_number WHERE parameter = ? AND value BETWEEN ? AND ?",
            [Bound::Integer(parameter), Bound::Real(from.max(ends_from)), Bound::Real(to.min(ends_to))],
        ),
        with_bounds(
            "SELECT resource FROM index_range WHERE parameter = ? AND low BETWEEN ? AND ? AND high BETWEEN ? AND ?",
            [Bound::Integer(parameter)],
            bounds,
        ),
    ]
}

/// In each unit of the parameter that fits, what the range is there.
fn quantity(reading: Reading<'_>, parameter: i64, amount: &Amount) -> Result<Vec<Span>, StoreError> {
    let mut spans = Vec::new();
    for unit in units(reading, UNITS_OF_QUANTITIES, parameter)? {
        let Some(range) = amount.within(reading, unit)? else { continue };
        let [(from, to), (ends_from, ends_to)] = range.bounds();
        spans.push(plain(
            "SELECT resource FROM index_quantity WHERE parameter = ? AND unit = ? AND value BETWEEN ? AND ?",
            [
                Bound::Integer(parameter),
                Bound::Integer(unit),
                Bound::Real(from.max(ends_from)),
                Bound::Real(to.min(ends_to)),
            ],
        ));
    }
    for unit in units(reading, UNITS_OF_RANGES, parameter)? {
        let Some(range) = amount.within(reading, unit)? else { continue };
        let [(from, to), (ends_from, ends_to)] = range.bounds();
        spans.push(with_bounds(
            "SELECT resource FROM index_range
             WHERE parameter = ? AND unit = ? AND low BETWEEN ? AND ? AND high BETWEEN ? AND ?",
            [Bound::Integer(parameter), Bound::Integer(unit)],
            [from, to, ends_from, ends_to].map(Bound::Real),
        ));
    }
    Ok(spans)
}

fn with_bounds<const N: usize>(sql: &'static str, key: [Bound; N], bounds: [Bound; 4]) -> Span {
    Span { sql, bounds: key.into_iter().chain(bounds).collect(), ordered: false }
}

/// The units that a parameter has amounts in, each found by a step behind the one before; a query for the distinct ones
/// would read every row.
fn units(reading: Reading<'_>, sql: &str, parameter: i64) -> Result<Vec<i64>, StoreError> {
    let mut next = reading.connection.prepare_cached(sql)?;
    let mut units = Vec::new();
    let mut last = i64::MIN;
    while let Some(unit) = next.query_row([parameter, last], |row| row.get(0)).optional()? {
        units.push(unit);
        last = unit;
    }
    Ok(units)
}

const UNITS_OF_QUANTITIES: &str =
    "SELECT unit FROM index_quantity WHERE parameter = ?1 AND unit > ?2 ORDER BY unit LIMIT 1";
const UNITS_OF_RANGES: &str = "SELECT unit FROM index_range WHERE parameter = ?1 AND unit > ?2 ORDER BY unit LIMIT 1";

fn string(parameter: Bound, mode: TextMode, text: &str) -> Span {
    let bound = Bound::Text(text.to_owned());
    match (mode, successor(text)) {
        (TextMode::StartsWith, Some(end)) => plain(
            "SELECT resource FROM index_string WHERE parameter = ? AND folded >= ? AND folded < ?",
            [parameter, bound, Bound::Text(end)],
        ),
        (TextMode::StartsWith, None) => {
            plain("SELECT resource FROM index_string WHERE parameter = ? AND folded >= ?", [parameter, bound])
        }
        (TextMode::Whole, _) => {
            plain("SELECT resource FROM index_string WHERE parameter = ? AND folded = ?", [parameter, bound])
        }
        (TextMode::EndsWith, _) => plain(
            "SELECT resource FROM index_string WHERE parameter = ?1 AND substr(folded, -length(?2)) = ?2",
            [parameter, bound],
        ),
        (TextMode::Contains, _) => {
            plain("SELECT resource FROM index_string WHERE parameter = ? AND instr(folded, ?) > 0", [parameter, bound])
        }
        (TextMode::Exact, _) => {
            plain("SELECT resource FROM index_string WHERE parameter = ? AND exact = ?", [parameter, bound])
        }
    }
}

fn uri(parameter: Bound, mode: UriMode, uri: &str) -> Span {
    let bound = Bound::Text(uri.to_owned());
    match (mode, successor(uri)) {
        (UriMode::Exact, _) => {
            ordered("SELECT resource FROM index_uri WHERE parameter = ? AND uri = ?", [parameter, bound])
        }
        (UriMode::Below, Some(end)) => plain(
            "SELECT resource FROM index_uri WHERE parameter = ? AND uri >= ? AND uri < ?",
            [parameter, bound, Bound::Text(end)],
        ),
        (UriMode::Below, None) => {
            plain("SELECT resource FROM index_uri WHERE parameter = ? AND uri >= ?", [parameter, bound])
        }
        // What the searched one starts with sorts before it.
        (UriMode::Above, _) => {
            plain("SELECT resource FROM index_uri WHERE parameter = ? AND uri <= ?", [parameter, bound])
        }
    }
}
