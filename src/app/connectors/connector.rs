//! One connector: its mappings, its sources, and the pipeline between them and its FHIR server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::admin;
use crate::answers::Answers;
use crate::app::pipeline::Pipeline;
use crate::app::sources::{self, HeldSocket, RunnableSource, Sockets};
use crate::app::{AppError, drain, settings};
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
use crate::sources::http::{Door, Doors};
use crate::telemetry::meters::{ProcessorMeter, expose_rare};

/// What the connectors of a process share.
pub(crate) struct Shared {
    /// Where ledgers are kept.
    pub(crate) database: Database,
    /// Those of all connectors.
    pub(crate) dead_letters: DeadLetters,
    /// What time it is.
    pub(crate) clock: Clock,
    /// Cancelled when all that wait for a server are to give up; each connector has a token of its own below it.
    pub(crate) give_up: CancellationToken,
    /// The FHIR service in this process.
    pub(crate) own_fhir: Url,
    /// How clients call that.
    pub(crate) public_url: Option<Url>,
    /// Where requests with messages come in.
    pub(crate) doors: Doors,
    /// What those with a key were answered.
    pub(crate) answers: Answers,
    /// Which identities were written lately.
    pub(crate) freshness: Arc<Freshness>,
}

/// A connector ready to run.
pub(crate) struct RunnableConnector {
    config: ConnectorConfig,
    view: Arc<admin::Connector>,
    pipeline: Pipeline,
    dead_letters: DeadLetters,
    settlements: Settlements,
    sources: Vec<RunnableSource>,
    replayer: Replayer,
    give_up: CancellationToken,
}

/// A connector that runs.
pub(super) struct Running {
    /// What it was made from.
    pub(super) config: ConnectorConfig,
    /// What it listens on.
    pub(super) sockets: Vec<HeldSocket>,
    stop: CancellationToken,
    /// Cancelled when it has stopped and its grace period is over.
    give_up: CancellationToken,
    /// All that it does.
    tasks: TaskTracker,
}

/// Loads the mappings of all connectors, so that every problem of every file is told at once.
pub(crate) fn open_mappings(connectors: &[ConnectorConfig]) -> Result<Vec<MappingStore>, AppError> {
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

/// Opens what the connector needs beside its ledger, and binds those of its ports that are not among `sockets`.
pub(super) async fn build(
    config: ConnectorConfig,
    mappings: MappingStore,
    settlements: Settlements,
    sockets: &mut Sockets,
    shared: &Shared,
) -> Result<RunnableConnector, AppError> {
    let name: Arc<str> = Arc::from(config.name.as_str());
    let (clock, give_up) = (&shared.clock, shared.give_up.child_token());
    let client = FhirClient::new(&settings::client(&config, shared.own_fhir.clone()))
        .map_err(|cause| AppError::Client { connector: config.name.clone(), cause })?;
    let link = Arc::new(Link::new(Arc::clone(&name), client, settings::link(&config), give_up.clone()));
    let unmatched = Arc::new(Shapes::default());
    expose_rare(&name);
    let (sources, source_views) = sources::build(&config, shared, sockets).await?;
    let dead_letters = shared.dead_letters.giving_up_with(give_up.clone());
    let replays = Replays::new(Arc::clone(&name), dead_letters.clone(), clock.clone());
    let view = admin::Connector {
        name,
        settlements: settlements.clone(),
        state: link.state(),
        hurry: link.hurry(),
        mapping_trouble: mappings.trouble(),
        mapping_version: mappings.fingerprint(),
        sources: source_views,
        unmatched: Arc::clone(&unmatched),
        replays: replays.clone(),
    };
    let resolve = settings::resolve(&config, shared.public_url.as_ref());
    let resolve = Resolve::new(resolve, Arc::clone(&link), clock.clone(), Arc::clone(&shared.freshness));
    let pipeline = Pipeline::new(&config, mappings, resolve, link, unmatched, clock, give_up.clone());
    let replayer = Replayer::new(replays, sources::message_bytes_max(&config), give_up.clone());
    let view = Arc::new(view);
    Ok(RunnableConnector { config, view, pipeline, dead_letters, settlements, sources, replayer, give_up })
}

impl RunnableConnector {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// Where devices may connect straight to this process.
    pub(crate) fn mqtt_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sources.iter().filter_map(RunnableSource::mqtt_address)
    }

    /// Where requests come in, if they do.
    pub(super) fn door(&self) -> Option<Door> {
        self.sources.iter().find_map(RunnableSource::door)
    }

    /// What can be seen of it.
    pub(super) fn view(&self) -> Arc<admin::Connector> {
        Arc::clone(&self.view)
    }

    /// Starts the stages, and then the sources. The sources stop with `stop`, every stage when its inbox ends, and the
    /// settlements after the last of them.
    pub(super) fn start(self, stop: CancellationToken) -> Running {
        let (letters_in, letters) = mpsc::channel(settings::LETTER_BATCHES_MAX);
        let stages = TaskTracker::new();
        let sockets = self.sources.iter().filter_map(|source| source.socket(&self.view.name)).collect();
        let intake = self.pipeline.spawn(self.settlements.witness(), letters_in, &stages);
        for source in self.sources {
            source.spawn(&intake, &stages, &stop);
        }
        stages.spawn(self.replayer.run(intake, stop.clone()));
        let meter = |stage| ProcessorMeter::of_stage(&self.view.name, stage);
        stages.spawn(meter("dead_letters").metered(self.dead_letters.run(letters)));
        stages.close();

        // Sources wait for their acknowledgements, which the settlements release: they go on until all else has ended.
        let (tasks, settled) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(meter("settlements").metered(self.settlements.run(settled.clone())));
        tasks.spawn(async move {
            stages.wait().await;
            settled.cancel();
        });
        tasks.close();
        Running { config: self.config, sockets, stop, give_up: self.give_up, tasks }
    }
}

impl Running {
    /// Waits until it has stopped and all that it took has ended.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let tasks = self.tasks.clone();
        async move { tasks.wait().await }
    }

    /// Has its sources take nothing more.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits, once it is to stop, until all that it took has ended; gives up after `grace`.
    ///
    /// # Errors
    /// When not all has ended in time; what has not is unacknowledged.
    pub(super) async fn drained(&self, grace: Duration) -> Result<(), AppError> {
        drain(&self.tasks, grace, &self.give_up).await
    }
}
