//! The sources of a connector: made from its configuration, and started. A file for each kind says what it is told.

mod file;
mod http_push;
mod kafka;
mod mqtt;
mod mqtt_listener;
mod sockets;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::AppError;
use super::connectors::Shared;
use crate::admin;
use crate::bookmarks::Bookmarks;
use crate::config::{
    ConnectorConfig, FileConfig, HttpPushConfig, KafkaConfig, MqttConfig, MqttListenerConfig, SourceConfig,
};
use crate::model::intake::Intake;
use crate::sources;
use crate::sources::file::FileSource;
use crate::sources::http::{Door, Push};
use crate::sources::kafka::{KafkaSource, Seen};
use crate::sources::mqtt::Subscriber;
use crate::sources::mqtt_listener::Listener;
use crate::sources::state::SourceState;
use crate::subscriptions::Subscriptions;
use crate::telemetry::meters::ProcessorMeter;

pub(crate) use self::file::file;
pub(crate) use self::kafka::kafka;
pub(crate) use self::mqtt::subscriber;
pub(crate) use self::mqtt_listener::access;
pub(crate) use self::sockets::{HeldSocket, Sockets};

/// A source ready to run.
pub(super) enum RunnableSource {
    Mqtt(Subscriber),
    MqttListener {
        /// As configured; port 0 stands for any.
        asked: SocketAddr,
        listener: Listener,
    },
    Kafka(KafkaSource),
    Http(Push),
    File(FileSource),
}

/// Where a source listens, if it does so at an address of its own and lets in whoever reaches it.
pub(super) fn lets_strangers_in_at(source: &SourceConfig) -> Option<SocketAddr> {
    match source {
        SourceConfig::MqttListener(listener) => Some(listener.listen).filter(|_| !listener.keeps_strangers_out()),
        SourceConfig::Mqtt(_) | SourceConfig::Kafka(_) | SourceConfig::Http(_) | SourceConfig::File(_) => None,
    }
}

/// The largest message that any source of the connector is to take.
pub(super) fn message_bytes_max(connector: &ConnectorConfig) -> usize {
    let bounds = connector.sources.iter().map(|source| match source {
        SourceConfig::Mqtt(mqtt) => mqtt.message_bytes_max,
        SourceConfig::MqttListener(listener) => listener.message_bytes_max,
        SourceConfig::Kafka(kafka) => kafka.message_bytes_max,
        SourceConfig::Http(push) => push.message_bytes_max,
        SourceConfig::File(file) => file.message_bytes_max,
    });
    bounds.max().unwrap_or(usize::MAX)
}

/// A source, and what can be seen of it.
type Built = (RunnableSource, admin::Source);

/// Builds the sources of a connector and binds those of their ports that are not among `sockets`.
pub(super) async fn build(
    config: &ConnectorConfig,
    shared: &Shared,
    sockets: &mut Sockets,
) -> Result<(Vec<RunnableSource>, Vec<admin::Source>), AppError> {
    let mut built: Vec<Built> = Vec::with_capacity(config.sources.len());
    for source in &config.sources {
        match source {
            SourceConfig::Mqtt(settings) => built.extend(build_subscribers(config, settings, shared)?),
            SourceConfig::MqttListener(settings) => {
                built.push(build_listener(config, settings, shared, sockets).await?)
            }
            SourceConfig::Kafka(settings) => built.push(build_member(config, settings, shared)?),
            SourceConfig::Http(settings) => built.push(build_push(config, settings, shared)),
            SourceConfig::File(settings) => built.push(build_file(config, settings, shared)),
        }
    }
    Ok(built.into_iter().unzip())
}

/// A subscriber for each connection.
fn build_subscribers(config: &ConnectorConfig, settings: &MqttConfig, shared: &Shared) -> Result<Vec<Built>, AppError> {
    let connections = self::mqtt::subscribers(settings)
        .map_err(|cause| AppError::MqttTls { connector: config.name.clone(), cause })?;
    let built = connections.into_iter().map(|told| {
        let address = format!("{}:{}", settings.host, settings.port);
        let subscriptions = Subscriptions::new(shared.database.clone(), &address, &told.client_id);
        let (subscriber, state) = Subscriber::new(told, subscriptions, shared.clock.clone());
        (RunnableSource::Mqtt(subscriber), admin::Source { kind: sources::mqtt::SOURCE, address, state, behind: None })
    });
    Ok(built.collect())
}

