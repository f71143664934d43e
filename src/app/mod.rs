//! Builds every part, joins the stages with bounded channels, and drains them: the only place that knows them all.
//!
//! Building does whatever can fail (files, ports, mappings), so that `run` starts only what can run. Shutdown goes the
//! way data does: sources stop and answer for what they took, each stage sees its inbox end and finishes, the
//! settlements are counted, and at last the FHIR service, which all of them needed, goes.

mod connectors;
mod error;
mod host_names;
mod http;
mod identity_watch;
mod open_files;
mod pipeline;
mod reload;
mod settings;
#[cfg(test)]
mod simulation;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connectors::{Connectors, RunnableConnector, Shared};
use self::http::HttpServer;
use self::reload::Reloader;
use self::sources::Sockets;
use crate::admin::{self, Reloads};
use crate::answers;
use crate::answers::Answers;
use crate::bookmarks;
use crate::clock::Clock;
use crate::config::Config;
use crate::database::Database;
use crate::dead_letters;
use crate::dead_letters::DeadLetters;
use crate::fhir;
use crate::fhir::store::sqlite::SqliteStore;
use crate::fhir::terminology;
use crate::resolve::Freshness;
use crate::settlements;
use crate::sources::http::Doors;
use crate::subscriptions;

pub(crate) use self::connectors::open_mapping;
pub(crate) use self::error::AppError;
pub(crate) use self::settings::{Exposure, check_exposure, client};
pub(crate) use self::sources::{access, file, kafka, subscriber};

/// Schemas of all that is kept in the database.
const SCHEMAS: [crate::database::Schema; 6] = [
    fhir::store::sqlite::SCHEMA,
    dead_letters::SCHEMA,
    settlements::SCHEMA,
    answers::SCHEMA,
    bookmarks::SCHEMA,
    subscriptions::SCHEMA,
];

/// The whole product, ready to run.
pub(crate) struct App {
    http: HttpServer,
    connectors: Connectors,
    /// Those that the configuration names.
    first: Vec<RunnableConnector>,
    reloader: Reloader,
    reloads: Reloads,
    dead_letters: DeadLetters,
    database: Database,
    /// Cancelled when the grace period is over: whoever still waits for a server gives up.
    give_up: CancellationToken,
    grace: Duration,
}

impl App {
    /// Opens the database, loads the mappings and binds the ports. `file` is where the configuration stands, to be read
    /// anew on request.
    ///
    /// # Errors
    /// The first thing that cannot be had, with how to mend it; nothing runs then.
    pub(crate) async fn build(
        mut config: Config,
        file: Option<PathBuf>,
        exposure: Exposure,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, AppError> {
        settings::check_exposure(&config, exposure)?;
        open_files::raise(&config);
        let mappings = connectors::open_mappings(&config.connectors)?;
        let clock = Clock::default();
        let database = Database::open(&config.data_dir, &SCHEMAS).map_err(AppError::Database)?;
        let freshness = Arc::new(Freshness::new());
        let store = SqliteStore::open(database.clone(), clock.clone()).await.map_err(AppError::Store)?;
        let store = store.watched_by(identity_watch::watch(Arc::clone(&freshness)));
        let store = store.with_terminology(terminology::search::codes);
        let store = store.forgetting(http::versioning(&config.http.fhir.versioning).without_history());
        let give_up = CancellationToken::new();
        let dead_letters = DeadLetters::new(database.clone(), give_up.clone());
        let http =
            HttpServer::bind(&config.http, config.shutdown_grace, exposure, Arc::new(store), clock.clone()).await?;
        let doors = Doors::default();
        let shared = Shared {
            database: database.clone(),
            dead_letters: dead_letters.clone(),
            clock: clock.clone(),
            give_up: give_up.clone(),
            own_fhir: http.fhir_url(),
            public_url: config.http.fhir.public_url.clone(),
            freshness,
            doors: doors.clone(),
            answers: Answers::new(database.clone(), clock.clone()),
        };
        let mut connectors = Connectors::new(shared);
        let configured = std::mem::take(&mut config.connectors);
        let first = connectors.build(configured, mappings, &mut Sockets::default()).await?;
        connectors.show(&first);
        let (reloads, requests) = Reloads::new();
        let admin = admin::AdminState {
            connectors: connectors.views(),
            reloads: reloads.clone(),
            dead_letters: dead_letters.clone(),
            clock,
            metrics,
        };
        let http = http.with_admin(admin).with_doors(doors);
        let grace = config.shutdown_grace;
        let reloader = Reloader { file, exposure, started_with: config, requests };
        Ok(Self { http, connectors, first, reloader, reloads, dead_letters, database, give_up, grace })
    }

    /// Where HTTP is served.
    pub(crate) fn http_address(&self) -> SocketAddr {
        self.http.address()
    }

    /// Where devices may connect straight to this process, over all connectors.
    pub(crate) fn mqtt_addresses(&self) -> Vec<SocketAddr> {
        self.first.iter().flat_map(RunnableConnector::mqtt_addresses).collect()
    }

    /// What can be seen of the connectors, now and from now on.
    pub(crate) fn connectors(&self) -> watch::Receiver<admin::Connectors> {
        self.connectors.views()
    }

    /// Where the configuration is read anew.
    pub(crate) fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// The dead letters of all connectors.
    pub(crate) fn dead_letters(&self) -> DeadLetters {
        self.dead_letters.clone()
    }

    /// Runs until `stop`, then drains for at most the grace period.
    ///
    /// # Errors
    /// When the grace period ended before all was stored; what was not stored then was not acknowledged either.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), AppError> {
        let tasks = self.connectors.tasks();
        let http_stop = CancellationToken::new();
        let http = self.http.run(http_stop.clone());
        self.connectors.start(self.first, &stop);
        tasks.close();
        let reloads = self.reloader.run(self.connectors, stop.clone());
        let drained = async {
            tracing::info!("ready");
            stop.cancelled().await;
            tracing::info!("draining");
            let in_time = drain(&tasks, self.grace, &self.give_up).await;
            http_stop.cancel();
            in_time
        };
        let ((), drained, ()) = tokio::join!(http, drained, reloads);
        self.database.close().await;
        drained
    }
}

/// Waits for the pipelines to end, and makes them give up after the grace period.
async fn drain(tasks: &TaskTracker, grace: Duration, give_up: &CancellationToken) -> Result<(), AppError> {
    if tokio::time::timeout(grace, tasks.wait()).await.is_ok() {
        return Ok(());
    }
    give_up.cancel();
    // Giving up needs no server, only a moment; a task that does not even do that must not keep the process.
    drop(tokio::time::timeout(settings::GIVE_UP_MAX, tasks.wait()).await);
    Err(AppError::NotDrained { grace })
}
