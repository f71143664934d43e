//! What a source subscribes to, and the levels of topics that have names.

use serde_json::{Map, Value};

/// A topic filter to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The filter, of a shared subscription with its group.
    pub(crate) filter: String,
    /// Levels of a topic, from 0, and the system properties they become.
    pub(crate) captures: Vec<(usize, String)>,
}

impl Subscription {
    /// The filter that topics match, without its group.
    fn of_topics(&self) -> &str {
        group_and_filter(&self.filter).map_or(&self.filter, |(_group, filter)| filter)
    }

    /// The same topics, split with nobody who does the work: whoever joins its group takes messages away from it.
    pub(super) fn aside(&self) -> Self {
        let filter = match group_and_filter(&self.filter) {
            Some((group, filter)) => format!("$share/{group}-check/{filter}"),
            None => self.filter.clone(),
        };
        Self { filter, captures: Vec::new() }
    }
}

/// The named levels of a topic: those of every filter that it matches. Of a name that two of them have, which then are of
/// one level, there is one.
pub(super) fn captured(subscriptions: &[Subscription], topic: &str) -> Map<String, Value> {
    let mut captured = Map::new();
    for subscription in subscriptions {
        if !subscription.captures.is_empty() && matches(subscription.of_topics(), topic) {
            let levels = subscription.captures.iter();
            captured
                .extend(levels.filter_map(|(level, name)| Some((name.clone(), topic.split('/').nth(*level)?.into()))));
        }
    }
    captured
}

/// The group of a shared subscription, and what it is to.
fn group_and_filter(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix("$share/")?.split_once('/')
}

/// Whether a topic matches a filter (MQTT 5, 4.7).
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for expected in filter.split('/') {
        match (expected, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (expected, Some(level)) if expected == level => {}
            (_, _) => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
    use serde_json::{Value, json};

    use super::{Subscription, captured, matches};

    fn subscription(filter: &str, captures: &[(usize, &str)]) -> Subscription {
        let captures = captures.iter().map(|(level, name)| (*level, (*name).to_owned())).collect();
        Subscription { filter: filter.to_owned(), captures }
    }

    #[track_caller]
    fn check(topic: &str, expected: Value) {
        let subscriptions = [
            subscription("devices/+/+", &[(1, "deviceId")]),
            subscription("$share/workers/+/+/pulse", &[(0, "kind"), (1, "deviceId")]),
            subscription("#", &[]),
            subscription("ward/+/#", &[(1, "ward")]),
        ];
        assert_eq!(Value::Object(captured(&subscriptions, topic)), expected);
    }

    #[test]
    fn ev_10_named_levels_of_topics_become_system_properties() {
        check("devices/d-1/temperature", json!({ "deviceId": "d-1" }));
        check("devices/d-1/pulse", json!({ "deviceId": "d-1", "kind": "devices" }));
        check("ward/7", json!({ "ward": "7" }));
        check("ward/7/bed/3", json!({ "ward": "7" }));
        check("devices//temperature", json!({ "deviceId": "" }));
        check("devices/d-1", json!({}));
        check("$devices/d-1/pulse", json!({}));
    }

    #[test]
    fn a_group_is_not_joined_to_ask_whether_it_may_be() {
        assert_eq!(subscription("$share/workers/a/+", &[(1, "id")]).aside().filter, "$share/workers-check/a/+");
        assert_eq!(subscription("a/+", &[(1, "id")]).aside().filter, "a/+");
    }

    fn levels(alphabet: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
        proptest::collection::vec(proptest::sample::select(alphabet), 1..5)
    }

    fn matches_naively(filter: &[&str], topic: &[&str]) -> bool {
        match (filter.split_first(), topic.split_first()) {
            (Some((&"#", _)), _) | (None, None) => true,
            (Some((one, filter)), Some((other, topic))) => {
                (*one == "+" || one == other) && matches_naively(filter, topic)
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    proptest! {
        #[test]
        fn topics_match_as_they_do_level_by_level(
            mut filter in levels(&["a", "b", "", "+"]), end in prop_oneof![Just(None), Just(Some("#"))],
            topic in levels(&["a", "b", ""]),
        ) {
            filter.extend(end);
            assert_eq!(matches(&filter.join("/"), &topic.join("/")), matches_naively(&filter, &topic));
        }
    }
}
