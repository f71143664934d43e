//! Messages of the measurement: heart rates of the patients of `data`, each at an instant of its own, sent by
//! `vitalwire send` in a process of its own.

use std::io::{BufWriter, Write as _};
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::error::PipelineError;
use crate::bench::data::{PATIENTS, scattered, time};
use crate::bench::http::Http;

/// The message with a number. Patients take turns.
pub(super) fn message(number: u64) -> String {
    let (device, heart_rate) = (device(number), 45 + scattered(number) % 100);
    let time = time(number);
    format!(
        r#"{{"deviceid":"{device}","patientid":"{device}","measurementdatetime":"{time}","heartrate":{heart_rate}}}"#
    )
}

/// What the device of a message is called in it.
pub(super) fn device(number: u64) -> String {
    (number % PATIENTS).to_string()
}

/// Asks how many Observations there are of a message.
pub(super) fn query(number: u64) -> String {
    format!("Observation?patient=bench-p{}&date=eq{}&_summary=count", number % PATIENTS, time(number))
}

/// How many resources a search finds.
///
/// # Errors
/// When it is not answered with a Bundle.
pub(super) async fn count(fhir: &Http, query: &str) -> Result<u64, PipelineError> {
    #[derive(Deserialize)]
    struct Found {
        total: u64,
    }
    let found: Found = serde_json::from_slice(&fhir.get(query).await?).map_err(PipelineError::Ledger)?;
    Ok(found.total)
}

/// A file of messages to be sent; removed with it.
pub(super) struct Load {
    file: NamedTempFile,
}

impl Load {
    /// The messages of these numbers, in a file in this directory, or in that of the system for such files.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(numbers: Range<u64>, directory: Option<&Path>) -> Result<Self, PipelineError> {
        let write = || {
            let file = match directory {
                Some(directory) => NamedTempFile::new_in(directory)?,
                None => NamedTempFile::new()?,
            };
            let mut lines = BufWriter::new(file.as_file());
            for number in numbers {
                writeln!(lines, "{}", message(number))?;
            }
            lines.flush()?;
            drop(lines);
            Ok(Self { file })
        };
        write().map_err(PipelineError::Prepare)
    }

    /// Sends it all, at most so many messages a second, until all are acknowledged.
    ///
    /// # Errors
    /// When that is not possible; what was sent so far is then unknown.
    pub(super) async fn send(&self, to: &str, rate: Option<u64>) -> Result<(), PipelineError> {
        let mut command = Command::new(std::env::current_exe().map_err(PipelineError::Prepare)?);
        command.arg("send").arg(self.file.path()).args(["--to", to]);
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let ended = command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(PipelineError::Prepare)?;
        if ended.status.success() {
            return Ok(());
        }
        Err(PipelineError::Sender(String::from_utf8_lossy(&ended.stderr).trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{Load, message, query};

    #[test]
    fn messages_are_json_and_no_two_are_of_one_patient_and_instant() {
        let of = |number| -> Value { serde_json::from_str(&message(number)).unwrap() };
        assert_eq!(of(203)["deviceid"], "3");
        assert!(query(203).contains(of(203)["measurementdatetime"].as_str().unwrap()));
        let queries: BTreeSet<String> = (0..2_000).map(query).collect();
        assert_eq!(queries.len(), 2_000);
    }

    #[test]
    fn a_file_has_a_line_for_each_message() {
        let load = Load::write(7..10, None).unwrap();
        let text = std::fs::read_to_string(load.file.path()).unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), [message(7), message(8), message(9)]);
    }
}
