//! `vitalwire mapping check`: all that is wrong with mapping files.

use super::super::{Failure, say};
use super::{Files, counted, example};

/// Tells of each problem on standard output.
pub(super) fn run(files: &Files) -> Result<(), Failure> {
    let workbench = files.open()?;
    workbench.problems().for_each(|problem| say(&problem.to_string()));
    let errors = workbench.problems().filter(|problem| problem.is_error()).count();
    let warnings = workbench.problems().count() - errors;
    if errors > 0 {
        let summary = format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"));
        return Err(Failure::Configuration(vec![summary]));
    }
    if let (Some(device), Some(fhir)) = (&files.device_mapping, &files.fhir_mapping)
        && let Some(example) = example::run(device, fhir, workbench.mappings())
    {
        example.map_err(|problem| Failure::Configuration(vec![problem]))?;
        say("ok: the example beside the mappings makes what it says");
    }
    let (device, fhir) = workbench.counts();
    let templates = [
        files.device_mapping.is_some().then(|| counted(device, "device template")),
        files.fhir_mapping.is_some().then(|| counted(fhir, "FHIR template")),
    ];
    let templates = templates.into_iter().flatten().collect::<Vec<_>>().join(", ");
    say(&format!("ok: {templates}, {}", counted(warnings, "warning")));
    Ok(())
}
