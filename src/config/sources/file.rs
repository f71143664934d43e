//! A file of messages, read once.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::config::section::{Problems, Section};

/// A file of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileConfig {
    /// The file.
    pub(crate) path: PathBuf,
    /// Lines taken and not yet ended.
    pub(crate) in_flight_max: usize,
    /// Largest line that is taken apart, in bytes.
    pub(crate) message_bytes_max: usize,
    /// Whether a line that is an array is mapped element by element.
    pub(crate) split_arrays: bool,
}

/// The files of each connector: it has one bookmark in each.
pub(super) type Files = HashSet<(String, PathBuf)>;

/// The file in a section, for the connector of this name.
pub(super) fn file(mut section: Section, connector: &str, files: &mut Files, problems: &mut Problems) -> FileConfig {
    let file = FileConfig {
        path: section.required("path", PathBuf::new(), problems),
        in_flight_max: section.required("in_flight_max", 1, problems),
        message_bytes_max: section.required("message_bytes_max", 1, problems),
        split_arrays: section.required("split_arrays", false, problems),
    };
    if !files.insert((connector.to_owned(), file.path.clone())) {
        let message = "is read by another source of this connector already".to_owned();
        problems.push(section.problem("path", None, message));
    }
    section.finish(problems);
    file
}
