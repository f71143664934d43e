//! Problems of many events, each told once with the first event that has it (VA-11).

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::document::DeviceResult;
use super::exception::{Exception, Level};

/// Most bytes of messages and first events that are kept; problems beyond are counted without being told apart.
pub(crate) const AGGREGATE_BYTES_MAX: usize = 64 << 20;

/// The problems so far.
#[derive(Debug)]
pub(crate) struct Aggregate {
    /// In the order in which they were first met.
    entries: Vec<Entry>,
    places: HashMap<Exception, usize>,
    bytes_left: usize,
    overflow: Option<Entry>,
}

#[derive(Debug)]
struct Entry {
    event: Box<RawValue>,
    exception: Exception,
    count: u64,
}

impl Default for Aggregate {
    fn default() -> Self {
        Self::with_room_for(AGGREGATE_BYTES_MAX)
    }
}

impl Aggregate {
    fn with_room_for(bytes: usize) -> Self {
        Self { entries: Vec::new(), places: HashMap::new(), bytes_left: bytes, overflow: None }
    }

    /// Counts the problems of an event; one without problems leaves no trace.
    pub(crate) fn add(&mut self, result: DeviceResult<'_>) {
        let mut beyond: Option<Exception> = None;
        for exception in result.exceptions {
            if let Some(entry) = self.places.get(&exception).and_then(|place| self.entries.get_mut(*place)) {
                entry.count += 1;
                continue;
            }
            // The message is kept twice, as a key as well.
            let bytes = 2 * exception.message.len() + result.device_event.get().len();
            match self.bytes_left.checked_sub(bytes) {
                Some(left) => {
                    self.bytes_left = left;
                    self.places.insert(exception.clone(), self.entries.len());
                    self.entries.push(Entry { event: result.device_event.to_owned(), exception, count: 1 });
                }
                None if beyond.as_ref().is_some_and(|worst| worst.level == Level::Error) => {}
                None => beyond = Some(exception),
            }
        }
        if let Some(exception) = beyond {
            self.overflow(result.device_event, exception);
        }
    }

    fn overflow(&mut self, event: &RawValue, exception: Exception) {
        let level = exception.level;
        let entry = self.overflow.get_or_insert_with(|| Entry {
            event: event.to_owned(),
            exception: Exception {
                message:
                    "There are too many different problems to tell apart; further events with problems are counted \
                          here. The event is the first of them."
                        .to_owned(),
                line_info: None,
                ..exception
            },
            count: 0,
        });
        entry.count += 1;
        if level == Level::Error {
            entry.exception.level = level;
        }
    }

    /// One result for each problem, and at last one for all that are not told apart.
    pub(crate) fn results(&self) -> impl Iterator<Item = DeviceResult<'_>> {
        self.entries.iter().chain(&self.overflow).map(|entry| DeviceResult {
            exceptions: vec![entry.exception.clone()],
            aggregated_count: entry.count,
            ..DeviceResult::of(&entry.event)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::super::document::DeviceResult;
    use super::super::exception::Exception;
    use super::Aggregate;

    fn add(aggregate: &mut Aggregate, event: &str, problems: &[&str]) {
        let event = RawValue::from_string(event.to_owned()).unwrap();
        let mut result = DeviceResult::of(&event);
        problems.iter().for_each(|problem| result.note(Exception::of_sample(*problem)));
        aggregate.add(result);
    }

    fn told(aggregate: &Aggregate) -> Vec<(String, u64)> {
        let results = aggregate.results();
        results.map(|result| (result.device_event.get().to_owned(), result.aggregated_count)).collect()
    }

    #[test]
    fn va_11_a_problem_is_told_once_with_its_first_event_and_the_number_of_events() {
        let mut aggregate = Aggregate::default();
        add(&mut aggregate, "1", &[]);
        add(&mut aggregate, "2", &["a", "b", "a"]);
        add(&mut aggregate, "3", &["b"]);
        assert_eq!(told(&aggregate), [("2".to_owned(), 1), ("2".to_owned(), 2)]);
    }

    #[test]
    fn va_11_beyond_its_bound_it_counts_without_telling_apart_and_says_so() {
        let mut aggregate = Aggregate::with_room_for(8);
        for (event, problem) in [("1", "a"), ("2", "b"), ("3", "c"), ("4", "d"), ("5", "a")] {
            add(&mut aggregate, event, &[problem, problem]);
        }
        assert_eq!(told(&aggregate), [("1".to_owned(), 2), ("2".to_owned(), 1), ("3".to_owned(), 2)]);
        let last = aggregate.results().last().unwrap();
        assert!(last.exceptions[0].message.starts_with("There are too many different problems"));
    }
}
