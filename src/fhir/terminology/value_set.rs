//! Where the definition of a value set comes from: stored here, sent along, or of R4 itself.

use bytes::Bytes;

use super::error::TerminologyError;
use super::find;
use crate::fhir::store::interface::Reader;
use crate::r4::definitions::value_sets;

/// A value set and the name under which it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct ValueSet {
    /// Its URL, `ValueSet/id`, or a word for one that was sent along.
    pub(crate) name: String,
    /// What it is made of.
    pub(crate) definition: Definition,
}

/// What a value set is made of.
#[derive(Clone, Debug)]
pub(crate) enum Definition {
    /// A ValueSet, as JSON.
    Resource(Bytes),
    /// One to which R4 binds elements.
    OfR4(&'static value_sets::ValueSet),
}

/// The value set of this name: `ValueSet/id`, or a URL that may end in `|version`. What is stored goes before what R4 has.
///
/// # Errors
/// When there is none, or the store fails.
pub(crate) fn named(reader: &dyn Reader, name: &str) -> Result<ValueSet, TerminologyError> {
    let definition = match find::value_set(reader, name)? {
        Some(body) => Some(Definition::Resource(body)),
        None => of_r4(name).map(Definition::OfR4),
    };
    let unknown = || TerminologyError::UnknownValueSet(name.to_owned());
    Ok(ValueSet { name: name.to_owned(), definition: definition.ok_or_else(unknown)? })
}

fn of_r4(name: &str) -> Option<&'static value_sets::ValueSet> {
    let (url, version) = find::split(name);
    value_sets::value_set(url).filter(|_| version.is_none_or(|version| version == "4.0.1"))
}