async fn build_listener(
    config: &ConnectorConfig,
    settings: &MqttListenerConfig,
    shared: &Shared,
    sockets: &mut Sockets,
) -> Result<Built, AppError> {
    let listener = self::mqtt_listener::bind(&config.name, settings, &shared.clock, sockets).await?;
    let (_state, state) = watch::channel(SourceState::Connected);
    let address = listener.address().to_string();
    let view = admin::Source { kind: sources::mqtt_listener::SOURCE, address, state, behind: None };
    Ok((RunnableSource::MqttListener { asked: settings.listen, listener }, view))
}

fn build_member(config: &ConnectorConfig, settings: &KafkaConfig, shared: &Shared) -> Result<Built, AppError> {
    let told =
        self::kafka::kafka(settings).map_err(|cause| AppError::Tokens { connector: config.name.clone(), cause })?;
    let (source, Seen { state, behind }) = KafkaSource::new(told, shared.clock.clone());
    let address = settings.bootstrap_servers.clone();
    let view = admin::Source { kind: sources::kafka::SOURCE, address, state, behind: Some(behind) };
    Ok((RunnableSource::Kafka(source), view))
}

fn build_push(config: &ConnectorConfig, settings: &HttpPushConfig, shared: &Shared) -> Built {
    let (_state, state) = watch::channel(SourceState::Connected);
    let address = sources::http::path(&config.name);
    let view = admin::Source { kind: sources::http::SOURCE, address, state, behind: None };
    let (name, told) = (Arc::from(config.name.as_str()), self::http_push::push(config, settings));
    let door = Door::new(name, told, shared.clock.clone(), shared.answers.clone());
    (RunnableSource::Http(Push::new(door)), view)
}

fn build_file(config: &ConnectorConfig, settings: &FileConfig, shared: &Shared) -> Built {
    let path = settings.path.display().to_string();
    let bookmarks = Bookmarks::new(shared.database.clone(), &config.name, &path);
    let (source, state) = FileSource::new(self::file::file(settings), bookmarks, shared.clock.clone());
    let view = admin::Source { kind: sources::file::SOURCE, address: path, state, behind: None };
    (RunnableSource::File(source), view)
}

impl RunnableSource {
    /// Where devices may connect straight to this process.
    pub(super) fn mqtt_address(&self) -> Option<SocketAddr> {
        match self {
            Self::MqttListener { listener, .. } => Some(listener.address()),
            Self::Mqtt(_) | Self::Kafka(_) | Self::Http(_) | Self::File(_) => None,
        }
    }

    /// Where requests come in, if they do.
    pub(super) fn door(&self) -> Option<Door> {
        match self {
            Self::Http(push) => Some(push.door()),
            Self::Mqtt(_) | Self::MqttListener { .. } | Self::Kafka(_) | Self::File(_) => None,
        }
    }

    /// The socket it listens on, if it does.
    pub(super) fn socket(&self, connector: &Arc<str>) -> Option<HeldSocket> {
        match self {
            Self::MqttListener { asked, listener } => {
                let socket = Arc::downgrade(listener.socket());
                Some(HeldSocket { connector: Arc::clone(connector), asked: *asked, socket })
            }
            Self::Mqtt(_) | Self::Kafka(_) | Self::Http(_) | Self::File(_) => None,
        }
    }

    /// Starts it on `tasks`, to run until `stop` and until all it took is answered for.
    pub(super) fn spawn(self, intake: &Intake, tasks: &TaskTracker, stop: &CancellationToken) {
        let connector = intake.connector();
        let meter = ProcessorMeter::of_stage(connector, "source");
        match self {
            Self::Mqtt(subscriber) => {
                tracing::info!(%connector, "subscribing");
                tasks.spawn(meter.metered(subscriber.run(intake.clone(), stop.clone())));
            }
            Self::MqttListener { listener, .. } => {
                tracing::info!(service = "mqtt", address = %listener.address(), %connector, "listening");
                tasks.spawn(meter.metered(listener.run(intake.clone(), tasks.clone(), stop.clone())));
            }
            Self::Kafka(source) => {
                tracing::info!(%connector, "joining the group");
                tasks.spawn(meter.metered(source.run(intake.clone(), stop.clone())));
            }
            Self::Http(push) => {
                let path = crate::sources::http::path(connector);
                tracing::info!(path, %connector, "taking messages over HTTP");
                tasks.spawn(meter.metered(push.run(intake.clone(), tasks.clone(), stop.clone())));
            }
            Self::File(source) => {
                tasks.spawn(meter.metered(source.run(intake.clone(), stop.clone())));
            }
        }
    }
}
