//! `$reindex`: what is stored is indexed anew, by the search parameters that are in force.
//!
//! On the server it begins a run (`reindexing`), of which there is one at a time, and answers at once with where to ask how
//! it is doing. Without parameters it is about the search parameters of this server's own that do not find everything yet.
//! On a resource it is done when it answers.

use http::StatusCode;

use super::parameters::{Input, Kind, Times, output, resource};
use super::{Call, Reply, Target, Work};
use crate::fhir::api::definitions::in_force;
use crate::fhir::api::error::ApiError;
use crate::fhir::api::read;
use crate::fhir::api::reindexing::run::{Run, Wanted, index_anew};
use crate::fhir::api::reindexing::status;
use crate::fhir::store::ResourceKey;
use crate::json::Node;
use crate::r4::resource_type::ResourceType;

/// What it takes on the server.
pub(super) const INPUTS: &[Input] = &[
    Input { name: "type", kind: Kind::Text, times: Times::Many },
    Input { name: "url", kind: Kind::Text, times: Times::Many },
];

/// `POST [base]/$reindex`
pub(super) fn all(call: &Call<'_>) -> Result<Work, ApiError> {
    let types = call.parameters.texts("type").map(|name| {
        let refused = || call.parameters.refuse("type", "`type` is the name of a resource type.");
        ResourceType::parse(name).ok_or_else(refused)
    });
    let wanted = Wanted {
        types: types.collect::<Result<_, _>>()?,
        urls: call.parameters.texts("url").map(str::to_owned).collect(),
    };
    let (base_url, now) = (call.base_url.to_owned(), call.state.clock.now());
    let began = call.state.run_began.clone();
    Ok(Work::write(move |writer| {
        let run = Run::begin(writer, &wanted, &base_url, now)?;
        // Whoever waits for it asks the store, where it is behind this very write.
        began.notify_one();
        let header = status::location(&run, &base_url);
        Ok(Reply { status: StatusCode::ACCEPTED, body: status::described(&run).into(), header })
    }))
}

/// `POST [base]/[type]/[id]/$reindex`
pub(super) fn one(call: &Call<'_>) -> Result<Work, ApiError> {
    let Target::Instance(key) = call.target.clone() else {
        return Err(ApiError::internal("one resource is indexed anew where one is named"));
    };
    let base_url = call.base_url.to_owned();
    Ok(Work::write(move |writer| {
        let version = read::current(writer, &key)?;
        let registry = in_force(writer)?;
        let values = index_anew(writer, &registry, &version, &[], &base_url)?;
        Ok(Reply::ok(described(&key, values)))
    }))
}

fn described(key: &ResourceKey, values: usize) -> String {
    let reference = format!("{}/{}", key.resource_type.as_str(), key.id);
    let reference = Node::Object(vec![("reference".into(), Node::from(reference))]);
    resource(vec![
        output("status", "valueCode", "completed"),
        output("resource", "valueReference", reference),
        output("values", "valueDecimal", Node::Number(values.to_string().into())),
    ])
}
