//! The example beside a pair of mapping files, run as the check of a mapping runs it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::mapping::Mappings;
use crate::workbench::example::Example;

/// Runs the example in the directory of both mapping files; `None` when there is none.
///
/// # Errors
/// When it cannot be run, or makes something else than it says; with what it makes.
pub(in crate::cli) fn run(device: &Path, fhir: &Path, mappings: &Mappings) -> Option<Result<(), String>> {
    let directory = device.parent().filter(|directory| fhir.parent() == Some(directory))?;
    let expected_file = directory.join("expected.json");
    let expected = fs::read(&expected_file).ok()?;
    let (sample, envelope) = (fs::read(directory.join("sample.json")), fs::read(directory.join("envelope.json")));
    let example = match (sample, envelope) {
        (Ok(payload), _) => Some(Example::of_payload(payload)),
        (Err(_), Ok(envelope)) => Example::of_envelope(&envelope),
        (Err(_), Err(_)) => return None,
    };
    let Some(example) = example else {
        return Some(Err(format!("{} is no envelope", directory.join("envelope.json").display())));
    };
    let made = example.made(mappings).map_err(|reason| format!("the example in {}: {reason}", directory.display()));
    let is_expected = |made: &Value| serde_json::from_slice::<Value>(&expected).is_ok_and(|expected| expected == *made);
    Some(made.and_then(|made| match is_expected(&made) {
        true => Ok(()),
        false => Err(format!("the example makes something else than {}:\n{made:#}", expected_file.display())),
    }))
}
