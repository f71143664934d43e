//! The profiles that one check needs, each found and read once.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;

use super::definition::{Profile, list, text};
use super::fhir_path::{self, Expression, Failure};
use crate::json;
use crate::r4::definitions::elements::contexts;

/// Longest chain of base definitions.
const BASES_MAX: usize = 16;

/// Most StructureDefinitions that one check reads.
const DEFINITIONS_MAX: usize = 200;

/// Most elements of all that one check reads.
const ELEMENTS_MAX: usize = 50_000;

/// Most bytes of StructureDefinitions that one check reads.
const BYTES_MAX: usize = 64 << 20;

/// Where R4 has its own definitions.
pub(super) const R4_STRUCTURES: &str = "http://hl7.org/fhir/StructureDefinition/";

/// Where what a check needs comes from.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'s> {
    /// The StructureDefinition of a canonical URL, which may end in `|version`, as JSON.
    pub(crate) definition: &'s dyn Fn(&str) -> Option<Bytes>,
    /// Whether one of these codes is in a value set, named by its canonical URL.
    pub(crate) membership: &'s dyn Fn(&str, &[Coded<'_>]) -> Membership,
}

/// A code where a profile asks for one of a value set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coded<'n> {
    /// The URI of its system; `None` for a code that stands alone.
    pub(crate) system: Option<&'n str>,
    /// The code.
    pub(crate) code: &'n str,
}

/// Whether codes are in a value set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// One is.
    Inside,
    /// None is.
    Outside,
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Why a profile cannot be checked against; for people, as the end of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// This server does not know it.
    Unknown,
    /// What it says cannot be used.
    Broken(String),
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("this server does not know it"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

/// The profiles of one check.
pub(crate) struct Library<'s> {
    pub(super) sources: Sources<'s>,
    known: HashMap<String, Result<Rc<Profile>, Unusable>>,
    expressions: HashMap<String, Result<Rc<Expression>, Failure>>,
    elements_left: usize,
    bytes_left: usize,
}

impl<'s> Library<'s> {
    /// With nothing read yet.
    pub(crate) fn new(sources: Sources<'s>) -> Self {
        Self {
            sources,
            known: HashMap::new(),
            expressions: HashMap::new(),
            elements_left: ELEMENTS_MAX,
            bytes_left: BYTES_MAX,
        }
    }

    /// The profile of a canonical URL, which may end in `|version`.
    ///
    /// # Errors
    /// When it is not known, or it or one of its bases cannot be used.
    pub(crate) fn profile(&mut self, canonical: &str) -> Result<Rc<Profile>, Unusable> {
        self.find(canonical, &mut Vec::new())
    }

    /// An expression, read.
    pub(super) fn expression(&mut self, text: &str) -> Result<Rc<Expression>, Failure> {
        if let Some(known) = self.expressions.get(text) {
            return known.clone();
        }
        let read = fhir_path::parse(text).map(Rc::new);
        self.expressions.insert(text.to_owned(), read.clone());
        read
    }

    /// `open` are those whose base it is.
    fn find(&mut self, canonical: &str, open: &mut Vec<String>) -> Result<Rc<Profile>, Unusable> {
        if let Some(known) = self.known.get(canonical) {
            return known.clone();
        }
        if open.iter().any(|known| known == canonical) {
            return Err(Unusable::Broken(format!("`{canonical}` is based on itself")));
        }
        if open.len() >= BASES_MAX || self.known.len() >= DEFINITIONS_MAX {
            return Err(Unusable::Broken(format!(
                "it is based on more than {BASES_MAX} others, or names more than {DEFINITIONS_MAX}"
            )));
        }
        open.push(canonical.to_owned());
        let read = self.read(canonical, open).map(Rc::new);
        open.pop();
        self.known.insert(canonical.to_owned(), read.clone());
        read
    }

    fn read(&mut self, canonical: &str, open: &mut Vec<String>) -> Result<Profile, Unusable> {
        if let Some(own) = of_r4(canonical) {
            return Ok(Profile::plain(canonical, own));
        }
        let body = (self.sources.definition)(canonical).ok_or(Unusable::Unknown)?;
        let broken = |why: &str| Unusable::Broken(why.to_owned());
        let too_large = || broken("it is too large together with the profiles that it names");
        self.bytes_left = self.bytes_left.checked_sub(body.len()).ok_or_else(too_large)?;
        let node = json::parse(&body).map_err(|_damaged| broken("it is not JSON"))?;
        let url = text(&node, "url").unwrap_or(canonical);
        let named = text(&node, "type").unwrap_or_default();
        let of_type = contexts().find(|context| *context == named);
        let of_type = of_type.ok_or_else(|| broken("it is about a type that R4 does not have"))?;
        let parts = |name| node.member(name).map_or(&[][..], |part| list(part, "element"));
        let (snapshot, differential) = (parts("snapshot"), parts("differential"));
        let mut profile = Profile::plain(url, of_type);
        if snapshot.is_empty() {
            let base =
                text(&node, "baseDefinition").ok_or_else(|| broken("it has no snapshot and no `baseDefinition`"))?;
            let found = self.find(base, open).map_err(|why| match why {
                Unusable::Unknown => {
                    Unusable::Broken(format!("it has no snapshot, and its base `{base}` is not known"))
                }
                Unusable::Broken(_) => why,
            })?;
            if found.of_type == of_type {
                profile.root = found.root.clone();
                profile.gaps.clone_from(&found.gaps);
            } else if !matches!(found.of_type, "Resource" | "DomainResource" | "Element" | "BackboneElement") {
                return Err(Unusable::Broken(format!("it is about {of_type}, but its base `{base}` is not")));
            }
            profile.apply(differential);
        } else {
            profile.apply(snapshot);
        }
        self.elements_left = self.elements_left.checked_sub(profile.root.count()).ok_or_else(too_large)?;
        Ok(profile)
    }
}

/// The type of R4 whose own definition has this URL.
fn of_r4(canonical: &str) -> Option<&'static str> {
    let url = canonical.strip_suffix("|4.0.1").unwrap_or(canonical);
    let name = url.strip_prefix(R4_STRUCTURES)?;
    contexts().find(|context| *context == name)
}
