//! `$meta`: the profiles, tags and security labels of a resource (<https://hl7.org/fhir/R4/resource-operation-meta.html>).

use super::parameters::{output, resource};
use super::{Call, Reply, Target, Work};
use crate::fhir::api::error::ApiError;
use crate::fhir::api::read;
use crate::json::{self, Node};

/// The members of `meta` that these operations are about.
const LABELS: [&str; 3] = ["profile", "security", "tag"];

/// `GET [base]/[type]/[id]/$meta`
pub(super) fn meta(call: &Call<'_>) -> Result<Work, ApiError> {
    let Target::Instance(key) = call.target.clone() else {
        return Err(ApiError::internal("`$meta` is called on resources alone"));
    };
    Ok(Work::read(move |reader| {
        let version = read::current(reader, &key)?;
        let body = version.body.unwrap_or_default();
        let resource = json::parse(&body).map_err(ApiError::internal)?;
        Ok(reply(resource.member("meta")))
    }))
}

fn reply(meta: Option<&Node<'_>>) -> Reply {
    let members = meta.map(Node::members).unwrap_or_default();
    let labels = members.iter().filter(|(name, _)| LABELS.contains(&name.as_ref())).cloned().collect();
    Reply::ok(resource(vec![output("return", "valueMeta", Node::Object(labels))]))
}
