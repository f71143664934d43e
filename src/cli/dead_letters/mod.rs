//! `vitalwire dead-letters`: what a running process could not process, looked at, replayed, discarded.

mod discard;
mod list;
mod replay;
mod show;
mod text;

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Failure, say};
use crate::model::dead_letter::Stage;
use crate::remote::{Remote, RemoteError};

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the letters of a connector, newest first, or how many there are of which cause
    List(list::Arguments),
    /// Show one letter with its whole message
    Show(show::Arguments),
    /// Process the messages of letters once more, in the order in which they came, and wait for the end
    ///
    /// To be done when the cause is mended: the mapping corrected, the device registered. A letter goes when all that
    /// came of its message is stored. A message that fails again has new letters in place of the old ones.
    Replay(replay::Arguments),
    /// Remove letters for good, and messages with their last letter
    Discard(discard::Arguments),
}

/// Runs the command that was typed.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::List(arguments) => list::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
        Command::Replay(arguments) => replay::run(arguments).await,
        Command::Discard(arguments) => discard::run(arguments).await,
    }
}

/// Which connector of which process, and how to answer.
#[derive(Debug, clap::Args)]
struct Place {
    /// Name of the connector
    #[arg(long, value_name = "NAME")]
    connector: String,
    /// Where the running process serves HTTP
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// For people, or as the REST interface answers
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Place {
    fn remote(&self) -> Result<Remote, Failure> {
        Remote::new(&self.url).map_err(|error| failure(&error))
    }

    /// The segments of a path below the connector's dead letters.
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        [&["connectors", &self.connector, "dead-letters"], below].concat()
    }
}

/// Which letters, by what is true of them.
#[derive(Debug, clap::Args)]
struct Filters {
    /// Only letters with this error code
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Only letters of this stage
    #[arg(long, value_name = "STAGE", value_parser = Stage::ALL.map(Stage::as_str))]
    stage: Option<String>,
    /// Only letters about this template
    #[arg(long, value_name = "TYPE_NAME")]
    template: Option<String>,
    /// Only letters from this instant on, for example 2024-03-02T07:15:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
}

impl Filters {
    /// Those that are given, under their names in the REST interface.
    fn given(&self) -> Vec<(&'static str, String)> {
        let since = self.since.map(|since| since.to_string());
        let all = [
            ("code", self.code.clone()),
            ("stage", self.stage.clone()),
            ("template", self.template.clone()),
            ("since", since),
        ];
        all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
    }
}

/// Which letters are to be replayed or discarded.
#[derive(Debug, clap::Args)]
struct Selected {
    #[command(flatten)]
    filters: Filters,
    /// Only these letters
    #[arg(long = "id", value_name = "ID", value_delimiter = ',', conflicts_with_all = ["code", "stage", "template", "since"])]
    ids: Vec<i64>,
    /// All letters of the connector
    #[arg(long, conflicts_with_all = ["ids", "code", "stage", "template", "since"])]
    all: bool,
}

impl Selected {
    /// As the REST interface wants it.
    fn body(&self) -> Result<Value, Failure> {
        let filters = self.filters.given();
        if self.all {
            Ok(json!({ "all": true }))
        } else if !self.ids.is_empty() {
            Ok(json!({ "ids": self.ids }))
        } else if !filters.is_empty() {
            Ok(filters
                .into_iter()
                .map(|(name, value)| (name.to_owned(), Value::String(value)))
                .collect::<Map<_, _>>()
                .into())
        } else {
            Err(Failure::Usage(
                "say which dead letters: --id, --code, --stage, --template, --since, or --all".to_owned(),
            ))
        }
    }
}

fn failure(error: &RemoteError) -> Failure {
    match error {
        RemoteError::Url(_) => Failure::Usage(error.to_string()),
        RemoteError::Refused { message, .. } => Failure::Other(text::printable(message)),
        RemoteError::Setup(_) | RemoteError::NoAnswer { .. } | RemoteError::Stranger { .. } => Failure::other(error),
    }
}

fn say_json(value: &Value) {
    say(&format!("{value:#}"));
}

/// The text under a name, empty without it.
fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The count under a name, 0 without it.
fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// `CodeA 3, CodeB 1` of an object of counts.
fn counts(value: &Value, name: &str) -> String {
    let counts = value.get(name).and_then(Value::as_object).into_iter().flatten();
    counts.map(|(code, count)| format!("{code} {count}")).collect::<Vec<_>>().join(", ")
}
