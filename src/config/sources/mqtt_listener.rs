//! Devices that connect straight to this process over MQTT.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use super::mqtt::message_bytes_max;
use super::topics::filter_problem;
use crate::config::ServerTlsConfig;
use crate::config::check::NO_ADDRESS;
use crate::config::origins::origins;
use crate::config::section::{Problems, Section};
use crate::config::tls::server_tls;

/// Parts of a pattern that stand for whoever publishes.
const PLACEHOLDERS: [&str; 2] = ["{username}", "{clientId}"];

/// Devices that connect straight to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MqttListenerConfig {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// How connections are encrypted; `None` when they are not.
    pub(crate) tls: Option<ServerTlsConfig>,
    /// Whether WebSocket is spoken instead of plain MQTT.
    pub(crate) websocket: bool,
    /// Origins whose pages may connect from a browser; `*` is any.
    pub(crate) origins: Vec<String>,
    /// Users and passwords of devices.
    pub(crate) password_file: Option<PathBuf>,
    /// Whether devices that do not show who they are may connect.
    pub(crate) anonymous: bool,
    /// Topics that devices may publish to; `None`: what is safe with the other settings.
    pub(crate) topics: Option<Vec<String>>,
    /// More such topics, for each user.
    pub(crate) acl_file: Option<PathBuf>,
    /// Devices connected at a time.
    pub(crate) connections_max: usize,
    /// Connections taken in a second.
    pub(crate) connections_per_second_max: NonZeroU32,
    /// Publications of one device in a second; `None`: any number.
    pub(crate) messages_per_second_max: Option<NonZeroU32>,
    /// Publications of one device taken and not yet acknowledged.
    pub(crate) in_flight_max: usize,
    /// Largest publication that is taken apart, in bytes of its payload.
    pub(crate) message_bytes_max: usize,
    /// Whether a payload that is an array is mapped element by element.
    pub(crate) split_arrays: bool,
}

/// The listener in a section.
pub(super) fn mqtt_listener(mut section: Section, problems: &mut Problems) -> MqttListenerConfig {
    let listen: SocketAddr = section.required("listen", NO_ADDRESS, problems);
    let tls = section.optional_section("tls", problems).map(|section| server_tls(section, problems));
    let password_file = section.optional("password_file", problems);
    let shows_who = password_file.is_some() || tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let anonymous = section.optional("anonymous", problems);
    let listener = MqttListenerConfig {
        anonymous: anonymous.unwrap_or(!shows_who && listen.ip().is_loopback()),
        listen,
        tls,
        websocket: section.required("websocket", false, problems),
        origins: origins("origins", &mut section, problems),
        password_file,
        topics: topics(&mut section, problems),
        acl_file: section.optional("acl_file", problems),
        connections_max: section.required("connections_max", 1, problems),
        connections_per_second_max: per_second(section.required("connections_per_second_max", 1, problems)),
        messages_per_second_max: section.optional("messages_per_second_max", problems).map(per_second),
        in_flight_max: section.required("in_flight_max", 1, problems),
        message_bytes_max: message_bytes_max(&mut section, problems),
        split_arrays: section.required("split_arrays", false, problems),
    };
    if let Some((key, message)) = listener.access_problem() {
        problems.push(section.problem(key, None, message.to_owned()));
    }
    section.finish(problems);
    listener
}

impl MqttListenerConfig {
    /// Whether every device that is let in has shown who it is, over a connection that nobody can listen to.
    pub(crate) fn keeps_strangers_out(&self) -> bool {
        self.tls.is_some() && !self.anonymous
    }

    /// Whether devices must show certificates.
    pub(crate) fn wants_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }

    /// What is wrong with who may connect, and the key to mend.
    fn access_problem(&self) -> Option<(&'static str, &'static str)> {
        if self.wants_certificates() && self.password_file.is_some() {
            return Some((
                "password_file",
                "cannot be combined with `tls.client_ca_file`, by which the certificate of a device says who it is",
            ));
        }
        if self.wants_certificates() && self.anonymous {
            return Some((
                "anonymous",
                "cannot be with `tls.client_ca_file`: devices without a certificate do not get in",
            ));
        }
        if !self.wants_certificates() && self.password_file.is_none() && !self.anonymous {
            return Some((
                "listen",
                "lets no device in: give a `password_file` or `tls.client_ca_file`, so that devices can show who they are, or let in whoever \
                 reaches this address with `anonymous = true`",
            ));
        }
        if self.password_file.is_some() && self.anonymous && self.topics.is_none() && self.acl_file.is_none() {
            return Some((
                "anonymous",
                "lets devices without a user name in, but they may not publish anything; say with `topics` or an `acl_file` \
                 what they may",
            ));
        }
        None
    }
}

/// More than the clock can tell apart are as good as no bound.
fn per_second(number: usize) -> NonZeroU32 {
    u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX)
}

fn topics(section: &mut Section, problems: &mut Problems) -> Option<Vec<String>> {
    let topics: Vec<String> = section.optional("topics", problems)?;
    for (number, pattern) in (1..).zip(&topics) {
        if let Some(message) = filter_problem(pattern).or_else(|| placeholder_problem(pattern)) {
            problems.push(section.problem("topics", None, format!("pattern {number} {message}")));
        }
    }
    Some(topics)
}

/// What is wrong with braces in a pattern. A placeholder that is misspelt would be a word that no topic has.
fn placeholder_problem(pattern: &str) -> Option<String> {
    let is_word = |level: &str| !level.contains(['{', '}']);
    let fits = |level: &str| is_word(level) || PLACEHOLDERS.contains(&level);
    let [username, client_id] = PLACEHOLDERS;
    let message = || {
        format!(
            "has braces around something else than a whole level `{username}` or `{client_id}`, as in `devices/{username}/#`"
        )
    };
    (!pattern.split('/').all(fits)).then(message)
}

#[cfg(test)]
mod tests {
    use super::placeholder_problem;

    #[test]
    fn placeholders_are_whole_levels_spelt_right() {
        for good in ["#", "devices/{username}/#", "{clientId}/{username}"] {
            assert_eq!(placeholder_problem(good), None, "{good}");
        }
        for bad in ["devices/{user}/#", "devices/d-{username}", "{clientid}", "a/{", "a/}b"] {
            assert!(placeholder_problem(bad).is_some(), "{bad}");
        }
    }
}
