//! `vitalwire mapping check`: all that is wrong with mapping files.

use super::super::{Failure, say};
use super::{Files, counted};

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
    let (device, fhir) = workbench.counts();
    let templates = [
        files.device_mapping.is_some().then(|| counted(device, "device template")),
        files.fhir_mapping.is_some().then(|| counted(fhir, "FHIR template")),
    ];
    let templates = templates.into_iter().flatten().collect::<Vec<_>>().join(", ");
    say(&format!("ok: {templates}, {}", counted(warnings, "warning")));
    Ok(())
}
