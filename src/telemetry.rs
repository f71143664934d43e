//! Logs and metrics: their format, and error chains on one line.
//!
//! Log messages are constant and lower-case, values are fields. Payloads, identifiers of devices or patients, topics and
//! secrets are never among them (promise P8).
//!
//! Metrics are exposed at `/metrics` in the Prometheus text format. No label has more values than there are connectors,
//! sources or words in the code. Counters start at 0 with the process; the ledger at `/connectors/{name}` does not. Those
//! of the pipeline:
//!
//! | Name | Labels | Counts |
//! |---|---|---|
//! | `envelopes_received_total` | connector | messages taken from sources, those that come again included |
//! | `envelopes_settled_total` | connector, outcome | messages whose end is durable: the ledger's states |
//! | `envelopes_abandoned_total` | connector | messages handed back to their broker |
//! | `envelopes_in_flight` | connector | gauge: taken and not yet settled |
//! | `connector_state` | connector, state | gauge: 1 for the state it is in (running, retrying, halted), else 0 |
//! | `source_connected` | connector, source, type | gauge: 1 when messages can come in; `source` is its place in the list |
//! | `delivery_seconds` | connector | histogram: from the arrival of a message to the end of its Observation at the server |
//! | `measurements_extracted_total` | | what the device mappings found |
//! | `values_omitted_total` | `code` | optional values left out because a function failed |
//! | `observations_delivered_total` | outcome | Observations written, or found as they should be |
//! | `observations_contended_total` | | writes whose condition did not hold; they are tried again |
//! | `bundles_submitted_total` | result | Bundles sent: processed or failed |
//! | `bundle_submission_seconds` | | histogram: from sending a Bundle to its answer |
//! | `dead_letters_recorded_total` | stage, code | messages, or parts of them, that could not be processed |
//!
//! The FHIR service has its own, named in `fhir::api::metrics`.

use std::error::Error;
use std::io::IsTerminal as _;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub(crate) struct LogSettings {
    /// How log lines look.
    pub(crate) format: LogFormat,
    /// A level (`info`) or a list of directives (`info,vitalwire::deliver=debug`).
    pub(crate) filter: String,
}

/// The logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// The filter is not one.
    #[error("`log.filter` is not a level or a list of directives such as `info,vitalwire::deliver=debug`")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The metrics could not be set up.
    #[error("cannot set up the metrics")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
    /// The thread that keeps them small could not be started.
    #[error("cannot start the thread of the metrics")]
    Upkeep(#[source] std::io::Error),
}

/// The MQTT client logs topics and packets. What an operator must know of them the sources say.
const SILENCED: &str = "rumqttc=off";

/// Upper ends of latency buckets, in seconds.
const LATENCY_SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// How often values are sorted into their buckets. Until then each is kept, so somebody must, scraped or not.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// Checks a log filter without installing it.
///
/// # Errors
/// When the text is not a filter.
pub(crate) fn parse_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let silenced = SILENCED.parse().map_err(TelemetryError::Filter)?;
    Ok(EnvFilter::builder().parse(filter).map_err(TelemetryError::Filter)?.add_directive(silenced))
}

/// Sends log lines to standard error from here on. Only the first call in a process has an effect.
///
/// # Errors
/// When the filter is not one.
pub(crate) fn start_logs(settings: &LogSettings) -> Result<(), TelemetryError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parse_filter(&settings.filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start is a test in the same process, which keeps the first one's logs.
    match settings.format {
        LogFormat::Text => drop(builder.try_init()),
        LogFormat::Json => drop(builder.json().flatten_event(true).try_init()),
    }
    Ok(())
}

/// Collects metrics from here on; the handle renders them.
///
/// # Errors
/// When a recorder is installed already.
pub(crate) fn start_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(TelemetryError::Metrics)?;
    let kept = handle.clone();
    let upkeep = move || loop {
        std::thread::sleep(UPKEEP_PERIOD);
        kept.run_upkeep();
    };
    std::thread::Builder::new().name("metrics".to_owned()).spawn(upkeep).map_err(TelemetryError::Upkeep)?;
    Ok(handle)
}

/// An error and all its causes, outermost first, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::chain;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot deliver")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_chain_is_one_line_outermost_first() {
        assert_eq!(chain(&Outer(std::io::Error::other("line 1\nline 2"))), "cannot deliver: line 1 line 2");
    }
}
