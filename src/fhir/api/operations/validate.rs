//! `$validate`: whether a resource would be taken, and all that is wrong with it
//! (<https://hl7.org/fhir/R4/resource-operation-validate.html>).
//!
//! What is asked is tried as far as a write goes before it reaches the store, so a verdict and a write cannot differ. The
//! structure is checked also where writes are configured not to be. Beyond that a resource of R4 is checked against the
//! profiles that are asked for and those that it claims.

use bytes::Bytes;

use super::parameters::{Input, Kind, Times};
use super::{Call, Reply, Target, Work};
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::preconditions::Preconditions;
use crate::fhir::api::resource::{KeptRules, Rules, Sent, parse};
use crate::fhir::api::update::Update;
use crate::fhir::api::{profiles, read};
use crate::fhir::store::ResourceKey;
use crate::fhir::store::interface::Reader;
use crate::fhir::structure::Validation;
use crate::r4::outcome::{Issue, Severity, outcome};

/// What it takes.
pub(super) const INPUTS: &[Input] = &[
    Input { name: "resource", kind: Kind::Resource, times: Times::Optional },
    Input { name: "mode", kind: Kind::Text, times: Times::Optional },
    Input { name: "profile", kind: Kind::Text, times: Times::Many },
];

/// What the resource is checked for (<https://hl7.org/fhir/R4/valueset-resource-validation-mode.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// To be one of its type.
    General,
    /// To be created.
    Create,
    /// To be the next version of the resource it is called on.
    Update,
    /// The resource it is called on, to be deleted.
    Delete,
}

/// `POST [base]/[type]/$validate`, `GET` and `POST [base]/[type]/[id]/$validate`
pub(super) fn validate(call: &Call<'_>) -> Result<Work, ApiError> {
    let mode = mode(call)?;
    let asked: Vec<String> = call.parameters.texts("profile").map(str::to_owned).collect();
    let rules = Rules { validation: Validation::Structure, ..call.rules() };
    let resource = call.parameters.resources("resource").next();
    match (mode, &call.target, resource) {
        (_, Target::System, _) => Err(ApiError::internal("`$validate` is called on types and resources alone")),
        (Mode::Update | Mode::Delete, Target::Type(_), _) => {
            let detail = "The modes `update` and `delete` are about a resource. Call `[type]/[id]/$validate`.";
            Err(call.parameters.refuse("mode", detail))
        }
        (Mode::Create, Target::Instance(_), _) => {
            let detail = "The mode `create` is about what does not exist yet. Call `[type]/$validate`.";
            Err(call.parameters.refuse("mode", detail))
        }
        (Mode::Delete, Target::Instance(_), Some(_)) => {
            Err(call.parameters.refuse("resource", "The mode `delete` takes no `resource`. Leave it out."))
        }
        // Nothing keeps a resource from being deleted, not even that it is gone.
        (Mode::Delete, Target::Instance(_), None) => reply(Ok(Vec::new())).map(Work::Done),
        (Mode::Update, Target::Instance(key), Some(text)) => verdict(text, as_update(text, key, rules), asked),
        (Mode::General, Target::Instance(key), None) => Ok(stored(key.clone(), rules.keep(), asked)),
        (_, Target::Type(resource_type) | Target::Instance(ResourceKey { resource_type, .. }), Some(text)) => {
            verdict(text, Sent::read_as(text, *resource_type, rules).map(drop), asked)
        }
        (_, Target::Type(_) | Target::Instance(_), None) => {
            Err(ApiError::new(Category::Required, "There is no `resource`. Send the one to be checked."))
        }
    }
}

fn mode(call: &Call<'_>) -> Result<Mode, ApiError> {
    match call.parameters.text("mode") {
        None => Ok(Mode::General),
        Some("create") => Ok(Mode::Create),
        Some("update") => Ok(Mode::Update),
        Some("delete") => Ok(Mode::Delete),
        Some(_) => Err(call.parameters.refuse("mode", "`mode` is `create`, `update` or `delete`.")),
    }
}

fn as_update(text: &[u8], key: &ResourceKey, rules: Rules<'_>) -> Result<(), ApiError> {
    let sent = Sent::read_as(text, key.resource_type, rules)?;
    Update::new(key.clone(), sent, Preconditions::default()).map(drop)
}

/// The resource as it is stored, perhaps before its structure was checked.
fn stored(key: ResourceKey, rules: KeptRules, asked: Vec<String>) -> Work {
    Work::read(move |reader| {
        let body = read::current(reader, &key)?.body.unwrap_or_default();
        let attempt = Sent::read_as(&body, key.resource_type, rules.rules()).map(drop);
        compare(reader, &body, attempt, &asked)
    })
}

/// `attempt` is what a write came to.
fn verdict(text: &[u8], attempt: Result<(), ApiError>, asked: Vec<String>) -> Result<Work, ApiError> {
    let claims = parse(text).is_ok_and(|resource| profiles::claimed(&resource).next().is_some());
    if asked.is_empty() && !claims {
        return reply(attempt.map(|()| Vec::new())).map(Work::Done);
    }
    let text = Bytes::copy_from_slice(text);
    Ok(Work::read(move |reader| compare(reader, &text, attempt, &asked)))
}

/// The verdict with that of profiles, if the resource is one of R4 at all.
fn compare(
    reader: &dyn Reader,
    text: &[u8],
    attempt: Result<(), ApiError>,
    asked: &[String],
) -> Result<Reply, ApiError> {
    profiles::are_known(reader, asked)?;
    let Err(error) = attempt else {
        return reply(Ok(profiles::check(reader, &parse(text)?, asked)?));
    };
    if asked.is_empty() || error.is_ours() {
        return reply(Err(error));
    }
    let what = "Once this is mended the resource will be checked against the profiles, too.";
    let mut issues = error.into_issues();
    issues.push(Issue::new(Severity::Information, "informational", what));
    reply(Ok(issues))
}

/// What is wrong is the answer; only a fault of the server is an error.
fn reply(attempt: Result<Vec<Issue>, ApiError>) -> Result<Reply, ApiError> {
    let issues = match attempt {
        Ok(issues) if issues.is_empty() => {
            vec![Issue::new(Severity::Information, "informational", "There are no issues.")]
        }
        Ok(issues) => issues,
        Err(error) if error.is_ours() => return Err(error),
        Err(error) => error.into_issues(),
    };
    Ok(Reply::ok(outcome(&issues)))
}
