//! Metrics: their names in one table, and the handles with which the stages count.
//!
//! A stage gets its handles when it is built, so counting a message costs an addition and no look-up. The recorder keeps
//! each value of a histogram until it is sorted into its bucket, so that is done every second, scraped or not; what is
//! kept in between is bounded by what a machine can process in that time: 16 bytes a value, 12 MB at 90,000 messages a
//! second. Six histograms and as many counters cost half a microsecond a message.

mod catalogue;
mod errors;
mod handles;
mod processor;

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use self::catalogue::Kind;
use super::TelemetryError;

pub(crate) use self::errors::{Side, count_refused_mapping};
pub(crate) use self::handles::{
    DeliverMeters, HttpMeters, LinkMeters, MqttListenerMeters, NormalizeMeters, RoomMeter, SettlementMeters,
    SourceStanding, Standing, count_bundle_entries, count_dead_letter, count_discarded, count_replayed, count_request,
    expose_rare, show,
};
pub(crate) use self::processor::ProcessorMeter;

/// How often values are sorted into their buckets.
const UPKEEP_PERIOD: Duration = Duration::from_secs(1);

/// Collects metrics from here on; the handle renders them.
///
/// # Errors
/// When a recorder is installed already.
pub(crate) fn start_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let handle = builder()?.install_recorder().map_err(TelemetryError::Metrics)?;
    describe();
    let kept = handle.clone();
    let upkeep = move || loop {
        std::thread::sleep(UPKEEP_PERIOD);
        kept.run_upkeep();
    };
    std::thread::Builder::new().name("metrics".to_owned()).spawn(upkeep).map_err(TelemetryError::Upkeep)?;
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, TelemetryError> {
    let mut builder = PrometheusBuilder::new();
    for metric in catalogue::ALL {
        if let Kind::Histogram(scale) = metric.kind {
            let named = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(named, scale.buckets()).map_err(TelemetryError::Metrics)?;
        }
    }
    Ok(builder)
}

/// Gives every metric its HELP line.
fn describe() {
    catalogue::ALL.iter().for_each(|metric| metric.describe());
    errors::KNOWN.iter().for_each(errors::Known::describe);
}

/// A recorder for a test, which makes it the one of its thread: `metrics::set_default_local_recorder`.
#[cfg(test)]
pub(crate) fn recorder() -> metrics_exporter_prometheus::PrometheusRecorder {
    let recorder = builder().unwrap().build_recorder();
    metrics::with_local_recorder(&recorder, describe);
    recorder
}

/// The value of the one series whose line begins so.
#[cfg(test)]
#[track_caller]
pub(crate) fn value_of(recorder: &metrics_exporter_prometheus::PrometheusRecorder, series: &str) -> f64 {
    let text = recorder.handle().render();
    let values: Vec<&str> =
        text.lines().filter(|line| line.starts_with(series)).filter_map(|line| line.split(' ').next_back()).collect();
    let [value] = values.as_slice() else { panic!("{} series begin with `{series}` in:\n{text}", values.len()) };
    value.parse().unwrap()
}

#[cfg(test)]
mod tests;
