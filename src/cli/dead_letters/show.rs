//! `vitalwire dead-letters show`.

use serde_json::Value;

use super::text::{line, printable};
use super::{Format, Place, failure, number, say, say_json, word};
use crate::cli::Failure;

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Number of the letter
    #[arg(long, value_name = "ID")]
    id: i64,
}

/// Shows a letter and its message.
pub(super) async fn run(Arguments { place, id }: Arguments) -> Result<(), Failure> {
    let id = id.to_string();
    let letter = place.remote()?.get(&place.path(&[&id]), &[]).await.map_err(|error| failure(&error))?;
    match place.format {
        Format::Json => say_json(&letter),
        Format::Text => lines(&letter).iter().for_each(|line| say(line)),
    }
    Ok(())
}

fn lines(letter: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name:<18} {value}"));
        }
    };
    tell("dead letter", &number(letter, "id").to_string());
    tell("given up", &format!("{} by {}", line(word(letter, "at")), line(word(letter, "stage"))));
    tell("code", &line(word(letter, "code")));
    tell("reason", &line(word(letter, "reason")));
    let at_line = letter.get("line").and_then(Value::as_u64).map_or_else(String::new, |line| format!(", line {line}"));
    tell("template", &(line(word(letter, "template")) + &at_line));
    tell("mapping", &line(word(letter, "mapping")));
    let came =
        format!("{} {}, arrived {}", word(letter, "source"), number(letter, "position"), word(letter, "enqueued_at"));
    tell("message", &line(&came));
    tell("other letters", &texts(letter, "other_letters"));
    if number(letter, "replays") > 0 {
        let (times, outcome) = (number(letter, "replays"), word(letter, "replay_outcome"));
        let replayed_at = word(letter, "replayed_at");
        tell("replays", &line(&format!("{times}, the last ended {outcome} at {replayed_at}")));
    }
    for name in ["properties", "system_properties"] {
        let members = letter.get(name).filter(|members| members.as_object().is_some_and(|members| !members.is_empty()));
        tell(&name.replace('_', " "), &members.map_or_else(String::new, |members| line(&members.to_string())));
    }
    let (name, payload) = match letter.get("payload_base64") {
        Some(_) => ("payload in base64", word(letter, "payload_base64")),
        None => ("payload", word(letter, "payload")),
    };
    lines.push(format!("\n{name} ({} bytes):\n{}", number(letter, "payload_bytes"), printable(payload)));
    lines
}

/// The elements of an array with commas between.
fn texts(letter: &Value, name: &str) -> String {
    let elements = letter.get(name).and_then(Value::as_array).into_iter().flatten();
    elements.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
