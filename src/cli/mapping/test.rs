//! `vitalwire mapping test`: sample events through mappings, as the pipeline would run them.
//!
//! The events are read one at a time and their results written as they come, so the file may be of any length.

use std::io::{self, BufWriter};
use std::path::PathBuf;

use clap::ValueEnum;

use super::super::Failure;
use super::Files;
use super::events::{self, Wrap};
use super::text::Text;
use crate::workbench::Workbench;
use crate::workbench::aggregate::Aggregate;
use crate::workbench::document::{DeviceResult, Document};

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Sample events: one JSON array, or one JSON object a line (NDJSON); at most 16 MiB each
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    #[command(flatten)]
    wrap: Wrap,
    /// Show each problem once, with the number of events that have it and the first of them
    #[arg(long)]
    aggregate: bool,
    /// How the results are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For reading
    Text,
    /// One document for programs, `TemplateResult` and `DeviceResults`
    Json,
}

/// Runs all events.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let workbench = arguments.files.open()?;
    if let Some(path) = &arguments.events {
        events::check(path)?;
    }
    let out = BufWriter::new(io::stdout().lock());
    let written = match arguments.format {
        Format::Json => Document::open(out, &workbench.template_result()).map(Report::Json),
        Format::Text => Text::open(out, &workbench).map(Report::Text),
    };
    match written.map_err(Stopped::Output).and_then(|report| write(arguments, &workbench, report)) {
        // A reader that has gone away wants no more.
        Err(Stopped::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stopped::Output(error)) => Err(Failure::Other(format!("cannot write the results: {error}"))),
        Err(Stopped::Input(failure)) => Err(failure),
        Ok(()) => Ok(()),
    }
}

/// Why results end early.
enum Stopped {
    Input(Failure),
    Output(io::Error),
}

/// Where results go.
enum Report<W> {
    Json(Document<W>),
    Text(Text<W>),
}

impl<W: io::Write> Report<W> {
    fn result(&mut self, result: &DeviceResult<'_>) -> Result<(), Stopped> {
        match self {
            Self::Json(document) => document.result(result),
            Self::Text(text) => text.result(result),
        }
        .map_err(Stopped::Output)
    }

    fn close(self) -> Result<(), Stopped> {
        match self {
            Self::Json(document) => document.close(),
            Self::Text(text) => text.close(),
        }
        .map_err(Stopped::Output)
    }
}

fn write<W: io::Write>(arguments: &Arguments, workbench: &Workbench, mut report: Report<W>) -> Result<(), Stopped> {
    if let (Some(path), Some(trial)) = (&arguments.events, workbench.trial(arguments.wrap.wrapping())) {
        let mut aggregate = arguments.aggregate.then(Aggregate::default);
        let mut events = events::open(path).map_err(Stopped::Input)?;
        while let Some(event) = events.next().map_err(|error| Stopped::Input(events::failure(path, &error)))? {
            let result = trial.run(&event);
            match &mut aggregate {
                Some(aggregate) => aggregate.add(result),
                None => report.result(&result)?,
            }
        }
        aggregate.iter().flat_map(Aggregate::results).try_for_each(|result| report.result(&result))?;
    }
    report.close()
}
