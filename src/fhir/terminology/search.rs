//! The codes that searches ask for by `:in`, `:not-in`, `:above` and `:below`.

use super::code_system::Concept;
use super::error::TerminologyError;
use super::expansion::{EXPANSION_MAX, expand};
use super::{find, value_set};
use crate::fhir::store::interface::{Reader, StoreError};
use crate::fhir::store::{Code, CodeSet};

/// The codes of a set, for the store.
///
/// # Errors
/// When they cannot be told to the last one, or are too many, or the store fails.
pub(crate) fn codes(reader: &dyn Reader, set: &CodeSet) -> Result<Vec<Code>, StoreError> {
    Ok(list(reader, set)?)
}

fn list(reader: &dyn Reader, set: &CodeSet) -> Result<Vec<Code>, TerminologyError> {
    match set {
        CodeSet::ValueSet(name) => {
            let expansion = expand(reader, &value_set::named(reader, name)?)?;
            Ok(expansion.into_iter().map(|member| Code { system: member.system, code: member.code }).collect())
        }
        CodeSet::Below(Code { system, code }) => {
            let known = find::code_system(reader, system, None)?;
            bounded(system, known.with_descendants(code)?)
        }
        CodeSet::Above(Code { system, code }) => {
            let known = find::code_system(reader, system, None)?;
            bounded(system, known.with_ancestors(code)?)
        }
    }
}

fn bounded(system: &str, concepts: Vec<&Concept>) -> Result<Vec<Code>, TerminologyError> {
    if concepts.len() > EXPANSION_MAX {
        return Err(TerminologyError::TooCostly { of: system.to_owned(), most: EXPANSION_MAX });
    }
    let code = |concept: &Concept| Code { system: system.to_owned(), code: concept.code.clone() };
    Ok(concepts.into_iter().map(code).collect())
}
