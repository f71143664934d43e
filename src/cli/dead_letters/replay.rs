//! `vitalwire dead-letters replay`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{Format, Place, Selected, counts, failure, number, say, say_json, word};
use crate::cli::Failure;

/// How often the process is asked how the replay stands.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    selected: Selected,
}

/// Asks for the replay and waits until it is over. Whoever does not want to wait may press Ctrl-C: it goes on.
pub(super) async fn run(Arguments { place, selected }: Arguments) -> Result<(), Failure> {
    let remote = place.remote()?;
    let begun = remote.post(&place.path(&["replay"]), &selected.body()?).await;
    let mut replay = begun.map_err(|error| failure(&error))?;
    if number(&replay, "messages") == 0 && !selected.ids.is_empty() {
        let message = "there are no such dead letters; they may have been replayed or discarded";
        return Err(Failure::Other(message.to_owned()));
    }
    let id = number(&replay, "id").to_string();
    let bar = progress_bar(number(&replay, "messages"));
    let mut ticks = tokio::time::interval(ASK_EVERY);
    while !matches!(word(&replay, "state"), "ended" | "stopped") {
        ticks.tick().await;
        replay = remote.get(&place.path(&["replays", &id]), &[]).await.map_err(|error| failure(&error))?;
        let ended = ["done", "failed", "unmatched", "abandoned"].map(|name| number(&replay, name));
        bar.set_position(ended.iter().sum());
    }
    bar.finish_and_clear();
    match place.format {
        Format::Json => say_json(&replay),
        Format::Text => say(&told(&replay)),
    }
    verdict(&replay)
}

/// Shown on a terminal only.
fn progress_bar(messages: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} messages, {per_sec}, {eta} left");
    ProgressBar::new(messages).with_style(style.unwrap_or_else(|_invalid| ProgressStyle::default_bar()))
}

fn told(replay: &Value) -> String {
    let count = |name| number(replay, name);
    let mut told = format!("{} of {} messages are stored now", count("done"), count("messages"));
    if count("done") > 0 {
        told += "; their letters are gone";
    }
    if count("gone") > 0 {
        told += &format!("; the letters of {} had gone before", count("gone"));
    }
    told
}

/// Whether all went well.
fn verdict(replay: &Value) -> Result<(), Failure> {
    let count = |name| number(replay, name);
    let mut troubles = Vec::new();
    if count("failed") > 0 {
        troubles.push(format!("{} are in dead letters again ({})", count("failed"), counts(replay, "failed_by_code")));
    }
    if count("unmatched") > 0 {
        troubles.push(format!("{} are matched by no template, so their letters stay", count("unmatched")));
    }
    if count("abandoned") > 0 {
        troubles.push(format!("{} were given up on the way, so their letters stay", count("abandoned")));
    }
    if word(replay, "state") == "stopped" {
        troubles.push("the process stopped, so the letters of the others stay".to_owned());
    }
    if troubles.is_empty() { Ok(()) } else { Err(Failure::Other(format!("of the messages, {}", troubles.join("; ")))) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{told, verdict};

    #[track_caller]
    fn check(replay: &Value, expected: Option<&str>) {
        assert_eq!(verdict(replay).err().map(|failure| failure.to_string()).as_deref(), expected);
    }

    #[test]
    fn letters_are_said_to_be_gone_only_when_some_are() {
        for (done, gone, expected) in [
            (2, 0, "2 of 3 messages are stored now; their letters are gone"),
            (0, 0, "0 of 3 messages are stored now"),
            (0, 3, "0 of 3 messages are stored now; the letters of 3 had gone before"),
        ] {
            assert_eq!(told(&json!({ "state": "ended", "messages": 3, "done": done, "gone": gone })), expected);
        }
    }

    #[test]
    fn a_replay_went_well_when_nothing_stays_behind() {
        check(&json!({ "state": "ended", "messages": 3, "done": 2, "gone": 1 }), None);
    }

    #[test]
    fn what_stays_behind_is_told_with_the_reasons() {
        let failed = json!({ "A": 2, "B": 1 });
        check(
            &json!({ "state": "ended", "done": 1, "failed": 3, "failed_by_code": failed, "unmatched": 1 }),
            Some(
                "of the messages, 3 are in dead letters again (A 2, B 1); 1 are matched by no template, so their letters \
                 stay",
            ),
        );
        check(
            &json!({ "state": "stopped", "done": 1 }),
            Some("of the messages, the process stopped, so the letters of the others stay"),
        );
    }
}
