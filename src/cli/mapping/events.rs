//! Files of sample events, and what is done when one cannot be used.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::super::Failure;
use crate::telemetry::chain;
use crate::workbench::events::{Events, EventsError};
use crate::workbench::sample::Wrapping;

/// What the sample events are.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Wrap {
    /// The events are bare payloads, and not objects with `Body`, `Properties` and `SystemProperties`
    #[arg(long)]
    wrap_body: bool,
}

impl Wrap {
    /// How an event becomes an envelope.
    pub(super) fn wrapping(self) -> Wrapping {
        if self.wrap_body { Wrapping::Body } else { Wrapping::Envelope }
    }
}

/// Reads a file once before the first result is written: half a document is worse than none. What is no file, such as
/// a pipe, can be read only once.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    if !std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(());
    }
    let mut events = open(path)?;
    while events.next().map_err(|error| failure(path, &error))?.is_some() {}
    Ok(())
}

/// The events of a file; misuse when it cannot be opened.
pub(super) fn open(path: &Path) -> Result<Events<BufReader<File>>, Failure> {
    let file = File::open(path)
        .map_err(|error| Failure::Usage(format!("cannot read the events {}: {error}", path.display())))?;
    Ok(Events::from(BufReader::new(file)))
}

/// A file of events that cannot be used is misuse.
pub(super) fn failure(path: &Path, error: &EventsError) -> Failure {
    Failure::Usage(format!("events {}: {}", path.display(), chain(error)))
}
