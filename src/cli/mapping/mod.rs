//! `vitalwire mapping`: mapping files checked and tried out, with nothing running.

mod check;
mod events;
pub(in crate::cli) mod example;
mod explain;
mod test;
mod text;

use std::path::{Path, PathBuf};

use super::Failure;
use crate::mapping_store::{self, MappingFile};
use crate::telemetry::chain;
use crate::workbench::Workbench;

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print all that is wrong with mapping files, as a compiler does; exit code 78 when there is an error
    Check(Files),
    /// Run sample events through mappings and show the measurements, the Observations and what goes wrong
    Test(test::Arguments),
    /// Show of one event, template by template, why it matched or not and what each expression gave
    Explain(explain::Arguments),
}

/// The mappings a command is about; at least one of them (VA-1).
#[derive(Debug, clap::Args)]
struct Files {
    /// Device mapping: a file, or a shipped one such as shipped:heart-rate/device.json
    #[arg(long, value_name = "FILE")]
    device_mapping: Option<PathBuf>,
    /// FHIR mapping: a file, or a shipped one such as shipped:heart-rate/fhir.json
    #[arg(long, value_name = "FILE")]
    fhir_mapping: Option<PathBuf>,
}

/// Runs what was typed.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Check(files) => check::run(files),
        Command::Test(arguments) => test::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
    }
}

impl Files {
    /// The mappings on the workbench; misuse when there is none or one cannot be read.
    fn open(&self) -> Result<Workbench, Failure> {
        let device = self.device_mapping.as_deref().map(read).transpose()?;
        let fhir = self.fhir_mapping.as_deref().map(read).transpose()?;
        let include = |name: &str| mapping_store::included(self.fhir_mapping.as_deref().unwrap_or(Path::new("")), name);
        Workbench::open(device.as_ref().map(MappingFile::source), fhir.as_ref().map(MappingFile::source), &include)
            .map_err(|error| Failure::Usage(format!("{error} (--device-mapping FILE, --fhir-mapping FILE)")))
    }
}

fn read(path: &Path) -> Result<MappingFile, Failure> {
    MappingFile::read(path).map_err(|error| Failure::Usage(chain(&error)))
}

/// A count with its noun: `1 template`, `2 templates`.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
