//! Patches: a description of changes, and what comes of a resource to which they are applied
//! (<https://hl7.org/fhir/R4/http.html#patch>).
//!
//! A patch is read once, without the resource. Applying it opens the resource along the paths it names (`json::tree`);
//! all other members keep their bytes. Either all of its operations take effect or none does. Whether the outcome is a
//! resource that may be stored is not decided here: it is checked as if it had been sent.
//!
//! Two notations are read, JSON Patch (`json_patch`) and FHIRPath Patch (`fhir_path_patch`).

mod fhir_path_patch;
mod json_patch;
mod narrative;
mod pointer;
mod values;

use bytes::Bytes;

use self::fhir_path_patch::FhirPathPatch;
use self::json_patch::JsonPatch;
use crate::json::tree::Tree;

/// Most operations in one patch.
const OPERATIONS_MAX: usize = 1_000;
/// Most bytes that one patch may open, compare, copy or add, all operations together. It also bounds what a resource can
/// grow to, since `copy` can double it.
const WORK_BYTES_MAX: usize = 64 << 20;

/// A patch, read.
#[derive(Clone, Debug)]
pub(crate) enum Patch {
    /// RFC 6902.
    Json(JsonPatch),
    /// A Parameters resource with operations.
    FhirPath(FhirPathPatch),
}

/// What is wrong with a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not a patch.
    Malformed,
    /// It uses something that is not supported.
    NotSupported,
    /// It is a patch, but not one that fits the resource.
    Inapplicable,
    /// It is too long, or asks for too much work.
    TooLarge,
}

/// A patch that cannot be read or applied.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct PatchError {
    /// What is wrong.
    pub(crate) fault: Fault,
    /// What is wrong and how to mend it, for the client.
    pub(crate) detail: String,
    /// Where in a Parameters resource.
    pub(crate) location: Option<String>,
}

impl PatchError {
    fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into(), location: None }
    }

    fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Fault::Malformed, detail)
    }

    fn inapplicable(detail: impl Into<String>) -> Self {
        Self::new(Fault::Inapplicable, detail)
    }
}

impl Patch {
    /// Reads a JSON Patch.
    ///
    /// # Errors
    /// When it is not one.
    pub(crate) fn json(text: &Bytes) -> Result<Self, PatchError> {
        JsonPatch::read(text).map(Self::Json)
    }

    /// Reads a FHIRPath Patch.
    ///
    /// # Errors
    /// When it is not one, or has paths beyond what is supported.
    pub(crate) fn fhir_path(text: &Bytes) -> Result<Self, PatchError> {
        FhirPathPatch::read(text).map(Self::FhirPath)
    }

    /// The text of a stored resource after all operations, or `None` if they come to nothing. A narrative that the patch
    /// leaves alone may no longer be true; `narrative` says what becomes of it.
    ///
    /// # Errors
    /// When an operation does not fit the resource, or too much work is asked for.
    pub(crate) fn apply(&self, resource: &Bytes) -> Result<Option<Bytes>, PatchError> {
        let mut tree = Tree::Raw(resource.clone());
        let mut work = Work(WORK_BYTES_MAX);
        match self {
            Self::Json(patch) => patch.apply(&mut tree, &mut work)?,
            Self::FhirPath(patch) => patch.apply(&mut tree, &mut work)?,
        }
        tree.prune();
        narrative::settle(resource, tree)
    }
}

/// The bytes that may still be opened, compared, copied or added.
#[derive(Debug)]
struct Work(usize);

impl Work {
    fn spend(&mut self, bytes: usize) -> Result<(), PatchError> {
        let too_much = || {
            PatchError::new(
                Fault::TooLarge,
                "The patch asks for more work than this server takes. Send it in parts, or the whole resource with PUT.",
            )
        };
        self.0 = self.0.checked_sub(bytes).ok_or_else(too_much)?;
        Ok(())
    }

    fn open(&mut self, tree: &mut Tree) -> Result<(), PatchError> {
        self.spend(tree.open())
    }
}

#[cfg(test)]
mod tests;
