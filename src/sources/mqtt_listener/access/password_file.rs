//! The lines of a password file: `user:hash`, as `mosquitto_passwd` writes them. Empty lines, and lines that begin with
//! `#`, are for people.

use std::collections::HashMap;

use super::file::Mistake;
use super::hash::PasswordHash;

/// Users and the hashes of their passwords.
pub(super) type Hashes = HashMap<String, PasswordHash>;

/// Longest user name, which is the longest text MQTT has, in bytes.
const USER_BYTES_MAX: usize = 65_535;

/// Reads all lines.
///
/// # Errors
/// Every line that is wrong.
pub(super) fn parse(text: &str) -> Result<Hashes, Vec<Mistake>> {
    let mut hashes = Hashes::new();
    let mut mistakes = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match entry(line) {
            Ok(Some((user, hash))) => {
                if hashes.insert(user.to_owned(), hash).is_some() {
                    mistakes.push((number, "names a user that an earlier line names; one of them must go".to_owned()));
                }
            }
            Ok(None) => {}
            Err(message) => mistakes.push((number, message)),
        }
    }
    if mistakes.is_empty() { Ok(hashes) } else { Err(mistakes) }
}

fn entry(line: &str) -> Result<Option<(&str, PasswordHash)>, String> {
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (user, hash) = line.split_once(':').ok_or("expected a user name, a colon and the hash of a password")?;
    if let Some(problem) = user_problem(user) {
        return Err(format!("has a user name that {problem}"));
    }
    let hash = PasswordHash::parse(hash.trim_end()).map_err(|error| error.to_string())?;
    Ok(Some((user, hash)))
}

/// What is wrong with a user name for a password file.
pub(crate) fn user_problem(user: &str) -> Option<&'static str> {
    if user.is_empty() {
        return Some("is empty");
    }
    let is_bad =
        user.len() > USER_BYTES_MAX || user.starts_with('#') || user.contains(|c: char| c == ':' || c.is_control());
    is_bad.then_some("begins with `#`, holds a colon or a control character, or is too long for MQTT")
}

/// The text with the entry of a user changed, added, or with `None` taken out; all other lines stay as they are.
pub(crate) fn with_entry(text: &str, user: &str, hash: Option<&PasswordHash>) -> String {
    let mut line = hash.map(|hash| format!("{user}:{hash}"));
    let mut lines: Vec<String> = Vec::new();
    for former in text.lines() {
        if is_of(former, user) {
            lines.extend(line.take());
        } else {
            lines.push(former.to_owned());
        }
    }
    lines.extend(line);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Whether the text has an entry of this user.
pub(crate) fn has_entry(text: &str, user: &str) -> bool {
    text.lines().any(|line| is_of(line, user))
}

fn is_of(line: &str, user: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| name == user) && !line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{has_entry, parse, with_entry};
    use crate::sources::mqtt_listener::access::hash::PasswordHash;

    fn hash() -> PasswordHash {
        PasswordHash::of(b"secret", NonZeroU32::MIN).unwrap()
    }

    #[test]
    fn every_line_that_is_wrong_is_told_by_its_number() {
        let hash = hash();
        let text = format!("# monitors\n\na:{hash}\nb\n:{hash}\na:{hash}\nc:plain\nd d:{hash}\r\n");
        let lines: Vec<usize> = parse(&text).unwrap_err().into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [4, 5, 6, 7]);
        let hashes = parse(&format!("# monitors\n\na:{hash}\nd d:{hash}\r\n")).unwrap();
        assert!(hashes["a"].is_of(b"secret") && hashes["d d"].is_of(b"secret"));
    }

    #[test]
    fn what_a_line_says_is_not_shown() {
        let mistakes = parse("monitor:hunter2\nhunter2\n").unwrap_err();
        assert!(mistakes.len() == 2 && mistakes.iter().all(|(_, message)| !message.contains("hunter2")));
    }

    #[test]
    fn an_entry_changes_and_its_neighbours_stay() {
        let (one, other) = (hash(), hash());
        let text = with_entry("# ward\nab:x\n", "a", Some(&one));
        assert_eq!(text, format!("# ward\nab:x\na:{one}\n"));
        let text = with_entry(&format!("{text}b:y"), "a", Some(&other));
        assert_eq!(text, format!("# ward\nab:x\na:{other}\nb:y\n"));
        assert!(has_entry(&text, "a") && !has_entry(&text, "#ward"));
        assert_eq!(with_entry(&text, "a", None), "# ward\nab:x\nb:y\n");
    }
}
