//! Operations: `$name` at the base, at a type or at a resource (<https://hl7.org/fhir/R4/operations.html>).
//!
//! `OPERATIONS` says all there is to know of an operation apart from what it does: routes, refusals, the lines of the
//! CapabilityStatement, entries of Bundles and the reading of parameters follow from its row. A new operation is a row
//! and a function in a file of its own. The function gets a `Call`, whose parameters are those of the row and of the
//! kinds it names, does all it can outside the store, and answers with the `Work` that is left.

mod everything;
mod expand;
mod lastn;
mod lookup;
mod meta;
pub(crate) mod parameters;
mod reindex;
mod stats;
mod subsumes;
mod terminology;
mod validate;
mod validate_code;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use self::parameters::{Input, Others, Parameters};
use super::body::read_json_or_nothing;
use super::error::{ApiError, Category};
use super::format::part::{Part, Place};
use super::limits::decode;
use super::resource::Rules;
use super::respond;
use super::search::handling;
use super::state::ApiState;
use super::target::{key_named, type_named};
use crate::fhir::search::error::nearest;
use crate::fhir::search::parse::Handling;
use crate::fhir::search::registry::Registry;
use crate::fhir::store::ResourceKey;
use crate::fhir::store::interface::{Reader, Writer};
use crate::r4::resource_type::ResourceType;

