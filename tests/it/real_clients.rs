//! Applications talk to the service through client libraries that others have written, in JavaScript and in Python.
//! `scripts/test` installs them; what each does stands in its own language in `tests/clients`.

use std::path::Path;
use std::process::Command;

use crate::support::config::SERVICE;
use crate::support::process::{Vitalwire, run};

/// Runs a program against a new, empty service; it fails by itself when anything is not as it should be.
#[track_caller]
fn check(program: &str, script: &str) {
    let directory = tempfile::tempdir().unwrap();
    let server = Vitalwire::serve(directory.path(), SERVICE);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(program);
    command.arg(repository.join(script)).arg(format!("{}/fhir", server.http));
    let (code, output, errors) = run(command);
    assert_eq!(code, Some(0), "{output}\n{errors}");
}

#[test]
fn fhir_kit_client_reads_writes_searches_and_follows_pages() {
    check("node", "tests/clients/javascript/drive.mjs");
}

#[test]
fn fhirpy_works_and_every_answer_parses_with_fhir_resources() {
    check("target/clients/python/bin/python", "tests/clients/python/drive.py");
}
