//! `vitalwire mapping explain`: one event, template by template and expression by expression.

use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::super::Failure;
use super::events::{self, Wrap};
use super::text::{write_exception, write_findings};
use super::{Files, counted};
use crate::mapping::explain::{Beginning, Evaluated, Outcome, TOKENS_EXPLAINED_MAX, Written};
use crate::workbench::Workbench;
use crate::workbench::trial::{Explained, Trial};

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Sample events: one JSON array, or one JSON object a line (NDJSON); at most 16 MiB each
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// Which of the events, counted from 1
    #[arg(long, value_name = "N", default_value = "1")]
    event: NonZeroUsize,
    #[command(flatten)]
    wrap: Wrap,
}

/// Explains one event. Templates without errors are run although others have some: that is what one wants to look at
/// while writing.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let workbench = arguments.files.open()?;
    let Some(trial) = workbench.trial_of_what_loaded(arguments.wrap.wrapping()) else {
        return Err(Failure::Usage(
            "an event can be explained with a device mapping only (--device-mapping)".to_owned(),
        ));
    };
    let event = nth(&arguments.events, arguments.event)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match explain(&mut out, &workbench, trial, &event, &arguments.files).and_then(|()| out.flush()) {
        // A reader that has gone away wants no more.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Other(format!("cannot write the explanation: {error}")))
        }
        Err(_) | Ok(()) => Ok(()),
    }
}

fn nth(path: &Path, number: NonZeroUsize) -> Result<Box<RawValue>, Failure> {
    let mut events = events::open(path)?;
    let mut count = 0;
    while let Some(event) = events.next().map_err(|error| events::failure(path, &error))? {
        count += 1;
        if count == number.get() {
            return Ok(event);
        }
    }
    Err(Failure::Usage(format!("there is no event {number}: {} has {}", path.display(), counted(count, "event"))))
}

fn explain(
    out: &mut impl Write,
    workbench: &Workbench,
    trial: Trial<'_>,
    event: &RawValue,
    files: &Files,
) -> io::Result<()> {
    for problem in workbench.problems() {
        writeln!(out, "{problem}")?;
    }
    let file = files.device_mapping.as_deref().unwrap_or(Path::new(""));
    match trial.explain(event) {
        Ok(templates) if templates.is_empty() => writeln!(out, "no template loaded"),
        Ok(templates) => templates.iter().try_for_each(|explained| write_template(out, file, explained)),
        Err(exception) => write_exception(out, "", &exception),
    }
}

fn write_template(
    out: &mut impl Write,
    file: &Path,
    Explained { template, results }: &Explained<'_>,
) -> io::Result<()> {
    let verdict = match template.token_count {
        0 if template.failure.is_some() => "failed".to_owned(),
        0 => "does not match".to_owned(),
        count => format!("matches {}", counted(count, "token")),
    };
    let at = template.at;
    let (file, type_name, template_type) = (file.display(), &template.type_name, template.template_type);
    writeln!(out, "{file}:{}:{}: {type_name} ({template_type}) {verdict}", at.line, at.column)?;
    write!(out, "  ")?;
    write_written(out, &template.type_match)?;
    write_beginnings(out, "    ", &template.progress)?;
    if let Some(failure) = &template.failure {
        writeln!(out, "  error: {} [{}]", failure.message(), failure.code)?;
    }
    for lack in &template.lacks {
        writeln!(out, "  the event lacks {lack}")?;
    }
    for (token, result) in template.tokens.iter().zip(results) {
        writeln!(out, "  token {}: {}", token.path, token.shown)?;
        token.expressions.iter().try_for_each(|expression| write_evaluated(out, expression))?;
        write_findings(out, "    ", result)?;
    }
    match template.token_count.checked_sub(TOKENS_EXPLAINED_MAX) {
        Some(more @ 1..) => writeln!(out, "  and {more} more, which are not shown"),
        Some(0) | None => Ok(()),
    }
}

fn write_written(out: &mut impl Write, written: &Written) -> io::Result<()> {
    let Written { name, text, language, at } = written;
    write!(out, "line {}, {name}: {language} {text}", at.line)
}

/// How many values the beginnings of a path select, and the end of the line.
fn write_beginnings(out: &mut impl Write, indent: &str, beginnings: &[Beginning]) -> io::Result<()> {
    let told = beginnings.iter().map(|Beginning { text, count }| match count {
        0 => format!("{text} selects nothing"),
        count => format!("{text} selects {count}"),
    });
    let told = told.collect::<Vec<_>>().join(", ");
    if told.is_empty() { writeln!(out) } else { writeln!(out, "\n{indent}{told}") }
}

fn write_evaluated(out: &mut impl Write, Evaluated { written, outcome }: &Evaluated) -> io::Result<()> {
    write!(out, "    ")?;
    write_written(out, written)?;
    match outcome {
        Outcome::Value { selected, text: Some(text) } if selected == text || *selected == format!("\"{text}\"") => {
            writeln!(out, " -> {selected}")
        }
        Outcome::Value { selected, text: Some(text) } => writeln!(out, " -> {selected}, as text {text}"),
        Outcome::Value { selected, text: None } => writeln!(out, " -> {selected}, which is no text"),
        Outcome::Missing(beginnings) => {
            write!(out, " -> missing")?;
            write_beginnings(out, "      ", beginnings)
        }
        Outcome::Failed(reason) => writeln!(out, " -> failed: {reason}"),
    }
}
