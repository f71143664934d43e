//! Topic filters as a source of MQTT names them: a level written `{deviceId}` is subscribed to as `+`, and what stands
//! there in a topic becomes the system property `deviceId`.
//!
//! Two filters that one topic can match may not take one name from different levels of it: which of the two a mapping
//! would see is nothing to be left to chance when it says whose reading it is.

use crate::config::section::{Problems, Section};

use super::mqtt::text_problem;

/// What names a level may not have: the system properties that every message has.
const RESERVED: [&str; 5] = ["topic", "topicLevels", "qos", "retain", "dup"];

/// What a broker is asked for, and the levels of its topics that have names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MqttTopic {
    /// The topic filter, of a shared subscription with its group.
    pub(crate) filter: String,
    /// Levels of a topic, from 0, and their names.
    pub(crate) captures: Vec<(usize, String)>,
}

impl MqttTopic {
    /// Whether its messages are split between the members of a group.
    pub(super) fn is_shared(&self) -> bool {
        self.filter.starts_with("$share/")
    }

    /// The filter without its group.
    fn of_topics(&self) -> &str {
        group_and_filter(&self.filter).map_or(&self.filter, |(_group, filter)| filter)
    }
}

/// The key `topics` of a source.
pub(super) fn topics(section: &mut Section, problems: &mut Problems) -> Vec<MqttTopic> {
    let written: Vec<String> = section.required("topics", vec!["#".to_owned()], problems);
    if written.is_empty() {
        problems.push(section.problem("topics", None, "is empty; expected at least one topic filter".to_owned()));
    }
    let mut topics = Vec::with_capacity(written.len());
    for (number, written) in (1..).zip(&written) {
        match topic(written) {
            Ok(topic) => topics.push(topic),
            // Its number rather than itself: nothing that is configured is shown.
            Err(message) => problems.push(section.problem("topics", None, format!("filter {number} {message}"))),
        }
    }
    if topics.len() == written.len()
        && let Some((first, second)) = ambiguous(&topics)
    {
        let message = format!(
            "filters {first} and {second} take one name from different levels of topics that both match; give the levels \
             names of their own"
        );
        problems.push(section.problem("topics", None, message));
    }
    topics
}

/// The filter as brokers take it (MQTT 5, 4.7 and 4.8.2), and the names in it.
fn topic(written: &str) -> Result<MqttTopic, String> {
    let (group, filter) = match group_and_filter(written) {
        Some((group, _)) if group.is_empty() || group.contains(['+', '#', '{', '}']) => {
            return Err("has no name of a group, as in `$share/workers/devices/#`".to_owned());
        }
        Some((_, "")) => return Err("shares nothing; write `$share/workers/devices/#`".to_owned()),
        Some((group, filter)) => (Some(group), filter),
        None if written.starts_with("$share") => {
            return Err("is no shared subscription; write `$share/workers/devices/#`".to_owned());
        }
        None => (None, written),
    };
    let mut captures: Vec<(usize, String)> = Vec::new();
    let mut levels = Vec::new();
    for (number, level) in filter.split('/').enumerate() {
        if let Some(name) = named(level)? {
            if captures.iter().any(|(_, other)| other == name) {
                return Err("has one name at two levels".to_owned());
            }
            captures.push((number, name.to_owned()));
            levels.push("+");
        } else {
            levels.push(level);
        }
    }
    let filter = levels.join("/");
    if let Some(message) = filter_problem(&filter) {
        return Err(message);
    }
    let filter = match group {
        Some(group) => format!("$share/{group}/{filter}"),
        None => filter,
    };
    match text_problem(&filter) {
        Some(message) => Err(message),
        None => Ok(MqttTopic { filter, captures }),
    }
}

/// What is wrong with a topic filter (MQTT 5, 4.7).
pub(super) fn filter_problem(filter: &str) -> Option<String> {
    if filter.is_empty() {
        return Some("is empty; `#` stands for all topics".to_owned());
    }
    let levels: Vec<&str> = filter.split('/').collect();
    let is_whole = |level: &&str| !level.contains(['+', '#']) || level.len() == 1;
    if !levels.iter().all(is_whole) {
        return Some("has a `+` or `#` that is not a whole level, as in `ward/+/pulse` or `ward/#`".to_owned());
    }
    let before_last = levels.split_last().map(|(_, before)| before).unwrap_or_default();
    if before_last.contains(&"#") {
        return Some("has a `#` that is not its last level, as in `ward/#`".to_owned());
    }
    text_problem(filter)
}

/// The group of a shared subscription, and what it is to.
fn group_and_filter(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix("$share/")?.split_once('/')
}

/// The name of a level, if it is written as one.
fn named(level: &str) -> Result<Option<&str>, String> {
    if !level.contains(['{', '}']) {
        return Ok(None);
    }
    let name = level.strip_prefix('{').and_then(|level| level.strip_suffix('}'));
    let Some(name) = name.filter(|name| !name.contains(['{', '}'])) else {
        return Err("has a `{` or `}` that is not around a whole level, as in `devices/{deviceId}/+`".to_owned());
    };
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if !is_name {
        return Err("has a name that is not a letter with letters, digits and `_` after it".to_owned());
    }
    if RESERVED.contains(&name) {
        return Err(format!("names a level `{name}`, which is a system property of every message"));
    }
    Ok(Some(name))
}

