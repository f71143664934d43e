//! `$subsumes`: how two codes of a system are related (<https://hl7.org/fhir/R4/codesystem-operation-subsumes.html>).

use super::parameters::{Input, Kind, Parameters, output, resource};
use super::terminology::{Asked, code_system, one, system_of};
use super::{Call, Reply, Work};
use crate::fhir::api::error::{ApiError, Category};

/// What it takes.
pub(super) const INPUTS: &[Input] = &[
    one("codeA", Kind::Text),
    one("codeB", Kind::Text),
    one("system", Kind::Text),
    one("version", Kind::Text),
    one("codingA", Kind::Type("Coding")),
    one("codingB", Kind::Type("Coding")),
];

/// `GET` and `POST [base]/CodeSystem/$subsumes`, `[base]/CodeSystem/[id]/$subsumes`
pub(super) fn subsumes(call: &Call<'_>) -> Result<Work, ApiError> {
    let one = asked(&call.parameters, "codeA", "codingA")?;
    let other = asked(&call.parameters, "codeB", "codingB")?;
    let target = call.target.clone();
    Ok(Work::read(move |reader| {
        let systems = [system_of(reader, &target)?, one.system, other.system];
        let mut systems = systems.into_iter().flatten();
        let missing = || ApiError::new(Category::Required, "Name the code system by the parameter `system`.");
        let system = systems.next().ok_or_else(missing)?;
        if systems.any(|another| another != system) {
            let detail = "Both codes are of one system, that of the CodeSystem this is called on if there is one.";
            return Err(ApiError::new(Category::Rule, detail));
        }
        let version = one.version.or(other.version);
        let outcome = code_system(reader, &system, version.as_deref())?.subsumption(&one.code, &other.code)?;
        Ok(Reply::ok(resource(vec![output("outcome", "valueCode", outcome.as_str())])))
    }))
}

/// One of the two codes, by itself or as a Coding.
fn asked(parameters: &Parameters<'_>, code: &str, coding: &str) -> Result<Asked, ApiError> {
    let text = |name: &str| parameters.text(name).map(str::to_owned);
    match (text(code), parameters.values(coding).next()) {
        (Some(code), None) => Ok(Asked { system: text("system"), version: text("version"), code, display: None }),
        (None, Some(coding)) => Asked::of_coding(coding),
        _ => Err(ApiError::new(Category::Required, format!("Exactly one of `{code}` and `{coding}` is needed."))),
    }
}
