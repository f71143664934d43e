//! Whether the sources of a connector can be used.

use super::{Finding, port};
use crate::app;
use crate::config::{MqttConfig, MqttProtocol, SourceConfig};
use crate::sources::kafka::FoundTopic;
use crate::sources::{file, http, kafka, mqtt};
use crate::telemetry::chain;

/// Reaches for what a source of `connector` names.
pub(super) async fn reach(connector: &str, source: &SourceConfig) -> Finding {
    match source {
        SourceConfig::Mqtt(settings) => {
            let broker = format!("connector `{connector}`: MQTT broker {}:{}", settings.host, settings.port);
            let subscriber = app::subscriber(settings).map_err(|error| format!("{broker}: {}", chain(&error)))?;
            match mqtt::probe(&subscriber).await {
                Ok(()) => Ok(format!("{broker} {}", granted(settings))),
                Err(error) => Err(format!("{broker}: {}", chain(&error))),
            }
        }
        SourceConfig::Kafka(settings) => {
            let brokers = format!("connector `{connector}`: Kafka at {}", settings.bootstrap_servers);
            let told = app::kafka(settings).map_err(|error| format!("{brokers}: {}", chain(&error)))?;
            match kafka::probe(told).await {
                Ok(topics) => {
                    let topics: Vec<String> = topics.iter().map(|topic| found(topic, &settings.group_id)).collect();
                    Ok(format!("{brokers}: {}", topics.join("; ")))
                }
                Err(error) => Err(format!("{brokers}: {}", chain(&error))),
            }
        }
        SourceConfig::File(settings) => {
            let what = format!("connector `{connector}`: file {}", settings.path.display());
            match file::probe(&app::file(settings)) {
                Ok(bytes) => Ok(format!("{what}, {bytes} bytes")),
                Err(error) => Err(format!("{what}: {error}; relative paths start at the working directory")),
            }
        }
        SourceConfig::MqttListener(settings) => {
            let listener = format!("connector `{connector}`: MQTT listener");
            app::access(settings).map_err(|error| format!("{listener}: {}", chain(&error)))?;
            port(&listener, settings.listen).await
        }
        SourceConfig::Http(settings) => {
            let who = if settings.token.is_some() { "who shows its token" } else { "everybody who reaches it" };
            Ok(format!("connector `{connector}`: POST {} is served at http.listen, for {who}", http::path(connector)))
        }
    }
}

/// What there is in a topic.
fn found(topic: &FoundTopic, group: &str) -> String {
    let FoundTopic { name, partitions, messages, behind, newest } = topic;
    let newest = newest.map_or_else(String::new, |newest| format!(", the newest of {newest:.0}"));
    format!(
        "topic `{name}`, {partitions} partitions, {messages} messages{newest}, of which group `{group}` has {behind} to read"
    )
}

/// What a broker does for a source that it lets in.
fn granted(settings: &MqttConfig) -> String {
    let version = match settings.protocol {
        MqttProtocol::V3 => "3.1.1",
        MqttProtocol::V5 => "5",
    };
    let encrypted = if settings.tls.is_some() { " over TLS" } else { "" };
    format!("speaks MQTT {version}{encrypted} and grants all of `topics` ({})", settings.topics.len())
}
