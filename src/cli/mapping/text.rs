//! Results for reading: problems of the files first, then a block for each event.

use std::io::{self, Write};

use super::counted;
use crate::workbench::Workbench;
use crate::workbench::document::{DeviceResult, NormalizedMeasurement};
use crate::workbench::exception::{Exception, Level};

/// The results on their way out. They must be closed.
#[must_use]
pub(super) struct Text<W> {
    out: W,
    /// What is said at the end when no event was run.
    silence: &'static str,
    events: usize,
    measurements: usize,
    with_errors: usize,
}

impl<W: Write> Text<W> {
    /// Begins with the problems of the mappings.
    pub(super) fn open(mut out: W, workbench: &Workbench) -> io::Result<Self> {
        for problem in workbench.problems() {
            writeln!(out, "{problem}")?;
        }
        let silence = if workbench.has_errors() {
            "no event was run: a mapping has errors"
        } else {
            "no event was run, or none has a problem"
        };
        Ok(Self { out, silence, events: 0, measurements: 0, with_errors: 0 })
    }

    /// Writes the block of one event, or of one problem of many.
    pub(super) fn result(&mut self, result: &DeviceResult<'_>) -> io::Result<()> {
        self.events += 1;
        self.measurements += result.measurements.len();
        let is_error = |exception: &Exception| exception.level == Level::Error;
        self.with_errors += usize::from(result.exceptions.iter().any(is_error));
        if result.aggregated_count > 0 {
            let count = usize::try_from(result.aggregated_count).unwrap_or(usize::MAX);
            writeln!(self.out, "{}, the first: {}", counted(count, "event"), result.device_event)?;
        } else {
            writeln!(self.out, "event {}: {}", self.events, counted(result.measurements.len(), "measurement"))?;
        }
        for measurement in &result.measurements {
            writeln!(self.out, "  {}", line(measurement))?;
        }
        for observation in &result.observations {
            writeln!(self.out, "  {observation}")?;
        }
        for exception in &result.exceptions {
            let level = if is_error(exception) { "error" } else { "warning" };
            let message = exception.message.replace('\n', "\n    ");
            writeln!(self.out, "  {level}: {message} [{}]", exception.code)?;
        }
        Ok(())
    }

    /// Ends with a summary.
    pub(super) fn close(mut self) -> io::Result<()> {
        if self.events == 0 {
            writeln!(self.out, "{}", self.silence)?;
        } else {
            let (events, measurements) = (counted(self.events, "result"), counted(self.measurements, "measurement"));
            writeln!(self.out, "{events}, {measurements}, {} with errors", self.with_errors)?;
        }
        self.out.flush()
    }
}

/// A measurement on one line; what it does not have is left out.
pub(super) fn line(measurement: &NormalizedMeasurement) -> String {
    let ids = [
        ("device", Some(&measurement.device_id)),
        ("patient", measurement.patient_id.as_ref()),
        ("encounter", measurement.encounter_id.as_ref()),
        ("correlation", measurement.correlation_id.as_ref()),
    ];
    let ids = ids.into_iter().filter_map(|(name, id)| Some(format!(" {name} {}", id?)));
    let values = measurement.properties.iter().map(|property| format!(" {} = {}", property.name, property.value));
    let (ids, values) = (ids.collect::<String>(), values.collect::<Vec<_>>().join(","));
    format!("{} at {}{ids}:{values}", measurement.r#type, measurement.occurrence_time_utc)
}
