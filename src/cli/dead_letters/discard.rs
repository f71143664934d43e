//! `vitalwire dead-letters discard`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use super::{Format, Place, Selected, counts, failure, number, say, say_json};
use crate::cli::Failure;
use crate::remote::Remote;

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    selected: Selected,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Removes letters, if that is really meant.
pub(super) async fn run(Arguments { place, selected, yes }: Arguments) -> Result<(), Failure> {
    let (remote, body) = (place.remote()?, selected.body()?);
    if !yes && !confirmed(&remote, &place, &selected).await? {
        say("Nothing is discarded.");
        return Ok(());
    }
    let discarded = remote.post(&place.path(&["discard"]), &body).await.map_err(|error| failure(&error))?;
    let count = number(&discarded, "discarded");
    match place.format {
        Format::Json => say_json(&discarded),
        Format::Text if count == 0 => say("No dead letters discarded."),
        Format::Text => say(&format!("Discarded: {}", counts(&discarded, "discarded_by_code"))),
    }
    if count == 0 && !selected.ids.is_empty() {
        let message = "the dead letters are not there, or are being replayed at this moment";
        return Err(Failure::Other(message.to_owned()));
    }
    Ok(())
}

async fn confirmed(remote: &Remote, place: &Place, selected: &Selected) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        let message = "discarding is for good; say --yes when nobody can be asked".to_owned();
        return Err(Failure::Usage(message));
    }
    let count = if selected.ids.is_empty() {
        let summary = remote.get(&place.path(&["summary"]), &selected.filters.given()).await;
        number(&summary.map_err(|error| failure(&error))?, "dead_letters")
    } else {
        u64::try_from(selected.ids.len()).unwrap_or(u64::MAX)
    };
    let question = format!("Discard for good, of the dead letters of `{}`: {count}? [y/N] ", place.connector);
    let mut answer = String::new();
    // Whoever cannot be asked has not said yes.
    let asked = write!(std::io::stderr(), "{question}").and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    Ok(asked.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
