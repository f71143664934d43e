//! `$lastn`: the newest Observations of each kind about a subject
//! (<https://hl7.org/fhir/R4/observation-operation-lastn.html>).
//!
//! It is a search by any parameters, which all apply, whose matches are grouped by what they are about (`search::series`),
//! of each group the newest, and whatever is exactly as new as the last of them. The subject must be named: nobody asks
//! for the newest reading of just anyone. `category` or `code`, which the text asks for too, may be left out.

use std::cmp::Reverse;

use url::form_urlencoded;

use super::parameters::{Input, Kind, Times};
use super::{Call, Reply, Target, Work};
use crate::fhir::api::criteria::check_reliance;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::search;
use crate::fhir::api::search::bundle::write_linked;
use crate::fhir::api::search::gather::{Found, follow};
use crate::fhir::search::parse::Search;
use crate::fhir::search::scope::Scope;
use crate::fhir::search::series::{SERIES, groups, is_subject, may_fulfil, subject};
use crate::fhir::store::interface::Reader;
use crate::fhir::store::{Condition, Dated, Newest, Query, Selection, Version};

/// Most Observations of a group that can be asked for.
const MAX_MAX: i64 = 1_000;
/// Most Observations in an answer.
const ANSWER_MAX: usize = 10_000;
/// Most subjects of one call.
const SUBJECTS_MAX: usize = 100;
/// Most concepts about one subject that are grouped.
const CONCEPTS_MAX: usize = 20_000;

/// What `$lastn` takes beside the parameters of a search.
pub(super) const INPUTS: &[Input] = &[Input { name: "max", kind: Kind::Integer, times: Times::Optional }];

/// `GET [base]/Observation/$lastn?max=&patient=&...`
pub(super) fn lastn(call: &Call<'_>) -> Result<Work, ApiError> {
    let count = max(call)?;
    let search = filters(call)?;
    let own = self_link(call, &search);
    let base_url = call.base_url.to_owned();
    Ok(Work::read(move |reader| {
        check_reliance(reader, search.relies_on)?;
        let matches = newest(reader, &search, count)?;
        let (included, inclusion) = follow(reader, &base_url, &search, &matches)?;
        let total = u64::try_from(matches.len()).ok();
        let found = Found { matches, included, inclusion, total, next: None };
        Ok(Reply::ok(write_linked(&base_url, &[("self", own)], &search, &found)))
    }))
}

fn max(call: &Call<'_>) -> Result<usize, ApiError> {
    let max = call.parameters.integer("max").unwrap_or(1);
    let max = usize::try_from(max).ok().filter(|_max| (1..=MAX_MAX).contains(&max));
    max.ok_or_else(|| call.parameters.refuse("max", format!("`max` is a number from 1 to {MAX_MAX}.")))
}

fn filters(call: &Call<'_>) -> Result<Search, ApiError> {
    let Target::Type(resource_type) = call.target else {
        return Err(ApiError::internal("`$lastn` is called on a type alone"));
    };
    let parameters = call.parameters.others(INPUTS);
    let of_pages = |name: &str| matches!(name, "_count" | "_sort" | "_total" | "_cursor");
    if let Some((name, _)) = parameters.iter().find(|(name, _)| of_pages(name)) {
        let detail = format!("`$lastn` answers on one page, newest first: it does not take `{name}`. Use `max`.");
        return Err(ApiError::new(Category::NotSupported, detail));
    }
    search::read(call.state, call.rules(), Scope::Type(resource_type), parameters, search::handling(call.headers)?)
}

fn self_link(call: &Call<'_>, search: &Search) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(call.parameters.text("max").map(|max| ("max", max)));
    query.extend_pairs(&search.understood);
    format!("{}/{}/$lastn?{}", call.base_url, search.scope.path(), query.finish())
}

/// The newest matches of each group, newest first.
fn newest(reader: &dyn Reader, search: &Search, count: usize) -> Result<Vec<Version>, ApiError> {
    let mut dated = Vec::new();
    for selection in &search.selections {
        of_selection(reader, selection, count, &mut dated)?;
    }
    dated.sort_by_key(|dated| Reverse(dated.end));
    Ok(dated.into_iter().map(|dated| dated.version).collect())
}

fn of_selection(
    reader: &dyn Reader,
    selection: &Selection,
    count: usize,
    dated: &mut Vec<Dated>,
) -> Result<(), ApiError> {
    for subject in subjects(reader, &selection.condition)? {
        let concepts = reader.concepts(selection.resource_type, &SERIES, &subject, CONCEPTS_MAX + 1)?;
        if concepts.len() > CONCEPTS_MAX {
            return Err(too_much(CONCEPTS_MAX, "kinds of Observations. Ask with a search, in pages"));
        }
        dated.extend(reader.newest(&Newest {
            selection: selection.clone(),
            parameter: SERIES.clone(),
            subject,
            kinds: kinds(concepts, &selection.condition),
            count,
            most: ANSWER_MAX + 1,
        })?);
        if dated.len() > ANSWER_MAX {
            return Err(too_much(ANSWER_MAX, "Observations. Ask with a smaller `max` or for fewer of them"));
        }
    }
    Ok(())
}

/// Groups of concepts, without those of which nothing can be a match: to read them would be in vain.
fn kinds(concepts: Vec<String>, condition: &Condition) -> Vec<Vec<String>> {
    let mut kinds = groups(concepts);
    kinds.iter_mut().for_each(|kind| kind.retain(|concept| may_fulfil(concept, condition)));
    kinds.retain(|kind| !kind.is_empty());
    kinds
}

fn too_much(bound: usize, of_what: &str) -> ApiError {
    ApiError::new(Category::Value, format!("The answer would be about more than {bound} {of_what}."))
}

/// Whom the matches are about.
fn subjects(reader: &dyn Reader, condition: &Condition) -> Result<Vec<String>, ApiError> {
    let parts = if let Condition::All(parts) = condition { parts.as_slice() } else { std::slice::from_ref(condition) };
    for part in parts {
        if let Some(mut subjects) = named(reader, part)? {
            subjects.sort_unstable();
            subjects.dedup();
            if subjects.len() > SUBJECTS_MAX {
                return Err(too_much(SUBJECTS_MAX, "subjects. Name fewer"));
            }
            return Ok(subjects);
        }
    }
    Err(ApiError::new(
        Category::Required,
        "Name the subject by `patient` or `subject`, for example `patient=Patient/1`, or by a chain such as \
         `patient.identifier=...`.",
    ))
}

/// The subjects to which a condition restricts the matches; `None` if it does not.
fn named(reader: &dyn Reader, condition: &Condition) -> Result<Option<Vec<String>>, ApiError> {
    if let Some(subject) = subject(condition) {
        return Ok(Some(vec![subject.to_owned()]));
    }
    if let Condition::Linked { parameter, targets, condition } = condition
        && is_subject(parameter)
    {
        let mut subjects = Vec::new();
        for resource_type in targets.iter().copied() {
            let selections = vec![Selection { resource_type, condition: Condition::clone(condition) }];
            let page = reader.find(&Query::first(selections, SUBJECTS_MAX + 1))?;
            let keys = page.versions.into_iter().map(|version| version.key);
            subjects.extend(keys.map(|key| format!("{}/{}", key.resource_type.as_str(), key.id)));
        }
        return Ok(Some(subjects));
    }
    let Condition::Any(parts) = condition else { return Ok(None) };
    let mut subjects = Vec::new();
    for part in parts {
        let Some(of_part) = named(reader, part)? else { return Ok(None) };
        subjects.extend(of_part);
    }
    Ok(Some(subjects))
}
