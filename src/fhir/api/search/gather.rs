//! A page of matches and what comes along with it, read from one committed state.
//!
//! Includes are followed in rounds: the first from the matches, further ones (`:iterate`) from what the round before
//! brought. Nothing comes twice, and both rounds and resources have a bound; a search that meets the second says so.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::fhir::api::criteria::check_reliance;
use crate::fhir::api::error::ApiError;
use crate::fhir::search::include::{Direction, Include, Reach, references};
use crate::fhir::search::index::{Written, written_targets};
use crate::fhir::search::local::localize_target;
use crate::fhir::search::page;
use crate::fhir::search::parse::{Search, Total};
use crate::fhir::search::reference::local;
use crate::fhir::search::registry::Registry;
use crate::fhir::search::series::{Along, EVERYONE, SERIES, may_fulfil};
use crate::fhir::store::interface::Reader;
use crate::fhir::store::{
    Condition, Cursor, Parameter, Query, ResourceKey, Selection, Series, SortBy, SortKey, Test, UriMode, Version,
};
use crate::json;
use crate::r4::resource_type::ResourceType;

/// Most resources that come along with a page.
pub(super) const INCLUDED_MAX: usize = 1_000;
/// Most rounds in which includes are followed.
pub(super) const ROUNDS_MAX: usize = 5;

/// Most series that are read side by side.
const SERIES_MAX: usize = 200;
/// Most subjects whose series are listed.
const SUBJECTS_MAX: usize = 20;

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The matches of the page, in order.
    pub(crate) matches: Vec<Version>,
    /// What comes along.
    pub(crate) included: Vec<Version>,
    /// Whether everything that was to come along did.
    pub(crate) inclusion: Inclusion,
    /// How many matches there are on all pages, if that is known.
    pub(crate) total: Option<u64>,
    /// Where the next page begins.
    pub(crate) next: Option<Cursor>,
}

/// Whether everything that was to come along did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Inclusion {
    /// It did.
    #[default]
    Complete,
    /// There were more than `INCLUDED_MAX`.
    TooMany,
    /// There was more behind `ROUNDS_MAX` rounds.
    TooDeep,
}

/// Whether a resource may come along.
pub(crate) type Admission<'a> = &'a dyn Fn(&Version) -> Result<bool, ApiError>;

/// A page of a search. `base` is the server's own address.
///
/// # Errors
/// When the cursor does not belong to the search, or the store fails.
pub(crate) fn gather(reader: &dyn Reader, base: &str, search: &Search) -> Result<Found, ApiError> {
    gather_with(reader, base, search, &|_any| Ok(true))
}

/// A page of a search with which only those come along that are `admitted`; nothing is followed through others.
///
/// # Errors
/// When the cursor does not belong to the search, or the store fails.
pub(crate) fn gather_with(
    reader: &dyn Reader,
    base: &str,
    search: &Search,
    admitted: Admission<'_>,
) -> Result<Found, ApiError> {
    check_reliance(reader, search.relies_on)?;
    let after = page::open(search)?;
    if search.count == 0 {
        let total = Some(count(reader, search)?);
        return Ok(Found { total, ..Found::default() });
    }
    let is_first = after.is_none();
    let found = reader.find(&Query {
        selections: search.selections.clone(),
        order: search.order.clone(),
        after,
        limit: search.count,
        series: series_of(reader, search)?,
    })?;
    let total = match search.total {
        Total::Accurate => Some(count(reader, search)?),
        Total::IfCheap | Total::Estimate if is_first && found.next.is_none() => {
            u64::try_from(found.versions.len()).ok()
        }
        Total::Estimate => {
            let shown = u64::try_from(found.versions.len()).unwrap_or(u64::MAX);
            Some(estimate(reader, search)?.max(shown))
        }
        Total::IfCheap | Total::None => None,
    };
    let (included, inclusion) = follow_with(reader, base, admitted, search, &found.versions)?;
    Ok(Found { matches: found.versions, included, inclusion, total, next: found.next })
}

/// What comes along with these matches of a search, and whether that is all of it.
///
/// # Errors
/// When the store fails.
pub(crate) fn follow(
    reader: &dyn Reader,
    base: &str,
    search: &Search,
    matches: &[Version],
) -> Result<(Vec<Version>, Inclusion), ApiError> {
    follow_with(reader, base, &|_any| Ok(true), search, matches)
}

fn follow_with(
    reader: &dyn Reader,
    base: &str,
    admitted: Admission<'_>,
    search: &Search,
    matches: &[Version],
) -> Result<(Vec<Version>, Inclusion), ApiError> {
    let mut following = Following::new(reader, base, &search.registry, admitted, matches);
    let included = following.follow(&search.includes, matches)?;
    Ok((included, following.inclusion))
}

