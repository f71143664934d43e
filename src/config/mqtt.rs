//! What a subscription must be for a broker to take it. A broker says so only by hanging up, so it is said here.

use std::collections::HashMap;
use std::time::Duration;

/// Largest message that fits, with its topic and properties, into the largest packet MQTT has (256 MiB).
pub(super) const MESSAGE_BYTES_MAX: usize = 255 << 20;

/// Longest text MQTT has, in bytes.
const TEXT_BYTES_MAX: usize = 65_535;
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);
/// MQTT has 16 bits for the seconds.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(65_535);

/// The sessions at brokers that are spoken for: two clients of one name throw each other out for ever.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    connector: String,
    /// MQTT sources of that connector so far.
    count: usize,
    /// Connectors by host, port and client id.
    holders: HashMap<(String, u16, String), String>,
}

impl Sessions {
    /// What follows belongs to this connector.
    pub(super) fn enter(&mut self, connector: &str) {
        connector.clone_into(&mut self.connector);
        self.count = 0;
    }

    /// The client id of the next source unless it has one of its own. Names of connectors have no dot.
    pub(super) fn next_default(&mut self) -> String {
        self.count = self.count.saturating_add(1);
        match self.count {
            1 => format!("vitalwire-{}", self.connector),
            count => format!("vitalwire-{}.{count}", self.connector),
        }
    }

    /// Takes a session; says who has it if it is taken.
    pub(super) fn clash(&mut self, host: &str, port: u16, client_id: &str) -> Option<String> {
        let session = (host.to_lowercase(), port, client_id.to_owned());
        let holder = self.holders.insert(session, self.connector.clone())?;
        Some(format!(
            "is taken by another source of connector `{holder}` at the same broker; two clients of one name throw each \
             other out, so each source needs its own"
        ))
    }
}

/// What is wrong with a client id. An empty one names no session, and nothing would be kept for it.
pub(super) fn client_id_problem(client_id: &str) -> Option<String> {
    if client_id.is_empty() {
        return Some("is empty; the broker keeps the session of a source under this name".to_owned());
    }
    text_problem(client_id)
}

/// What is wrong with the time between signs of life.
pub(super) fn keep_alive_problem(keep_alive: Duration) -> Option<String> {
    let fits = (KEEP_ALIVE_MIN..=KEEP_ALIVE_MAX).contains(&keep_alive);
    let expected = || format!("expected {} to {}", KEEP_ALIVE_MIN.as_millis(), KEEP_ALIVE_MAX.as_millis());
    (!fits).then(|| format!("{}, found {}: it is sent as seconds in 16 bits", expected(), keep_alive.as_millis()))
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

fn text_problem(text: &str) -> Option<String> {
    if text.len() > TEXT_BYTES_MAX {
        return Some(format!("is longer than {TEXT_BYTES_MAX} bytes"));
    }
    text.contains('\0').then(|| "holds a NUL character, which MQTT does not have".to_owned())
}

#[cfg(test)]
mod tests {
    use super::filter_problem;

    #[test]
    fn filters_are_judged_as_brokers_do() {
        for good in ["a", "#", "+", "a/+/c", "a/#", "/", "$share/g/a/#", "a//b"] {
            assert_eq!(filter_problem(good), None, "{good}");
        }
        for bad in ["", "a+", "a/b#", "#/a", "a/#/b", "a/+b", "a\0"] {
            assert!(filter_problem(bad).is_some(), "{bad}");
        }
    }
}
