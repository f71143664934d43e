//! `$lookup`: what is known of a code (<https://hl7.org/fhir/R4/codesystem-operation-lookup.html>).

use super::parameters::{Input, Kind, Times, output, resource};
use super::terminology::{Asked, code_system, one};
use super::{Call, Reply, Work};
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::terminology::UCUM;
use crate::fhir::terminology::code_system::{CodeSystem, Concept, Designation};
use crate::fhir::terminology::error::TerminologyError;
use crate::fhir::terminology::expansion::unit;
use crate::json::Node;

/// What it takes. Displays are not translated, whatever `displayLanguage` says.
pub(super) const INPUTS: &[Input] = &[
    one("code", Kind::Text),
    one("system", Kind::Text),
    one("version", Kind::Text),
    one("coding", Kind::Type("Coding")),
    one("displayLanguage", Kind::Text),
    Input { name: "property", kind: Kind::Text, times: Times::Many },
];

/// `GET` and `POST [base]/CodeSystem/$lookup`
pub(super) fn lookup(call: &Call<'_>) -> Result<Work, ApiError> {
    let asked = Asked::read(&call.parameters)?.into_iter().next();
    let asked = asked.ok_or_else(|| ApiError::internal("a call without a code was read"))?;
    let system = asked.system()?.to_owned();
    let wanted: Vec<String> = call.parameters.texts("property").map(str::to_owned).collect();
    Ok(Work::read(move |reader| {
        let known = match code_system(reader, &system, asked.version.as_deref()) {
            Err(error) if error.category == Category::NotFound && system == UCUM && unit(&asked.code).is_some() => {
                return Ok(of_ucum(&asked.code));
            }
            known => known?,
        };
        let unknown = || TerminologyError::UnknownCode { system: system.clone(), code: asked.code.clone() };
        let concept = known.concept(&asked.code).ok_or_else(unknown)?;
        Ok(reply(&known, concept, &wanted))
    }))
}

/// A unit, of which nothing but its grammar is known.
fn of_ucum(code: &str) -> Reply {
    let named = [output("name", "valueString", "UCUM"), output("display", "valueString", code)];
    Reply::ok(resource(named.into()))
}

fn reply(system: &CodeSystem, concept: &Concept, wanted: &[String]) -> Reply {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let name = system.name.as_deref().unwrap_or(&system.url);
    let mut outputs = vec![output("name", "valueString", name)];
    outputs.extend(system.version.as_deref().map(|version| output("version", "valueString", version)));
    let display = concept.display.as_deref().unwrap_or(&concept.code);
    outputs.push(output("display", "valueString", display));
    if is_wanted("designation") {
        outputs.extend(concept.designations.iter().map(designation));
    }
    if let Some(definition) = concept.definition.as_deref().filter(|_| is_wanted("definition")) {
        outputs.push(property("definition", "valueString", Node::from(definition)));
    }
    let related = system.parents(concept).map(|code| ("parent", code));
    let related = related.chain(system.children(concept).map(|code| ("child", code)));
    let related = related.filter(|(name, _)| is_wanted(name));
    outputs.extend(related.map(|(name, code)| property(name, "valueCode", Node::from(code))));
    let others = concept.properties.iter().filter(|known| !matches!(known.code.as_str(), "parent" | "child"));
    let others = others.filter(|known| is_wanted(&known.code));
    outputs.extend(others.map(|known| property(&known.code, &known.member, known.value.clone())));
    Reply::ok(resource(outputs))
}

fn property<'a>(code: &'a str, member: &'a str, value: Node<'a>) -> Node<'a> {
    let parts = vec![output("code", "valueCode", code), output("value", member, value)];
    output("property", "part", parts)
}

fn designation(designation: &Designation) -> Node<'_> {
    let mut parts = Vec::new();
    parts.extend(designation.language.as_deref().map(|language| output("language", "valueCode", language)));
    parts.extend(designation.usage.clone().map(|usage| output("use", "valueCoding", usage)));
    parts.push(output("value", "valueString", designation.value.as_str()));
    output("designation", "part", parts)
}
