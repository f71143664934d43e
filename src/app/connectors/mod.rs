//! The connectors of the process: which of them run, and what can be seen of them.

mod connector;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connector::Running;
use super::AppError;
use crate::admin;
use crate::config::ConnectorConfig;
use crate::mapping_store::MappingStore;
use crate::settlements::Settlements;

pub(crate) use self::connector::open_mapping;
pub(super) use self::connector::{RunnableConnector, Shared, open_mappings};

/// The connectors that run.
pub(super) struct Connectors {
    shared: Shared,
    /// Those of all connectors there have been, so that one that comes back goes on with what it left.
    ledgers: HashMap<String, Settlements>,
    views: watch::Sender<admin::Connectors>,
    running: Vec<Running>,
    /// All that the connectors do.
    tasks: TaskTracker,
}

impl Connectors {
    /// None yet.
    pub(super) fn new(shared: Shared) -> Self {
        let (views, _unwatched) = watch::channel(Arc::default());
        Self { shared, ledgers: HashMap::new(), views, running: Vec::new(), tasks: TaskTracker::new() }
    }

    /// What can be seen of them, now and from now on.
    pub(super) fn views(&self) -> watch::Receiver<admin::Connectors> {
        self.views.subscribe()
    }

    /// All that they do.
    pub(super) fn tasks(&self) -> TaskTracker {
        self.tasks.clone()
    }

    /// Does all that can fail, for connectors with these mappings, and shows them.
    pub(super) async fn build(
        &mut self,
        connectors: Vec<ConnectorConfig>,
        mappings: Vec<MappingStore>,
    ) -> Result<Vec<RunnableConnector>, AppError> {
        let mut built = Vec::with_capacity(connectors.len());
        for (config, mappings) in connectors.into_iter().zip(mappings) {
            let ledger = self.ledger(&config.name).await?;
            built.push(connector::build(config, mappings, ledger, &self.shared).await?);
        }
        self.views.send_replace(built.iter().map(RunnableConnector::view).collect());
        Ok(built)
    }

    /// Starts them, until `stop`.
    pub(super) fn start(&mut self, connectors: Vec<RunnableConnector>, stop: &CancellationToken) {
        for connector in connectors {
            let running = connector.start(stop.child_token());
            self.tasks.spawn(running.ended());
            self.running.push(running);
        }
    }

    async fn ledger(&mut self, name: &str) -> Result<Settlements, AppError> {
        if let Some(ledger) = self.ledgers.get(name) {
            return Ok(ledger.clone());
        }
        let ledger = Settlements::open(self.shared.database.clone(), name.into()).await.map_err(AppError::Ledger)?;
        self.ledgers.insert(name.to_owned(), ledger.clone());
        Ok(ledger)
    }
}
