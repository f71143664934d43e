//! Devices that connect straight to this process over MQTT.

use std::net::SocketAddr;

use super::mqtt::message_bytes_max;
use crate::config::check::NO_ADDRESS;
use crate::config::section::{Problems, Section};

/// Devices that connect straight to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MqttListenerConfig {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Devices connected at a time.
    pub(crate) connections_max: usize,
    /// Publications of one device taken and not yet acknowledged.
    pub(crate) in_flight_max: usize,
    /// Largest publication that is taken apart, in bytes of its payload.
    pub(crate) message_bytes_max: usize,
    /// Whether a payload that is an array is mapped element by element.
    pub(crate) split_arrays: bool,
}

/// The listener in a section.
pub(super) fn mqtt_listener(mut section: Section, problems: &mut Problems) -> MqttListenerConfig {
    let listener = MqttListenerConfig {
        listen: section.required("listen", NO_ADDRESS, problems),
        connections_max: section.required("connections_max", 1, problems),
        in_flight_max: section.required("in_flight_max", 1, problems),
        message_bytes_max: message_bytes_max(&mut section, problems),
        split_arrays: section.required("split_arrays", false, problems),
    };
    section.finish(problems);
    listener
}
