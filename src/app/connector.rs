//! One connector: its mappings, its sources, and the pipeline between them and its FHIR server.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::pipeline::Pipeline;
use super::sources::{self, RunnableSource};
use super::{AppError, settings};
use crate::admin;
use crate::client::{FhirClient, Link};
use crate::clock::Clock;
use crate::config::ConnectorConfig;
use crate::database::Database;
use crate::dead_letters::{DeadLetters, Replayer, Replays};
use crate::mapping::Problem;
use crate::mapping_store::{self, MappingStore};
use crate::normalize::Shapes;
use crate::resolve::{Freshness, Resolve};
use crate::settlements::Settlements;
use crate::telemetry::meters::expose_rare;

/// What the connectors of a process share.
pub(super) struct Parts<'a> {
    pub(super) database: &'a Database,
    pub(super) dead_letters: &'a DeadLetters,
    pub(super) clock: &'a Clock,
    pub(super) give_up: &'a CancellationToken,
    pub(super) own_fhir: Url,
    pub(super) public_url: Option<&'a Url>,
    pub(super) freshness: &'a Arc<Freshness>,
}

/// A connector ready to run.
pub(super) struct RunnableConnector {
    pipeline: Pipeline,
    dead_letters: DeadLetters,
    settlements: Settlements,
    sources: Vec<RunnableSource>,
    replayer: Replayer,
}

/// Loads the mappings of all connectors, so that every problem of every file is told at once.
pub(super) fn open_mappings(connectors: &[ConnectorConfig]) -> Result<Vec<MappingStore>, AppError> {
    let mut opened = Vec::with_capacity(connectors.len());
    let mut problems = Vec::new();
    for connector in connectors {
        match open_mapping(connector) {
            Ok((mappings, warnings)) => {
                mapping_store::tell_warnings(&connector.name, &warnings);
                tracing::info!(connector = %connector.name, version = %*mappings.fingerprint().borrow(), "mapping loaded");
                opened.push(mappings);
            }
            Err(AppError::Mappings(found)) => problems.extend(found),
            Err(other) => return Err(other),
        }
    }
    if problems.is_empty() { Ok(opened) } else { Err(AppError::Mappings(problems)) }
}

/// Loads the mappings of a connector, and the warnings about them.
///
/// # Errors
/// When a file cannot be read, or is not a mapping without errors.
pub(crate) fn open_mapping(connector: &ConnectorConfig) -> Result<(MappingStore, Vec<Problem>), AppError> {
    let files = (connector.device_mapping.clone(), connector.fhir_mapping.clone());
    MappingStore::open(&connector.name, files, settings::payloads(connector.payload_json))
        .map_err(|cause| AppError::mappings(&connector.name, cause))
}

/// Opens what the connector needs and binds its ports.
pub(super) async fn build(
    config: ConnectorConfig,
    mappings: MappingStore,
    parts: Parts<'_>,
) -> Result<(RunnableConnector, admin::Connector), AppError> {
    let name: Arc<str> = Arc::from(config.name.as_str());
    let clock = parts.clock;
    let settlements = Settlements::open(parts.database.clone(), Arc::clone(&name)).await.map_err(AppError::Ledger)?;
    let client = FhirClient::new(&settings::client(&config, parts.own_fhir))
        .map_err(|cause| AppError::Client { connector: config.name.clone(), cause })?;
    let link = Arc::new(Link::new(Arc::clone(&name), client, settings::link(&config), parts.give_up.clone()));
    let unmatched = Arc::new(Shapes::default());
    expose_rare(&name);
    let (sources, source_views) = sources::build(&config, clock).await?;
    let replays = Replays::new(Arc::clone(&name), parts.dead_letters.clone(), clock.clone());
    let view = admin::Connector {
        name: Arc::clone(&name),
        settlements: settlements.clone(),
        state: link.state(),
        hurry: link.hurry(),
        mapping_trouble: mappings.trouble(),
        mapping_version: mappings.fingerprint(),
        sources: source_views,
        unmatched: Arc::clone(&unmatched),
        replays: replays.clone(),
    };
    let resolve = settings::resolve(&config, parts.public_url);
    let resolve = Resolve::new(resolve, Arc::clone(&link), clock.clone(), Arc::clone(parts.freshness));
    let pipeline = Pipeline::new(&config, mappings, resolve, link, unmatched, clock, parts.give_up.clone());
    let dead_letters = parts.dead_letters.clone();
    let replayer = Replayer::new(replays, sources::message_bytes_max(&config), parts.give_up.clone());
    Ok((RunnableConnector { pipeline, dead_letters, settlements, sources, replayer }, view))
}

impl RunnableConnector {
    /// Where devices may connect straight to this process.
    pub(super) fn mqtt_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sources.iter().filter_map(RunnableSource::mqtt_address)
    }

    /// Starts the stages, and then the sources, on `tasks`. The sources stop with `stop`, every stage when its inbox
    /// ends, and the settlements after the last of them.
    pub(super) fn spawn(self, tasks: &TaskTracker, stop: &CancellationToken) {
        let (letters_in, letters) = mpsc::channel(settings::LETTER_BATCHES_MAX);
        let stages = TaskTracker::new();
        let intake = self.pipeline.spawn(self.settlements.witness(), letters_in, &stages);
        for source in self.sources {
            source.spawn(&intake, &stages, stop);
        }
        stages.spawn(self.replayer.run(intake, stop.clone()));
        stages.spawn(self.dead_letters.run(letters));
        stages.close();

        // Sources wait for their acknowledgements, which the settlements release: they go on until all else has ended.
        let settled = CancellationToken::new();
        tasks.spawn(self.settlements.run(settled.clone()));
        tasks.spawn(async move {
            stages.wait().await;
            settled.cancel();
        });
    }
}
