//! Whether the sources of a connector can be used.

use super::{Finding, port};
use crate::app;
use crate::config::SourceConfig;
use crate::sources::mqtt;
use crate::telemetry::chain;

/// Reaches for what a source of `connector` names.
pub(super) async fn reach(connector: &str, source: &SourceConfig) -> Finding {
    match source {
        SourceConfig::Mqtt(settings) => {
            let broker = format!("connector `{connector}`: MQTT broker {}:{}", settings.host, settings.port);
            let subscriber = app::subscriber(settings).map_err(|error| format!("{broker}: {}", chain(&error)))?;
            match mqtt::probe(&subscriber).await {
                Ok(()) => Ok(broker),
                Err(error) => Err(format!("{broker}: {}", chain(&error))),
            }
        }
        SourceConfig::MqttListener(settings) => {
            port(&format!("connector `{connector}`: MQTT listener"), settings.listen).await
        }
    }
}
