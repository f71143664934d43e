//! The command line: what may be typed, and which part of the program answers it.

mod bench;
mod check;
mod dead_letters;
mod demo;
mod mapping;
mod passwd;
mod send;
mod serve;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::{AppError, Exposure};
use crate::config::{Config, ConfigProblem};
use crate::telemetry::chain;

/// Device telemetry to FHIR R4 Observations, and the FHIR service that serves them.
#[derive(Debug, Parser)]
#[command(name = "vitalwire", version, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on embedded defaults, with real device recordings replayed as if devices were sending now
    Demo(demo::Arguments),
    /// Run the connectors and the FHIR service of a configuration
    Serve(Setup),
    /// Check configuration and mappings, and whether everything they name can be reached
    Check(Setup),
    /// Publish the messages of a file, as devices would
    Send(send::Arguments),
    /// Add, change or remove a user in the password file of an MQTT listener
    Passwd(passwd::Arguments),
    /// Look at what a running process could not process, replay it, or discard it
    DeadLetters(dead_letters::Arguments),
    /// Measure how fast a FHIR server is on this machine: this program, or any other by its address
    Bench(bench::Arguments),
    /// Check mapping files, and try them on sample events; nothing runs and nothing is stored
    Mapping(mapping::Arguments),
}

/// Why a command failed, and with it the exit code.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The command line asks for something impossible: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Configuration or mappings: exit code 78. Each problem a line.
    #[error("{}", .0.join("\n"))]
    Configuration(Vec<String>),
    /// Everything else: exit code 1.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    fn other(error: &dyn std::error::Error) -> Self {
        Self::Other(chain(error))
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Configuration(_) => ExitCode::from(78),
            Self::Other(_) => ExitCode::FAILURE,
        }
    }
}

/// Runs the command that was typed.
#[must_use]
pub fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    match run(command_line.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to tell it to when standard error is closed.
            drop(writeln!(std::io::stderr(), "vitalwire: {failure}"));
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start the runtime: {error}")))?;
    let result = match command {
        Command::Demo(arguments) => runtime.block_on(demo::run(arguments)),
        Command::Serve(setup) => runtime.block_on(serve::run(setup)),
        Command::Check(setup) => runtime.block_on(check::run(&setup)),
        Command::Send(arguments) => runtime.block_on(send::run(arguments)),
        Command::DeadLetters(arguments) => runtime.block_on(dead_letters::run(arguments)),
        Command::Bench(arguments) => runtime.block_on(bench::run(arguments)),
        Command::Passwd(arguments) => passwd::run(&arguments),
        Command::Mapping(arguments) => mapping::run(&arguments),
    };
    // Queries still running on the blocking pool after the drain have nobody left to answer.
    runtime.shutdown_background();
    result
}

/// What is to be run, or checked.
#[derive(Debug, clap::Args)]
struct Setup {
    /// Configuration file (TOML); config/default.toml in the repository documents every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen on addresses other than loopback although there is no authentication
    #[arg(long)]
    insecure_no_auth: bool,
}

impl Setup {
    /// The configuration, or all that is wrong with it.
    fn load(&self) -> Result<Config, Failure> {
        Config::load(self.config.as_deref()).map_err(|problems| config_failure(&problems))
    }

    fn exposure(&self) -> Exposure {
        Exposure::from_flag(self.insecure_no_auth)
    }
}

fn config_failure(problems: &[ConfigProblem]) -> Failure {
    Failure::Configuration(problems.iter().map(ToString::to_string).collect())
}

fn app_failure(error: &AppError) -> Failure {
    if error.is_configuration() { Failure::Configuration(vec![chain(error)]) } else { Failure::other(error) }
}

/// Cancels `stop` at Ctrl-C or SIGTERM. A second signal ends the process at once: what is under way is unacknowledged
/// then, and its sender will offer it again.
fn stop_on_signal(stop: &CancellationToken) -> Result<(), Failure> {
    let failed = |error| Failure::Other(format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let stop = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "nothing waits for it: it ends with the process")]
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        stop.cancel();
        next().await;
        std::process::exit(1);
    });
    Ok(())
}

/// Prints one line for the user.
fn say(line: &str) {
    // A reader that has gone away wants no more lines.
    drop(writeln!(std::io::stdout(), "{line}"));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::CommandLine::command().debug_assert();
    }
}
