//! Resources and the profiles they are to conform to: those that a client asks for, and those that a resource claims in
//! `meta.profile`. A StructureDefinition that is stored here goes before one that comes with the program.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::error::{ApiError, Category};
use crate::fhir::profile::{self, Coded, Library, Membership, Profile, Sources};
use crate::fhir::store::Code;
use crate::fhir::store::interface::{Reader, StoreError};
use crate::fhir::terminology::error::TerminologyError;
use crate::fhir::terminology::expansion::{expand, member};
use crate::fhir::terminology::find;
use crate::fhir::terminology::value_set::named;
use crate::json::Node;
use crate::r4::definitions::profiles;
use crate::r4::outcome::{Issue, Severity};

/// Most profiles that one resource is checked against.
const PROFILES_MAX: usize = 50;

/// The canonical URLs of the profiles that a resource claims to conform to.
pub(crate) fn claimed<'n>(resource: &'n Node<'_>) -> impl Iterator<Item = &'n str> {
    let list = resource.member("meta").and_then(|meta| meta.member("profile")).map_or(&[][..], Node::elements);
    list.iter().filter_map(Node::as_str)
}

/// Whether these profiles can be checked against.
///
/// # Errors
/// When one is not known, or cannot be used, or the store fails.
pub(crate) fn are_known(reader: &dyn Reader, asked: &[String]) -> Result<(), ApiError> {
    with_library(reader, |library| asked_of(library, asked).map(drop))
}

/// What keeps a resource, which is one of R4, from conforming to the profiles that were asked for and those that it
/// claims, and what of them was not checked.
///
/// # Errors
/// As `are_known`, of those that were asked for.
pub(crate) fn check(reader: &dyn Reader, resource: &Node<'_>, asked: &[String]) -> Result<Vec<Issue>, ApiError> {
    with_library(reader, |library| {
        let mut known = asked_of(library, asked)?;
        let mut notes = Vec::new();
        for (index, url) in claimed(resource).enumerate().filter(|(_, url)| asked.iter().all(|asked| asked != url)) {
            let found = if index < PROFILES_MAX {
                library.profile(url).map_err(|why| why.to_string())
            } else {
                Err(format!("no more than {PROFILES_MAX} are checked"))
            };
            match found {
                Ok(profile) => known.push(profile),
                Err(why) => notes.push(unchecked(resource, index, url, &why)),
            }
        }
        let mut issues = profile::check(resource, &known, library);
        issues.append(&mut notes);
        Ok(issues)
    })
}

fn unchecked(resource: &Node<'_>, index: usize, url: &str, why: &str) -> Issue {
    let resource_type = resource.member("resourceType").and_then(Node::as_str).unwrap_or_default();
    let what = format!("The resource claims the profile `{url}`, against which it was not checked: {why}.");
    Issue::new(Severity::Warning, "not-supported", what).at(format!("{resource_type}.meta.profile[{index}]"))
}

fn asked_of(library: &mut Library<'_>, asked: &[String]) -> Result<Vec<Rc<Profile>>, ApiError> {
    if asked.len() > PROFILES_MAX {
        let detail = format!("A resource is checked against {PROFILES_MAX} profiles at most. Ask for fewer.");
        return Err(ApiError::new(Category::TooCostly, detail));
    }
    let found = asked.iter().map(|url| {
        library.profile(url).map_err(|why| {
            let detail = format!(
                "Nothing can be checked against the profile `{url}`: {why}. Store its StructureDefinition here, or leave \
                 `profile` out."
            );
            ApiError::new(Category::NotSupported, detail)
        })
    });
    found.collect()
}

/// Does what needs profiles and value sets. A failure of the store while they are looked up is the failure of all.
fn with_library<T>(
    reader: &dyn Reader,
    job: impl FnOnce(&mut Library<'_>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let failure: RefCell<Option<StoreError>> = RefCell::new(None);
    let note = |error: StoreError| {
        failure.borrow_mut().get_or_insert(error);
    };
    let definition = |canonical: &str| definition(reader, canonical).map_err(note).ok().flatten();
    let membership = |value_set: &str, codes: &[Coded<'_>]| {
        membership(reader, value_set, codes).unwrap_or_else(|error| {
            note(error);
            Membership::Unknown("the store failed".to_owned())
        })
    };
    let done = job(&mut Library::new(Sources { definition: &definition, membership: &membership }));
    match failure.into_inner() {
        Some(error) => Err(error.into()),
        None => done,
    }
}

fn definition(reader: &dyn Reader, canonical: &str) -> Result<Option<Bytes>, StoreError> {
    let (url, version) = find::split(canonical);
    let stored = find::body_of(reader, "StructureDefinition", url, version)?;
    let is_shipped = version.is_none_or(|version| version == profiles::VERSION);
    Ok(stored.or_else(|| profiles::profile(url).filter(|_| is_shipped).map(|text| Bytes::from_static(text.as_bytes()))))
}

/// Whether one of these codes is in a value set. Only a failing store is an error.
fn membership(reader: &dyn Reader, value_set: &str, codes: &[Coded<'_>]) -> Result<Membership, StoreError> {
    let mut answer = Membership::Outside;
    for code in codes {
        match is_member(reader, value_set, *code) {
            Ok(true) => return Ok(Membership::Inside),
            Ok(false) => {}
            Err(TerminologyError::Store(error)) => return Err(error),
            Err(error) => answer = Membership::Unknown(error.to_string()),
        }
    }
    Ok(answer)
}

fn is_member(reader: &dyn Reader, value_set: &str, code: Coded<'_>) -> Result<bool, TerminologyError> {
    let value_set = named(reader, value_set)?;
    match code.system {
        Some("") => Ok(false),
        Some(system) => {
            let code = Code { system: system.to_owned(), code: code.code.to_owned() };
            Ok(member(reader, &value_set, &code)?.is_some())
        }
        None => Ok(expand(reader, &value_set)?.iter().any(|member| member.code == code.code)),
    }
}
