//! A file of messages: one JSON value a line (NDJSON), or one JSON array whose elements are the messages.
//!
//! A file that is one array is taken as an array, so a single message that is itself an array must be wrapped in one.
//! Every message is checked to be JSON before the first is used: half a file sent is worse than none. The payloads are
//! slices of the file as read, byte for byte, which is held in memory whole.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::value::RawValue;

/// Why a file of messages cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line, or the array, is not JSON.
    #[error("{}:{line}: not a JSON message", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// There is no message in it.
    #[error("{} has no messages: give one JSON value a line, or one JSON array", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The messages of the file at `path`, in order. The path `-` is standard input, read to its end.
///
/// # Errors
/// When the file cannot be read, holds something that is not JSON, or holds nothing. Nothing is returned then.
pub(crate) fn read(path: &Path) -> Result<Vec<Bytes>, ReplayError> {
    let mut text = Vec::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().lock().read_to_end(&mut text),
        _ => File::open(path).and_then(|mut file| file.read_to_end(&mut text)),
    };
    read.map_err(|source| ReplayError::Unreadable { path: path.to_owned(), source })?;
    parse(&Bytes::from(text), path)
}

/// The messages in `text`, in order; `path` is the name errors give it.
///
/// # Errors
/// When it holds something that is not JSON, or nothing.
pub(crate) fn parse(text: &Bytes, path: &Path) -> Result<Vec<Bytes>, ReplayError> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").map_or_else(|| text.clone(), |rest| text.slice_ref(rest));
    let messages = match array(&text) {
        Ok(elements) => elements,
        Err(problem) if is_unfinished_array(&text, &problem) => {
            return Err(ReplayError::NotJson { path: path.to_owned(), line: problem.line(), source: problem });
        }
        Err(_) => lines(&text, path)?,
    };
    if messages.is_empty() {
        return Err(ReplayError::Empty { path: path.to_owned() });
    }
    Ok(messages)
}

fn array(text: &Bytes) -> Result<Vec<Bytes>, serde_json::Error> {
    let elements: Vec<&RawValue> = serde_json::from_slice(text)?;
    Ok(elements.into_iter().map(|element| text.slice_ref(element.get().as_bytes())).collect())
}

/// Whether `text` is meant as one array: it opens one, and its first line alone is not a whole message.
fn is_unfinished_array(text: &Bytes, problem: &serde_json::Error) -> bool {
    let opens_array = text.trim_ascii_start().starts_with(b"[");
    let first_line = text.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    opens_array && !problem.is_data() && serde_json::from_slice::<&RawValue>(first_line).is_err()
}

fn lines(text: &Bytes, path: &Path) -> Result<Vec<Bytes>, ReplayError> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index.saturating_add(1), line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| match serde_json::from_slice::<&RawValue>(line) {
            Ok(_) => Ok(text.slice_ref(line)),
            Err(source) => Err(ReplayError::NotJson { path: path.to_owned(), line: number, source }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;

    use super::{ReplayError, parse, read};

    #[track_caller]
    fn check(text: &'static str, expected: &[&str]) {
        let messages = parse(&Bytes::from_static(text.as_bytes()), Path::new("readings.ndjson")).unwrap();
        assert_eq!(messages, expected);
    }

    #[track_caller]
    fn check_error(text: &'static str, expected: &str) {
        let error = parse(&Bytes::from_static(text.as_bytes()), Path::new("readings.ndjson")).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_line_is_a_message() {
        check("{\"a\": 1.0}\n\n  {\"a\":2}\r\n", &["{\"a\": 1.0}", "{\"a\":2}"]);
    }

    #[test]
    fn an_element_of_an_array_is_a_message() {
        check("\u{FEFF}[ {\"a\": 1.0},\n 2 ]\n", &["{\"a\": 1.0}", "2"]);
    }

    #[test]
    fn lines_may_each_be_an_array() {
        check("[1]\n[2]", &["[1]", "[2]"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        check_error("{}\n{\"a\":\n{}", "readings.ndjson:2: not a JSON message");
    }

    #[test]
    fn a_bad_line_of_an_array_is_named() {
        check_error("[\n{},\n{\"a\" 1}\n]", "readings.ndjson:3: not a JSON message");
    }

    #[test]
    fn a_file_without_messages_is_refused() {
        check_error(" \n", "readings.ndjson has no messages: give one JSON value a line, or one JSON array");
        check_error("[]", "readings.ndjson has no messages: give one JSON value a line, or one JSON array");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("no/such/file")).unwrap_err();
        assert!(matches!(error, ReplayError::Unreadable { .. }));
        assert_eq!(error.to_string(), "cannot read no/such/file");
    }
}
