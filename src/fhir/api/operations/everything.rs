//! `$everything`: all there is about a patient, an encounter or a device, or about all of them
//! (<https://hl7.org/fhir/R4/patient-operation-everything.html>,
//! <https://hl7.org/fhir/R4/encounter-operation-everything.html>).
//!
//! The matches are the compartment of the resource; called on a type, the compartments of all its resources. Along come
//! the practitioners, organizations, locations, medications and devices that they refer to, and these in turn, and the
//! patient of an encounter: nobody else's. R4 has no such operation for a device; here it is the device's compartment,
//! its metrics and the Observations made by these, without patients. The answer is paged; without `_count` a page is as
//! large as this server makes them.
//!
//! `start` and `end` are about the time of care: a resource with dates must have one that meets it, one without dates is
//! always in. `_since` is about the last change of what is in the compartment. `_type` names what is shown of all this.

use super::parameters::{Input, Kind, Times};
use super::{Call, Reply, Target, Work};
use crate::fhir::api::error::ApiError;
use crate::fhir::api::read;
use crate::fhir::api::search::{bundle, gather};
use crate::fhir::search::date;
use crate::fhir::search::include::{Direction, Include, Reach};
use crate::fhir::search::index::targets;
use crate::fhir::search::local::localize_target;
use crate::fhir::search::parse::{Handling, PageSize, Search, Total, parse};
use crate::fhir::search::reference::local;
use crate::fhir::search::registry::Registry;
use crate::fhir::search::scope::{Inside, Scope};
use crate::fhir::store::interface::Reader;
use crate::fhir::store::{Condition, Query, Relation, ResourceKey, Selection, Test, Version};
use crate::json;
use crate::r4::definitions::search_parameters::{ParameterKind, search_parameter, search_parameters};
use crate::r4::resource_type::ResourceType;

/// What the operation takes. `_cursor` is in the links of pages.
pub(super) const INPUTS: &[Input] = &[
    Input { name: "start", kind: Kind::Text, times: Times::Optional },
    Input { name: "end", kind: Kind::Text, times: Times::Optional },
    Input { name: "_since", kind: Kind::Text, times: Times::Optional },
    Input { name: "_type", kind: Kind::Text, times: Times::Many },
    Input { name: "_count", kind: Kind::Integer, times: Times::Optional },
    Input { name: "_cursor", kind: Kind::Text, times: Times::Optional },
];

/// Types of which those come along that are referred to.
const SUPPORTING: [&str; 8] = [
    "Device",
    "HealthcareService",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Substance",
];

/// Dates that are not about care.
const NOT_OF_CARE: [&str; 3] = ["_lastUpdated", "birthdate", "death-date"];

/// `GET [base]/Patient/[id]/$everything`, `[base]/Patient/$everything`, and the same for Encounter and Device
pub(super) fn everything(call: &Call<'_>) -> Result<Work, ApiError> {
    let of = match call.target.clone() {
        Target::Instance(key) => Of::One(key),
        Target::Type(resource_type) => Of::Each(resource_type),
        Target::System => return Err(ApiError::internal("`$everything` is called on types and resources alone")),
    };
    let asked = Asked::read(call, &of)?;
    let base_url = call.base_url.to_owned();
    Ok(Work::read(move |reader| asked.answer(reader, &base_url, &of).map(Reply::ok)))
}

/// What everything is asked about.
#[derive(Debug)]
enum Of {
    /// A resource.
    One(ResourceKey),
    /// All resources of a type.
    Each(ResourceType),
}

impl Of {
    fn is(&self, key: &ResourceKey) -> bool {
        match self {
            Self::One(only) => only == key,
            Self::Each(resource_type) => *resource_type == key.resource_type,
        }
    }
}

/// A call that is understood.
struct Asked {
    search: Search,
    /// The types of which resources are shown; `None`: all.
    shown: Option<Vec<ResourceType>>,
}

