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
        self.with_errors += usize::from(result.exceptions.iter().any(is_error));
        if result.aggregated_count > 0 {
            let count = usize::try_from(result.aggregated_count).unwrap_or(usize::MAX);
            writeln!(self.out, "{}, the first: {}", counted(count, "event"), result.device_event)?;
        } else {
            writeln!(self.out, "event {}: {}", self.events, counted(result.measurements.len(), "measurement"))?;
        }
        write_findings(&mut self.out, "  ", result)
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

/// Measurements, resources and problems of a result, each on a line of its own.
pub(super) fn write_findings(out: &mut impl Write, indent: &str, result: &DeviceResult<'_>) -> io::Result<()> {
    for measurement in &result.measurements {
        writeln!(out, "{indent}{}", line(measurement))?;
    }
    for observation in &result.observations {
        writeln!(out, "{indent}{observation}")?;
    }
    result.exceptions.iter().try_for_each(|exception| write_exception(out, indent, exception))
}

/// A problem; several causes on lines of their own.
pub(super) fn write_exception(out: &mut impl Write, indent: &str, exception: &Exception) -> io::Result<()> {
    let level = if is_error(exception) { "error" } else { "warning" };
    let message = exception.message.replace('\n', &format!("\n{indent}  "));
    writeln!(out, "{indent}{level}: {message} [{}]", exception.code)
}

fn is_error(exception: &Exception) -> bool {
    exception.level == Level::Error
}

/// A measurement on one line; what it does not have is left out.
fn line(measurement: &NormalizedMeasurement) -> String {
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
