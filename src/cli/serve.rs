//! `vitalwire serve`: the connectors and the FHIR service of a configuration.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::{Failure, app_failure, load_config, stop_on_signal};
use crate::app::{App, Exposure};
use crate::telemetry;

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file (TOML); config/default.toml in the repository documents every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen on addresses other than loopback although there is no authentication
    #[arg(long)]
    insecure_no_auth: bool,
}

/// Serves until it is told to stop.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = load_config(arguments.config.as_deref())?;
    telemetry::start_logs(&config.log).map_err(|error| Failure::other(&error))?;
    let metrics = telemetry::meters::start_metrics().map_err(|error| Failure::other(&error))?;
    let exposure = Exposure::from_flag(arguments.insecure_no_auth);
    let app = App::build(config, exposure, Some(metrics)).await.map_err(|error| app_failure(&error))?;
    let stop = CancellationToken::new();
    stop_on_signal(&stop)?;
    app.run(stop).await.map_err(|error| app_failure(&error))
}
