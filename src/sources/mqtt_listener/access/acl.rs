//! Permissions of users from an `acl_file` of Mosquitto, of which what is about reading is read over: there is nothing to
//! subscribe to here.
//!
//! Lines before the first `user` are for clients without a name, those behind it for that user, and `pattern` lines for
//! everybody, with `%u` for the user and `%c` for the client id. Who has lines of its own is judged by them first. `deny`
//! goes before what is allowed, wherever it stands.

use std::collections::HashMap;

use super::file::Mistake;
use super::pattern::{Pattern, Placeholders, Publisher};

const PLACEHOLDERS: Placeholders = Placeholders { username: "%u", client_id: "%c" };

/// What a file says of everybody.
#[derive(Debug, Default)]
pub(super) struct Acl {
    nameless: Rules,
    users: HashMap<String, Rules>,
    everybody: Rules,
}

/// What is said of some.
#[derive(Debug, Default)]
struct Rules {
    denied: Vec<Pattern>,
    allowed: Vec<Pattern>,
}

/// What is said of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Denied,
    /// Nothing.
    Unsaid,
}

enum Access {
    Write,
    Read,
    Deny,
}

impl Acl {
    /// Reads all lines.
    ///
    /// # Errors
    /// Every line that is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let mut acl = Self::default();
        let mut mistakes = Vec::new();
        let mut user = None;
        for (number, line) in (1..).zip(text.lines()) {
            if let Err(message) = acl.line(line.trim(), &mut user) {
                mistakes.push((number, message));
            }
        }
        if mistakes.is_empty() { Ok(acl) } else { Err(mistakes) }
    }

    fn line(&mut self, line: &str, user: &mut Option<String>) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let rules = match keyword {
            "user" if rest.is_empty() => return Err("names no user, as in `user monitor-7`".to_owned()),
            "user" => {
                *user = Some(rest.to_owned());
                return Ok(());
            }
            "topic" => match user {
                Some(user) => self.users.entry(user.clone()).or_default(),
                None => &mut self.nameless,
            },
            "pattern" => &mut self.everybody,
            _ => return Err("expected `user NAME`, `topic [write] PATTERN` or `pattern [write] PATTERN`".to_owned()),
        };
        let placeholders = (keyword == "pattern").then_some(PLACEHOLDERS);
        let (access, topic) = access(rest)?;
        let pattern = Pattern::parse(topic, placeholders)?;
        match access {
            Access::Write => rules.allowed.push(pattern),
            Access::Deny => rules.denied.push(pattern),
            Access::Read => {}
        }
        Ok(())
    }

    /// What is said of a publication to this topic.
    pub(super) fn verdict(&self, topic: &str, publisher: Publisher<'_>) -> Verdict {
        let own = match publisher.username {
            Some(user) => self.users.get(user),
            None => Some(&self.nameless),
        };
        let verdicts = own.into_iter().chain([&self.everybody]).map(|rules| rules.verdict(topic, publisher));
        verdicts.into_iter().find(|verdict| *verdict != Verdict::Unsaid).unwrap_or(Verdict::Unsaid)
    }
}

impl Rules {
    fn verdict(&self, topic: &str, publisher: Publisher<'_>) -> Verdict {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.allows(topic, publisher));
        match () {
            () if any(&self.denied) => Verdict::Denied,
            () if any(&self.allowed) => Verdict::Allowed,
            () => Verdict::Unsaid,
        }
    }
}

/// What may be done, which is everything if it is not said, and where. A topic may hold blanks.
fn access(text: &str) -> Result<(Access, &str), String> {
    let Some((access, topic)) = text.split_once(char::is_whitespace) else {
        return Ok((Access::Write, text));
    };
    let access = match access {
        "write" | "readwrite" => Access::Write,
        "read" => Access::Read,
        "deny" => Access::Deny,
        _ => return Err("expected `read`, `write`, `readwrite` or `deny` before the topic".to_owned()),
    };
    Ok((access, topic.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::{Acl, Verdict};
    use crate::sources::mqtt_listener::access::pattern::Publisher;

    const FILE: &str = "
# What nobody in particular may do.
topic write public/#
topic read readings/#

user monitor 7
topic ward/7
topic readwrite ward/7/#
topic deny ward/7/config
topic read ward/8

user pump
topic deny devices/pump/off
pattern write devices/%u/#
pattern deny devices/+/secret
pattern write clients/%c
";

    #[track_caller]
    fn check(user: Option<&str>, topic: &str, expected: Verdict) {
        let verdict = Acl::parse(FILE).unwrap().verdict(topic, Publisher { username: user, client_id: "c-1" });
        assert_eq!(verdict, expected, "{user:?} {topic}");
    }

    #[test]
    fn who_has_lines_of_its_own_is_judged_by_them_first() {
        check(Some("monitor 7"), "ward/7", Verdict::Allowed);
        check(Some("monitor 7"), "ward/7/pulse", Verdict::Allowed);
        check(Some("monitor 7"), "ward/7/config", Verdict::Denied);
        check(Some("monitor 7"), "ward/8", Verdict::Unsaid);
        check(Some("pump"), "ward/7", Verdict::Unsaid);
        check(Some("pump"), "devices/pump/on", Verdict::Allowed);
        check(Some("pump"), "devices/pump/off", Verdict::Denied);
    }

    #[test]
    fn patterns_are_for_everybody_and_lines_without_a_user_for_the_nameless() {
        check(Some("valve"), "devices/valve/on", Verdict::Allowed);
        check(Some("valve"), "devices/pump/on", Verdict::Unsaid);
        check(Some("valve"), "devices/valve/secret", Verdict::Denied);
        check(Some("valve"), "clients/c-1", Verdict::Allowed);
        check(Some("valve"), "public/a", Verdict::Unsaid);
        check(None, "public/a", Verdict::Allowed);
        check(None, "readings/a", Verdict::Unsaid);
        check(None, "clients/c-1", Verdict::Allowed);
        check(None, "clients/c-2", Verdict::Unsaid);
    }

    #[test]
    fn every_line_that_is_wrong_is_told_by_its_number() {
        let text = "user\ntopic\ntopic wirte a\npattern write a%u\ntopic write a b\ntopics a\ntopic write #/a\n";
        let lines: Vec<usize> = Acl::parse(text).unwrap_err().into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6, 7]);
    }
}
