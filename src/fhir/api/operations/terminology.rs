//! What the operations on codes have in common: which codes, which value set, and how a failure is told
//! (<https://hl7.org/fhir/R4/terminology-service.html>).

use bytes::Bytes;

use super::parameters::{Input, Kind, Parameters, Times};
use super::{Call, Target};
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::store::interface::Reader;
use crate::fhir::terminology::error::TerminologyError;
use crate::fhir::terminology::find::{self, canonical};
use crate::fhir::terminology::value_set::{Definition, ValueSet, named};
use crate::json::Node;

/// An input that may come once.
pub(super) const fn one(name: &'static str, kind: Kind) -> Input {
    Input { name, kind, times: Times::Optional }
}

/// A code that a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The URI of its system.
    pub(super) system: Option<String>,
    /// The version of the system.
    pub(super) version: Option<String>,
    /// The code.
    pub(super) code: String,
    /// What it is called by the client.
    pub(super) display: Option<String>,
}

impl Asked {
    /// The codes of `code`, `coding` and `codeableConcept`, exactly one of which is given.
    ///
    /// # Errors
    /// When none or several are given, or one has no code.
    pub(super) fn read(parameters: &Parameters<'_>) -> Result<Vec<Self>, ApiError> {
        let text = |name: &str| parameters.text(name).map(str::to_owned);
        let code = parameters.text("code").map(|code| Self {
            system: text("system"),
            version: text("systemVersion").or_else(|| text("version")),
            code: code.to_owned(),
            display: text("display"),
        });
        let coding = parameters.values("coding").next();
        let concept = parameters.values("codeableConcept").next();
        match (code, coding, concept) {
            (Some(code), None, None) => Ok(vec![code]),
            (None, Some(coding), None) => Ok(vec![Self::of_coding(coding)?]),
            (None, None, Some(concept)) => {
                let codings = concept.member("coding").map_or(&[][..], Node::elements);
                codings.iter().map(Self::of_coding).collect()
            }
            _ => Err(ApiError::new(
                Category::Required,
                "Name what is asked about by exactly one of the parameters `code` (with its system), `coding` and \
                 `codeableConcept` that this operation takes.",
            )),
        }
    }

    /// The code of a Coding.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn of_coding(coding: &Node<'_>) -> Result<Self, ApiError> {
        let text = |name: &str| coding.member(name).and_then(Node::as_str).map(str::to_owned);
        let code = text("code").ok_or_else(|| ApiError::new(Category::Required, "A Coding has a `code` here."))?;
        Ok(Self { system: text("system"), version: text("version"), code, display: text("display") })
    }

    /// The URI of its system.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn system(&self) -> Result<&str, ApiError> {
        let missing = || ApiError::new(Category::Required, "A code means nothing without its `system`.");
        self.system.as_deref().ok_or_else(missing)
    }
}

/// The value set that a call is about, still to be found.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// By its URL, with or without a version, or as `ValueSet/id`.
    Named(String),
    /// The one that was sent along.
    Sent(Bytes),
}

impl Wanted {
    /// The value set of a call.
    ///
    /// # Errors
    /// When none or several are named.
    pub(super) fn read(call: &Call<'_>) -> Result<Self, ApiError> {
        let id = match &call.target {
            Target::Instance(key) => Some(format!("ValueSet/{}", key.id)),
            Target::System | Target::Type(_) => None,
        };
        let url = call.parameters.text("url").map(|url| canonical(url, call.parameters.text("valueSetVersion")));
        let sent = call.parameters.resources("valueSet").next();
        match (id, url, sent) {
            (Some(name), None, None) | (None, Some(name), None) => Ok(Self::Named(name)),
            (None, None, Some(body)) => Ok(Self::Sent(Bytes::copy_from_slice(body))),
            _ => Err(ApiError::new(
                Category::Required,
                "Name one value set: by the parameter `url`, by the resource this is called on, or as the parameter \
                 `valueSet`.",
            )),
        }
    }

    /// The value set itself.
    ///
    /// # Errors
    /// When there is none of that name, or the store fails.
    pub(super) fn find(self, reader: &dyn Reader) -> Result<ValueSet, TerminologyError> {
        match self {
            Self::Named(name) => named(reader, &name),
            Self::Sent(body) => {
                let name = "the value set sent along".to_owned();
                Ok(ValueSet { name, definition: Definition::Resource(body) })
            }
        }
    }
}

/// The canonical URL of the CodeSystem that a call is made on; `None` when it is made on the type.
///
/// # Errors
/// When there is no such resource, or the store fails.
pub(super) fn system_of(reader: &dyn Reader, target: &Target) -> Result<Option<String>, ApiError> {
    let Target::Instance(key) = target else { return Ok(None) };
    let version = crate::fhir::api::read::current(reader, key)?;
    let body = version.body.unwrap_or_default();
    let resource = crate::json::parse(&body).map_err(ApiError::internal)?;
    let url = resource.member("url").and_then(Node::as_str);
    let none = || ApiError::new(Category::Unprocessable, "The CodeSystem has no `url`, so no code can be of it.");
    url.map(|url| Some(url.to_owned())).ok_or_else(none)
}

/// A code system; see `find::code_system`.
///
/// # Errors
/// When there is none with its codes, or the store fails.
pub(super) fn code_system(
    reader: &dyn Reader,
    url: &str,
    version: Option<&str>,
) -> Result<crate::fhir::terminology::code_system::CodeSystem, ApiError> {
    Ok(find::code_system(reader, url, version)?)
}

impl From<TerminologyError> for ApiError {
    fn from(error: TerminologyError) -> Self {
        let category = match error {
            TerminologyError::Store(error) => return error.into(),
            TerminologyError::UnknownValueSet(_)
            | TerminologyError::UnknownSystem(_)
            | TerminologyError::UnknownCode { .. } => Category::NotFound,
            TerminologyError::TooCostly { .. } | TerminologyError::TooMany { .. } => Category::TooCostly,
            TerminologyError::Circular(_) | TerminologyError::Definition { .. } => Category::Unprocessable,
        };
        Self::new(category, format!("This cannot be told: {error}."))
    }
}
