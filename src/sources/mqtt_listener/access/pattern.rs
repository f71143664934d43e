//! Topics that a device may publish to: filters of MQTT in which a level may stand for whoever publishes.

/// A filter; `+` is any level, `#` at the end is all levels from there on, and the level above (MQTT 5, 4.7).
///
/// What a device calls itself is compared with a level as it is and never becomes a part of the filter. So a user named
/// `+` or `a/b` may publish to no more than others: topics have no such levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Level>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Word(String),
    Username,
    ClientId,
    Any,
    Rest,
}

/// Who publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publisher<'a> {
    /// The user that has shown who it is; `None` for a nameless one.
    pub(crate) username: Option<&'a str>,
    /// What it calls itself.
    pub(crate) client_id: &'a str,
}

/// How a pattern writes the levels that stand for whoever publishes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placeholders {
    pub(super) username: &'static str,
    pub(super) client_id: &'static str,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn parse(text: &str, placeholders: Option<Placeholders>) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty; `#` stands for all topics".to_owned());
        }
        let level = |text: &str| Level::parse(text, placeholders);
        let levels = text.split('/').map(level).collect::<Result<Vec<_>, _>>()?;
        match levels.split_last() {
            Some((_, before)) if before.contains(&Level::Rest) => {
                Err("has a `#` that is not its last level, as in `ward/#`".to_owned())
            }
            Some(_) | None => Ok(Self(levels)),
        }
    }

    /// Whether `publisher` may publish to this topic. What begins with `$` is not matched by a leading wildcard.
    pub(super) fn allows(&self, topic: &str, publisher: Publisher<'_>) -> bool {
        let mut names = topic.split('/');
        let mut is_reserved = topic.starts_with('$');
        for level in &self.0 {
            let name = match level {
                Level::Rest => return !is_reserved,
                Level::Word(_) | Level::Username | Level::ClientId | Level::Any => names.next(),
            };
            let Some(name) = name else { return false };
            let fits = match level {
                Level::Word(word) => word == name,
                Level::Username => publisher.username == Some(name),
                Level::ClientId => publisher.client_id == name,
                Level::Any | Level::Rest => !is_reserved,
            };
            if !fits {
                return false;
            }
            is_reserved = false;
        }
        names.next().is_none()
    }
}

impl Level {
    fn parse(text: &str, placeholders: Option<Placeholders>) -> Result<Self, String> {
        match text {
            "+" => return Ok(Self::Any),
            "#" => return Ok(Self::Rest),
            _ if text.contains(['+', '#']) => {
                return Err("has a `+` or `#` that is not a whole level, as in `ward/+/pulse` or `ward/#`".to_owned());
            }
            _ if text.contains('\0') => return Err("holds a NUL character, which MQTT does not have".to_owned()),
            _ => {}
        }
        let Some(Placeholders { username, client_id }) = placeholders else {
            return Ok(Self::Word(text.to_owned()));
        };
        match text {
            _ if text == username => Ok(Self::Username),
            _ if text == client_id => Ok(Self::ClientId),
            _ if text.contains(username) || text.contains(client_id) => Err(format!(
                "has a `{username}` or `{client_id}` that is not a whole level, as in `devices/{username}/#`"
            )),
            _ => Ok(Self::Word(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, proptest};
    use proptest::sample::select;

    use super::{Pattern, Placeholders, Publisher};

    const PLACEHOLDERS: Placeholders = Placeholders { username: "%u", client_id: "%c" };

    fn allows(pattern: &str, topic: &str, username: Option<&str>, client_id: &str) -> bool {
        Pattern::parse(pattern, Some(PLACEHOLDERS)).unwrap().allows(topic, Publisher { username, client_id })
    }

    #[track_caller]
    fn check(pattern: &str, allowed: &[&str], forbidden: &[&str]) {
        for topic in allowed {
            assert!(allows(pattern, topic, Some("pump"), "c-1"), "{pattern} {topic}");
        }
        for topic in forbidden {
            assert!(!allows(pattern, topic, Some("pump"), "c-1"), "{pattern} {topic}");
        }
    }

    #[test]
    fn wildcards_are_those_of_mqtt() {
        check("#", &["a", "a/b", "/"], &["$SYS", "$SYS/a"]);
        check("a/#", &["a", "a/", "a/b/c"], &["ab", "b/a", "/a"]);
        check("+/b", &["a/b", "/b"], &["b", "a/b/c", "$SYS/b"]);
        check("a/+", &["a/b", "a/", "a/$b"], &["a", "a/b/c"]);
        check("$aws/#", &["$aws/things"], &["aws/things"]);
    }

    #[test]
    fn a_device_publishes_as_itself_alone() {
        check("devices/%u/#", &["devices/pump", "devices/pump/hr"], &["devices/other", "devices/pumps", "devices"]);
        check("%c/%u", &["c-1/pump"], &["pump/c-1"]);
        for name in ["+", "#", "a/b", ""] {
            assert!(!allows("devices/%u/#", "devices/a/b", Some(name), "c"), "{name}");
            assert!(!allows("devices/%c", "devices/a", None, name), "{name}");
        }
        assert!(!allows("devices/%u", "devices/", None, ""));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for text in ["", "a+", "#/a", "a/#/b", "a/b#", "a\0", "a%u", "%c%u"] {
            assert!(Pattern::parse(text, Some(PLACEHOLDERS)).is_err(), "{text}");
        }
        assert!(Pattern::parse("a/%u/a%c", None).is_ok());
    }

    fn levels(level: impl Strategy<Value = &'static str>) -> impl Strategy<Value = Vec<&'static str>> {
        proptest::collection::vec(level, 1..5)
    }

    /// As the standard says it, by cases, from behind.
    fn oracle(pattern: &[&str], topic: &[&str]) -> bool {
        match (pattern, topic) {
            (["#"], _) => true,
            ([], []) => true,
            (["+", pattern @ ..], [_, topic @ ..]) => oracle(pattern, topic),
            ([level, pattern @ ..], [name, topic @ ..]) => level == name && oracle(pattern, topic),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_standard(
            pattern in levels(select(vec!["a", "b", "", "+"])),
            rest in any::<bool>(),
            topic in levels(select(vec!["a", "b", ""])),
        ) {
            let (pattern, topic) = ([vec!["x"], pattern].concat(), [vec!["x"], topic].concat());
            let pattern = [pattern, if rest { vec!["#"] } else { vec![] }].concat();
            let expected = oracle(&pattern, &topic);
            assert_eq!(allows(&pattern.join("/"), &topic.join("/"), None, "c"), expected);
        }
    }
}
