//! The configuration read anew while the program runs: on SIGHUP, or `POST /config/reload`.
//!
//! One reload at a time, in the order in which they are asked for. What is said of connectors takes effect; anything else
//! holds from the next start on, and is named. A reload that meets a problem changes nothing. While the program ends,
//! none begins, and one under way starts nothing more.

use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connectors::Connectors;
use super::{AppError, Exposure, open_files, settings};
use crate::admin::{NotReloaded, ReloadRequest, Reloaded};
use crate::config::Config;
use crate::telemetry::chain;

/// Reads the configuration anew when it is asked to.
pub(super) struct Reloader {
    /// What is read; without it, nothing can be.
    pub(super) file: Option<PathBuf>,
    pub(super) exposure: Exposure,
    /// As at the start. Its connectors may be others by now.
    pub(super) started_with: Config,
    pub(super) requests: mpsc::Receiver<ReloadRequest>,
}

impl Reloader {
    /// Reloads until `stop`.
    pub(super) async fn run(mut self, mut connectors: Connectors, stop: CancellationToken) {
        while let Some(Some(answer)) = stop.run_until_cancelled(self.requests.recv()).await {
            let reloaded = self.reload(&mut connectors, &stop).await;
            tell(&reloaded);
            // Whoever asked may not have waited.
            drop(answer.send(reloaded));
        }
    }

    async fn reload(&self, connectors: &mut Connectors, stop: &CancellationToken) -> Result<Reloaded, NotReloaded> {
        let file = self.file.as_deref().ok_or(NotReloaded::NoFile)?;
        let config = Config::load(Some(file))
            .map_err(|problems| NotReloaded::Problems(problems.iter().map(ToString::to_string).collect()))?;
        let unusable = |error: AppError| NotReloaded::Problems(error.problems());
        settings::check_exposure(&config, self.exposure).map_err(unusable)?;
        open_files::raise(&config);
        let needs_restart = self.started_with.differing_sections(&config);
        let change = connectors.change_to(config.connectors, self.started_with.shutdown_grace, stop);
        let change = change.await.map_err(unusable)?;
        Ok(Reloaded {
            added: change.added,
            changed: change.changed,
            removed: change.removed,
            kept: change.kept,
            not_drained: change.not_drained,
            needs_restart,
        })
    }
}

fn tell(reloaded: &Result<Reloaded, NotReloaded>) {
    let done = match reloaded {
        Ok(done) => done,
        Err(reason) => {
            return tracing::error!(error = %chain(reason), "configuration not reloaded, the one in force goes on");
        }
    };
    let Reloaded { added, changed, removed, kept, not_drained, needs_restart } = done;
    tracing::info!(?added, ?changed, ?removed, kept = kept.len(), "configuration reloaded");
    if !not_drained.is_empty() {
        tracing::warn!(
            connectors = ?not_drained,
            "not all under way was stored within `shutdown.grace`; its senders will offer the rest again"
        );
    }
    if !needs_restart.is_empty() {
        tracing::warn!(sections = ?needs_restart, "these sections changed and hold from the next start on");
    }
}
