//! `vitalwire mapping test`: sample events through mappings, as the pipeline would run them.
//!
//! The events are read one at a time and their results written as they come, so the file may be of any length.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::super::Failure;
use super::Files;
use super::text::Text;
use crate::telemetry::chain;
use crate::workbench::Workbench;
use crate::workbench::aggregate::Aggregate;
use crate::workbench::document::{DeviceResult, Document};
use crate::workbench::events::{Events, EventsError};
use crate::workbench::sample::Wrapping;

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    events: EventArguments,
    /// Show each problem once, with the number of events that have it and the first of them
    #[arg(long)]
    aggregate: bool,
    /// How the results are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// The sample events.
#[derive(Debug, clap::Args)]
pub(super) struct EventArguments {
    /// Sample events: one JSON array, or one JSON object a line (NDJSON); at most 16 MiB each
    #[arg(long, value_name = "FILE")]
    pub(super) events: Option<PathBuf>,
    /// The events are bare payloads, and not objects with `Body`, `Properties` and `SystemProperties`
    #[arg(long)]
    wrap_body: bool,
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
    if let Some(path) = &arguments.events.events {
        check_events(path)?;
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

impl EventArguments {
    /// How an event becomes an envelope.
    pub(super) fn wrapping(&self) -> Wrapping {
        if self.wrap_body { Wrapping::Body } else { Wrapping::Envelope }
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
    if let (Some(path), Some(trial)) = (&arguments.events.events, workbench.trial(arguments.events.wrapping())) {
        let mut aggregate = arguments.aggregate.then(Aggregate::default);
        let mut events = open_events(path).map_err(Stopped::Input)?;
        while let Some(event) = events.next().map_err(|error| Stopped::Input(events_failure(path, &error)))? {
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

/// Reads a file once before the first result is written: half a document is worse than none. What is no file, such as
/// a pipe, can be read only once.
pub(super) fn check_events(path: &Path) -> Result<(), Failure> {
    if !std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(());
    }
    let mut events = open_events(path)?;
    while events.next().map_err(|error| events_failure(path, &error))?.is_some() {}
    Ok(())
}

/// The events of a file; misuse when it cannot be opened.
pub(super) fn open_events(path: &Path) -> Result<Events<BufReader<File>>, Failure> {
    let file = File::open(path)
        .map_err(|error| Failure::Usage(format!("cannot read the events {}: {error}", path.display())))?;
    Ok(Events::from(BufReader::new(file)))
}

/// A file of events that cannot be used is misuse.
pub(super) fn events_failure(path: &Path, error: &EventsError) -> Failure {
    Failure::Usage(format!("events {}: {}", path.display(), chain(error)))
}
