//! `$validate-code`: whether a code is of a code system, or of a value set
//! (<https://hl7.org/fhir/R4/codesystem-operation-validate-code.html>,
//! <https://hl7.org/fhir/R4/valueset-operation-validate-code.html>).
//!
//! Whether, not perhaps: where the codes of a system are not stored the call fails, for `false` would be a claim.

use super::parameters::{Input, Kind, output, resource};
use super::terminology::{Asked, Wanted, code_system, one, system_of};
use super::{Call, Reply, Work};
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::store::Code;
use crate::fhir::store::interface::Reader;
use crate::fhir::terminology::UCUM;
use crate::fhir::terminology::error::TerminologyError;
use crate::fhir::terminology::expansion::{Member, member, unit};
use crate::fhir::terminology::value_set::ValueSet;
use crate::json::Node;

/// What it takes on CodeSystem. Displays are not translated, whatever `displayLanguage` says.
pub(super) const OF_SYSTEM: &[Input] = &[
    one("url", Kind::Text),
    one("code", Kind::Text),
    one("version", Kind::Text),
    one("display", Kind::Text),
    one("coding", Kind::Type("Coding")),
    one("codeableConcept", Kind::Type("CodeableConcept")),
    one("abstract", Kind::Boolean),
    one("displayLanguage", Kind::Text),
];

/// What it takes on ValueSet.
pub(super) const OF_VALUE_SET: &[Input] = &[
    one("url", Kind::Text),
    one("valueSet", Kind::Resource),
    one("valueSetVersion", Kind::Text),
    one("code", Kind::Text),
    one("system", Kind::Text),
    one("display", Kind::Text),
    one("coding", Kind::Type("Coding")),
    one("codeableConcept", Kind::Type("CodeableConcept")),
    one("abstract", Kind::Boolean),
    one("displayLanguage", Kind::Text),
];

/// `GET` and `POST [base]/CodeSystem/$validate-code`, `[base]/CodeSystem/[id]/$validate-code`
pub(super) fn of_system(call: &Call<'_>) -> Result<Work, ApiError> {
    let asked = Asked::read(&call.parameters)?;
    let url = call.parameters.text("url").map(str::to_owned);
    let target = call.target.clone();
    let with_abstract = call.parameters.boolean("abstract").unwrap_or(true);
    Ok(Work::read(move |reader| {
        let required = match (system_of(reader, &target)?, url) {
            (Some(_), Some(_)) => {
                return Err(ApiError::new(Category::Rule, "A call on a CodeSystem takes no `url`. Leave it out."));
            }
            (own, url) => own.or(url),
        };
        verdict(&asked, with_abstract, |asked| in_system(reader, asked, required.as_deref()))
    }))
}

/// `GET` and `POST [base]/ValueSet/$validate-code`, `[base]/ValueSet/[id]/$validate-code`
pub(super) fn of_value_set(call: &Call<'_>) -> Result<Work, ApiError> {
    let asked = Asked::read(&call.parameters)?;
    asked.iter().try_for_each(|asked| asked.system().map(|_| ()))?;
    let wanted = Wanted::read(call)?;
    let with_abstract = call.parameters.boolean("abstract").unwrap_or(true);
    Ok(Work::read(move |reader| {
        let value_set = wanted.find(reader)?;
        verdict(&asked, with_abstract, |asked| in_value_set(reader, asked, &value_set))
    }))
}

/// What was found of a code, or why it does not belong.
type Finding = Result<Member, String>;

/// One code that belongs is enough; else the last says why not.
fn verdict(
    asked: &[Asked],
    with_abstract: bool,
    find: impl Fn(&Asked) -> Result<Finding, ApiError>,
) -> Result<Reply, ApiError> {
    let mut why = "there is no code".to_owned();
    let mut display = None;
    for code in asked {
        let judged = find(code)?.and_then(|member| {
            judge(code, member, with_abstract).map_err(|(why, known)| {
                display = known;
                why
            })
        });
        match judged {
            Ok(member) => {
                let mut outputs = vec![output("result", "valueBoolean", true)];
                outputs.extend(member.display.as_deref().map(|display| output("display", "valueString", display)));
                return Ok(Reply::ok(resource(outputs)));
            }
            Err(reason) => why = reason,
        }
    }
    let mut outputs = vec![output("result", "valueBoolean", false), output("message", "valueString", why)];
    outputs.extend(display.map(|display| output("display", "valueString", Node::from(display))));
    Ok(Reply::ok(resource(outputs)))
}

/// Whether the code may stand where it is asked for, under the name it is given; else why not, and its own name.
fn judge(asked: &Asked, member: Member, with_abstract: bool) -> Result<Member, (String, Option<String>)> {
    if member.is_abstract && !with_abstract {
        return Err((format!("`{}` only groups others", member.code), member.display));
    }
    let names = member.display.iter().chain(member.designations.iter().map(|designation| &designation.value));
    let mut names = names.map(|name| name.to_lowercase()).peekable();
    let fits = asked.display.as_ref().is_none_or(|display| {
        let display = display.to_lowercase();
        names.peek().is_none() || names.any(|name| name == display)
    });
    drop(names);
    if fits { Ok(member) } else { Err((format!("`{}` has another display", member.code), member.display)) }
}

fn in_system(reader: &dyn Reader, asked: &Asked, required: Option<&str>) -> Result<Finding, ApiError> {
    let system = match (asked.system.as_deref(), required) {
        (Some(own), Some(required)) if own != required => {
            return Ok(Err(format!("the system of the code is `{own}`, not `{required}`")));
        }
        (own, required) => own.or(required).ok_or_else(|| {
            ApiError::new(Category::Required, "Name the code system: by the parameter `url`, or in the Coding.")
        })?,
    };
    let known = match code_system(reader, system, asked.version.as_deref()) {
        Err(error) if error.category == Category::NotFound && system == UCUM => {
            return Ok(unit(&asked.code).ok_or_else(|| format!("`{}` is not a unit of UCUM", asked.code)));
        }
        known => known?,
    };
    match known.concept(&asked.code) {
        Some(concept) => Ok(Ok(Member::of(&known, concept))),
        None if known.is_complete() => Ok(Err(format!("`{}` is not a code of `{system}`", asked.code))),
        None => Err(TerminologyError::UnknownSystem(system.to_owned()).into()),
    }
}

fn in_value_set(reader: &dyn Reader, asked: &Asked, value_set: &ValueSet) -> Result<Finding, ApiError> {
    let system = asked.system()?;
    let code = Code { system: system.to_owned(), code: asked.code.clone() };
    let found = member(reader, value_set, &code)?;
    Ok(found.ok_or_else(|| format!("`{}` of `{system}` is not in `{}`", asked.code, value_set.name)))
}