/// The numbers, from 1, of two filters whose names contradict each other.
fn ambiguous(topics: &[MqttTopic]) -> Option<(usize, usize)> {
    let numbered = || (1..).zip(topics);
    let pairs = numbered().flat_map(|first| numbered().skip(first.0).map(move |second| (first, second)));
    let mut ambiguous = pairs.filter(|((_, first), (_, second))| {
        let differ = |(level, name): &(usize, String)| second.captures.iter().any(|(l, n)| n == name && l != level);
        first.captures.iter().any(differ) && overlap(first.of_topics(), second.of_topics())
    });
    ambiguous.next().map(|((first, _), (second, _))| (first, second))
}

/// Whether some topic matches both filters.
fn overlap(first: &str, second: &str) -> bool {
    let (mut first, mut second) = (first.split('/'), second.split('/'));
    loop {
        match (first.next(), second.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(one), Some(other)) if one == other || one == "+" || other == "+" => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, prop_oneof, proptest};

    use super::{MqttTopic, ambiguous, overlap, topic};

    #[test]
    fn filters_are_judged_as_brokers_do() {
        for good in ["a", "#", "+", "a/+/c", "a/#", "/", "$share/g/a/#", "$share/g//a", "a//b", "$SYS/#"] {
            assert_eq!(topic(good), Ok(MqttTopic { filter: good.to_owned(), captures: Vec::new() }), "{good}");
        }
        let bad = ["", "a+", "a/b#", "#/a", "a/#/b", "a/+b", "a\0", "$share", "$share/g", "$share/g/", "$share//a"];
        for bad in bad.into_iter().chain(["$share/+/a", "$share/g/a#", "$share/{g}/a"]) {
            assert!(topic(bad).is_err(), "{bad}");
        }
    }

    #[track_caller]
    fn check(written: &str, filter: &str, captures: &[(usize, &str)]) {
        let captures = captures.iter().map(|(level, name)| (*level, (*name).to_owned())).collect();
        assert_eq!(topic(written), Ok(MqttTopic { filter: filter.to_owned(), captures }));
    }

    #[test]
    fn levels_in_braces_are_subscribed_to_as_wildcards_and_remembered() {
        check("devices/{deviceId}/+", "devices/+/+", &[(1, "deviceId")]);
        check("{a}/{b_2}/#", "+/+/#", &[(0, "a"), (1, "b_2")]);
        check("$share/workers/ward/{ward}/{bed}", "$share/workers/ward/+/+", &[(1, "ward"), (2, "bed")]);
    }

    #[track_caller]
    fn check_problem(written: &str, expected: &str) {
        let problem = topic(written).unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }

    #[test]
    fn names_that_could_not_be_used_are_refused() {
        check_problem("a/x{id}", "not around a whole level");
        check_problem("a/{id", "not around a whole level");
        check_problem("a/{i{d}", "not around a whole level");
        check_problem("a/{}", "not a letter");
        check_problem("a/{1st}", "not a letter");
        check_problem("a/{x-opt-offset}", "not a letter");
        check_problem("{id}/{id}", "one name at two levels");
        check_problem("a/{topicLevels}", "`topicLevels`, which is a system property");
    }

    #[track_caller]
    fn check_ambiguity(written: &[&str], expected: Option<(usize, usize)>) {
        let topics: Vec<MqttTopic> = written.iter().map(|written| topic(written).unwrap()).collect();
        assert_eq!(ambiguous(&topics), expected, "{written:?}");
    }

    #[test]
    fn a_name_means_one_level_of_a_topic() {
        check_ambiguity(&["a/{id}/+", "a/+/{id}"], Some((1, 2)));
        check_ambiguity(&["a/#", "$share/g/{id}/b", "a/{id}"], Some((2, 3)));
        check_ambiguity(&["a/{id}/+", "b/+/{id}"], None);
        check_ambiguity(&["a/{id}/+", "a/{id}/{kind}"], None);
        check_ambiguity(&["a/{id}", "a/+/{id}"], None);
    }

    fn levels() -> impl Strategy<Value = Vec<&'static str>> {
        proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("+")], 1..4)
    }

    fn matches(filter: &[&str], topic: &[&str]) -> bool {
        match (filter.split_first(), topic.split_first()) {
            (Some((&"#", _)), _) | (None, None) => true,
            (Some((one, filter)), Some((other, topic))) => (*one == "+" || one == other) && matches(filter, topic),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    proptest! {
        #[test]
        fn filters_overlap_when_a_topic_matches_both(
            mut first in levels(), first_is_open in proptest::bool::ANY,
            mut second in levels(), second_is_open in proptest::bool::ANY,
        ) {
            first.extend(first_is_open.then_some("#"));
            second.extend(second_is_open.then_some("#"));
            let some = topics(4).into_iter().any(|topic| matches(&first, &topic) && matches(&second, &topic));
            assert_eq!(overlap(&first.join("/"), &second.join("/")), some);
        }
    }

    /// All topics of up to so many levels.
    fn topics(levels_max: usize) -> Vec<Vec<&'static str>> {
        let mut topics: Vec<Vec<&str>> = vec![Vec::new()];
        let mut longest = topics.clone();
        for _ in 0..levels_max {
            let longer = longest.iter().flat_map(|topic| ["a", "b"].map(|level| [topic.as_slice(), &[level]].concat()));
            longest = longer.collect();
            topics.extend(longest.iter().cloned());
        }
        topics
    }
}
