//! `vitalwire dead-letters list`.

use std::num::NonZeroUsize;

use serde_json::{Value, json};

use super::text::{columns, line};
use super::{Filters, Format, Place, failure, number, say, say_json, word};
use crate::cli::Failure;
use crate::dead_letters::PAGE_MAX;

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filters: Filters,
    /// How many to show
    #[arg(long, value_name = "N", default_value = "100")]
    limit: NonZeroUsize,
    /// Show how many there are of which cause, instead of the letters
    #[arg(long)]
    summary: bool,
}

/// Shows letters, or their causes.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.summary { summary(&arguments).await } else { letters(&arguments).await }
}

async fn summary(Arguments { place, filters, .. }: &Arguments) -> Result<(), Failure> {
    let summary = place.remote()?.get(&place.path(&["summary"]), &filters.given()).await;
    let summary = summary.map_err(|error| failure(&error))?;
    if place.format == Format::Json {
        say_json(&summary);
        return Ok(());
    }
    let causes = summary.get("causes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let head = ["LETTERS", "CODE", "STAGE", "TEMPLATE", "FIRST", "LAST", "NEWEST"].map(str::to_owned);
    let rows = causes.iter().map(|cause| {
        [
            number(cause, "dead_letters").to_string(),
            line(word(cause, "code")),
            line(word(cause, "stage")),
            line(word(cause, "template")),
            line(word(cause, "first_at")),
            line(word(cause, "last_at")),
            number(cause, "newest").to_string(),
        ]
    });
    tell(std::iter::once(head).chain(rows).collect());
    Ok(())
}

async fn letters(Arguments { place, filters, limit, .. }: &Arguments) -> Result<(), Failure> {
    let remote = place.remote()?;
    let mut letters: Vec<Value> = Vec::new();
    let mut query = filters.given();
    let filters_given = query.len();
    let next = loop {
        let left = limit.get().saturating_sub(letters.len()).min(usize::from(PAGE_MAX));
        query.push(("limit", left.to_string()));
        let mut page = remote.get(&place.path(&[]), &query).await.map_err(|error| failure(&error))?;
        if let Some(Value::Array(more)) = page.get_mut("dead_letters") {
            letters.append(more);
        }
        let next = page.get("next").cloned().unwrap_or_default();
        let last = letters.last().and_then(|letter| letter.get("id")).filter(|_last| !next.is_null());
        let Some(last) = last.filter(|_last| letters.len() < limit.get()) else { break next };
        query.truncate(filters_given);
        query.push(("before", last.to_string()));
    };
    if place.format == Format::Json {
        say_json(&json!({ "dead_letters": letters, "next": next }));
        return Ok(());
    }
    let head = ["ID", "GIVEN UP", "CODE", "STAGE", "TEMPLATE", "REPLAYS", "REASON"].map(str::to_owned);
    tell(std::iter::once(head).chain(letters.iter().map(row)).collect());
    if !next.is_null() {
        say(&format!(
            "There are more than these {}: see --limit, or --summary for how many of which cause.",
            letters.len()
        ));
    }
    Ok(())
}

fn row(letter: &Value) -> [String; 7] {
    let template = line(word(letter, "template"));
    let at_line = letter.get("line").and_then(Value::as_u64).map_or_else(String::new, |line| format!(":{line}"));
    [
        number(letter, "id").to_string(),
        line(word(letter, "at")),
        line(word(letter, "code")),
        line(word(letter, "stage")),
        template + &at_line,
        number(letter, "replays").to_string(),
        line(word(letter, "reason")),
    ]
}

fn tell<const N: usize>(rows: Vec<[String; N]>) {
    match rows.len() {
        1 => say("No dead letters."),
        _ => columns(&rows).iter().for_each(|row| say(row)),
    }
}
