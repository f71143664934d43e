//! A pair of mapping files: what they say, and whether that may have changed.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::MappingError;
use crate::mapping::{Mappings, Problem, Source, shipped};
use crate::telemetry::meters::Side;

/// A device mapping and a FHIR mapping; paths, or names of shipped ones.
#[derive(Debug)]
pub(super) struct Files {
    device: PathBuf,
    fhir: PathBuf,
    /// The files that those name, as they were just before they were read last.
    included: Mutex<Vec<(PathBuf, Option<Stamp>)>>,
}

/// What tells a changed file from an unchanged one without reading it.
pub(super) type Stamps = [Option<Stamp>; 2];

/// Inode, length, and time of the last change in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

impl Files {
    pub(super) fn new(device: PathBuf, fhir: PathBuf) -> Self {
        Self { device, fhir, included: Mutex::default() }
    }

    /// Which of the two a problem of this file concerns.
    pub(super) fn side(&self, file: &str) -> Side {
        if self.device.display().to_string() == file { Side::Device } else { Side::Fhir }
    }

    pub(super) fn stamps(&self) -> Stamps {
        [stamp(&self.device), stamp(&self.fhir)]
    }

    /// Whether a file that the mappings name may have changed since they were loaded.
    pub(super) fn included_changed(&self) -> bool {
        let included = self.included.lock().unwrap_or_else(PoisonError::into_inner);
        included.iter().any(|(path, before)| stamp(path) != *before)
    }

    pub(super) fn load(&self) -> Result<(Mappings, Vec<Problem>), MappingError> {
        let device = MappingFile::read(&self.device)?;
        let fhir = MappingFile::read(&self.fhir)?;
        let seen = Mutex::new(Vec::new());
        let include = |name: &str| {
            let path = beside(&self.fhir, name);
            let before = stamp(&path);
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((path, before));
            included(&self.fhir, name)
        };
        let loaded = Mappings::load_with(device.source(), fhir.source(), &include);
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.included.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        loaded.map_err(MappingError::Problems)
    }
}

/// Longest file that a mapping may name.
const INCLUDED_BYTES_MAX: u64 = 1 << 20;

/// The text of a file that a mapping names, which stands beside it.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn included(mapping: &Path, name: &str) -> Result<String, String> {
    if let Some(shipped) = shipped::included(&mapping.display().to_string(), name) {
        return shipped;
    }
    let mut text = String::new();
    let read = std::fs::File::open(beside(mapping, name))
        .and_then(|file| file.take(INCLUDED_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(length) if u64::try_from(length).is_ok_and(|length| length > INCLUDED_BYTES_MAX) => {
            Err(format!("it is longer than {INCLUDED_BYTES_MAX} bytes"))
        }
        Ok(_) => Ok(text),
        Err(cause) => Err(cause.to_string()),
    }
}

fn beside(mapping: &Path, name: &str) -> PathBuf {
    mapping.parent().unwrap_or(Path::new("")).join(name)
}

/// `None` for what is no file; shipped mappings never change.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}

/// The text of a mapping file, or of a shipped mapping.
pub(crate) struct MappingFile {
    name: String,
    text: String,
}

impl MappingFile {
    /// Reads it.
    ///
    /// # Errors
    /// When there is no such file, or it is not text.
    pub(crate) fn read(path: &Path) -> Result<Self, MappingError> {
        let name = path.display().to_string();
        if let Some(text) = shipped::text(&name) {
            return Ok(Self { name, text: text.to_owned() });
        }
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self { name, text }),
            Err(cause) => Err(MappingError::Unreadable { path: name, cause }),
        }
    }

    /// What there is to load.
    pub(crate) fn source(&self) -> Source<'_> {
        Source { name: &self.name, text: &self.text }
    }
}
