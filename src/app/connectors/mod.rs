//! The connectors of the process: which of them run, and what can be seen of them.
//!
//! They can be changed while they run. All that can fail is done first, beside those that run: mappings are loaded,
//! clients made, ports bound. When something fails, nothing has happened. Then those that are to go stop, all at once, and
//! each of the new ones starts when its predecessor, if it has one, has answered for all that it took: two of one name
//! never run side by side, so readings keep their order, and sessions at brokers are not fought over. Connectors whose
//! settings are the same are not touched at all.

mod connector;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connector::Running;
use super::AppError;
use super::sources::Sockets;
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

/// What became of the connectors, by name.
pub(super) struct Change {
    pub(super) added: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) kept: Vec<String>,
    /// Of those changed and removed: where not all under way ended in time.
    pub(super) not_drained: Vec<String>,
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

    /// Does all that can fail, for connectors with these mappings. They take over what they can of `sockets`.
    pub(super) async fn build(
        &mut self,
        connectors: Vec<ConnectorConfig>,
        mappings: Vec<MappingStore>,
        sockets: &mut Sockets,
    ) -> Result<Vec<RunnableConnector>, AppError> {
        let mut built = Vec::with_capacity(connectors.len());
        for (config, mappings) in connectors.into_iter().zip(mappings) {
            let ledger = self.ledger(&config.name).await?;
            built.push(connector::build(config, mappings, ledger, sockets, &self.shared).await?);
        }
        Ok(built)
    }

    async fn ledger(&mut self, name: &str) -> Result<Settlements, AppError> {
        if let Some(ledger) = self.ledgers.get(name) {
            return Ok(ledger.clone());
        }
        let ledger = Settlements::open(self.shared.database.clone(), name.into()).await.map_err(AppError::Ledger)?;
        self.ledgers.insert(name.to_owned(), ledger.clone());
        Ok(ledger)
    }

    /// Starts them, until `stop`.
    pub(super) fn start(&mut self, connectors: Vec<RunnableConnector>, stop: &CancellationToken) {
        for connector in connectors {
            let running = connector.start(stop.child_token());
            self.tasks.spawn(running.ended());
            self.running.push(running);
        }
    }

    /// Has exactly these run. What goes has `grace` to be stored; after `stop` nothing is started any more.
    ///
    /// # Errors
    /// When one of them cannot be built. Nothing has changed then.
    pub(super) async fn change_to(
        &mut self,
        connectors: Vec<ConnectorConfig>,
        grace: Duration,
        stop: &CancellationToken,
    ) -> Result<Change, AppError> {
        let order: Vec<String> = names(&connectors).collect();
        let (same, new): (Vec<_>, Vec<_>) =
            connectors.into_iter().partition(|config| self.running.iter().any(|running| running.config == *config));
        let stays = |running: &Running| same.contains(&running.config);
        let going: Vec<&Running> = self.running.iter().filter(|running| !stays(running)).collect();
        let mut sockets = Sockets::of(going.iter().flat_map(|running| running.sockets.clone()));
        let before: Vec<String> = going.iter().map(|running| running.config.name.clone()).collect();
        let (changed, added) = names(&new).partition(|name| before.contains(name));
        let removed = before.into_iter().filter(|name| !order.contains(name)).collect();

        let mappings = open_mappings(&new)?;
        let new = self.build(new, mappings, &mut sockets).await?;
        // Those that nobody has taken over are closed by their sources.
        drop(sockets);
        let going = self.running.extract_if(.., |running| !stays(running)).collect();
        let not_drained = self.replace(going, new, grace, stop).await;
        self.put_in_order(&order);
        Ok(Change { added, changed, removed, kept: names(&same).collect(), not_drained })
    }

    /// Stops some and starts others; says which did not drain in time.
    async fn replace(
        &mut self,
        going: Vec<Running>,
        mut new: Vec<RunnableConnector>,
        grace: Duration,
        stop: &CancellationToken,
    ) -> Vec<String> {
        going.iter().for_each(Running::stop);
        let mut still_there: Vec<String> = going.iter().map(|running| running.config.name.clone()).collect();
        let drain = async |running: Running| (running.drained(grace).await.is_ok(), running.config.name);
        let mut draining: FuturesUnordered<_> = going.into_iter().map(drain).collect();
        let mut not_drained = Vec::new();
        loop {
            if stop.is_cancelled() {
                new.clear();
            }
            let free = new.extract_if(.., |connector| !still_there.iter().any(|name| name == connector.name()));
            let free: Vec<_> = free.collect();
            self.show(&free);
            self.start(free, stop);
            let Some((in_time, name)) = draining.next().await else { return not_drained };
            still_there.retain(|other| *other != name);
            if !new.iter().any(|connector| connector.name() == name) {
                self.hide(&name);
            }
            if !in_time {
                not_drained.push(name);
            }
        }
    }

    /// Shows them, each in the place of the one that has had its name, and has their doors found.
    pub(super) fn show(&self, connectors: &[RunnableConnector]) {
        for connector in connectors {
            self.shared.doors.put(connector.name(), connector.door());
        }
        self.views.send_modify(|views| {
            let mut shown = views.to_vec();
            for view in connectors.iter().map(RunnableConnector::view) {
                match shown.iter_mut().find(|shown| shown.name == view.name) {
                    Some(before) => {
                        before.ungauge();
                        *before = view;
                    }
                    None => shown.push(view),
                }
            }
            *views = shown.into();
        });
    }

    fn hide(&self, name: &str) {
        self.shared.doors.put(name, None);
        self.views.send_modify(|views| {
            let (gone, shown): (Vec<_>, Vec<_>) = views.iter().cloned().partition(|view| view.name.as_ref() == name);
            gone.iter().for_each(|view| view.ungauge());
            *views = shown.into();
        });
    }

    fn put_in_order(&mut self, order: &[String]) {
        let place = |name: &str| order.iter().position(|other| other == name);
        self.running.sort_by_key(|running| place(&running.config.name));
        self.views.send_modify(|views| {
            let mut shown = views.to_vec();
            shown.sort_by_key(|view| place(&view.name));
            *views = shown.into();
        });
    }
}

fn names(connectors: &[ConnectorConfig]) -> impl Iterator<Item = String> {
    connectors.iter().map(|config| config.name.clone())
}