impl Asked {
    fn read(call: &Call<'_>, of: &Of) -> Result<Self, ApiError> {
        let (inside, resource_type) = match of {
            Of::One(key) => (Inside::new(key.clone(), None), key.resource_type),
            Of::Each(resource_type) => (Inside::each(*resource_type), *resource_type),
        };
        let Some(inside) = inside else {
            return Err(ApiError::internal("`$everything` is called where there is a compartment"));
        };
        let parameters = &call.parameters;
        let paging = ["_count", "_cursor"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), parameters.text(name)?.to_owned())))
            .collect();
        let settings = &call.state.settings;
        let (max, link_bytes_max) = (settings.page_size_max, settings.link_bytes_max());
        let page_size = PageSize { default: max, max, link_bytes_max };
        let mut search = parse(call.registry, Scope::Everything(inside), paging, page_size, Handling::Strict)?;
        // The links repeat everything; which parameters there are is part of what a cursor belongs to.
        for name in ["start", "end", "_since", "_type", "_summary", "_elements"] {
            let texts = parameters.texts(name).map(|text| (name.to_owned(), text.to_owned()));
            search.understood.extend(texts);
        }
        let mut asked = Self { search, shown: shown(call)? };
        asked.search.includes = includes(resource_type);
        asked.keep_shown();
        asked.narrow(since(call)?, care(call)?);
        Ok(asked)
    }

    /// Does not search types that are not shown, unless what they refer to may be.
    fn keep_shown(&mut self) {
        let Some(shown) = &self.shown else { return };
        if self.search.includes.iter().any(|include| include.target.is_some_and(|target| shown.contains(&target))) {
            self.search.total = Total::None;
        } else {
            self.search.selections.retain(|selection| shown.contains(&selection.resource_type));
        }
    }

    fn narrow(&mut self, since: Option<Condition>, care: Option<(i64, i64)>) {
        for selection in &mut self.search.selections {
            let mut parts = vec![std::mem::replace(&mut selection.condition, Condition::All(Vec::new()))];
            parts.extend(since.clone());
            parts.extend(care.and_then(|(start, end)| cared_for(selection.resource_type, start, end)));
            selection.condition = Condition::All(parts);
        }
    }

    fn answer(&self, reader: &dyn Reader, base_url: &str, of: &Of) -> Result<Vec<u8>, ApiError> {
        let patients = Patients::of(reader, of, base_url)?;
        // What everything is asked about is a match, if it is shown at all.
        let is_own = |version: &Version| Ok(!of.is(&version.key) && patients.own(version)?);
        let mut found = gather::gather_with(reader, base_url, &self.search, &is_own)?;
        let is_shown =
            |version: &Version| self.shown.as_ref().is_none_or(|shown| shown.contains(&version.key.resource_type));
        found.matches.retain(is_shown);
        found.included.retain(is_shown);
        bundle::write(base_url, &self.search, &found)
    }
}

/// The types in `_type`, which may come several times with several names each.
fn shown(call: &Call<'_>) -> Result<Option<Vec<ResourceType>>, ApiError> {
    let mut shown = Vec::new();
    for name in call.parameters.texts("_type").flat_map(|text| text.split(',')) {
        let refused = || call.parameters.refuse("_type", "`_type` takes names of resource types, separated by commas.");
        shown.push(ResourceType::parse(name).ok_or_else(refused)?);
    }
    Ok((!shown.is_empty()).then_some(shown))
}

fn since(call: &Call<'_>) -> Result<Option<Condition>, ApiError> {
    let Some(text) = call.parameters.text("_since") else {
        return Ok(None);
    };
    // A plus that was not percent-encoded reads as a space.
    let time: jiff::Timestamp = text
        .replace(' ', "+")
        .parse()
        .map_err(|_not_an_instant| call.parameters.refuse("_since", "`_since` is an instant with a time zone."))?;
    Ok(Some(Condition::LastUpdated { start: time.as_microsecond(), end: i64::MAX }))
}

/// From the beginning of `start` to the end of `end`, in microseconds since 1970.
fn care(call: &Call<'_>) -> Result<Option<(i64, i64)>, ApiError> {
    let span = |name: &str| {
        let Some(text) = call.parameters.text(name) else {
            return Ok(None);
        };
        let is_plain = text.starts_with(|first: char| first.is_ascii_digit());
        let span = date::span(text).filter(|_span| is_plain);
        let refused =
            || call.parameters.refuse(name, format!("`{name}` is a date: `2024`, `2024-01` or `2024-01-05`."));
        span.map(Some).ok_or_else(refused)
    };
    let (start, end) = (span("start")?, span("end")?);
    if start.is_none() && end.is_none() {
        return Ok(None);
    }
    let span = (start.map_or(i64::MIN, |(start, _)| start), end.map_or(i64::MAX, |(_, end)| end));
    if span.0 > span.1 {
        return Err(call.parameters.refuse("end", "`end` lies before `start`."));
    }
    Ok(Some(span))
}