/// One operation. Operations of one name at different types may differ in everything but their effect.
pub(crate) struct Operation {
    /// Its name without `$`.
    name: &'static str,
    /// Where it is called.
    levels: &'static [Level],
    /// On which types; without meaning at the base.
    types: Types,
    /// The URL of its OperationDefinition; a URN where R4 has none.
    definition: &'static str,
    /// Whether it changes anything.
    effect: Effect,
    /// The parameters it takes.
    inputs: &'static [Input],
    /// What becomes of all other parameters.
    others: Others,
    /// What it answers with.
    answer: Answer,
    /// What it does.
    handler: fn(&Call<'_>) -> Result<Work, ApiError>,
}

/// Every operation of this server.
static OPERATIONS: &[Operation] = &[
    Operation {
        name: "everything",
        levels: &[Level::Type, Level::Instance],
        types: Types::Only(&["Patient"]),
        definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        effect: Effect::Reads,
        inputs: everything::INPUTS,
        others: Others::Refused,
        answer: Answer::Bundle,
        handler: everything::everything,
    },
    Operation {
        name: "everything",
        levels: &[Level::Type, Level::Instance],
        types: Types::Only(&["Encounter"]),
        definition: "http://hl7.org/fhir/OperationDefinition/Encounter-everything",
        effect: Effect::Reads,
        inputs: everything::INPUTS,
        others: Others::Refused,
        answer: Answer::Bundle,
        handler: everything::everything,
    },
    Operation {
        name: "everything",
        levels: &[Level::Type, Level::Instance],
        types: Types::Only(&["Device"]),
        definition: "urn:vitalwire:operation:device-everything",
        effect: Effect::Reads,
        inputs: everything::INPUTS,
        others: Others::Refused,
        answer: Answer::Bundle,
        handler: everything::everything,
    },
    Operation {
        name: "expand",
        levels: &[Level::Type, Level::Instance],
        types: Types::Only(&["ValueSet"]),
        definition: "http://hl7.org/fhir/OperationDefinition/ValueSet-expand",
        effect: Effect::Reads,
        inputs: expand::INPUTS,
        others: Others::Refused,
        answer: Answer::Resource("ValueSet"),
        handler: expand::expand,
    },
    Operation {
        name: "lookup",
        levels: &[Level::Type],
        types: Types::Only(&["CodeSystem"]),
        definition: "http://hl7.org/fhir/OperationDefinition/CodeSystem-lookup",
        effect: Effect::Reads,
        inputs: lookup::INPUTS,
        others: Others::Refused,
        answer: Answer::Whole,
        handler: lookup::lookup,
    },
    Operation {
        name: "subsumes",
        levels: &[Level::Type, Level::Instance],
        types: Types::Only(&["CodeSystem"]),
        definition: "http://hl7.org/fhir/OperationDefinition/CodeSystem-subsumes",
        effect: Effect::Reads,
        inputs: subsumes::INPUTS,
        others: Others::Refused,
        answer: Answer::Whole,
        handler: subsumes::subsumes,
    },
    Operation {
        name: "validate-code",
        levels: &[Level::Type, Level::Instance],
        types: Types::Only(&["CodeSystem"]),
        definition: "http://hl7.org/fhir/OperationDefinition/CodeSystem-validate-code",
        effect: Effect::Reads,
        inputs: validate_code::OF_SYSTEM,
        others: Others::Refused,
        answer: Answer::Whole,
        handler: validate_code::of_system,
    },
    Operation {
        name: "validate-code",
        levels: &[Level::Type, Level::Instance],
        types: Types::Only(&["ValueSet"]),
        definition: "http://hl7.org/fhir/OperationDefinition/ValueSet-validate-code",
        effect: Effect::Reads,
        inputs: validate_code::OF_VALUE_SET,
        others: Others::Refused,
        answer: Answer::Whole,
        handler: validate_code::of_value_set,
    },
    Operation {
        name: "meta",
        levels: &[Level::Instance],
        types: Types::Every,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
        effect: Effect::Reads,
        inputs: &[],
        others: Others::Refused,
        answer: Answer::Whole,
        handler: meta::meta,
    },
    Operation {
        name: "validate",
        levels: &[Level::Type, Level::Instance],
        types: Types::Every,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        effect: Effect::Reads,
        inputs: validate::INPUTS,
        others: Others::Refused,
        answer: Answer::Whole,
        handler: validate::validate,
    },
    Operation {
        name: "meta-add",
        levels: &[Level::Instance],
        types: Types::Every,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta-add",
        effect: Effect::Writes,
        inputs: meta::INPUTS,
        others: Others::Refused,
        answer: Answer::Whole,
        handler: meta::add,
    },
    Operation {
        name: "meta-delete",
        levels: &[Level::Instance],
        types: Types::Every,
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete",
        effect: Effect::Writes,
        inputs: meta::INPUTS,
        others: Others::Refused,
        answer: Answer::Whole,
        handler: meta::delete,
    },
    Operation {
        name: "lastn",
        levels: &[Level::Type],
        types: Types::Only(&["Observation"]),
        definition: "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
        effect: Effect::Reads,
        inputs: lastn::INPUTS,
        others: Others::Search,
        answer: Answer::Bundle,
        handler: lastn::lastn,
    },
    Operation {
        name: "stats",
        levels: &[Level::Type],
        types: Types::Only(&["Observation"]),
        definition: "http://hl7.org/fhir/OperationDefinition/Observation-stats",
        effect: Effect::Reads,
        inputs: stats::INPUTS,
        others: Others::Refused,
        answer: Answer::Whole,
        handler: stats::stats,
    },
    Operation {
        name: "reindex",
        levels: &[Level::System],
        types: Types::Every,
        definition: "urn:vitalwire:operation:reindex",
        effect: Effect::Writes,
        inputs: reindex::INPUTS,
        others: Others::Refused,
        answer: Answer::Whole,
        handler: reindex::all,
    },
    Operation {
        name: "reindex",
        levels: &[Level::Instance],
        types: Types::Every,
        definition: "urn:vitalwire:operation:resource-reindex",
        effect: Effect::Writes,
        inputs: &[],
        others: Others::Refused,
        answer: Answer::Whole,
        handler: reindex::one,
    },
];

/// How the sign before an operation's name is spelled in URLs.
const DOLLARS: [&str; 2] = ["$", "%24"];

/// Where an operation is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// `[base]/$name`
    System,
    /// `[base]/[type]/$name`
    Type,
    /// `[base]/[type]/[id]/$name`
    Instance,
}

/// The types on which an operation is called.
enum Types {
    /// All of R4.
    Every,
    /// These.
    Only(&'static [&'static str]),
}