/// Where all matches are, in the order of the search.
fn series_of(reader: &dyn Reader, search: &Search) -> Result<Option<Series>, ApiError> {
    let of = match Along::of(&search.selections, &search.order) {
        None => return Ok(None),
        Some(Along::Subjects(subjects)) if subjects.len() > SUBJECTS_MAX => return Ok(None),
        Some(Along::Codes(codes)) => codes.into_iter().map(|code| (EVERYONE.to_owned(), code.to_owned())).collect(),
        Some(Along::Subjects(subjects)) => about(reader, &search.selections, &subjects)?,
    };
    Ok(Some(Series { parameter: SERIES.clone(), of }).filter(|series| series.of.len() <= SERIES_MAX))
}

/// The series about subjects in which there can be matches; of a subject with very many, the first, but too many still.
fn about(
    reader: &dyn Reader,
    selections: &[Selection],
    subjects: &BTreeSet<&str>,
) -> Result<Vec<(String, String)>, ApiError> {
    let mut series = Vec::new();
    for Selection { resource_type, condition } in selections {
        for subject in subjects {
            let known = reader.concepts(*resource_type, &SERIES, subject, SERIES_MAX + 1)?;
            let are_all = known.len() <= SERIES_MAX;
            let wanted = known.into_iter().filter(|concept| !are_all || may_fulfil(concept, condition));
            series.extend(wanted.map(|concept| ((*subject).to_owned(), concept)));
        }
    }
    Ok(series)
}

fn count(reader: &dyn Reader, search: &Search) -> Result<u64, ApiError> {
    let mut count = 0;
    for Selection { resource_type, condition } in &search.selections {
        count += reader.count(*resource_type, condition)?;
    }
    Ok(count)
}

fn estimate(reader: &dyn Reader, search: &Search) -> Result<u64, ApiError> {
    let mut estimate = 0;
    for Selection { resource_type, condition } in &search.selections {
        estimate += reader.estimate(*resource_type, condition)?;
    }
    Ok(estimate)
}

/// Where a reference leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Pointed {
    /// To a resource as it is now.
    Current(ResourceKey),
    /// To a version of it, which is the one that comes along.
    Version(ResourceKey, u64),
    /// To whatever of these types has this canonical URL.
    Canonical(String, Vec<ResourceType>),
}

struct Following<'a> {
    reader: &'a dyn Reader,
    base: &'a str,
    registry: &'a Registry,
    admitted: Admission<'a>,
    /// The versions that are there.
    known: HashSet<(ResourceKey, u64)>,
    /// References that have been followed.
    looked_up: HashSet<Pointed>,
    room: usize,
    inclusion: Inclusion,
}

impl<'a> Following<'a> {
    fn new(
        reader: &'a dyn Reader,
        base: &'a str,
        registry: &'a Registry,
        admitted: Admission<'a>,
        matches: &[Version],
    ) -> Self {
        Self {
            reader,
            base,
            registry,
            admitted,
            known: matches.iter().map(|version| (version.key.clone(), version.number)).collect(),
            looked_up: matches.iter().map(|version| Pointed::Current(version.key.clone())).collect(),
            room: INCLUDED_MAX,
            inclusion: Inclusion::Complete,
        }
    }

    fn follow(&mut self, includes: &[Include], matches: &[Version]) -> Result<Vec<Version>, ApiError> {
        let iterated: Vec<&Include> = includes.iter().filter(|include| include.reach == Reach::Iterate).collect();
        let mut included = Vec::new();
        let mut round = self.round(includes.iter(), matches)?;
        for _ in 1..ROUNDS_MAX {
            let next = self.round(iterated.iter().copied(), &round)?;
            included.extend(std::mem::replace(&mut round, next));
        }
        if !self.round(iterated.iter().copied(), &round)?.is_empty() {
            self.inclusion = Inclusion::TooDeep;
        }
        included.extend(round);
        Ok(included)
    }

