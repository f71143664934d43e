//! `vitalwire serve`: the connectors and the FHIR service of a configuration.

use std::convert::Infallible;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, Setup, app_failure, stop_on_signal};
use crate::admin::{NotReloaded, Reloads};
use crate::app::App;
use crate::telemetry;

/// Serves until it is told to stop.
pub(super) async fn run(setup: Setup) -> Result<(), Failure> {
    // From here on a SIGHUP does not end the process; what comes before it serves waits.
    let hangups =
        signal(SignalKind::hangup()).map_err(|error| Failure::Other(format!("cannot listen for signals: {error}")))?;
    let config = setup.load()?;
    telemetry::start_logs(&config.log).map_err(|error| Failure::other(&error))?;
    let metrics = telemetry::meters::start_metrics().map_err(|error| Failure::other(&error))?;
    let exposure = setup.exposure();
    let app = App::build(config, setup.config, exposure, Some(metrics)).await.map_err(|error| app_failure(&error))?;
    let stop = CancellationToken::new();
    stop_on_signal(&stop)?;
    let reloading = reload_at_each(hangups, app.reloads());
    tokio::select! {
        ran = app.run(stop) => ran.map_err(|error| app_failure(&error)),
        never = reloading => match never {},
    }
}

/// Has the configuration read anew at each of these signals. What came of it is logged.
async fn reload_at_each(mut hangups: Signal, reloads: Reloads) -> Infallible {
    while hangups.recv().await.is_some() {
        if let Err(reason @ NotReloaded::TooMany) = reloads.ask().await {
            tracing::warn!(%reason, "SIGHUP ignored");
        }
    }
    std::future::pending().await
}
