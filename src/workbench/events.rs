//! Sample events read one at a time: a file of any length needs the memory of its largest event.
//!
//! A file is one JSON array whose elements are the events, or JSON values one after another (NDJSON), the first of them
//! an object. The reader here only finds where an event ends; whether it is JSON is serde_json's to say.

use std::io::{self, BufRead};

use serde_json::value::RawValue;

/// Largest event, in bytes.
pub(crate) const EVENT_BYTES_MAX: usize = 16 << 20;

/// Events as they are read.
#[derive(Debug)]
pub(crate) struct Events<R> {
    input: R,
    /// Line of the next byte, from 1.
    line: usize,
    place: Place,
    bytes_max: usize,
}

/// Why a file of events cannot be used, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventsError {
    /// Reading failed.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    /// It begins with neither an array nor an object.
    #[error("holds no events: give one JSON array of events, or one JSON object a line")]
    NoEvents,
    /// It goes on where it must not, or ends where it must not.
    #[error("line {line}: {reason}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// An event is larger than this reads.
    #[error("line {line}: an event has more than {EVENT_BYTES_MAX} bytes, the most that is read")]
    TooLarge {
        /// Line where the event begins, from 1.
        line: usize,
    },
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    /// After `[`.
    FirstElement,
    /// After an element.
    NextElement,
    /// Between the values of a stream.
    Stream,
    End,
}

impl<R: BufRead> Events<R> {
    /// Events from a reader, which should have a buffer.
    pub(crate) fn from(input: R) -> Self {
        Self { input, line: 1, place: Place::Start, bytes_max: EVENT_BYTES_MAX }
    }

    /// The next event, `None` at the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read, or what follows is no event. Nothing can be read after that.
    pub(crate) fn next(&mut self) -> Result<Option<Box<RawValue>>, EventsError> {
        if self.place == Place::Start {
            self.start()?;
        }
        let next = self.peek()?;
        match (self.place, next) {
            (Place::FirstElement | Place::NextElement, Some(b']')) => {
                self.take();
                return self.end();
            }
            (Place::FirstElement, Some(_)) | (Place::Stream, Some(_)) => {}
            (Place::NextElement, Some(b',')) => {
                self.take();
                if self.peek()? == Some(b']') {
                    return Err(self.malformed("a comma without an event after it"));
                }
            }
            (Place::NextElement, Some(_)) => return Err(self.malformed("expected `,` or `]` after an event")),
            (Place::FirstElement | Place::NextElement, None) => {
                return Err(self.malformed("the file ends within its array"));
            }
            (Place::Start | Place::End, _) | (Place::Stream, None) => return Ok(None),
        }
        if self.place == Place::FirstElement {
            self.place = Place::NextElement;
        }
        self.value().map(Some)
    }

    fn start(&mut self) -> Result<(), EventsError> {
        if self.input.fill_buf().map_err(EventsError::Unreadable)?.starts_with(b"\xef\xbb\xbf") {
            self.input.consume(3);
        }
        self.place = match self.peek()? {
            Some(b'[') => Place::FirstElement,
            Some(b'{') => Place::Stream,
            Some(_) | None => return Err(EventsError::NoEvents),
        };
        if self.place == Place::FirstElement {
            self.take();
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Option<Box<RawValue>>, EventsError> {
        self.place = Place::End;
        match self.peek()? {
            None => Ok(None),
            Some(_) => Err(self.malformed("text after the array")),
        }
    }

    /// The next byte that is no white space, without taking it.
    fn peek(&mut self) -> Result<Option<u8>, EventsError> {
        loop {
            let buffer = self.input.fill_buf().map_err(EventsError::Unreadable)?;
            let next = buffer.iter().position(|byte| !is_space(*byte));
            let skipped = next.unwrap_or(buffer.len());
            let found = buffer.get(skipped).copied();
            let is_end = buffer.is_empty();
            self.line += newlines(buffer.get(..skipped).unwrap_or_default());
            self.input.consume(skipped);
            if found.is_some() || is_end {
                return Ok(found);
            }
        }
    }

    fn take(&mut self) {
        self.input.consume(1);
    }

    fn malformed(&self, reason: impl Into<String>) -> EventsError {
        EventsError::Malformed { line: self.line, reason: reason.into() }
    }

    fn value(&mut self) -> Result<Box<RawValue>, EventsError> {
        let line = self.line;
        let mut scan = Scan::default();
        let mut text = Vec::new();
        loop {
            let buffer = self.input.fill_buf().map_err(EventsError::Unreadable)?;
            let taken = scan.advance(buffer);
            text.extend_from_slice(buffer.get(..taken).unwrap_or_default());
            let is_end = buffer.is_empty();
            self.input.consume(taken);
            if text.len() > self.bytes_max {
                return Err(EventsError::TooLarge { line });
            }
            if scan.is_done || is_end {
                break;
            }
        }
        self.line += newlines(&text);
        let text = String::from_utf8(text)
            .map_err(|error| EventsError::Malformed { line, reason: format!("not UTF-8: {}", error.utf8_error()) })?;
        RawValue::from_string(text).map_err(|error| not_json(line, &error))
    }
}

/// An event that began in `line`.
fn not_json(line: usize, error: &serde_json::Error) -> EventsError {
    // serde_json counts lines from the start of the event, and says so at the end of its text.
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    EventsError::Malformed { line: line + error.line().saturating_sub(1), reason: format!("not JSON: {reason}") }
}

/// Finds where a value ends, over any number of buffers.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    has_begun: bool,
    is_done: bool,
}

impl Scan {
    /// How many bytes of `buffer` belong to the value.
    fn advance(&mut self, buffer: &[u8]) -> usize {
        for (index, byte) in buffer.iter().enumerate() {
            if self.ends_before(*byte) {
                self.is_done = true;
                return index;
            }
            self.step(*byte);
            if self.is_done {
                return index + 1;
            }
        }
        buffer.len()
    }