/// Whether an operation changes what is stored; if so it is not to be called with GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It only reads.
    Reads,
    /// It writes.
    Writes,
}

/// What an operation answers with, as far as a part of it can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// What is no resource of its own, such as `Parameters`: there are no parts of it.
    Whole,
    /// A resource of a type.
    Resource(&'static str),
    /// A Bundle of resources.
    Bundle,
}

/// What an operation is called on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The whole server.
    System,
    /// A type.
    Type(ResourceType),
    /// A resource, which may or may not exist.
    Instance(ResourceKey),
}

/// An operation as called.
pub(crate) struct Call<'a> {
    /// Store, bounds and names; for what is known before there is `Work`.
    pub(crate) state: &'a ApiState,
    /// What it is called on; a level and type of the operation's row.
    pub(crate) target: Target,
    /// Its parameters, in the kinds and numbers of the row.
    pub(crate) parameters: Parameters<'a>,
    /// The search parameters of the moment.
    pub(crate) registry: &'a Arc<Registry>,
    /// The base of links in the answer, without a slash at its end.
    pub(crate) base_url: &'a str,
    /// The headers, for preferences; empty in a Bundle.
    pub(crate) headers: &'a HeaderMap,
}

type Reading = Box<dyn FnOnce(&dyn Reader) -> Result<Reply, ApiError> + Send>;
type Writing = Box<dyn FnOnce(&mut dyn Writer) -> Result<Reply, ApiError> + Send>;

/// What is left to do once a call is understood.
pub(crate) enum Work {
    /// Nothing.
    Done(Reply),
    /// To read, from one committed state.
    Read(Reading),
    /// To write, as a whole or not at all; only for operations that change state.
    Write(Writing),
}

impl Call<'_> {
    /// How resources are read by this service.
    pub(crate) fn rules(&self) -> Rules<'_> {
        self.state.rules(self.base_url, self.registry)
    }
}

/// The answer of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: StatusCode,
    /// A resource as JSON: `Parameters` (see `parameters::output`), or the one that is the only output.
    pub(crate) body: Bytes,
    /// One more header; not seen in a Bundle.
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// A resource with status 200.
    pub(crate) fn ok(body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, body: body.into(), header: None }
    }
}

impl Work {
    /// Work that reads.
    pub(crate) fn read(job: impl FnOnce(&dyn Reader) -> Result<Reply, ApiError> + Send + 'static) -> Self {
        Self::Read(Box::new(job))
    }

    /// Work that writes.
    pub(crate) fn write(job: impl FnOnce(&mut dyn Writer) -> Result<Reply, ApiError> + Send + 'static) -> Self {
        Self::Write(Box::new(job))
    }

    /// The same, answered in part.
    fn cut_to(self, part: Part) -> Self {
        let cut = move |reply: Reply| Reply { body: part.of(reply.body), ..reply };
        match self {
            Self::Done(reply) => Self::Done(cut(reply)),
            Self::Read(job) => Self::read(move |reader| job(reader).map(cut)),
            Self::Write(job) => Self::write(move |writer| job(writer).map(cut)),
        }
    }
}

/// A request for an operation, not yet understood.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The path below the base, for example `Patient/1/$meta`.
    pub(crate) path: String,
    /// The query, percent-encoded.
    pub(crate) query: String,
    /// The body as JSON; empty for none, and for GET.
    pub(crate) body: Bytes,
    /// Whether it comes by POST.
    pub(crate) is_post: bool,
}

impl Asked {
    /// The work that is asked for.
    ///
    /// # Errors
    /// When there is no such operation here, it is not for this method, or its parameters are not understood.
    pub(crate) fn prepare(
        &self,
        state: &ApiState,
        registry: &Arc<Registry>,
        base_url: &str,
        headers: &HeaderMap,
    ) -> Result<Work, ApiError> {
        let (place, name) = split(&self.path).ok_or_else(|| unknown(&self.path))?;
        let target = target(place)?;
        let operation = find(name, &target)?;
        if operation.effect == Effect::Writes && !self.is_post {
            return Err(ApiError::method_not_allowed(methods(name)));
        }
        let part = operation.part(&target, &self.query, handling(headers)?)?;
        let parameters = Parameters::read(&self.query, &self.body, operation.inputs, operation.others)?;
        let work = (operation.handler)(&Call { state, target, parameters, registry, base_url, headers })?;
        Ok(match part {
            Some(part) => work.cut_to(part),
            None => work,
        })
    }
}