/// One of the dates of care meets the span, or there are none; `None` where the type never has any.
fn cared_for(resource_type: ResourceType, start: i64, end: i64) -> Option<Condition> {
    let all = search_parameters(resource_type).iter();
    let dates: Vec<_> = match search_parameter(resource_type, "date") {
        Some(date) if date.kind == ParameterKind::Date => vec![date],
        _ => all
            .filter(|parameter| parameter.kind == ParameterKind::Date)
            .filter(|parameter| !NOT_OF_CARE.contains(&parameter.code.as_ref()))
            .collect(),
    };
    if dates.is_empty() {
        return None;
    }
    let undated = dates.iter().map(|date| Condition::Not(Box::new(Condition::Present(date.code.clone())))).collect();
    let meets = Test::Date { relation: Relation::Overlaps, start, end };
    let dated = dates.iter().map(|date| Condition::Has(date.code.clone(), meets.clone()));
    Some(Condition::Any(dated.chain([Condition::All(undated)]).collect()))
}

/// What comes along with a compartment.
fn includes(of: ResourceType) -> Vec<Include> {
    let supporting = SUPPORTING.into_iter().filter_map(ResourceType::parse).map(|target| Include {
        direction: Direction::Forward,
        source: None,
        parameters: Vec::new(),
        target: Some(target),
        reach: Reach::Iterate,
    });
    // The one Encounter in its compartment is itself.
    let patient = (of.as_str() == "Encounter").then(|| Include {
        direction: Direction::Forward,
        source: Some(of),
        parameters: vec!["patient".into()],
        target: ResourceType::parse("Patient"),
        reach: Reach::Matches,
    });
    supporting.chain(patient).collect()
}

/// Whose resources are shown.
struct Patients<'a> {
    reader: &'a dyn Reader,
    base_url: &'a str,
    are: Are,
}

/// Who the patients are.
enum Are {
    /// These: a patient, or the one that an encounter or a device names.
    Named(Vec<String>),
    /// All of them, or whoever is named by any resource of this type.
    NamedBy(ResourceType),
}

impl<'a> Patients<'a> {
    fn of(reader: &'a dyn Reader, of: &Of, base_url: &'a str) -> Result<Self, ApiError> {
        let are = match of {
            Of::One(key) => {
                let mut named = patients_of(&read::current(reader, key)?, base_url);
                named.push(format!("{}/{}", key.resource_type.as_str(), key.id));
                Are::Named(named)
            }
            Of::Each(resource_type) => Are::NamedBy(*resource_type),
        };
        Ok(Self { reader, base_url, are })
    }

    /// Whether what comes along names no patient, or one of these: a device that somebody else wears now does not.
    fn own(&self, version: &Version) -> Result<bool, ApiError> {
        for patient in patients_of(version, self.base_url) {
            if !self.include(patient)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn include(&self, patient: String) -> Result<bool, ApiError> {
        let resource_type = match &self.are {
            Are::Named(named) => return Ok(named.contains(&patient)),
            Are::NamedBy(resource_type) => *resource_type,
        };
        let condition = match local(&patient) {
            Some((itself, id)) if itself == resource_type => Condition::Id(vec![id.to_owned()]),
            _ => Condition::Has("patient".into(), Test::Reference { target: patient }),
        };
        let selections = vec![Selection { resource_type, condition }];
        let named = self.reader.find(&Query::first(selections, 1))?;
        Ok(!named.versions.is_empty())
    }
}

fn patients_of(version: &Version, base_url: &str) -> Vec<String> {
    let Some(node) = version.body.as_ref().and_then(|body| json::parse(body).ok()) else {
        return Vec::new();
    };
    // Who a patient is does not depend on what else resources are found by.
    let mut patients = targets(Registry::r4(), version.key.resource_type, "patient", &node);
    patients.iter_mut().for_each(|patient| localize_target(patient, base_url));
    patients
}
