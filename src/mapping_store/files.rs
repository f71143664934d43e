//! A pair of mapping files: what they say, and whether that may have changed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::MappingError;
use crate::mapping::{Mappings, Problem, Source, shipped};

/// A device mapping and a FHIR mapping; paths, or names of shipped ones.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) device: PathBuf,
    pub(super) fhir: PathBuf,
}

/// What tells a changed file from an unchanged one without reading it.
pub(super) type Stamps = [Option<Stamp>; 2];

/// Inode, length, and time of the last change in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

impl Files {
    pub(super) fn stamps(&self) -> Stamps {
        [stamp(&self.device), stamp(&self.fhir)]
    }

    pub(super) fn load(&self) -> Result<(Mappings, Vec<Problem>), MappingError> {
        let device = File::read(&self.device)?;
        let fhir = File::read(&self.fhir)?;
        Mappings::load(device.source(), fhir.source()).map_err(MappingError::Problems)
    }
}

/// `None` for what is no file; shipped mappings never change.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}

struct File {
    name: String,
    text: String,
}

impl File {
    fn read(path: &Path) -> Result<Self, MappingError> {
        let name = path.display().to_string();
        if let Some(text) = shipped::text(&name) {
            return Ok(Self { name, text: text.to_owned() });
        }
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self { name, text }),
            Err(cause) => Err(MappingError::Unreadable { path: name, cause }),
        }
    }

    fn source(&self) -> Source<'_> {
        Source { name: &self.name, text: &self.text }
    }
}