/// The paths of all operations at all levels, so that a call at the wrong one is told so.
pub(crate) fn routes() -> Router<ApiState> {
    let mut router = Router::new();
    for name in names() {
        let methods = match effect(name) {
            Effect::Reads => get(run).post(run),
            Effect::Writes => post(run),
        };
        let methods = super::only(self::methods(name), methods);
        for place in ["", "/{type}", "/{type}/{id}"] {
            for dollar in DOLLARS {
                router = router.route(&format!("{place}/{dollar}{name}"), methods.clone());
            }
        }
    }
    router
}

/// The operations on a type and its resources, for `rest.resource.operation` of the CapabilityStatement.
pub(crate) fn of_type(resource_type: ResourceType) -> Vec<Value> {
    let is_offered = |operation: &&Operation| {
        operation.types.include(resource_type) && operation.levels.iter().any(|level| *level != Level::System)
    };
    OPERATIONS.iter().filter(is_offered).map(Operation::stated).collect()
}

/// The operations on the whole server, for `rest.operation` of the CapabilityStatement.
pub(crate) fn of_system() -> Vec<Value> {
    OPERATIONS.iter().filter(|operation| operation.levels.contains(&Level::System)).map(Operation::stated).collect()
}

/// Whether a path, without query, is that of an operation.
pub(crate) fn is_path(path: &str) -> bool {
    split(path).is_some()
}

/// The refusal of a path that ends in an operation which this server has not.
pub(crate) fn unknown(path: &str) -> ApiError {
    let name = split(path).map_or("", |(_, name)| name);
    let hint = match nearest(name, names()) {
        Some(known) => format!("did you mean `${known}`?"),
        None => "`metadata` lists those it has.".to_owned(),
    };
    ApiError::new(Category::NotFound, format!("This server has no operation of that name; {hint}"))
}

async fn run(State(state): State<ApiState>, RawQuery(query): RawQuery, request: Request) -> Result<Response, ApiError> {
    let base_url = state.base_url(request.headers())?;
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let headers = request.headers().clone();
    let is_post = request.method() == Method::POST;
    let body = if is_post { read_json_or_nothing(request, &state).await? } else { Bytes::new() };
    let asked = Asked { path, query: query.unwrap_or_default(), body, is_post };
    let registry = state.registry().await?;
    let work = asked.prepare(&state, &registry, &base_url, &headers)?;
    let reply = carry_out(work, &state).await?;
    let mut response = respond::json(reply.status, reply.body.into());
    response.headers_mut().extend(reply.header);
    Ok(response)
}

/// Does what is left to do.
///
/// # Errors
/// What the operation fails with, or the store.
pub(crate) async fn carry_out(work: Work, state: &ApiState) -> Result<Reply, ApiError> {
    match work {
        Work::Done(reply) => Ok(reply),
        Work::Read(job) => state.search(job).await,
        Work::Write(job) => state.store.write(job).await,
    }
}

/// A path as what the operation is called on, and its name.
fn split(path: &str) -> Option<(&str, &str)> {
    let (place, last) = path.rsplit_once('/').unwrap_or(("", path));
    DOLLARS.into_iter().find_map(|dollar| Some((place, last.strip_prefix(dollar)?)))
}

fn target(place: &str) -> Result<Target, ApiError> {
    match place.split_once('/') {
        _ if place.is_empty() => Ok(Target::System),
        None => type_named(place).map(Target::Type),
        Some((type_name, id)) => key_named(type_name, id).map(Target::Instance),
    }
}

