//! Where the messages of a connector come from: a file for each kind of source.

mod event_hubs;
pub(super) mod file;
pub(super) mod http_push;
pub(super) mod kafka;
pub(super) mod mqtt;
pub(super) mod mqtt_listener;
mod topics;

use self::file::{FileConfig, Files};
use self::http_push::{HttpPushConfig, OnePath};
use self::kafka::KafkaConfig;
use self::mqtt::{MqttConfig, Sessions};
use self::mqtt_listener::MqttListenerConfig;
use super::Place;
use super::raw::Raw;
use super::section::{Problems, Section};
use super::words::words;

/// One source of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceConfig {
    /// A subscription at a broker.
    Mqtt(Box<MqttConfig>),
    /// Devices that connect straight to this process.
    MqttListener(MqttListenerConfig),
    /// Topics of Kafka or Event Hubs.
    Kafka(Box<KafkaConfig>),
    /// Requests to this process.
    Http(HttpPushConfig),
    /// A file of messages.
    File(FileConfig),
}

/// What `[connector]` says for all sources of a kind.
pub(super) struct SourceDefaults {
    mqtt: Raw,
    mqtt_listener: Raw,
    kafka: Raw,
    http: Raw,
    file: Raw,
}

/// What only one source may have.
#[derive(Default)]
pub(super) struct Taken {
    sessions: Sessions,
    http: OnePath,
    files: Files,
}

/// What a source is.
enum SourceKind {
    Mqtt,
    MqttListener,
    Kafka,
    Http,
    File,
    Unknown,
}

impl SourceDefaults {
    /// Takes them out of the section `[connector]`.
    pub(super) fn take(section: &mut Section) -> Self {
        let empty = || Raw::empty(Place::Line { file: "config/default.toml".into(), line: 1 });
        let mut of = |kind| section.raw(kind).unwrap_or_else(empty);
        let (mqtt, mqtt_listener, kafka) = (of("mqtt"), of("mqtt_listener"), of("kafka"));
        Self { mqtt, mqtt_listener, kafka, http: of("http"), file: of("file") }
    }

    fn of(&self, source: &Raw) -> Raw {
        match source.text("type") {
            Some("mqtt") => self.mqtt.clone(),
            Some("mqtt-listener") => self.mqtt_listener.clone(),
            Some("kafka") => self.kafka.clone(),
            Some("http") => self.http.clone(),
            Some("file") => self.file.clone(),
            Some(_) | None => Raw::empty(source.place.clone()),
        }
    }
}

/// The sources of the connector of this name.
pub(super) fn sources(
    section: &mut Section,
    connector: &str,
    defaults: &SourceDefaults,
    taken: &mut Taken,
    problems: &mut Problems,
) -> Vec<SourceConfig> {
    let sections = section.sections("sources", problems, |item| defaults.of(item));
    if sections.is_empty() {
        let message = "is missing; a connector needs at least one [[connectors.sources]]".to_owned();
        problems.push(section.problem("sources", None, message));
    }
    taken.sessions.enter(connector);
    taken.http.enter();
    sections.into_iter().filter_map(|section| source(section, connector, taken, problems)).collect()
}

fn source(mut section: Section, connector: &str, taken: &mut Taken, problems: &mut Problems) -> Option<SourceConfig> {
    match section.required("type", SourceKind::Unknown, problems) {
        SourceKind::Mqtt => Some(SourceConfig::Mqtt(Box::new(mqtt::mqtt(section, &mut taken.sessions, problems)))),
        SourceKind::MqttListener => Some(SourceConfig::MqttListener(mqtt_listener::mqtt_listener(section, problems))),
        SourceKind::Kafka => Some(SourceConfig::Kafka(Box::new(kafka::kafka(section, connector, problems)))),
        SourceKind::Http => Some(SourceConfig::Http(http_push::http_push(section, &mut taken.http, problems))),
        SourceKind::File => Some(SourceConfig::File(file::file(section, connector, &mut taken.files, problems))),
        // Which keys such a source has is not known, so none of them can be judged.
        SourceKind::Unknown => None,
    }
}

words!(
    SourceKind,
    "\"mqtt\", \"mqtt-listener\", \"kafka\", \"http\" or \"file\"",
    "mqtt" => Self::Mqtt,
    "mqtt-listener" => Self::MqttListener,
    "kafka" => Self::Kafka,
    "http" => Self::Http,
    "file" => Self::File
);