    /// What the includes bring from these resources and has not come yet.
    fn round<'i>(
        &mut self,
        includes: impl Iterator<Item = &'i Include>,
        from: &[Version],
    ) -> Result<Vec<Version>, ApiError> {
        let mut brought = Vec::new();
        if from.is_empty() {
            return Ok(brought);
        }
        for include in includes {
            match include.direction {
                Direction::Forward => self.pointed_to(include, from, &mut brought)?,
                Direction::Reverse => self.pointing_here(include, from, &mut brought)?,
            }
        }
        Ok(brought)
    }

    fn pointed_to(&mut self, include: &Include, from: &[Version], brought: &mut Vec<Version>) -> Result<(), ApiError> {
        let sources = from.iter().filter(|version| include.source.is_none_or(|it| it == version.key.resource_type));
        for pointed in sources.flat_map(|version| self.pointed(include, version)).collect::<Vec<_>>() {
            if !self.looked_up.insert(pointed.clone()) {
                continue;
            }
            if !self.has_room() {
                return Ok(());
            }
            let version = match pointed {
                Pointed::Current(key) => self.reader.current(&key)?,
                Pointed::Version(key, number) => self.reader.version(&key, number)?,
                Pointed::Canonical(url, types) => self.with_url(&url, &types)?,
            };
            if let Some(version) = version.filter(|version| version.body.is_some()) {
                self.bring(version, brought)?;
            }
        }
        Ok(())
    }

    /// What a resource points to under the parameters of an include: local resources, and whatever has a canonical URL.
    fn pointed(&self, include: &Include, version: &Version) -> Vec<Pointed> {
        let Some(node) = version.body.as_ref().and_then(|body| json::parse(body).ok()) else {
            return Vec::new();
        };
        let resource_type = version.key.resource_type;
        let all;
        let parameters: &[Parameter] = if include.parameters.is_empty() {
            all = references(self.registry, resource_type, include.target);
            &all
        } else {
            &include.parameters
        };
        parameters
            .iter()
            .flat_map(|parameter| {
                let written = written_targets(self.registry, resource_type, parameter, &node).into_iter();
                written.filter_map(|written| match written {
                    Written::Reference(reference) => self.read_reference(include, &reference),
                    Written::Canonical(url) => read_canonical(self.registry, include, url, resource_type, parameter),
                })
            })
            .collect()
    }

    /// `None` for what is not here, or not of the type that is to come along.
    fn read_reference(&self, include: &Include, reference: &str) -> Option<Pointed> {
        let (current, version) = match reference.split_once("/_history/") {
            Some((current, version)) => (current, Some(version.parse().ok()?)),
            None => (reference, None),
        };
        let mut target = current.to_owned();
        localize_target(&mut target, self.base);
        let (resource_type, id) = local(&target).filter(|(it, _)| include.target.is_none_or(|only| only == *it))?;
        let key = ResourceKey { resource_type, id: id.to_owned() };
        Some(match version {
            None => Pointed::Current(key),
            Some(number) => Pointed::Version(key, number),
        })
    }

    /// Of the resources with a canonical URL, and with the version behind its bar, the one changed last.
    fn with_url(&self, canonical: &str, types: &[ResourceType]) -> Result<Option<Version>, ApiError> {
        let (url, version) = canonical.split_once('|').map_or((canonical, None), |(url, version)| (url, Some(version)));
        let mut parts = vec![Condition::Has("url".into(), Test::Uri { uri: url.to_owned(), mode: UriMode::Exact })];
        parts.extend(version.map(|version| {
            Condition::Has("version".into(), Test::Token { system: None, code: Some(version.to_owned()) })
        }));
        let selection =
            |only: &ResourceType| Selection { resource_type: *only, condition: Condition::All(parts.clone()) };
        let selections = types.iter().map(selection).collect();
        let order = vec![SortKey { by: SortBy::LastUpdated, descending: true }];
        Ok(self.reader.find(&Query { order, ..Query::first(selections, 1) })?.versions.pop())
    }

    fn pointing_here(
        &mut self,
        include: &Include,
        from: &[Version],
        brought: &mut Vec<Version>,
    ) -> Result<(), ApiError> {
        let (Some(source), pointing) = (include.source, pointing(include, from)) else {
            return Ok(());
        };
        if !self.has_room() {
            return Ok(());
        }
        let selections = vec![Selection { resource_type: source, condition: pointing }];
        let page = self.reader.find(&Query::first(selections, self.room))?;
        if page.next.is_some() {
            self.inclusion = Inclusion::TooMany;
        }
        for version in page.versions {
            self.bring(version, brought)?;
        }
        Ok(())
    }

    fn bring(&mut self, version: Version, brought: &mut Vec<Version>) -> Result<(), ApiError> {
        if (self.admitted)(&version)? && self.known.insert((version.key.clone(), version.number)) {
            self.room = self.room.saturating_sub(1);
            brought.push(version);
        }
        Ok(())
    }

    fn has_room(&mut self) -> bool {
        if self.room == 0 {
            self.inclusion = Inclusion::TooMany;
        }
        self.room > 0
    }
}

/// Of the types to which a parameter may point, those that have canonical URLs.
fn read_canonical(
    registry: &Registry,
    include: &Include,
    url: String,
    resource_type: ResourceType,
    parameter: &str,
) -> Option<Pointed> {
    let targets = registry.parameter(resource_type, parameter)?.targets.iter().copied();
    let wanted = targets.filter(|target| include.target.is_none_or(|only| only == *target));
    Some(Pointed::Canonical(url, wanted.filter(|target| registry.parameter(*target, "url").is_some()).collect()))
}

/// Those that point to one of these resources under a parameter of the include.
fn pointing(include: &Include, to: &[Version]) -> Condition {
    let mut by_type: BTreeMap<ResourceType, Vec<&str>> = BTreeMap::new();
    for version in to.iter().filter(|version| include.target.is_none_or(|it| it == version.key.resource_type)) {
        by_type.entry(version.key.resource_type).or_default().push(&version.key.id);
    }
    let tests = include.parameters.iter().flat_map(|parameter| {
        by_type.iter().flat_map(move |(resource_type, ids)| {
            ids.iter().map(move |id| {
                let target = format!("{}/{id}", resource_type.as_str());
                Condition::Has(parameter.clone(), Test::Reference { target })
            })
        })
    });
    Condition::Any(tests.collect())
}