    /// A scalar ends where something else begins.
    fn ends_before(&self, byte: u8) -> bool {
        let outside = self.depth == 0 && !self.in_string;
        outside && (matches!(byte, b',' | b']' | b'}') || is_space(byte)) && self.has_begun
    }

    fn step(&mut self, byte: u8) {
        self.has_begun = true;
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    self.is_done = self.depth == 0;
                }
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.is_done = self.depth == 0;
            }
            _ => {}
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn newlines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::{Events, EventsError};

    /// The events of a text, and the error that ends them, read with buffers of every small size.
    fn read(text: &[u8], bytes_max: usize) -> (Vec<String>, Option<EventsError>) {
        let read_with = |capacity| {
            let mut events = Events::from(BufReader::with_capacity(capacity, text));
            events.bytes_max = bytes_max;
            let mut found = Vec::new();
            loop {
                match events.next() {
                    Ok(Some(event)) => found.push(event.get().to_owned()),
                    Ok(None) => return (found, None),
                    Err(error) => return (found, Some(error)),
                }
            }
        };
        let (found, error) = read_with(8192);
        // A byte order mark is looked for in the first buffer.
        for capacity in 3..9 {
            let (again, same) = read_with(capacity);
            assert_eq!(
                (&again, same.map(|error| error.to_string())),
                (&found, error.as_ref().map(ToString::to_string))
            );
        }
        (found, error)
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let (found, error) = read(text.as_bytes(), 1000);
        assert!(error.is_none(), "{text}: {error:?}");
        assert_eq!(found, expected, "{text}");
    }

    #[track_caller]
    fn check_error(text: &str, before: usize, expected: &str) {
        let (found, error) = read(text.as_bytes(), 40);
        assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(expected), "{text}");
        assert_eq!(found.len(), before, "{text}");
    }

    #[test]
    fn elements_of_an_array_are_events_character_for_character() {
        check(
            "\u{feff}[ {\"a\": 120.10,\n\"b\":\"}]\\\"\"} , 1E-05,\"x, ]\",null,[[1],[]],{}]\n",
            &["{\"a\": 120.10,\n\"b\":\"}]\\\"\"}", "1E-05", "\"x, ]\"", "null", "[[1],[]]", "{}"],
        );
        check("[]", &[]);
        check(" [ ] ", &[]);
    }

    #[test]
    fn values_one_after_another_are_events() {
        check("{\"a\":1}\n\n{\"a\":[2]}\r\n", &["{\"a\":1}", "{\"a\":[2]}"]);
        check("{}", &["{}"]);
    }

    #[test]
    fn what_is_no_file_of_events_is_refused_with_its_line() {
        let nothing = "holds no events: give one JSON array of events, or one JSON object a line";
        for text in ["", " \n", "42", "\"x\"", "pulse"] {
            check_error(text, 0, nothing);
        }
        check_error("[{},\n{},]", 2, "line 2: a comma without an event after it");
        check_error("[{}\n{}]", 1, "line 2: expected `,` or `]` after an event");
        check_error("[{},\n{}", 2, "line 2: the file ends within its array");
        check_error("[{}]\n[{}]", 1, "line 2: text after the array");
        check_error("{}\n{]\n", 1, "line 2: not JSON: key must be a string");
        check_error("[{},\n{\"a\":\n", 1, "line 3: not JSON: EOF while parsing a value");
        check_error("[,]", 0, "line 1: not JSON: expected value");
    }

    #[test]
    fn an_event_beyond_the_bound_is_refused() {
        let text = format!("[{{}},\n\"{}\"]", "x".repeat(100));
        check_error(&text, 1, "line 2: an event has more than 16777216 bytes, the most that is read");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic_or_hang(text in "[\\[\\]{},:\"\\\\ 1a\n]{0,40}") {
            read(text.as_bytes(), 1000);
        }
    }
}
