//! A file of accounts or permissions: its text, what is wrong with it line by line, and whether it has changed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Largest such file: half a million accounts.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Problems that are told of one file; the others follow when these are mended.
const PROBLEMS_MAX: usize = 20;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// Nothing can be read.
    #[error("cannot read {file}; relative paths start at the working directory")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Lines of it are wrong; each problem a line.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Lines(Vec<LineProblem>),
}

/// What is wrong with a line. Does not show what it says, which may be a password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineProblem {
    /// The file.
    pub(crate) file: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// What is wrong, and how to mend it.
    pub(crate) message: String,
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// Line, from 1, and what is wrong with it.
pub(super) type Mistake = (usize, String);

/// A file that is read anew when it changes.
#[derive(Debug)]
pub(super) struct WatchedFile {
    path: PathBuf,
    /// What it looked like when it was read last.
    stamp: Option<Stamp>,
}

/// Inode, length, and time of the last change in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

impl WatchedFile {
    /// Reads a file for the first time.
    ///
    /// # Errors
    /// When it cannot be read, or `parse` finds mistakes in it.
    pub(super) fn open<T>(
        path: &Path,
        parse: impl FnOnce(&str) -> Result<T, Vec<Mistake>>,
    ) -> Result<(Self, T), FileError> {
        // Taken before reading: a change while it is read shows in the next look.
        let stamp = stamp(path);
        let content = load(path, parse)?;
        Ok((Self { path: path.to_owned(), stamp }, content))
    }

    /// What the file says now, if it may have changed since it was read last.
    pub(super) fn changed<T>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, Vec<Mistake>>,
    ) -> Option<Result<T, FileError>> {
        let stamp = stamp(&self.path);
        if stamp == self.stamp {
            return None;
        }
        self.stamp = stamp;
        Some(load(&self.path, parse))
    }
}

fn load<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, Vec<Mistake>>) -> Result<T, FileError> {
    let file = || path.display().to_string();
    let text = read(path).map_err(|cause| FileError::Unreadable { file: file(), cause })?;
    let problem = |(line, message)| LineProblem { file: file(), line, message };
    parse(&text).map_err(|mistakes| FileError::Lines(mistakes.into_iter().take(PROBLEMS_MAX).map(problem).collect()))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    match u64::try_from(length) {
        Ok(length) if length <= FILE_BYTES_MAX => Ok(text),
        Ok(_) | Err(_) => Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes"))),
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}
