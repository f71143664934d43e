//! Logs and metrics: their format, and error chains on one line.
//!
//! Log messages are constant and lower-case, values are fields. Payloads, identifiers of devices or patients, topics and
//! secrets are never among them (promise P8).
//!
//! Metrics are exposed at `/metrics` in the Prometheus text format, under names of their own and under those of the
//! reference; `docs/metrics.md` lists them, and a test holds it to the table in [`meters`], the one place that names a
//! metric. No label has more values than there are connectors, sources or words in the code. Counters start at 0 with
//! the process; the ledger at `/connectors/{name}` does not.

pub(crate) mod meters;

use std::error::Error;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// The same trouble is logged at most this often.
const SELDOM_PERIOD: Duration = Duration::from_secs(60);

/// What is worth a line in the log, but not each time.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether the last line is long enough ago. If so, the next one is being written now.
    pub(crate) fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= SELDOM_PERIOD);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
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
