//! One process per data directory.

use std::fs::{File, OpenOptions};
use std::path::Path;

use super::OpenError;

/// Name of the lock file. It stays behind; only the lock on it counts, and that goes with the process.
const FILE_NAME: &str = "vitalwire.lock";

/// The right to use a data directory, given back when dropped or when the process ends in whatever way.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory if needed and takes the lock.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let failed = |cause| OpenError::Directory { path: directory.to_owned(), cause };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let path = directory.join(FILE_NAME);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse { path: directory.to_owned() }),
            Err(std::fs::TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }
}