/// The row of a name at a target.
fn find(name: &str, target: &Target) -> Result<&'static Operation, ApiError> {
    let of_name = || OPERATIONS.iter().filter(|operation| operation.name == name);
    if of_name().next().is_none() {
        return Err(unknown(name));
    }
    of_name().find(|operation| operation.fits(target)).ok_or_else(|| {
        let places: Vec<String> = of_name().flat_map(Operation::places).collect();
        ApiError::new(Category::NotFound, format!("`${name}` is not called here but as {}.", places.join(", ")))
    })
}

impl Operation {
    fn fits(&self, target: &Target) -> bool {
        let (level, resource_type) = match target {
            Target::System => (Level::System, None),
            Target::Type(resource_type) => (Level::Type, Some(*resource_type)),
            Target::Instance(key) => (Level::Instance, Some(key.resource_type)),
        };
        self.levels.contains(&level) && resource_type.is_none_or(|resource_type| self.types.include(resource_type))
    }

    /// The part of the answer that a query asks for; `None` for the whole.
    fn part(&self, target: &Target, query: &str, handling: Handling) -> Result<Option<Part>, ApiError> {
        let (place, handling) = match (self.answer, self.others, target) {
            (Answer::Bundle, Others::Search, Target::Type(only)) => (Place::Bundle(Some(*only)), handling),
            (Answer::Bundle, ..) => (Place::Bundle(None), Handling::Strict),
            (Answer::Resource(name), ..) => (Place::Resource(ResourceType::parse(name)), Handling::Strict),
            (Answer::Whole, ..) => (Place::Resource(None), Handling::Strict),
        };
        let part = Part::asked(decode(query.as_bytes())?.into_iter(), place, handling)?;
        if part.is_some() && self.answer == Answer::Whole {
            let detail = format!("`${}` always answers as a whole. Leave out `_summary` and `_elements`.", self.name);
            return Err(ApiError::new(Category::NotSupported, detail));
        }
        Ok(part)
    }

    /// The paths under which it is called, for people.
    fn places(&self) -> Vec<String> {
        let types = match self.types {
            Types::Every => "[type]".to_owned(),
            Types::Only(types) => types.join("|"),
        };
        let place = |level: &Level| match level {
            Level::System => format!("`[base]/${}`", self.name),
            Level::Type => format!("`{types}/${}`", self.name),
            Level::Instance => format!("`{types}/[id]/${}`", self.name),
        };
        self.levels.iter().map(place).collect()
    }

    fn stated(&self) -> Value {
        json!({ "name": self.name, "definition": self.definition })
    }
}

impl Types {
    fn include(&self, resource_type: ResourceType) -> bool {
        match self {
            Self::Every => true,
            Self::Only(types) => types.contains(&resource_type.as_str()),
        }
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    let names: BTreeMap<&str, ()> = OPERATIONS.iter().map(|operation| (operation.name, ())).collect();
    names.into_keys()
}

fn effect(name: &str) -> Effect {
    let writes = OPERATIONS.iter().any(|operation| operation.name == name && operation.effect == Effect::Writes);
    if writes { Effect::Writes } else { Effect::Reads }
}

/// The methods of an operation's paths, as `Allow` lists them.
fn methods(name: &str) -> &'static str {
    match effect(name) {
        Effect::Reads => "GET, HEAD, POST, OPTIONS",
        Effect::Writes => "POST, OPTIONS",
    }
}

#[cfg(test)]
mod tests {
    use super::{OPERATIONS, effect};

    #[test]
    fn operations_of_one_name_do_not_differ_in_effect_nor_meet_on_a_type() {
        for (index, row) in OPERATIONS.iter().enumerate() {
            assert_eq!(row.effect, effect(row.name), "{}", row.name);
            let is_defined = row.definition.starts_with("http") || row.definition.starts_with("urn:vitalwire:");
            assert!(is_defined && !row.levels.is_empty(), "{}", row.name);
            for other in OPERATIONS.iter().skip(index + 1).filter(|other| other.name == row.name) {
                let places = other.places();
                assert!(row.places().iter().all(|place| !places.contains(place)), "{}", row.name);
            }
        }
    }
}
